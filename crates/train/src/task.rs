//! Tasks: where sequences and their targets come from.

mod addition;

pub use addition::{Addition, Pair};
