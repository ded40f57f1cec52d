//! `cargo xtask train`: trains a network, shows how it goes, keeps it in a run folder.

mod optimizer;

use crate::Usage;
use crate::chart::{self, Curve};
use crate::interrupt;
use crate::numbers::whole;
use crate::output::{Progress, line, warn};
use crate::paths::{quoted, shown};
use crate::runs;
use anyhow::{Context, bail};
use certify::ibp::Ibp;
use clap::ValueEnum;
use model::{Cell, Memory, Nonlinearity};
use optimizer::OptimizerArgs;
use serde_json::{Value, json};
use std::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use train::config::{
    Extent, MOST_BATCH, MOST_THREADS, NetworkConfig, RunConfig, Strategy, StrategyConfig,
};
use train::job::{Advance, Every, Job, OnDivergence, Options};
use train::memory;
use train::metrics::Metrics;
use train::run_folder::RunFolder;
use train::statistics::median;
use train::strategy::{best_push_every, fastest};
use train::study::{SeedResult, train_seeds};
use train::task::{Addition, Score, Task};
use train::text::thousands;
use train::trainer::Trainer;

/// Train a network to add binary numbers
///
/// A recurrent network reads two binary numbers a digit at a time, lowest digit first, and learns
/// to say the digits of their sum. The defaults are the well-known lab: 8 bits, one layer of 16
/// sigmoid units, 10,000 examples of plain SGD by one worker. Others are chosen by --cell,
/// --layers, --optimizer and --strategy; --strategy auto takes what was measured to be the fastest.
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
  cargo xtask train --cell gru --layers 2 --dropout 0.1 --optimizer adam
  cargo xtask train --hidden 64 --bits 32 --examples 50000 --strategy auto
  cargo xtask train --optimizer adam --schedule cosine --warm-up 500 --clip-norm 1
  cargo xtask train --examples 1000000000 --out long      Ctrl-C ends it with a checkpoint,
  cargo xtask train --resume long                         and this goes on
  cargo xtask train --certifiable            a network that `cargo xtask certify` can prove
  cargo xtask train --json --quiet           one JSON object for a program to read")]
pub struct Args {
    /// What to learn
    #[arg(value_enum, default_value = "addition")]
    task: TaskName,

    /// T, the digits of a sum, 1 to 64; operands have one less [default: 8]
    #[arg(long, value_parser = whole::<u32>(1..=64), allow_negative_numbers = true)]
    bits: Option<u32>,

    /// H, the hidden units, at least 1
    #[arg(long, default_value_t = 16, value_parser = positive, allow_negative_numbers = true)]
    hidden: usize,

    /// Examples to train on, at least 1 [default: 10000]
    #[arg(long, value_parser = whole::<u64>(1..=u64::MAX), allow_negative_numbers = true)]
    examples: Option<u64>,

    /// B, the examples whose gradients are averaged to one update [default: 1]
    #[arg(long, value_parser = batch, allow_negative_numbers = true)]
    batch: Option<usize>,

    /// Who computes which gradient: serial (one worker), synchronous (each batch shared out),
    /// hogwild (shared parameters, never the same bits twice), averaging (a replica each), or
    /// auto, what was measured to be the fastest for the sizes of the training [default: serial]
    #[arg(long, value_parser = strategy_or_auto, conflicts_with = "seeds")]
    strategy: Option<Choice>,

    /// N, the workers of a strategy that is not serial [default: the cores there are]
    #[arg(long, value_parser = threads, conflicts_with = "seeds", allow_negative_numbers = true)]
    threads: Option<usize>,

