//! `cargo xtask fuzz`: the readers of files against bytes that mean harm.

use crate::children;
use crate::numbers::whole;
use anyhow::{Context, bail};
use std::process::{Command, ExitCode};

/// Try the readers of files with changed and random bytes: none may panic
///
/// Runs the tests of xtask/tests/fuzz.rs, which every test run tries for a moment, for longer; each
/// prints how many inputs it was given, also when it is stopped before. An input that a reader panics at is kept and named.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask fuzz                           every reader, a minute each
  cargo xtask fuzz weights --seconds 600")]
pub struct Args {
    /// Only this reader
    #[arg(value_parser = READERS)]
    reader: Option<String>,

    /// How long each reader is tried
    #[arg(long, default_value_t = 60, value_parser = whole::<u64>(1..=86_400),
          allow_negative_numbers = true)]
    seconds: u64,
}

/// The tests of xtask/tests/fuzz.rs.
const READERS: [&str; 8] = [
    "config",
    "weights",
    "snapshots",
    "metrics",
    "traces",
    "certificates",
    "networks_of_certificates",
    "checkpoints",
];

/// Runs the command.
///
/// # Errors
/// If a reader panics.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args(["test", "--quiet", "--release", "--package", "xtask", "--test", "fuzz", "--"])
        .args(["--nocapture", "--test-threads=1"])
        .env("CARRY_FUZZ_SECONDS", args.seconds.to_string());
    if let Some(reader) = &args.reader {
        cargo.args(["--exact", reader]);
    }
    if !children::status(&mut cargo).context("cannot start cargo")?.success() {
        bail!("a reader fell over an input, or the tests could not be built: see above");
    }
    Ok(ExitCode::SUCCESS)
}
