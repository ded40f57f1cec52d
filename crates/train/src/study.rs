//! Many seeds instead of one: the same training over a range of seeds, in parallel.

use crate::Error;
use crate::config::{Extent, RunConfig};
use crate::metrics::Totals;
use crate::strategy::Serial;
use crate::task::Task;
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
    /// The time of the training loop alone.
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
        while done < config.run.examples {
            last = serial.train(config.interval().min(config.run.examples - done));
            done += last.examples;
        }
        let seconds = start.elapsed().as_secs_f64();
        let finite = serial.check_finite(config.run.examples, &last);
        finite.map_err(|error| Error::Seed { seed, source: Box::new(error) })?;
        let score = serial.task().evaluate(serial.parameters(), seed);
        ended(SeedResult { seed, loss: last.loss / last.examples as f64, score, seconds });
        Ok(())
    };
    seeds.into_par_iter().try_for_each(train)
}
