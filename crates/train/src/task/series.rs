//! A series of your own: the next values of a column, or the kind of a stretch, from a window of rows.
//!
//! ```text
//! input     the last W rows: numbers, scaled; a 1 beside each that was missing; the clock
//! output    forecast: the next h values of each target, scaled; or the classes' logits for the
//!           window's last row
//! ```
//!
//! Rows are split by time. All that is measured from rows (means and deviations, classes) is
//! measured on the training part alone. A missing value is shown as the one before it, with a mask
//! beside it, and counts in no loss and no measure. Training windows are drawn at random from the
//! training part; forecasts for a part may look back into the one before.
//!
//! A window may lie anywhere in the training part, so every rank of a cluster can reach all of it,
//! but holds little: values stay in memory where they are few, and beyond that in a temporary file,
//! of which only the windows that are drawn are read ([`Store`]).

mod calendar;
mod measures;
mod parts;
mod score;
mod table;
mod times;

pub use calendar::Cycle;
pub use measures::{Baseline, Measures, Tally};
pub use parts::{Parts, Split};
pub use score::{Confusion, SeriesScore};
pub use table::{Column, Format, MISSING, Said, Table, Times};

use super::{Source, Task};
use crate::Error;
use crate::batch::{Batch, Inputs, Targets};
use crate::config::{Extent, NetworkConfig, RanksConfig, RunConfig, StrategyConfig};
use crate::data_file::{DataFile, PIECE};
use crate::metrics::Totals;
use crate::optimizer::{Clip, Moments, OptimizerConfig, Rule, Schedule};
use crate::store::{Growing, IN_MEMORY, Store};
use jiff::civil::DateTime;
use model::loss::{Terms, softmax_cross_entropy};
use model::{Cell, Head, HeadActivation, HeadSteps, Network, Parameters, Sequences};
use rand::Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use table::MOST_WORDS;

/// Windows that run side by side where nobody trains.
const BLOCK: usize = 64;

/// Windows whose forecasts are judged at a time: whole blocks.
const JUDGED: usize = 64 * BLOCK;

/// Windows that a validation looks at, at most: evenly spread over its part.
const MOST_VALID: usize = 512;

/// How a table becomes a task.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// What is said of the file.
    pub said: Said,
    /// What is asked.
    pub asked: Asked,
    /// The columns that are shown; all of numbers without.
    pub inputs: Option<Vec<String>>,
    /// The column of times; the first one without.
    pub time: Option<String>,
    /// Whether the clock and the calendar are shown: see [`Cycle`]. Without, they are where there is
    /// a column of times.
    pub calendar: Option<bool>,
    /// W, the rows of a window.
    pub window: usize,
    /// How rows are shared out.
    pub split: Split,
    /// Rows between two forecasts that are judged.
    pub stride: usize,
    /// Rows after which the pattern comes again.
    pub season: usize,
}

/// What a network is asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Asked {
    /// The next `horizon` values of these columns.
    Forecast(Vec<String>, usize),
    /// The word or number in this column, in the last row of the window.
    Class(String),
}

/// A column that is shown, and how it is scaled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scaled {
    /// Its name.
    pub column: String,
    /// Of the training part.
    pub mean: f64,
    /// The standard deviation of the training part; 1 of a column that is constant.
    pub deviation: f64,
    /// Whether values were missing: then a mask is shown beside it.
    #[serde(default)]
    pub is_masked: bool,
}

/// What is asked, as a file says it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Goal {
    /// Values to come.
    Forecast {
        /// Of these.
        targets: Vec<Scaled>,
        /// Rows ahead.
        horizon: usize,
    },
    /// A class.
    Classify {
        /// The column of labels.
        column: String,
        /// All that the training part has.
        classes: Vec<String>,
    },
}

/// A task on a table.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Series {
    window: usize,
    stride: usize,
    season: usize,
    calendar: Vec<Cycle>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    file: DataFile,
    format: Format,
    parts: Parts,
    goal: Goal,
    inputs: Vec<Scaled>,
    /// None of a task that was read from a file and not prepared.
    #[serde(skip)]
    data: Option<Arc<Data>>,
}

impl PartialEq for Series {
    /// The table itself is known by its digest.
    fn eq(&self, other: &Self) -> bool {
        let sizes = |task: &Self| (task.window, task.stride, task.season, task.calendar.clone());
        let columns = |task: &Self| (task.time.clone(), task.goal.clone(), task.inputs.clone());
        sizes(self) == sizes(other)
            && columns(self) == columns(other)
            && (&self.file, &self.format, &self.parts) == (&other.file, &other.format, &other.parts)
    }
}

/// A table as the network sees it.
#[derive(Debug)]
pub struct Data {
    /// `[rows, I]`
    x: Store<f32>,
    /// `[rows, targets]`, in the units of the file; NaN where missing.
    truth: Store<f64>,
    /// The same, with the value before where one is missing: see [`carried`].
    known: Store<f64>,
    /// `[rows]`, of a classification: [`MISSING`] where it is missing; as many as there are classes
    /// where the training part has no such label.
    labels: Store<u32>,
    /// `[rows]`, where there is a column of times.
    times: Option<Times>,
    /// Where training windows end: their first row that is not shown.
    origins: Store<u32>,
}

impl Data {
    /// The value at `place` of `[rows, targets]`, in the units of the file; NaN where missing.
    ///
    /// # Panics
    /// If there is no such place.
    pub fn truth(&self, place: usize) -> f64 {
        self.truth.get(place)
    }

    /// The label of a row, if it has one.
    fn label(&self, row: usize) -> Option<u32> {
        Some(self.labels.get(row)).filter(|&label| label != MISSING)
    }
}

impl Series {
    /// Reads the table in `path`.
    ///
    /// # Errors
    /// If the file cannot be read or is no table; if a column is not there or of another kind than
    /// it is asked for as, a target is constant or missing throughout the training part, a value is
    /// too large to be scaled, or the parts are too short for a window and what is asked, or have
    /// nothing to judge.
    pub fn open(path: &Path, reading: &Reading) -> Result<Self, Error> {
        Self::open_watched(path, reading, &mut |_| ())
    }

