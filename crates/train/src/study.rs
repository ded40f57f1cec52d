//! Many seeds instead of one: the same training over a range of seeds, in parallel.

use crate::Error;
use crate::config::{Extent, RunConfig};
use crate::metrics::Totals;
use crate::strategy::Serial;
use crate::task::Task;
use crate::validation::Validation;
use rayon::prelude::*;
use std::ops::Range;
use std::time::Instant;

/// What became of one seed.
#[derive(Clone, Copy, Debug)]
pub struct SeedResult<S> {
    /// The seed.
    pub seed: u64,
    /// The mean loss of an example in the last interval of [`RunConfig::interval`].
    pub loss: f64,
    /// How good the trained network is.
    pub score: S,
    /// Examples trained on: fewer than were asked for where more would not have helped.
    pub examples: u64,
    /// The time of the training loop, validations included.
    pub seconds: f64,
}

/// Trains `config` once for every seed in `seeds`, over all cores. `ended` gets each result as it
/// is there, in any order, from any thread. After an error no training is begun, and those that
/// were are ended.
///
/// # Errors
/// If `config` makes no sense, or a training diverges: [`Error::Seed`].
pub fn train_seeds<T: Task>(
    config: &RunConfig<T>,
    seeds: Range<u64>,
    ended: impl Fn(SeedResult<T::Score>) + Sync,
) -> Result<(), Error> {
    let train = |seed| {
        let run = Extent { seed, ..config.run };
        let mut serial = Serial::new(&RunConfig { run, ..config.clone() })?;
        let start = Instant::now();
        // interval by interval, as a single training does: the same batches, the same bits
        let (mut done, mut last) = (0, Totals::default());
        let mut validation = Validation::default();
        while done < config.run.examples && !validation.is_hopeless(config.run.patience) {
            last = serial.train(config.interval().min(config.run.examples - done));
            done += last.examples;
            validation.measure(config, serial.task(), serial.parameters(), done);
        }
        let seconds = start.elapsed().as_secs_f64();
        let finite = serial.check_finite(done, &last);
        finite.map_err(|error| Error::Seed { seed, source: Box::new(error) })?;
        let score = serial.task().evaluate(&validation.best_or(serial.parameters()), seed);
        let loss = last.loss / last.examples as f64;
        ended(SeedResult { seed, loss, score, examples: done, seconds });
        Ok(())
    };
    seeds.into_par_iter().try_for_each(train)
}
