//! `cargo xtask train series`: a network that forecasts columns of a table, or tells the kind of
//! a stretch of it.

use super::common::Common;
use super::ending::{Ending, Picture};
use super::start::start;
use crate::Usage;
use crate::chart::forecast::{Tested, tested};
use crate::numbers::whole;
use crate::output::{Progress, thousands};
use model::Parameters;
use std::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;
use train::task::series::{Asked, Goal, Reading, Said, Series, Split, window_for};

/// A series of your own: forecast columns of a CSV file, or tell the kind of a stretch of it
///
/// The network reads a window of rows and says the next values of the targets. Rows are split by
/// time: the first are trained on, the next choose the best parameters, the last judge it, beside
/// forecasts that need no network. Scaling is measured on the training rows alone. Missing values
/// (empty, NA, NaN, ?) are shown as the value before, with a mask beside it, and never counted.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask train series power.csv --target power --calendar
  cargo xtask train series daily.csv --target sales --window 28 --horizon 7 --season 7 --seeds 0..20
  cargo xtask train series moves.csv --classify activity --window 50
  cargo xtask forecast power.csv             and this continues a file")]
pub struct SeriesArgs {
    /// The table, with a header; rows in the order of time
    #[arg(value_name = "FILE.csv")]
    file: PathBuf,

    /// The columns to forecast
    #[arg(
        long,
        value_name = "COLUMN[,COLUMN]",
        value_delimiter = ',',
        required_unless_present = "classify",
        conflicts_with = "classify"
    )]
    target: Vec<String>,

    /// Tell the label in this column instead, in the last row of a window
    #[arg(long, value_name = "COLUMN")]
    classify: Option<String>,

    /// The columns that are shown [default: all of numbers]
    #[arg(long, value_name = "COLUMN,…", value_delimiter = ',')]
    inputs: Option<Vec<String>>,

    /// W, the rows of a window [default: a season, but at least 14]
    #[arg(long, value_name = "ROWS", value_parser = whole::<usize>(1..=65_536),
          allow_negative_numbers = true)]
    window: Option<usize>,

    /// The rows that are forecast [default: 24]
    #[arg(long, value_name = "ROWS", conflicts_with = "classify",
          value_parser = whole::<usize>(1..=65_536), allow_negative_numbers = true)]
    horizon: Option<usize>,

    /// The column of times [default: the first one that holds times]
    #[arg(long, value_name = "COLUMN")]
    time: Option<String>,

    /// Show the calendar, as sine and cosine, from the column of times: the hour, the weekday, and
    /// the day of the year where the training rows span two [default: where there are times]
    #[arg(long, conflicts_with = "no_calendar")]
    calendar: bool,

    /// Do not show it
    #[arg(long)]
    no_calendar: bool,

    /// Rows after which the pattern comes again, for the baselines and the scaled error
    #[arg(long, value_name = "ROWS", default_value_t = 24,
          value_parser = whole::<usize>(1..=16_777_216), allow_negative_numbers = true)]
    season: usize,

    /// The shares of the rows for training, validation and test, in the order of time [default:
    /// 0.8,0.1,0.1]
    #[arg(long, value_name = "A,B,C", value_parser = shares, allow_hyphen_values = true)]
    split: Option<[f64; 3]>,

    /// The rows to train on instead, from 0, the second number excluded
    #[arg(long, value_name = "FROM..TO", value_parser = rows, conflicts_with = "split",
          requires = "test_rows", allow_hyphen_values = true)]
    train_rows: Option<Range<usize>>,

    /// The rows to test on
    #[arg(long, value_name = "FROM..TO", value_parser = rows, requires = "train_rows",
          allow_hyphen_values = true)]
    test_rows: Option<Range<usize>>,

    /// With --train-rows: the share of these, their last part, that validates [default: 0.1]
    #[arg(long, value_name = "SHARE", requires = "train_rows", value_parser = super::text::share,
          allow_negative_numbers = true)]
    valid: Option<f64>,

    /// Judge a forecast from every N-th row of a part
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = whole::<usize>(1..=16_777_216), allow_negative_numbers = true)]
    stride: usize,

    /// What stands between two cells [default: recognised, of , ; | and the tab]
    #[arg(long, value_name = "CHARACTER", value_parser = delimiter)]
    delimiter: Option<char>,

    /// What stands before the fraction of a number: . or , [default: recognised]
    #[arg(long, value_name = "CHARACTER", value_parser = decimal)]
    decimal: Option<char>,

    #[command(flatten)]
    pub common: Common,
}