    /// [`Series::open`]; `watch` is told now and then how many of the bytes are done with.
    ///
    /// # Errors
    /// As [`Series::open`].
    pub fn open_watched(
        path: &Path,
        reading: &Reading,
        watch: &mut dyn FnMut(u64),
    ) -> Result<Self, Error> {
        Self::open_in(IN_MEMORY, path, reading, watch)
    }

    /// [`Series::open_watched`]; no more than `room` bytes of the table stay in memory, and of what the
    /// network sees.
    fn open_in(
        room: usize,
        path: &Path,
        reading: &Reading,
        watch: &mut dyn FnMut(u64),
    ) -> Result<Self, Error> {
        let (file, table) = Table::open_in(room, path, reading.said, watch)?;
        Self::of(room, path, file, table, reading)
    }

    fn of(
        room: usize,
        path: &Path,
        file: DataFile,
        table: Table,
        reading: &Reading,
    ) -> Result<Self, Error> {
        let refuse = |reason: String| Error::Data { path: path.to_owned(), reason };
        let task = |reason: String| Error::Task(reason);
        let &Reading { calendar, window, stride, season, .. } = reading;
        for (name, size) in [("--window", window), ("--stride", stride), ("--season", season)] {
            if size == 0 {
                return Err(task(format!("{name} of 0 makes no sense; give at least 1")));
            }
        }
        let parts = Parts::of(&reading.split, table.rows)?;
        let time = match &reading.time {
            Some(name) => match table.column(name).map_err(refuse)? {
                Column::Times(_) => Some(name.clone()),
                other => {
                    let kind = other.kind();
                    return Err(refuse(format!("has {kind} in column {name:?}, and no times")));
                }
            },
            None => {
                let pairs = table.names.iter().zip(&table.columns);
                let is_time = |column: &&Column| matches!(column, Column::Times(_));
                let mut times = pairs.filter(|(_, column)| is_time(column));
                times.next().map(|(name, _)| name.clone())
            }
        };
        if calendar == Some(true) && time.is_none() {
            return Err(refuse(
                "has no column of times, which --calendar needs; write them as 2006-12-16 18:00, or \
                 leave --calendar out"
                    .to_owned(),
            ));
        }
        let calendar = match &time {
            Some(name) if calendar != Some(false) => match table.column(name).map_err(refuse)? {
                Column::Times(times) => Cycle::of(|row| times.get(row), &parts.train),
                _ => Vec::new(),
            },
            _ => Vec::new(),
        };
        let label = match &reading.asked {
            Asked::Class(column) => Some(column),
            Asked::Forecast(..) => None,
        };
        let names: Vec<String> = match &reading.inputs {
            Some(names) => names.clone(),
            None => {
                let pairs = table.names.iter().zip(&table.columns);
                let shown = pairs.filter(|(name, column)| {
                    matches!(column, Column::Numbers(_)) && label != Some(*name)
                });
                shown.map(|(name, _)| name.clone()).collect()
            }
        };
        if let Some(name) =
            names.iter().find(|&name| names.iter().filter(|n| *n == name).count() > 1)
        {
            return Err(task(format!("the input {name:?} is given twice; give it once")));
        }
        if let Some(label) = label.filter(|label| names.contains(label)) {
            return Err(task(format!(
                "the labels in column {label:?} would be shown to the network; leave it out of --inputs"
            )));
        }
        let scaled = |name: &String| -> Result<Scaled, Error> {
            let values = numbers(&table, name).map_err(refuse)?;
            Scaled::of(name, values, &parts.train).map_err(refuse)
        };
        let inputs: Vec<_> = names.iter().map(scaled).collect::<Result<_, _>>()?;
        if inputs.is_empty() && calendar.is_empty() {
            return Err(refuse(
                "has no column of numbers to show; name some by --inputs".to_owned(),
            ));
        }
        let goal = match &reading.asked {
            Asked::Forecast(names, horizon) => {
                if names.is_empty() || *horizon == 0 {
                    return Err(task(
                        "a forecast needs a target and a horizon of at least 1".to_owned(),
                    ));
                }
                let mut targets = Vec::new();
                for name in names {
                    if names.iter().filter(|other| *other == name).count() > 1 {
                        return Err(task(format!(
                            "the target {name:?} is given twice; give it once"
                        )));
                    }
                    targets.push(target(&table, name, &parts.train).map_err(refuse)?);
                }
                Goal::Forecast { targets, horizon: *horizon }
            }
            Asked::Class(column) => {
                let classes = classes(&table, column, &parts.train).map_err(refuse)?;
                Goal::Classify { column: column.clone(), classes }
            }
        };
        if matches!(goal, Goal::Forecast { .. }) && season >= parts.train.len() {
            return Err(task(format!(
                "a season of {season} rows does not come again in the {} rows to train on; give a \
                 shorter --season",
                parts.train.len()
            )));
        }
        let format = table.format;
        let mut series = Self {
            window,
            stride,
            season,
            calendar,
            time,
            file,
            format,
            parts,
            goal,
            inputs,
            data: None,
        };
        series.keep(room, path, table)?;
        series.check_lengths()?;
        Ok(series)
    }

    /// Keeps what the network sees of `table`.
    fn keep(&mut self, room: usize, path: &Path, table: Table) -> Result<(), Error> {
        let mut data = self.data_in(room, path, &table)?;
        drop(table);
        data.origins = self.training_origins(room, &data)?;
        self.data = Some(Arc::new(data));
        Ok(())
    }

    /// Are there windows in each part?
    fn check_lengths(&self) -> Result<(), Error> {
        let origins = &self.data().origins;
        let (window, ahead) = (self.window, self.ahead());
        for (part, name, is_none) in [
            (&self.parts.train, "train on", origins.is_empty()),
            (&self.parts.valid, "validate", self.origins(&self.parts.valid).next().is_none()),
            (&self.parts.test, "test", self.origins(&self.parts.test).next().is_none()),
        ] {
            if is_none {
                return Err(Error::Task(format!(
                    "{} rows to {name} are too few for a window of {window} and {ahead} ahead of it; give a \
                     shorter --window or --horizon, or more rows",
                    part.len()
                )));
            }
        }
        for (part, name) in [(&self.parts.valid, "validate"), (&self.parts.test, "test")] {
            self.check_answers(part, name)?;
        }
        Ok(())
    }

