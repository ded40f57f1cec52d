//! Programs that are run for their output, and what is reported when they fail.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::children::{self, Output};

/// Runs `command` to its end and returns its stdout; `what` names it in errors.
///
/// # Errors
/// If it cannot start, runs longer than `limit` (it is then ended), or fails, or if we are asked to
/// end;
/// the last lines of its stderr (of its stdout, if that is empty) are in the error.
pub fn finish(command: &mut Command, what: &str, limit: Duration) -> Result<String> {
    let Output { status, stdout, stderr } = children::output(command, Some(limit))
        .with_context(|| format!("cannot start {what} ({})", command.get_program().display()))?;
    let Some(status) = status else {
        bail!("{what} did not end within {} s", limit.as_secs());
    };
    if !status.success() {
        let reason = if stderr.is_empty() { stdout } else { stderr };
        bail!("{what} failed ({status}){}", tail(&reason));
    }
    Ok(stdout)
}

/// The last lines of `text`, each indented on a line of its own.
pub fn tail(text: &str) -> String {
    const LINES: usize = 8;
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(LINES)..].iter().map(|line| format!("\n    {line}")).collect()
}

/// Reads the JSON object in the last line of a program's output.
pub fn last_line<'a, T: Deserialize<'a>>(output: &'a str) -> Result<T> {
    let line = output.trim_end().lines().last().unwrap_or_default();
    serde_json::from_str(line)
        .with_context(|| format!("no result in the last line of output, {line:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_program_is_reported_with_the_end_of_its_stderr() {
        let mut command = Command::new("sh");
        command.args(["-c", "seq 1 100 >&2; echo the reason >&2; exit 3"]);
        let error =
            format!("{:#}", finish(&mut command, "the peer", Duration::from_secs(60)).unwrap_err());
        assert!(error.starts_with("the peer failed (exit status: 3)\n    94\n"), "{error}");
        assert!(error.ends_with("\n    100\n    the reason"), "{error}");
    }

    #[test]
    fn a_program_that_does_not_end_is_killed() {
        let mut command = Command::new("sleep");
        let error = finish(command.arg("1000"), "the peer", Duration::ZERO).unwrap_err();
        assert_eq!(error.to_string(), "the peer did not end within 0 s");
    }

    #[test]
    fn a_program_that_is_missing_is_named() {
        let mut command = Command::new("no-such-program-here");
        let error = finish(&mut command, "the peer", Duration::ZERO).unwrap_err();
        assert_eq!(error.to_string(), "cannot start the peer (no-such-program-here)");
    }

    #[test]
    fn the_result_is_the_last_line() {
        let line: serde_json::Value = last_line("some warning\n{\"version\": \"1\"}\n").unwrap();
        assert_eq!(line["version"], "1");
        let error = last_line::<serde_json::Value>("{}\nnot json").unwrap_err();
        assert!(error.to_string().contains("\"not json\""), "{error}");
        assert!(last_line::<serde_json::Value>("").is_err());
    }
}
