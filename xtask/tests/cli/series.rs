//! Series: `train series`, `forecast`, and what they refuse.

use crate::{assert_keys, command, contents, json_line, names, temporary, xtask, xtask_line};
use serde_json::Value;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// A training of some milliseconds.
const TRAIN: &str = "train series load.csv --target load --window 14 --horizon 7 --season 7 \
                     --hidden 8 --examples 3200";

/// The same without what forecasts alone take.
const CLASSIFY: &str =
    "train series load.csv --classify kind --window 4 --hidden 8 --examples 3200";

const WEEK: [f64; 7] = [3.5, 1.25, 4.0, 1.5, 5.0, 9.25, 2.0];

/// 400 days: a load that comes again each week, a number that says nothing, and whether the day
/// is of a weekend.
fn days() -> String {
    let mut text = "day,load,noise,kind\n".to_owned();
    for n in 0..400 {
        let (month, day) = (n / 28 % 12 + 1, n % 28 + 1);
        let kind = if n % 7 < 5 { "work" } else { "rest" };
        writeln!(
            text,
            "{}-{month:02}-{day:02},{},{},{kind}",
            2010 + n / 336,
            WEEK[n % 7],
            n * n % 11
        )
        .unwrap();
    }
    text
}

/// A folder with a table.
fn with_table() -> TempDir {
    let folder = temporary();
    fs::write(folder.path().join("load.csv"), days()).unwrap();
    folder
}

/// A folder with a table, and a network that learned it in `run`.
fn learned() -> TempDir {
    let folder = with_table();
    assert_eq!(xtask_line(&folder, &format!("{TRAIN} --quiet --out run")).success(), "");
    folder
}

fn read(folder: &TempDir, name: &str) -> String {
    fs::read_to_string(folder.path().join(name)).unwrap()
}

#[track_caller]
fn assert_is_xml(folder: &TempDir, name: &str, texts: &[&str]) {
    let svg = read(folder, name);
    roxmltree::Document::parse(&svg).unwrap();
    for text in texts {
        assert!(svg.contains(text), "{text}");
    }
}

fn number(object: &Value, path: &str) -> f64 {
    object.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("{path}: {object}"))
}

#[test]
fn a_series_is_learned_and_stands_beside_what_needs_no_network() {
    let folder = with_table();
    let line = TRAIN.replace("3200", "48000");
    let shown = xtask_line(&folder, &format!("{line} --out run --json")).success();
    for text in [
        "320 rows to train on, 40 to validate, 40 to test",
        "windows of 14 rows: load, noise, weekday",
        "network, test",
        "last value",
        "one season ago",
        "mean",
        "MASE",
        "The run is in run",
        "cargo xtask forecast run FILE.csv",
    ] {
        assert!(shown.contains(text), "{text}: {shown}");
    }
    let json = json_line(&shown);
    for key in ["task", "seed", "seconds", "updates", "valid", "test", "baselines", "run"] {
        assert!(json.get(key).is_some(), "{key}: {json}");
    }
    assert_eq!(json["task"], "series");
    assert!((1.0..=750.0).contains(&number(&json, "/updates")), "{json}");
    for part in ["valid", "test"] {
        assert_keys(&json[part], &["mae", "rmse", "mase"]);
    }
    assert_keys(&json["baselines"], &["last value", "one season ago", "mean"]);
    assert_eq!(number(&json, "/baselines/one season ago/rmse"), 0.0);
    assert_eq!(json["horizon_rmse"].as_array().unwrap().len(), 7);
    assert!(number(&json, "/test/rmse") < number(&json, "/baselines/mean/rmse"), "{json}");
    let files = names(&folder.path().join("run"));
    let expected =
        ["config.toml", "curve.svg", "forecast.svg", "metrics.jsonl", "model.safetensors"];
    assert_eq!(files, expected);
    let config = read(&folder, "run/config.toml");
    for text in ["name = \"series\"", "load.csv", "sha256", "window = 14", "deviation", "mean"] {
        assert!(config.contains(text), "{text}: {config}");
    }
    assert_is_xml(
        &folder,
        "run/forecast.svg",
        &["load", "forecast", "truth", "rows ahead", "RMSE"],
    );
}

