//! Many seeds instead of one: the same training over a range of seeds, in parallel, on one machine or
//! dealt out over ranks.

use crate::Error;
use crate::config::{Extent, RanksConfig, RunConfig, StrategyConfig};
use crate::dealer::{follow, lead};
use crate::metrics::Totals;
use crate::strategy::Serial;
use crate::task::Task;
use crate::transport::{Transport, compare};
use crate::validation::Validation;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::time::Instant;

/// What became of one seed.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
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

/// Trains `config` once for every seed of `seeds`, over all cores. `ended` gets each result as it
/// is there, in any order, from any thread. After an error no training is begun, and those that
/// were are ended.
///
/// # Errors
/// If `config` makes no sense, or a training diverges ([`Error::Seed`]), or those of `ended`.
pub fn train_seeds<T: Task>(
    config: &RunConfig<T>,
    seeds: impl IntoParallelIterator<Item = u64>,
    ended: impl Fn(SeedResult<T::Score>) -> Result<(), Error> + Sync,
) -> Result<(), Error> {
    let train = |seed| train_seed(config, seed, || false)?.map_or(Ok(()), &ended);
    seeds.into_par_iter().try_for_each(train)
}

/// [`train_seeds`] dealt out over ranks, all of which call this: see [`crate::dealer`]. What comes
/// out is the same; only on rank 0 `ended` is told, and `seeds`, so many, are looked at. Once `is_stopped` says
/// so, on all ranks, no training is begun, and those that were are given up.
///
/// # Errors
/// As [`train_seeds`], on rank 0 alone; on all ranks, if `config` is not everywhere the same.
pub fn train_seeds_over<T: Task>(
    transport: &dyn Transport,
    config: &RunConfig<T>,
    (seeds, count): (impl Iterator<Item = u64> + Send, usize),
    is_stopped: impl Fn() -> bool + Sync,
    mut ended: impl FnMut(SeedResult<T::Score>) -> Result<(), Error> + Send,
) -> Result<(), Error> {
    compare(transport, "configuration or data", &digest(config))
        .map_err(|differs| Error::Rank { rank: differs.rank, reason: differs.to_string() })?;
    let train = |&seed: &u64| train_seed(config, seed, &is_stopped);
    if transport.rank() > 0 {
        follow(transport, &is_stopped, train);
        return Ok(());
    }
    lead(transport, (seeds, count), &is_stopped, train, |_, result| ended(result))
}

/// By which trainings of the same are known, whatever their seed, the cores of the machine, and the
/// ranks.
pub(crate) fn digest<T: Task>(config: &RunConfig<T>) -> [u8; 32] {
    let run = Extent { seed: 0, ..config.run };
    let (strategy, ranks) = (StrategyConfig::SERIAL, RanksConfig::default());
    Sha256::digest(RunConfig { run, strategy, ranks, ..config.clone() }.to_toml()).into()
}

/// Trains `config` with `seed`; nothing comes of it once `is_stopped` says so.
fn train_seed<T: Task>(
    config: &RunConfig<T>,
    seed: u64,
    is_stopped: impl Fn() -> bool,
) -> Result<Option<SeedResult<T::Score>>, Error> {
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
        if is_stopped() {
            return Ok(None);
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let finite = serial.check_finite(done, &last);
    finite.map_err(|error| Error::Seed { seed, source: Box::new(error) })?;
    let score = serial.task().evaluate(&validation.best_or(serial.parameters()), seed);
    let loss = last.loss / last.examples as f64;
    Ok(Some(SeedResult { seed, loss, score, examples: done, seconds }))
}
