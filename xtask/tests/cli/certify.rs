//! `cargo xtask certify` and `train --certifiable`.

use crate::{RUN_FILES, assert_keys, json_line, names, temporary, trained, xtask, xtask_line};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use tempfile::TempDir;

const FIXTURES: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/verify/tests/fixtures/certified");

#[test]
fn a_network_trained_for_it_is_proved_right_and_the_proof_is_checked() {
    let folder = temporary();
    let json =
        xtask_line(&folder, "train --certifiable --hidden 8 --bias --out run --json --quiet")
            .json();
    assert_eq!((&json["task"], &json["optimizer"]), (&"addition-ibp".into(), &"adam".into()));
    assert_eq!((&json["sums_correct"], &json["sums_total"]), (&16_384.into(), &16_384.into()));
    assert_eq!(names(&folder.path().join("run")), RUN_FILES);

    let stdout = xtask_line(&folder, "certify --run run").success();
    let lines: Vec<_> = stdout.lines().collect();
    let statement = "Proved: this network of 8 hidden units with biases, run digit by digit in \
                     f32, adds any two whole numbers of any length, every binary digit right.";
    assert_eq!(lines[0], statement);
    assert!(lines[1].contains(" nodes, abstract states of "), "{stdout}");
    assert!(lines[2].starts_with("smallest margin "), "{stdout}");
    assert!(lines[3].ends_with(" s"), "{stdout}");
    let svg = fs::read_to_string(folder.path().join("run/report.svg")).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("principal axis") && svg.contains("<rect"));

    let check = "certify --run run --check run/certificate.json";
    let again = xtask_line(&folder, check).success();
    assert_eq!(again.lines().take(3).collect::<Vec<_>>(), lines[..3]);
    let json = xtask_line(&folder, &format!("{check} --json")).json();
    let fields =
        ["outcome", "statement", "hidden", "bias", "nodes", "cells", "k", "steps", "boxes"];
    assert_keys(&json, &[&fields[..], &["margin", "seconds"]].concat());
    assert_eq!((&json["outcome"], &json["statement"]), (&"certified".into(), &statement.into()));

    let exact = xtask_line(&folder, &format!("{check} --exact --json")).json();
    assert_eq!((&exact["exact"], &exact["statement"]), (&true.into(), &statement.into()));
    let margins = [&json, &exact].map(|json| json["margin"].as_f64().unwrap());
    assert!((margins[0] - margins[1]).abs() < 1e-4, "{margins:?}");
    let alone = ["certify", "--run", "run", "--exact"];
    xtask(&folder, &alone).refused(2, &["--check <FILE>"]);

    // and it adds, as any other run does
    let sum = xtask_line(&folder, "add 123456789 987654321 --run run --json").json();
    assert_eq!(sum["correct"], true);
}

#[test]
fn a_network_that_fails_is_refuted_with_exit_code_1() {
    let folder = temporary();
    xtask_line(&folder, "train --examples 1 --quiet --out run").success();
    let outcome = xtask_line(&folder, "certify --run run");
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(1), ""));
    let lines: Vec<_> = outcome.stdout.lines().collect();
    assert!(lines[0].starts_with("Refuted: the network adds "), "{}", outcome.stdout);
    assert!(lines[1].starts_with("They have "), "{}", outcome.stdout);
    let command = lines[2].strip_prefix("Try it: cargo xtask ").unwrap();
    assert_eq!(xtask_line(&folder, command).code, Some(1)); // the sum is wrong indeed

    let outcome = xtask_line(&folder, "certify --run run --json");
    let json = json_line(&outcome.stdout);
    assert_eq!((outcome.code, &json["outcome"]), (Some(1), &"counterexample".into()));
    assert_keys(
        &json,
        &["outcome", "a", "b", "bits", "right_up_to", "shortest", "report", "seconds"],
    );
    assert!(!folder.path().join("run/certificate.json").exists());
}

#[test]
fn another_networks_certificate_and_what_is_none_are_refused() {
    let folder = trained();
    let certificate = format!("{FIXTURES}/two-units-with-biases.json");
    let check = |file: &str| xtask(&folder, &["certify", "--run", "run", "--check", file]);
    check(&certificate).refused(1, &["the certificate is refused", "with the digest"]);
    let text = fs::read_to_string(&certificate).unwrap();
    for (text, reason) in [
        (text[..300].to_owned(), "it is not one"),
        (text.replace("carry-certificate-3", "carry-certificate-9"), "its format is"),
        (String::new(), "it is not one"),
    ] {
        fs::write(folder.path().join("bad.json"), text).unwrap();
        check("bad.json").refused(1, &["the certificate is refused", reason]);
    }
    check("none.json").refused(1, &["cannot read the certificate none.json"]);
}

