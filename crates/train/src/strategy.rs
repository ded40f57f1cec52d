//! Strategies: who computes which gradient on what parameters, and when they meet.
//!
//! ```text
//! serial        one worker                                       same bits for a seed
//! synchronous   the workers share each batch                     same bits for a seed and N
//! hogwild       shared parameters, pushed every K examples       never the same twice
//! averaging     a replica each, averaged every K examples        same bits for a seed and N
//! ```
//!
//! Worker n of N draws its examples from the run's generator after n `jump()`s, each 2^128
//! numbers long, so the workers never see the same stream; evaluation is a `long_jump()`
//! away from all of them. One worker is the serial strategy, bit for bit, whatever the
//! strategy and K (for `averaging` and `hogwild` if K is whole batches).
//!
//! A worker that makes updates has an optimizer with a memory of its own, velocity or
//! moments; `synchronous` has one for all. A schedule of the learning rate counts the updates
//! of all workers.
//!
//! Between two calls of [`crate::trainer::Trainer::train`] nobody is in the middle of an example: the
//! parameters are one arena, and [`crate::trainer::Trainer::state`] is all there is to keep.

pub(crate) mod averaging;
mod choice;
pub(crate) mod hogwild;
pub(crate) mod outer;
pub(crate) mod ranks;
pub(crate) mod serial;
pub(crate) mod synchronous;

pub(crate) use choice::has_early_sync;
pub use choice::{best_push_every, fastest};
pub use serial::Serial;
