//! What can go wrong in a study.

use std::io;
use std::path::{Path, PathBuf};

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A network could not be trained.
    #[error(transparent)]
    Train(#[from] train::Error),

    /// The network or its weights.
    #[error(transparent)]
    Model(#[from] model::Error),

    /// The file of trials could not be read or written.
    #[error("cannot {action} {path}", path = path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },

    /// Another study has the file of trials open.
    #[error(
        "{path} is in use by another study; wait until it ends, or name another file",
        path = .0.display()
    )]
    InUse(PathBuf),

    /// A line of the file of trials is no trial.
    #[error("{path} holds in line {line} what is no trial: {reason}", path = path.display())]
    NoTrial {
        /// The file.
        path: PathBuf,
        /// The number of the line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
}

impl Error {
    /// For `map_err`: names what was tried, and on which file.
    pub fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::File { action, path: path.to_owned(), source }
    }
}
