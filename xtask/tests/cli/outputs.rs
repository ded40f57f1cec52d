//! Files that commands write where their users say: what stands there is respected, a place that
//! cannot be written is told before the work, and the outcome is said whatever became of a file.

use crate::{RUN_FILES, command, json_line, names, temporary, trained, xtask_line};
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A temporary folder with a run of a few examples in `run`.
fn short() -> TempDir {
    let folder = temporary();
    xtask_line(&folder, "train --examples 600 --quiet --out run").success();
    folder
}

fn is_svg(path: &Path) -> bool {
    fs::read_to_string(path).is_ok_and(|text| text.trim_end().ends_with("</svg>"))
}

/// Commands that write a picture where `OUT` stands.
const PICTURES: [&str; 2] = [
    "plot run --out OUT",
    "certify --study --hidden 2 --biases with --recipe plain --workers 1 --seeds 0..1 --picture OUT",
];

#[test]
fn links_modes_and_names_of_an_output_are_kept() {
    let folder = short();
    let path = |name: &str| folder.path().join(name);
    let mode = |name: &str| path(name).metadata().unwrap().mode() & 0o777;
    symlink("target.svg", path("link.svg")).unwrap();
    symlink("new.svg", path("dangling.svg")).unwrap();
    for picture in PICTURES {
        let run = |out: &str| xtask_line(&folder, &picture.replace("OUT", out)).success();
        fs::write(path("target.svg"), "old").unwrap();
        run("link.svg");
        assert!(path("link.svg").is_symlink() && is_svg(&path("target.svg")), "{picture}");
        run("dangling.svg");
        assert!(path("dangling.svg").is_symlink() && is_svg(&path("new.svg")), "{picture}");
        fs::remove_file(path("new.svg")).unwrap();

        fs::write(path("private.svg"), "old").unwrap();
        fs::set_permissions(path("private.svg"), fs::Permissions::from_mode(0o600)).unwrap();
        run("private.svg");
        assert!(is_svg(&path("private.svg")) && mode("private.svg") == 0o600, "{picture}");

        fs::write(path("one.svg"), "old").unwrap();
        fs::hard_link(path("one.svg"), path("other.svg")).unwrap();
        run("one.svg");
        assert!(is_svg(&path("other.svg")), "{picture}");
        fs::remove_file(path("other.svg")).unwrap();
    }
}

#[test]
fn files_of_a_run_have_the_mode_that_the_umask_leaves() {
    let folder = temporary();
    for (umask, expected) in [("077", 0o600), ("027", 0o640), ("002", 0o664)] {
        let train = format!(
            "umask {umask}; {} train --examples 600 --quiet --out {umask} && {} plot {umask} \
             --out {umask}.svg",
            env!("CARGO_BIN_EXE_xtask"),
            env!("CARGO_BIN_EXE_xtask")
        );
        let status = Command::new("sh").args(["-c", &train]).current_dir(folder.path()).status();
        assert!(status.unwrap().success());
        let mode = |path: &Path| path.metadata().unwrap().mode() & 0o777;
        for name in RUN_FILES {
            assert_eq!(mode(&folder.path().join(umask).join(name)), expected, "{umask} {name}");
        }
        assert_eq!(mode(&folder.path().join(format!("{umask}.svg"))), expected, "{umask}");
    }
}

#[test]
fn pipes_devices_and_standard_output_are_written_into() {
    let folder = short();
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for picture in PICTURES {
        let reader = Command::new("cat").arg(&pipe).stdout(Stdio::piped()).spawn().unwrap();
        xtask_line(&folder, &picture.replace("OUT", "pipe")).success();
        let read = reader.wait_with_output().unwrap().stdout;
        assert!(read.starts_with(b"<svg") && read.trim_ascii_end().ends_with(b"</svg>"));
        xtask_line(&folder, &picture.replace("OUT", "/dev/null")).success();
    }
    assert!(!pipe.metadata().unwrap().is_file() && !Path::new("/dev/null").is_file());

    let plot = "plot run --out /dev/stdout";
    let stdout = xtask_line(&folder, plot).success();
    assert!(stdout.starts_with("<svg") && stdout.trim_end().ends_with("</svg>"), "{stdout}");
    // The same where it is a file, which a new one must not take the place of.
    let file = File::create(folder.path().join("redirected.svg")).unwrap();
    let arguments: Vec<_> = plot.split(' ').collect();
    assert!(command(&folder, &arguments).stdout(file).status().unwrap().success());
    assert_eq!(fs::read_to_string(folder.path().join("redirected.svg")).unwrap(), stdout);
}