#[test]
fn without_a_run_the_command_that_makes_one_is_named() {
    let folder = temporary();
    let advice = "train one with `cargo xtask train`";
    xtask_line(&folder, "certify").refused(1, &["no finished run in runs", advice]);
    xtask_line(&folder, "certify --run none").refused(1, &["no finished run in none", advice]);
}

/// Networks of 2 units, trained as in the lab: a few milliseconds each.
const STUDY: &str = "certify --study --hidden 2 --recipe plain --trials t.jsonl --json";

#[test]
fn a_study_counts_every_network_once() {
    let folder = temporary();
    let line = "certify --study --seeds 0..2 --hidden 2";
    // on a slow machine, standard error tells how far it is
    let outcome = xtask_line(&folder, &format!("{line} --json"));
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let json = json_line(&outcome.stdout);
    assert_keys(&json, &["seeds", "effort", "rows", "trials", "picture"]);
    let rows = json["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 8); // with biases or not, plain or certifiable, serial or Hogwild!
    let counts = ["certified", "refuted", "unknown"];
    for row in rows {
        assert_eq!(counts.iter().map(|&key| row[key].as_u64().unwrap()).sum::<u64>(), 2, "{row}");
        let share = |key: &str| row[format!("share_{key}")].as_f64().unwrap();
        assert_eq!(counts.iter().map(|&key| share(key)).sum::<f64>(), 1.0, "{row}");
        for key in ["q1", "median", "q3"] {
            assert!(row["proof_seconds"][key].as_f64().unwrap() > 0.0, "{row}");
        }
    }
    let trials = trials(&folder, "certify-study.jsonl");
    assert_eq!(trials.len(), 16);
    for trial in &trials {
        let fields = ["hidden", "bias", "recipe", "workers", "seed", "effort", "outcome"];
        let fields = [&fields[..], &["training_seconds", "proof_seconds"]].concat();
        let of_outcome = match trial["outcome"].as_str().unwrap() {
            "certified" => &["margin", "k", "nodes", "steps", "boxes"][..],
            "counterexample" => &["bits", "right_up_to"],
            _ => &[],
        };
        assert_keys(trial, &[&fields, of_outcome].concat());
    }
    let svg = fs::read_to_string(folder.path().join("certify-study.svg")).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("certifiable, Hogwild!"), "{svg}");

    // all is there: the table is printed, and nothing is done again
    let stdout = xtask_line(&folder, line).success();
    let lines: Vec<_> = stdout.lines().collect();
    assert_eq!(lines[0], "16 of 16 trials are in certify-study.jsonl already");
    assert!(lines[1].contains("biases   training"), "{stdout}");
    let width = |line: &str| line.chars().count();
    assert!(lines[1..10].iter().all(|line| width(line) == width(lines[1])), "{stdout}");
    assert_eq!(lines.len(), 11, "{stdout}");
}

#[test]
fn a_study_of_machines_has_a_row_for_each_machine_cell_and_size() {
    let folder = temporary();
    let line = "certify --study --machine parity,random-7,parity,random --cell relu,sigmoid \
                --hidden 1,2 --recipe plain --seeds 0..1 --effort 500";
    let json = xtask_line(&folder, &format!("{line} --json")).json();
    let rows = json["rows"].as_array().unwrap();
    let names = ["parity", "random-7", "random"];
    let expected: Vec<_> = names
        .iter()
        .flat_map(|name| ["elman-relu", "elman-sigmoid"].map(|cell| (*name, cell)))
        .flat_map(|(name, cell)| [1, 2].map(|hidden| (name, cell, hidden)))
        .collect();
    let found: Vec<_> = rows
        .iter()
        .map(|row| {
            // the lab's cell goes without saying
            let cell = row.get("cell").map_or("elman-sigmoid", |cell| cell.as_str().unwrap());
            (row["machine"].as_str().unwrap(), cell, row["hidden"].as_u64().unwrap())
        })
        .collect();
    assert_eq!(found, expected);
    // one unit of these tells no ten states apart
    let drawn = |row: &&Value| row["machine"] != "parity";
    assert!(rows.iter().filter(drawn).all(|row| row["refuted"] == 1), "{rows:?}");
    let svg = fs::read_to_string(folder.path().join("certify-study.svg")).unwrap();
    assert!(svg.contains("random-7") && svg.contains("relu, plain"), "{svg}");

    // all is there, and one more seed is added
    let stdout = xtask_line(&folder, line).success();
    let lines: Vec<_> = stdout.lines().collect();
    assert_eq!(lines[0], "12 of 12 trials are in certify-study.jsonl already");
    assert!(lines[1].contains("machine        cell"), "{stdout}");
    let width = |line: &str| line.chars().count();
    assert!(lines[1..14].iter().all(|line| width(line) == width(lines[1])), "{stdout}");
    let more = line.replace("0..1", "0..2").replace("parity,random-7,parity,random", "parity");
    assert_eq!(xtask_line(&folder, &format!("{more} --json")).json()["rows"][0]["trials"], 2);
    assert_eq!(trials(&folder, "certify-study.jsonl").len(), 16);
}

