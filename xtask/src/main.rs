//! `cargo xtask`: the commands of Carry, one file each. Each parses, calls, shows.

#![forbid(unsafe_code)]

mod add;
mod bench;
mod certify;
mod chart;
mod ci;
mod interrupt;
mod output;
mod plot;
mod race;
mod replay;
mod sanitize;
mod sanitizer;
mod train;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Recurrent neural networks on the CPU, trained as fast as the machine allows.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Train(train::Args),
    Add(add::Args),
    Certify(certify::Args),
    Replay(replay::Args),
    Plot(plot::Args),
    Bench(bench::Args),
    Race(race::Args),
    Sanitize(sanitize::Args),
    Ci(ci::Args),
}

fn main() -> ExitCode {
    // First of all, and before any code that the compiler may have vectorised.
    kernels::cpu::refuse_if_lacking();
    start()
}

/// Exit codes: 0 for success, 1 for failure, 2 for wrong usage.
#[inline(never)]
fn start() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Train(args) => train::run(args),
        Command::Add(args) => add::run(args),
        Command::Certify(args) => certify::run(args),
        Command::Replay(args) => replay::run(args),
        Command::Plot(args) => plot::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Race(args) => race::run(args),
        Command::Sanitize(args) => sanitize::run(args),
        Command::Ci(args) => ci::run(args),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::from(if is_usage(&error) { 2 } else { 1 })
    })
}

/// Options that do not go together, in words.
#[derive(Debug)]
struct Usage(String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// Is it the command line that must change?
fn is_usage(error: &anyhow::Error) -> bool {
    use ::train::Error::{
        Batch, Bits, Finished, LearningRate, Model, NoCheckpoint, NotEmpty, Optimizer, PushEvery,
        Threads,
    };
    let is_named = matches!(
        error.downcast_ref(),
        Some(
            Batch(_)
                | Bits(_)
                | LearningRate(_)
                | NotEmpty(_)
                | NoCheckpoint(_)
                | Finished(_)
                | Optimizer { .. }
                | PushEvery
                | Threads(_)
                | Model(model::Error::Zero(_) | model::Error::TooLarge { .. })
        )
    );
    is_named || error.is::<Usage>()
}