#[test]
fn a_place_that_cannot_be_written_is_told_before_the_work() {
    let folder = short();
    fs::create_dir(folder.path().join("taken")).unwrap();
    symlink("circle", folder.path().join("circle")).unwrap();
    let before = names(folder.path());
    for picture in PICTURES {
        for out in ["taken", "none/picture.svg", "run/config.toml/picture.svg", "circle"] {
            // So many seeds would take hours.
            let line = picture.replace("OUT", out).replace("0..1", "0..100000");
            let start = Instant::now();
            xtask_line(&folder, &line).refused(1, &[&format!("cannot write {out}")]);
            assert!(start.elapsed() < Duration::from_secs(20), "{line}");
        }
    }
    assert_eq!(names(folder.path()), before);
    // A search that could not keep its proof.
    fs::create_dir(folder.path().join("run/report.svg")).unwrap();
    xtask_line(&folder, "certify --run run").refused(1, &["cannot write run/report.svg"]);
}

#[test]
fn the_outcome_is_said_when_a_file_cannot_be_written_and_the_network_is_kept() {
    let folder = temporary();
    let run = folder.path().join("run");
    fs::create_dir_all(run.join("curve.svg/taken")).unwrap(); // no file takes its place
    let train = "train --examples 5000 --out run --force";
    let outcome = xtask_line(&folder, &format!("{train} --json"));
    assert_eq!(outcome.code, Some(1), "{}", outcome.stderr);
    assert!(outcome.stderr.starts_with("error: cannot write run/curve.svg"), "{}", outcome.stderr);
    assert!(outcome.stdout.contains("possible sums are right"), "{}", outcome.stdout);
    assert!(outcome.stdout.contains("train --resume run tries again"), "{}", outcome.stdout);
    let json = json_line(&outcome.stdout);
    assert!(json["sums_correct"].is_u64() && json["loss"].is_f64(), "{json}");
    assert!(json["error"].as_str().unwrap().contains("cannot write run/curve.svg"), "{json}");

    fs::remove_dir_all(run.join("curve.svg")).unwrap();
    let stdout = xtask_line(&folder, "train --resume run").success();
    assert!(stdout.contains("Going on after 5,000 of 5,000 examples"), "{stdout}");
    assert_eq!(names(&run), RUN_FILES);
    xtask_line(&folder, "train --examples 5000 --quiet --out other").success();
    let model = |run: &str| fs::read(folder.path().join(run).join("model.safetensors")).unwrap();
    assert!(model("run") == model("other"));
}

#[test]
fn a_folder_for_a_run_that_something_else_stands_for_is_named_as_what_it_is() {
    let folder = trained();
    symlink("nowhere", folder.path().join("dangling")).unwrap();
    let link = "dangling is a symbolic link to nowhere, which is not there";
    for (out, text) in [
        ("dangling", link),
        ("dangling/run", link),
        ("run/config.toml", "it is a file and no folder"),
        ("run/config.toml/run", "run/config.toml is a file"),
    ] {
        let train = format!("train --examples 1 --out {out}");
        let said = format!("cannot make the folder {out}: {text}");
        xtask_line(&folder, &train).refused(1, &[&said, "choose another"]);
    }
    symlink("nowhere", folder.path().join("runs")).unwrap();
    xtask_line(&folder, "train --examples 1")
        .refused(1, &["runs is a symbolic link to nowhere, which is not there"]);
}
