//! Series: what is read of a table, what is judged, and what is refused, by small tables.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use train::Error;
use train::batch::{Batch, Targets};
use train::config::RunConfig;
use train::strategy::Serial;
use train::task::Task;
use train::task::series::{Asked, Measures, Reading, Said, Series, SeriesScore, Split, Table};

/// A table of the columns `a` and `b`, 240 rows to train on, 30 to validate, 30 to test.
fn table(row: impl Fn(usize) -> String) -> String {
    (0..300).fold("a,b\n".to_owned(), |mut text, number| {
        writeln!(text, "{}", row(number)).unwrap();
        text
    })
}

/// The next three values of `a`, from eight rows.
fn reading() -> Reading {
    Reading {
        said: Said::default(),
        asked: Asked::Forecast(vec!["a".to_owned()], 3),
        inputs: None,
        time: None,
        calendar: Some(false),
        window: 8,
        split: Split::Shares([0.8, 0.1, 0.1]),
        stride: 1,
        season: 7,
    }
}

fn class() -> Reading {
    Reading { asked: Asked::Class("b".to_owned()), ..reading() }
}

/// In a folder that lasts as long as it is kept.
fn written(text: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.csv");
    fs::write(&path, text).unwrap();
    (folder, path)
}

fn open(text: &str, reading: &Reading) -> Result<Series, Error> {
    let (_folder, path) = written(text);
    Series::open(&path, reading)
}

/// The score after so many updates.
fn learned(text: &str, reading: &Reading, updates: u64) -> SeriesScore {
    let mut config = open(text, reading).unwrap().training();
    config.network.hidden = 8;
    config.run.examples = updates * config.run.batch as u64;
    let mut serial = Serial::new(&config).unwrap();
    serial.train(config.run.examples);
    config.task.evaluate(serial.parameters(), 0)
}

fn measures(score: &SeriesScore) -> (&Measures, &[(String, Measures)]) {
    match score {
        SeriesScore::Forecast { test, baselines, .. } => (test, baselines),
        SeriesScore::Classes { .. } => panic!("{score}"),
    }
}

#[track_caller]
fn refused(text: &str, reading: &Reading, reasons: &[&str]) {
    let error = open(text, reading).unwrap_err().to_string();
    for reason in reasons {
        assert!(error.contains(reason), "{reason}: {error}");
    }
}

/// Values that come again after seven rows, and a column that says nothing.
fn week() -> String {
    table(|n| format!("{},{}", [3, 1, 4, 1, 5, 9, 2][n % 7], n % 3))
}

#[test]
fn what_comes_again_is_learned_and_stands_beside_what_needs_no_network() {
    let score = learned(&week(), &reading(), 500);
    let (test, baselines) = measures(&score);
    let rmse = |name: &str| baselines.iter().find(|(known, _)| known == name).unwrap().1.rmse;
    assert_eq!(rmse("one season ago"), 0.0);
    assert!(test.rmse < 0.5 * rmse("mean") && rmse("mean") < rmse("last value"), "{score}");
}

#[test]
fn a_missing_value_of_a_target_counts_nowhere() {
    // Every fifth is not known; the others are as they were.
    let gaps = table(|n| {
        let value = [3, 1, 4, 1, 5, 9, 2][n % 7].to_string();
        format!("{},{}", if n % 5 == 0 { "NA" } else { &value }, n % 3)
    });
    let series = open(&gaps, &reading()).unwrap();
    let (inputs, _) = series.io();
    assert_eq!(inputs, 3); // a, its mask, b
    let score = learned(&gaps, &reading(), 500);
    let (test, baselines) = measures(&score);
    assert!(test.mae.is_finite() && baselines.iter().all(|(_, all)| all.rmse.is_finite()));
    // A year ago of a season of a week is before the first row, and so is not there.
    let names: Vec<_> = baselines.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["last value", "one season ago", "mean"]);
    assert!(test.rmse < 2.0, "{score}");
}

#[test]
fn a_mask_is_shown_only_of_what_training_saw_missing() {
    let text = table(|n| format!("{},{}", n % 7, if n < 280 { "1.5" } else { "?" }));
    assert_eq!(open(&text, &reading()).unwrap().io().0, 2);
}

