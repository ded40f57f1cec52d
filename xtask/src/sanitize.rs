//! `cargo xtask sanitize`: does any test read or write out of bounds?
//!
//! AddressSanitizer watches the kernels' and the model's tests in a build for this CPU, with the
//! AVX-512 that valgrind does not know, and without overflow checks, so that a size that wraps
//! gets as far as it would in a release build. It first has to find a read that was planted.
//! The stable toolchain ships its runtime; Linux on x86-64 alone is looked at.

use crate::output::line;
use crate::sanitizer::{Sanitizer, check, finds};
use std::process::ExitCode;

/// Look for accesses out of bounds: AddressSanitizer over the kernels' and the model's tests
///
/// Where it cannot run, it says so, and that is no failure.
#[derive(clap::Args)]
pub struct Args {}

/// The read that it has to find.
const PLANTED: [&str; 6] = ["--package", "kernels", "--test", "planted_overrun", "--", "--ignored"];

/// The tests that reach `unsafe`: not those that repeat others in thousands of cases, that
/// measure precision alone, or that read files.
const TESTS: [&[&str]; 2] = [
    &[
        "--package",
        "kernels",
        "--lib",
        "--test",
        "activation",
        "--test",
        "cell",
        "--test",
        "doors",
        "--test",
        "loss",
        "--test",
        "optimizer",
        "--test",
        "panels",
        "--test",
        "property",
        "--test",
        "recurrent",
        "--test",
        "relaxed",
        "--test",
        "vector",
    ],
    &[
        "--package",
        "model",
        "--lib",
        "--test",
        "doors",
        "--test",
        "flat",
        "--test",
        "loss",
        "--test",
        "network",
        "--test",
        "padding",
        "--test",
        "sequences",
        "--test",
        "stream",
        "--test",
        "symbols",
    ],
];

/// Runs the command.
///
/// # Errors
/// If a test fails, or the planted read is not found.
pub fn run(_: Args) -> anyhow::Result<ExitCode> {
    let Some(sanitizer) = Sanitizer::address() else {
        line("skipped: this toolchain or system has no AddressSanitizer");
        return Ok(ExitCode::SUCCESS);
    };
    finds("AddressSanitizer", "a planted read out of bounds", &mut sanitizer.test(&PLANTED))?;
    for tests in TESTS {
        check(&format!("AddressSanitizer: tests of {}", tests[1]), &mut sanitizer.test(tests))?;
    }
    line("passed: AddressSanitizer");
    Ok(ExitCode::SUCCESS)
}
