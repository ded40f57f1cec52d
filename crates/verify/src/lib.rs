#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod abstract_state;
mod cell;
mod certificate;
mod check;
mod error;
mod exact;
mod gated;
mod machine;
mod network;
mod sigmoid;
mod work;

pub use abstract_state::AbstractState;
pub use cell::Cell;
pub use certificate::{FORMAT, MOST_SEQUENCES};
pub use check::{Verified, check};
pub use error::Error;
pub use exact::check_exact;
pub use machine::{Machine, Table};
pub use network::Network;
