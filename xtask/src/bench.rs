//! `cargo xtask bench`: benchmarks that compare.

mod baseline;
mod criterion;
mod floor;
mod group;
mod hogwild;
mod machine;
mod moments;
mod peers;
mod pictures;
mod process;
mod report;
mod roofline;
mod study;
pub mod workspace;

use std::process::ExitCode;

/// Measure Carry against its rivals and the limits of this machine, and report
///
/// Runs the Criterion groups, each with its rivals, between two measurements of the machine's peak
/// rate of multiply-adds and its load bandwidths, and writes to target/bench-report: report.md and
/// report.json, roofline.svg, and (with `matmul`) matmul.svg. Nothing is judged: the exit code is 0
/// unless a benchmark fails. Each sample is taken beside a loop of known work, and thrown away where
/// that was slow. `--floor` tells what bounds every kernel, `bench peers` compares whole training
/// runs with Python's libraries, `bench hogwild` the strategies of training.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(flatten)]
    study: study::Args,

    #[command(subcommand)]
    other: Option<Other>,
}

#[derive(clap::Subcommand)]
enum Other {
    Peers(peers::Args),
    Hogwild(hogwild::Args),
}

/// Runs the command.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.other {
        None => study::run(args.study)?,
        Some(Other::Peers(args)) => peers::run(args)?,
        Some(Other::Hogwild(args)) => hogwild::run(args)?,
    }
    Ok(ExitCode::SUCCESS)
}
