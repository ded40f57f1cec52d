//! Rank 0 leads, the others follow: what it tells them, and what they do.
//!
//! ```text
//! rank 0                                      rank r
//! a job, with its files, clocks, signals
//!  └─ its trainer: begin ──configuration,──►  a trainer of the same, for its own workers
//!                          its workers
//!                  train ──examples────────►  trains on as many, and meets the others
//!                  state ◄────its workers───
//!                  end ────────────────────►  is done
//! ```
//!
//! So all that hangs on a clock, a file or a signal is decided on rank 0 alone, and cannot be
//! decided otherwise elsewhere. A rank that cannot begin says why, and rank 0 fails with its words.

use crate::Error;
use crate::config::RunConfig;
pub use crate::messages::{Begin, end};
use crate::messages::{Message, bytes, message};
use crate::task::Task;
use crate::trainer::Trainer;
use crate::transport::Transport;
use std::sync::Arc;

/// What a follower does next.
#[derive(Debug)]
pub enum Next {
    /// [`follow`], with the task that it names.
    Begin(Box<Begin>),
    /// Nothing any more.
    End,
}

/// Waits for what rank 0 says first.
///
/// # Panics
/// If it says anything else than to begin or to end.
pub fn first(transport: &dyn Transport) -> Next {
    match message(transport) {
        Message::Begin(begin) => Next::Begin(begin),
        Message::End => Next::End,
        other => panic!("rank 0 says {other:?} before a training has begun"),
    }
}

/// Trains as rank 0 says, until it says something else.
///
/// # Panics
/// If this is rank 0.
pub fn follow<T: Task>(transport: &Arc<dyn Transport>, begin: Begin) -> Next {
    assert!(transport.rank() > 0, "rank 0 leads");
    let trainer = prepared::<T>(&begin.config)
        .and_then(|config| Trainer::member(&config, begin.part, Arc::clone(transport)));
    let refused = trainer.as_ref().err().map(|error| chain(error));
    transport.send_bytes(0, &bytes(&refused));
    let Ok(mut trainer) = trainer else { return first(&**transport) };
    loop {
        match message(&**transport) {
            Message::Train(examples) => {
                trainer.train_as_told(examples, |_, _| ());
            }
            Message::State => transport.send_bytes(0, &bytes(&trainer.own_state())),
            Message::Begin(begin) => return Next::Begin(begin),
            Message::End => return Next::End,
        }
    }
}

fn prepared<T: Task>(config: &str) -> Result<RunConfig<T>, Error> {
    let mut config = RunConfig::<T>::from_toml(config).map_err(Error::Ranks)?;
    config.task.prepare()?;
    Ok(config)
}

/// An error and why it happened.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text += &format!(": {error}");
        source = error.source();
    }
    text
}
