//! `cargo xtask cluster --predict`: time to a loss on many ranks, from what one machine can tell.

use super::picture::{Line, Plot, draw};
use super::ping;
use crate::interrupt;
use crate::numbers::whole;
use crate::output::{Progress, line, thousands, warn};
use crate::paths::{quoted, shown};
use anyhow::Context;
use model::Parameters;
use serde::Serialize;
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;
use train::alpha_beta::{Link, Work, examples_at};
use train::atomic_file::{is_standard_output, try_output, write_output};
use train::config::{RunConfig, Strategy, StrategyConfig};
use train::optimizer::Schedule;
use train::simulation::{Simulated, Target, Way, simulate};
use train::statistics::median;
use train::task::text::Reading;
use train::task::{Addition, Task, Text};
use train::time_to_target::HeldOut;
use train::trainer::Trainer;

/// The ranks that are predicted.
const RANKS: [usize; 10] = [2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];

/// Networks that are not here: name, bits a second, seconds of latency.
const NETWORKS: [(&str, f64, f64); 3] = [
    ("10 Gbit/s, 20 µs", 1e10, 20e-6),
    ("1 Gbit/s, 200 µs", 1e9, 200e-6),
    ("100 Mbit/s, 20 ms", 1e8, 20e-3),
];

/// Held-out examples of an addition.
const HELD_OUT: usize = 500;
/// Seconds that the time of an example is measured, in so many parts, of which the median counts.
const SECONDS: f64 = 0.5;
const PARTS: usize = 7;
/// The loss is measured so often, if a training uses all its examples.
const MEASUREMENTS: u64 = 400;
/// … and not more seldom than this.
const MOST_EVERY: u64 = 10_000;

/// A time to the loss that is predicted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Prediction {
    ranks: usize,
    strategy: Strategy,
    push_every: u64,
    examples: f64,
    /// N was not simulated: the examples lie on a line through those that were.
    is_extrapolated: bool,
    seconds: f64,
}

/// What is predicted for a network.
#[derive(Debug, Serialize)]
struct Network {
    name: String,
    #[serde(flatten)]
    link: Link,
    /// All ways at all ranks.
    predictions: Vec<Prediction>,
}

/// What is to be predicted.
#[derive(clap::Args)]
pub struct PredictArgs {
    /// Predict; nothing is started anywhere else
    #[arg(long, conflicts_with_all = ["ranks", "hosts", "command"])]
    pub predict: bool,

    /// Learn this text with an LSTM and Adam [default: add 8 bits, as the lab does]
    #[arg(long, requires = "predict", value_name = "FILE")]
    text: Option<PathBuf>,

    /// H, the hidden units [default: addition 16, text 256]
    #[arg(long, requires = "predict", value_parser = whole::<usize>(1..=u64::MAX), allow_negative_numbers = true)]
    hidden: Option<usize>,

    /// The loss to fall below, on examples that nobody trains on [default: addition 0.3, text 2]
    #[arg(long, requires = "predict", value_parser = loss, allow_negative_numbers = true)]
    loss: Option<f64>,

    /// Give a training up after so many examples of all its workers [default: addition 500000, text
    /// as `train text`]
    #[arg(long, requires = "predict", value_parser = whole::<u64>(1..=u64::MAX), allow_negative_numbers = true)]
    examples: Option<u64>,

    /// The numbers of workers to simulate, parted by commas, 2 to 256 each
    #[arg(long, requires = "predict", value_name = "N,N", value_delimiter = ',',
          default_value = "2,4,8,16,32,64,128,256", value_parser = whole::<usize>(2..=256),
          allow_negative_numbers = true)]
    workers: Vec<usize>,

    /// K, the examples of a worker between two averages, parted by commas
    #[arg(long, requires = "predict", value_name = "K,K", value_delimiter = ',', default_value = "1,16,256",
          value_parser = whole::<u64>(1..=1_000_000_000), allow_negative_numbers = true)]
    push_every: Vec<u64>,

    /// Simulate with each of so many seeds; the median counts
    #[arg(long, requires = "predict", default_value_t = 3, value_parser = whole::<u64>(1..=1_000),
          allow_negative_numbers = true)]
    seeds: u64,

    /// The picture
    #[arg(long, requires = "predict", value_name = "FILE", default_value = "cluster.svg")]
    out: PathBuf,

    /// Print a JSON object as the last line, and nothing else
    #[arg(long, requires = "predict")]
    json: bool,
}

