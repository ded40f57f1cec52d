//! From a run folder to the data of its page.

use crate::data::{Data, Description, FORMAT, Moment, Point, Training, tensors};
use crate::error::Error;
use crate::{proof, series, text};
use certify::ibp::Ibp;
use model::{Memory, Parameters};
use std::path::Path;
use train::config::RunConfig;
use train::metrics::Metrics;
use train::run_folder::RunFolder;
use train::task::{Addition, Series, Task, Text};

/// The data of a run, and what a person should know of them.
#[derive(Clone, Debug)]
pub struct Read {
    /// The data.
    pub data: Data,
    /// What is left out of the page, and why, in sentences.
    pub notes: Vec<String>,
}

/// Points of an error curve at most.
const MOST_POINTS: usize = 500;

/// The most parameters of a network that adds: four bytes of each are five and a half of a page.
const MOST_PARAMETERS: usize = 350_000;

/// The data of the finished run in `folder`; `command` is what makes its page.
///
/// Of a text run the network reads (and, where the file of its training is gone or changed, writes)
/// some thousand symbols; of a series run it forecasts its test part.
///
/// # Errors
/// If a file of the run cannot be read or makes no sense; if the task is none that a page shows, or
/// the network runs in both directions, feeds back its output, sees a window or is too large; if
/// the table of a series is gone or changed.
pub fn of_run(folder: &RunFolder, command: &str) -> Result<Read, Error> {
    let name = folder.task_name()?;
    match name.as_str() {
        Addition::NAME => {
            let (config, parameters) = folder.load::<Addition>()?;
            adding(folder, command, &config, config.task, &parameters)
        }
        Ibp::NAME => {
            let (config, parameters) = folder.load::<Ibp>()?;
            adding(folder, command, &config, config.task.addition(), &parameters)
        }
        Text::NAME => {
            let (mut config, parameters) = folder.load::<Text>()?;
            check_shape(folder, &parameters)?;
            let mut data = data_of(folder, command, &config, &parameters)?;
            let (text, notes) = text::of_text(&mut config.task, &parameters)?;
            data.text = Some(text);
            Ok(Read { data, notes })
        }
        Series::NAME => {
            let (mut config, parameters) = folder.load::<Series>()?;
            config.task.prepare()?;
            let mut data = data_of(folder, command, &config, &parameters)?;
            data.series = Some(series::of_series(&config.task, &parameters));
            Ok(Read { data, notes: Vec::new() })
        }
        other => Err(refuse(
            folder.path(),
            format!(
                "learned the task {other}, of which there is no page; train addition, text or series"
            ),
        )),
    }
}

fn adding<T: Task>(
    folder: &RunFolder,
    command: &str,
    config: &RunConfig<T>,
    task: Addition,
    parameters: &Parameters,
) -> Result<Read, Error> {
    check_shape(folder, parameters)?;
    let count: usize =
        parameters.tensors().iter().map(|tensor| tensor.rows() * tensor.columns()).sum();
    if count > MOST_PARAMETERS {
        return Err(refuse(
            folder.path(),
            format!(
                "has {count} parameters, too many for a page of {} MB; train one with at most \
                 {MOST_PARAMETERS}, by a smaller --hidden",
                crate::MOST_BYTES / 1_000_000
            ),
        ));
    }
    let mut data = data_of(folder, command, config, parameters)?;
    data.training.bits = Some(task.bits());
    data.tensors = tensors(parameters);
    let moment = |snapshot: train::snapshots::Snapshot| Moment {
        examples: snapshot.examples,
        tensors: tensors(&snapshot.parameters)
            .into_iter()
            .map(|(name, tensor)| (name, tensor.data))
            .collect(),
    };
    data.snapshots = folder.snapshots(parameters)?.into_iter().map(moment).collect();
    let mut notes = Vec::new();
    match proof::of_run(folder, parameters)? {
        Ok(proof) => data.proof = proof,
        Err(note) => notes.push(note),
    }
    Ok(Read { data, notes })
}

/// What is the same for all tasks.
fn data_of<T: Task>(
    folder: &RunFolder,
    command: &str,
    config: &RunConfig<T>,
    parameters: &Parameters,
) -> Result<Data, Error> {
    let metrics = RunFolder::metrics(folder.path())?;
    let is_proved_for = T::NAME == Ibp::NAME;
    Ok(Data {
        format: FORMAT,
        task: match T::NAME {
            Text::NAME => "text",
            Series::NAME => "series",
            _ => "addition",
        },
        run: folder.path().to_string_lossy().into_owned(),
        command: command.to_owned(),
        network: Description::of(parameters),
        training: Training {
            bits: None,
            seed: config.run.seed,
            // A training may end early.
            examples: metrics.last().map_or(config.run.examples, |last| last.examples),
            learning_rate: config.optimizer.learning_rate,
            rule: config.optimizer.rule.name(),
            batch: config.run.batch,
            certifiable: is_proved_for,
        },
        tensors: Default::default(),
        snapshots: Vec::new(),
        curve: curve(&metrics),
        proof: None,
        text: None,
        series: None,
    })
}

/// The means of so many neighbouring intervals that there are at most [`MOST_POINTS`].
fn curve(metrics: &[Metrics]) -> Vec<Point> {
    let point = |few: &[Metrics]| {
        let last = few.last()?;
        let mean = |value: fn(&Metrics) -> f64| {
            (few.iter().map(value).sum::<f64>() / few.len() as f64) as f32
        };
        Some(Point {
            examples: last.examples,
            error: mean(|metrics| metrics.error),
            loss: mean(|metrics| metrics.loss),
            valid: few.iter().rev().find_map(|metrics| metrics.valid).map(|valid| valid as f32),
        })
    };
    metrics.chunks(metrics.len().div_ceil(MOST_POINTS).max(1)).filter_map(point).collect()
}

/// Can its states be shown one step after the other?
fn check_shape(folder: &RunFolder, parameters: &Parameters) -> Result<(), Error> {
    let config = parameters.config();
    let reason = match config.memory() {
        Memory::Output => {
            "feeds back its output (--memory output), and the page shows states that are fed back; \
             train one with --memory state"
        }
        Memory::Window(_) => {
            "sees a window of its last inputs (--memory N) and has no state; the page shows states: \
             train one with --memory state"
        }
        Memory::State if config.directions() > 1 => {
            "runs from the last step to the first, too, and the page goes one step after the other; \
             train one without --bidirectional"
        }
        Memory::State => return Ok(()),
    };
    Err(refuse(folder.path(), reason.to_owned()))
}

fn refuse(run: &Path, reason: String) -> Error {
    Error::Network { run: run.to_string_lossy().into_owned(), reason }
}
