//! What can go wrong in training, each with the value and the remedy in its text.

use std::io;
use std::path::{Path, PathBuf};

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The addition task cannot have so many bits.
    #[error("an addition of {0} bits cannot be trained; ask for 1 to 64")]
    Bits(u32),

    /// The learning rate is not a positive number.
    #[error("a learning rate of {0} cannot train; give a positive, finite number such as 0.1")]
    LearningRate(f32),

    /// A number of an optimizer makes no sense.
    #[error("the optimizer's {setting} of {value} makes no sense; give {remedy}")]
    Optimizer {
        /// Which number.
        setting: &'static str,
        /// What it is.
        value: f64,
        /// What it may be.
        remedy: &'static str,
    },

    /// A saved state of an optimizer is that of another.
    #[error("the optimizer's state does not fit: {0}; resume with the settings it was saved with")]
    OptimizerState(String),

    /// An update would average over no example.
    #[error("a batch of {0} examples cannot be trained; give 1 to {max}", max = crate::config::MOST_BATCH)]
    Batch(usize),

    /// So many workers cannot train.
    #[error("{0} threads cannot train; give 1 to {max}", max = crate::config::MOST_THREADS)]
    Threads(usize),

    /// Workers that never push teach nobody.
    #[error("a push every 0 examples is none; give at least 1")]
    PushEvery,

    /// The operating system did not start the threads.
    #[error("cannot start {threads} threads; fewer may do (`--threads`)")]
    StartThreads {
        /// How many were asked for.
        threads: usize,
        /// Why not.
        source: rayon::ThreadPoolBuildError,
    },

    /// The training would not fit in memory.
    #[error(
        "the training needs {} of memory, and {} are available; give fewer units (`--hidden`, \
         `--layers`), a smaller `--batch` or fewer `--threads`, or free some",
        crate::text::bytes(*needed), crate::text::bytes(*available)
    )]
    Memory {
        /// Bytes, about.
        needed: u64,
        /// Bytes.
        available: u64,
    },

    /// The training left the finite numbers.
    #[error(
        "the training diverged: after {examples} examples the mean loss is {loss} and the norm of \
         the gradient {norm}; {}{}",
        advice(*learning_rate, *weight_decay),
        kept(checkpoint.as_deref()),
    )]
    Diverged {
        /// Examples trained on when it was noticed.
        examples: u64,
        /// The mean loss of the examples before.
        loss: f64,
        /// The Euclidean norm of the last gradient.
        norm: f64,
        /// The learning rate in use.
        learning_rate: f32,
        /// λ where each step multiplies the weights by 1 − η·λ, or 0.
        weight_decay: f64,
        /// The run folder that holds the last good checkpoint, if there is one.
        checkpoint: Option<PathBuf>,
    },

    /// One training of many failed.
    #[error("seed {seed}: {source}")]
    Seed {
        /// Which one.
        seed: u64,
        /// How.
        source: Box<Error>,
    },

    /// Ranks cannot train so.
    #[error("{0}")]
    Ranks(String),

    /// A state is of another network than the configuration beside it.
    #[error("the state holds {found} parameters, its configuration asks for {expected}")]
    State {
        /// As many as the configuration asks for, padding included.
        expected: usize,
        /// As many as there are.
        found: usize,
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

    /// Bytes are no text.
    #[error(
        "byte {offset} ({byte:#04x}) is no UTF-8; take the bytes themselves as symbols with \
         `--unit byte`, or convert the text to UTF-8"
    )]
    Utf8 {
        /// Its place, counted from 0.
        offset: u64,
        /// What stands there.
        byte: u8,
    },

    /// A file of data is not what a training needs.
    #[error("{path} {reason}", path = path.display())]
    Data {
        /// The file.
        path: PathBuf,
        /// What is wrong with it and what helps, as the rest of a sentence.
        reason: String,
    },

    /// Another rank of the job has failed.
    #[error("rank {rank}: {reason}")]
    Rank {
        /// Which.
        rank: usize,
        /// What it says.
        reason: String,
    },

    /// What a task was asked makes no sense with its data.
    #[error("{0}")]
    Task(String),

    /// The folder for a new run is not empty.
    #[error(
        "{path} is not empty; choose another folder, or write over the run in it with --force",
        path = .0.display()
    )]
    NotEmpty(PathBuf),

    /// Another process trains in the folder.
    #[error(
        "another process is training in {path}; wait until it ends, or choose another folder",
        path = .0.display()
    )]
    InUse(PathBuf),

    /// There is nothing to resume.
    #[error(
        "there is no checkpoint in {path}; a training leaves one every --checkpoint-every, and \
         when it is stopped by Ctrl-C or a signal (INT, TERM, HUP)",
        path = .0.display()
    )]
    NoCheckpoint(PathBuf),

    /// The run to resume has ended.
    #[error(
        "the run in {path} is finished; train a longer one with --examples, in another folder",
        path = .0.display()
    )]
    Finished(PathBuf),

    /// There is no finished run to use.
    #[error("there is no finished run in {path}; train one with `cargo xtask train`", path = .0.display())]
    NoRun(PathBuf),
}

/// A learning rate beyond it is no matter of more or less.
const HIGH_RATE: f32 = 10.0;

/// What may help against a divergence.
fn advice(learning_rate: f32, weight_decay: f64) -> String {
    let shrinks = f64::from(learning_rate) * weight_decay;
    if learning_rate > HIGH_RATE {
        format!(
            "a learning rate of {learning_rate:e} is far from what trains; 0.1 is typical for sgd, \
             0.001 for adam"
        )
    } else if shrinks >= 1.0 {
        format!(
            "a weight decay of {weight_decay} at a learning rate of {learning_rate} multiplies the \
             weights by {:.3} at each step; give one far below {:.3}, such as 0.01",
            1.0 - shrinks,
            1.0 / f64::from(learning_rate)
        )
    } else {
        format!("a learning rate below {learning_rate} may help")
    }
}

/// What a message about a divergence says of the checkpoint.
fn kept(checkpoint: Option<&Path>) -> String {
    checkpoint.map_or(String::new(), |folder| {
        format!("; the last good checkpoint is kept in {}", folder.display())
    })
}

impl Error {
    /// For `map_err`: that the folder `path` could not be made; if something else has its name, or
    /// that of a folder on the way, what that is.
    pub(crate) fn no_folder(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |error| {
            let there = path.ancestors().find(|path| path.is_symlink() || path.exists());
            let taken = there.filter(|taken| !taken.is_dir());
            let source = match taken.map(|taken| (taken, taken.exists(), taken.read_link())) {
                None => error,
                Some((taken, false, Ok(target))) => io::Error::other(format!(
                    "{} is a symbolic link to {}, which is not there; make that folder, or choose \
                     another",
                    taken.display(),
                    target.display()
                )),
                Some((taken, ..)) if taken == path => {
                    io::Error::other("it is a file and no folder; choose another name")
                }
                Some((taken, ..)) => {
                    let name = taken.display();
                    io::Error::other(format!("{name} is a file; choose another name: {error}"))
                }
            };
            Self::File { action: "make the folder", path: path.to_owned(), source }
        }
    }

    /// For `map_err`: names what was tried, and on which file.
    pub(crate) fn file(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }
}