fn loss(text: &str) -> Result<f64, String> {
    let loss = text.parse().ok().filter(|&loss: &f64| loss > 0.0 && loss.is_finite());
    loss.ok_or_else(|| "a finite number above 0 is needed, such as 0.3".to_owned())
}

/// What was measured and what follows from it.
#[derive(Debug, Serialize)]
struct Report {
    aim: String,
    loss: f64,
    seeds: u64,
    /// Of one batch and worker, b.
    batch: usize,
    parameters: usize,
    seconds_per_example: f64,
    simulated: Vec<Simulated>,
    /// Of one rank; none if it did not reach the loss.
    seconds_of_one: Option<f64>,
    networks: Vec<Network>,
    /// The command that tries what is predicted for the most ranks that were simulated.
    check: Option<String>,
}

/// Runs the command.
pub fn run(args: &PredictArgs) -> anyhow::Result<ExitCode> {
    interrupt::watch()?;
    try_output(&args.out)?;
    match &args.text {
        None => {
            let mut config = Addition::lab();
            config.run.examples = args.examples.unwrap_or(500_000);
            let held_out = HeldOut::new(config.task, HELD_OUT);
            let loss = move |parameters: &Parameters| held_out.loss(parameters);
            run_task(args, "train", config, 0.3, loss)
        }
        Some(path) => {
            let text = Text::open(std::slice::from_ref(path), Reading::default())?;
            let mut config = text.clone().training();
            // A schedule counts updates, of which N workers make others.
            config.optimizer.schedule = Schedule::Constant;
            config.run.examples = args.examples.unwrap_or(config.run.examples);
            let train = format!("train text {} --schedule constant", quoted(path));
            let loss = move |parameters: &Parameters| text.validate(parameters);
            run_task(args, &train, config, 2.0, loss)
        }
    }
}

fn run_task<T: Task + 'static>(
    args: &PredictArgs,
    train: &str,
    mut config: RunConfig<T>,
    default_loss: f64,
    loss: impl Fn(&Parameters) -> f64 + Send + Sync + 'static,
) -> anyhow::Result<ExitCode> {
    config.strategy = StrategyConfig::SERIAL;
    config.network.hidden = args.hidden.unwrap_or(config.network.hidden);
    let mut workers = args.workers.clone();
    workers.sort_unstable();
    workers.dedup();
    let ways = Way::all(&workers, &args.push_every, config.run.batch);
    let target = Target {
        loss: args.loss.unwrap_or(default_loss),
        every: config.run.examples.div_ceil(MEASUREMENTS).min(MOST_EVERY),
        seeds: args.seeds,
    };
    // One rate of one worker, up to three of more.
    let trainings = args.seeds * (3 * ways.len() as u64 - 2);
    let report = interrupt::unless_asked({
        let (is_quiet, train) = (args.json, train.to_owned());
        move || -> anyhow::Result<Report> {
            // First what is measured by the clock, while nothing else runs.
            let link = Link::fit(&ping::loopback()?).context("the loopback took no time at all")?;
            let seconds_per_example = seconds_per_example(&config)?;
            let progress = Arc::new(if is_quiet {
                Progress::none()
            } else {
                Progress::new(trainings, "trainings")
            });
            let simulated = simulate(&config, &ways, target, loss, || progress.add(1));
            progress.finish();
            let simulated = simulated.context("simulating the workers")?;
            let parameters = config.network.config(&config.task)?.arena_len();
            let bytes = (parameters * size_of::<f32>()) as f64;
            let networks = [("this machine's loopback", link)]
                .into_iter()
                .chain(NETWORKS.map(|(name, bits, latency)| (name, Link::new(bits, latency))));
            let networks = networks.map(|(name, link)| Network {
                name: name.to_owned(),
                link,
                predictions: predict(&simulated, link, seconds_per_example, bytes),
            });
            let networks: Vec<_> = networks.collect();
            let train = format!("{train} --hidden {}", config.network.hidden);
            let check = check(&networks[0], &simulated, &train, config.run.batch);
            let of_one = simulated.iter().find(|one| one.way.workers == 1);
            let of_one = of_one.and_then(|one| one.examples);
            Ok(Report {
                aim: config.task.aim(),
                loss: target.loss,
                seeds: target.seeds,
                batch: config.run.batch,
                parameters,
                seconds_per_example,
                seconds_of_one: of_one.map(|examples| examples * seconds_per_example),
                networks,
                check,
                simulated,
            })
        }
    })?;
    let Some(report) = report else {
        if args.json {
            line(json!({ "stopped": true }).to_string());
        }
        warn("stopped: nothing was predicted");
        return Ok(interrupt::exit_code());
    };
    let report = report?;
    let svg = draw(&title(&report), &plots(&report))?;
    let kept = write_output(&args.out, svg.as_bytes());
    if args.json {
        let mut object = json!(report);
        if kept.is_ok() {
            object["picture"] = args.out.display().to_string().into();
        }
        line(object.to_string());
    } else {
        show(&report);
        if kept.is_ok() && !is_standard_output(&args.out) {
            line(format!("The picture is {}", shown(&args.out)));
        }
    }
    kept?;
    Ok(ExitCode::SUCCESS)
}

