//! A task with data learned by Carry and by PyTorch, in turn: what `bench peers --text` and
//! `--series` share.
//!
//! ```text
//! for each cell, seed, and 1 and 2 threads:   Carry, PyTorch      in turn
//!     the same examples in the same order, first weights, updates and validations
//! loss[cell]  = what all of its trainings came below
//! ratio       = seconds until then, PyTorch's over Carry's, of the same seed and threads
//! ```
//!
//! Seconds are those of updates; validation is in neither's. No figure is judged.

use super::python::{prepare_environment, python_command};
use super::spread::Spread;
use crate::bench::machine::{cpu_model, target_features};
use crate::bench::process::{finish, last_line};
use crate::bench::workspace::root;
use crate::interrupt::{self, Stopped};
use crate::output::line;
use anyhow::{Context, Result, ensure};
use indicatif::ProgressBar;
use model::{Cell, Nonlinearity, Parameters, weights};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use train::config::{Extent, NetworkConfig, RunConfig, Strategy, StrategyConfig};
use train::optimizer::{Clip, Rule, Schedule};
use train::state::State;
use train::task::Task;
use train::trainer::Trainer;

const CELLS: [(&str, Cell); 3] =
    [("rnn", Cell::Elman(Nonlinearity::Tanh)), ("gru", Cell::Gru), ("lstm", Cell::Lstm)];

/// How a training went.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Trained {
    validations: Vec<Validation>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Validation {
    updates: u64,
    seconds: f64,
    loss: f64,
}

/// What the script prints when it trains.
#[derive(Deserialize)]
struct Answer {
    version: String,
    #[serde(flatten)]
    trained: Trained,
}

/// … and when it samples.
#[derive(Deserialize)]
struct Sampled {
    symbols_per_second: f64,
}

/// A training by both, from one seed on as many threads.
#[derive(Serialize)]
struct Pair {
    cell: &'static str,
    threads: usize,
    seed: u64,
    carry: Trained,
    torch: Trained,
}

/// A line of the table.
#[derive(Serialize)]
struct Row {
    cell: &'static str,
    threads: usize,
    /// What all trainings of the cell came below, as validated.
    loss: f64,
    /// Until then.
    carry_seconds: Spread,
    torch_seconds: Spread,
    ratio: Spread,
    /// In the end, by seed.
    carry_losses: Vec<f64>,
    torch_losses: Vec<f64>,
    /// A second, of one text; measured with one thread alone.
    carry_symbols: Option<f64>,
    torch_symbols: Option<f64>,
}

/// A function that says how many a second, and how many are to be made.
pub type Sample<T> = (fn(&RunConfig<T>) -> Result<f64>, usize);

/// What is learned, and how it is told to PyTorch.
pub struct Learned<T> {
    /// With the defaults of `cargo xtask train`, but for the cell, the updates and the seed.
    pub training: RunConfig<T>,
    /// In `benches/peers`.
    pub script: &'static str,
    /// Writes the data of a training to a folder; returns what `work.json` says of them.
    pub write: fn(&Path, &RunConfig<T>, &State) -> Result<Value>,
    /// Symbols a second that our network makes, one by one, and how many PyTorch should make.
    pub sample: Option<Sample<T>>,
}