#[test]
fn many_seeds_are_compared_by_their_error_on_the_test() {
    let folder = with_table();
    let json = xtask_line(&folder, &format!("{TRAIN} --seeds 0..3 --json --quiet")).json();
    let rows = json["rows"].as_array().unwrap();
    let mut errors: Vec<f64> = rows.iter().map(|row| number(row, "/test/rmse")).collect();
    errors.sort_by(f64::total_cmp);
    assert_eq!((number(&json, "/median"), number(&json, "/best")), (errors[1], errors[0]));
    assert_eq!(json["quartiles"].as_array().unwrap().len(), 2);
    assert_eq!(json["figure"], "test_rmse");
}

#[test]
fn rows_are_split_as_they_are_named_and_judged_by_the_stride() {
    let folder = with_table();
    let line = format!("{TRAIN} --train-rows 1..300 --test-rows 300..398 --valid 0.2 --stride 7");
    let shown = xtask_line(&folder, &format!("{line} --json")).success();
    assert!(shown.contains("239 rows to train on, 60 to validate, 98 to test"), "{shown}");
    assert_eq!(json_line(&shown)["stride"], 7);
    let config = read(&folder, "runs/0001/config.toml");
    for rows in ["end = 240\nstart = 1\n", "end = 300\nstart = 240\n", "end = 398\nstart = 300\n"] {
        assert!(config.contains(rows), "{rows}: {config}");
    }
}

#[test]
fn a_file_is_continued_from_its_end() {
    let folder = with_table();
    let line = TRAIN.replace("3200", "48000");
    xtask_line(&folder, &format!("{line} --quiet --out run")).success();
    let shown = xtask_line(&folder, "forecast run load.csv").success();
    assert!(shown.contains("7 rows behind the 400 of load.csv"), "{shown}");
    let forecast = read(&folder, "forecast.csv");
    let lines: Vec<_> = forecast.lines().collect();
    assert_eq!((lines.len(), lines[0]), (8, "day,load"));
    // The day behind 2011-03-08, and so on.
    assert!(
        lines[1].starts_with("2011-03-09,") && lines[7].starts_with("2011-03-15,"),
        "{forecast}"
    );
    let values = lines[1..].iter().map(|line| line.split(',').nth(1).unwrap().parse::<f64>());
    let error: f64 = values.zip(400..).map(|(value, n)| (value.unwrap() - WEEK[n % 7]).abs()).sum();
    assert!(error / 7.0 < 1.0, "{forecast}");
    assert_is_xml(&folder, "forecast.svg", &["forecast", "the file", "load"]);

    // Fewer, elsewhere, by the latest run; and the same again.
    xtask_line(&folder, "forecast run load.csv --steps 2 --out two.csv").success();
    assert_eq!(
        read(&folder, "two.csv"),
        lines[..3].iter().map(|line| format!("{line}\n")).collect::<String>()
    );
    let to_stdout =
        xtask_line(&folder, "forecast run load.csv --steps 2 --out /dev/stdout").success();
    assert_eq!(to_stdout, read(&folder, "two.csv"));
}

#[test]
fn more_rows_than_the_horizon_are_forecast_where_all_that_is_shown_is_forecast_or_the_clock() {
    let folder = learned();
    let refused = xtask_line(&folder, "forecast run load.csv --steps 8");
    refused.refused(2, &["--steps of 8", "7", "noise", "--inputs"]);
    assert!(!folder.path().join("forecast.csv").exists());
    let line = format!("{TRAIN} --inputs load --calendar --quiet --out alone");
    xtask_line(&folder, &line).success();
    xtask_line(&folder, "forecast alone load.csv --steps 17").success();
    let forecast = read(&folder, "forecast.csv");
    assert_eq!(forecast.lines().count(), 18);
    assert!(forecast.lines().last().unwrap().starts_with("2011-03-25,"), "{forecast}");
}

#[test]
fn labels_are_told_and_the_confusion_is_shown() {
    let folder = with_table();
    let line = CLASSIFY.replace("3200", "32000");
    let shown = xtask_line(&folder, &format!("{line} --json --out run")).success();
    for text in ["told rightly", "most frequent class", "told:", "rest", "work"] {
        assert!(shown.contains(text), "{text}: {shown}");
    }
    let json = json_line(&shown);
    assert!(number(&json, "/test/accuracy") > number(&json, "/baselines/most frequent/accuracy"));
    assert_eq!(json["confusion"].as_array().unwrap().len(), 2);
    let refused = xtask_line(&folder, "forecast run load.csv");
    refused.refused(1, &["tells classes", "--target"]);
}