/// c: what one core takes for an example, updates included.
fn seconds_per_example<T: Task>(config: &RunConfig<T>) -> anyhow::Result<f64> {
    let mut trainer = Trainer::new(config)?;
    let mut examples = config.run.batch as u64;
    // Twice as many until a part is long enough; the first ones warm up.
    loop {
        let start = Instant::now();
        trainer.train(examples);
        if start.elapsed().as_secs_f64() >= SECONDS / PARTS as f64 {
            break;
        }
        examples *= 2;
    }
    let part = |_| {
        let start = Instant::now();
        trainer.train(examples);
        start.elapsed().as_secs_f64() / examples as f64
    };
    Ok(median(&(0..PARTS).map(part).collect::<Vec<_>>()))
}

/// All ways at all of [`RANKS`] that can be told something about. A way that was simulated at N and
/// did not reach the loss is not predicted at N, nor above it.
fn predict(
    simulated: &[Simulated],
    link: Link,
    seconds_per_example: f64,
    bytes: f64,
) -> Vec<Prediction> {
    let mut kinds: Vec<(Strategy, u64)> = Vec::new();
    for Simulated { way, .. } in simulated.iter().filter(|one| one.way.workers > 1) {
        if !kinds.contains(&(way.strategy, way.push_every)) {
            kinds.push((way.strategy, way.push_every));
        }
    }
    let mut all = Vec::new();
    // One worker is what every way is with N = 1: where each line begins.
    let one = simulated.iter().find(|one| one.way.workers == 1);
    let one = one.and_then(|one| Some((1.0, one.examples?)));
    for (strategy, push_every) in kinds {
        let is_it =
            |one: &&Simulated| (one.way.strategy, one.way.push_every) == (strategy, push_every);
        let of_kind: Vec<_> = simulated.iter().filter(is_it).collect();
        let points = of_kind.iter().filter_map(|one| Some((one.way.workers as f64, one.examples?)));
        let points: Vec<(f64, f64)> = one.into_iter().chain(points).collect();
        let failed = of_kind.iter().filter(|one| one.examples.is_none());
        let failed = failed.map(|one| one.way.workers).min().unwrap_or(usize::MAX);
        for ranks in RANKS.into_iter().filter(|&ranks| ranks < failed) {
            let measured = points.iter().find(|point| point.0 == ranks as f64);
            let (examples, is_extrapolated) = match measured {
                Some(&(_, examples)) => (examples, false),
                None => match examples_at(&points, ranks as f64) {
                    Some(examples) => (examples, true),
                    None => continue,
                },
            };
            let work = Work { examples, seconds_per_example, push_every, bytes };
            let seconds = work.seconds(ranks, link);
            all.push(Prediction {
                ranks,
                strategy,
                push_every,
                examples,
                is_extrapolated,
                seconds,
            });
        }
    }
    all
}