fn shares(text: &str) -> Result<[f64; 3], String> {
    let shares: Option<Vec<f64>> = text.split(',').map(|share| share.trim().parse().ok()).collect();
    let shares = shares.and_then(|shares| <[f64; 3]>::try_from(shares).ok());
    shares.ok_or_else(|| "three shares such as 0.8,0.1,0.1 are needed".to_owned())
}

fn rows(text: &str) -> Result<Range<usize>, String> {
    let range = text.split_once("..").and_then(|(from, to)| {
        let range = from.parse().ok()?..to.parse().ok()?;
        (!range.is_empty()).then_some(range)
    });
    range.ok_or_else(|| {
        "rows such as 0..1000 are needed, the second number above the first".to_owned()
    })
}

fn delimiter(text: &str) -> Result<char, String> {
    match text {
        "\\t" | "tab" => Ok('\t'),
        _ => {
            let mut chars = text.chars();
            let one = chars.next().filter(|c| c.is_ascii() && !c.is_alphanumeric() && *c != '"');
            one.filter(|_| chars.next().is_none())
                .ok_or_else(|| "one character is needed, such as ; or tab".to_owned())
        }
    }
}

fn decimal(text: &str) -> Result<char, String> {
    match text {
        "." => Ok('.'),
        "," => Ok(','),
        _ => Err("a . or a , is needed".to_owned()),
    }
}

/// What to do with a network that forecasts.
pub const ENDING: Ending<Series> = Ending {
    unit: "windows",
    about,
    pictures,
    ..Ending::new(|path| {
        let run = path.map_or(String::new(), |path| format!(" {path}"));
        format!("Go on with a file: cargo xtask forecast{run} FILE.csv")
    })
};

/// Trains.
pub fn run(args: &SeriesArgs) -> anyhow::Result<ExitCode> {
    let asked = match &args.classify {
        Some(column) => Asked::Class(column.clone()),
        None => Asked::Forecast(args.target.clone(), args.horizon.unwrap_or(24)),
    };
    if args.delimiter == Some(',') && args.decimal == Some(',') {
        let reason = "--delimiter and --decimal cannot both be a comma; give another delimiter";
        return Err(Usage(reason.to_owned()).into());
    }
    let split = match (&args.train_rows, &args.test_rows) {
        (Some(train), Some(test)) => Split::Rows {
            train: train.clone(),
            test: test.clone(),
            valid: args.valid.unwrap_or(0.1),
        },
        _ => Split::Shares(args.split.unwrap_or([0.8, 0.1, 0.1])),
    };
    let reading = Reading {
        said: Said { delimiter: args.delimiter, decimal: args.decimal },
        asked,
        inputs: args.inputs.clone(),
        time: args.time.clone(),
        calendar: match (args.calendar, args.no_calendar) {
            (true, _) => Some(true),
            (_, true) => Some(false),
            _ => None,
        },
        window: args.window.unwrap_or(window_for(args.season)),
        split,
        stride: args.stride,
        season: args.season,
    };
    let bytes = std::fs::metadata(&args.file).map_or(0, |metadata| metadata.len());
    let progress =
        if args.common.quiet { Progress::none() } else { Progress::new(bytes, "bytes read") };
    let series = Series::open_watched(&args.file, &reading, &mut |done| progress.set(done));
    progress.finish();
    let series = series?;
    start(&args.common, series.training(), ENDING)
}

/// What was read.
fn about(series: &Series) -> Vec<String> {
    let parts = series.parts();
    let [train, valid, test] =
        [&parts.train, &parts.valid, &parts.test].map(|part| thousands(part.len() as u64));
    let names = series.inputs().iter().map(|input| input.column.as_str());
    let names: Vec<_> = names.chain(series.calendar().iter().map(|cycle| cycle.name())).collect();
    vec![
        format!("{train} rows to train on, {valid} to validate, {test} to test"),
        format!("windows of {} rows: {}", series.window(), names.join(", ")),
    ]
}

/// The test period with forecast and truth, and the error over the horizon.
fn pictures(series: &Series, parameters: &Parameters) -> anyhow::Result<Vec<Picture>> {
    let Some(picture) = series.picture(parameters) else { return Ok(Vec::new()) };
    let Goal::Forecast { horizon, .. } = series.goal() else { return Ok(Vec::new()) };
    let title = format!(
        "Forecast {horizon} rows ahead on the test rows, and its error: {}",
        picture.target
    );
    let mut errors = vec![("network".to_owned(), picture.rmse)];
    errors.extend(picture.baselines);
    let svg = tested(&Tested { title, target: picture.target, rows: picture.rows, errors })?;
    Ok(vec![("forecast.svg", svg)])
}
