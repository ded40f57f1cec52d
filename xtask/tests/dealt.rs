//! Studies over the processes of an MPI job, as people start them: what one process finds, whatever
//! the number of ranks; a study that is killed ends on every rank, and goes on. With the feature
//! `mpi`, and where there is an `mpirun`.
#![cfg(feature = "mpi")]

use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

const XTASK: &str = env!("CARGO_BIN_EXE_xtask");

fn has_mpirun() -> bool {
    let has = Command::new("mpirun").arg("--version").output().is_ok();
    if !has {
        println!("skipped: there is no mpirun");
    }
    has
}

/// The command `line` on so many ranks; of one, without MPI.
fn command(folder: &Path, ranks: usize, line: &str) -> Command {
    let mut command = if ranks == 1 {
        Command::new(XTASK)
    } else {
        let mut mpirun = Command::new("mpirun");
        mpirun.args(["--oversubscribe", "--bind-to", "none", "-n", &ranks.to_string(), XTASK]);
        mpirun.env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
        mpirun
    };
    command.args(line.split_whitespace()).current_dir(folder);
    command.stdin(Stdio::null());
    command
}

#[track_caller]
fn succeeds(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// Its JSON, without what a clock says.
fn found(folder: &Path, ranks: usize, line: &str) -> Value {
    let printed = succeeds(&command(folder, ranks, line).output().unwrap());
    assert_eq!(printed.trim().lines().count(), 1, "rank 0 alone prints: {printed}");
    let mut found: Value = serde_json::from_str(printed.trim()).unwrap();
    forget_clocks(&mut found);
    found
}

fn forget_clocks(value: &mut Value) {
    match value {
        Value::Object(entries) => {
            entries.retain(|name, _| !(name.contains("seconds") || name.contains("_ns_")));
            entries.values_mut().for_each(forget_clocks);
        }
        Value::Array(all) => all.iter_mut().for_each(forget_clocks),
        _ => {}
    }
}

#[test]
fn seeds_come_to_the_same_on_any_number_of_ranks_and_in_their_order() {
    if !has_mpirun() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let text = "to be, or not to be: that is the question. ".repeat(60);
    fs::write(folder.path().join("text.txt"), text).unwrap();
    for line in [
        "train --json --quiet --seeds 3..40 --examples 2000",
        "train text text.txt --json --quiet --seeds 0..5 --hidden 8 --examples 200 --batch 4 --chunk 8",
    ] {
        let one = found(folder.path(), 1, line);
        let rows = one["rows"].as_array().unwrap();
        assert!(rows.windows(2).all(|two| two[0]["seed"].as_u64() < two[1]["seed"].as_u64()));
        for ranks in [2, 4] {
            assert_eq!(found(folder.path(), ranks, line), one, "{line} on {ranks} ranks");
        }
    }
}

#[test]
fn a_study_of_proofs_and_the_lab_come_to_the_same_on_two_ranks() {
    if !has_mpirun() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let certify = "certify --study --json --seeds 0..4 --hidden 3 --recipe plain --workers 1";
    let in_files = |name: &str| format!("{certify} --trials {name}.jsonl --picture {name}.svg");
    let mut one = found(folder.path(), 1, &in_files("one"));
    let mut two = found(folder.path(), 2, &in_files("two"));
    for found in [&mut one, &mut two] {
        let object = found.as_object_mut().unwrap();
        object.retain(|name, _| name != "trials" && name != "picture");
    }
    assert_eq!(one, two);
    let lab = "lab rates states --quick --json --out";
    let one = found(folder.path(), 1, &format!("{lab} one"));
    let two = found(folder.path(), 2, &format!("{lab} two"));
    assert_eq!(one["studies"], two["studies"]);
    let numbers = |name: &str| fs::read(folder.path().join(name).join("numbers.json")).unwrap();
    assert!(numbers("one") == numbers("two"), "every number is the same");
}

/// The processes that were started with `word` in their command line.
fn processes(word: &str) -> Vec<u32> {
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let all = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    all.filter(|process: &u32| {
        let line = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(word) && line.starts_with(XTASK.as_bytes())
    })
    .collect()
}

#[test]
fn a_rank_that_is_killed_ends_the_study_and_the_same_command_goes_on() {
    if !has_mpirun() || !cfg!(target_os = "linux") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let whole = "train --json --quiet --seeds 0..60 --examples 20000";
    let one = found(folder.path(), 1, whole);
    let file = folder.path().join("killed.jsonl");
    let line = format!("{whole} --trials {}", file.display());
    for victim in [1, 0] {
        let mut job = command(folder.path(), 3, &line);
        let mut job = job.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let lines = || fs::read_to_string(&file).unwrap_or_default().lines().count();
        let (start, before) = (Instant::now(), lines());
        while lines() < before + 5 && job.try_wait().unwrap().is_none() {
            assert!(start.elapsed() < Duration::from_secs(60), "nothing is trained");
            sleep(Duration::from_millis(5));
        }
        let ranks = processes("killed.jsonl");
        let of_rank = |process: &&u32| {
            let environment = fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
            let text = String::from_utf8_lossy(&environment).into_owned();
            text.split('\0').any(|pair| pair == format!("OMPI_COMM_WORLD_RANK={victim}"))
        };
        if let Some(process) = ranks.iter().find(of_rank) {
            succeeds(&Command::new("kill").args(["-9", &process.to_string()]).output().unwrap());
            assert!(!job.wait().unwrap().success());
        }
        let start = Instant::now();
        while !processes("killed.jsonl").is_empty() {
            assert!(start.elapsed() < Duration::from_secs(10), "processes are left behind");
            sleep(Duration::from_millis(20));
        }
    }
    assert_eq!(found(folder.path(), 2, &line), one);
    // Nothing is left to do, and it is told again.
    assert_eq!(found(folder.path(), 1, &line), one);
    let lines = fs::read_to_string(&file).unwrap().lines().count();
    assert_eq!(lines, 60, "each seed was kept once, whatever the ranks");
}

#[test]
fn an_error_on_another_rank_is_told_with_its_number() {
    if !has_mpirun() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let line = "train --quiet --seeds 0..40 --optimizer momentum --lr 3e38 --examples 500";
    let output = command(folder.path(), 2, line).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && error.contains("seed"), "{error}");
}
