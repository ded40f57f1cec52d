#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod architecture;
mod config;
mod error;
mod finite;
pub mod flops;
mod inputs;
mod layout;
pub mod loss;
mod network;
mod parameters;
pub mod reference;
mod sequences;
mod size;
mod state;
mod stream;
mod used;
pub mod weights;

pub use architecture::{Architecture, Cell, Head, HeadActivation, HeadSteps, Memory, Nonlinearity};
pub use config::Config;
pub use error::Error;
pub use inputs::Inputs;
pub use layout::{InputRows, Role, Tensor};
pub use network::{Network, Units};
pub use parameters::Parameters;
pub use sequences::Sequences;
pub use state::State;
pub use stream::Stream;
