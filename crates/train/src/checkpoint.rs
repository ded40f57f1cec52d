//! Checkpoints: a training as it stands between two updates, in one file that is
//! whole or refused.
//!
//! ```text
//! carry checkpoint 6\n      what it is, and the version of what follows
//! SHA-256 of the rest       32 bytes
//! the rest                  Checkpoint, in the format of the crate postcard
//! ```
//!
//! One flipped bit anywhere is noticed. The file is for going on with a training by
//! the build that began it, not for exchange: `model.safetensors` is that.

use crate::Error;
use crate::atomic_file::write_whole;
use crate::config::{MOST_THREADS, RunConfig, Strategy, task_name};
use crate::metrics::Totals;
use crate::snapshots::MOST_SNAPSHOTS;
use crate::state::State;
use crate::task::Task;
use crate::validation::Validation;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::Path;

const TITLE: &[u8] = b"carry checkpoint 6\n";
const DIGEST: usize = 32;

/// Everything that a training needs to go on as if it had never stopped.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Checkpoint {
    /// What was asked: the text of a `config.toml`.
    pub config: String,
    /// Examples trained on.
    pub examples: u64,
    /// Seconds of training so far.
    pub seconds: f64,
    /// What the interval that is not yet complete added up to.
    pub interval: Totals,
    /// The length of the metrics file, in bytes.
    pub metrics_bytes: u64,
    /// The mean loss of the first interval, once there was one.
    pub first_loss: Option<f64>,
    /// The best parameters so far, for a task that has validation data.
    pub validation: Validation,
    /// How many snapshots were asked: see [`crate::snapshots`].
    pub snapshots: u32,
    /// Parameters, the memories of optimizers, and generators.
    pub state: State,
}

impl Checkpoint {
    /// What was asked.
    ///
    /// # Errors
    /// If it is of another task, or makes no sense; `path` is the file that it was read from.
    pub fn config<T: Task>(&self, path: &Path) -> Result<RunConfig<T>, Error> {
        let content = |reason| Error::Content { path: path.into(), reason };
        RunConfig::from_toml(&self.config).map_err(content)
    }

    /// The name of the task; `path` is the file that it was read from.
    ///
    /// # Errors
    /// If there is none.
    pub fn task_name(&self, path: &Path) -> Result<String, Error> {
        let content = |reason| Error::Content { path: path.into(), reason };
        task_name(&self.config).map_err(content)
    }

    /// Does the state fit `config`, the one it names? `path` is the file that it was read from. A
    /// checksum tells of a file that was damaged, not of one that was made up.
    ///
    /// # Errors
    /// If it does not.
    pub(crate) fn check<T: Task>(&self, config: &RunConfig<T>, path: &Path) -> Result<(), Error> {
        let refuse = |reason: String| Err(Error::Content { path: path.into(), reason });
        let (workers, all) = (&self.state.workers, config.run.examples);
        let most = if config.strategy.name == Strategy::Serial { 1 } else { MOST_THREADS };
        if workers.is_empty() || workers.len() > most {
            return refuse(format!("holds {} workers where 1 to {most} can be", workers.len()));
        }
        let found = self.state.arena.len();
        let is_short = |all: &Vec<f32>| !all.is_empty() && all.len() != found;
        if is_short(&self.state.outer) || self.state.residuals.len() > workers.len() {
            return refuse("holds what travelled between ranks of another network".to_owned());
        }
        let counts = workers.iter().flat_map(|worker| [worker.examples, worker.steps]);
        if let Some(count) = counts.chain([self.examples]).find(|&count| count > all) {
            return refuse(format!("counts {count} examples or steps of a training of {all}"));
        }
        if self.interval.examples >= config.interval() {
            return refuse(format!("holds an interval of {} examples", self.interval.examples));
        }
        if self.snapshots > MOST_SNAPSHOTS {
            return refuse(format!("asks for {} snapshots", self.snapshots));
        }
        if !self.validation.fits(self.state.arena.len(), all) {
            return refuse("holds best parameters of another network or training".to_owned());
        }
        // Before the network is laid out, which may be far larger than the file.
        let found = self.state.arena.len();
        let network = &config.network;
        if network.hidden.saturating_mul(network.layers) > found {
            return refuse(format!("holds {found} parameters, too few for its network"));
        }
        let tensors = network.config(&config.task)?.tensors();
        let expected = tensors
            .iter()
            .map(|tensor| tensor.index(tensor.rows() - 1, tensor.columns() - 1) + 1)
            .max()
            .unwrap_or(0);
        if expected > found {
            return Err(Error::State { expected, found });
        }
        Ok(())
    }

    /// Writes the file `path`, or leaves it as it was.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let rest = postcard::to_allocvec(self).expect("numbers, names and arrays of them");
        let mut bytes = TITLE.to_vec();
        bytes.extend(Sha256::digest(&rest));
        bytes.extend(rest);
        write_whole(path, &bytes)
    }

    /// Reads the file `path`.
    ///
    /// # Errors
    /// If it cannot be read, is no checkpoint of this version, or was changed.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let bytes = fs::read(path).map_err(Error::file("read", path))?;
        let content = |reason: &str| Error::Content { path: path.into(), reason: reason.into() };
        let rest = bytes
            .strip_prefix(TITLE)
            .ok_or_else(|| content("is no checkpoint that this version of Carry wrote"))?;
        let (digest, rest) = rest
            .split_at_checked(DIGEST)
            .ok_or_else(|| content("is cut short; train again from the start"))?;
        if Sha256::digest(rest)[..] != *digest {
            let reason = "is damaged: its checksum does not match; train again from the start";
            return Err(content(reason));
        }
        postcard::from_bytes(rest)
            .map_err(|error| content(&format!("was written by another build ({error})")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::NetworkConfig;
    use crate::task::TestTask;
    use crate::trainer::Trainer;

    fn checkpoint() -> Checkpoint {
        let config = RunConfig { network: NetworkConfig::lab(3), ..TestTask::lab() };
        let mut trainer = Trainer::new(&config).unwrap();
        let interval = trainer.train(7);
        Checkpoint {
            config: config.to_toml(),
            examples: 7,
            seconds: 0.25,
            interval,
            metrics_bytes: 0,
            first_loss: None,
            validation: Validation::default(),
            snapshots: 60,
            state: trainer.state(),
        }
    }

    #[test]
    fn a_checkpoint_comes_back_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoint");
        let checkpoint = checkpoint();
        checkpoint.write(&path).unwrap();
        let back = Checkpoint::read(&path).unwrap();
        assert_eq!(format!("{back:?}"), format!("{checkpoint:?}"));
        assert_eq!(back.task_name(&path).unwrap(), "addition");
        let trainer = |checkpoint: Checkpoint| {
            let config = checkpoint.config::<TestTask>(&path).unwrap();
            Trainer::from_state(&config, checkpoint.state).unwrap()
        };
        let (mut one, mut other) = (trainer(checkpoint), trainer(back));
        one.train(20);
        other.train(20);
        assert_eq!(one.parameters().arena(), other.parameters().arena());
    }

    #[test]
    fn every_flipped_byte_and_every_missing_end_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoint");
        checkpoint().write(&path).unwrap();
        let whole = fs::read(&path).unwrap();
        for position in 0..whole.len() {
            let mut changed = whole.clone();
            changed[position] ^= 1 << (position % 8);
            fs::write(&path, changed).unwrap();
            assert!(Checkpoint::read(&path).is_err(), "byte {position}");
            fs::write(&path, &whole[..position]).unwrap();
            assert!(Checkpoint::read(&path).is_err(), "cut at {position}");
        }
    }
}
