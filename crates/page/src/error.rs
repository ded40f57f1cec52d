//! What can go wrong between a run and its page.

use thiserror::Error;

/// Why there is no page of a run.
#[derive(Debug, Error)]
pub enum Error {
    /// A file of the run, or the data that it was trained on.
    #[error(transparent)]
    Train(#[from] train::Error),

    /// The network or its weights.
    #[error(transparent)]
    Model(#[from] model::Error),

    /// A network that no view can show.
    #[error("the network of {run} {reason}")]
    Network {
        /// Its run.
        run: String,
        /// Why, and what helps, as the rest of a sentence.
        reason: String,
    },
}
