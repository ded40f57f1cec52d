#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod alpha_beta;
pub mod atomic_file;
pub mod batch;
pub mod checkpoint;
pub mod comparison;
pub mod config;
pub mod data_file;
pub mod dealer;
mod error;
mod exchange;
pub mod followers;
pub mod job;
pub mod memory;
mod messages;
pub mod metrics;
pub mod optimizer;
pub mod parallel;
pub mod pass;
pub mod rates;
pub mod run_folder;
pub mod seeds_file;
pub mod shared;
pub mod simulation;
pub mod snapshots;
pub mod state;
pub mod statistics;
pub mod store;
pub mod strategy;
pub mod study;
pub mod task;
pub mod tensorboard;
pub mod text;
pub mod time_to_target;
mod together;
pub mod trainer;
pub mod transport;
pub mod validation;
mod worker;

pub use error::Error;

/// Compiles and runs the workspace's README.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
