//! Tasks, optimizers and strategies: from a seed to a trained network in a folder.
//!
//! The way of the data: a [`task`] makes batches, a [`strategy`] runs the model over them and
//! the [`optimizer`] over the gradients, the task judges frozen parameters, and a
//! [`run_folder`] keeps what came of it. Nothing here knows lanes, or
//! prints to a terminal.
//!
//! ```
//! use train::strategy::Serial;
//! use train::task::{Addition, Task};
//!
//! // The lab: 16 hidden units, 8 bits, 10,000 examples, learning rate 0.1, seed 0.
//! let config = Addition::lab();
//! let mut serial = Serial::new(&config)?;
//! let totals = serial.train(config.run.examples);
//! assert_eq!(totals.examples, 10_000);
//!
//! let score = config.task.evaluate(serial.parameters(), config.run.seed);
//! assert_eq!(score.total, 16_384);
//! assert!(score.correct > 16_000); // 19 networks of 20 get all of them right
//! # Ok::<(), train::Error>(())
//! ```
#![forbid(unsafe_code)]

pub mod atomic_file;
pub mod batch;
pub mod checkpoint;
pub mod comparison;
pub mod config;
mod error;
pub mod job;
pub mod memory;
pub mod metrics;
pub mod optimizer;
pub mod parallel;
pub mod pass;
pub mod rates;
pub mod run_folder;
pub mod shared;
pub mod state;
pub mod statistics;
pub mod strategy;
pub mod study;
pub mod task;
pub mod tensorboard;
pub mod text;
pub mod time_to_target;
pub mod trainer;
mod worker;

pub use error::Error;

/// Compiles and runs the README's example.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