/// The line that trains on a cluster in the best way at the most ranks that were simulated, for as
/// many examples as that is to take. Its metrics.jsonl tells the seconds.
fn check(network: &Network, simulated: &[Simulated], train: &str, batch: usize) -> Option<String> {
    let known = network.predictions.iter().filter(|one| !one.is_extrapolated);
    let ranks = known.map(|one| one.ranks).max()?;
    let &Prediction { strategy, push_every, examples, .. } = best(network, ranks)?;
    let way = Way { strategy, workers: ranks, push_every };
    let rate = simulated.iter().find(|one| one.way == way)?.learning_rate?;
    let meets = match strategy {
        Strategy::Synchronous => format!("--batch {}", batch * ranks),
        _ => format!("--batch {batch} --push-every {push_every}"),
    };
    Some(format!(
        "cargo xtask cluster -n {ranks} --hosts HOSTS -- {train} --strategy {} {meets} --lr {rate} \
         --examples {examples:.0}",
        strategy.name()
    ))
}

/// The way that is there first, at so many ranks.
fn best(network: &Network, ranks: usize) -> Option<&Prediction> {
    let at = network.predictions.iter().filter(|one| one.ranks == ranks);
    at.min_by(|a, b| a.seconds.total_cmp(&b.seconds))
}

fn name(strategy: Strategy, push_every: u64) -> String {
    format!("{}, K = {}", strategy.name(), thousands(push_every))
}

fn show(report: &Report) {
    let Report { aim, loss, seeds, seconds_per_example, parameters, .. } = report;
    line(format!(
        "{aim}, to a loss of {loss}: {} parameters, {} s an example on one core; medians of {} \
         seed{}",
        thousands(*parameters as u64),
        short(*seconds_per_example),
        thousands(*seeds),
        if *seeds == 1 { "" } else { "s" }
    ));
    line("");
    line(format!("{:>7}  {:<26}  {:>12}  {:>10}", "workers", "simulated", "examples", "rate"));
    for Simulated { way, learning_rate, examples } in &report.simulated {
        let told = |text: Option<String>| text.unwrap_or_else(|| "never".to_owned());
        line(format!(
            "{:>7}  {:<26}  {:>12}  {:>10}",
            way.workers,
            name(way.strategy, way.push_every),
            told(examples.map(|examples| thousands(examples.round() as u64))),
            learning_rate.map_or("·".to_owned(), |rate| short(f64::from(rate)))
        ));
    }
    for network in &report.networks {
        line("");
        let Network { name: network_name, link, .. } = network;
        line(format!(
            "{network_name}: α {} s, β {} s a byte",
            short(link.latency),
            short(link.per_byte)
        ));
        line(format!("{:>7}  {:<26}  {:>12}  {:>10}", "ranks", "take", "seconds", "speed-up"));
        for ranks in RANKS {
            let Some(best) = best(network, ranks) else { continue };
            let gain = report.seconds_of_one.map(|one| format!("{:.2}", one / best.seconds));
            line(format!(
                "{ranks:>7}  {:<26}  {:>12}  {:>10}{}",
                name(best.strategy, best.push_every),
                short(best.seconds),
                gain.unwrap_or_else(|| "·".to_owned()),
                if best.is_extrapolated { "  extrapolated" } else { "" }
            ));
        }
        if network.predictions.is_empty() {
            line(
                "   none   of the ways reached the loss; give more --examples, or a higher --loss",
            );
        }
    }
    if let Some(check) = &report.check {
        line("");
        line(format!("On a real cluster: {check}"));
    }
}

/// Three digits that count.
fn short(value: f64) -> String {
    if (1e-3..1e5).contains(&value) {
        let digits = (2 - value.log10().floor() as i32).max(0) as usize;
        format!("{value:.digits$}")
    } else {
        format!("{value:.2e}")
    }
}

fn title(report: &Report) -> String {
    format!("Seconds to a loss of {} predicted on many ranks: {}", report.loss, report.aim)
}

