//! `cargo xtask lab`: its files, its numbers, what it refuses, and what it leaves when it is stopped.

use crate::{assert_keys, command, contents, json_line, names, temporary, xtask_line};
use roxmltree::Document;
use serde_json::Value;
use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// The quickest of the studies.
const LAB: &str = "lab memory rates --quick";

#[test]
fn a_report_has_its_page_its_pictures_and_its_numbers() {
    let folder = temporary();
    let json = xtask_line(&folder, &format!("{LAB} --seed 7 --json --out report")).json();
    assert_keys(
        &json,
        &[
            "report", "bytes", "numbers", "pictures", "seed", "quick", "studies", "seconds",
            "stopped", "opened",
        ],
    );
    assert_eq!(json["stopped"], false);
    assert_eq!(json["pictures"], serde_json::json!(["report/memory.svg", "report/rates.svg"]));
    let path = |name: &str| folder.path().join("report").join(name);
    assert_eq!(names(&path("")), ["index.html", "memory.svg", "numbers.json", "rates.svg"]);

    let page = fs::read_to_string(path("index.html")).unwrap();
    assert!(page.len() < 3_000_000 && page.len() as u64 == json["bytes"].as_u64().unwrap());
    // Everything is read without JavaScript.
    let (report, _) = page.split_once("<script type=\"application/json\"").unwrap();
    for text in [
        "State or output fed back?",
        "Which learning rate?",
        "<code>cargo xtask lab memory --quick --seed 7</code>",
        "(95 %: ",
        "<caption>",
    ] {
        assert!(report.contains(text), "{text}");
    }
    assert!(!report.contains("Hogwild"));
    assert_eq!(report.matches("<svg").count(), 2);
    for name in ["memory.svg", "rates.svg"] {
        let svg = fs::read_to_string(path(name)).unwrap();
        Document::parse(&svg).unwrap();
        assert!(report.contains(&svg), "{name} is in the page");
    }

    let numbers: Value = serde_json::from_slice(&fs::read(path("numbers.json")).unwrap()).unwrap();
    assert_keys(&numbers, &["format", "settings", "stopped", "studies"]);
    for study in numbers["studies"].as_array().unwrap() {
        assert_keys(study, &["study", "question", "command", "sentence", "networks", "findings"]);
        assert_eq!(study["networks"]["done"], study["networks"]["of"]);
        let sentence = study["sentence"].as_str().unwrap().replace('\'', "&#39;");
        assert!(report.contains(&sentence), "{sentence}");
    }
}

#[test]
fn the_same_seed_gives_the_same_files_on_any_number_of_cores() {
    let folder = temporary();
    for (out, cores) in [("one", "1"), ("two", "3")] {
        let line = format!("{LAB} --seed 7 --out {out}");
        let words: Vec<_> = line.split_whitespace().collect();
        let output = command(&folder, &words).env("RAYON_NUM_THREADS", cores).output().unwrap();
        assert!(output.status.success());
        let stdout = String::from_utf8(output.stdout).unwrap();
        assert!(stdout.starts_with("State or output fed back? "), "{stdout}");
        assert!(stdout.contains(&format!("The report is {out}/index.html")), "{stdout}");
    }
    let [one, two] = ["one", "two"].map(|out| contents(&folder.path().join(out)));
    assert!(one == two, "the same bytes");
    xtask_line(&folder, &format!("{LAB} --seed 8 --json --out other")).json();
    let other = fs::read(folder.path().join("other/numbers.json")).unwrap();
    assert!(one["numbers.json"] != other);
}

#[test]
fn what_there_is_not_is_refused_with_what_there_is() {
    let folder = temporary();
    xtask_line(&folder, "lab unit").refused(2, &["'unit'", "window", "units", "states"]);
    xtask_line(&folder, "lab --seed -1").refused(2, &["--seed", "a whole number"]);
    xtask_line(&folder, "lab --seed 18446744073709551616").refused(2, &["--seed"]);
    assert_eq!(names(folder.path()), [""; 0]);
}

#[test]
fn a_folder_that_cannot_be_written_is_told_before_the_work() {
    let folder = temporary();
    fs::write(folder.path().join("file"), "").unwrap();
    fs::create_dir_all(folder.path().join("taken/index.html")).unwrap();
    fs::create_dir_all(folder.path().join("picture/rates.svg")).unwrap();
    for (out, text) in [
        ("file", "cannot make the folder file"),
        ("file/below", "cannot make the folder file/below"),
        ("taken", "cannot write taken/index.html"),
        ("picture", "cannot write picture/rates.svg"),
    ] {
        let start = Instant::now();
        xtask_line(&folder, &format!("lab --out {out}")).refused(1, &[text]);
        assert!(start.elapsed() < Duration::from_secs(10), "{out}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn what_was_found_is_said_when_the_disk_is_full() {
    let folder = temporary();
    fs::create_dir(folder.path().join("full")).unwrap();
    std::os::unix::fs::symlink("/dev/full", folder.path().join("full/index.html")).unwrap();
    let outcome = xtask_line(&folder, "lab memory --quick --out full");
    assert_eq!(outcome.code, Some(1), "{}", outcome.stderr);
    assert!(
        outcome.stderr.starts_with("error: cannot write full/index.html"),
        "{}",
        outcome.stderr
    );
    assert!(outcome.stdout.starts_with("State or output fed back? "), "{}", outcome.stdout);
    let outcome = xtask_line(&folder, "lab memory --quick --json --out full");
    let json = json_line(&outcome.stdout);
    assert_eq!(outcome.code, Some(1));
    assert!(json["error"].as_str().unwrap().contains("cannot write full/index.html"), "{json}");
    assert!(json["studies"][0]["sentence"].is_string());
}

#[cfg(unix)]
#[test]
fn a_report_that_is_stopped_is_of_what_is_done_and_says_so() {
    use crate::signals::{signal, wait_for};
    let folder = temporary();
    // At once, and after ever longer moments, until some networks are done.
    let mut had_networks = false;
    for moment in [0, 1, 2, 4, 8, 16, 32] {
        let out = format!("after-{moment}");
        let line = format!("lab memory rates --out {out} --json");
        let words: Vec<_> = line.split_whitespace().collect();
        let mut command = command(&folder, &words);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // The folder is made when signals are watched.
        wait_for(|| folder.path().join(&out).exists());
        std::thread::sleep(Duration::from_secs(moment));
        signal(&child, "-INT");
        let output = child.wait_with_output().unwrap();
        let [stdout, stderr] =
            [output.stdout, output.stderr].map(|b| String::from_utf8(b).unwrap());
        assert_eq!(output.status.code(), Some(130), "{stderr}");
        assert!(stderr.contains("stopped after ") && stderr.contains("networks"), "{stderr}");
        let json = json_line(&stdout);
        assert_eq!(json["stopped"], true);
        let page = fs::read_to_string(folder.path().join(&out).join("index.html")).unwrap();
        assert!(page.contains("Stopped early"), "{out}");
        let numbers = fs::read(folder.path().join(&out).join("numbers.json")).unwrap();
        let numbers: Value = serde_json::from_slice(&numbers).unwrap();
        assert_eq!(numbers["stopped"], true);
        had_networks |= !json["studies"].as_array().unwrap().is_empty();
        if had_networks {
            return;
        }
    }
    assert!(had_networks, "a report of some networks has to be seen");
}