    /// K, a worker's examples between two pushes (hogwild) or averages [default: by size, so
    /// that pushes take some 5 % of the time]
    #[arg(long, value_parser = whole::<u64>(1..=u64::MAX), conflicts_with = "seeds",
          allow_negative_numbers = true)]
    push_every: Option<u64>,

    /// The number that all randomness comes from; the same seed gives the same bits, but for
    /// hogwild
    #[arg(long, default_value_t = 0, value_parser = seed, allow_negative_numbers = true)]
    seed: u64,

    /// Train for a proof, by interval bound propagation; see `cargo xtask certify`. The defaults
    /// are others then: 6,000 updates of Adam on 64 sequences of 12 digits
    #[arg(long, conflicts_with_all = ["cell", "layers", "bidirectional", "dropout", "memory"])]
    certifiable: bool,

    /// The cell: sigmoid (the lab's), tanh or relu (Elman networks), gru, lstm
    #[arg(long, value_enum, default_value = "sigmoid")]
    cell: CellName,

    /// Layers, each fed with the states of the one below
    #[arg(long, default_value_t = 1, value_parser = positive, allow_negative_numbers = true)]
    layers: usize,

    /// Let each layer run from the last step to the first, too
    #[arg(long)]
    bidirectional: bool,

    /// The share of the outputs between two layers that training drops, 0 to below 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = dropout,
          allow_negative_numbers = true)]
    dropout: f32,

    /// What the network remembers: state (the hidden units), output (a Jordan network), or its last
    /// N inputs, a number (a feed-forward network)
    #[arg(long, value_name = "state|output|N", default_value = "state", value_parser = memory,
          allow_negative_numbers = true)]
    memory: Memory,

    /// Give the units biases [default: gru and lstm have them, the others not]
    #[arg(long)]
    bias: bool,

    /// Train once for each seed FROM..TO (TO excluded), over all cores; keeps no run folder
    #[arg(long, value_name = "FROM..TO", value_parser = seed_range, allow_hyphen_values = true,
          conflicts_with_all = ["seed", "out", "force", "checkpoint_every", "on_divergence"])]
    seeds: Option<Range<u64>>,

    /// Folder for the run [default: the next number under runs/]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// Write over the run in --out
    #[arg(long, requires = "out")]
    force: bool,

    /// Write a checkpoint every so many seconds (30s) or examples (1000000)
    #[arg(long, default_value = "30s", value_name = "TIME|EXAMPLES", value_parser = every,
          allow_hyphen_values = true)]
    checkpoint_every: Every,

    /// Go on with the training in DIR that was stopped, with what it was asked then
    #[arg(long, value_name = "DIR",
          conflicts_with_all = ["task", "bits", "cell", "hidden", "layers", "bidirectional", "dropout",
                                "memory", "bias", "examples", "optimizing", "batch", "seed", "seeds", "strategy",
                                "threads", "push_every", "certifiable", "out", "force"])]
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
enum CellName {
    Sigmoid,
    Tanh,
    Relu,
    Gru,
    Lstm,
}

impl From<CellName> for Cell {
    fn from(name: CellName) -> Self {
        match name {
            CellName::Sigmoid => Self::Elman(Nonlinearity::Sigmoid),
            CellName::Tanh => Self::Elman(Nonlinearity::Tanh),
            CellName::Relu => Self::Elman(Nonlinearity::Relu),
            CellName::Gru => Self::Gru,
            CellName::Lstm => Self::Lstm,
        }
    }
}

