//! `cargo xtask train`: trains a network, shows how it goes, keeps it in a run folder.

use crate::chart;
use crate::output::{Progress, line, thousands};
use anyhow::Context;
use clap::{ValueEnum, value_parser};
use serde_json::json;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;
use train::certify::training::{BATCH, Certifiable, LEARNING_RATE, STEPS, Training};
use train::evaluate::{Score, evaluate};
use train::run::{MOST_BATCH, Metrics, RunConfig, RunFolder, Task};
use train::strategy::{Serial, Totals};
use train::study::{SeedResult, train_seeds};
use train::task::Addition;

/// Train a network to add binary numbers
///
/// A recurrent network of sigmoid units reads two binary numbers a digit at a
/// time, lowest digit first, and learns to say the digits of their sum. The defaults are the
/// well-known lab: 8 bits, 16 units, 10,000 examples of plain SGD.
///
/// Every 500 examples it prints one of them: the error over all digits, what the network said
/// and what is true (highest digit first), and the sum in decimals. At the end every possible sum
/// is tried (up to 10 bits; above, 10,000 random ones).
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask train                          the lab, in milliseconds
  cargo xtask train --seeds 0..100           a hundred networks: how often does it succeed?
  cargo xtask train --hidden 4 --examples 100000 --seed 7
  cargo xtask train --batch 64 --lr 2 --examples 200000
  cargo xtask train --certifiable            a network that `cargo xtask certify` can prove
  cargo xtask train --json --quiet           one JSON object for a program to read")]
pub struct Args {
    /// What to learn
    #[arg(value_enum, default_value = "addition")]
    task: TaskName,

    /// T, the digits of a sum, 1 to 64; operands have one less
    #[arg(long, default_value_t = 8, value_parser = value_parser!(u32).range(1..=64),
          allow_negative_numbers = true)]
    bits: u32,

    /// H, the hidden units, at least 1
    #[arg(long, default_value_t = 16, value_parser = positive, allow_negative_numbers = true)]
    hidden: usize,

    /// Examples to train on, at least 1
    #[arg(long, default_value_t = 10_000, value_parser = value_parser!(u64).range(1..),
          allow_negative_numbers = true)]
    examples: u64,

    /// Learning rate: the step of SGD, above 0
    #[arg(long, default_value_t = 0.1, value_parser = learning_rate, allow_negative_numbers = true)]
    lr: f32,

    /// B, the examples whose gradients are averaged to one update
    #[arg(long, default_value_t = 1, value_parser = batch, allow_negative_numbers = true)]
    batch: usize,

    /// The number that all randomness comes from; the same seed gives the same bits
    #[arg(long, default_value_t = 0, value_parser = seed, allow_negative_numbers = true)]
    seed: u64,

    /// Train for a proof: on intervals of states, 6,000 updates of Adam on 64 sequences of 12
    /// digits; see `cargo xtask certify`
    #[arg(long, conflicts_with_all = ["bits", "examples", "lr", "batch", "seeds"])]
    certifiable: bool,

    /// Give the units biases
    #[arg(long, requires = "certifiable")]
    bias: bool,

    /// Train once for each seed FROM..TO (TO excluded), over all cores; keeps no run folder
    #[arg(long, value_name = "FROM..TO", value_parser = seed_range,
          conflicts_with_all = ["seed", "out", "force"])]
    seeds: Option<Range<u64>>,

    /// Folder for the run [default: the next number under runs/]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// Write over the run in --out
    #[arg(long, requires = "out")]
    force: bool,

    /// Print a JSON object as the last line
    #[arg(long)]
    json: bool,

    /// Print nothing else
    #[arg(long)]
    quiet: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum TaskName {
    /// Binary addition, a digit at a time
    Addition,
}

fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("at least 1 is needed".to_owned()),
        Ok(number) => Ok(number),
        Err(error) => Err(format!("{error}; a whole number, at least 1, is needed")),
    }
}

fn seed(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("a whole number from 0 to {} is needed", u64::MAX))
}

fn batch(text: &str) -> Result<usize, String> {
    positive(text)
        .ok()
        .filter(|&batch| batch <= MOST_BATCH)
        .ok_or_else(|| format!("a whole number from 1 to {MOST_BATCH} is needed"))
}

fn learning_rate(text: &str) -> Result<f32, String> {
    let rate: f32 = text.parse().map_err(|_| "a number such as 0.1 is needed".to_owned())?;
    if rate.is_finite() && rate > 0.0 {
        Ok(rate)
    } else {
        Err("a positive, finite number such as 0.1 is needed".to_owned())
    }
}

pub fn seed_range(text: &str) -> Result<Range<u64>, String> {
    let range = text.split_once("..").and_then(|(from, to)| {
        let range = from.parse().ok()?..to.parse().ok()?;
        (!range.is_empty()).then_some(range)
    });
    range
        .ok_or_else(|| "a range such as 0..100 is needed, the second number above the first".into())
}

