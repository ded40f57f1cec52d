//! `cargo xtask bench peers --models`: recurrent layers, Carry's and its peers'.
//!
//! Every peer is a program with one protocol (`benches/peers/models/work.rs`): it runs the
//! same cases from the same weights and prints milliseconds. Carry is one of them. Rust's
//! are workspaces of their own, so that the normal build never compiles them; they are
//! built here, into `target/peers`. PyTorch has the environment of the lab's peers.
//!
//! ```text
//! for each round, for 1 and 2 threads:  Carry, PyTorch, candle, ...    a figure a case
//! ratio[case, peer] = peer[round] / Carry[round]                      median over the rounds
//! ```
//!
//! The first loss of a peer must be Carry's, or it computes something else, and the table says
//! so: rust-lstm's GRU does. No figure is judged.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use indicatif::ProgressBar;
use model::flops;
use serde::{Deserialize, Serialize};
use train::statistics::median;

use super::python::{prepare_environment, python_command};
use super::spread::Spread;
use crate::bench::group::layer_config;
use crate::bench::machine::{cpu_model, target_features};
use crate::bench::process::{finish, last_line};
use crate::bench::workspace::root;
use crate::interrupt::is_stopped;
use crate::output::line;

/// The folders in `benches/peers/models`, ours first, and how many threads they know.
const RUST_PEERS: [(&str, usize); 4] = [("carry", 2), ("candle", 2), ("burn", 2), ("rust-lstm", 1)];

/// How far a first loss in f32 may be from ours.
const LOSS_TOLERANCE: f64 = 1e-4;

/// A program that runs the cases.
struct Peer {
    name: String,
    program: PathBuf,
    /// Before the options: a script for an interpreter.
    script: Option<PathBuf>,
    most_threads: usize,
}

/// What a peer prints.
#[derive(Deserialize)]
struct Answer {
    peer: String,
    version: String,
    results: Vec<Timed>,
}

#[derive(Deserialize)]
struct Timed {
    cell: String,
    /// I, H, T, B
    sizes: [usize; 4],
    mode: String,
    loss: f64,
    milliseconds: Vec<f64>,
}

/// Mode, cell, sizes, threads: a line of the table.
type Case = (String, String, [usize; 4], usize);

/// A case of one peer: its median in each round, in ms.
#[derive(Default)]
struct Figures {
    rounds: Vec<f64>,
    loss: f64,
}

#[derive(Serialize)]
struct Row {
    mode: String,
    cell: String,
    /// I, H, T, B
    sizes: [usize; 4],
    threads: usize,
    peer: String,
    milliseconds: Spread,
    gflop_per_s: Option<f64>,
    /// Theirs over ours, round by round.
    ratio: Spread,
    /// Whether it found our loss.
    same_loss: bool,
}

#[derive(Serialize)]
struct Report {
    cpu: String,
    target_features: Vec<&'static str>,
    rounds: usize,
    versions: BTreeMap<String, String>,
    rows: Vec<Row>,
    skipped: Vec<String>,
}