/// A strategy by name, or the fastest.
#[derive(Clone, Copy)]
enum Choice {
    Auto,
    Named(Strategy),
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

fn memory(text: &str) -> Result<Memory, String> {
    match text {
        "state" => Ok(Memory::State),
        "output" => Ok(Memory::Output),
        _ => positive(text)
            .map(Memory::Window)
            .map_err(|_| "state, output, or a number of inputs, at least 1, is needed".to_owned()),
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

fn strategy_or_auto(text: &str) -> Result<Choice, String> {
    match text {
        "auto" => Ok(Choice::Auto),
        _ => strategy(text).map(Choice::Named).map_err(|error| format!("auto, or {error}")),
    }
}

/// The most seeds of one command: what is known of each is held until the end.
const MOST_SEEDS: u64 = 100_000;

pub fn seed_range(text: &str) -> Result<Range<u64>, String> {
    let range = text.split_once("..").and_then(|(from, to)| {
        let range = from.parse().ok()?..to.parse().ok()?;
        (!range.is_empty()).then_some(range)
    });
    let range =
        range.ok_or("a range such as 0..100 is needed, the second number above the first")?;
    if range.end - range.start > MOST_SEEDS {
        return Err(format!("at most {} seeds at once are possible", thousands(MOST_SEEDS)));
    }
    Ok(range)
}

fn dropout(text: &str) -> Result<f32, String> {
    let share = text.parse().ok().filter(|share| (0.0..1.0).contains(share));
    share.ok_or_else(|| "a share from 0 to below 1 is needed".to_owned())
}

/// Runs the command: one line a task, here and for a run that is gone on with.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    interrupt::watch()?;
    if let Some(path) = &args.resume {
        let folder = RunFolder::unfinished(path)?;
        let name = folder.checkpoint()?.task_name(&folder.checkpoint_path())?;
        return match name.as_str() {
            Addition::NAME => resume::<Addition>(&args, folder, ADD),
            Ibp::NAME => resume::<Ibp>(&args, folder, PROVE),
            _ => bail!("{} is of the task {name}, which this program has not", path.display()),
        };
    }
    match (args.task, args.certifiable) {
        (TaskName::Addition, false) => {
            let lab = Addition::lab();
            let task = Addition::new(args.bits.unwrap_or(lab.task.bits()))?;
            start(&args, RunConfig { task, ..lab }, ADD)
        }
        (TaskName::Addition, true) => {
            let task = Ibp::new(args.bits.unwrap_or(Ibp::BITS))?;
            let training = Ibp::training(args.hidden, args.bias, args.seed);
            start(&args, RunConfig { task, ..training }, PROVE)
        }
    }
}

/// Lines of mean losses that are shown at most.
const MOST_ROWS: u64 = 20;

/// What to do with a network that adds …
const ADD: &str = "Try it: cargo xtask add 53 74";
/// … and with one that was trained for a proof.
const PROVE: &str = "Prove it: cargo xtask certify";

/// A training of its own, or one for each of many seeds: `defaults`, but for what `args` ask.
fn start<T: Task + 'static>(
    args: &Args,
    defaults: RunConfig<T>,
    next: &str,
) -> anyhow::Result<ExitCode> {
    let run = Extent {
        examples: args.examples.unwrap_or(defaults.run.examples),
        batch: args.batch.unwrap_or(defaults.run.batch),
        seed: args.seed,
    };
    let optimizer = args.optimizer.choose(run, &defaults.optimizer)?;
    if args.dropout > 0.0 && args.layers == 1 {
        let reason = "--dropout would be ignored: it is between layers; give at least --layers 2";
        return Err(Usage(reason.to_owned()).into());
    }
    let mut config = RunConfig { network: network(args), optimizer, run, ..defaults };
    if let Some(seeds) = &args.seeds {
        refuse_workers(args, "one worker trains each seed")?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let side_by_side = cores.min((seeds.end - seeds.start) as usize);
        memory::check(memory::serial_bytes(&config, side_by_side)?)?;
        return many(args, &config, seeds.clone());
    }
    config.strategy = choose_strategy(args, &config)?;
    memory::check(memory::job_bytes(&config)?)?;
    Trainer::new(&config)?; // before the folder: bad sizes make none
    let folder = match &args.out {
        Some(path) => RunFolder::create(path, args.force)?,
        None => RunFolder::create_next(&runs::folder(!args.quiet))?,
    };
    one(args, Job::start(config, folder, options(args))?, next)
}

fn resume<T: Task>(args: &Args, folder: RunFolder, next: &str) -> anyhow::Result<ExitCode> {
    one::<T>(args, Job::resume(folder, options(args))?, next)
}

/// The network that `args` ask for; the lab's has other first weights than the rest.
fn network(args: &Args) -> NetworkConfig {
    let &Args { hidden, layers, bidirectional, dropout, memory, .. } = args;
    let (cell, lab) = (Cell::from(args.cell), NetworkConfig::lab(hidden));
    let of_cell = if cell == lab.cell { lab } else { NetworkConfig::new(cell, hidden) };
    let bias = args.bias || matches!(cell, Cell::Gru | Cell::Lstm);
    NetworkConfig { layers, bidirectional, dropout, memory, bias, ..of_cell }
}

fn options(args: &Args) -> Options {
    Options {
        checkpoint_every: args.checkpoint_every,
        on_divergence: match args.on_divergence {
            OnDivergenceName::Stop => OnDivergence::Stop,
            OnDivergenceName::HalveLr => OnDivergence::HalveLearningRate,
        },
        tensorboard: args.tensorboard,
    }
}

/// Options of strategies with several workers, where there is one: refused, with the reason.
fn refuse_workers(args: &Args, reason: &str) -> Result<(), Usage> {
    for (option, is_given) in
        [("--threads", args.threads.is_some()), ("--push-every", args.push_every.is_some())]
    {
        if is_given {
            return Err(Usage(format!("{option} would be ignored: {reason}")));
        }
    }
    Ok(())
}

/// The strategy that was asked for, or what was measured to be the fastest; and for its numbers
/// what was measured to be best.
fn choose_strategy<T: Task>(args: &Args, config: &RunConfig<T>) -> anyhow::Result<StrategyConfig> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = args.threads.unwrap_or(cores);
    let model = config.network.config(&config.task)?;
    let name = match args.strategy {
        None => Strategy::Serial,
        Some(Choice::Named(strategy)) => strategy,
        Some(Choice::Auto) => fastest(config, model, threads),
    };
    let is_auto = matches!(args.strategy, Some(Choice::Auto));
    Ok(match name {
        Strategy::Serial => {
            if !is_auto {
                refuse_workers(
                    args,
                    "the serial strategy has one worker; name another by --strategy \
                     (synchronous, hogwild, averaging, auto)",
                )?;
            }
            StrategyConfig::SERIAL
        }
        Strategy::Synchronous => {
            if args.push_every.is_some() {
                return Err(Usage(
                    "--push-every would be ignored: synchronous workers meet after each batch"
                        .to_owned(),
                )
                .into());
            }
            StrategyConfig { name, threads, push_every: 1 }
        }
        Strategy::Hogwild | Strategy::Averaging => {
            let strategy = StrategyConfig { name, threads, push_every: 1 };
            let best = best_push_every(&RunConfig { strategy, ..config.clone() }, model);
            StrategyConfig { push_every: args.push_every.unwrap_or(best), ..strategy }
        }
    })
}

