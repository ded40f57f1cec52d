//! The commands as their users meet them: real processes in folders of their own, and
//! what they print, write and exit with. The arithmetic is tested in the crates.

mod add;
#[cfg(unix)]
mod bench;
mod certify;
mod crash;
mod lab;
mod machine;
#[cfg(unix)]
mod names;
#[cfg(unix)]
mod numbers;
mod options;
mod outputs;
mod page;
mod replay;
mod series;
#[cfg(unix)]
mod signals;
mod survive;
mod text;
mod train;

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// The files of a finished run, in the order of their names.
const RUN_FILES: [&str; 5] =
    ["config.toml", "curve.svg", "metrics.jsonl", "model.safetensors", "snapshots.safetensors"];

/// How a process ended.
struct Outcome {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Outcome {
    /// The standard output of a success.
    #[track_caller]
    fn success(self) -> String {
        assert_eq!(self.code, Some(0), "{}{}", self.stdout, self.stderr);
        assert_eq!(self.stderr, "");
        self.stdout
    }

    /// The object in the last line of a success.
    #[track_caller]
    fn json(self) -> Value {
        json_line(&self.success())
    }

    /// Exit code `code`, nothing on standard output, and an error that holds each of `texts`.
    #[track_caller]
    fn refused(self, code: i32, texts: &[&str]) {
        let stderr = &self.stderr;
        assert_eq!(self.code, Some(code), "{}{stderr}", self.stdout);
        assert_eq!(self.stdout, "");
        assert!(stderr.starts_with("error: "), "{stderr}");
        for text in texts {
            assert!(stderr.contains(text), "{text:?} is not in: {stderr}");
        }
    }
}

/// `cargo xtask` with `arguments`, started in `folder`.
fn command(folder: &TempDir, arguments: &[impl AsRef<OsStr>]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.current_dir(folder.path()).args(arguments).stdin(Stdio::null());
    command
}

/// Runs `cargo xtask` with `arguments` in `folder`.
fn xtask(folder: &TempDir, arguments: &[impl AsRef<OsStr>]) -> Outcome {
    let Output { status, stdout, stderr } = command(folder, arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Outcome { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
}

/// [`xtask`], with the arguments in one line, parted by spaces.
fn xtask_line(folder: &TempDir, arguments: &str) -> Outcome {
    xtask(folder, &arguments.split_whitespace().collect::<Vec<_>>())
}

fn temporary() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// A temporary folder with the lab's run in `run`.
fn trained() -> TempDir {
    let folder = temporary();
    assert_eq!(xtask_line(&folder, "train --quiet --out run").success(), "");
    folder
}

#[track_caller]
fn json_line(stdout: &str) -> Value {
    serde_json::from_str(stdout.lines().last().unwrap()).unwrap()
}

/// `object` has the fields `keys`, in any order, and no others.
#[track_caller]
fn assert_keys(object: &Value, keys: &[&str]) {
    let found: BTreeSet<&str> = object.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(found, keys.iter().copied().collect());
}

/// The names of all that is in `folder`, sorted.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The bytes of every file in `folder`, by name.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let read = |name: String| (name.clone(), fs::read(folder.join(name)).unwrap());
    names(folder).into_iter().map(read).collect()
}

#[test]
fn a_command_that_there_is_not_is_refused() {
    xtask_line(&temporary(), "tarin").refused(2, &["'tarin'", "'train'"]);
}

#[test]
fn help_names_every_command() {
    let help = xtask_line(&temporary(), "help").success();
    for name in [
        "train", "forecast", "add", "page", "certify", "replay", "plot", "bench", "race", "fuzz",
        "ci", "cluster",
    ] {
        assert!(help.lines().any(|line| line.trim_start().starts_with(name)), "{help}");
    }
}