    /// Is there something to judge in `part`, which is there to `name`?
    fn check_answers(&self, part: &Range<usize>, name: &str) -> Result<(), Error> {
        let data = self.data();
        let mut origins = self.origins(part);
        let (column, is_there) = match &self.goal {
            Goal::Forecast { targets, horizon } => {
                let count = targets.len();
                let mut missing = (0..count).filter(|n| {
                    let mut values = self.origins(part).flat_map(|at| at..at + horizon);
                    values.all(|row| data.truth.get(row * count + n).is_nan())
                });
                let column = missing.next().map(|n| &targets[n].column);
                (column, column.is_none())
            }
            Goal::Classify { column, classes } => {
                // The validation part chooses by losses, which only classes have.
                let least = if name == "validate" { classes.len() as u32 } else { u32::MAX };
                let is_there = |at: usize| data.label(at - 1).is_some_and(|label| label < least);
                (Some(column), origins.any(is_there))
            }
        };
        if let (Some(column), false) = (column, is_there) {
            let reason = format!(
                "has nothing in column {column:?} in the rows to {name} on ({part:?}) that can be judged; \
                 choose others by --split, or by --train-rows and --test-rows"
            );
            return Err(Error::Data { path: self.file.path.clone(), reason });
        }
        Ok(())
    }

    /// `table`, read from `path`, as the network sees it.
    ///
    /// # Errors
    /// If a column is missing or of another kind, a value is out of all proportion, or there is no
    /// room for temporary files.
    pub fn data_of(&self, path: &Path, table: &Table) -> Result<Data, Error> {
        self.data_in(IN_MEMORY, path, table)
    }

    /// [`Series::data_of`], with no more than `room` bytes in memory.
    fn data_in(&self, room: usize, path: &Path, table: &Table) -> Result<Data, Error> {
        let refuse = |reason: String| Error::Data { path: path.to_owned(), reason };
        let rows = table.rows;
        let numbers = |name: &str| numbers(table, name).map_err(refuse);
        let times = match &self.time {
            Some(name) => match table.column(name).map_err(refuse)? {
                Column::Times(times) => Some(times),
                other => {
                    let kind = other.kind();
                    return Err(refuse(format!("has {kind} in column {name:?}, and no times")));
                }
            },
            None => None,
        };
        // Half for what is shown, and the rest for what is not.
        let (half, eighth) = (room / 2, room / 8);
        let mut x = Growing::new(half);
        let mut inputs = Vec::new();
        for input in &self.inputs {
            let values = numbers(&input.column)?;
            inputs.push((input, carried(values, input.mean), values.iter(0..rows)));
        }
        let mut moments = times.into_iter().flat_map(Times::iter);
        let mut shown = Vec::with_capacity(self.width());
        for number in 0..rows {
            shown.clear();
            for (input, known, value) in &mut inputs {
                let (Some(known), Some(value)) = (known.next(), value.next()) else { break };
                shown.push(input.scale(known, number).map_err(refuse)?);
                shown.extend(input.is_masked.then(|| f32::from(value.is_nan())));
            }
            if let Some(time) = moments.next() {
                shown.extend(self.calendar.iter().flat_map(|cycle| cycle.place(time)));
            }
            x.extend(&shown)?;
        }
        let (mut truth, mut known) = (Growing::new(eighth), Growing::new(eighth));
        let mut labels = Growing::new(eighth);
        match &self.goal {
            Goal::Forecast { targets, .. } => {
                let mut columns = Vec::new();
                for target in targets {
                    let values = numbers(&target.column)?;
                    columns.push((target, values.iter(0..rows), carried(values, target.mean)));
                }
                for row in 0..rows {
                    for (target, values, carried) in &mut columns {
                        let (Some(value), Some(last)) = (values.next(), carried.next()) else {
                            break;
                        };
                        target.scale(last, row).map_err(refuse)?;
                        truth.extend(&[value])?;
                        known.extend(&[last])?;
                    }
                }
            }
            Goal::Classify { column, classes } => {
                let find = |label: &str| classes.iter().position(|class| class == label);
                for label in label_texts(table, column).map_err(refuse)? {
                    let class = label.map(|label| find(&label).unwrap_or(classes.len()) as u32);
                    labels.extend(&[class.unwrap_or(MISSING)])?;
                }
            }
        }
        Ok(Data {
            x: x.finish()?,
            truth: truth.finish()?,
            known: known.finish()?,
            labels: labels.finish()?,
            times: times.map(|times| times.copy(eighth)).transpose()?,
            origins: Store::Memory(Vec::new()),
        })
    }

    /// I of a row.
    fn width(&self) -> usize {
        let shown = self.inputs.iter().map(|input| 1 + usize::from(input.is_masked));
        shown.sum::<usize>() + 2 * self.calendar.len()
    }

    /// Rows behind a window that are asked for.
    fn ahead(&self) -> usize {
        match &self.goal {
            Goal::Forecast { horizon, .. } => *horizon,
            Goal::Classify { .. } => 0,
        }
    }

    /// Where windows end whose answers lie within `part`, each `stride`-th: the first row behind the
    /// window.
    fn origins(&self, part: &Range<usize>) -> impl Iterator<Item = usize> + use<> {
        let (window, ahead) = (self.window, self.ahead());
        // The row that is told the class of is the last of its window.
        let first = part.start + usize::from(ahead == 0);
        let last = part.end.checked_sub(ahead);
        let all = first..last.map_or(first, |last| last + 1);
        all.step_by(self.stride).filter(move |&origin| origin >= window)
    }

    /// Where training windows end: those with something to answer, within the training part.
    fn training_origins(&self, room: usize, data: &Data) -> Result<Store<u32>, Error> {
        let Parts { train, .. } = &self.parts;
        let (first, ahead) = (train.start + self.window, self.ahead());
        let all = first..(train.end + 1).saturating_sub(ahead).max(first);
        let mut origins = Growing::new(room / 8);
        let mut keep = |origin: usize| match u32::try_from(origin) {
            Ok(origin) => origins.extend(&[origin]),
            Err(_) => Ok(()),
        };
        match &self.goal {
            Goal::Forecast { targets, horizon } => {
                let (count, end) = (targets.len(), (all.end + horizon).min(train.end));
                // A row with a value answers the windows that end at most a horizon before it.
                let mut next = all.start;
                let mut values = data.truth.iter(all.start.min(end) * count..end * count);
                for row in all.start..end {
                    let is_there = values.by_ref().take(count).filter(|v| !v.is_nan()).count() > 0;
                    if is_there {
                        next = next.max((row + 1).saturating_sub(*horizon));
                        while next <= row && next < all.end {
                            keep(next)?;
                            next += 1;
                        }
                    }
                }
            }
            Goal::Classify { .. } => {
                if !all.is_empty() {
                    let labels = data.labels.iter(all.start - 1..all.end - 1);
                    for (origin, _) in all.zip(labels).filter(|&(_, label)| label != MISSING) {
                        keep(origin)?;
                    }
                }
            }
        }
        origins.finish()
    }

