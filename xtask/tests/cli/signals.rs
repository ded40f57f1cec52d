//! Commands that are told to end by a signal, or whose output nobody takes: what was computed
//! is kept or said, and the exit code says what happened.

use crate::{RUN_FILES, command, json_line, names, temporary, trained, xtask_line};
use serde_json::Value;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// More examples than any test waits for.
const LONG: &str = "train --examples 2000000000 --strategy serial";

fn start(folder: &TempDir, arguments: &str) -> Child {
    let arguments: Vec<_> = arguments.split_whitespace().collect();
    let mut command = command(folder, &arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

pub fn signal(child: &Child, name: &str) {
    let id = child.id().to_string();
    assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
}

/// Waits until `is_there`.
#[track_caller]
pub fn wait_for(is_there: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_there() {
        assert!(start.elapsed() < Duration::from_secs(60), "it never came");
        sleep(Duration::from_millis(5));
    }
}

/// Waits until the run in `run` has begun: then signals are watched.
#[track_caller]
fn wait_for_run(folder: &TempDir, run: &str) {
    wait_for(|| folder.path().join(run).join("metrics.jsonl.unfinished").exists());
}

/// Waits until `child` watches for signals, where that can be seen.
#[track_caller]
fn wait_for_watch(child: &Child) {
    if !cfg!(target_os = "linux") {
        sleep(Duration::from_secs(1));
        return;
    }
    wait_for(|| {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
        // SIGTERM is 15, and 1 is the lowest bit.
        u64::from_str_radix(mask.trim(), 16).unwrap() >> 14 & 1 == 1
    });
}

fn texts(output: Output) -> (Option<i32>, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn each_signal_that_asks_a_training_to_end_leaves_a_checkpoint_and_its_code() {
    let folder = temporary();
    for (name, code) in [("-INT", 130), ("-TERM", 143), ("-HUP", 129)] {
        for (n, options) in
            ["", "--certifiable", "--strategy averaging --threads 2"].into_iter().enumerate()
        {
            let run = format!("run{code}-{n}");
            let arguments = format!("train --examples 2000000000 {options} --quiet --out {run}");
            let child = start(&folder, &arguments);
            wait_for_run(&folder, &run);
            signal(&child, name);
            let (found, _, stderr) = texts(child.wait_with_output().unwrap());
            assert_eq!(found, Some(code), "{name} {options}: {stderr}");
            assert!(stderr.starts_with("stopped after "), "{stderr}");
            let left = names(&folder.path().join(run));
            let expected = ["checkpoint", "metrics.jsonl.unfinished", "snapshots.unfinished"];
            assert_eq!(left, expected, "{name} {options}");
        }
    }
}

#[test]
fn a_signal_that_comes_twice_at_once_counts_once() {
    let folder = temporary();
    for n in 0..20 {
        let child = start(&folder, &format!("{LONG} --quiet --out run{n}"));
        wait_for_run(&folder, &format!("run{n}"));
        sleep(Duration::from_millis(n));
        let id = child.id().to_string();
        let twice = format!("kill -INT {id}; kill -{} {id}", ["INT", "TERM"][n as usize % 2]);
        Command::new("sh").args(["-c", &twice]).status().unwrap();
        let (code, _, stderr) = texts(child.wait_with_output().unwrap());
        // Of two signals that are pending at once, either may be seen first.
        let codes = if n % 2 == 0 { [130, 130] } else { [130, 143] };
        assert!(code.is_some_and(|code| codes.contains(&code)), "{code:?} {stderr}");
        assert!(folder.path().join(format!("run{n}/checkpoint")).exists(), "{n}: {stderr}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn nohup_keeps_a_training_from_ending_with_its_terminal() {
    let folder = temporary();
    let child = Command::new("nohup")
        .arg(env!("CARGO_BIN_EXE_xtask"))
        .args("train --examples 2000000000 --quiet --out run".split(' '))
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for_run(&folder, "run");
    signal(&child, "-HUP");
    sleep(Duration::from_millis(300));
    signal(&child, "-TERM");
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(143));
}

#[test]
fn seeds_that_ended_are_said_when_the_others_are_stopped_or_one_diverges() {
    let folder = temporary();
    let child = start(&folder, "train --examples 200000 --seeds 0..100000 --json");
    sleep(Duration::from_millis(1_500));
    signal(&child, "-TERM");
    let (code, stdout, stderr) = texts(child.wait_with_output().unwrap());
    assert_eq!(code, Some(143), "{stderr}");
    let json = json_line(&stdout);
    let rows = json["rows"].as_array().unwrap();
    assert_eq!((&json["stopped"], &json["seeds"]), (&true.into(), &100_000.into()));
    let said = format!("stopped when {} of 100,000 seeds had ended", rows.len());
    assert!(stderr.contains(&said), "{stderr}");
    assert!(rows.iter().all(|row| row["loss"].is_f64()), "{json}");
    assert_eq!(stdout.lines().count(), rows.len() + if rows.is_empty() { 2 } else { 4 });

    let diverges = "train --lr 3.4e38 --hidden 64 --bits 64 --examples 500 --seeds 0..4 --json";
    let outcome = xtask_line(&folder, diverges);
    let json = json_line(&outcome.stdout);
    assert_eq!(outcome.code, Some(1), "{}", outcome.stderr);
    assert!(json["error"].as_str().unwrap().contains("diverged"), "{json}");
    assert!(json["seed"].is_u64() && json["diverged"]["examples"] == 500, "{json}");
    assert!(outcome.stderr.contains("typical"), "{}", outcome.stderr);
}

#[test]
fn a_search_that_is_stopped_says_so() {
    let folder = temporary();
    // Neither proof nor counterexample is near at this size and effort: a minute is not enough.
    xtask_line(&folder, "train --examples 40000 --hidden 24 --quiet --out run").success();
    let child = start(&folder, "certify --run run --effort 18446744073709551615 --json");
    wait_for_watch(&child);
    signal(&child, "-TERM");
    let (code, stdout, stderr) = texts(child.wait_with_output().unwrap());
    assert_eq!(code, Some(143), "{stdout}{stderr}");
    assert_eq!(json_line(&stdout)["outcome"], "stopped");
    assert!(stderr.starts_with("stopped after ") && stderr.contains("neither"), "{stderr}");
}

#[test]
fn a_study_that_is_stopped_keeps_its_trials_says_their_number_and_goes_on() {
    let folder = temporary();
    let study = "certify --study --hidden 2 --recipe plain --trials t.jsonl --picture p.svg";
    let child = start(&folder, &format!("{study} --seeds 0..100000 --json"));
    let lines =
        || fs::read_to_string(folder.path().join("t.jsonl")).unwrap_or_default().lines().count();
    wait_for(|| lines() >= 3);
    signal(&child, "-INT");
    let (code, stdout, stderr) = texts(child.wait_with_output().unwrap());
    assert_eq!(code, Some(130), "{stderr}");
    let ended = lines();
    let said = format!("stopped: {ended} of 400,000 trials are in t.jsonl; the same command");
    assert!(stderr.contains(&said), "{stderr}");
    let json = json_line(&stdout);
    assert_eq!(json["stopped"], true, "{json}");
    let trials = |row: &Value| row["trials"].as_u64().unwrap();
    let counted: u64 = json["rows"].as_array().unwrap().iter().map(trials).sum();
    assert_eq!(counted, ended as u64);
    assert_eq!(names(folder.path()), ["t.jsonl"], "a picture of a part");
}

/// Runs `arguments` with a standard output that cannot be written.
fn into_full(folder: &TempDir, arguments: &str) -> (Option<i32>, String) {
    let arguments: Vec<_> = arguments.split_whitespace().collect();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = command(folder, &arguments).stdout(full).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

/// Runs `arguments` with a standard output whose reader has gone, after `lines` lines.
fn into_closed(folder: &TempDir, arguments: &str, lines: usize) -> (ExitStatus, String) {
    let mut child = start(folder, arguments);
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    for _ in 0..lines {
        stdout.read_line(&mut String::new()).unwrap();
    }
    drop(stdout);
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    (child.wait().unwrap(), stderr)
}

#[cfg(target_os = "linux")]
#[test]
fn a_closed_or_full_standard_output_ends_no_command() {
    let folder = trained();
    for lines in [0, 1, 3] {
        let run = format!("closed{lines}");
        let train = format!("train --examples 100000 --out {run}");
        let (status, stderr) = into_closed(&folder, &train, lines);
        assert_eq!((status.code(), status.signal(), stderr.as_str()), (Some(0), None, ""));
        assert_eq!(names(&folder.path().join(run)), RUN_FILES);
    }
    let (code, stderr) = into_full(&folder, "train --examples 100000 --out full --json");
    assert_eq!(code, Some(1), "{stderr}");
    let said = "error: cannot write to standard output: No space left on device";
    assert!(stderr.starts_with(said) && stderr.lines().count() == 1, "{stderr}");
    assert_eq!(names(&folder.path().join("full")), RUN_FILES);

    let trace =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/train/tests/fixtures/lab-seed-0.json");
    for (arguments, made) in [
        ("train --seeds 0..3", None),
        ("add 1 2 --run run", None),
        ("add 1 2 --run run --json", None),
        ("plot run --out plot.svg", Some("plot.svg")),
        (&format!("replay {trace}"), None),
        (
            "certify --study --hidden 2 --biases with --recipe plain --seeds 0..2",
            Some("certify-study.svg"),
        ),
        ("--help", None),
        ("train --help", None),
    ] {
        let (code, stderr) = into_full(&folder, arguments);
        assert_eq!(code, Some(1), "{arguments}: {stderr}");
        assert!(stderr.contains(said), "{arguments}: {stderr}");
        let (status, stderr) = into_closed(&folder, arguments, 0);
        assert_eq!((status.code(), stderr.as_str()), (Some(0), ""), "{arguments}");
        assert!(made.is_none_or(|made| folder.path().join(made).exists()), "{arguments}");
    }
    // A code that says more stays.
    let (status, _) = into_closed(&folder, "add 1 2 --run none", 0);
    assert_eq!(status.code(), Some(1));
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_that_may_not_grow_ends_a_training_with_a_checkpoint() {
    let folder = temporary();
    let arguments = "train --hidden 4 --examples 100000 --quiet --out run";
    let output = Command::new("sh")
        // 8 KiB: more than a checkpoint of so small a network, less than 200 lines of metrics
        .args(["-c", "ulimit -f 16; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_xtask")])
        .args(arguments.split(' '))
        .current_dir(folder.path())
        .output()
        .unwrap();
    let (code, _, stderr) = texts(output);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.starts_with("error: cannot write run/metrics.jsonl.unfinished: "), "{stderr}");
    assert_eq!(xtask_line(&folder, "train --resume run --quiet").success(), "");
    assert_eq!(names(&folder.path().join("run")), RUN_FILES);
    let lines = fs::read_to_string(folder.path().join("run/metrics.jsonl")).unwrap();
    // The one that could not be written is missing.
    assert_eq!(lines.lines().count(), 199);
}

#[cfg(target_os = "linux")]
#[test]
fn a_standard_error_that_cannot_be_written_ends_no_command() {
    let folder = temporary();
    let full = || File::options().write(true).open("/dev/full").unwrap();
    let arguments: Vec<_> = "train --examples 2000000000 --out run".split(' ').collect();
    let child = command(&folder, &arguments).stdout(full()).stderr(full()).spawn().unwrap();
    wait_for_run(&folder, "run");
    signal(&child, "-HUP");
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(129));
    assert!(folder.path().join("run/checkpoint").exists());
    let output = command(&folder, &["plot", "none"]).stderr(full()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));

    // Where it would say which runs it takes.
    fs::create_dir_all(folder.path().join("below")).unwrap();
    fs::create_dir(folder.path().join(".git")).unwrap();
    xtask_line(&folder, "train --quiet --out runs/0001").success();
    let add = command(&folder, &["add", "1", "2"])
        .current_dir(folder.path().join("below"))
        .stderr(full())
        .output()
        .unwrap();
    assert_eq!((add.status.code(), add.stdout.is_empty()), (Some(0), false));
}
