//! `cargo xtask certify` and `train --certifiable`.

use crate::{RUN_FILES, assert_keys, json_line, names, temporary, trained, xtask, xtask_line};
use std::fs;

const FIXTURES: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/train/tests/fixtures/certified");

#[test]
fn a_network_trained_for_it_is_proved_right_and_the_proof_is_checked() {
    let folder = temporary();
    let json =
        xtask_line(&folder, "train --certifiable --hidden 8 --bias --out run --json --quiet")
            .json();
    let fields = ["updates", "hidden", "bias", "seed", "seconds", "loss", "run"];
    assert_keys(&json, &[&fields[..], &["sums_correct", "sums_total"]].concat());
    assert_eq!((&json["sums_correct"], &json["sums_total"]), (&16_384.into(), &16_384.into()));
    assert_eq!(names(&folder.path().join("run")), RUN_FILES);

    let stdout = xtask_line(&folder, "certify --run run").success();
    let lines: Vec<_> = stdout.lines().collect();
    let statement = "Proved: this network of 8 hidden units with biases, run digit by digit in \
                     f32, adds any two whole numbers of any length, every binary digit right.";
    assert_eq!(lines[0], statement);
    assert!(lines[1].contains(" nodes, histories of up to "), "{stdout}");
    assert!(lines[2].starts_with("smallest margin "), "{stdout}");
    assert!(lines[3].ends_with(" s"), "{stdout}");
    let svg = fs::read_to_string(folder.path().join("run/report.svg")).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("principal axis") && svg.contains("<rect"));

    let check = "certify --run run --check run/certificate.json";
    let again = xtask_line(&folder, check).success();
    assert_eq!(again.lines().take(3).collect::<Vec<_>>(), lines[..3]);
    let json = xtask_line(&folder, &format!("{check} --json")).json();
    let fields = ["outcome", "statement", "hidden", "bias", "nodes", "k", "steps", "boxes"];
    assert_keys(&json, &[&fields[..], &["margin", "seconds"]].concat());
    assert_eq!((&json["outcome"], &json["statement"]), (&"certified".into(), &statement.into()));

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
    assert_keys(&json, &["outcome", "a", "b", "bits", "right_up_to", "report", "seconds"]);
    assert!(!folder.path().join("run/certificate.json").exists());
}

#[test]
fn another_networks_certificate_and_what_is_none_are_refused() {
    let folder = trained();
    let certificate = format!("{FIXTURES}/two-units-with-biases.json");
    let check = |file: &str| xtask(&folder, &["certify", "--run", "run", "--check", file]);
    check(&certificate).refused(1, &["the certificate is refused", "with the hash"]);
    let text = fs::read_to_string(&certificate).unwrap();
    for (text, reason) in [
        (text[..300].to_owned(), "it is not one"),
        (text.replace("carry-certificate-2", "carry-certificate-9"), "its format is"),
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

#[test]
fn a_study_counts_every_network_once() {
    let folder = temporary();
    let line = "certify --study --seeds 0..2 --hidden 2 --picture study.svg";
    // on a slow machine, standard error tells how far it is
    let outcome = xtask_line(&folder, &format!("{line} --json"));
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let json = json_line(&outcome.stdout);
    assert_keys(&json, &["seeds", "effort", "rows", "picture"]);
    let rows = json["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 8); // with biases or not, plain or certifiable, serial or Hogwild!
    for row in rows {
        let count = |key: &str| row[key].as_u64().unwrap();
        assert_eq!(count("certified") + count("refuted") + count("unknown"), 2, "{row}");
    }
    let svg = fs::read_to_string(folder.path().join("study.svg")).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("certifiable, biases"), "{svg}");
}

#[test]
fn options_that_do_not_go_together_are_refused() {
    let folder = temporary();
    for (arguments, texts) in [
        ("certify --study --run x", ["--study", "cannot be used with"]),
        ("certify --seeds 0..2", ["--study", "required"]),
        ("certify --study --seeds 3..1", ["--seeds", "0..100"]),
        ("certify --study --hidden 7", ["--hidden", "2, 3, 4, 8, 16"]),
        ("train --certifiable --bits 9", ["--certifiable", "cannot be used with"]),
        ("train --certifiable --seeds 0..3", ["--certifiable", "cannot be used with"]),
        ("train --bias", ["--certifiable", "required"]),
    ] {
        xtask_line(&folder, arguments).refused(2, &texts);
    }
    assert_eq!(names(folder.path()), [""; 0]);
}