    /// A training that is likely to go well: an LSTM of 64 units, AdamW with a cosine schedule, at
    /// most 600 updates on 64 windows each, fewer where validation gets no better.
    pub fn training(self) -> RunConfig<Self> {
        let updates = UPDATES;
        RunConfig {
            task: self,
            network: NetworkConfig::new(Cell::Lstm, HIDDEN),
            optimizer: OptimizerConfig {
                learning_rate: LEARNING_RATE,
                rule: Rule::AdamW(Moments {
                    beta1: 0.9,
                    beta2: 0.999,
                    epsilon: 1e-8,
                    weight_decay: WEIGHT_DECAY,
                }),
                clip: Clip::Norm(1.0),
                schedule: Schedule::Cosine { warmup: 0, steps: updates, floor: 0.0 },
            },
            strategy: StrategyConfig::SERIAL,
            run: Extent {
                patience: Some(PATIENCE),
                ..Extent::new(updates * BATCH as u64, BATCH, 0)
            },
            ranks: RanksConfig::ALONE,
        }
    }

    /// What is asked.
    pub fn goal(&self) -> &Goal {
        &self.goal
    }

    /// The parts.
    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    /// How its file writes its cells.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The columns that are shown.
    pub fn inputs(&self) -> &[Scaled] {
        &self.inputs
    }

    /// The column of times, where there is one.
    pub fn time(&self) -> Option<&str> {
        self.time.as_deref()
    }

    /// What is shown of the clock and the calendar.
    pub fn calendar(&self) -> &[Cycle] {
        &self.calendar
    }

    /// The file that it is in.
    pub fn file(&self) -> &DataFile {
        &self.file
    }

    /// Rows after which the pattern comes again.
    pub fn season(&self) -> usize {
        self.season
    }

    /// Where the windows end that are judged on the test part: the first row behind each.
    pub fn test_origins(&self) -> Vec<usize> {
        self.origins(&self.parts.test).collect()
    }

    /// The time of a row as 2006-12-16 18:00, where there is a column of times.
    ///
    /// # Panics
    /// If this was read from a file and not prepared.
    pub fn time_of(&self, row: usize) -> Option<String> {
        let times = self.data().times.as_ref().filter(|times| row < times.len())?;
        Some(times.get(row).strftime("%Y-%m-%d %H:%M").to_string())
    }

    /// W, the rows of a window.
    pub fn window(&self) -> usize {
        self.window
    }

    /// The table.
    ///
    /// # Panics
    /// If this was read from a file and not prepared.
    pub fn data(&self) -> &Data {
        self.data.as_ref().expect("a task that was read from a file is prepared before its use")
    }

    /// The outputs `[origins, O]` for the windows of `data` that end at `origins`.
    fn outputs(&self, data: &Data, parameters: &Parameters, origins: &[usize]) -> Vec<f32> {
        let (config, width) = (parameters.config(), self.width());
        let of_block = |origins: &[usize]| -> Vec<f32> {
            let mut x = vec![0.0; self.window * origins.len() * width];
            self.write_windows(data, origins.iter().copied(), origins.len(), &mut x);
            let sequences = Sequences::new(config, &x, self.window, origins.len());
            let sequences = sequences.expect("finite values, as many as there are");
            Network::new(config).infer(parameters, &sequences).to_vec()
        };
        origins.par_chunks(BLOCK).map(of_block).flatten().collect()
    }

    /// Writes the windows that end at `origins` to `x` `[W, B, I]`.
    fn write_windows(
        &self,
        data: &Data,
        origins: impl Iterator<Item = usize>,
        batch: usize,
        x: &mut [f32],
    ) {
        let width = self.width();
        let mut window = Vec::new();
        for (n, origin) in origins.enumerate() {
            let first = (origin - self.window) * width;
            let rows = data.x.slice(first..first + self.window * width, &mut window);
            for (t, row) in rows.chunks_exact(width).enumerate() {
                x[(t * batch + n) * width..][..width].copy_from_slice(row);
            }
        }
    }

    /// Forecasts `[origins, horizon, targets]` in the units of the file.
    ///
    /// # Panics
    /// If an origin has no whole window before it, or this is a classification.
    pub fn forecasts(&self, data: &Data, parameters: &Parameters, origins: &[usize]) -> Vec<f64> {
        let Goal::Forecast { targets, .. } = &self.goal else {
            panic!("a classification forecasts nothing");
        };
        let outputs = self.outputs(data, parameters, origins);
        let all = outputs.iter().zip(targets.iter().cycle());
        all.map(|(&y, target)| target.mean + target.deviation * f64::from(y)).collect()
    }

    /// Writes what the windows that end at `origins` should answer to `y` `[B, O]`, in scaled
    /// units; NaN where it is missing.
    fn write_answers(&self, data: &Data, origins: impl Iterator<Item = usize>, y: &mut [f32]) {
        let Goal::Forecast { targets, horizon } = &self.goal else { return };
        let count = targets.len();
        let mut read = Vec::new();
        for (origin, y) in origins.zip(y.chunks_exact_mut(horizon * count)) {
            let truth = data.truth.slice(origin * count..(origin + horizon) * count, &mut read);
            for ((y, truth), target) in y.iter_mut().zip(truth).zip(targets.iter().cycle()) {
                *y = ((truth - target.mean) / target.deviation) as f32;
            }
        }
    }

