//! `cargo xtask bench`: the measurements that compare.

mod peers;

use std::process::ExitCode;

/// Measure beside others
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    study: Study,
}

#[derive(clap::Subcommand)]
enum Study {
    Peers(peers::Args),
}

/// Runs the command.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.study {
        Study::Peers(args) => peers::run(args)?,
    }
    Ok(ExitCode::SUCCESS)
}