/// Runs the comparison and prints the table; `cell` limits it to one. It is the table of what was
/// measured until then, if one of the two fails, or a signal ends the comparison.
///
/// # Errors
/// These; or if PyTorch cannot be installed.
pub fn compare<T: Task>(
    learned: &Learned<T>,
    cell: Option<&str>,
    quick: bool,
    json: bool,
) -> Result<()> {
    let (seeds, updates, every) = if quick { (1, 60, 20) } else { (3, 500, 25) };
    let root = root()?;
    let progress = ProgressBar::new_spinner();
    progress.enable_steady_tick(Duration::from_millis(200));
    let python = prepare_environment(root, "torch", &progress)?;
    let peer = Peer { python, script: root.join("benches/peers").join(learned.script) };

    let (mut pairs, mut rows, mut version) = (Vec::new(), Vec::new(), String::new());
    let mut failure = None;
    for (name, kind) in CELLS.into_iter().filter(|(name, _)| cell.is_none_or(|cell| cell == *name))
    {
        let (mut of_cell, mut symbols) = (Vec::new(), None);
        let mut measure = || -> Result<()> {
            for seed in 0..seeds {
                let config = training(&learned.training, kind, updates, seed);
                let folder = tempfile::tempdir()?;
                write_work(folder.path(), &config, name, every, learned)?;
                for threads in [1, 2] {
                    progress.set_message(format!("{name}, seed {seed}, {threads} threads: Carry"));
                    let carry = train(&config, threads, every)?;
                    progress
                        .set_message(format!("{name}, seed {seed}, {threads} threads: PyTorch"));
                    let answer = peer.train(folder.path(), threads)?;
                    version = answer.version;
                    of_cell.push(Pair { cell: name, threads, seed, carry, torch: answer.trained });
                }
                if let (0, Some((sample, count))) = (seed, learned.sample) {
                    progress.set_message(format!("{name}: sampling"));
                    symbols = Some([sample(&config)?, peer.sample(folder.path(), count)?]);
                }
            }
            Ok(())
        };
        failure = measure().err();
        rows.extend(rows_of(&of_cell, symbols));
        pairs.extend(of_cell);
        if failure.is_some() {
            break;
        }
    }
    progress.finish_and_clear();
    match failure {
        Some(failure) if rows.is_empty() => return Err(failure),
        _ => {}
    }
    line(table(&rows, &learned.training, updates, &version).trim_end());
    if json {
        let object = json!({
            "cpu": cpu_model(),
            "target_features": target_features(),
            "torch": version,
            "updates": updates,
            "rows": rows,
            "trainings": pairs,
        });
        line(object.to_string());
    }
    failure.map_or(Ok(()), Err)
}

/// `defaults`, but for the cell, and as long as the peers can wait.
fn training<T: Task>(defaults: &RunConfig<T>, cell: Cell, updates: u64, seed: u64) -> RunConfig<T> {
    let mut config = defaults.clone();
    config.network = NetworkConfig { cell, ..config.network };
    let batch = config.run.batch;
    config.run = Extent::new(updates * batch as u64, batch, seed);
    if let Schedule::Cosine { steps, warmup, .. } = &mut config.optimizer.schedule {
        (*steps, *warmup) = (updates, (*warmup).min(updates / 10));
    }
    if cell == Cell::Elman(Nonlinearity::Tanh) {
        // What an LSTM likes is too much for it.
        config.optimizer.learning_rate = config.optimizer.learning_rate.min(1e-3);
    }
    config
}

/// What both start from.
fn write_work<T: Task>(
    folder: &Path,
    config: &RunConfig<T>,
    cell: &str,
    every: u64,
    learned: &Learned<T>,
) -> Result<()> {
    let state = State::new(config, 1)?;
    let mut parameters = Parameters::zeros(config.network.config(&config.task)?);
    parameters.arena_mut().copy_from_slice(&state.arena);
    fs::write(folder.join("start.safetensors"), weights::to_bytes(&parameters))?;
    let (Rule::Adam(moments) | Rule::AdamW(moments)) = config.optimizer.rule else {
        unreachable!("tasks with data learn by Adam")
    };
    let (Clip::Norm(clip), Schedule::Cosine { warmup, floor, .. }) =
        (config.optimizer.clip, config.optimizer.schedule)
    else {
        unreachable!("with clipping by the norm and a cosine schedule")
    };
    let work = json!({
        "cell": cell,
        "hidden": config.network.hidden,
        "batch": config.run.batch,
        "updates": config.run.examples / config.run.batch as u64,
        "validate_every": every,
        "learning_rate": config.optimizer.learning_rate,
        "beta1": moments.beta1,
        "beta2": moments.beta2,
        "epsilon": moments.epsilon,
        "weight_decay": moments.weight_decay,
        "clip": clip,
        "warmup": warmup,
        "floor": floor,
        "data": (learned.write)(folder, config, &state)?,
    });
    fs::write(folder.join("work.json"), work.to_string())?;
    Ok(())
}

