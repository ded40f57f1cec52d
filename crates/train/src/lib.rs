//! Tasks, optimizers and strategies: from a seed to a trained network in a folder.
//!
//! The way of the data: a [`task`] makes sequences, a [`strategy`] runs the model
//! over them and the [`optimizer`] over the gradients, [`evaluate`] judges frozen
//! parameters, and [`run`] keeps what came of it. Nothing here knows lanes, or
//! prints to a terminal.
//!
//! ```
//! use train::run::RunConfig;
//! use train::{evaluate::evaluate, strategy::Serial};
//!
//! // The lab: 16 hidden units, 8 bits, 10,000 examples, learning rate 0.1, seed 0.
//! let config = RunConfig::default();
//! let mut serial = Serial::new(&config)?;
//! let totals = serial.train(config.examples);
//! assert_eq!(totals.examples, 10_000);
//!
//! let score = evaluate(&serial.task(), serial.parameters(), config.seed);
//! assert_eq!(score.total, 16_384);
//! assert!(score.correct > 16_000); // 19 networks of 20 get all of them right
//! # Ok::<(), train::Error>(())
//! ```
#![forbid(unsafe_code)]

pub mod adder;
pub mod certify;
pub mod checkpoint;
pub mod comparison;
mod error;
pub mod evaluate;
pub mod job;
pub mod optimizer;
pub mod parallel;
pub mod rates;
pub mod run;
pub mod shared;
pub mod statistics;
pub mod strategy;
pub mod study;
pub mod task;
pub mod tensorboard;
pub mod time_to_target;
pub mod trace;

pub use error::Error;

/// Compiles and runs the README's example.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
