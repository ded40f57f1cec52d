//! The lab's training, by Carry and by its peers.
//!
//! The peers are the scripts in `benches/peers`; each library has a virtual environment of its
//! own under `target/peers-venv`. A peer that cannot be installed or fails is named and left
//! out; that is not an error of ours.
//!
//! ```text
//! for each round:  ours, numpy, jax, ...          one figure each
//! ratio[peer]    = peer[round] / ours[round]      median, min, max over the rounds
//! ```

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};
use train::statistics::median;

use super::python::{prepare_environment, python_command};
use super::spread::Spread;
use crate::bench::machine::{cpu_model, target_features};
use crate::bench::process::{finish, last_line};
use crate::bench::workspace::root;
use crate::interrupt::is_stopped;
use crate::output::line;

/// How often ours runs in a round: it takes milliseconds, where a peer takes seconds.
const OUR_RUNS: usize = 5;

/// A rival: a script with its options, and the environment that it needs.
struct Peer {
    name: &'static str,
    /// Names `requirements-*.txt` and the folder of the virtual environment.
    environment: &'static str,
    script: &'static str,
    options: &'static [&'static str],
}

const PEERS: &[Peer] = &[
    Peer {
        name: "NumPy, plain loop",
        environment: "numpy",
        script: "lab_numpy.py",
        options: &["--repeat", "1"],
    },
    Peer {
        name: "JAX, jax.grad",
        environment: "jax",
        script: "lab_jax.py",
        options: &["--backward", "grad", "--repeat", "5"],
    },
    Peer {
        name: "JAX, gradient by hand",
        environment: "jax",
        script: "lab_jax.py",
        options: &["--backward", "hand", "--repeat", "5"],
    },
    Peer {
        name: "PyTorch, autograd",
        environment: "torch",
        script: "lab_torch.py",
        options: &["--backward", "grad", "--repeat", "1"],
    },
    Peer {
        name: "PyTorch, gradient by hand",
        environment: "torch",
        script: "lab_torch.py",
        options: &["--backward", "hand", "--repeat", "1"],
    },
];

/// Trains on `examples` in each of `rounds`, and prints the table; that of the rounds until then, if
/// our own training fails, or a signal ends the comparison.
///
/// # Errors
/// These. A peer's failure is printed below the table.
pub fn run(examples: usize, rounds: usize, with_torch: bool, json: bool) -> Result<()> {
    let root = root()?;
    // Drawn on stderr, and not at all where that is no terminal.
    let progress = ProgressBar::new_spinner();
    progress.enable_steady_tick(Duration::from_millis(200));

    let mut contestants = Vec::new();
    let mut skipped = Vec::new();
    for peers in PEERS.chunk_by(|a, b| a.environment == b.environment) {
        let environment = peers[0].environment;
        let prepared = if environment == "torch" && !with_torch {
            Err(anyhow!("several gigabytes to install; --with-torch asks for it"))
        } else {
            prepare_environment(root, environment, &progress)
        };
        match prepared {
            Ok(python) => {
                contestants.extend(peers.iter().map(|peer| Contestant::new(peer, &python)));
            }
            Err(error) if is_stopped(&error) => return Err(error),
            Err(error) => skipped.extend(peers.iter().map(|peer| Skipped::new(peer, &error))),
        }
    }

    let (mut ours, mut failure) = (Vec::new(), None);
    for round in 1..=rounds {
        progress.set_message(format!("round {round} of {rounds}: Carry"));
        match ours_microseconds_per_example(examples).context("our own training") {
            Ok(figure) => ours.push(figure),
            Err(error) => {
                failure = Some(error);
                break;
            }
        }
        let mut remaining = Vec::new();
        for mut contestant in contestants {
            progress.set_message(format!("round {round} of {rounds}: {}", contestant.peer.name));
            match contestant.run(root, examples) {
                Ok(()) => remaining.push(contestant),
                Err(error) if is_stopped(&error) => {
                    failure = Some(error);
                    remaining.push(contestant);
                }
                Err(error) => skipped.push(Skipped::new(contestant.peer, &error)),
            }
        }
        contestants = remaining;
        if failure.is_some() {
            break;
        }
    }
    progress.finish_and_clear();
    match failure {
        Some(error) if ours.is_empty() => return Err(error),
        _ => contestants.retain(|contestant| !contestant.microseconds_per_example.is_empty()),
    }

    let report = Report {
        examples,
        rounds: ours.len(),
        cpu: cpu_model(),
        target_features: target_features(),
        microseconds_per_example: Spread::of(&ours),
        peers: contestants.into_iter().map(|c| c.result(&ours)).collect(),
        skipped,
    };
    line(report.table().trim_end());
    if json {
        line(serde_json::to_string(&report)?);
    }
    failure.map_or(Ok(()), Err)
}

/// One figure of ours: the median of a few runs of `xtask train`, in µs per example.
fn ours_microseconds_per_example(examples: usize) -> Result<f64> {
    #[derive(Deserialize)]
    struct Trained {
        ns_per_example: f64,
    }
    let folder = tempfile::tempdir()?;
    let mut figures = Vec::new();
    for run in 0..OUR_RUNS {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["train", "--json", "--quiet", "--examples", &examples.to_string(), "--out"])
            .arg(folder.path().join(run.to_string()));
        let trained: Trained =
            last_line(&finish(&mut command, "xtask train", time_limit(examples))?)?;
        figures.push(trained.ns_per_example / 1e3);
    }
    Ok(median(&figures))
}

/// A peer that is installed, with what it has done so far.
struct Contestant {
    peer: &'static Peer,
    python: PathBuf,
    version: String,
    /// One median a round.
    microseconds_per_example: Vec<f64>,
}