/// Runs the comparison and prints the table; `cell` limits it to one. It is the table of what was
/// measured until then, if Carry itself fails, or a signal ends the comparison.
///
/// # Errors
/// These. A rival that fails is named and left out.
pub fn run(cell: Option<&str>, quick: bool, json: bool) -> Result<()> {
    let (rounds, repeat) = if quick { (1, 3) } else { (5, 9) };
    let root = root()?;
    let progress = ProgressBar::new_spinner();
    progress.enable_steady_tick(Duration::from_millis(200));

    let (mut peers, mut skipped) = (Vec::new(), Vec::new());
    for (folder, most_threads) in RUST_PEERS {
        progress.set_message(format!("building {folder}"));
        match build(root, folder) {
            Ok(program) => {
                peers.push(Peer { name: folder.to_owned(), program, script: None, most_threads });
            }
            Err(error) if folder == "carry" || is_stopped(&error) => return Err(error),
            Err(error) => skipped.push(format!("{folder}: {error:#}")),
        }
    }
    match prepare_environment(root, "torch", &progress) {
        Ok(program) => {
            let script = Some(root.join("benches/peers/models_torch.py"));
            peers.insert(1, Peer { name: "torch".to_owned(), program, script, most_threads: 2 });
        }
        Err(error) if is_stopped(&error) => return Err(error),
        Err(error) => skipped.push(format!("torch: {error:#}")),
    }

    // [peer][case]
    let mut figures: Vec<BTreeMap<Case, Figures>> = peers.iter().map(|_| BTreeMap::new()).collect();
    let mut versions = BTreeMap::new();
    let mut names = vec![String::new(); peers.len()];
    let mut failed = vec![false; peers.len()];
    let mut failure = None;
    'rounds: for round in 1..=rounds {
        for threads in [1, 2] {
            for (n, peer) in peers.iter().enumerate() {
                if failed[n] || threads > peer.most_threads {
                    continue;
                }
                progress.set_message(format!("round {round} of {rounds}: {}", peer.name));
                match peer.run(threads, repeat, cell) {
                    Ok(answer) => {
                        versions.insert(answer.peer.clone(), answer.version);
                        names[n] = answer.peer;
                        for timed in answer.results {
                            let case = (timed.mode, timed.cell, timed.sizes, threads);
                            let figures = figures[n].entry(case).or_default();
                            figures.rounds.push(median(&timed.milliseconds));
                            figures.loss = timed.loss;
                        }
                    }
                    Err(error) if n == 0 || is_stopped(&error) => {
                        failure = Some(error);
                        break 'rounds;
                    }
                    Err(error) => {
                        failed[n] = true;
                        skipped.push(format!("{}: {error:#}", peer.name));
                    }
                }
            }
        }
    }
    progress.finish_and_clear();
    match failure {
        Some(error) if figures[0].is_empty() => return Err(error),
        _ => {}
    }

    let mut rows = Vec::new();
    for (case, ours) in &figures[0] {
        for (n, name) in names.iter().enumerate().filter(|&(n, _)| !failed[n]) {
            if let Some(figures) = figures[n].get(case) {
                rows.push(Row::new(case, name, figures, ours));
            }
        }
    }
    let (cpu, target_features) = (cpu_model(), target_features());
    // Of the first case: a round that was not ended counts.
    let rounds = figures[0].values().map(|figures| figures.rounds.len()).max().unwrap_or(0);
    let report = Report { cpu, target_features, rounds, versions, rows, skipped };
    line(report.table().trim_end());
    if json {
        line(serde_json::to_string(&report)?);
    }
    failure.map_or(Ok(()), Err)
}

/// Builds the peer in `folder` and returns its program.
fn build(root: &Path, folder: &str) -> Result<PathBuf> {
    let target = root.join("target/peers");
    let mut command = Command::new("cargo");
    command
        .args(["build", "--release", "--locked", "--quiet", "--target-dir"])
        .arg(&target)
        // There, so that the repository's .cargo/config.toml chooses the CPU.
        .current_dir(root.join("benches/peers/models").join(folder));
    finish(&mut command, "cargo build", Duration::from_secs(3600))
        .with_context(|| format!("cannot build benches/peers/models/{folder}"))?;
    Ok(target.join("release").join(format!("peer-{folder}{}", std::env::consts::EXE_SUFFIX)))
}

impl Peer {
    fn run(&self, threads: usize, repeat: usize, cell: Option<&str>) -> Result<Answer> {
        let threads = threads.to_string();
        let mut command = match &self.script {
            None => Command::new(&self.program),
            Some(script) => {
                let mut command = python_command(&self.program);
                command.arg(script);
                command
            }
        };
        command
            .args(["--threads", &threads, "--repeat", &repeat.to_string()])
            .env("RAYON_NUM_THREADS", &threads)
            .env("OMP_NUM_THREADS", &threads)
            .env("MKL_NUM_THREADS", &threads);
        if let Some(cell) = cell {
            command.args(["--cell", cell]);
        }
        let answer: Answer =
            last_line(&finish(&mut command, &self.name, Duration::from_secs(600))?)?;
        let timed = answer.results.iter().all(|timed| timed.milliseconds.len() == repeat);
        ensure!(timed, "{} did not time each case {repeat} times", self.name);
        Ok(answer)
    }
}

