//! `carry`: starts the build of the program that is best for this CPU.
//!
//! `cargo xtask dist` puts it beside the builds. It is built for every x86-64 itself, and does
//! nothing else: no choice is left to the program, whose loops take some nanoseconds.

#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let build = match beside(level()) {
        Ok(build) => build,
        Err(error) => return failed(&format!("cannot find its own folder: {error}")),
    };
    let mut command = Command::new(&build);
    command.args(std::env::args_os().skip(1)).env("CARRY_PROGRAM", "carry");
    let error = replace_by(&mut command);
    failed(&format!(
        "cannot start {}: {error}; the folder that `cargo xtask dist` made must be copied whole",
        build.display()
    ))
}

/// The highest level of x86-64 that this CPU has, and that its operating system lets it use: see
/// the x86-64 psABI, section 3.1.1.
fn level() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        let all = |features: &[bool]| features.iter().all(|&has| has);
        let v3 = all(&[
            is_x86_feature_detected!("avx"),
            is_x86_feature_detected!("avx2"),
            is_x86_feature_detected!("bmi1"),
            is_x86_feature_detected!("bmi2"),
            is_x86_feature_detected!("f16c"),
            is_x86_feature_detected!("fma"),
            is_x86_feature_detected!("lzcnt"),
            is_x86_feature_detected!("movbe"),
            is_x86_feature_detected!("popcnt"),
        ]);
        let v4 = all(&[
            is_x86_feature_detected!("avx512f"),
            is_x86_feature_detected!("avx512bw"),
            is_x86_feature_detected!("avx512cd"),
            is_x86_feature_detected!("avx512dq"),
            is_x86_feature_detected!("avx512vl"),
        ]);
        if v3 && v4 {
            return "x86-64-v4";
        }
        if v3 {
            return "x86-64-v3";
        }
    }
    "x86-64"
}

/// The build for `level`, which lies in a folder beside this program, wherever a link to it lies.
fn beside(level: &str) -> std::io::Result<PathBuf> {
    let own = std::env::current_exe()?.canonicalize()?;
    let folder = own.parent().ok_or_else(|| std::io::Error::other("it has none"))?;
    Ok(folder.join("builds").join(format!("carry-{level}{}", std::env::consts::EXE_SUFFIX)))
}

/// Runs `command` in the place of this program, signals and all; returns only where that fails.
#[cfg(unix)]
fn replace_by(command: &mut Command) -> std::io::Error {
    std::os::unix::process::CommandExt::exec(command)
}

#[cfg(not(unix))]
fn replace_by(command: &mut Command) -> std::io::Error {
    match command.status() {
        Ok(status) => std::process::exit(status.code().unwrap_or(1)),
        Err(error) => error,
    }
}

fn failed(reason: &str) -> ExitCode {
    eprintln!("error: carry {reason}");
    ExitCode::FAILURE
}
