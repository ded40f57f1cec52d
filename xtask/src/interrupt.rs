//! Ctrl-C: asked once, the work ends at its next boundary; asked twice, at once.

use std::process::{ExitCode, exit};
use std::sync::atomic::{AtomicBool, Ordering};

/// What a shell calls a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

static ASKED: AtomicBool = AtomicBool::new(false);

/// From now on the first Ctrl-C is only noted. Relaxed: the flag carries no data.
pub fn watch() -> anyhow::Result<()> {
    ctrlc::set_handler(|| {
        if ASKED.swap(true, Ordering::Relaxed) {
            exit(INTERRUPTED.into());
        }
    })?;
    Ok(())
}

/// Has Ctrl-C been pressed?
pub fn asked() -> bool {
    ASKED.load(Ordering::Relaxed)
}

/// The exit code that says so.
pub fn exit_code() -> ExitCode {
    INTERRUPTED.into()
}
