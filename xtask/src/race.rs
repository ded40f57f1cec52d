//! `cargo xtask race`: is what the workers share sound?
//!
//! Two programs look for different faults. Loom runs a small model in every interleaving and
//! lets each relaxed load return every value that the memory model allows, on whatever
//! machine. ThreadSanitizer watches real trainings for accesses that nothing orders; it needs
//! a nightly toolchain with the sources of the standard library. Without one, valgrind's DRD
//! watches the same threads, but it takes every relaxed access for a plain one: those of
//! `Shared` are told to it as intended, and only what else is shared is looked at. Either has
//! to find a race that was planted first.

use crate::output::line;
use anyhow::{Context, bail};
use std::ffi::OsString;
use std::process::{Command, ExitCode, Stdio};

/// Look for data races: loom's model of Hogwild!'s pushes, and ThreadSanitizer over trainings
///
/// Says what it ran. ThreadSanitizer needs `rustup component add rust-src --toolchain nightly`;
/// where it cannot run, valgrind's DRD does, which sees less.
#[derive(clap::Args)]
pub struct Args {
    /// Only loom's model, which needs no nightly toolchain
    #[arg(long)]
    loom: bool,
}

const TARGET: &str = "x86_64-unknown-linux-gnu";
const SUPPRESSIONS: &str = "crates/train/tests/drd.supp";

/// Runs the command.
///
/// # Errors
/// If a check fails or cannot be started.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    check(
        "loom: every interleaving of pushes and a snapshot",
        cargo()
            .args(["test", "--release", "--package", "train", "--test", "loom"])
            .env("RUSTFLAGS", "-C target-cpu=native --cfg loom")
            .env("CARGO_TARGET_DIR", "target/loom"),
    )?;
    if args.loom {
        line("passed: loom");
        return Ok(ExitCode::SUCCESS);
    }
    let with = if has_nightly() {
        let cargo = |arguments: &[&str]| {
            let mut cargo = cargo_nightly();
            cargo
                .args(["test", "-Zbuild-std", "--target", TARGET])
                .args(arguments)
                // It sees no assembly, so lines are moved as the atomics that they are.
                .env("RUSTFLAGS", "-C target-cpu=native -Zsanitizer=thread --cfg plain_atomics")
                .env("RUSTDOCFLAGS", "-Zsanitizer=thread")
                .env("TSAN_OPTIONS", "halt_on_error=1")
                .env("CARGO_TARGET_DIR", "target/thread-sanitizer");
            cargo
        };
        finds("ThreadSanitizer", &mut cargo(&PLANTED))?;
        check(
            "ThreadSanitizer: shared parameters and whole trainings",
            &mut cargo(&["--package", "train", "--test", "shared", "--test", "strategies"]),
        )?;
        "ThreadSanitizer"
    } else if works(Command::new("valgrind").arg("--version")) {
        line("no nightly toolchain with rust-src: valgrind's DRD instead, which sees less");
        let suppressions = std::env::current_dir()?.join(SUPPRESSIONS);
        let mut runner = OsString::from("valgrind --tool=drd --error-exitcode=1 --quiet ");
        runner.push("--suppressions=");
        runner.push(suppressions);
        let cargo = |arguments: &[&str]| {
            let mut cargo = cargo();
            cargo
                .arg("test")
                .args(arguments)
                // valgrind knows no AVX-512
                .env("RUSTFLAGS", "-C target-cpu=x86-64-v3")
                .env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER", &runner)
                .env("CARGO_TARGET_DIR", "target/x86-64-v3");
            cargo
        };
        finds("DRD", &mut cargo(&PLANTED))?;
        let shared = ["--package", "train", "--test", "shared", "--", "--test-threads=1"];
        check(
            "DRD: shared parameters",
            cargo(&shared).args(["lose_nothing", "whole_changes"]),
        )?;
        "valgrind's DRD (not ThreadSanitizer)"
    } else {
        bail!(
            "neither ThreadSanitizer nor valgrind is here; loom passed. Install one: \
             `rustup toolchain install nightly --component rust-src`"
        );
    };
    line(format!("passed: loom and {with}"));
    Ok(ExitCode::SUCCESS)
}

fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Not `$CARGO`, which is one toolchain's.
fn cargo_nightly() -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", "nightly", "cargo"]).env_remove("RUSTC").env_remove("RUSTUP_TOOLCHAIN");
    command
}

/// Is there a nightly toolchain that can build the standard library?
fn has_nightly() -> bool {
    let output = Command::new("rustup")
        .args(["run", "nightly", "rustc", "--print", "sysroot"])
        .env_remove("RUSTUP_TOOLCHAIN")
        .output();
    output.is_ok_and(|output| {
        let sysroot = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let sources = "lib/rustlib/src/rust/library/std/Cargo.toml";
        output.status.success() && std::path::Path::new(&sysroot).join(sources).exists()
    })
}

fn works(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
}

/// The race that a tool has to find.
const PLANTED: [&str; 6] = ["--package", "kernels", "--test", "planted_race", "--", "--ignored"];

/// Does the tool `name` find the planted race? It runs as `command`, which then fails.
fn finds(name: &str, command: &mut Command) -> anyhow::Result<()> {
    line(format!("{name}: a planted race"));
    let build = command.output().with_context(|| format!("cannot start {name}"))?;
    let text = String::from_utf8_lossy(&build.stdout) + String::from_utf8_lossy(&build.stderr);
    // Built, begun, and ended by the tool.
    if build.status.success() || !text.contains("running 1 test") {
        bail!("{name} does not find the planted race, or could not be built:\n{text}");
    }
    line("found, as it should be");
    Ok(())
}

fn check(name: &str, command: &mut Command) -> anyhow::Result<()> {
    line(name);
    let status = command.status().with_context(|| format!("cannot start: {name}"))?;
    if !status.success() {
        bail!("{name}: failed; what it printed stands above");
    }
    Ok(())
}
