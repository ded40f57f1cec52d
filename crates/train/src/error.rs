//! What can go wrong in training, each with the value and the remedy in its text.

use std::{io, path::PathBuf};

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The addition task cannot have so many bits.
    #[error("an addition of {0} bits cannot be trained; ask for 1 to 64")]
    Bits(u32),

    /// The learning rate is not a positive number.
    #[error("a learning rate of {0} cannot train; give a positive, finite number such as 0.1")]
    LearningRate(f32),

    /// An update would average over no example.
    #[error("a batch of {0} examples cannot be trained; give 1 to {max}", max = crate::run::MOST_BATCH)]
    Batch(usize),

    /// The training left the finite numbers.
    #[error(
        "the training diverged: after {examples} examples the weights are no longer finite; \
         a learning rate below {learning_rate} may help"
    )]
    Diverged {
        /// Examples trained on when it was noticed.
        examples: u64,
        /// The learning rate in use.
        learning_rate: f32,
    },

    /// The network or its weights.
    #[error(transparent)]
    Model(#[from] model::Error),

    /// A file could not be read or written.
    #[error("cannot {action} {path}", path = path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },

    /// A file was read but does not say what it should.
    #[error("{path} {reason}", path = path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, as the rest of a sentence.
        reason: String,
    },

    /// A certificate does not prove what it should.
    #[error("the certificate is refused: {0}")]
    Certificate(String),

    /// The folder for a new run is not empty.
    #[error(
        "{path} is not empty; choose another folder, or write over the run in it with --force",
        path = .0.display()
    )]
    NotEmpty(PathBuf),

    /// There is no finished run to use.
    #[error("there is no finished run in {path}; train one with `cargo xtask train`", path = .0.display())]
    NoRun(PathBuf),
}

impl Error {
    /// For `map_err`: names what was tried, and on which file.
    pub(crate) fn file(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }
}