#[test]
fn delimiters_decimal_commas_and_gaps_are_read() {
    let folder = with_table();
    let table = days().replace(',', ";").replace('.', ",").replace(";9,25;", ";?;");
    fs::write(folder.path().join("load.csv"), table).unwrap();
    let line = format!("{TRAIN} --json --out run");
    let json = xtask_line(&folder, &line).json();
    assert!(number(&json, "/test/mae").is_finite());
    let config = read(&folder, "run/config.toml");
    assert!(
        config.contains("is_masked = true") && config.contains("delimiter = \";\""),
        "{config}"
    );
    xtask_line(&folder, "forecast run load.csv").success();
    let forecast = read(&folder, "forecast.csv");
    assert!(forecast.starts_with("day;load\n2011-03-09;"), "{forecast}");
    assert_eq!(forecast.matches(',').count(), 7, "{forecast}");
    let said = format!("{line} --force --delimiter ; --decimal ,");
    assert_eq!(xtask(&folder, &said.split_whitespace().collect::<Vec<_>>()).code, Some(0));
    let wrong =
        xtask(&folder, &format!("{TRAIN} --decimal .").split_whitespace().collect::<Vec<_>>());
    wrong.refused(1, &["load.csv has words in column \"load\"", "--decimal"]);
}

/// Starts a training, and ends it by an interrupt once it has begun.
fn stop(folder: &TempDir, line: &str) {
    let mut child = command(folder, &line.split_whitespace().collect::<Vec<_>>())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begun = folder.path().join("run/metrics.jsonl.unfinished");
    let has_line = || fs::metadata(&begun).is_ok_and(|metadata| metadata.len() > 0);
    let start = std::time::Instant::now();
    while !has_line() && start.elapsed().as_secs() < 60 {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[test]
fn a_stopped_series_is_resumed_to_the_same_bits_and_a_changed_file_refused() {
    let folder = with_table();
    let line = TRAIN.replace("3200", "96000");
    xtask_line(&folder, &format!("{line} --quiet --out whole")).success();
    stop(&folder, &format!("{line} --out run"));
    let table = days();
    fs::write(folder.path().join("load.csv"), table.replacen("3.5", "3.6", 1)).unwrap();
    let refused = xtask_line(&folder, "train --resume run");
    refused.refused(1, &["load.csv has changed since the training began", "put back"]);
    fs::write(folder.path().join("load.csv"), table).unwrap();
    xtask_line(&folder, "train --resume run --quiet").success();
    let model =
        |name: &str| contents(&folder.path().join(name)).remove("model.safetensors").unwrap();
    assert!(model("run") == model("whole"));
    assert_is_xml(&folder, "run/forecast.svg", &["truth"]);
}

#[test]
fn what_makes_no_sense_for_a_series_is_refused_and_makes_no_folder() {
    let folder = with_table();
    let path = |name: &str| folder.path().join(name);
    for (name, text) in [
        ("empty.csv", String::new()),
        ("header.csv", "a,b\n".to_owned()),
        ("bare.csv", "1,2\n3,4\n".to_owned()),
        ("ragged.csv", format!("{}2012-01-01,5\n", days())),
        ("infinite.csv", days().replacen(",4,", ",inf,", 1)),
        ("constant.csv", "load,b\n".to_owned() + &"5,1\n5,2\n".repeat(200)),
        ("missing.csv", "load,b\n".to_owned() + &"NA,1\n?,2\n".repeat(200)),
        ("twice.csv", "load,load\n1,2\n".to_owned()),
    ] {
        fs::write(path(name), text).unwrap();
    }
    fs::write(path("latin.csv"), b"load,b\xe4\n1,2\n").unwrap();
    assert!(Command::new("mkfifo").arg(path("pipe")).status().unwrap().success());
    let long = "--window 14 --horizon 7";
    for (line, code, texts) in [
        ("train series", 2, &["FILE.csv"][..]),
        ("train series load.csv", 2, &["--target"]),
        ("train series nothing.csv --target load", 1, &["cannot read nothing.csv"]),
        ("train series . --target load", 1, &["is a folder"]),
        ("train series pipe --target load", 1, &["no regular file"]),
        ("train series empty.csv --target load", 1, &["empty.csv is empty"]),
        ("train series header.csv --target a", 1, &["header.csv has a header and no rows"]),
        ("train series bare.csv --target 1", 1, &["bare.csv has no header", "line above"]),
        ("train series latin.csv --target load", 1, &["no UTF-8 in line 1", "convert"]),
        ("train series twice.csv --target load", 1, &["two columns \"load\"", "rename"]),
        ("train series ragged.csv --target load", 1, &["2 cells in line 402", "4 columns"]),
        ("train series infinite.csv --target load", 1, &["inf in line 4", "\"load\"", "finite"]),
        (
            "train series constant.csv --target load",
            1,
            &["has 5 in all rows", "nothing to forecast"],
        ),
        ("train series missing.csv --target load", 1, &["no value in column \"load\""]),
        (
            "train series load.csv --target power",
            1,
            &["no column \"power\"", "\"load\", \"noise\""],
        ),
        ("train series load.csv --target kind", 1, &["words in column \"kind\"", "numbers"]),
        ("train series load.csv --target load --inputs power", 1, &["no column \"power\""]),
        ("train series load.csv --target load --time load", 1, &["numbers in column \"load\""]),
        ("train series load.csv --target load,load", 2, &["\"load\" is given twice"]),
        ("train series load.csv --target load --window 400", 2, &["320 rows", "--window"]),
        ("train series load.csv --target load --horizon 0", 2, &["--horizon"]),
        ("train series load.csv --target load --split 0.5,0.5", 2, &["three shares"]),
        ("train series load.csv --target load --split 0.9,0.9,0.1", 2, &["add up to 1"]),
        ("train series load.csv --target load --train-rows 0..300", 2, &["--test-rows"]),
        ("train series load.csv --target load --train-rows 9..2 --test-rows 1..2", 2, &["0..1000"]),
        (
            "train series load.csv --target load --train-rows 0..300 --test-rows 200..400",
            2,
            &["overlap"],
        ),
        (
            "train series load.csv --target load --train-rows 0..300 --test-rows 300..401",
            2,
            &["400 rows", "401"],
        ),
        ("train series load.csv --target load --delimiter , --decimal ,", 2, &["both be a comma"]),
        ("train series load.csv --target load --delimiter xy", 2, &["one character"]),
        ("train series load.csv --target load --classify kind", 2, &["cannot be used with"]),
        ("train series load.csv --classify day", 1, &["times in column \"day\""]),
        ("train series load.csv --classify kind --inputs kind", 2, &["would be shown"]),
        ("train series load.csv --target load --bits 8", 2, &["--bits"]),
        ("train series constant.csv --target b --calendar", 1, &["no column of times"]),
    ] {
        let line = if line.contains("--window")
            || line.contains("--horizon")
            || line.contains("--classify")
            || !line.contains("--target")
        {
            line.to_owned()
        } else {
            format!("{line} {long}")
        };
        xtask_line(&folder, &line).refused(code, texts);
    }
    assert!(!folder.path().join("runs").exists());
}

#[test]
fn what_cannot_be_continued_is_refused_and_writes_nothing() {
    let folder = learned();
    xtask_line(&folder, "train --quiet --out sums").success();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("short.csv", &days().lines().take(10).fold(String::new(), |all, line| all + line + "\n"));
    write("other.csv", &days().replacen("noise", "wind", 1));
    write("words.csv", &days().replace(",3.5,", ",much,"));
    write("empty.csv", "");
    for (line, code, texts) in [
        ("forecast sums load.csv", 1, &["learned the task addition and cannot forecast"][..]),
        ("forecast run short.csv", 1, &["short.csv has 9 rows", "window of 14"]),
        ("forecast run other.csv", 1, &["no column \"noise\"", "\"wind\""]),
        ("forecast run words.csv", 1, &["words in column \"load\""]),
        ("forecast run empty.csv", 1, &["empty.csv is empty"]),
        ("forecast run nothing.csv", 1, &["cannot read nothing.csv"]),
        ("forecast nothing load.csv", 1, &["no finished run in nothing"]),
        ("forecast run load.csv --out forecast.svg", 2, &["another ending"]),
        ("forecast run load.csv --steps 0", 2, &["--steps"]),
        ("forecast", 2, &["FILE.csv"]),
        ("add 1 2 --run run", 1, &["learned the task series and cannot add"]),
        ("certify --run run", 1, &["learned the task series"]),
        ("sample run", 1, &["learned the task series and cannot write"]),
        ("evaluate run load.csv", 1, &["learned the task series"]),
        ("train --resume run", 2, &["is finished"]),
    ] {
        xtask_line(&folder, line).refused(code, texts);
    }
    for name in ["forecast.csv", "forecast.svg"] {
        assert!(!Path::new(&folder.path().join(name)).exists(), "{name}");
    }
}