/// Runs the command.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let TaskName::Addition = args.task;
    if args.certifiable {
        return certifiable(&args);
    }
    let config = RunConfig {
        task: Task::Addition,
        bits: args.bits,
        hidden: args.hidden,
        bias: false,
        certifiable: false,
        examples: args.examples,
        learning_rate: args.lr,
        batch: args.batch,
        seed: args.seed,
    };
    match &args.seeds {
        Some(seeds) => many(&args, &config, seeds.clone()),
        None => one(&args, &config),
    }
}

fn one(args: &Args, config: &RunConfig) -> anyhow::Result<ExitCode> {
    let mut serial = Serial::new(config)?; // before the folder: bad sizes make none
    let folder = match &args.out {
        Some(path) => RunFolder::create(path, args.force)?,
        None => RunFolder::create_next(Path::new("runs"))?,
    };
    let mut metrics_file = folder.start_metrics()?;
    let mut metrics = Vec::new();
    let progress = Progress::new(config.examples, "examples");
    if !args.quiet {
        line(header(config.bits));
    }

    let (mut seconds, mut done, mut interval) = (0.0, 0, Totals::default());
    while done < config.examples {
        // one update whose first example is shown, then the rest of the interval
        let batch = (config.batch as u64).min(config.examples - done);
        let start = Instant::now();
        interval = serial.train(batch);
        seconds += start.elapsed().as_secs_f64();
        if !args.quiet {
            progress.line(row(done, &serial, config.bits));
        }
        let rest = (config.examples - done - batch).min(config.interval() - batch);
        let start = Instant::now();
        interval += serial.train(rest);
        seconds += start.elapsed().as_secs_f64();

        done += interval.examples;
        serial.check_finite(done)?;
        let count = interval.examples as f64;
        let (loss, error) = (interval.loss / count, interval.error / count);
        metrics.push(Metrics { examples: done, loss, error, seconds });
        metrics_file.push(metrics.last().expect("just pushed"))?;
        progress.say(format!("error {error:.4}"));
        progress.add(interval.examples);
    }
    progress.finish();

    let loss = interval.loss / interval.examples as f64;
    let score = evaluate(&serial.task(), serial.parameters(), config.seed);
    let title = format!(
        "Learning to add {} bits: {} hidden units, seed {}",
        config.bits, config.hidden, config.seed
    );
    let curve = chart::error_curve(&title, &metrics)?;
    folder.finish(config, metrics_file, &curve, serial.parameters())?;

    let ns_per_example = seconds * 1e9 / config.examples as f64;
    let path = folder.path();
    if !args.quiet {
        line("");
        line(verdict(score));
        line(format!(
            "{} examples in {:.1} ms, {ns_per_example:.0} ns an example",
            thousands(config.examples),
            seconds * 1e3
        ));
        line(format!("The run is in {}", path.display()));
        let option =
            args.out.as_ref().map_or(String::new(), |out| format!(" --run {}", out.display()));
        line(format!("Try it: cargo xtask add 53 74{option}"));
    }
    if args.json {
        let object = json!({
            "examples": config.examples,
            "bits": config.bits,
            "hidden": config.hidden,
            "seed": config.seed,
            "seconds": seconds,
            "ns_per_example": ns_per_example,
            "loss": loss,
            "sums_correct": score.correct,
            "sums_total": score.total,
            "run": path.display().to_string(),
        });
        line(object.to_string());
    }
    Ok(ExitCode::SUCCESS)
}

/// Training on intervals, for a proof.
fn certifiable(args: &Args) -> anyhow::Result<ExitCode> {
    let asked = Certifiable {
        hidden: args.hidden,
        bias: args.bias,
        seed: args.seed,
        ..Certifiable::default()
    };
    let per_update = BATCH as u64;
    let config = RunConfig {
        bits: STEPS as u32,
        hidden: args.hidden,
        bias: args.bias,
        certifiable: true,
        examples: asked.updates * per_update,
        learning_rate: LEARNING_RATE,
        batch: BATCH,
        seed: args.seed,
        ..RunConfig::default()
    };
    let mut training = Training::new(asked)?; // before the folder: bad sizes make none
    let folder = match &args.out {
        Some(path) => RunFolder::create(path, args.force)?,
        None => RunFolder::create_next(Path::new("runs"))?,
    };
    let mut metrics_file = folder.start_metrics()?;
    let mut metrics = Vec::new();
    let progress = Progress::new(asked.updates, "updates");
    if !args.quiet {
        line(format!("{:>10}  {:>10}", "updates", "worst loss"));
    }
    let (mut seconds, mut done, mut loss) = (0.0, 0, 0.0);
    while done < asked.updates {
        let count = (asked.updates - done).min(500);
        let start = Instant::now();
        loss = training.train(count);
        seconds += start.elapsed().as_secs_f64();
        done += count;
        let examples = done * per_update;
        if !loss.is_finite() {
            let learning_rate = LEARNING_RATE;
            return Err(::train::Error::Diverged { examples, learning_rate }.into());
        }
        metrics.push(Metrics { examples, loss, error: loss, seconds });
        metrics_file.push(metrics.last().expect("just pushed"))?;
        if !args.quiet {
            progress.line(format!("{:>10}  {loss:>10.6}", thousands(done)));
        }
        progress.add(count);
    }
    progress.finish();

    let parameters = training.parameters();
    let score = evaluate(&Addition::new(8)?, &parameters, args.seed);
    let title = format!("Training for a proof: {} hidden units, seed {}", args.hidden, args.seed);
    let curve = chart::error_curve(&title, &metrics)?;
    folder.finish(&config, metrics_file, &curve, &parameters)?;
    let path = folder.path();
    if !args.quiet {
        line("");
        line(verdict(score));
        line(format!("{} updates in {seconds:.2} s", thousands(asked.updates)));
        line(format!("The run is in {}", path.display()));
        let option =
            args.out.as_ref().map_or(String::new(), |out| format!(" --run {}", out.display()));
        line(format!("Prove it: cargo xtask certify{option}"));
    }
    if args.json {
        let object = json!({
            "updates": asked.updates,
            "hidden": args.hidden,
            "bias": args.bias,
            "seed": args.seed,
            "seconds": seconds,
            "loss": loss,
            "sums_correct": score.correct,
            "sums_total": score.total,
            "run": path.display().to_string(),
        });
        line(object.to_string());
    }
    Ok(ExitCode::SUCCESS)
}