impl Contestant {
    fn new(peer: &'static Peer, python: &Path) -> Self {
        Self {
            peer,
            python: python.to_owned(),
            version: String::new(),
            microseconds_per_example: Vec::new(),
        }
    }

    /// Runs the script once, on one thread, and keeps the median of its repeats.
    fn run(&mut self, root: &Path, examples: usize) -> Result<()> {
        #[derive(Deserialize)]
        struct Line {
            version: String,
            examples: usize,
            microseconds_per_example: Vec<f64>,
        }
        let mut command = python_command(&self.python);
        command
            .arg(root.join("benches/peers").join(self.peer.script))
            .args(["--examples", &examples.to_string()])
            .args(self.peer.options)
            .env("OMP_NUM_THREADS", "1")
            .env("OPENBLAS_NUM_THREADS", "1")
            .env("MKL_NUM_THREADS", "1");
        let line: Line = last_line(&finish(&mut command, self.peer.script, time_limit(examples))?)?;
        ensure!(
            line.examples == examples && !line.microseconds_per_example.is_empty(),
            "{} did not time the {examples} examples it was asked for",
            self.peer.script
        );
        self.version = line.version;
        self.microseconds_per_example.push(median(&line.microseconds_per_example));
        Ok(())
    }

    fn result(self, ours: &[f64]) -> PeerResult {
        let ratios: Vec<f64> = self
            .microseconds_per_example
            .iter()
            .zip(ours)
            .map(|(theirs, ours)| theirs / ours)
            .collect();
        PeerResult {
            peer: self.peer.name,
            version: self.version,
            microseconds_per_example: Spread::of(&self.microseconds_per_example),
            ratio: Spread::of(&ratios),
        }
    }
}

/// How long one run may take: start and compilation, and 5 ms an example,
/// a dozen times what the slowest peer needs.
fn time_limit(examples: usize) -> Duration {
    Duration::from_secs(120)
        + Duration::from_millis(5) * u32::try_from(examples).unwrap_or(u32::MAX)
}

/// What is printed, and with `--json` written out. Times are µs per example.
#[derive(Serialize)]
struct Report {
    examples: usize,
    rounds: usize,
    cpu: String,
    target_features: Vec<&'static str>,
    /// Ours.
    microseconds_per_example: Spread,
    peers: Vec<PeerResult>,
    skipped: Vec<Skipped>,
}

#[derive(Serialize)]
struct PeerResult {
    peer: &'static str,
    version: String,
    microseconds_per_example: Spread,
    /// Theirs over ours, round by round.
    ratio: Spread,
}

#[derive(Serialize)]
struct Skipped {
    peer: &'static str,
    reason: String,
}

impl Skipped {
    fn new(peer: &Peer, error: &anyhow::Error) -> Self {
        Self { peer: peer.name, reason: format!("{error:#}") }
    }
}

impl Report {
    /// The machine, the Markdown table, and who is missing.
    fn table(&self) -> String {
        let row = |name: &str, version: &str, time: &Spread, ratio: &str| {
            format!("| {name:<25} | {version:<13} | {:>14.3} | {ratio:<24} |\n", time.median)
        };
        let mut text = format!(
            "{}, one thread; Carry built for {}\n\
             {} examples (H = 16, T = 8, batch 1), {} rounds in turn, medians (min to max)\n\n\
             | program                   | version       | µs per example | times Carry's            |\n\
             | ------------------------- | ------------- | -------------: | ------------------------ |\n",
            self.cpu,
            self.target_features.join(" "),
            self.examples,
            self.rounds,
        );
        text += &row("Carry", env!("CARGO_PKG_VERSION"), &self.microseconds_per_example, "1");
        for peer in &self.peers {
            let Spread { median, min, max } = &peer.ratio;
            let ratio = format!("{median:.1} ({min:.1} to {max:.1})");
            text += &row(peer.peer, &peer.version, &peer.microseconds_per_example, &ratio);
        }
        for Skipped { peer, reason } in &self.skipped {
            text += &format!("\nskipped: {peer}: {reason}\n");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_taken_within_a_round() {
        // The machine halves its speed in the second round: the ratio stays.
        let mut contestant = Contestant::new(&PEERS[0], Path::new("python"));
        contestant.microseconds_per_example = vec![10.0, 20.0, 12.0];
        let ratio = contestant.result(&[1.0, 2.0, 1.0]).ratio;
        assert_eq!((ratio.median, ratio.min, ratio.max), (10.0, 10.0, 12.0));
    }

    #[test]
    fn the_table_names_who_is_missing() {
        let report = Report {
            examples: 10,
            rounds: 2,
            cpu: "a CPU".to_owned(),
            target_features: vec!["avx2", "fma"],
            microseconds_per_example: Spread::of(&[0.5, 0.5]),
            peers: vec![PeerResult {
                peer: "NumPy, plain loop",
                version: "2.0".to_owned(),
                microseconds_per_example: Spread::of(&[100.0, 200.0]),
                ratio: Spread::of(&[200.0, 400.0]),
            }],
            skipped: vec![Skipped { peer: "JAX, jax.grad", reason: "no index".to_owned() }],
        };
        let table = report.table();
        assert!(table.contains("a CPU, one thread; Carry built for avx2 fma\n"), "{table}");
        assert!(
            table.contains("| 2.0           |        150.000 | 300.0 (200.0 to 400.0)   |"),
            "{table}"
        );
        assert!(table.contains("skipped: JAX, jax.grad: no index\n"), "{table}");
    }
}