    /// Judges forecasts from the origins of `part`, and the baselines that there are on the same
    /// rows.
    fn judge(&self, parameters: &Parameters, part: &Range<usize>) -> (Tally, Vec<(String, Tally)>) {
        let Goal::Forecast { targets, horizon } = &self.goal else {
            panic!("a classification forecasts nothing");
        };
        let (data, count) = (self.data(), targets.len());
        let origins: Vec<_> = self.origins(part).collect();
        let scales = self.mase_scales();
        let mut tally = Tally::new(&scales, *horizon);
        let mut others: Vec<_> = Baseline::of(self.season)
            .into_iter()
            .map(|(name, baseline)| (name, baseline, Tally::new(&scales, *horizon)))
            .collect();
        let mut own = vec![0.0; horizon * count];
        let mut read = Vec::new();
        for origins in origins.chunks(JUDGED) {
            let forecasts = self.forecasts(data, parameters, origins);
            for (origin, forecast) in origins.iter().zip(forecasts.chunks(horizon * count)) {
                let truth = data.truth.slice(origin * count..(origin + horizon) * count, &mut read);
                tally.add(forecast, truth);
                for (_, baseline, tally) in &mut others {
                    for step in 0..*horizon {
                        for (n, target) in targets.iter().enumerate() {
                            let known = |row: usize| data.known.get(row * count + n);
                            let value = baseline.forecast(known, target.mean, *origin, step);
                            own[step * count + n] = value.unwrap_or(f64::NAN);
                        }
                    }
                    tally.add(&own, truth);
                }
            }
        }
        // One that reaches back behind the first row would be judged on other rows.
        others.retain(|(_, _, other)| other.count() == tally.count());
        (tally, others.into_iter().map(|(name, _, tally)| (name.to_owned(), tally)).collect())
    }

    /// Of each target: the mean absolute difference from one season ago in the training part.
    fn mase_scales(&self) -> Vec<f64> {
        let Goal::Forecast { targets, .. } = &self.goal else { return Vec::new() };
        let (data, count, train) = (self.data(), targets.len(), &self.parts.train);
        let scale = |n: usize| {
            let column = |rows: Range<usize>| {
                let values = data.truth.iter(rows.start * count..rows.end * count);
                values.skip(n).step_by(count)
            };
            let later = column(train.start + self.season..train.end);
            let before = column(train.start..train.end - self.season);
            let pairs = later.zip(before).map(|(later, before)| later - before);
            let (mut sum, mut pairs_there) = (0.0, 0.0);
            for difference in pairs.filter(|difference| !difference.is_nan()) {
                (sum, pairs_there) = (sum + f64::abs(difference), pairs_there + 1.0);
            }
            sum / pairs_there
        };
        (0..count).map(scale).collect()
    }

    /// For a picture: the rows of the test part, and forecasts for them that do not overlap, from
    /// the network: row, truth and forecast of the first target; and the RMSE of each step.
    pub fn picture(&self, parameters: &Parameters) -> Option<Picture> {
        let Goal::Forecast { targets, horizon } = &self.goal else { return None };
        let (data, count) = (self.data(), targets.len());
        let origins: Vec<_> = self.origins(&self.parts.test).collect();
        let mut next = 0;
        let apart: Vec<_> = origins
            .iter()
            .copied()
            .filter(|&origin| {
                let is_free = origin >= next;
                if is_free {
                    next = origin + horizon;
                }
                is_free
            })
            .collect();
        let forecasts = self.forecasts(data, parameters, &apart);
        let mut rows = Vec::new();
        for (origin, forecast) in apart.iter().zip(forecasts.chunks(horizon * count)) {
            for step in 0..*horizon {
                let truth = data.truth.get((origin + step) * count);
                rows.push((origin + step, truth, forecast[step * count]));
            }
        }
        let (tally, baselines) = self.judge(parameters, &self.parts.test);
        let baselines = baselines.into_iter().map(|(name, tally)| (name, tally.rmse_by_step()));
        Some(Picture {
            target: targets[0].column.clone(),
            rows,
            rmse: tally.rmse_by_step(),
            baselines: baselines.collect(),
        })
    }

    /// The classes told for the windows of `part`, and the true ones.
    fn confusion(&self, parameters: &Parameters, part: &Range<usize>) -> Confusion {
        let Goal::Classify { classes, .. } = &self.goal else {
            panic!("a forecast has no classes");
        };
        let data = self.data();
        let labelled = |&origin: &usize| data.label(origin - 1).is_some();
        let origins: Vec<_> = self.origins(part).filter(labelled).collect();
        let outputs = self.outputs(data, parameters, &origins);
        let mut frequencies = vec![0_usize; classes.len()];
        for label in data.labels.iter(self.parts.train.clone()).filter(|&label| label != MISSING) {
            frequencies[label as usize] += 1;
        }
        // Of equal ones the first.
        let usual = (0..classes.len()).rev().max_by_key(|&class| frequencies[class]).unwrap_or(0);
        let mut confusion = Confusion::new(classes.clone(), usual);
        for (origin, y) in origins.iter().zip(outputs.chunks(classes.len())) {
            let told = (0..y.len()).max_by(|&a, &b| y[a].total_cmp(&y[b]).then(b.cmp(&a)));
            if let (Some(truth), Some(told)) = (data.label(origin - 1), told) {
                confusion.add(truth as usize, told);
            }
        }
        confusion
    }
}

impl Table {
    /// Appends the forecast `values` `[horizon, targets]` of `series` as rows, with the times that
    /// follow if it has a column of them; returns these as text. Cells of other columns are missing.
    ///
    /// # Errors
    /// If times cannot be continued, as the rest of a sentence that begins with the file's name.
    pub fn extend(&mut self, series: &Series, values: &[f64]) -> Result<Vec<String>, String> {
        let Goal::Forecast { targets, horizon } = &series.goal else { return Ok(Vec::new()) };
        let mut texts = Vec::new();
        for (name, column) in self.names.iter().zip(&mut self.columns) {
            match column {
                Column::Numbers(all) => {
                    let all = all.memory();
                    let target = targets.iter().position(|target| target.column == *name);
                    all.extend(
                        (0..*horizon).map(|step| {
                            target.map_or(f64::NAN, |n| values[step * targets.len() + n])
                        }),
                    );
                }
                Column::Words(_, all) => all.memory().extend((0..*horizon).map(|_| MISSING)),
                Column::Times(all) => {
                    let Some(place) = all.len().checked_sub(2) else {
                        return Err("has one time alone, which cannot be continued".to_owned());
                    };
                    let (before, last) = (all.get(place), all.get(place + 1));
                    // As far apart as the last two.
                    let apart = before.duration_until(last);
                    let is_day = |time: &DateTime| time.time() == jiff::civil::Time::midnight();
                    let format = if all.iter().all(|time| is_day(&time)) {
                        "%Y-%m-%d"
                    } else {
                        "%Y-%m-%d %H:%M:%S"
                    };
                    let mut time = last;
                    for _ in 0..*horizon {
                        time = time
                            .checked_add(apart)
                            .map_err(|_| "has times that end before the forecast".to_owned())?;
                        all.push(time);
                        if series.time.as_ref() == Some(name) {
                            texts.push(time.strftime(format).to_string());
                        }
                    }
                }
            }
        }
        self.rows += horizon;
        Ok(texts)
    }
}

