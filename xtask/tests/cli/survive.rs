//! Trainings that are killed, stopped, starved of disk, damaged or diverge: nothing is
//! lost, and a resumed one ends in the same bits as one that was never interrupted.

use crate::{Outcome, RUN_FILES, command, contents, json_line, names, temporary, xtask_line};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;
use tempfile::TempDir;

fn start(folder: &TempDir, arguments: &str) -> Child {
    let arguments: Vec<_> = arguments.split_whitespace().collect();
    let mut command = command(folder, &arguments);
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits until the run in `run` has written a checkpoint.
fn wait_for_checkpoint(run: &Path) {
    for _ in 0..2_000 {
        if run.join("checkpoint").exists() {
            return;
        }
        sleep(Duration::from_millis(5));
    }
    panic!("no checkpoint in {}", run.display());
}

fn model(run: &Path) -> Vec<u8> {
    fs::read(run.join("model.safetensors")).unwrap()
}

fn snapshots(run: &Path) -> Vec<u8> {
    fs::read(run.join("snapshots.safetensors")).unwrap()
}

/// Trains with `options` without interruption, and again with `kill -9` at random moments
/// and a resumption after each, `kills` times or more; both must end in the same bits.
fn killed_and_resumed(options: &str, kills: usize) {
    let folder = temporary();
    let path = |name: &str| folder.path().join(name);
    let mut random = Xoshiro256PlusPlus::seed_from_u64(1);
    let (mut done, mut resumed) = (0, 0);
    for seed in 0.. {
        if done >= kills {
            break;
        }
        let train = format!("train --quiet --examples 30000 {options} --seed {seed}");
        xtask_line(&folder, &format!("{train} --out whole{seed}")).success();
        let out = format!("killed{seed}");
        while !path(&out).join("model.safetensors").exists() {
            let arguments = if path(&out).join("checkpoint").exists() {
                resumed += 1;
                format!("train --quiet --checkpoint-every 1000 --resume {out}")
            } else {
                format!("{train} --checkpoint-every 1000 --out {out} --force")
            };
            let mut child = start(&folder, &arguments);
            sleep(Duration::from_micros(random.random_range(0..40_000)));
            child.kill().unwrap();
            let output = child.wait_with_output().unwrap();
            let stderr = String::from_utf8(output.stderr).unwrap();
            assert!(output.status.code().is_none_or(|code| code == 0), "{arguments}: {stderr}");
            done += 1;
        }
        if path(&out).join("checkpoint").exists() {
            // Killed between the last file and the end: it has only to tidy up.
            xtask_line(&folder, &format!("train --quiet --resume {out}")).success();
        }
        assert_eq!(names(&path(&out)), RUN_FILES);
        assert!(model(&path(&out)) == model(&path(&format!("whole{seed}"))), "seed {seed}");
        assert!(snapshots(&path(&out)) == snapshots(&path(&format!("whole{seed}"))), "{seed}");
        let metrics = |name: &str| {
            let text = fs::read_to_string(path(name).join("metrics.jsonl")).unwrap();
            let until_seconds = |line: &str| line.split("\"seconds\"").next().unwrap().to_owned();
            text.lines().map(until_seconds).collect::<Vec<_>>()
        };
        assert_eq!(metrics(&out), metrics(&format!("whole{seed}")));
    }
    assert!(resumed > kills / 4, "{resumed} of {done} kills left a checkpoint");
}

#[test]
fn a_serial_training_killed_at_any_moment_and_resumed_ends_in_the_same_bits() {
    killed_and_resumed("--hidden 24 --strategy serial", 60);
}

#[test]
fn a_synchronous_training_killed_at_any_moment_and_resumed_ends_in_the_same_bits() {
    killed_and_resumed("--hidden 24 --batch 8 --lr 0.8 --strategy synchronous --threads 2", 60);
}

#[test]
fn the_memory_of_an_optimizer_survives_as_well() {
    killed_and_resumed(
        "--hidden 24 --strategy serial --optimizer adamw --schedule cosine --warm-up 500 \
         --clip-norm 1",
        20,
    );
    killed_and_resumed(
        "--hidden 24 --batch 8 --strategy averaging --threads 2 --push-every 16 \
         --optimizer nesterov --lr 0.05 --schedule step --decay-every 4000 --decay 0.5",
        20,
    );
}

#[cfg(unix)]
fn interrupt(child: &Child) {
    let status = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_with_a_checkpoint_that_goes_on_to_the_same_bits() {
    let folder = temporary();
    xtask_line(&folder, "train --quiet --examples 3000000 --strategy serial --out whole").success();
    let child = start(&folder, "train --quiet --examples 3000000 --strategy serial --out run");
    sleep(Duration::from_millis(150));
    interrupt(&child);
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    assert!(stderr.starts_with("stopped after ") && stderr.contains("--resume run"), "{stderr}");
    let run = folder.path().join("run");
    assert_eq!(names(&run), ["checkpoint", "metrics.jsonl.unfinished", "snapshots.unfinished"]);
    xtask_line(&folder, "train --quiet --resume run").success();
    assert!(model(&run) == model(&folder.path().join("whole")));
    assert!(snapshots(&run) == snapshots(&folder.path().join("whole")));
}

#[test]
fn a_resumed_run_says_where_it_goes_on_and_a_finished_one_is_not_resumed() {
    let folder = temporary();
    let mut child = start(
        &folder,
        "train --strategy serial --hidden 128 --examples 1000000 --checkpoint-every 500 --out run",
    );
    wait_for_checkpoint(&folder.path().join("run"));
    xtask_line(&folder, "train --resume run").refused(1, &["another process is training in run"]);
    xtask_line(&folder, "train --out run --force --quiet")
        .refused(1, &["another process is training in run"]);
    child.kill().unwrap();
    child.wait().unwrap();

    xtask_line(&folder, "train --examples 600 --quiet --out done").success();
    xtask_line(&folder, "train --resume done").refused(2, &["the run in done is finished"]);
    xtask_line(&folder, "train --resume nowhere").refused(2, &["no checkpoint in nowhere"]);
    xtask_line(&folder, "train --resume run --lr 0.2").refused(2, &["--resume", "--lr"]);
    for every in ["0", "0s", "-1", "s", "soon", "infs", "NaNs"] {
        xtask_line(&folder, &format!("train --checkpoint-every {every}"))
            .refused(2, &["--checkpoint-every", "30s"]);
    }
}

#[test]
fn a_damaged_checkpoint_is_refused_and_left_as_it_is() {
    let folder = temporary();
    let run = folder.path().join("run");
    let mut child = start(
        &folder,
        "train --strategy serial --hidden 128 --examples 1000000 --checkpoint-every 500 --out run",
    );
    wait_for_checkpoint(&run);
    child.kill().unwrap();
    child.wait().unwrap();
    let checkpoint = run.join("checkpoint");
    let whole = fs::read(&checkpoint).unwrap();
    for (position, text) in
        [(0, "is no checkpoint"), (20, "is damaged"), (whole.len() - 1, "is damaged")]
    {
        let mut changed = whole.clone();
        changed[position] ^= 1;
        fs::write(&checkpoint, changed).unwrap();
        let before = contents(&run);
        xtask_line(&folder, "train --resume run").refused(1, &["run/checkpoint", text]);
        assert!(contents(&run) == before, "a refused resumption changed something");
    }
    fs::write(&checkpoint, whole).unwrap();
    fs::write(run.join("metrics.jsonl.unfinished"), "").unwrap();
    xtask_line(&folder, "train --resume run")
        .refused(1, &["run/metrics.jsonl.unfinished", "does not hold the lines"]);
}

#[test]
fn a_training_that_diverges_says_where_and_how_and_may_go_on_at_half_the_rate() {
    let folder = temporary();
    let train = "train --lr 3.4e38 --hidden 64 --bits 64 --examples 2000 --quiet";
    xtask_line(&folder, &format!("{train} --out run"))
        .refused(1, &["diverged", "after 500 examples", "norm of the gradient", "0.1 is typical"]);
    let output = command(
        &folder,
        &format!("{train} --on-divergence halve-lr --out halved").split(' ').collect::<Vec<_>>(),
    )
    .output()
    .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(stderr.starts_with("diverged after 500 examples; going back to 0"), "{stderr}");
    assert_eq!(names(&folder.path().join("halved")), RUN_FILES);
    let metrics = fs::read_to_string(folder.path().join("halved/metrics.jsonl")).unwrap();
    assert_eq!(metrics.lines().count(), 4);
    // The configuration says the rate that the training ended with.
    let said = stderr.lines().last().unwrap().rsplit(' ').next().unwrap();
    let config = fs::read_to_string(folder.path().join("halved/config.toml")).unwrap();
    let kept = config.lines().find_map(|line| line.strip_prefix("learning_rate = ")).unwrap();
    let [said, kept] = [said, kept].map(|rate| rate.parse::<f32>().unwrap());
    assert!(said == kept && kept < 3.4e38, "{stderr}{config}");
}

#[test]
fn a_divergence_is_told_in_json_and_names_the_weight_decay_where_that_is_the_cause() {
    let folder = temporary();
    for (options, advice) in [
        ("--lr 3.4e38 --hidden 64 --bits 64", "0.1 is typical"),
        ("--lr 1 --weight-decay 1000", "a weight decay of 1000 at a learning rate of 1 multiplies"),
    ] {
        let train = format!("train {options} --examples 2000 --quiet --json --out run --force");
        let outcome = xtask_line(&folder, &train);
        assert_eq!(outcome.code, Some(1), "{}", outcome.stderr);
        assert!(outcome.stderr.contains(advice), "{}", outcome.stderr);
        let json = json_line(&outcome.stdout);
        let error = json["error"].as_str().unwrap();
        assert!(error.contains("diverged") && error.contains(advice), "{json}");
        assert!(json["diverged"]["examples"].is_u64(), "{json}");
        assert_eq!(json["run"], "run");
    }
}

/// The largest distance between two checkpoints is none: as if none were asked for.
#[test]
fn the_largest_numbers_for_checkpoint_every_mean_what_they_say() {
    let folder = temporary();
    let mut child = start(
        &folder,
        "train --quiet --strategy serial --examples 200000 --checkpoint-every 20000 --out run",
    );
    wait_for_checkpoint(&folder.path().join("run"));
    child.kill().unwrap();
    child.wait().unwrap();
    for every in [u64::MAX, u64::MAX - 1] {
        let mut copy = Command::new("cp");
        let copied = copy.args(["-r", "run", "copy"]).current_dir(folder.path()).status();
        assert!(copied.unwrap().success());
        let resume = format!("train --resume copy --quiet --checkpoint-every {every}");
        xtask_line(&folder, &resume).success();
        assert_eq!(names(&folder.path().join("copy")), RUN_FILES);
        fs::remove_dir_all(folder.path().join("copy")).unwrap();
    }
}

/// A shell in which `folder/disk` is a file system of `size`; None where that is forbidden.
#[cfg(target_os = "linux")]
fn on_small_disk(folder: &TempDir, size: &str, script: &str) -> Option<std::process::Output> {
    fs::create_dir(folder.path().join("disk")).unwrap();
    let unshare = |script: &str| {
        Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
            .current_dir(folder.path())
            .env("XTASK", env!("CARGO_BIN_EXE_xtask"))
            .output()
            .ok()
    };
    let mount = format!("mount -t tmpfs -o size={size} none disk");
    unshare(&mount)?.status.success().then(|| unshare(&format!("{mount} && {script}")).unwrap())
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_ends_the_training_and_keeps_the_last_good_checkpoint() {
    let folder = temporary();
    // A checkpoint of 100 units takes 50 kB: the second does not fit beside the first.
    let script = "\"$XTASK\" train --quiet --hidden 100 --examples 3000 --checkpoint-every 1000 \
                  --snapshots 0 --out disk/run; code=$?; cp -r disk/run saved; exit $code";
    let Some(output) = on_small_disk(&folder, "80k", script) else {
        eprintln!("not tested: this system does not let a user mount a file system");
        return;
    };
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.starts_with("error: cannot write disk/run/checkpoint"), "{stderr}");
    assert!(stderr.contains("No space left"), "{stderr}");
    assert_eq!(names(&folder.path().join("saved")), ["checkpoint", "metrics.jsonl.unfinished"]);

    let train = "train --quiet --hidden 100 --examples 3000 --out whole";
    xtask_line(&folder, train).success();
    xtask_line(&folder, "train --quiet --resume saved").success();
    let path = |name: &str| folder.path().join(name);
    assert!(model(&path("saved")) == model(&path("whole")));
}

#[cfg(target_os = "linux")]
#[test]
fn snapshots_that_do_not_fit_on_a_disk_end_the_training_with_a_checkpoint() {
    let folder = temporary();
    // Sixty snapshots of 100 units take 3 MB.
    let script = "\"$XTASK\" train --quiet --hidden 100 --examples 3000 --checkpoint-every 2900 \
                  --out disk/run; code=$?; cp -r disk/run saved; exit $code";
    let Some(output) = on_small_disk(&folder, "300k", script) else {
        eprintln!("not tested: this system does not let a user mount a file system");
        return;
    };
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.starts_with("error: cannot write disk/run/snapshots.unfinished"), "{stderr}");
    assert_eq!(names(&folder.path().join("saved")), ["checkpoint", "metrics.jsonl.unfinished"]);
    let Outcome { code, stderr, .. } = xtask_line(&folder, "train --resume saved");
    assert_eq!(code, Some(0), "{stderr}");
    let said = "warning: cannot read saved/snapshots.unfinished: ";
    assert!(stderr.starts_with(said) && stderr.contains("those from now on are kept"), "{stderr}");
    let train = "train --quiet --hidden 100 --examples 3000 --out whole";
    xtask_line(&folder, train).success();
    let path = |name: &str| folder.path().join(name);
    assert!(model(&path("saved")) == model(&path("whole")));
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let folder = temporary();
    fs::write(folder.path().join("file"), "").unwrap();
    xtask_line(&folder, "train --quiet --out file/run").refused(1, &["file/run"]);
    xtask_line(&folder, "train --quiet --out /proc/run").refused(1, &["/proc/run"]);
}

#[test]
fn several_runs_are_drawn_into_one_picture() {
    let folder = temporary();
    for seed in 0..2 {
        let train = format!("train --quiet --examples 1500 --seed {seed} --out run{seed}");
        xtask_line(&folder, &train).success();
    }
    let stdout = xtask_line(&folder, "plot run0 run1 --out both.svg").success();
    assert_eq!(stdout, "The picture is in both.svg\n");
    let svg = fs::read_to_string(folder.path().join("both.svg")).unwrap();
    assert!(svg.trim_end().ends_with("</svg>"));
    for text in ["run0", "run1", "examples", "seconds of training", "mean loss"] {
        assert!(svg.contains(text), "{text}");
    }
    xtask_line(&folder, "plot").refused(2, &["<RUN>"]);
    xtask_line(&folder, "plot nowhere").refused(1, &["nowhere"]);
    fs::write(folder.path().join("run1/metrics.jsonl"), "{}\n").unwrap();
    xtask_line(&folder, "plot run1").refused(1, &["run1/metrics.jsonl", "line 1"]);
}

/// What `tensorboard` reads back is what `metrics.jsonl` says.
#[test]
fn tensorboard_reads_the_event_file() {
    let folder = temporary();
    xtask_line(&folder, "train --quiet --examples 1500 --out run --tensorboard").success();
    let run = folder.path().join("run");
    assert!(names(&run).iter().any(|name| name.starts_with("events.out.tfevents.")));
    let script = "
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator('run')
events.Reload()
metrics = [json.loads(line) for line in open('run/metrics.jsonl')]
assert sorted(events.Tags()['scalars']) == ['error', 'examples_per_second', 'loss']
for tag in ['loss', 'error']:
    scalars = events.Scalars(tag)
    assert [s.step for s in scalars] == [m['examples'] for m in metrics]
    assert all(abs(s.value - m[tag]) <= 1e-6 * abs(m[tag]) for s, m in zip(scalars, metrics))
assert all(s.value > 0 for s in events.Scalars('examples_per_second'))
";
    let python = std::env::var("CARRY_PYTHON").unwrap_or_else(|_| "python3".into());
    let python =
        |code: &str| Command::new(&python).args(["-c", code]).current_dir(folder.path()).output();
    if !python("import tensorboard").is_ok_and(|output| output.status.success()) {
        eprintln!("not tested: no Python with tensorboard here (CARRY_PYTHON may name one)");
        return;
    }
    let output = python(script).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[cfg(unix)]
#[test]
fn a_second_ctrl_c_ends_at_once() {
    // One update of this size takes seconds, so the first Ctrl-C waits for its end.
    let folder = temporary();
    let arguments =
        "train --quiet --bits 64 --hidden 512 --batch 16384 --lr 1 --examples 16384 --out run";
    let mut child = start(&folder, arguments);
    sleep(Duration::from_millis(700));
    interrupt(&child);
    // Those that come with the first count for nothing.
    for _ in 0..3 {
        sleep(Duration::from_millis(50));
        interrupt(&child);
    }
    sleep(Duration::from_millis(450));
    assert!(child.try_wait().unwrap().is_none(), "it ended at the first Ctrl-C");
    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(!folder.path().join("run/checkpoint").exists());
}
