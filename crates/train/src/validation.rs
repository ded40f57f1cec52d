//! Validation: which parameters were the best so far, and whether to look for better ones.
//!
//! A training of a task with data has its loss measured now and then on the part of them that
//! nobody trains on ([`Task::validate`]). What is kept of it is the network of the least loss, not
//! the last one: early stopping (Prechelt, "Early Stopping — but when?", 1998).

use crate::config::RunConfig;
use crate::task::Task;
use model::Parameters;
use serde::{Deserialize, Serialize};

/// In a training there are at least so many validations.
const LEAST: u64 = 10;

/// What the validations of a training came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Validation {
    /// Examples trained on at the last one.
    last: u64,
    /// Validations since the best.
    since: u32,
    best: Option<Best>,
}

/// The least loss, and the parameters that had it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// The loss of an example on the validation data.
    pub loss: f64,
    /// Examples trained on by then.
    pub examples: u64,
    /// The arena of the parameters.
    pub arena: Vec<f32>,
}

impl Validation {
    /// Measures `parameters` after `examples` examples, if it is time for it: after every
    /// [`Task::validate_every`] examples or a tenth of all, whichever is less, and after the last.
    pub fn measure<T: Task>(
        &mut self,
        config: &RunConfig<T>,
        task: &T,
        parameters: &Parameters,
        examples: u64,
    ) -> Option<f64> {
        let all = config.run.examples;
        let every = task.validate_every()?.min(all / LEAST);
        if examples < all && examples - self.last < every {
            return None;
        }
        self.last = examples;
        let loss = task.validate(parameters);
        // A loss that is no number is not better than any.
        if loss < self.best.as_ref().map_or(f64::INFINITY, |best| best.loss) {
            self.best = Some(Best { loss, examples, arena: parameters.arena().to_vec() });
            self.since = 0;
        } else {
            self.since += 1;
        }
        Some(loss)
    }

    /// Whether the last `patience` validations were no better than one before: time to end.
    pub fn is_hopeless(&self, patience: Option<u32>) -> bool {
        patience.is_some_and(|patience| self.since >= patience)
    }

    /// The best so far.
    pub fn best(&self) -> Option<&Best> {
        self.best.as_ref()
    }

    /// The best parameters; `last`, if none were ever measured.
    pub fn best_or(&self, last: &Parameters) -> Parameters {
        let mut parameters = last.clone();
        if let Some(best) = &self.best {
            parameters.arena_mut().copy_from_slice(&best.arena);
        }
        parameters
    }

    /// Does the best one fit `parameters`, and did it come before the end?
    pub(crate) fn fits(&self, arena: usize, examples: u64) -> bool {
        let fits = |best: &Best| best.arena.len() == arena && best.examples <= examples;
        self.last <= examples && self.best.as_ref().is_none_or(fits)
    }
}
