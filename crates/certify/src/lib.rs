#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod abstract_state;
mod agree;
mod axes;
mod bounded;
mod certificate;
mod counterexample;
mod error;
mod gated;
mod histories;
pub mod ibp;
mod lanes;
mod leaf;
mod machine;
mod memory;
mod network;
mod picture;
mod prove;
mod refute;
mod sample;
mod search;
pub mod study;
mod walk;

pub use agree::agree;
pub use certificate::{Certificate, Node, Piece};
pub use counterexample::{Counterexample, answers_wrongly};
pub use error::Error;
pub use machine::machine_of;
pub use picture::{Picture, picture};
pub use prove::{BUDGET, Outcome, certify, provable, prove};
pub use verify::{Cell, Machine};
