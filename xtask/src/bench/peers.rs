//! `cargo xtask bench peers`: whole programs, ours and others', in turn on this machine.
//!
//! The speed of a machine drifts, so only figures of the same minute can be compared: the programs
//! run in turn, round after round, and ratios are taken within a round. No figure is judged.

mod lab;
mod learned;
mod models;
mod python;
mod series;
mod spread;
mod text;

use anyhow::Result;

use crate::Usage;
use crate::numbers::whole;
use std::path::PathBuf;

/// Train the lab with Carry, NumPy, JAX and PyTorch, in turn, and print the ratios
///
/// Makes its own Python environments under target/peers-venv, with pinned versions from PyPI, at
/// the first call. A library that cannot be installed is named and left out.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Also compare with PyTorch, which installs several gigabytes
    #[arg(long)]
    with_torch: bool,

    /// Two rounds of 2,000 examples instead of five of 10,000: a look, not a measurement
    #[arg(long)]
    quick: bool,

    /// Training examples of each run [default: 10000, with --quick 2000]
    #[arg(long, value_parser = whole::<u32>(1..=u32::MAX.into()), allow_negative_numbers = true)]
    examples: Option<u32>,

    /// Print one JSON object as the last line
    #[arg(long)]
    json: bool,

    /// Compare recurrent layers instead, with PyTorch and Rust's candle, burn and rust-lstm:
    /// installs several gigabytes of Python, and builds each rival once, which takes minutes
    #[arg(long, conflicts_with_all = ["with_torch", "examples"])]
    models: bool,

    /// Learn this text instead, with PyTorch in turn, and compare the times to the same loss;
    /// installs several gigabytes
    #[arg(long, value_name = "FILE", conflicts_with_all = ["with_torch", "examples", "models"])]
    text: Option<PathBuf>,

    /// Learn to forecast a column of this CSV file instead, 24 rows ahead, with PyTorch in turn
    #[arg(long, value_name = "FILE.csv", requires = "target",
          conflicts_with_all = ["with_torch", "examples", "models", "text"])]
    series: Option<PathBuf>,

    /// The column of --series
    #[arg(long, value_name = "COLUMN", requires = "series")]
    target: Option<String>,

    /// Only this recurrent layer: rnn, gru or lstm; with --models, --text or --series
    #[arg(long, value_parser = ["rnn", "gru", "lstm"])]
    cell: Option<String>,
}

/// Runs the comparison and prints the table.
///
/// # Errors
/// If our own training fails; a peer's failure is printed below the table.
pub fn run(args: Args) -> Result<()> {
    let Args { with_torch, quick, examples, json, models, text, series, target, cell } = args;
    if let Some(file) = text {
        return text::run(&file, cell.as_deref(), quick, json);
    }
    if let (Some(file), Some(target)) = (series, target) {
        return series::run(&file, &target, cell.as_deref(), quick, json);
    }
    if cell.is_some() && !models {
        return Err(Usage("--cell needs --models, --text or --series".to_owned()).into());
    }
    if models {
        return models::run(cell.as_deref(), quick, json);
    }
    let examples = examples.map_or(if quick { 2_000 } else { 10_000 }, |n| n as usize);
    lab::run(examples, if quick { 2 } else { 5 }, with_torch, json)
}