#[test]
fn a_column_that_is_constant_in_training_is_shown_as_it_is() {
    // The mean of 240 times 0.1 is not quite 0.1.
    let text = table(|n| format!("{},{}", n % 7, if n < 240 { "0.1" } else { "0.2" }));
    let series = open(&text, &reading()).unwrap();
    let scaled = series.inputs().iter().find(|input| input.column == "b").unwrap();
    assert_eq!((scaled.mean, scaled.deviation), (0.1, 1.0));
}

#[test]
fn a_label_that_training_never_saw_is_told_wrongly() {
    let text =
        table(|n| format!("{},{}", n % 7, if n < 285 { ["x", "y", "y"][n % 3] } else { "z" }));
    let SeriesScore::Classes { test, .. } = learned(&text, &class(), 100) else {
        panic!("classes")
    };
    assert!(test.accuracy() <= 0.5, "{test}");
    assert_eq!(test.most_frequent(), 10.0 / 30.0); // "y", of the first half
}

#[test]
fn the_same_classes_are_learned_from_what_tells_them() {
    let text = table(|n| format!("{},{}", n % 4, if n % 4 < 2 { "low" } else { "high" }));
    let SeriesScore::Classes { test, valid } = learned(&text, &class(), 300) else {
        panic!("classes")
    };
    assert_eq!((test.accuracy(), valid.accuracy()), (1.0, 1.0), "{test}");
}

#[test]
fn a_table_in_which_nothing_can_be_judged_is_refused() {
    let gap = |from: usize, to: usize| {
        table(move |n| {
            let value = if (from..to).contains(&n) { "NA".to_owned() } else { (n % 7).to_string() };
            format!("{value},{}", n % 3)
        })
    };
    refused(&gap(270, 300), &reading(), &["data.csv", "\"a\"", "rows to test", "270..300"]);
    refused(&gap(240, 270), &reading(), &["data.csv", "\"a\"", "rows to validate", "240..270"]);
    refused(&gap(0, 240), &reading(), &["data.csv", "no value in column \"a\""]);
    let labels = |from: usize, label: &'static str| {
        table(move |n| format!("{},{}", n % 7, if n < from { ["x", "y"][n % 2] } else { label }))
    };
    refused(&labels(270, ""), &class(), &["\"b\"", "rows to test"]);
    refused(&labels(240, "z"), &class(), &["\"b\"", "rows to validate"]);
}

#[test]
fn numbers_that_no_scaling_makes_small_are_refused_by_column_and_row() {
    let spike = |at: usize, value: &'static str| {
        table(move |n| format!("{},{}", n % 7, if n < at { "1" } else { value }))
    };
    refused(&spike(280, "1e39"), &reading(), &["\"b\"", "row 281", "mean of 1 "]);
    let target =
        table(|n| format!("{},{}", if n == 290 { "1e40" } else { ["1", "2"][n % 2] }, n % 3));
    refused(&target, &reading(), &["\"a\"", "row 291"]);
    let inputs = Some(vec!["b".to_owned()]);
    refused(&target, &Reading { inputs, ..reading() }, &["\"a\"", "row 291"]);
    refused(&table(|n| format!("{}e200,1", n % 7 + 1)), &reading(), &["\"a\"", "larger unit"]);
}

#[test]
fn what_does_not_go_with_the_rows_is_refused_with_the_remedy() {
    let series = Reading { season: 240, ..reading() };
    refused(&week(), &series, &["season of 240", "240 rows to train on", "--season"]);
    refused(&week(), &Reading { window: 400, ..reading() }, &["window of 400", "--window"]);
    let constant = table(|n| format!("5,{n}"));
    refused(&constant, &reading(), &["\"a\"", "nothing to forecast"]);
    let asked = Asked::Forecast(vec!["c".to_owned()], 3);
    refused(&week(), &Reading { asked, ..reading() }, &["no column \"c\"", "\"a\", \"b\""]);
    refused(&week(), &Reading { calendar: Some(true), ..reading() }, &["no column of times"]);
}

#[test]
fn a_task_comes_back_from_a_file_with_its_table_unless_that_has_changed() {
    let (_folder, path) = written(&week());
    let config = Series::open(&path, &reading()).unwrap().training();
    let mut again = RunConfig::<Series>::from_toml(&config.to_toml()).unwrap();
    assert_eq!(again, config);
    again.task.prepare().unwrap();
    let [mut one, mut two] = [&config, &again].map(|config| Serial::new(config).unwrap());
    assert_eq!(one.train(320), two.train(320));
    assert_eq!(one.parameters().arena(), two.parameters().arena());

    fs::write(&path, week().replacen('3', "4", 1)).unwrap();
    let error = again.task.prepare().unwrap_err().to_string();
    assert!(error.contains("data.csv has changed"), "{error}");
}

