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
use crate::config::{RunConfig, task_name};
use crate::exchange::Residuals;
use crate::state::{State, WorkerState};
use crate::task::Task;
use crate::trainer::Trainer;
use crate::transport::Transport;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What rank 0 says.
#[derive(Debug, Serialize, Deserialize)]
enum Message {
    Begin(Box<Begin>),
    Train(u64),
    State,
    End,
}

/// A training, as one rank is told of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Begin {
    /// The text of a `config.toml`.
    config: String,
    pub(crate) part: Part,
}

/// A rank's part of a [`State`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Part {
    pub arena: Vec<f32>,
    pub learning_rate: f32,
    /// Those of this rank.
    pub workers: Vec<WorkerState>,
    /// Worker 0, where it is of another rank and steps for all.
    pub first: Option<WorkerState>,
    /// Examples of all workers.
    pub done: u64,
    pub outer: Vec<f32>,
    pub residuals: Residuals,
}

impl Part {
    /// Rank `rank`'s of `ranks`.
    pub fn of(state: &State, rank: usize, ranks: usize) -> Self {
        let own = state.workers.len() / ranks;
        Self {
            arena: state.arena.clone(),
            learning_rate: state.learning_rate,
            workers: state.workers[rank * own..][..own].to_vec(),
            first: (rank > 0).then(|| state.workers[0].clone()),
            done: state.examples(),
            outer: state.outer.clone(),
            residuals: state.residuals.get(rank).cloned().unwrap_or_default(),
        }
    }
}

/// What a follower does next.
#[derive(Debug)]
pub enum Next {
    /// [`follow`], with the task that it names.
    Begin(Box<Begin>),
    /// Nothing any more.
    End,
}

impl Begin {
    /// The name of the task.
    ///
    /// # Errors
    /// If there is none.
    pub fn task_name(&self) -> Result<String, Error> {
        task_name(&self.config).map_err(Error::Ranks)
    }
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

fn message(transport: &dyn Transport) -> Message {
    let (_, bytes) = transport.receive_bytes(Some(0));
    postcard::from_bytes(&bytes).expect("rank 0 runs the same program")
}

fn bytes(value: &impl Serialize) -> Vec<u8> {
    postcard::to_allocvec(value).expect("numbers, names and arrays of them")
}

fn tell_all(transport: &dyn Transport, message: &Message) {
    let bytes = bytes(message);
    (1..transport.ranks()).for_each(|rank| transport.send_bytes(rank, &bytes));
}

/// Tells all followers that nothing comes any more.
pub fn end(transport: &dyn Transport) {
    tell_all(transport, &Message::End);
}

/// Has all followers begin with their parts of `state`.
///
/// # Errors
/// The first of theirs.
pub(crate) fn begin<T: Task>(
    transport: &dyn Transport,
    config: &RunConfig<T>,
    state: &State,
) -> Result<(), Error> {
    let config = config.to_toml();
    for rank in 1..transport.ranks() {
        let part = Part::of(state, rank, transport.ranks());
        let message = Message::Begin(Box::new(Begin { config: config.clone(), part }));
        transport.send_bytes(rank, &bytes(&message));
    }
    let answers = (1..transport.ranks()).map(|rank| {
        let (rank, answer) = transport.receive_bytes(Some(rank));
        let refused = postcard::from_bytes::<Option<String>>(&answer);
        (rank, refused.expect("rank 0 runs the same program"))
    });
    let answers: Vec<_> = answers.collect(); // of all, before the first counts
    let refused = answers.into_iter().find_map(|(rank, reason)| Some((rank, reason?)));
    refused.map_or(Ok(()), |(rank, reason)| Err(Error::Rank { rank, reason }))
}

/// Has all followers train.
pub(crate) fn train(transport: &dyn Transport, examples: u64) {
    tell_all(transport, &Message::Train(examples));
}

/// What the followers' workers, and what they send, are now, in rank order.
pub(crate) fn states(transport: &dyn Transport) -> Vec<(Vec<WorkerState>, Residuals)> {
    tell_all(transport, &Message::State);
    let state = |rank| {
        let (_, bytes) = transport.receive_bytes(Some(rank));
        postcard::from_bytes(&bytes).expect("all ranks run the same program")
    };
    (1..transport.ranks()).map(state).collect()
}
