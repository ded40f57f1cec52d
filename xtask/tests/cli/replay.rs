//! `cargo xtask replay`.

use crate::{assert_keys, json_line, names, temporary, xtask, xtask_line};
use serde_json::{Value, json};
use std::fs;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/train/tests/fixtures");

fn lab() -> String {
    format!("{FIXTURES}/lab-seed-0.json")
}

#[test]
fn every_recorded_trace_is_replayed_within_the_tolerance() {
    let folder = temporary();
    let traces: Vec<_> = names(FIXTURES.as_ref())
        .into_iter()
        .filter(|name| name.ends_with(".json"))
        .map(|name| format!("{FIXTURES}/{name}"))
        .collect();
    assert!(traces.contains(&lab()), "{traces:?}");
    for trace in traces {
        let json = xtask(&folder, &["replay", &trace, "--json"]).json();
        let fields = ["examples", "max_error_difference", "max_weight_difference", "within"];
        assert_keys(&json, &fields);
        let recorded: Value = serde_json::from_str(&fs::read_to_string(&trace).unwrap()).unwrap();
        let examples = recorded["pairs"].as_array().unwrap().len();
        assert_eq!((&json["examples"], &json["within"]), (&examples.into(), &true.into()));
        for key in ["max_error_difference", "max_weight_difference"] {
            // An f32 replay of an f64 trace is near it, and never on it.
            let difference = json[key].as_f64().unwrap();
            assert!(difference > 0.0 && difference <= 1e-4, "{key} {difference} {trace}");
        }
    }
}

#[test]
fn the_differences_are_printed_with_the_verdict() {
    let stdout = xtask(&temporary(), &["replay", &lab()]).success();
    let lines: Vec<_> = stdout.lines().collect();
    assert_eq!(lines[0], "10,000 examples replayed");
    assert!(lines[1].starts_with("largest difference of an error: "), "{stdout}");
    assert!(lines[2].starts_with("largest difference of a final weight: "), "{stdout}");
    assert_eq!(lines[3], "within the tolerance of 1e-4");
}

#[test]
fn a_tolerance_that_is_not_kept_gives_exit_code_1() {
    let folder = temporary();
    let outcome = xtask(&folder, &["replay", &lab(), "--tolerance", "1e-12", "--json"]);
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(1), ""));
    assert_eq!(json_line(&outcome.stdout)["within"], false);
    let outcome = xtask(&folder, &["replay", &lab(), "--tolerance", "0"]);
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(1), ""));
    assert!(outcome.stdout.ends_with("NOT within the tolerance of 0e0\n"), "{}", outcome.stdout);
}

#[test]
fn a_tolerance_that_makes_no_sense_is_refused() {
    for tolerance in ["x", "", "nan", "-1", "1e-4x"] {
        let texts = ["--tolerance", "a number from 0 on, such as 1e-4, is needed"];
        xtask(&temporary(), &["replay", &lab(), "--tolerance", tolerance]).refused(2, &texts);
    }
}

/// Two examples of a network of two units, whose recorded errors and final weights are zeros.
fn small() -> Value {
    let weights = json!({"w_in": [[0.5, -0.5], [0.25, 1]], "w_rec": [[0.1, 0.2], [0.3, 0.4]], "w_out": [1.0, -1.0]});
    let mut trace = json!({
        "format": "lab-trace-1", "bits": 3, "hidden": 2, "learning_rate": 0.1,
        "pairs": [[1, 2], [3, 3]], "errors": [0.0, 0.0], "final": weights,
    });
    for name in ["w_in", "w_rec", "w_out"] {
        trace[name] = weights[name].clone();
    }
    trace
}

#[test]
fn a_trace_that_tells_another_story_is_replayed_and_found_out() {
    let folder = temporary();
    fs::write(folder.path().join("trace.json"), small().to_string()).unwrap();
    let outcome = xtask_line(&folder, "replay trace.json --json");
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(1), ""));
    let json = json_line(&outcome.stdout);
    assert_eq!((&json["examples"], &json["within"]), (&2.into(), &false.into()));
    // Three digits, each about ½ off.
    assert!(json["max_error_difference"].as_f64().unwrap() > 1.0, "{json}");
    // The first weights are recorded as the final ones: off by two updates.
    let difference = json["max_weight_difference"].as_f64().unwrap();
    assert!(difference > 1e-3 && difference < 0.1, "{json}");
}