/// A panel a network, a line a way.
fn plots(report: &Report) -> Vec<Plot> {
    let of_network = |network: &Network| {
        let mut lines: Vec<Line> = Vec::new();
        for one in &network.predictions {
            let name = name(one.strategy, one.push_every);
            let at = (one.ranks as f64, one.seconds, one.is_extrapolated);
            match lines.iter_mut().find(|line| line.name == name) {
                Some(line) => line.points.push(at),
                None => lines.push(Line { name, points: vec![at] }),
            }
        }
        Plot { name: network.name.clone(), one: report.seconds_of_one, lines }
    };
    report.networks.iter().map(of_network).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn simulated(strategy: Strategy, workers: usize, examples: Option<f64>) -> Simulated {
        let way = Way { strategy, workers, push_every: 4 };
        Simulated { way, learning_rate: Some(0.1), examples }
    }

    #[test]
    fn what_was_simulated_is_taken_and_what_was_not_lies_on_its_line() {
        let all = [
            simulated(Strategy::Serial, 1, Some(1_100.0)),
            simulated(Strategy::Averaging, 2, Some(1_200.0)),
            simulated(Strategy::Averaging, 4, Some(1_400.0)),
        ];
        let link = Link { latency: 0.0, per_byte: 0.0 };
        let found = predict(&all, link, 1e-3, 100.0);
        assert_eq!(found.iter().map(|one| one.ranks).collect::<Vec<_>>(), RANKS);
        assert!(found.iter().all(|one| one.is_extrapolated == (one.ranks > 4)));
        assert_eq!(found[0].seconds, 0.6);
        assert!((found[2].examples - 1_800.0).abs() < 1e-6, "{found:?}");
    }

    #[test]
    fn beyond_a_number_of_workers_that_never_arrives_nothing_is_told() {
        let all = [
            simulated(Strategy::Synchronous, 2, Some(1_200.0)),
            simulated(Strategy::Synchronous, 4, Some(1_400.0)),
            simulated(Strategy::Synchronous, 8, None),
            simulated(Strategy::Averaging, 2, Some(9.0)),
        ];
        let found = predict(&all, Link { latency: 1.0, per_byte: 0.0 }, 1e-3, 100.0);
        let ranks: Vec<_> = found.iter().map(|one| (one.strategy, one.ranks)).collect();
        let (synchronous, averaging) = (Strategy::Synchronous, Strategy::Averaging);
        // Of one point there is no line.
        assert_eq!(ranks, [(synchronous, 2), (synchronous, 4), (averaging, 2)]);
        assert!(predict(&[], Link::new(1e9, 1.0), 1.0, 1.0).is_empty());
    }

    #[test]
    fn the_command_that_checks_it_is_the_best_of_the_most_ranks_that_were_simulated() {
        let all = [
            simulated(Strategy::Serial, 1, Some(1e3)),
            simulated(Strategy::Averaging, 4, Some(1_400.0)),
            simulated(Strategy::Averaging, 8, Some(1_600.0)),
            simulated(Strategy::Synchronous, 8, Some(1_500.0)),
        ];
        let link = Link { latency: 0.0, per_byte: 0.0 };
        let network = |all: &[Simulated]| Network {
            name: "near".to_owned(),
            link,
            predictions: predict(all, link, 1e-3, 100.0),
        };
        let line = check(&network(&all), &all, "train --hidden 16", 2).unwrap();
        let expected = "cargo xtask cluster -n 8 --hosts HOSTS -- train --hidden 16 --strategy \
                        synchronous --batch 16 --lr 0.1 --examples 1500";
        assert_eq!(line, expected);
        let line = check(&network(&all[..3]), &all, "train", 2).unwrap();
        assert!(line.contains("--strategy averaging --batch 2 --push-every 4"), "{line}");
        assert_eq!(check(&network(&all[..1]), &all, "train", 2), None);
    }

    #[test]
    fn numbers_are_short() {
        let texts = [0.000_000_123, 0.001_234, 0.5, 12.34, 1_234.5, 1e7].map(short);
        assert_eq!(texts, ["1.23e-7", "0.00123", "0.500", "12.3", "1234", "1.00e7"]);
    }
}