/// The lines of a file of trials.
fn trials(folder: &TempDir, name: &str) -> Vec<Value> {
    let text = fs::read_to_string(folder.path().join(name)).unwrap();
    assert!(text.ends_with('\n'), "{text}");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_study_that_was_stopped_goes_on_with_what_is_missing() {
    let folder = temporary();
    let file = folder.path().join("t.jsonl");
    xtask_line(&folder, &format!("{STUDY} --seeds 0..3 --workers 1")).json();
    let whole = fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = whole.lines().collect();
    assert_eq!(lines.len(), 6);

    // stopped in the middle of the fourth line
    let kept = lines[..3].join("\n");
    fs::write(&file, format!("{kept}\n{}", &lines[3][..lines[3].len() / 2])).unwrap();
    let outcome = xtask_line(&folder, &format!("{STUDY} --seeds 0..3 --workers 1"));
    let said = "t.jsonl: line 4, the last, was unfinished and is dropped\n";
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), said));
    assert!(fs::read_to_string(&file).unwrap().starts_with(&format!("{kept}\n")));
    // one worker learns the same from the same seed
    let endings = |text: &str| -> BTreeSet<String> {
        let ending = |line| {
            let trial: Value = serde_json::from_str(line).unwrap();
            ["bias", "seed", "outcome", "bits", "margin"]
                .map(|key| trial[key].to_string())
                .join(" ")
        };
        text.lines().map(ending).collect()
    };
    assert_eq!(endings(&fs::read_to_string(&file).unwrap()), endings(&whole));
    assert_eq!(trials(&folder, "t.jsonl").len(), 6);

    // more seeds are added, another budget is another study, and a line twice counts once
    let json = xtask_line(&folder, &format!("{STUDY} --seeds 0..4 --workers 1")).json();
    assert_eq!((trials(&folder, "t.jsonl").len(), &json["rows"][0]["trials"]), (8, &4.into()));
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.repeat(2)).unwrap();
    let again = xtask_line(&folder, &format!("{STUDY} --seeds 0..4 --workers 1")).json();
    assert_eq!(again["rows"], json["rows"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), text.repeat(2));
    let json =
        xtask_line(&folder, &format!("{STUDY} --seeds 3..4 --workers 1 --effort 999")).json();
    assert_eq!((trials(&folder, "t.jsonl").len(), &json["rows"][0]["trials"]), (18, &1.into()));
    // and `--effort` is another name of `--budget`
    let json =
        xtask_line(&folder, &format!("{STUDY} --seeds 3..4 --workers 1 --budget 999")).json();
    assert_eq!((trials(&folder, "t.jsonl").len(), &json["rows"][0]["trials"]), (18, &1.into()));
}

#[test]
fn what_is_no_file_of_trials_is_refused_and_left_alone() {
    let folder = temporary();
    let file = folder.path().join("t.jsonl");
    let line = format!("{STUDY} --seeds 0..1 --workers 1 --biases with");
    xtask_line(&folder, &line).json();
    let good = fs::read_to_string(&file).unwrap();
    for (bad, texts) in [
        (format!("{good}{{}}\n{good}"), ["t.jsonl holds in line 2 what is no trial", "missing"]),
        (good.replace("\"workers\":1", "\"workers\":3"), ["in line 1", "workers is 3"]),
        (format!("{good}{good}12\n"), ["in line 3 what is no trial", "invalid type"]),
        (format!("{good}\n{good}"), ["in line 2 what is no trial", "EOF"]),
        ("my notes, without an end".to_owned(), ["in line 1", "nor is it the beginning of one"]),
    ] {
        fs::write(&file, &bad).unwrap();
        xtask_line(&folder, &line).refused(1, &texts);
        assert_eq!(fs::read_to_string(&file).unwrap(), bad);
    }
    let none = line.replace("t.jsonl", "none/t.jsonl");
    xtask_line(&folder, &none).refused(1, &["cannot open none/t.jsonl"]);

    // two studies with one file
    fs::write(&file, &good).unwrap();
    let held = fs::File::open(&file).unwrap();
    held.lock().unwrap();
    xtask_line(&folder, &line).refused(1, &["t.jsonl is in use by another study"]);
    held.unlock().unwrap();
    xtask_line(&folder, &line).json();
}

