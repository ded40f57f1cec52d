//! `cargo xtask bench peers`: the lab by us and by others, in turn, on this machine.
//!
//! The peers are the scripts in `benches/peers`; each library gets a virtual
//! environment of its own under `target/peers-venv`, made here. A figure for a
//! rival only means something beside ours of the same minute, so the programs
//! run in turn, round after round, and a ratio is taken within a round.
//!
//! A peer that cannot be installed or fails is named and left out; that is not
//! an error of ours. Nothing here judges the figures.
//!
//! ```text
//! for each round:  ours, numpy, jax, ...          one figure each
//! ratio[peer]    = peer[round] / ours[round]      median, min, max over the rounds
//! ```

mod models;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};

use super::cpu_model;
use super::process::{finish, last_line};

/// Train the lab beside NumPy, JAX and PyTorch, in turn, and print the ratios
///
/// Makes its own Python environments under target/peers-venv, with pinned versions from PyPI, at
/// the first call. A library that cannot be installed is named and left out.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Also compare with PyTorch, which installs several gigabytes
    #[arg(long)]
    with_torch: bool,

    /// Two rounds of 2,000 examples instead of five of 10,000: a look, not a measurement
    #[arg(long)]
    quick: bool,

    /// Training examples of each run [default: 10000, with --quick 2000]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    examples: Option<u32>,

    /// Print one JSON object as the last line
    #[arg(long)]
    json: bool,

    /// Not the lab but the recurrent layers, beside PyTorch and Rust's candle, burn and rust-lstm:
    /// installs several gigabytes of Python, and builds each rival once, which takes minutes
    #[arg(long, conflicts_with_all = ["with_torch", "examples"])]
    models: bool,

    /// Of the recurrent layers, this one alone: rnn, gru or lstm
    #[arg(long, requires = "models", value_parser = ["rnn", "gru", "lstm"])]
    cell: Option<String>,
}

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

/// Runs the comparison and prints the table.
///
/// # Errors
/// If our own training fails; a peer's failure is printed beside the table.
pub fn run(args: Args) -> Result<()> {
    if args.models {
        return models::run(args.cell.as_deref(), args.quick, args.json);
    }
    let examples = args.examples.map_or(if args.quick { 2_000 } else { 10_000 }, |n| n as usize);
    let rounds = if args.quick { 2 } else { 5 };
    let root =
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask lies in the workspace")?;
    // Drawn on stderr, and not at all where that is no terminal.
    let progress = ProgressBar::new_spinner();
    progress.enable_steady_tick(Duration::from_millis(200));

    let mut contestants = Vec::new();
    let mut skipped = Vec::new();
    for peers in PEERS.chunk_by(|a, b| a.environment == b.environment) {
        let environment = peers[0].environment;
        let prepared = if environment == "torch" && !args.with_torch {
            Err(anyhow!("several gigabytes to install; --with-torch asks for it"))
        } else {
            prepare_environment(root, environment, &progress)
        };
        match prepared {
            Ok(python) => {
                contestants.extend(peers.iter().map(|peer| Contestant::new(peer, &python)));
            }
            Err(error) => skipped.extend(peers.iter().map(|peer| Skipped::new(peer, &error))),
        }
    }

    let mut ours = Vec::new();
    for round in 1..=rounds {
        progress.set_message(format!("round {round} of {rounds}: Carry"));
        ours.push(ours_microseconds_per_example(examples).context("our own training")?);
        let mut remaining = Vec::new();
        for mut contestant in contestants {
            progress.set_message(format!("round {round} of {rounds}: {}", contestant.peer.name));
            match contestant.run(root, examples) {
                Ok(()) => remaining.push(contestant),
                Err(error) => skipped.push(Skipped::new(contestant.peer, &error)),
            }
        }
        contestants = remaining;
    }
    progress.finish_and_clear();

    let report = Report {
        examples,
        rounds,
        cpu: cpu_model(),
        target_features: target_features(),
        microseconds_per_example: Spread::of(&ours),
        peers: contestants.into_iter().map(|c| c.result(&ours)).collect(),
        skipped,
    };
    print!("{}", report.table());
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    }
    Ok(())
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