/// Ours.
fn train<T: Task>(config: &RunConfig<T>, threads: usize, every: u64) -> Result<Trained> {
    let name = if threads == 1 { Strategy::Serial } else { Strategy::Synchronous };
    let strategy = StrategyConfig { name, threads, push_every: 1 };
    let mut trainer = Trainer::new(&RunConfig { strategy, ..config.clone() })?;
    let batch = config.run.batch as u64;
    let (mut updates, mut seconds, mut validations) = (0, 0.0, Vec::new());
    while updates < config.run.examples / batch {
        if interrupt::asked() {
            return Err(Stopped.into());
        }
        let start = Instant::now();
        trainer.train(every * batch);
        seconds += start.elapsed().as_secs_f64();
        updates += every;
        let loss = config.task.validate(trainer.parameters());
        validations.push(Validation { updates, seconds, loss });
    }
    Ok(Trained { validations })
}

/// PyTorch.
struct Peer {
    python: PathBuf,
    script: PathBuf,
}

impl Peer {
    fn answer(&self, folder: &Path, threads: usize, more: &[&str]) -> Result<String> {
        let threads = threads.to_string();
        let mut command = python_command(&self.python);
        command.arg(&self.script).arg("--work").arg(folder).args(["--threads", &threads]);
        command.args(more).env("OMP_NUM_THREADS", &threads).env("MKL_NUM_THREADS", &threads);
        finish(&mut command, "PyTorch", Duration::from_secs(3600))
    }

    fn train(&self, folder: &Path, threads: usize) -> Result<Answer> {
        let answer: Answer = last_line(&self.answer(folder, threads, &[])?)?;
        ensure!(!answer.trained.validations.is_empty(), "PyTorch made no validation");
        Ok(answer)
    }

    fn sample(&self, folder: &Path, count: usize) -> Result<f64> {
        let count = count.to_string();
        let text = self.answer(folder, 1, &["--sample", &count]).context("sampling")?;
        Ok(last_line::<Sampled>(&text)?.symbols_per_second)
    }
}

impl Trained {
    fn best(&self) -> f64 {
        self.validations.iter().map(|v| v.loss).fold(f64::INFINITY, f64::min)
    }

    fn last(&self) -> f64 {
        self.validations.last().map_or(f64::NAN, |v| v.loss)
    }

    /// Seconds until the first validation at or below `loss`.
    fn seconds_to(&self, loss: f64) -> f64 {
        let first = self.validations.iter().find(|v| v.loss <= loss);
        first.map_or(f64::INFINITY, |v| v.seconds)
    }
}

/// The lines of one cell: one for each number of threads.
fn rows_of(pairs: &[Pair], symbols: Option<[f64; 2]>) -> Vec<Row> {
    let all = pairs.iter().flat_map(|pair| [&pair.carry, &pair.torch]);
    let loss = all.map(Trained::best).fold(f64::NEG_INFINITY, f64::max);
    let row = |threads| {
        let of: Vec<_> = pairs.iter().filter(|pair| pair.threads == threads).collect();
        let first = of.first()?;
        let each = |f: &dyn Fn(&Pair) -> f64| of.iter().map(|pair| f(pair)).collect::<Vec<f64>>();
        let carry = each(&|pair| pair.carry.seconds_to(loss));
        let torch = each(&|pair| pair.torch.seconds_to(loss));
        let ratio: Vec<_> = carry.iter().zip(&torch).map(|(carry, torch)| torch / carry).collect();
        Some(Row {
            cell: first.cell,
            threads,
            loss,
            carry_seconds: Spread::of(&carry),
            torch_seconds: Spread::of(&torch),
            ratio: Spread::of(&ratio),
            carry_losses: each(&|pair| pair.carry.last()),
            torch_losses: each(&|pair| pair.torch.last()),
            carry_symbols: symbols.filter(|_| threads == 1).map(|[carry, _]| carry),
            torch_symbols: symbols.filter(|_| threads == 1).map(|[_, torch]| torch),
        })
    };
    [1, 2].into_iter().filter_map(row).collect()
}

