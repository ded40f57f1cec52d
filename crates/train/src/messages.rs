//! What rank 0 says to the other ranks of a training, and what they answer.
//!
//! Each message is answered, or is the last: [`crate::followers`] does what it says.

use crate::Error;
use crate::config::{RunConfig, task_name};
use crate::exchange::Residuals;
use crate::state::{State, WorkerState};
use crate::task::Task;
use crate::transport::Transport;
use serde::{Deserialize, Serialize};

/// What rank 0 says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Message {
    Begin(Box<Begin>),
    Train(u64),
    State,
    End,
}

/// A training, as one rank is told of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Begin {
    /// The text of a `config.toml`.
    pub(crate) config: String,
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

impl Begin {
    /// The name of the task.
    ///
    /// # Errors
    /// If there is none.
    pub fn task_name(&self) -> Result<String, Error> {
        task_name(&self.config).map_err(Error::Ranks)
    }
}

pub(crate) fn message(transport: &dyn Transport) -> Message {
    let (_, bytes) = transport.receive_bytes(Some(0));
    postcard::from_bytes(&bytes).expect("rank 0 runs the same program")
}

pub(crate) fn bytes(value: &impl Serialize) -> Vec<u8> {
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