#[test]
fn a_trace_whose_parts_do_not_fit_is_refused_by_file_and_part() {
    let folder = temporary();
    for (pointer, value, text) in [
        ("/format", json!("lab-trace-2"), "has the format \"lab-trace-2\"; only \"lab-trace-1\""),
        ("/bits", json!(0), "0 bits cannot be trained"),
        ("/bits", json!(65), "65 bits cannot be trained"),
        ("/bits", json!(-1), "is not a trace"),
        ("/hidden", json!(0), "at least one hidden unit"),
        ("/hidden", json!(3), "should hold 2 rows of 3 values in `w_in`"),
        ("/hidden", json!(1_000_000_000), "does not fit in memory"),
        ("/learning_rate", json!(0), "a learning rate of 0 cannot train"),
        ("/learning_rate", json!(-1), "a learning rate of -1 cannot train"),
        ("/learning_rate", json!(1e300), "a learning rate of inf cannot train"),
        ("/learning_rate", json!(null), "is not a trace"),
        ("/pairs", json!([[1, 2]]), "holds 1 pairs but 2 errors"),
        ("/pairs", json!([[1, 2], [3]]), "is not a trace"),
        (
            "/pairs",
            json!([[1, 2], [3, 4]]),
            "the operand 4 in pair 1; with 3 bits operands are below 4",
        ),
        ("/pairs", json!([[1, 2], [3, -1]]), "is not a trace"),
        ("/pairs/0", json!([1, 2, 3]), "is not a trace"),
        ("/errors", json!([0.0, 0.0, 0.0]), "holds 2 pairs but 3 errors"),
        ("/errors/1", json!(null), "is not a trace"),
        (
            "/w_in",
            json!([[0.5, -0.5]]),
            "should hold 2 rows of 2 values in `w_in`; it holds 1 rows",
        ),
        ("/w_in/1", json!([0.5]), "should hold 2 rows of 2 values in `w_in`"),
        ("/w_rec/0", json!([0.1, 0.2, 0.3]), "should hold 2 rows of 2 values in `w_rec`"),
        ("/w_out", json!([1.0]), "should hold 2 values in `w_out`; it holds 1"),
        ("/w_out/0", json!(1e39), "no finite f32"),
        ("/final/w_in", json!([]), "should hold 2 rows of 2 values in `final.w_in`"),
        ("/final/w_rec/1", json!([]), "should hold 2 rows of 2 values in `final.w_rec`"),
        ("/final/w_out", json!([1, 2, 3]), "should hold 2 values in `final.w_out`; it holds 3"),
        ("/final", json!("zero"), "is not a trace"),
    ] {
        let mut trace = small();
        *trace.pointer_mut(pointer).unwrap() = value;
        fs::write(folder.path().join("trace.json"), trace.to_string()).unwrap();
        xtask_line(&folder, "replay trace.json").refused(1, &["trace.json", text]);
    }
}

#[test]
fn a_trace_without_one_of_its_lists_is_refused_by_name() {
    let folder = temporary();
    let parts = ["format", "bits", "hidden", "learning_rate", "pairs", "errors", "final"];
    for part in parts.into_iter().chain(["w_in", "w_rec", "w_out"]) {
        let mut trace = small();
        trace.as_object_mut().unwrap().remove(part).unwrap();
        fs::write(folder.path().join("trace.json"), trace.to_string()).unwrap();
        let missing = format!("missing field `{part}`");
        xtask_line(&folder, "replay trace.json")
            .refused(1, &["trace.json is not a trace", &missing]);
    }
}

#[test]
fn what_is_no_json_or_not_there_is_refused() {
    let folder = temporary();
    for text in ["", "not JSON", "{\"format\":", "[]", "null"] {
        fs::write(folder.path().join("trace.json"), text).unwrap();
        xtask_line(&folder, "replay trace.json").refused(1, &["trace.json is not a trace"]);
    }
    fs::write(folder.path().join("trace.json"), b"\xff\xfe\x00").unwrap();
    xtask_line(&folder, "replay trace.json").refused(1, &["cannot read the trace trace.json"]);
    xtask_line(&folder, "replay none.json").refused(1, &["cannot read the trace none.json"]);
    xtask_line(&folder, "replay .").refused(1, &["cannot read the trace ."]);
    xtask_line(&folder, "replay").refused(2, &["<FILE>"]);
}