fn table<T: Task>(rows: &[Row], config: &RunConfig<T>, updates: u64, version: &str) -> String {
    let mut text = format!(
        "{}; Carry built for {}\nPyTorch {version}; {updates} updates, B = {}, T = {}, H = {}; medians \
         over the seeds (min to max)\n\n\
         | cell | threads | loss   | Carry, s | PyTorch, s | times Carry's       | last losses, Carry     | PyTorch                |\n\
         | ---- | ------: | -----: | -------: | ---------: | ------------------- | ---------------------- | ---------------------- |\n",
        cpu_model(),
        target_features().join(" "),
        config.run.batch,
        config.task.steps(),
        config.network.hidden,
    );
    for row in rows {
        let Spread { median, min, max } = &row.ratio;
        let ratio = format!("{median:.2} ({min:.2} to {max:.2})");
        let losses = |all: &[f64]| {
            all.iter().map(|loss| format!("{loss:.4}")).collect::<Vec<_>>().join(", ")
        };
        text += &format!(
            "| {:<4} | {:>7} | {:>6.4} | {:>8.2} | {:>10.2} | {ratio:<19} | {:<22} | {:<22} |\n",
            row.cell,
            row.threads,
            row.loss,
            row.carry_seconds.median,
            row.torch_seconds.median,
            losses(&row.carry_losses),
            losses(&row.torch_losses),
        );
    }
    for row in rows {
        if let (Some(carry), Some(torch)) = (row.carry_symbols, row.torch_symbols) {
            text += &format!(
                "\n{}: one text, symbol by symbol: Carry {carry:.0} symbols a second, PyTorch {torch:.0}; \
                 {:.1} times",
                row.cell,
                carry / torch
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trained(seconds: [f64; 3], losses: [f64; 3]) -> Trained {
        let each = seconds.into_iter().zip(losses).zip(1..);
        let validations =
            each.map(|((seconds, loss), updates)| Validation { updates, seconds, loss }).collect();
        Trained { validations }
    }

    #[test]
    fn a_ratio_is_of_the_times_to_what_all_came_below() {
        let pair = |seed, carry, torch| Pair { cell: "gru", threads: 1, seed, carry, torch };
        let pairs = [
            pair(
                0,
                trained([1.0, 2.0, 3.0], [3.0, 2.0, 1.5]),
                trained([4.0, 8.0, 12.0], [3.0, 2.5, 1.9]),
            ),
            pair(
                1,
                trained([1.0, 2.0, 3.0], [3.0, 1.8, 1.6]),
                trained([3.0, 6.0, 9.0], [1.7, 2.2, 1.8]),
            ),
        ];
        let rows = rows_of(&pairs, Some([50.0, 2.0]));
        assert_eq!(rows.len(), 1, "nothing ran on two threads");
        let row = &rows[0];
        assert_eq!(row.loss, 1.9);
        // 3 and 2 s; 12 and 3 s
        assert_eq!((row.ratio.min, row.ratio.max), (1.5, 4.0));
        assert_eq!(row.torch_losses, [1.9, 1.8]);
        let table = table(&rows, &train::task::Addition::lab(), 3, "2.0");
        assert!(table.contains("25.0 times") && table.contains("2.75 (1.50 to 4.00)"), "{table}");
    }
}
