//! Checkpoints: a training as it stands between two updates, in one file that is
//! whole or refused.
//!
//! ```text
//! carry checkpoint 2\n      what it is, and the version of what follows
//! SHA-256 of the rest       32 bytes
//! the rest                  Checkpoint, in the format of the crate postcard
//! ```
//!
//! One flipped bit anywhere is noticed. The file is for going on with a training by
//! the build that began it, not for exchange: `model.safetensors` is that.

use crate::Error;
use crate::run::{RunConfig, write_whole};
use crate::strategy::{State, Totals};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::Path;

const TITLE: &[u8] = b"carry checkpoint 2\n";
const DIGEST: usize = 32;

/// Everything that a training needs to go on as if it had never stopped.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Checkpoint {
    /// What was asked.
    #[serde(with = "as_text")]
    pub config: RunConfig,
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
    /// Parameters, the memories of optimizers, and generators.
    pub state: State,
}

/// As JSON in a string: postcard cannot leave out fields, as a [`RunConfig`] does.
mod as_text {
    use crate::run::RunConfig;
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _, ser::Error as _};

    pub fn serialize<S: Serializer>(config: &RunConfig, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&serde_json::to_string(config).map_err(S::Error::custom)?)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<RunConfig, D::Error> {
        serde_json::from_str(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl Checkpoint {
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
    use crate::strategy::Trainer;

    fn checkpoint() -> Checkpoint {
        let config = RunConfig { hidden: 3, ..RunConfig::default() };
        let mut trainer = Trainer::new(&config).unwrap();
        let interval = trainer.train(7);
        Checkpoint {
            config,
            examples: 7,
            seconds: 0.25,
            interval,
            metrics_bytes: 0,
            first_loss: None,
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
        let (mut one, mut other) = (
            Trainer::from_state(&checkpoint.config, checkpoint.state).unwrap(),
            Trainer::from_state(&back.config, back.state).unwrap(),
        );
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
