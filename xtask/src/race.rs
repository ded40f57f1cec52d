//! `cargo xtask race`: is what the workers share sound?
//!
//! Two programs look for different faults. Loom runs a small model in every interleaving and
//! lets each relaxed load return every value that the memory model allows, on whatever
//! machine. ThreadSanitizer watches real trainings for accesses that nothing orders; it needs
//! the sources of the standard library, for the toolchain that builds us or for a nightly one.
//! Without them, valgrind's DRD watches the same threads, but it takes every relaxed access
//! for a plain one: those of `kernels::relaxed` are meant, and only what else is shared is
//! looked at. Either has to find a race that was planted first.

use crate::children;
use crate::output::line;
use crate::sanitizer::{Sanitizer, TARGET, cargo, check, finds, has_sources};
use anyhow::{Context, bail};
use std::process::{Command, ExitCode, Stdio};

/// Look for data races: loom's models of what threads share, and ThreadSanitizer over trainings
///
/// Says what it ran. ThreadSanitizer needs `rustup component add rust-src`; where it cannot run,
/// valgrind's DRD does, which sees less.
#[derive(clap::Args)]
pub struct Args {
    /// Only loom's models
    #[arg(long)]
    loom: bool,
}

/// Runs the command.
///
/// # Errors
/// If a check fails or cannot be started.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    check(
        "loom: every interleaving of pushes and a snapshot, and of threads that exchange rows",
        cargo()
            .args(["test", "--release", "--package", "kernels", "--package", "train"])
            .args(["--test", "loom"])
            .env("RUSTFLAGS", "-C target-cpu=native --cfg loom")
            .env("CARGO_TARGET_DIR", "target/loom"),
    )?;
    if args.loom {
        line("passed: loom");
        return Ok(ExitCode::SUCCESS);
    }
    let with = if let Some(sanitizer) = Sanitizer::thread() {
        thread_sanitizer(|arguments| sanitizer.test(arguments))?;
        "ThreadSanitizer"
    } else if has_nightly() {
        thread_sanitizer(|arguments: &[&str]| {
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
        })?;
        "ThreadSanitizer"
    } else if works(Command::new("valgrind").arg("--version")) {
        line("no toolchain with rust-src: valgrind's DRD instead, which sees less");
        line("DRD: a planted race");
        let planted = drd(&PLANTED)?;
        if !planted.iter().any(|file| file.ends_with("tests/planted_race.rs")) {
            bail!("DRD does not find the planted race, only these: {planted:?}");
        }
        line("found, as it should be");
        line("DRD: shared parameters");
        let shared = ["--package", "train", "--test", "shared", "--", "--test-threads=1"];
        let found = drd(&[&shared[..], &["lose_nothing", "whole_changes"]].concat())?;
        let (meant, races): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|file| file.ends_with("kernels/src/relaxed.rs"));
        if meant.is_empty() {
            bail!("DRD did not see the shared parameters change");
        }
        if !races.is_empty() {
            bail!("DRD found races in {}", races.join(", "));
        }
        "valgrind's DRD (not ThreadSanitizer)"
    } else {
        bail!(
            "neither ThreadSanitizer nor valgrind is here; loom passed. Install one: \
             `rustup component add rust-src`"
        );
    };
    line(format!("passed: loom and {with}"));
    Ok(ExitCode::SUCCESS)
}

/// Runs ThreadSanitizer, as the `cargo` for some arguments does.
fn thread_sanitizer(cargo: impl Fn(&[&str]) -> Command) -> anyhow::Result<()> {
    finds("ThreadSanitizer", "a planted race", &mut cargo(&PLANTED))?;
    check(
        "ThreadSanitizer: shared parameters and whole trainings",
        &mut cargo(&["--package", "train", "--test", "shared", "--test", "strategies"]),
    )
}

/// Not `$CARGO`, which is one toolchain's.
fn cargo_nightly() -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", "nightly", "cargo"]).env_remove("RUSTC").env_remove("RUSTUP_TOOLCHAIN");
    command
}

/// Is there a nightly toolchain that can build the standard library?
fn has_nightly() -> bool {
    let mut rustc = Command::new("rustup");
    has_sources(rustc.args(["run", "nightly", "rustc"]).env_remove("RUSTUP_TOOLCHAIN"))
}

fn works(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
}

/// The race that a tool has to find.
const PLANTED: [&str; 6] = ["--package", "kernels", "--test", "planted_race", "--", "--ignored"];

/// Runs tests under valgrind's DRD; returns the files of the workspace in which it saw accesses
/// that nothing orders.
fn drd(arguments: &[&str]) -> anyhow::Result<Vec<String>> {
    let runner = "valgrind --tool=drd --quiet --fullpath-after= --check-stack-var=yes";
    let mut tests = cargo();
    tests
        .arg("test")
        .args(arguments)
        // valgrind knows no AVX-512
        .env("RUSTFLAGS", "-C target-cpu=x86-64-v3")
        .env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER", runner)
        .env("CARGO_TARGET_DIR", "target/x86-64-v3");
    let output = children::output(&mut tests, None).context("cannot start cargo")?;
    if !output.status.is_some_and(|status| status.success()) {
        bail!("the tests failed under DRD:\n{}{}", output.stdout, output.stderr);
    }
    Ok(conflicts(&output.stderr))
}

/// Where DRD saw conflicts, if that is in the workspace: the innermost file that is not the
/// core library's, whose functions are inlined everywhere. DRD knows neither atomics nor the
/// standard library's locks, which are made of them, and so reports these as well.
fn conflicts(report: &str) -> Vec<String> {
    let mut files = Vec::new();
    let mut lines = report.lines();
    while let Some(line) = lines.next() {
        if !line.contains("Conflicting ") {
            continue;
        }
        let frames =
            lines.by_ref().take_while(|line| line.contains(" at ") || line.contains(" by "));
        let frames: Vec<&str> = frames.collect();
        let file = |frame: &&str| {
            let (_, place) = frame.rsplit_once('(')?;
            let (file, _) = place.rsplit_once(':')?; // not "in" a library without sources
            (!file.contains("/library/core/")).then(|| file.to_owned())
        };
        if let Some(file) = frames.iter().find_map(file).filter(|file| file.contains("crates/")) {
            files.push(file);
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::conflicts;

    #[test]
    fn conflicts_are_told_from_those_of_the_standard_library() {
        let report = "\
==7== Conflicting store by thread 4 at 0x050884b8 size 8
==7==    at 0x13A14A: write_volatile<u64> (/rustc/59/library/core/src/ptr/mod.rs:2178)
==7==    by 0x13A14A: {closure#0} (/home/crates/kernels/tests/planted_race.rs:24)
==7== Allocation context: stack frame
==7== Conflicting load by thread 2 at 0x04a89a98 size 8
==7==    at 0x13ED9C: drop<()> (/rustc/59/library/std/src/thread/lifecycle.rs:197)
==7==    by 0x13A295: {closure#0} (/home/crates/kernels/tests/planted_race.rs:26)
==7== 
==7== Conflicting load by thread 1 at 0x04a945d0 size 8
==7==    at 0x4870955: memmove (in /usr/libexec/valgrind/vgpreload_drd-amd64-linux.so)
==7==    by 0x13A295: exchange (crates/kernels/src/relaxed.rs:80)
";
        assert_eq!(
            conflicts(report),
            ["/home/crates/kernels/tests/planted_race.rs", "crates/kernels/src/relaxed.rs"]
        );
    }
}
