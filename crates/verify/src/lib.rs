#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod abstract_state;
mod addition;
mod certificate;
mod check;
mod error;
mod exact;
mod network;
mod sigmoid;

pub use abstract_state::AbstractState;
pub use certificate::FORMAT;
pub use check::{Verified, check};
pub use error::Error;
pub use exact::check_exact;
pub use network::Network;
