//! The mean loss over examples that nobody trains on: the score of a task that has no better one.

use super::{Progress, Score, Source, Task};
use crate::batch::Batch;
use crate::pass::Pass;
use model::Parameters;
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};
use std::fmt::{Display, Formatter};

/// The mean loss of an example.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MeanLoss {
    /// As [`Task::loss`] has it.
    pub held_out_loss: f64,
    /// Over so many examples.
    pub held_out_examples: u64,
}

impl MeanLoss {
    /// Over one batch of `examples` examples, drawn a `long_jump()` away from those that a training
    /// from `seed` draws. No state is carried into it, and nothing is dropped.
    ///
    /// # Panics
    /// If `parameters` are not of a network for `task`.
    pub fn of<T: Task>(task: &T, parameters: &Parameters, seed: u64, examples: usize) -> Self {
        let mut generator = Xoshiro256PlusPlus::seed_from_u64(seed);
        generator.long_jump();
        let mut pass = Pass::new(parameters.config(), generator.clone());
        let count = examples as u64;
        let progress = Progress { examples: 0, of: count, batch: count, worker: 0, workers: 1 };
        let mut batch = Batch::default();
        task.draw(Source { generator: &mut generator, count: examples, progress }, &mut batch);
        let y = match pass.infer(parameters, &batch) {
            Ok(y) => y,
            Err(error) => panic!("the task {} drew what its network cannot take: {error}", T::NAME),
        };
        let totals = task.loss(&batch, y, &mut vec![0.0; y.len()]);
        let held_out_loss = totals.loss / totals.examples as f64;
        Self { held_out_loss, held_out_examples: totals.examples }
    }
}

impl Display for MeanLoss {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let Self { held_out_loss, held_out_examples } = self;
        write!(f, "The mean loss of {held_out_examples} held-out examples is {held_out_loss:.6}.")
    }
}

impl Score for MeanLoss {
    fn is_perfect(&self) -> bool {
        self.held_out_loss == 0.0
    }

    fn brief(&self) -> String {
        format!("{:.6}", self.held_out_loss)
    }

    fn heading() -> &'static str {
        "held-out loss"
    }

    fn figure(&self) -> (&'static str, f64) {
        ("held_out_loss", self.held_out_loss)
    }

    fn summary(&self, perfect: usize, count: usize) -> String {
        format!("{perfect} of {count} seeds lose nothing")
    }
}