/// The strategy in words.
fn workers<T: Task>(config: &RunConfig<T>) -> String {
    let StrategyConfig { name: strategy, threads, push_every } = config.strategy;
    let (name, many) = (strategy.name(), if threads == 1 { "" } else { "s" });
    let every = push_every.checked_next_multiple_of(config.run.batch as u64);
    let every = every.unwrap_or(u64::MAX);
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

/// Runs `job` to its end, or to where it is stopped; `next` is what to do with the network.
fn one<T: Task>(args: &Args, mut job: Job<T>, next: &str) -> anyhow::Result<ExitCode> {
    let config = job.config().clone();
    let say = |text: String| {
        if !args.quiet {
            line(text);
        }
    };
    let mut progress =
        if args.quiet { Progress::none() } else { Progress::new(config.run.examples, "examples") };
    if args.resume.is_some() {
        let (done, all) = (thousands(job.examples()), thousands(config.run.examples));
        say(format!("Going on after {done} of {all} examples"));
        progress.begin_at(job.examples());
    }
    if matches!(args.strategy, Some(Choice::Auto)) {
        say(format!("Fastest for these sizes, as measured: {}", workers(&config)));
    }
    say(format!("{:>10}  {}", "example", config.task.header()));
    // Where a task has no rows of its own, mean losses are shown.
    let (mut shows_losses, mut next_row) = (false, 0);
    while !job.is_done() {
        if interrupt::asked() {
            job.checkpoint()?;
            progress.finish();
            let (done, path) = (thousands(job.examples()), quoted(job.folder().path()));
            warn(format!(
                "stopped after {done} examples; cargo xtask train --resume {path} goes on"
            ));
            return Ok(interrupt::exit_code());
        }
        let done = job.examples();
        let advance = match job.advance() {
            Ok(advance) => advance,
            Err(error) => {
                progress.finish();
                failed(args, &job, &error);
                return Err(error.into());
            }
        };
        match advance {
            Advance::First if !args.quiet => {
                let (batch, y) = job.trainer().last_batch();
                match config.task.show(batch, y) {
                    Some(row) => progress.line(format!("{:>10}  {row}", thousands(done))),
                    None => shows_losses = true,
                }
            }
            Advance::Interval(metrics) => {
                progress.say(format!("loss {:.4}", metrics.loss));
                if shows_losses && !args.quiet && metrics.examples >= next_row {
                    let Metrics { examples, loss, .. } = metrics;
                    progress.line(format!("{:>10}  {loss:>10.6}", thousands(examples)));
                    next_row = examples + config.run.examples / MOST_ROWS;
                }
            }
            Advance::Halved { examples, learning_rate } => warn(format!(
                "diverged after {} examples; going back to {}, at a learning rate of \
                 {learning_rate}",
                thousands(examples),
                thousands(job.examples())
            )),
            _ => {}
        }
        progress.set(job.examples());
    }
    progress.finish();

    let title = format!(
        "Learning to {}: {} hidden units, seed {}",
        config.task.aim(),
        config.network.hidden,
        config.run.seed
    );
    let metrics = job.metrics().to_vec();
    let loss = metrics.last().map_or(f64::NAN, |metrics| metrics.loss);
    let curve = chart::loss_curves(&title, &[Curve { name: title.clone(), metrics }])?;
    let seconds = job.seconds();
    // The files first, for nothing may come between; the outcome, whatever became of them.
    let kept = job.finish(&curve);
    let score = config.task.evaluate(job.trainer().parameters(), config.run.seed);

    let ns_per_example = seconds * 1e9 / config.run.examples as f64;
    let path = job.folder().path();
    let option = match args.out.as_ref().or(args.resume.as_ref()) {
        Some(path) => format!(" --run {}", quoted(path)),
        None => String::new(),
    };
    say(String::new());
    say(score.to_string());
    say(format!(
        "{} examples in {:.1} ms by {}{}, {ns_per_example:.0} ns an example",
        thousands(config.run.examples),
        seconds * 1e3,
        workers(&config),
        optimizer::words(&config.optimizer)
    ));
    match &kept {
        Ok(()) => {
            say(format!("The run is in {}", shown(path)));
            say(format!("{next}{option}"));
        }
        Err(_) if job.folder().has_checkpoint() => say(format!(
            "Its files could not be written; cargo xtask train --resume {} tries again",
            quoted(path)
        )),
        Err(_) => say("Its files could not be written".to_owned()),
    }
    if args.json {
        let StrategyConfig { name, threads, push_every } = config.strategy;
        let mut object = described(&config);
        extend(
            &mut object,
            &json!({
                "seed": config.run.seed,
                "strategy": name,
                "threads": threads,
                "push_every": push_every,
                "optimizer": config.optimizer.rule.name(),
                "seconds": seconds,
                "ns_per_example": ns_per_example,
                "loss": loss,
                "run": path.display().to_string(),
            }),
        );
        extend(&mut object, &json!(score));
        if let Err(error) = &kept {
            extend(&mut object, &json!({ "error": with_causes(error) }));
        }
        line(object.to_string());
    }
    kept?;
    Ok(ExitCode::SUCCESS)
}

/// An error and what caused it, in one line.
fn with_causes(error: &train::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Says how far a training came that `error` ends.
fn failed<T: Task>(args: &Args, job: &Job<T>, error: &train::Error) {
    let path = job.folder().path();
    if !args.quiet {
        let kept = if job.folder().has_checkpoint() {
            let path = quoted(path);
            format!("cargo xtask train --resume {path} goes on after its last checkpoint")
        } else {
            "it has written no checkpoint".to_owned()
        };
        line(format!("ended after {} examples; {kept}", thousands(job.examples())));
    }
    if args.json {
        let mut object = described(job.config());
        extend(
            &mut object,
            &json!({ "seed": job.config().run.seed, "run": path.display().to_string() }),
        );
        extend(&mut object, &of_error(error));
        line(object.to_string());
    }
}

/// An error as JSON: `error`, a sentence, and the numbers of a divergence.
fn of_error(error: &train::Error) -> Value {
    let mut object = json!({ "error": with_causes(error) });
    let mut cause = error;
    if let train::Error::Seed { seed, source } = error {
        object["seed"] = (*seed).into();
        cause = source;
    }
    if let train::Error::Diverged { examples, loss, norm, learning_rate, .. } = cause {
        let diverged = json!({
            "examples": examples,
            "loss": loss,
            "gradient_norm": norm,
            "learning_rate": learning_rate,
        });
        object["diverged"] = diverged;
    }
    object
}

/// The task and its values, the network, and the examples, as JSON.
fn described<T: Task>(config: &RunConfig<T>) -> Value {
    let mut object = json!({
        "task": T::NAME,
        "cell": config.network.cell,
        "layers": config.network.layers,
        "hidden": config.network.hidden,
        "bias": config.network.bias,
        "examples": config.run.examples,
    });
    extend(&mut object, &json!(config.task));
    object
}

/// Adds the entries of `more`, an object, to `object`.
fn extend(object: &mut Value, more: &Value) {
    for (name, value) in more.as_object().into_iter().flatten() {
        object[name] = value.clone();
    }
}

/// Trains each of `seeds`; says what ended, also where one fails or all are stopped.
fn many<T: Task + 'static>(
    args: &Args,
    config: &RunConfig<T>,
    seeds: Range<u64>,
) -> anyhow::Result<ExitCode> {
    let count = seeds.end - seeds.start;
    let progress =
        Arc::new(if args.quiet { Progress::none() } else { Progress::new(count, "seeds") });
    let results = Arc::new(Mutex::new(Vec::new()));
    let ended = interrupt::unless_asked({
        let (config, progress, results) = (config.clone(), progress.clone(), results.clone());
        move || {
            train_seeds(&config, seeds, |result| {
                progress.add(1);
                results.lock().expect("nobody panics with it").push(result);
            })
        }
    })?;
    progress.finish();
    let ended = match ended {
        // Bad sizes or numbers: no training was begun.
        Some(Err(error)) if !matches!(error, train::Error::Seed { .. }) => {
            return Err(error).context("training the seeds");
        }
        ended => ended,
    };
    let mut results = std::mem::take(&mut *results.lock().expect("nobody panics with it"));
    results.sort_by_key(|result| result.seed);
    if !args.quiet {
        show_seeds(config, &results);
    }
    if args.json {
        let mut object = of_seeds(config, count, &results);
        match &ended {
            None => object["stopped"] = true.into(),
            Some(Err(error)) => extend(&mut object, &of_error(error)),
            Some(Ok(())) => {}
        }
        line(object.to_string());
    }
    match ended {
        None => {
            let (ended, all) = (thousands(results.len() as u64), thousands(count));
            warn(format!("stopped when {ended} of {all} seeds had ended"));
            Ok(interrupt::exit_code())
        }
        Some(result) => {
            result.context("training the seeds")?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn ns_per_example<T: Task>(config: &RunConfig<T>, result: &SeedResult<T::Score>) -> f64 {
    result.seconds * 1e9 / config.run.examples as f64
}

/// Of the seeds that ended, the median.
fn typical<T: Task>(config: &RunConfig<T>, results: &[SeedResult<T::Score>]) -> Option<f64> {
    let all: Vec<f64> = results.iter().map(|result| ns_per_example(config, result)).collect();
    (!all.is_empty()).then(|| median(&all))
}

fn perfect<S: Score>(results: &[SeedResult<S>]) -> usize {
    results.iter().filter(|result| result.score.is_perfect()).count()
}

fn show_seeds<T: Task>(config: &RunConfig<T>, results: &[SeedResult<T::Score>]) {
    let heading = T::Score::heading();
    line(format!("{:>8}  {:>10}  {heading:>21}  {:>10}", "seed", "loss", "ns/example"));
    for result in results {
        let SeedResult { seed, loss, score, .. } = result;
        let (score, ns) = (score.brief(), ns_per_example(config, result));
        line(format!("{seed:>8}  {loss:>10.6}  {score:>21}  {ns:>10.0}"));
    }
    if let (Some(first), Some(typical)) = (results.first(), typical(config, results)) {
        line("");
        line(format!(
            "{} after {} examples; median {typical:.0} ns an example",
            first.score.summary(perfect(results), results.len()),
            thousands(config.run.examples)
        ));
    }
}

fn of_seeds<T: Task>(config: &RunConfig<T>, count: u64, results: &[SeedResult<T::Score>]) -> Value {
    let row = |result: &SeedResult<T::Score>| {
        let SeedResult { seed, loss, score, seconds } = result;
        let mut row = json!({ "seed": seed, "loss": loss, "seconds": seconds });
        extend(&mut row, &json!(score));
        row
    };
    let mut object = described(config);
    extend(
        &mut object,
        &json!({
            "batch": config.run.batch,
            "seeds": count,
            "seeds_perfect": perfect(results),
            "median_ns_per_example": typical(config, results),
            "rows": results.iter().map(row).collect::<Vec<_>>(),
        }),
    );
    object
}
