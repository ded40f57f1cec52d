//! `cargo xtask bench hogwild`: time to target, by strategy, threads and K.
//!
//! ```text
//! the bench `hogwild`: what exchanges between cores cost, and what more cores would do
//! for each size:  train::comparison of the strategies, the serial one among them
//! tables with the gain over the serial strategy, pictures, the prediction
//! ```
//!
//! There are three targets, the same for all strategies: early, in the middle and late in a
//! training. Learning rates are tuned for the last one, which the first table and the picture show;
//! the second table shows all. No figure is judged.

mod costs;
mod report;
mod size;

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use train::atomic_file::{try_output, write_whole};
use train::comparison::{Comparison, Contestant};
use train::config::Strategy;
use train::time_to_target::HeldOut;

use self::report::Report;
use self::size::Size;
use super::machine::cpu_model;
use super::workspace::Workspace;
use crate::Usage;
use crate::interrupt::{self, Stopped};
use crate::numbers::whole;
use crate::output::{Progress, line};
use crate::paths::shown;

/// Measure the time until the held-out loss falls below a target, for every strategy
///
/// Sweeps strategies, threads and the examples between two pushes; tunes the learning rate of each
/// contestant, the serial one included, over the same rates and seeds; prints a table and writes
/// hogwild.md, hogwild.json and a picture for each size, hogwild-lab.svg and so on, to
/// target/bench-report. The bench `hogwild` (`cargo bench -p benches --bench hogwild`) adds what
/// independent trainings reach, which bounds all strategies, what a push costs, and a prediction
/// for more cores.
#[derive(clap::Args)]
pub struct Args {
    /// Which network [default: all three]
    size: Option<Size>,

    /// Numbers of workers, separated by commas [default: doublings up to the cores there are]
    #[arg(long, value_delimiter = ',', value_parser = whole::<u16>(1..=1024),
          allow_negative_numbers = true)]
    threads: Vec<u16>,

    /// Numbers of examples between two pushes, separated by commas [default: by size]
    #[arg(long, value_delimiter = ',', value_parser = whole::<u64>(1..=u64::MAX),
          allow_negative_numbers = true)]
    push_every: Vec<u64>,

    /// Strategies beside the serial one, separated by commas [default: all]
    #[arg(long, value_delimiter = ',', value_parser = crate::train::strategy)]
    strategy: Vec<Strategy>,

    /// Learning rates to try, separated by commas; one alone is no tuning [default: by size]
    #[arg(long, value_delimiter = ',', value_parser = crate::train::learning_rate,
          allow_negative_numbers = true)]
    rate: Vec<f32>,

    /// Seeds that are measured; others are used for tuning [default: by size]
    #[arg(long, value_parser = whole::<u64>(1..=1000), conflicts_with = "quick",
          allow_negative_numbers = true)]
    seeds: Option<u64>,

    /// The held-out losses to fall below, falling, separated by commas; rates are tuned for the last
    /// [default: three by size]
    #[arg(long, value_delimiter = ',', value_parser = loss, allow_negative_numbers = true)]
    loss: Vec<f64>,

    /// One seed, one rate: a look, not a measurement
    #[arg(long)]
    quick: bool,

    /// Print the report as one JSON object in the last line
    #[arg(long)]
    json: bool,
}

fn loss(text: &str) -> Result<f64, String> {
    let loss = text.parse().ok().filter(|loss: &f64| loss.is_finite() && *loss > 0.0);
    loss.ok_or_else(|| "a positive, finite number such as 0.05 is needed".to_owned())
}

/// Options that would have no effect beside others: refused, with the reason.
fn refuse_ignored(args: &Args) -> std::result::Result<(), Usage> {
    let has = |strategies: &[Strategy]| {
        args.strategy.is_empty() || args.strategy.iter().any(|s| strategies.contains(s))
    };
    let shared = [Strategy::Hogwild, Strategy::Averaging];
    let reason = if !args.loss.is_sorted_by(|a, b| a > b) {
        "the losses of --loss do not fall; give the highest first"
    } else if args.quick && args.rate.len() > 1 {
        "--quick tries one --rate alone, and the others would be ignored; give one"
    } else if !args.push_every.is_empty() && !has(&shared) {
        "--push-every would be ignored: only hogwild and averaging push"
    } else if !args.threads.is_empty() && !has(&[&shared[..], &[Strategy::Synchronous]].concat()) {
        "--threads would be ignored: the serial strategy has one worker"
    } else {
        return Ok(());
    };
    Err(Usage(reason.to_owned()))
}

