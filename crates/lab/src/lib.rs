#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod biased;
pub mod bptt;
mod chain;
pub mod chains;
mod feed_forward;
pub mod hogwild;
pub mod memory;
mod narrow;
mod proof;
pub mod rates;
mod recipe;
mod settings;
mod share;
pub mod states;
mod study;
mod trials;
mod truncated;
pub mod units;
pub mod window;

pub use proof::proof;
pub use recipe::{BITS, Recipe};
pub use settings::{Settings, Watch};
pub use share::Share;
pub use study::{Findings, Study};