fn header(bits: u32) -> String {
    let width = (bits as usize).max("prediction".len());
    format!(
        "{:>10}  {:>8}  {:<width$}  {:<width$}  a + b = sum",
        "example", "error", "prediction", "truth"
    )
}

/// An example as the lab prints it.
fn row(example: u64, serial: &Serial, bits: u32) -> String {
    let (pair, sum, error) = serial.last_example().expect("there was an update");
    let width = (bits as usize).max("prediction".len());
    let digits = |number: u64| format!("{number:0bits$b}", bits = bits as usize);
    let right = if sum == pair.sum() { "TRUE" } else { "FALSE" };
    format!(
        "{:>10}  {error:>8.4}  {:<width$}  {:<width$}  {} + {} = {sum} {right}",
        thousands(example),
        digits(sum),
        digits(pair.sum()),
        pair.a,
        pair.b
    )
}

fn verdict(score: Score) -> String {
    let (correct, total) = (thousands(score.correct), thousands(score.total));
    let percent = 100.0 * score.correct as f64 / score.total as f64;
    match (score.is_perfect(), score.exhaustive) {
        (true, true) => format!("All {total} possible sums are right."),
        (false, true) => {
            format!("{correct} of all {total} possible sums are right ({percent:.2} %).")
        }
        (_, false) => format!(
            "{correct} of {total} sampled sums are right ({percent:.2} %); too many bits to try all."
        ),
    }
}

fn many(args: &Args, config: &RunConfig, seeds: Range<u64>) -> anyhow::Result<ExitCode> {
    let count = seeds.end - seeds.start;
    let progress = Progress::new(count, "seeds");
    let results = train_seeds(config, seeds, || progress.add(1)).context("training the seeds")?;
    progress.finish();

    let perfect = results.iter().filter(|result| result.score.is_perfect()).count();
    let mut nanoseconds: Vec<f64> =
        results.iter().map(|result| result.seconds * 1e9 / config.examples as f64).collect();
    nanoseconds.sort_by(f64::total_cmp);
    let median = nanoseconds[nanoseconds.len() / 2];
    if !args.quiet {
        line(format!("{:>8}  {:>10}  {:>21}  {:>10}", "seed", "loss", "sums right", "ns/example"));
        for result in &results {
            let SeedResult { seed, loss, score, seconds } = result;
            let sums = format!("{} of {}", thousands(score.correct), thousands(score.total));
            let ns = seconds * 1e9 / config.examples as f64;
            line(format!("{seed:>8}  {loss:>10.6}  {sums:>21}  {ns:>10.0}"));
        }
        line("");
        let tried = if results[0].score.exhaustive { "possible" } else { "sampled" };
        line(format!(
            "{perfect} of {count} seeds add every {tried} sum rightly after {} examples; \
             median {median:.0} ns an example",
            thousands(config.examples)
        ));
    }
    if args.json {
        let rows: Vec<_> = results
            .iter()
            .map(|result| {
                json!({
                    "seed": result.seed,
                    "loss": result.loss,
                    "sums_correct": result.score.correct,
                    "sums_total": result.score.total,
                    "seconds": result.seconds,
                })
            })
            .collect();
        let object = json!({
            "examples": config.examples,
            "bits": config.bits,
            "hidden": config.hidden,
            "batch": config.batch,
            "seeds": count,
            "seeds_perfect": perfect,
            "median_ns_per_example": median,
            "rows": rows,
        });
        line(object.to_string());
    }
    Ok(ExitCode::SUCCESS)
}