/// B of synchronous training.
const BATCHES: [usize; 3] = [4, 16, 64];

/// Held-out examples.
const HELD_OUT: usize = 512;

/// Runs the command. What each size came to is said when it is known, whatever becomes of the files.
///
/// # Errors
/// If threads cannot be started, the bench fails, or the report cannot be written; or after a
/// signal, when what was measured until then is said.
pub fn run(args: Args) -> Result<()> {
    refuse_ignored(&args)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut threads: Vec<usize> = args.threads.iter().map(|&n| usize::from(n)).collect();
    if threads.is_empty() {
        threads = (0..).map(|n| 1 << n).take_while(|&n| n < cores).collect();
        threads.push(cores);
    }
    let sizes = args.size.map_or(Size::ALL.to_vec(), |size| vec![size]);
    let workspace = Workspace::here()?;
    let folder = workspace.report_folder();
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", shown(&folder)))?;
    let place = |name: &str| folder.join(name);
    let picture = |size: Size| place(&format!("hogwild-{}.svg", size.name()));
    let (markdown, json_file) = (place("hogwild.md"), place("hogwild.json"));
    // First, as the comparison takes long.
    let pictures = sizes.iter().map(|&size| picture(size));
    for path in pictures.chain([markdown.clone(), json_file.clone()]) {
        try_output(&path)?;
    }

    let spinner = indicatif::ProgressBar::new_spinner();
    spinner.enable_steady_tick(Duration::from_millis(200));
    let costs = costs::measure(&workspace, &sizes, args.quick, |what| spinner.set_message(what))?;
    spinner.finish_and_clear();

    let mut text = report::heading(&cpu_model(), cores, &costs);
    line(text.trim_end());
    let mut reports = Vec::new();
    let mut written = Ok(());
    for size in sizes {
        let report = compare(size, &threads, &args)?;
        let section = report.markdown(costs.of(size));
        line(section.trim_end());
        let is_whole = report.is_whole();
        if is_whole {
            text += &section;
            // After each size, which takes minutes: what is measured is kept if the next one fails.
            let both = || {
                write_whole(&picture(size), report.picture()?.as_bytes())?;
                Ok(write_whole(&markdown, text.as_bytes())?)
            };
            written = written.and_then(|()| both());
        }
        reports.push(report);
        if !is_whole || interrupt::asked() {
            break;
        }
    }
    let stopped = interrupt::asked();
    let json = serde_json::json!({
        "format": "carry-hogwild-report",
        "version": 3,
        "cpu": cpu_model(),
        "cores": cores,
        "sizes": reports,
        "costs": costs,
        "stopped": stopped,
    });
    if !stopped {
        let write = || Ok(write_whole(&json_file, json.to_string().as_bytes())?);
        written = written.and_then(|()| write());
    }
    if written.is_ok() && !stopped {
        line(format!("\nThe report is in {}", shown(&folder)));
    }
    if args.json {
        line(json.to_string());
    }
    written.and(if stopped { Err(Stopped.into()) } else { Ok(()) })
}

/// All strategies at one size.
fn compare(size: Size, threads: &[usize], args: &Args) -> Result<Report> {
    let (mut goal, config) = (size.goal(), size.config());
    if !args.loss.is_empty() {
        goal.targets.clone_from(&args.loss);
    }
    let mut rates = if args.rate.is_empty() { size.rates().to_vec() } else { args.rate.clone() };
    if args.quick {
        rates.truncate(1);
    }
    let seeds = if args.quick { 1 } else { args.seeds.unwrap_or(size.seeds()) };
    let strategies = if args.strategy.is_empty() { &Strategy::ALL[..] } else { &args.strategy };
    let every = if args.push_every.is_empty() { size.push_every() } else { &args.push_every };
    let contestants = Contestant::all(strategies, threads, every, &BATCHES);
    let comparison = Comparison {
        config: &config,
        contestants: &contestants,
        rates: &rates,
        goal: &goal,
        seeds,
        held_out: &HeldOut::new(config.task, HELD_OUT),
    };
    let progress = Progress::new(comparison.trainings(), "runs");
    let rows = comparison.run(|what| {
        progress.say(what.to_owned());
        progress.add(1);
        !interrupt::asked()
    })?;
    progress.finish();
    Ok(Report {
        size,
        hidden: config.network.hidden,
        bits: config.task.bits(),
        goal,
        rates,
        seeds,
        contestants: contestants.len(),
        rows,
    })
}
