//! The statistics of samples beside a reference, with samples that are made up.

#[path = "../moments.rs"]
mod moments;

use moments::{Moment, Summary, TOLERANCE};

fn moment(ns: f64, before: f64, after: f64) -> Moment {
    Moment { ns, before, after }
}

#[test]
fn samples_beside_a_slow_reference_are_thrown_away_and_counted() {
    let summary = Summary::of(&[
        moment(10.0, 100.0, 100.0),
        moment(12.0, 100.0, 98.0),
        moment(11.0, 98.0, 96.0),
        // Slow before, slow after, and slow at both ends; the first is even the shortest of all.
        moment(5.0, 60.0, 100.0),
        moment(30.0, 100.0, 94.0),
        moment(40.0, 50.0, 50.0),
    ]);
    let expected = Summary {
        samples: 6,
        thrown_away: 3,
        best_ns: 10.0,
        median_ns: 11.0,
        least_cost: 1_000.0,
        median_cost: 1_067.0, // 11 · 97
        reference_best: 100.0,
        reference_median: 97.0, // of 100, 99, 97, 80, 97 and 50
    };
    assert_eq!(summary, Some(expected));
}

#[test]
fn the_line_between_kept_and_thrown_away_is_the_tolerance() {
    let summary = |after: f64| {
        let samples = [moment(1.0, 200.0, 200.0), moment(2.0, 200.0, after)];
        Summary::of(&samples).unwrap().thrown_away
    };
    let line = 200.0 * (1.0 - TOLERANCE);
    assert_eq!([line, line - 1e-9].map(summary), [0, 1]);
}

#[test]
fn a_clock_that_moves_changes_the_time_and_not_the_cost() {
    // The same work at clocks of 100, 98 and 96 %: 500 FLOP of the peak.
    let samples = [100.0, 98.0, 96.0].map(|peak| moment(500.0 / peak, peak, peak));
    let summary = Summary::of(&samples).unwrap();
    assert_eq!(summary.thrown_away, 0);
    for (found, expected) in [
        (summary.least_cost, 500.0),
        (summary.median_cost, 500.0),
        (summary.best_ns, 5.0),
        (summary.median_ns, 500.0 / 98.0),
    ] {
        assert!((found - expected).abs() < 1e-9, "{found} is not {expected}");
    }
}

#[test]
fn an_even_count_has_the_mean_of_the_middle_two_and_an_interruption_leaves_the_median() {
    let samples = [7.0, 9.0, 8.0, 4_000.0].map(|ns| moment(ns, 10.0, 10.0));
    let summary = Summary::of(&samples).unwrap();
    assert_eq!((summary.best_ns, summary.median_ns), (7.0, 8.5));
    assert_eq!((summary.samples, summary.thrown_away), (4, 0));
}

#[test]
fn where_all_are_disturbed_all_count_and_all_are_said_to_be_thrown_away() {
    let summary = Summary::of(&[moment(3.0, 100.0, 50.0), moment(5.0, 50.0, 100.0)]).unwrap();
    assert_eq!((summary.samples, summary.thrown_away), (2, 2));
    assert_eq!((summary.best_ns, summary.median_ns), (3.0, 4.0));
}

#[test]
fn no_samples_have_no_summary() {
    assert_eq!(Summary::of(&[]), None);
}
