//! `cargo xtask replay`: trains along a recorded trace and compares.

use crate::output::{line, thousands};
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;
use train::task::trace::Trace;

/// Replay a recorded training and compare every error and the final weights
///
/// A trace is a JSON file of the format lab-trace-1, made by crates/train/tests/fixtures/make_trace.py:
/// the first weights, the operands of each example, and the errors and final weights that a
/// float64 program arrived at. The replay runs in float32.
///
/// Exit code 0 if both differences are within the tolerance, 1 if not.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  cargo xtask replay crates/train/tests/fixtures/lab-seed-0.json")]
pub struct Args {
    /// The trace
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// The largest absolute difference allowed, of an error and of a final weight
    #[arg(long, default_value_t = 1e-4, value_parser = tolerance, allow_negative_numbers = true)]
    tolerance: f64,

    /// Print a JSON object: examples, max_error_difference, max_weight_difference, within
    #[arg(long)]
    json: bool,
}

fn tolerance(text: &str) -> Result<f64, String> {
    let tolerance = text.parse().ok().filter(|&tolerance: &f64| tolerance >= 0.0);
    tolerance.ok_or_else(|| "a number from 0 on, such as 1e-4, is needed".to_owned())
}

/// Runs the command.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let replay = Trace::read(&args.file)?.replay()?;
    let within = replay.within(args.tolerance);
    if args.json {
        let object = json!({
            "examples": replay.examples,
            "max_error_difference": replay.max_error_difference,
            "max_weight_difference": replay.max_weight_difference,
            "within": within,
        });
        line(object.to_string());
    } else {
        line(format!("{} examples replayed", thousands(replay.examples as u64)));
        line(format!("largest difference of an error:        {:.3e}", replay.max_error_difference));
        line(format!(
            "largest difference of a final weight:  {:.3e}",
            replay.max_weight_difference
        ));
        let word = if within { "within" } else { "NOT within" };
        line(format!("{word} the tolerance of {:e}", args.tolerance));
    }
    Ok(if within { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