/// What a picture of forecasts shows.
#[derive(Clone, Debug)]
pub struct Picture {
    /// The first target.
    pub target: String,
    /// Rows of the test part: which, the truth (NaN if missing), the forecast.
    pub rows: Vec<(usize, f64, f64)>,
    /// Of each step of the horizon.
    pub rmse: Vec<f64>,
    /// The same of forecasts that need no network.
    pub baselines: Vec<(String, Vec<f64>)>,
}

const HIDDEN: usize = 64;
const BATCH: usize = 64;
const UPDATES: u64 = 600;
const LEARNING_RATE: f32 = 3e-3;
const WEIGHT_DECAY: f64 = 0.01;

/// Updates between two validations, and how many of these may be in vain.
const VALIDATE: u64 = 24;
const PATIENCE: u32 = 8;

/// Beyond so many deviations an error counts in proportion, and not squared (Huber, *Robust
/// Estimation of a Location Parameter*, 1964).
pub const HUBER: f32 = 1.0;

impl Scaled {
    /// A column of which the training part has nothing, or always the same, is not scaled.
    fn of(name: &str, values: &Store<f64>, train: &Range<usize>) -> Result<Self, String> {
        let there = || values.iter(train.clone()).filter(|value| !value.is_nan());
        let count = there().count().max(1) as f64;
        let mut mean = there().sum::<f64>() / count;
        let variance = there().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
        let mut deviation = variance.sqrt();
        if !mean.is_finite() || !deviation.is_finite() {
            return Err(format!(
                "has values in column {name:?} whose squares are beyond all numbers; write them in a \
                 larger unit"
            ));
        }
        // Rounding makes a mean that is not quite the value.
        if let Some(first) = there().next().filter(|&first| there().all(|value| value == first)) {
            (mean, deviation) = (first, 1.0);
        }
        if deviation == 0.0 {
            deviation = 1.0;
        }
        // A mask that training never sees would only be noise later.
        let is_masked = values.iter(train.clone()).any(f64::is_nan);
        Ok(Self { column: name.to_owned(), mean, deviation, is_masked })
    }

    /// `value` in deviations from the mean.
    ///
    /// # Errors
    /// If that is no f32, as the rest of a sentence that begins with the file's name.
    fn scale(&self, value: f64, row: usize) -> Result<f32, String> {
        let scaled = ((value - self.mean) / self.deviation) as f32;
        if scaled.is_finite() {
            return Ok(scaled);
        }
        Err(format!(
            "holds {value} in column {:?}, row {} below the header, which is out of all proportion to \
             the mean of {} of the rows to train on; mend it, or leave the cell empty",
            self.column,
            row + 1,
            self.mean
        ))
    }
}

/// The column `name`, which must be of numbers.
fn numbers<'a>(table: &'a Table, name: &str) -> Result<&'a Store<f64>, String> {
    match table.column(name)? {
        Column::Numbers(values) => Ok(values),
        other => Err(format!(
            "has {} in column {name:?}, where numbers are needed; if they are numbers, say how they are \
             written (--decimal)",
            other.kind()
        )),
    }
}

/// The column `name` as a target.
fn target(table: &Table, name: &str, train: &Range<usize>) -> Result<Scaled, String> {
    let values = numbers(table, name)?;
    let mut there = values.iter(train.clone()).filter(|value| !value.is_nan());
    let Some(first) = there.next() else {
        return Err(format!("has no value in column {name:?} in the rows to train on"));
    };
    if there.all(|value| value == first) {
        return Err(format!(
            "has {first} in all rows to train on in column {name:?}: there is nothing to forecast"
        ));
    }
    Scaled::of(name, values, train)
}

/// The labels of a column, row by row, as text; numbers as they are written shortest.
fn label_texts<'a>(
    table: &'a Table,
    name: &str,
) -> Result<Box<dyn Iterator<Item = Option<String>> + 'a>, String> {
    Ok(match table.column(name)? {
        Column::Numbers(values) => {
            let values = values.iter(0..table.rows);
            Box::new(values.map(|value| (!value.is_nan()).then(|| value.to_string())))
        }
        Column::Words(words, _) if words.len() > MOST_WORDS => {
            return Err(format!(
                "has more than {MOST_WORDS} different labels in column {name:?}; is it one of labels?"
            ));
        }
        Column::Words(words, all) => {
            let all = all.iter(0..table.rows);
            Box::new(all.map(|word| (word != MISSING).then(|| words[word as usize].clone())))
        }
        Column::Times(_) => return Err(format!("has times in column {name:?}, and no labels")),
    })
}

/// The most classes of a classification.
const MOST_CLASSES: usize = 1_000;

/// The labels in the training part, sorted.
fn classes(table: &Table, name: &str, train: &Range<usize>) -> Result<Vec<String>, String> {
    let rows = label_texts(table, name)?.skip(train.start).take(train.len()).flatten();
    let mut classes = std::collections::BTreeSet::new();
    for label in rows {
        classes.insert(label);
        if classes.len() > MOST_CLASSES {
            return Err(format!(
                "has more than {MOST_CLASSES} different labels in column {name:?}; is it one of labels?"
            ));
        }
    }
    if classes.len() < 2 {
        return Err(format!(
            "has {} different labels in column {name:?} in the rows to train on; at least 2 are needed",
            classes.len()
        ));
    }
    Ok(classes.into_iter().collect())
}

