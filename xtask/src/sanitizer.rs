//! Tests in a build with one of the compiler's sanitizers, by the toolchain that builds us.
//!
//! A stable toolchain ships the runtimes, and takes the unstable options where it is told to.

use crate::children;
use crate::output::line;
use anyhow::{Context, bail};
use std::process::Command;

/// The one system that is looked at.
pub const TARGET: &str = "x86_64-unknown-linux-gnu";

/// A sanitizer that this toolchain has.
pub struct Sanitizer {
    /// As the compiler names it.
    name: &'static str,
    /// What else cargo is told,
    arguments: &'static [&'static str],
    /// and the compiler.
    flags: &'static str,
    /// Settings of its runtime: the variable and its value.
    options: (&'static str, &'static str),
}

impl Sanitizer {
    /// AddressSanitizer, if it is here.
    pub fn address() -> Option<Self> {
        let sanitizer = Self {
            name: "address",
            arguments: &[],
            flags: "",
            // Leaks are no accesses; sizes that no memory holds are asked for in tests.
            options: ("ASAN_OPTIONS", "detect_leaks=0:allocator_may_return_null=1"),
        };
        has_runtime("asan").then_some(sanitizer)
    }

    /// ThreadSanitizer, if it is here with the sources of the standard library: of one that it
    /// does not see into, it takes the locks for nothing, and all that they order for races.
    pub fn thread() -> Option<Self> {
        let sanitizer = Self {
            name: "thread",
            arguments: &["-Zbuild-std"],
            // It sees no assembly, so lines are moved as the atomics that they are.
            flags: " --cfg plain_atomics",
            options: ("TSAN_OPTIONS", "halt_on_error=1"),
        };
        let mut rustc = Command::new("rustc");
        (has_runtime("tsan") && has_sources(&mut rustc)).then_some(sanitizer)
    }

    /// `cargo test` with these arguments, in a target folder of its own.
    pub fn test(&self, arguments: &[&str]) -> Command {
        let Self { name, flags, options, .. } = self;
        let mut cargo = cargo();
        cargo
            .args(["test", "--target", TARGET])
            .args(self.arguments)
            .args(arguments)
            .env("RUSTC_BOOTSTRAP", "1")
            .env("RUSTFLAGS", format!("-C target-cpu=native -Zsanitizer={name}{flags}"))
            .env("RUSTDOCFLAGS", format!("-Zsanitizer={name}"))
            .env("CARGO_PROFILE_DEV_OVERFLOW_CHECKS", "false")
            .env("CARGO_TARGET_DIR", format!("target/{name}-sanitizer"))
            .env(options.0, options.1);
        cargo
    }
}

/// Does the toolchain have the runtime of a sanitizer, and is this the system for it?
fn has_runtime(suffix: &str) -> bool {
    if !cfg!(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu")) {
        return false;
    }
    let output =
        Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]).output();
    let Ok(output) = output else { return false };
    let folder = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let Ok(files) = std::fs::read_dir(folder) else { return false };
    files
        .flatten()
        .any(|file| file.file_name().to_string_lossy().ends_with(&format!("_rt.{suffix}.a")))
}

/// Does the toolchain of this `rustc` have the sources of the standard library?
pub fn has_sources(rustc: &mut Command) -> bool {
    rustc.args(["--print", "sysroot"]).output().is_ok_and(|output| {
        let sysroot = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let sources = "lib/rustlib/src/rust/library/std/Cargo.toml";
        output.status.success() && std::path::Path::new(&sysroot).join(sources).exists()
    })
}

/// The cargo that runs us.
pub fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Does the tool `name` find the fault `planted`? It runs as `command`, which then fails.
///
/// # Errors
/// If it does not, or could not be built.
pub fn finds(name: &str, planted: &str, command: &mut Command) -> anyhow::Result<()> {
    line(format!("{name}: {planted}"));
    let build = children::output(command, None).with_context(|| format!("cannot start {name}"))?;
    let is_success = build.status.is_some_and(|status| status.success());
    let text = build.stdout + &build.stderr;
    // Built, begun, and ended by the tool.
    let is_found = text.contains("running 1 test") && text.contains(&format!("{name}: "));
    if is_success || !is_found {
        bail!("{name} does not find {planted}, or could not be built:\n{text}");
    }
    line("found, as it should be");
    Ok(())
}

/// Runs `command`, which prints for itself.
///
/// # Errors
/// If it fails or cannot be started.
pub fn check(name: &str, command: &mut Command) -> anyhow::Result<()> {
    line(name);
    let status = children::status(command).with_context(|| format!("cannot start: {name}"))?;
    if !status.success() {
        bail!("{name}: failed; what it printed stands above");
    }
    Ok(())
}
