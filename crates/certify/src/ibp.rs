//! Interval bound propagation (IBP): training for a proof.
//!
//! A hidden state is known up to a radius, and after each step the radius grows by ε; the loss
//! is that of the worst output that the interval allows. So the network learns to add and to
//! contract: what is left of the radius after a few steps is what boxes can prove.
//!
//! Source: S. Gowal et al., *On the Effectiveness of Interval Bound Propagation for Training
//! Verifiably Robust Models*, 2018.

mod batch;
mod gradient;
mod training;

pub use batch::Batch;
pub use gradient::Ibp;
pub use training::{BATCH, Certifiable, LEARNING_RATE, STEPS, Training};