impl Row {
    fn new(
        (mode, cell, sizes, threads): &Case,
        peer: &str,
        figures: &Figures,
        ours: &Figures,
    ) -> Self {
        let pairs = figures.rounds.iter().zip(&ours.rounds);
        let ratios: Vec<f64> = pairs.map(|(theirs, ours)| theirs / ours).collect();
        let milliseconds = Spread::of(&figures.rounds);
        Self {
            mode: mode.clone(),
            cell: cell.clone(),
            sizes: *sizes,
            threads: *threads,
            peer: peer.to_owned(),
            gflop_per_s: flop(mode, cell, *sizes).map(|flop| flop / milliseconds.median / 1e6),
            milliseconds,
            ratio: Spread::of(&ratios),
            same_loss: (figures.loss - ours.loss).abs() <= LOSS_TOLERANCE * ours.loss,
        }
    }
}

/// The FLOP that a case is counted as; none for an unknown cell.
fn flop(mode: &str, cell: &str, [inputs, hidden, steps, batch]: [usize; 4]) -> Option<f64> {
    let count = if mode == "training" { flops::training_step } else { flops::forward };
    Some(count(layer_config(cell, inputs, hidden)?, steps, batch))
}

impl Report {
    fn table(&self) -> String {
        let mut text = format!(
            "{}; Carry built for {}\n{} rounds in turn, medians (times Carry's: min to max)\n\n\
             | mode      | cell | I, H, T, B       | threads | program        |       ms | GFLOP/s | times Carry's         |\n\
             | --------- | ---- | ---------------- | ------: | -------------- | -------: | ------: | --------------------- |\n",
            self.cpu,
            self.target_features.join(" "),
            self.rounds,
        );
        for row in &self.rows {
            let [inputs, hidden, steps, batch] = row.sizes;
            let sizes = format!("{inputs}, {hidden}, {steps}, {batch}");
            let Spread { median, min, max } = &row.ratio;
            let other = if row.same_loss { "" } else { ", another loss" };
            let ratio = format!("{median:.2} ({min:.2} to {max:.2}){other}");
            let rate = row.gflop_per_s.map_or("–".to_owned(), |rate| format!("{rate:.1}"));
            text += &format!(
                "| {:<9} | {:<4} | {sizes:<16} | {:>7} | {:<14} | {:>8.3} | {rate:>7} | {ratio:<21} |\n",
                row.mode, row.cell, row.threads, row.peer, row.milliseconds.median,
            );
        }
        for (peer, version) in &self.versions {
            text += &format!("\n{peer} {version}");
        }
        text += "\n";
        for skipped in &self.skipped {
            text += &format!("\nskipped: {skipped}\n");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_its_rate_and_its_ratio_within_each_round() {
        let case = ("training".to_owned(), "lstm".to_owned(), [64, 128, 64, 32], 1);
        let ours = Figures { rounds: vec![1.0, 2.0, 1.0], loss: 100.0 };
        let theirs = Figures { rounds: vec![3.0, 6.0, 4.0], loss: 100.001 };
        let row = Row::new(&case, "torch", &theirs, &ours);
        assert_eq!((row.ratio.median, row.ratio.min, row.ratio.max), (3.0, 3.0, 4.0));
        // 3·2·64·32·4·128·192 FLOP in 4 ms
        assert!((row.gflop_per_s.unwrap() - 301.989_888).abs() < 1e-9, "{:?}", row.gflop_per_s);
        assert!(row.same_loss);
        let other = Figures { rounds: vec![3.0], loss: 101.0 };
        assert!(!Row::new(&case, "torch", &other, &ours).same_loss);
    }

    #[test]
    fn the_table_names_another_loss_and_who_is_missing() {
        let case = ("inference".to_owned(), "gru".to_owned(), [64, 128, 64, 1], 1);
        let ours = Figures { rounds: vec![1.0], loss: 1.0 };
        let theirs = Figures { rounds: vec![2.5], loss: 3.0 };
        let report = Report {
            cpu: "a CPU".to_owned(),
            target_features: vec!["avx2"],
            rounds: 1,
            versions: BTreeMap::from([("candle".to_owned(), "1.2".to_owned())]),
            rows: vec![Row::new(&case, "candle", &theirs, &ours)],
            skipped: vec!["burn: no compiler".to_owned()],
        };
        let table = report.table();
        assert!(table.contains("| candle         |    2.500 |"), "{table}");
        assert!(table.contains("2.50 (2.50 to 2.50), another loss"), "{table}");
        assert!(table.contains("candle 1.2\n"), "{table}");
        assert!(table.contains("skipped: burn: no compiler\n"), "{table}");
    }
}
