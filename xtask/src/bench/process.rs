//! Programs that are run for their output, and what is reported when they fail.

use std::fs::File;
use std::io::{Read, Seek};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// Runs `command` to its end and returns its stdout; `what` names it in errors.
///
/// # Errors
/// If it cannot start, runs longer than `limit` (it is then killed), or fails;
/// the last lines of its stderr (of its stdout, if that is empty) are in the error.
pub fn finish(command: &mut Command, what: &str, limit: Duration) -> Result<String> {
    // Files and not pipes: these need not be read while the child runs.
    let mut stdout = tempfile::tempfile()?;
    let mut stderr = tempfile::tempfile()?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(stdout.try_clone()?)
        .stderr(stderr.try_clone()?)
        .spawn()
        .with_context(|| format!("cannot start {what} ({})", command.get_program().display()))?;
    let deadline = Instant::now() + limit;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            bail!("{what} did not end within {} s", limit.as_secs());
        }
        thread::sleep(Duration::from_millis(20));
    };
    let output = read_whole(&mut stdout)?;
    if !status.success() {
        let errors = read_whole(&mut stderr)?;
        let reason = if errors.is_empty() { output } else { errors };
        bail!("{what} failed ({status}){}", tail(&reason));
    }
    Ok(output)
}

fn read_whole(file: &mut File) -> Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
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
