//! The recorded float64 trainings, replayed in float32.

use serde_json::Value;
use std::path::Path;
use train::task::trace::{Replay, Trace};

const LAB: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/lab-seed-0.json");

/// What `cargo xtask replay` promises by default.
const TOLERANCE: f64 = 1e-4;

fn lab() -> Value {
    serde_json::from_str(&std::fs::read_to_string(LAB).unwrap()).unwrap()
}

/// Replays `trace` by way of a file, as all traces come.
fn replay(trace: &Value) -> Replay {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), trace.to_string()).unwrap();
    Trace::read(file.path()).unwrap().replay().unwrap()
}

#[test]
fn the_lab_stays_within_1e_4_of_float64_over_all_10_000_examples() {
    let replay = Trace::read(Path::new(LAB)).unwrap().replay().unwrap();
    assert_eq!(replay.examples, 10_000);
    assert!(replay.max_error_difference <= TOLERANCE, "{replay:?}");
    assert!(replay.max_weight_difference <= TOLERANCE, "{replay:?}");
    assert!(replay.within(TOLERANCE) && !replay.within(0.0), "{replay:?}");
}

#[test]
fn one_changed_error_is_the_largest_difference() {
    let mut trace = lab();
    let error = &mut trace["errors"][7_000];
    *error = (error.as_f64().unwrap() + 0.01).into();
    let replay = replay(&trace);
    assert!((replay.max_error_difference - 0.01).abs() <= TOLERANCE, "{replay:?}");
    assert!(replay.max_weight_difference <= TOLERANCE, "{replay:?}");
    assert!(!replay.within(1e-4) && replay.within(0.011), "{replay:?}");
}

#[test]
fn one_changed_final_weight_is_the_largest_difference_wherever_it_stands() {
    for pointer in ["/final/w_in/1/15", "/final/w_rec/3/8", "/final/w_out/0"] {
        let mut trace = lab();
        let weight = trace.pointer_mut(pointer).unwrap();
        *weight = (weight.as_f64().unwrap() - 0.01).into();
        let replay = replay(&trace);
        assert!(replay.max_error_difference <= TOLERANCE, "{pointer} {replay:?}");
        assert!((replay.max_weight_difference - 0.01).abs() <= TOLERANCE, "{pointer} {replay:?}");
    }
}

#[test]
fn one_changed_first_weight_leads_elsewhere() {
    // Were the recurrent weights read transposed, or the inputs exchanged, no replay would fit.
    for pointer in ["/w_in/0/3", "/w_rec/2/9", "/w_out/15"] {
        let mut trace = lab();
        let weight = trace.pointer_mut(pointer).unwrap();
        *weight = (weight.as_f64().unwrap() + 0.01).into();
        assert!(!replay(&trace).within(1e-4), "{pointer}");
    }
}

#[test]
fn a_difference_that_is_no_number_is_never_within() {
    let nan = Replay { examples: 1, max_error_difference: f64::NAN, max_weight_difference: 0.0 };
    assert!(!nan.within(f64::INFINITY));
    let nan = Replay { examples: 1, max_error_difference: 0.0, max_weight_difference: f64::NAN };
    assert!(!nan.within(f64::INFINITY));
}
