//! Tasks: where sequences come from, what is asked of a network, and how good it is at it.
//!
//! A task is one file under `task/`, or a type of your own; everything else in this crate serves
//! any. All that a training knows of its task is [`Task`].

mod addition;
pub mod machine;
mod mean_loss;
pub mod series;
pub mod text;

/// What the engine's own tests train on; which task it is matters to none of them.
#[cfg(test)]
pub(crate) use addition::Addition as TestTask;
pub use addition::{Addition, Pair, Sums, adder, trace};
pub use machine::{Machine, Words};
pub use mean_loss::MeanLoss;
pub use series::Series;
pub use text::Text;

use crate::Error;
use crate::batch::Batch;
use crate::metrics::Totals;
use crate::pass::Pass;
use model::{Head, Parameters};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::{Debug, Display};

/// Something to learn. Its values, as the table `[task]` of `config.toml`, are its fields.
pub trait Task: Clone + Debug + PartialEq + Send + Sync + Serialize + DeserializeOwned {
    /// As the command line and `config.toml` write it.
    const NAME: &'static str;

    /// Whether [`Task::differentiate`] is the one written here. If it is not, nobody may make the
    /// outputs before the end of a pass.
    const IS_BPTT: bool = true;

    /// What an evaluation finds.
    type Score: Score;

    /// I (of symbols: how many there are), and the head. Whether the head has a bias is the
    /// network's affair.
    fn io(&self) -> (usize, Head);

    /// T of an example, or about: what its work is estimated by.
    fn steps(&self) -> usize;

    /// Writes the next `source.count` examples to `batch`, all of it.
    ///
    /// A batch that the network cannot take (see [`model::Sequences`]) ends the training with a
    /// panic.
    fn draw(&self, source: Source<'_>, batch: &mut Batch);

    /// What the outputs `y` `[T, B, O]` (`[B, O]` of a head on the last step) to `batch` cost,
    /// summed over its examples; writes the gradient before the head's activation to `dy`.
    fn loss(&self, batch: &Batch, y: &[f32], dy: &mut [f32]) -> Totals;

    /// The gradient of the loss over `batch`, summed, to `gradient`. `progress` tells how
    /// far the worker has come.
    ///
    /// As it stands it is forward, [`Task::loss`], BPTT. Another training than on the outputs
    /// writes its own.
    #[inline]
    fn differentiate(
        &self,
        pass: &mut Pass,
        parameters: &Parameters,
        batch: &Batch,
        _progress: Progress,
        gradient: &mut Parameters,
    ) -> Totals {
        let loss = |batch: &Batch, y: &[f32], dy: &mut [f32]| self.loss(batch, y, dy);
        match pass.differentiate(parameters, batch, gradient, loss) {
            Ok(totals) => totals,
            Err(error) => {
                panic!("the task {} drew what its network cannot take: {error}", Self::NAME)
            }
        }
    }

    /// Loads what the task needs beside the fields that `config.toml` says: its data. Called once,
    /// for a task that was read from such a file.
    ///
    /// # Errors
    /// If that cannot be read, or is not what it was when the task was made.
    fn prepare(&mut self) -> Result<(), Error> {
        Ok(())
    }

    /// Whether there is enough to draw from, for so many workers with batches of B examples.
    ///
    /// # Errors
    /// [`Error::Task`], with the remedy.
    fn check(&self, _workers: usize, _batch: usize) -> Result<(), Error> {
        Ok(())
    }

    /// Examples between two validations; none for a task whose examples never come twice, which
    /// needs none. With them, a training keeps the parameters that were best, and may end early.
    fn validate_every(&self) -> Option<u64> {
        None
    }

    /// The loss of an example on data that nobody trains on, as [`Task::loss`] has it: what the
    /// best parameters are chosen by.
    fn validate(&self, _parameters: &Parameters) -> f64 {
        f64::NAN
    }

    /// Something that the network makes, in a line, to be shown now and then.
    fn illustrate(&self, _parameters: &Parameters) -> Option<String> {
        None
    }

    /// A loss in the units that people compare, for a line on the screen.
    fn in_words(&self, loss: f64) -> String {
        format!("{loss:.6}")
    }

    /// What programs are told of the task: its fields, without bulk.
    fn describe(&self) -> serde_json::Value {
        serde_json::json!(self)
    }

    /// How good a network is, on examples that a training from `seed` does not draw.
    fn evaluate(&self, parameters: &Parameters, seed: u64) -> Self::Score;

    /// What a network learns, as the rest of a sentence: `add 8 bits`.
    fn aim(&self) -> String;

    /// The headings of [`Task::show`].
    fn header(&self) -> String {
        "loss".to_owned()
    }

    /// The first example of `batch` and what the outputs `y` say to it, in a line; none where
    /// no outputs are made, and the mean loss is shown.
    fn show(&self, _batch: &Batch, _y: &[f32]) -> Option<String> {
        None
    }
}

/// What an evaluation found: in a sentence, and by its fields for programs.
///
/// It travels between ranks, and into files, whole.
pub trait Score: Clone + Debug + Display + Send + Serialize + DeserializeOwned {
    /// Is nothing left to learn?
    fn is_perfect(&self) -> bool;

    /// In a few words, for a table with the heading [`Score::heading`].
    fn brief(&self) -> String;

    /// What [`Score::brief`] counts.
    fn heading() -> &'static str;

    /// What seeds are compared by, and its name: the lower the better.
    fn figure(&self) -> (&'static str, f64);

    /// Of `count` networks `perfect` are perfect, in a sentence without its end.
    fn summary(&self, perfect: usize, count: usize) -> String;

    /// As an object for programs.
    fn describe(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("plain data")
    }
}

/// Where a worker's examples come from.
#[derive(Debug)]
pub struct Source<'a> {
    /// Random numbers of the worker's own.
    pub generator: &'a mut Xoshiro256PlusPlus,
    /// How many examples are asked for: B of the batch.
    pub count: usize,
    /// How far the worker has come.
    pub progress: Progress,
}

/// How far a worker has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Examples that it has trained on.
    pub examples: u64,
    /// Examples of the whole training, by all workers.
    pub of: u64,
    /// B, of all its batches but perhaps the last.
    pub batch: u64,
    /// Its number, counted from 0 …
    pub worker: usize,
    /// … of so many that draw examples.
    pub workers: usize,
}
