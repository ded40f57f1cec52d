//! Strategies: who computes which gradient on what parameters, and when they meet.

mod serial;

pub use serial::{Serial, State, Totals};