#[test]
fn a_certifiable_training_is_a_job_as_any_other_and_its_folder_tells_the_truth() {
    let folder = temporary();
    let options = "--hidden 5 --bits 9 --examples 3200 --seed 3 --quiet --json";
    let line = format!("train --certifiable {options}");
    let serial = xtask_line(&folder, &format!("{line} --out serial")).json();
    assert_eq!((&serial["bits"], &serial["examples"]), (&9.into(), &3200.into()));
    let config = fs::read_to_string(folder.path().join("serial/config.toml")).unwrap();
    let told = ["name = \"addition-ibp\"", "bits = 9", "name = \"adam\"", "learning_rate = 0.01"];
    assert!(told.iter().all(|told| config.lines().any(|line| line == *told)), "{config}");
    let metrics = fs::read_to_string(folder.path().join("serial/metrics.jsonl")).unwrap();
    for line in metrics.lines().map(json_line) {
        assert!(line["error"].as_f64() > line["loss"].as_f64(), "{line}"); // a sum over 9 digits
    }

    for (strategy, threads) in [("synchronous", 2), ("hogwild", 2), ("averaging", 2)] {
        let more = format!("--strategy {strategy} --threads {threads} --out {strategy}");
        let json = xtask_line(&folder, &format!("{line} {more}")).json();
        assert_eq!(json["strategy"], strategy);
        let sum = xtask_line(&folder, &format!("add 1 2 --run {strategy} --json"));
        assert_eq!(json_line(&sum.stdout)["expected"], "3");
    }
    let seeds =
        xtask_line(&folder, "train --certifiable --examples 640 --seeds 0..3 --json --quiet");
    assert_eq!(seeds.json()["rows"].as_array().unwrap().len(), 3);
}

#[test]
fn a_network_of_another_kind_adds_but_cannot_be_proved() {
    let folder = temporary();
    for options in
        ["--cell gru --layers 2", "--layers 2", "--bidirectional", "--memory output", "--memory 3"]
    {
        let line = format!("train {options} --examples 300 --quiet --out run --force");
        xtask_line(&folder, &line).success();
        let sum = xtask_line(&folder, "add 1 2 --run run --json");
        assert_eq!(json_line(&sum.stdout)["expected"], "3", "{}", sum.stderr);
        xtask_line(&folder, "certify --run run").refused(2, &["networks of one layer"]);
    }
}

#[test]
fn options_that_do_not_go_together_are_refused() {
    let folder = temporary();
    for (arguments, texts) in [
        ("certify --study --run x", ["--study", "cannot be used with"]),
        ("certify --seeds 0..2", ["--study", "required"]),
        ("certify --study --seeds 3..1", ["--seeds", "0..100"]),
        ("certify --study --hidden 7", ["--hidden", "2, 3, 4, 8 and 16"]),
        ("certify --study --biases both", ["--biases", "with or without"]),
        ("certify --study --hidden 129", ["--hidden", "of machines 1 to 128"]),
        ("certify --study --machine tomita-8", ["--machine", "give one of addition, "]),
        ("certify --study --machine parity --cell cell", ["--cell", "sigmoid, tanh"]),
        ("certify --study --recipe good", ["--recipe", "plain or certifiable"]),
        ("certify --study --workers 3", ["--workers", "1 or 2"]),
        ("certify --trials t.jsonl", ["--study", "required"]),
        ("train --certifiable --layers 2", ["--certifiable", "cannot be used with"]),
        ("train --certifiable --threads 2", ["--threads", "--strategy"]),
        ("train --certifiable --push-every 2", ["--push-every", "--strategy"]),
        ("train --resume run --bias", ["--bias", "cannot be used with"]),
        ("train --resume run --until-proved 2", ["--until-proved", "cannot be used with"]),
        ("train --until-proved 2 --seeds 0..2", ["--seeds", "cannot be used with"]),
        ("train machine parity --until-proved 0", ["--until-proved", "1..=1000 is needed"]),
        ("train machine parity --until-proved 2 --layers 2", ["--layers", "cannot be used with"]),
    ] {
        xtask_line(&folder, arguments).refused(2, &texts);
    }
    assert_eq!(names(folder.path()), [""; 0]);
}
