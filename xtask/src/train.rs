//! `cargo xtask train`: trains a network, shows how it goes, keeps it in a run folder.

mod certifiable;
mod optimizer;

use crate::chart::{self, Curve};
use crate::interrupt;
use crate::output::{Progress, line, thousands};
use anyhow::Context;
use clap::{ValueEnum, value_parser};
use optimizer::OptimizerArgs;
use serde_json::json;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use train::evaluate::{Score, evaluate};
use train::job::{Advance, Every, Job, OnDivergence, Options};
use train::run::{MOST_BATCH, RunConfig, RunFolder, Task};
use train::statistics::median;
use train::strategy::{MOST_THREADS, Strategy, Trainer, best_push_every};
use train::study::{SeedResult, train_seeds};

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
  cargo xtask train --examples 200000 --strategy hogwild --threads 2 --push-every 32
  cargo xtask train --optimizer adam --schedule cosine --warm-up 500 --clip-norm 1
  cargo xtask train --examples 1000000000 --out long      Ctrl-C ends it with a checkpoint,
  cargo xtask train --resume long                         and this goes on
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

    /// B, the examples whose gradients are averaged to one update
    #[arg(long, default_value_t = 1, value_parser = batch, allow_negative_numbers = true)]
    batch: usize,

    /// Who computes which gradient: serial (one worker), synchronous (each batch shared out),
    /// hogwild (shared parameters, never the same bits twice) or averaging (a replica each)
    /// [default: serial below some 20 ms of work, or with one thread, else hogwild]
    #[arg(long, value_parser = strategy, conflicts_with = "seeds")]
    strategy: Option<Strategy>,

    /// N, the workers of a strategy that is not serial [default: the cores there are]
    #[arg(long, value_parser = threads, conflicts_with = "seeds", allow_negative_numbers = true)]
    threads: Option<usize>,

    /// K, a worker's examples between two pushes (hogwild) or averages [default: by size, so
    /// that pushes take some 5 % of the time]
    #[arg(long, value_parser = value_parser!(u64).range(1..), conflicts_with = "seeds",
          allow_negative_numbers = true)]
    push_every: Option<u64>,

    /// The number that all randomness comes from; the same seed gives the same bits, but for
    /// hogwild
    #[arg(long, default_value_t = 0, value_parser = seed, allow_negative_numbers = true)]
    seed: u64,

    /// Train for a proof: on intervals of states, 6,000 updates of Adam on 64 sequences of 12
    /// digits; see `cargo xtask certify`
    #[arg(long, conflicts_with_all = ["bits", "examples", "optimizing", "batch", "seeds", "strategy",
                                "resume", "tensorboard"])]
    certifiable: bool,

    /// Give the units biases
    #[arg(long)]
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

    /// Write a checkpoint every so many seconds (30s) or examples (1000000)
    #[arg(long, default_value = "30s", value_name = "TIME|EXAMPLES", value_parser = every,
          allow_negative_numbers = true)]
    checkpoint_every: Every,

    /// Go on with the training in DIR that was stopped, with what it was asked then
    #[arg(long, value_name = "DIR",
          conflicts_with_all = ["task", "bits", "hidden", "bias", "examples", "optimizing", "batch",
                                "seed", "seeds", "strategy", "threads", "push_every", "out", "force"])]
    resume: Option<PathBuf>,

    /// What to do when the weights or the loss leave all bounds
    #[arg(long, value_enum, default_value = "stop")]
    on_divergence: OnDivergenceName,

    /// Write a TensorBoard event file into the run's folder, too
    #[arg(long, conflicts_with = "seeds")]
    tensorboard: bool,

    /// Print a JSON object as the last line
    #[arg(long)]
    json: bool,

    /// Print nothing else
    #[arg(long)]
    quiet: bool,

    #[command(flatten)]
    optimizer: OptimizerArgs,
}

#[derive(Clone, Copy, ValueEnum)]
enum TaskName {
    /// Binary addition, a digit at a time
    Addition,
}

#[derive(Clone, Copy, ValueEnum)]
enum OnDivergenceName {
    /// End; the last good checkpoint is kept
    Stop,
    /// Go back to the last good checkpoint, with half the learning rate
    HalveLr,
}

