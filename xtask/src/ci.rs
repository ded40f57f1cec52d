//! `cargo xtask ci`: the checks that a change must pass.

use crate::children;
use crate::output::line;
use anyhow::{Context, bail};
use std::process::{Command, ExitCode};

/// Check the workspace: format, lints, tests, documentation
///
/// Runs cargo fmt --check, cargo clippy with warnings as errors, the README's test command and
/// cargo doc with warnings as errors, and stops at the first that fails.
#[derive(clap::Args)]
pub struct Args {
    /// Leave out the tests, which `.ci/run` calls by themselves
    #[arg(long)]
    skip_tests: bool,
}

const CHECKS: [(&str, &[&str]); 4] = [
    ("format", &["fmt", "--all", "--check"]),
    ("lints", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]),
    (TESTS, &["test", "--workspace"]),
    ("documentation", &["doc", "--workspace", "--no-deps"]),
];
const TESTS: &str = "tests";

/// Runs the command.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    for (name, arguments) in CHECKS {
        if name == TESTS && args.skip_tests {
            continue;
        }
        let command = format!("cargo {}", arguments.join(" "));
        line(format!("{name}: {command}"));
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let status = children::status(
            Command::new(cargo).args(arguments).env("RUSTDOCFLAGS", "-D warnings"),
        )
        .with_context(|| format!("cannot start `{command}`"))?;
        if !status.success() {
            bail!("{name}: `{command}` failed; mend what it printed above");
        }
    }
    line("all checks passed");
    Ok(ExitCode::SUCCESS)
}