/// `values` with the one before where one is missing; `first` before there is any.
fn carried(values: &Store<f64>, first: f64) -> impl Iterator<Item = f64> + '_ {
    values.iter(0..values.len()).scan(first, |last, value| {
        if !value.is_nan() {
            *last = value;
        }
        Some(*last)
    })
}

impl Task for Series {
    const NAME: &'static str = "series";

    type Score = SeriesScore;

    fn io(&self) -> (usize, Head) {
        let outputs = match &self.goal {
            Goal::Forecast { targets, horizon } => targets.len() * horizon,
            Goal::Classify { classes, .. } => classes.len(),
        };
        let (steps, activation) = (HeadSteps::Last, HeadActivation::Identity);
        (self.width(), Head { outputs, bias: true, steps, activation })
    }

    fn steps(&self) -> usize {
        self.window
    }

    fn prepare(&mut self) -> Result<(), Error> {
        let path = self.file.path.clone();
        let Format { delimiter, decimal } = self.format;
        let said = Said { delimiter: Some(delimiter), decimal: Some(decimal) };
        let opened = Table::open(&path, said, &mut |_| ());
        // A file that has changed says so, and not what is wrong with its new content.
        if matches!(opened, Err(Error::Data { .. })) {
            self.file.each_again(PIECE, |_| Ok(()))?;
        }
        let (file, table) = opened?;
        self.file.must_be(&file)?;
        self.keep(IN_MEMORY, &path, table)
    }

    fn draw(&self, source: Source<'_>, batch: &mut Batch) {
        let Source { generator, count, .. } = source;
        let data = self.data();
        batch.values((self.window, count), self.width(), 0);
        let len = data.origins.len() as u64;
        let origins: Vec<usize> = (0..count)
            .map(|_| data.origins.get((generator.next_u64() % len) as usize) as usize)
            .collect();
        let Inputs::Values(x) = &mut batch.inputs else {
            unreachable!("they were just made values")
        };
        self.write_windows(data, origins.iter().copied(), count, x);
        self.answer(&origins, batch);
    }

    /// Of a forecast, Huber's over the values that are there, a mean by value, in scaled units; the
    /// error is the absolute one. Of a class, the cross-entropy; the error is 1 where it is wrong.
    fn loss(&self, batch: &Batch, y: &[f32], dy: &mut [f32]) -> Totals {
        let outputs = y.len() / batch.count;
        let mut totals = Totals { examples: batch.count as u64, ..Totals::default() };
        match &batch.targets {
            Targets::Values(truth) => {
                let mean = 1.0 / outputs as f32;
                for ((y, truth), dy) in y.iter().zip(&**truth).zip(dy) {
                    let error = y - truth;
                    if error.is_nan() {
                        *dy = if y.is_nan() { f32::NAN } else { 0.0 };
                        continue;
                    }
                    let size = error.abs();
                    let loss = if size <= HUBER {
                        0.5 * error * error
                    } else {
                        HUBER * (size - 0.5 * HUBER)
                    };
                    *dy = error.clamp(-HUBER, HUBER) * mean;
                    totals.loss += f64::from(loss * mean);
                    totals.error += f64::from(size * mean);
                }
            }
            Targets::Classes(classes) => {
                let terms = Terms::all(1, batch.count, outputs);
                let sum = softmax_cross_entropy(&terms, y, classes, dy).expect("classes there are");
                totals.loss = f64::from(sum);
                for (y, &class) in y.chunks(outputs).zip(classes) {
                    let is_wrong = y.iter().any(|&other| other > y[class as usize]);
                    totals.error += f64::from(u8::from(is_wrong));
                }
            }
        }
        totals
    }

    fn validate_every(&self) -> Option<u64> {
        Some(VALIDATE * BATCH as u64)
    }

    fn validate(&self, parameters: &Parameters) -> f64 {
        let (data, origins) = (self.data(), self.validated());
        let outputs = self.outputs(data, parameters, &origins);
        let batch = self.answers(&origins);
        let totals = self.loss(&batch, &outputs, &mut vec![0.0; outputs.len()]);
        totals.loss / totals.examples as f64
    }

    fn describe(&self) -> serde_json::Value {
        let goal = match &self.goal {
            Goal::Forecast { targets, horizon } => {
                let names: Vec<_> = targets.iter().map(|target| &target.column).collect();
                json!({ "targets": names, "horizon": horizon })
            }
            Goal::Classify { column, classes } => json!({ "label": column, "classes": classes }),
        };
        let inputs: Vec<_> = self.inputs.iter().map(|input| &input.column).collect();
        let mut object = json!({
            "inputs": inputs,
            "calendar": self.calendar.iter().map(|cycle| cycle.name()).collect::<Vec<_>>(),
            "window": self.window,
            "stride": self.stride,
            "season": self.season,
        });
        for (name, value) in goal.as_object().into_iter().flatten() {
            object[name] = value.clone();
        }
        object
    }

    fn evaluate(&self, parameters: &Parameters, _seed: u64) -> SeriesScore {
        let Parts { valid, test, .. } = &self.parts;
        match &self.goal {
            Goal::Forecast { .. } => {
                let (tally, baselines) = self.judge(parameters, test);
                let measured =
                    baselines.iter().map(|(name, tally)| (name.clone(), tally.measures()));
                SeriesScore::Forecast {
                    valid: self.judge(parameters, valid).0.measures(),
                    test: tally.measures(),
                    baselines: measured.collect(),
                    horizon_rmse: tally.rmse_by_step(),
                }
            }
            Goal::Classify { .. } => SeriesScore::Classes {
                valid: self.confusion(parameters, valid),
                test: self.confusion(parameters, test),
            },
        }
    }

    fn aim(&self) -> String {
        match &self.goal {
            Goal::Forecast { targets, horizon } => {
                let names: Vec<_> = targets.iter().map(|target| target.column.as_str()).collect();
                format!("forecast {} for {horizon} rows", names.join(", "))
            }
            Goal::Classify { column, .. } => format!("tell {column}"),
        }
    }
}

/// The window for rows whose pattern comes again after `season` of them: a season, but at least 14.
pub fn window_for(season: usize) -> usize {
    season.max(14)
}