fn every(text: &str) -> Result<Every, String> {
    let every = match text.strip_suffix('s') {
        Some(seconds) => seconds.parse().ok().map(Every::Seconds),
        None => text.parse().ok().map(Every::Examples),
    };
    let valid = |every: &Every| match *every {
        Every::Seconds(seconds) => seconds > 0.0 && seconds.is_finite(),
        Every::Examples(examples) => examples > 0,
    };
    every
        .filter(valid)
        .ok_or_else(|| "seconds such as 30s, or examples such as 5000, are needed".into())
}

fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("at least 1 is needed".to_owned()),
        Ok(number) => Ok(number),
        Err(error) => Err(format!("{error}; a whole number, at least 1, is needed")),
    }
}

fn threads(text: &str) -> Result<usize, String> {
    positive(text)
        .ok()
        .filter(|&threads| threads <= MOST_THREADS)
        .ok_or_else(|| format!("a whole number from 1 to {MOST_THREADS} is needed"))
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

pub fn learning_rate(text: &str) -> Result<f32, String> {
    let rate: f32 = text.parse().map_err(|_| "a number such as 0.1 is needed".to_owned())?;
    if rate.is_finite() && rate > 0.0 {
        Ok(rate)
    } else {
        Err("a positive, finite number such as 0.1 is needed".to_owned())
    }
}

pub fn strategy(text: &str) -> Result<Strategy, String> {
    let known = Strategy::ALL.into_iter().find(|strategy| strategy.name() == text);
    known
        .ok_or_else(|| format!("one of {} is needed", Strategy::ALL.map(Strategy::name).join(", ")))
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
        return certifiable::run(&args);
    }
    let mut config = RunConfig {
        task: Task::Addition,
        bits: args.bits,
        hidden: args.hidden,
        examples: args.examples,
        batch: args.batch,
        bias: args.bias,
        seed: args.seed,
        ..RunConfig::default()
    };
    args.optimizer.choose(&mut config)?;
    match &args.seeds {
        Some(seeds) => many(&args, &config, seeds.clone()),
        None => {
            choose_strategy(&args, &mut config);
            one(&args, config)
        }
    }
}

/// What was asked for, and for the rest what was measured to be best.
fn choose_strategy(args: &Args, config: &mut RunConfig) {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = args.threads.unwrap_or(cores);
    config.strategy = args.strategy.unwrap_or_else(|| Strategy::fastest(config, threads));
    match config.strategy {
        Strategy::Serial => {}
        Strategy::Synchronous => config.threads = threads,
        Strategy::Hogwild | Strategy::Averaging => {
            config.threads = threads;
            config.push_every = args.push_every.unwrap_or_else(|| best_push_every(config));
        }
    }
}

/// The strategy in words.
fn workers(config: &RunConfig) -> String {
    let &RunConfig { strategy, threads, push_every, .. } = config;
    let (name, many) = (strategy.name(), if threads == 1 { "" } else { "s" });
    let every = push_every.next_multiple_of(config.batch as u64);
    match strategy {
        Strategy::Serial => format!("one worker ({name})"),
        Strategy::Synchronous => format!("{threads} worker{many} ({name})"),
        Strategy::Hogwild => {
            format!("{threads} worker{many} ({name}, a push every {})", examples(every))
        }
        Strategy::Averaging => {
            format!("{threads} worker{many} ({name}, an average every {})", examples(every))
        }
    }
}

fn examples(count: u64) -> String {
    if count == 1 { "example".to_owned() } else { format!("{} examples", thousands(count)) }
}