/// The loss of outputs `y`, and its gradient.
fn loss(series: &Series, batch: &Batch, y: &[f32]) -> (f64, Vec<f32>) {
    let mut dy = vec![f32::NAN; y.len()];
    (series.loss(batch, y, &mut dy).loss, dy)
}

#[test]
fn the_gradient_of_a_loss_is_its_central_difference_and_zero_where_nothing_is_known() {
    let forecast = open(&week(), &reading()).unwrap();
    let classes = table(|n| format!("{},{}", n % 4, ["x", "y", "z"][n % 3]));
    let classes = open(&classes, &class()).unwrap();
    let truth = [0.5, f32::NAN, -0.25, 2.0, 7.5, f32::NAN];
    let mut values = Batch { count: 2, ..Batch::default() };
    let Targets::Values(targets) = &mut values.targets else { panic!("by default") };
    targets.resize(truth.len());
    targets.copy_from_slice(&truth);
    let labels = Batch { count: 2, targets: Targets::Classes(vec![2, 0]), ..Batch::default() };
    for (series, batch) in [(&forecast, &values), (&classes, &labels)] {
        // On both sides of where Huber's loss turns straight.
        let y = [0.25, 3.0, 0.5, 1.75, -1.0, 0.0];
        let (_, dy) = loss(series, batch, &y);
        for (n, dy) in dy.iter().enumerate() {
            let at = |step: f32| {
                let mut y = y;
                y[n] += step;
                loss(series, batch, &y).0
            };
            let step = 1.0 / 128.0;
            let expected = (at(step) - at(-step)) / (2.0 * f64::from(step));
            assert!((f64::from(*dy) - expected).abs() < 2e-4, "{n}: {dy}, {expected}");
            let is_known = !matches!(batch.targets, Targets::Values(_)) || !truth[n].is_nan();
            assert!(is_known || *dy == 0.0, "{n}");
        }
    }
}

#[test]
fn what_comes_later_changes_nothing_that_was_learned_or_said_before() {
    let changed = |from: usize| {
        table(move |n| {
            let value = [3, 1, 4, 1, 5, 9, 2][n % 7] + if n < from { 0 } else { 5 * (n % 3) };
            format!("{value},{}", n % 3)
        })
    };
    let train = |text: &str| {
        let mut config = open(text, &reading()).unwrap().training();
        config.network.hidden = 8;
        let mut serial = Serial::new(&config).unwrap();
        serial.train(640);
        let valid = config.task.validate(serial.parameters());
        let data = config.task.data();
        let forecasts = config.task.forecasts(data, serial.parameters(), &[240, 270, 275]);
        (serial.parameters().arena().to_vec(), valid, forecasts)
    };
    // Other test rows: the same network, the same validation, the same forecasts up to there.
    let (weights, valid, forecasts) = train(&week());
    let (same, same_valid, later) = train(&changed(270));
    assert_eq!((&weights, valid, &forecasts[..6]), (&same, same_valid, &later[..6]));
    assert_ne!(forecasts[6..], later[6..]);
    // Other validation rows: the same network, another choice.
    let (same, other_valid, _) = train(&changed(240));
    assert!(weights == same && valid != other_valid);
}

#[test]
fn a_forecast_needs_no_more_of_a_table_than_its_window_and_the_row_before() {
    let text = table(|n| {
        let cell = |missing: bool| if missing { "NA".to_owned() } else { (n * n % 7).to_string() };
        format!("{},{}", cell(n % 3 == 1), cell(n > 280))
    });
    let config = open(&text, &reading()).unwrap().training();
    let serial = Serial::new(&config).unwrap();
    for rows in 290..=300 {
        let text: String = text.split_inclusive('\n').take(rows + 1).collect();
        let whole = Table::read(Path::new("x"), text.as_bytes(), Said::default()).unwrap();
        let forecast = |table: &Table| {
            let data = config.task.data_of(Path::new("x"), table).unwrap();
            config.task.forecasts(&data, serial.parameters(), &[table.rows])
        };
        assert_eq!(forecast(&whole), forecast(&whole.last(9)), "{rows}");
    }
}