impl Reading {
    /// A season of 24 rows, windows of as many, of all columns of numbers and the calendar; eight
    /// tenths of the rows to train on, one to validate and one to test.
    pub fn of(asked: Asked) -> Self {
        Self {
            said: Said::default(),
            asked,
            inputs: None,
            time: None,
            calendar: None,
            window: window_for(24),
            split: Split::Shares([0.8, 0.1, 0.1]),
            stride: 1,
            season: 24,
        }
    }
}

impl Series {
    /// What a validation looks at: windows, and what they should answer.
    pub fn validated_batch(&self) -> Batch {
        let (data, origins) = (self.data(), self.validated());
        let mut batch = self.answers(&origins);
        batch.steps = self.window;
        let Inputs::Values(x) = &mut batch.inputs else { unreachable!("by default") };
        x.resize(self.window * origins.len() * self.width());
        self.write_windows(data, origins.iter().copied(), origins.len(), x);
        batch
    }

    /// What the windows that end at `origins` should answer, without the windows.
    fn answers(&self, origins: &[usize]) -> Batch {
        let mut batch = Batch { count: origins.len(), steps: 1, ..Batch::default() };
        self.answer(origins, &mut batch);
        batch
    }

    /// Writes what the windows that end at `origins` should answer to the targets of `batch`.
    fn answer(&self, origins: &[usize], batch: &mut Batch) {
        let (data, (_, head)) = (self.data(), self.io());
        batch.target_steps = HeadSteps::Last;
        match (&self.goal, &mut batch.targets) {
            (Goal::Forecast { .. }, Targets::Values(y)) => {
                y.resize(origins.len() * head.outputs);
                self.write_answers(data, origins.iter().copied(), y);
            }
            (Goal::Forecast { .. }, Targets::Classes(_)) => {
                unreachable!("a batch of values, whose targets are values")
            }
            (Goal::Classify { .. }, _) => {
                let label = |&origin: &usize| data.label(origin - 1).unwrap_or(0);
                batch.targets = Targets::Classes(origins.iter().map(label).collect());
            }
        }
    }

    /// The origins that a validation looks at.
    fn validated(&self) -> Vec<usize> {
        let data = self.data();
        let labelled = |&origin: &usize| match &self.goal {
            Goal::Forecast { .. } => true,
            Goal::Classify { classes, .. } => {
                data.label(origin - 1).is_some_and(|label| (label as usize) < classes.len())
            }
        };
        let all: Vec<_> = self.origins(&self.parts.valid).filter(labelled).collect();
        let step = all.len().div_ceil(MOST_VALID).max(1);
        all.into_iter().step_by(step).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand_xoshiro::Xoshiro256PlusPlus;

    fn is_in_a_file<V>(store: &Store<V>) -> bool {
        matches!(store, Store::File(..))
    }

    fn drawn(task: &Series) -> Batch {
        let mut batch = Batch::default();
        let mut generator = Xoshiro256PlusPlus::seed_from_u64(1);
        let progress =
            crate::task::Progress { examples: 0, of: 20, batch: 20, worker: 0, workers: 1 };
        let source = Source { generator: &mut generator, count: 20, progress };
        task.draw(source, &mut batch);
        batch
    }

    proptest! {
        #[test]
        fn a_table_in_files_is_the_table_in_memory(
            rows in prop::collection::vec((any::<Option<i16>>(), 0..50_u8, 0..3_u8), 120..700),
            window in 1..9_usize, horizon in 1..6_usize, room in 0..3_000_usize, classify: bool,
        ) {
            let mut text = "day,a,b,kind\n".to_owned();
            let first: DateTime = "2020-01-01T00:00:00".parse().unwrap();
            for (n, (a, b, kind)) in rows.iter().enumerate() {
                let day = first + jiff::SignedDuration::from_hours(24 * n as i64);
                let a = a.map_or(String::new(), |a| a.to_string());
                let kind = ["x", "y", ""][usize::from(*kind)];
                text += &format!("{},{a},{b},{kind}\n", day.strftime("%Y-%m-%d"));
            }
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("data.csv");
            std::fs::write(&path, text).unwrap();
            let asked = match classify {
                true => Asked::Class("kind".to_owned()),
                false => Asked::Forecast(vec!["b".to_owned(), "a".to_owned()], horizon),
            };
            let reading = Reading { window, season: 7, ..Reading::of(asked) };
            let memory = Series::open(&path, &reading);
            let files = Series::open_in(room, &path, &reading, &mut |_| ());
            let (memory, files) = match (memory, files) {
                (Ok(memory), Ok(files)) => (memory, files),
                (memory, files) => {
                    let told = [memory, files].map(|series| series.err().map(|e| e.to_string()));
                    prop_assert_eq!(&told[0], &told[1]);
                    return Ok(());
                }
            };
            prop_assert_eq!(&files, &memory);
            prop_assert!(is_in_a_file(&files.data().x) && !is_in_a_file(&memory.data().x));
            let bits = |values: &Store<f64>| -> Vec<u64> {
                values.iter(0..values.len()).map(f64::to_bits).collect()
            };
            let (own, other) = (files.data(), memory.data());
            prop_assert_eq!(&own.x, &other.x);
            prop_assert_eq!(bits(&own.truth), bits(&other.truth));
            prop_assert_eq!(bits(&own.known), bits(&other.known));
            prop_assert_eq!(&own.labels, &other.labels);
            prop_assert_eq!(&own.times, &other.times);
            prop_assert_eq!(&own.origins, &other.origins);
            // As they would be found one by one.
            let answers = |&origin: &usize| match classify {
                true => other.label(origin - 1).is_some(),
                false => (origin * 2..(origin + horizon) * 2).any(|at| !other.truth(at).is_nan()),
            };
            let Parts { train, .. } = &memory.parts;
            let end = train.end + 1 - memory.ahead();
            let expected: Vec<_> = (train.start + window..end).filter(answers).collect();
            let origins = other.origins.iter(0..other.origins.len());
            prop_assert_eq!(origins.map(|origin| origin as usize).collect::<Vec<_>>(), expected);
            prop_assert_eq!(format!("{:?}", drawn(&files)), format!("{:?}", drawn(&memory)));
            let (files, memory) = (files.training(), memory.training());
            let parameters = Parameters::zeros(memory.network.config(&memory.task).unwrap());
            let score = |task: &Series| format!("{:?}", task.evaluate(&parameters, 0));
            prop_assert_eq!(score(&files.task), score(&memory.task));
        }
    }
}