/// Makes sure that the virtual environment of `name` holds its requirements,
/// and returns its interpreter.
///
/// The stamp beside the environment repeats what was asked for. It is written
/// last and removed first: an environment half made or half removed has none.
fn prepare_environment(root: &Path, name: &str, progress: &ProgressBar) -> Result<PathBuf> {
    let requirements = root.join(format!("benches/peers/requirements-{name}.txt"));
    let environments = root.join("target/peers-venv");
    let environment = environments.join(name);
    let stamp = environments.join(format!("{name}.stamp"));
    let python = environment.join("bin/python");

    let version =
        finish(Command::new("python3").arg("--version"), "Python", Duration::from_secs(20))?;
    let listed = fs::read_to_string(&requirements)
        .with_context(|| format!("reading {}", requirements.display()))?;
    let asked = format!("{version}{listed}");
    if fs::read_to_string(&stamp).is_ok_and(|made| made == asked) {
        return Ok(python);
    }

    progress.set_message(format!("installing {name} under {}", environments.display()));
    if stamp.exists() {
        fs::remove_file(&stamp)?;
    }
    if environment.exists() {
        fs::remove_dir_all(&environment)?;
    }
    fs::create_dir_all(&environments)?;
    finish(
        python_command(Path::new("python3")).args(["-m", "venv"]).arg(&environment),
        "python3 -m venv",
        Duration::from_secs(120),
    )
    .context("no virtual environment (Debian and Ubuntu have it in the package python3-venv)")?;
    finish(
        python_command(&python)
            .args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"])
            .arg("--requirement")
            .arg(&requirements),
        "pip install",
        Duration::from_secs(if name == "torch" { 3600 } else { 900 }),
    )
    .with_context(|| format!("cannot install {name} (is the package index within reach?)"))?;
    let unfinished = stamp.with_extension("unfinished");
    fs::write(&unfinished, asked)?;
    fs::rename(unfinished, stamp)?;
    Ok(python)
}

/// A Python that sees only the modules of its own environment and leaves no bytecode in the sources.
fn python_command(python: &Path) -> Command {
    let mut command = Command::new(python);
    command.env_remove("PYTHONPATH").env_remove("PYTHONHOME").env("PYTHONDONTWRITEBYTECODE", "1");
    command
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

/// The median and the ends of the rounds' figures.
#[derive(Serialize)]
struct Spread {
    median: f64,
    min: f64,
    max: f64,
}

impl Spread {
    fn of(figures: &[f64]) -> Self {
        Self {
            median: median(figures),
            min: figures.iter().copied().fold(f64::INFINITY, f64::min),
            max: figures.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        }
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

/// The median; of an even count the mean of the middle two.
///
/// # Panics
/// If `figures` is empty.
fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        sorted[middle]
    } else {
        f64::midpoint(sorted[middle - 1], sorted[middle])
    }
}

/// Which of the instruction sets that change the kernels this binary was built with.
fn target_features() -> Vec<&'static str> {
    [
        ("sse2", cfg!(target_feature = "sse2")),
        ("avx", cfg!(target_feature = "avx")),
        ("avx2", cfg!(target_feature = "avx2")),
        ("fma", cfg!(target_feature = "fma")),
        ("avx512f", cfg!(target_feature = "avx512f")),
        ("neon", cfg!(target_feature = "neon")),
    ]
    .into_iter()
    .filter_map(|(name, built)| built.then_some(name))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_odd_and_even_counts() {
        assert_eq!(median(&[3.0]), 3.0);
        assert_eq!(median(&[9.0, 1.0, 4.0]), 4.0);
        assert_eq!(median(&[8.0, 1.0, 2.0, 4.0]), 3.0);
    }

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
