//! A training that is killed: whatever the moment, no file under a final name is half written,
//! and what is no finished run is not taken for one.

use crate::{RUN_FILES, command, json_line, names, temporary, trained, xtask_line};
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;
use tempfile::TempDir;

/// Starts `cargo xtask` with `arguments`, and kills it after `delay`.
fn kill_after(folder: &TempDir, arguments: &str, delay: Duration) {
    let arguments: Vec<_> = arguments.split_whitespace().collect();
    let mut child =
        command(folder, &arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    sleep(delay);
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Every file under a final name is whole.
fn assert_whole(run: &Path) {
    let read = |name: &str| fs::read_to_string(run.join(name));
    if let Ok(config) = read("config.toml") {
        assert!(config.starts_with("[task]\n") && config.ends_with("seed = 5\n"), "{config:?}");
    }
    if let Ok(metrics) = read("metrics.jsonl") {
        assert!(metrics.ends_with("}\n"), "{metrics:?}");
        assert!(metrics.lines().all(|line| line.starts_with('{') && line.ends_with('}')));
    }
    if let Ok(curve) = read("curve.svg") {
        assert!(curve.trim_end().ends_with("</svg>"), "{curve:?}");
    }
}

#[test]
fn a_long_training_that_is_killed_leaves_no_final_name() {
    let folder = temporary();
    for (n, milliseconds) in [1, 7, 60, 250].into_iter().enumerate() {
        let out = format!("run{n}");
        let arguments = format!("train --examples 100000000 --quiet --out {out}");
        kill_after(&folder, &arguments, Duration::from_millis(milliseconds));
        let run = folder.path().join(&out);
        if run.exists() {
            let left = names(&run);
            assert!(left.iter().all(|name| name == "metrics.jsonl.unfinished"), "{left:?}");
        }
        let text = format!("there is no finished run in {out}; train one");
        xtask_line(&folder, &format!("add 53 74 --run {out}")).refused(1, &[&text]);
    }
}

#[test]
fn a_short_training_killed_at_any_moment_is_finished_or_no_run() {
    let folder = temporary();
    for n in 0..40 {
        let out = format!("run{n}");
        let arguments = format!("train --examples 2000 --seed 5 --quiet --out {out}");
        // From before the first example to after the last file.
        kill_after(&folder, &arguments, Duration::from_micros(500 * n));
        let run = folder.path().join(&out);
        assert_whole(&run);
        let outcome = xtask_line(&folder, &format!("add 1 2 --run {out} --json"));
        if run.join("model.safetensors").exists() {
            assert!(RUN_FILES.iter().all(|name| run.join(name).exists()), "{:?}", names(&run));
            assert_eq!(json_line(&outcome.stdout)["expected"], "3", "{}", outcome.stderr);
        } else {
            outcome.refused(1, &[&format!("there is no finished run in {out}")]);
        }
    }
}

#[test]
fn a_run_written_over_and_killed_is_the_old_one_the_new_one_or_none() {
    let folder = trained(); // 16 units
    let run = folder.path().join("run");
    for n in 0..30 {
        let hidden = [5, 16][n % 2];
        let arguments =
            format!("train --examples 500 --seed 5 --hidden {hidden} --quiet --out run --force");
        kill_after(&folder, &arguments, Duration::from_micros(500 * n as u64));
        let outcome = xtask_line(&folder, "add 1 2 --run run --json");
        if run.join("model.safetensors").exists() {
            // Weights that do not fit the configuration would be refused.
            assert_eq!(json_line(&outcome.stdout)["expected"], "3", "{}", outcome.stderr);
        } else {
            outcome.refused(1, &["there is no finished run in run"]);
        }
    }
}

#[test]
fn a_killed_run_is_written_over_with_force_and_nothing_is_left_of_it() {
    let folder = temporary();
    let delay = Duration::from_millis(200);
    kill_after(&folder, "train --examples 100000000 --quiet --out run", delay);
    xtask_line(&folder, "train --examples 1 --quiet --out run --force").success();
    assert_eq!(names(&folder.path().join("run")), RUN_FILES);
}