fn one(args: &Args, config: RunConfig) -> anyhow::Result<ExitCode> {
    let options = Options {
        checkpoint_every: args.checkpoint_every,
        on_divergence: match args.on_divergence {
            OnDivergenceName::Stop => OnDivergence::Stop,
            OnDivergenceName::HalveLr => OnDivergence::HalveLearningRate,
        },
        tensorboard: args.tensorboard,
    };
    let mut job = match &args.resume {
        Some(path) => Job::resume(RunFolder::unfinished(path)?, options)?,
        None => {
            Trainer::new(&config)?; // before the folder: bad sizes make none
            let folder = match &args.out {
                Some(path) => RunFolder::create(path, args.force)?,
                None => RunFolder::create_next(Path::new("runs"))?,
            };
            Job::start(config, folder, options)?
        }
    };
    interrupt::watch()?;
    let config = job.config().clone();
    let say = |text: String| {
        if !args.quiet {
            line(text);
        }
    };
    let mut progress =
        if args.quiet { Progress::none() } else { Progress::new(config.examples, "examples") };
    if args.resume.is_some() {
        let (done, all) = (thousands(job.examples()), thousands(config.examples));
        say(format!("Going on after {done} of {all} examples"));
        progress.begin_at(job.examples());
    }
    say(header(config.bits));
    while !job.is_done() {
        if interrupt::asked() {
            job.checkpoint()?;
            progress.finish();
            let (done, path) = (thousands(job.examples()), job.folder().path().display());
            eprintln!("stopped after {done} examples; cargo xtask train --resume {path} goes on");
            return Ok(interrupt::exit_code());
        }
        let done = job.examples();
        match job.advance()? {
            Advance::First if !args.quiet => {
                progress.line(row(done, job.trainer(), config.bits));
            }
            Advance::Interval(metrics) => progress.say(format!("loss {:.4}", metrics.loss)),
            Advance::Halved { examples, learning_rate } => eprintln!(
                "diverged after {} examples; going back to {}, at a learning rate of \
                 {learning_rate}",
                thousands(examples),
                thousands(job.examples())
            ),
            _ => {}
        }
        progress.set(job.examples());
    }
    progress.finish();

    let score = evaluate(&job.trainer().task(), job.trainer().parameters(), config.seed);
    let title = format!(
        "Learning to add {} bits: {} hidden units, seed {}",
        config.bits, config.hidden, config.seed
    );
    let metrics = job.metrics().to_vec();
    let loss = metrics.last().map_or(f64::NAN, |metrics| metrics.loss);
    let curve = chart::loss_curves(&title, &[Curve { name: title.clone(), metrics }])?;
    let seconds = job.seconds();
    let folder = job.finish(&curve)?;

    let ns_per_example = seconds * 1e9 / config.examples as f64;
    let path = folder.path();
    let option = match args.out.as_ref().or(args.resume.as_ref()) {
        Some(path) => format!(" --run {}", path.display()),
        None => String::new(),
    };
    say(String::new());
    say(verdict(score));
    say(format!(
        "{} examples in {:.1} ms by {}{}, {ns_per_example:.0} ns an example",
        thousands(config.examples),
        seconds * 1e3,
        workers(&config),
        optimizer::words(&config)
    ));
    say(format!("The run is in {}", path.display()));
    say(format!("Try it: cargo xtask add 53 74{option}"));
    if args.json {
        let object = json!({
            "examples": config.examples,
            "bits": config.bits,
            "hidden": config.hidden,
            "bias": config.bias,
            "seed": config.seed,
            "strategy": config.strategy,
            "threads": config.threads,
            "push_every": config.push_every,
            "optimizer": config.optimizer.name(),
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

fn header(bits: u32) -> String {
    let width = (bits as usize).max("prediction".len());
    format!(
        "{:>10}  {:>8}  {:<width$}  {:<width$}  a + b = sum",
        "example", "error", "prediction", "truth"
    )
}

/// An example as the lab prints it.
fn row(example: u64, trainer: &Trainer, bits: u32) -> String {
    let (pair, sum, error) = trainer.last_example().expect("there was an update");
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
    let nanoseconds: Vec<f64> =
        results.iter().map(|result| result.seconds * 1e9 / config.examples as f64).collect();
    let typical = median(&nanoseconds);
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
             median {typical:.0} ns an example",
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
            "bias": config.bias,
            "batch": config.batch,
            "seeds": count,
            "seeds_perfect": perfect,
            "median_ns_per_example": typical,
            "rows": rows,
        });
        line(object.to_string());
    }
    Ok(ExitCode::SUCCESS)
}
