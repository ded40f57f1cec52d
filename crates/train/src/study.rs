//! Many seeds instead of one: the same training over a range of seeds, in parallel.

use crate::Error;
use crate::evaluate::{Score, evaluate};
use crate::run::{INTERVAL, RunConfig};
use crate::strategy::Serial;
use rayon::prelude::*;
use std::ops::Range;
use std::time::Instant;

/// What became of one seed.
#[derive(Clone, Copy, Debug)]
pub struct SeedResult {
    /// The seed.
    pub seed: u64,
    /// The mean loss over the last [`INTERVAL`] examples.
    pub loss: f64,
    /// The sums that the trained network spelled right.
    pub score: Score,
    /// The time of the training loop alone.
    pub seconds: f64,
}

/// Trains `config` once for every seed in `seeds`, over all cores; the results stand
/// in the order of the seeds. `done` is called as each ends, in any order.
///
/// # Errors
/// If `config` makes no sense, or a training diverges.
pub fn train_seeds(
    config: &RunConfig,
    seeds: Range<u64>,
    done: impl Fn() + Sync,
) -> Result<Vec<SeedResult>, Error> {
    let train = |seed| {
        let mut serial = Serial::new(&RunConfig { seed, ..config.clone() })?;
        let start = Instant::now();
        let last = config.examples.min(INTERVAL);
        serial.train(config.examples - last);
        let totals = serial.train(last);
        let seconds = start.elapsed().as_secs_f64();
        serial.check_finite(config.examples)?;
        let score = evaluate(&serial.task(), serial.parameters(), seed);
        done();
        Ok(SeedResult { seed, loss: totals.loss / totals.examples as f64, score, seconds })
    };
    seeds.into_par_iter().map(train).collect()
}
