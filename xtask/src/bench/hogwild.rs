//! `cargo xtask bench hogwild`: time to loss, by strategy, threads and K.
//!
//! ```text
//! each contestant (strategy, N, K, B): the best of RATES learning rates, by TUNING seeds
//! seed by seed, each contestant in turn: time to loss
//! the tables beside the best serial run, the picture, the cost model and its prediction
//! ```
//!
//! A loss is looked for early, in the middle and late in a training, the same three for all. The
//! last one is what rates are tuned by and what the first table and the picture show; the second
//! table shows the others.
//!
//! All contestants, serial among them, have their learning rate tuned over as many rates and
//! seeds. They take turns within a seed, so that a machine that slows down slows all of them.
//! It judges no figure.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use plotters::prelude::*;
use serde::Serialize;
use train::run::{RunConfig, write_whole};
use train::strategy::Strategy;
use train::task::Addition;
use train::time_to_loss::{
    CostModel, Goal, HeldOut, Outcome, line_transfer, one_hot_push, rate_apart, time_to_loss,
};

use super::machine::cpu_model;
use crate::output::{Progress, line, thousands};

/// Measure the time until the held-out loss falls below a target, for every strategy
///
/// Sweeps strategies, threads and the examples between two pushes; tunes the learning rate of each
/// contestant, the serial one included, over the same rates and seeds; prints a table and writes
/// hogwild.md, hogwild.json and a picture for each size, hogwild-lab.svg and so on, to
/// target/bench-report. Beside them: trainings that share nothing, the bound of all strategies.
/// From the table it fits what a push costs, and predicts more cores.
#[derive(clap::Args)]
pub struct Args {
    /// Which network [default: all three]
    size: Option<Size>,

    /// Numbers of workers, parted by commas [default: doublings up to the cores there are]
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Vec<u16>,

    /// Numbers of examples between two pushes, parted by commas [default: by size]
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u64).range(1..))]
    push_every: Vec<u64>,

    /// Strategies beside the serial one, parted by commas [default: all]
    #[arg(long, value_delimiter = ',', value_parser = crate::train::strategy)]
    strategy: Vec<Strategy>,

    /// Learning rates to try, parted by commas; one alone is no tuning [default: by size]
    #[arg(long, value_delimiter = ',', value_parser = crate::train::learning_rate)]
    rate: Vec<f32>,

    /// Seeds that are measured; others are used for tuning [default: by size]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1000))]
    seeds: Option<u64>,

    /// The held-out losses to fall below, falling, parted by commas; the last one is tuned for
    /// [default: three by size]
    #[arg(long, value_delimiter = ',')]
    loss: Vec<f64>,

    /// One seed, one rate: a look, not a measurement
    #[arg(long)]
    quick: bool,

    /// Print the report as one JSON object in the last line
    #[arg(long)]
    json: bool,
}

#[derive(clap::ValueEnum, Serialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Size {
    /// The lab: 16 hidden units, 8 bits, all at the rate of the recipe, 0.1
    Lab,
    /// The lab, each strategy at the learning rate that is best for it
    Tuned,
    /// 128 hidden units, 64 bits
    Wide,
}

impl Size {
    fn name(self) -> &'static str {
        match self {
            Self::Lab => "lab",
            Self::Tuned => "tuned",
            Self::Wide => "wide",
        }
    }

    fn config(self) -> RunConfig {
        match self {
            Self::Lab | Self::Tuned => RunConfig { examples: 40_000, ..RunConfig::default() },
            Self::Wide => {
                RunConfig { hidden: 128, bits: 64, examples: 5_000, ..RunConfig::default() }
            }
        }
    }

    /// About a half of the loss of a network that always answers ½, where it begins to carry; and
    /// down to a twentieth of it.
    fn goal(self) -> Goal {
        match self {
            Self::Lab | Self::Tuned => {
                Goal { losses: vec![0.5, 0.2, 0.05], every: 64, stretch: 20_000 }
            }
            Self::Wide => Goal { losses: vec![4.0, 1.0, 0.5], every: 32, stretch: 500 },
        }
    }

    /// Learning rates that are tried for one worker at batch 1.
    fn rates(self) -> &'static [f32] {
        match self {
            Self::Lab => &[0.1],
            Self::Tuned => &[0.4, 0.57, 0.8, 1.1, 1.6, 2.3, 3.2],
            Self::Wide => &[0.024, 0.028, 0.034, 0.04, 0.048],
        }
    }

    /// Trainings of milliseconds differ more, and are soon made.
    fn seeds(self) -> u64 {
        match self {
            Self::Lab | Self::Tuned => 61,
            Self::Wide => 9,
        }
    }

    fn push_every(self) -> &'static [u64] {
        match self {
            Self::Lab | Self::Tuned => &[1, 2, 4, 8, 16, 32, 64, 128, 256],
            Self::Wide => &[1, 2, 4, 8, 16],
        }
    }
}

/// Seeds on which the learning rate is tuned; far from those that are measured.
const TUNING: std::ops::Range<u64> = 1_000_000..1_000_004;

/// One-hot inputs of the network whose pushes are measured.
const ONE_HOT: usize = 1_024;

/// Seconds that no line needs on its way, from one end of a machine to the other; threads
/// that take turns on one core need more.
const BUSY: f64 = 2e-6;

/// A way to train, and how it went.
#[derive(Clone, Debug, Serialize)]
struct Contestant {
    strategy: Strategy,
    threads: usize,
    push_every: u64,
    batch: usize,
    learning_rate: f32,
    outcomes: Vec<Outcome>,
}

/// A contestant in figures.
#[derive(Clone, Debug, Serialize)]
struct Row {
    #[serde(flatten)]
    contestant: Contestant,
    examples_per_second: f64,
    /// One for each loss, the last one last.
    targets: Vec<Target>,
}

/// How a contestant came below a loss; times in seconds.
#[derive(Clone, Debug, Serialize)]
struct Target {
    loss: f64,
    /// Seeds that reached it.
    reached: usize,
    median: Option<f64>,
    /// The quartiles.
    low: Option<f64>,
    high: Option<f64>,
    /// The serial median over this one.
    gain: Option<f64>,
    median_examples: Option<f64>,
}

#[derive(Serialize)]
struct Report {
    size: Size,
    hidden: usize,
    bits: u32,
    goal: Goal,
    rates: Vec<f32>,
    seeds: u64,
    rows: Vec<Row>,
    /// N, and the examples a second of N serial trainings that share nothing.
    apart: Vec<(usize, f64)>,
    model: Option<CostModel>,
    /// N, and for each the K that keeps overheads under 5 % and the examples a second at it.
    prediction: Vec<(usize, u64, f64)>,
}

/// Runs the command.
///
/// # Errors
/// If threads cannot be started, or the report cannot be written.
pub fn run(args: Args) -> Result<()> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut threads: Vec<usize> = args.threads.iter().map(|&n| usize::from(n)).collect();
    if threads.is_empty() {
        threads = (0..).map(|n| 1 << n).take_while(|&n| n < cores).collect();
        threads.push(cores);
    }
    let sizes = args.size.map_or(vec![Size::Lab, Size::Tuned, Size::Wide], |size| vec![size]);
    let folder = target_folder()?.join("bench-report");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;

    let transfer = line_transfer();
    let mut text = format!(
        "# Time to loss\n\n{}, {cores} cores; a cache line takes {:.0} ns from core to core.\n",
        cpu_model(),
        transfer * 1e9
    );
    let [used, all] = one_hot_push(ONE_HOT)?;
    writeln!(
        text,
        "\nA push beside another worker, with {ONE_HOT} one-hot inputs and 16 units: {:.2} µs with \
         the rows that were used, {:.2} µs with all rows.",
        used * 1e6,
        all * 1e6
    )?;
    if transfer > BUSY {
        text.push_str(
            "\nTwo threads did not run at the same time: other programs keep the cores busy, and \
                       no figure below means anything.\n",
        );
    }
    let mut reports = Vec::new();
    for size in sizes {
        let report = measure(size, &threads, &args, transfer)?;
        markdown(&mut text, &report)?;
        let svg = picture(&report).map_err(|error| anyhow::anyhow!("drawing: {error}"))?;
        write_whole(&folder.join(format!("hogwild-{}.svg", size.name())), svg.as_bytes())?;
        reports.push(report);
    }
    write_whole(&folder.join("hogwild.md"), text.as_bytes())?;
    let json = serde_json::json!({
        "format": "carry-hogwild-report",
        "version": 2,
        "cpu": cpu_model(),
        "cores": cores,
        "line_transfer": transfer,
        "one_hot_push": { "inputs": ONE_HOT, "used_rows": used, "all_rows": all },
        "sizes": reports,
    });
    write_whole(&folder.join("hogwild.json"), json.to_string().as_bytes())?;
    line(&text);
    line(format!("The report is in {}", folder.display()));
    if args.json {
        line(json.to_string());
    }
    Ok(())
}

/// The target folder that this program was built into, else the one of the workspace.
fn target_folder() -> Result<PathBuf> {
    let program = std::env::current_exe().context("cannot tell where this program lies")?;
    let built = program.ancestors().nth(2).filter(|path| path.join("CACHEDIR.TAG").exists());
    Ok(built.map_or(PathBuf::from("target"), PathBuf::from))
}

fn measure(size: Size, threads: &[usize], args: &Args, transfer: f64) -> Result<Report> {
    let (mut goal, config) = (size.goal(), size.config());
    if !args.loss.is_empty() {
        anyhow::ensure!(args.loss.is_sorted_by(|a, b| a > b), "the losses of --loss do not fall");
        goal.losses.clone_from(&args.loss);
    }
    let held_out = HeldOut::new(Addition::new(config.bits)?, 512);
    let mut rates = if args.rate.is_empty() { size.rates().to_vec() } else { args.rate.clone() };
    if args.quick {
        rates.truncate(1);
    }
    let seeds = if args.quick { 1 } else { args.seeds.unwrap_or(size.seeds()) };
    let mut contestants = contestants(size, threads, args);
    let count = contestants.len() as u64;
    let tunes = if rates.len() > 1 { rates.len() as u64 * (TUNING.end - TUNING.start) } else { 0 };
    let progress = Progress::new(count * (tunes + seeds), "runs");

    for contestant in &mut contestants {
        progress.say(format!("tuning {}", contestant.name()));
        let mut best = f64::INFINITY;
        // A mean over B examples, or over N replicas, goes a shorter way: these rates start
        // where the ways are equally long.
        let scale = match contestant.strategy {
            Strategy::Averaging => contestant.threads as f32,
            _ => contestant.batch as f32,
        };
        contestant.learning_rate = rates[0] * scale;
        if rates.len() == 1 {
            continue;
        }
        for rate in rates.iter().map(|rate| rate * scale) {
            let mut times = Vec::new();
            for seed in TUNING {
                let config = contestant.config(&config, seed, rate);
                times.push(time_to_loss(&config, &goal, &held_out)?);
                progress.add(1);
            }
            // The mean, in which a seed that never got there counts.
            let time =
                times.iter().map(|outcome| time_or_never(outcome, goal.losses.len() - 1)).sum();
            if time < best {
                (best, contestant.learning_rate) = (time, rate);
            }
        }
    }
    let mut apart: Vec<(usize, Vec<f64>)> = threads.iter().map(|&n| (n, Vec::new())).collect();
    for seed in 0..seeds {
        progress.say(format!("seed {seed}"));
        for (threads, rates) in &mut apart {
            let config = RunConfig { seed, learning_rate: size.rates()[0], ..config.clone() };
            rates.push(rate_apart(&config, *threads, goal.stretch)?);
        }
        for contestant in &mut contestants {
            let config = contestant.config(&config, seed, contestant.learning_rate);
            contestant.outcomes.push(time_to_loss(&config, &goal, &held_out)?);
            progress.add(1);
        }
    }
    progress.finish();

    let serial: Vec<f64> =
        (0..goal.losses.len()).map(|target| contestants[0].median_time(target)).collect();
    let rows: Vec<Row> =
        contestants.into_iter().map(|c| Row::new(c, &goal.losses, &serial)).collect();
    let most = threads.iter().copied().max().unwrap_or(1);
    let points: Vec<(u64, f64)> = rows
        .iter()
        .filter(|row| row.contestant.strategy == Strategy::Hogwild)
        .filter(|row| row.contestant.threads == most)
        .map(|row| (row.contestant.push_every, most as f64 / row.examples_per_second))
        .collect();
    let model = CostModel::fit(&points, transfer);
    let prediction = model.map_or(Vec::new(), |model| {
        let predict = |n| {
            let k = model.least_push_every(n, 0.05);
            (n, k, model.rate(n, k))
        };
        [2, 4, 8, 16, 32, 64].map(predict).to_vec()
    });
    let RunConfig { hidden, bits, .. } = config;
    let apart = apart.into_iter().map(|(n, rates)| (n, median(rates.into_iter()))).collect();
    Ok(Report { size, hidden, bits, goal, rates, seeds, rows, apart, model, prediction })
}

/// Serial first.
fn contestants(size: Size, threads: &[usize], args: &Args) -> Vec<Contestant> {
    let new = |strategy, threads, push_every, batch| Contestant {
        strategy,
        threads,
        push_every,
        batch,
        learning_rate: 0.0,
        outcomes: Vec::new(),
    };
    let mut all = vec![new(Strategy::Serial, 1, 1, 1)];
    let chosen = if args.strategy.is_empty() { &Strategy::ALL[..] } else { &args.strategy };
    let every = if args.push_every.is_empty() { size.push_every() } else { &args.push_every };
    for &threads in threads {
        for &strategy in chosen {
            match strategy {
                Strategy::Serial => {}
                Strategy::Synchronous => {
                    all.extend([4, 16, 64].map(|b| new(strategy, threads, b as u64, b)));
                }
                Strategy::Hogwild | Strategy::Averaging => {
                    all.extend(every.iter().map(|&k| new(strategy, threads, k, 1)));
                }
            }
        }
    }
    all
}

impl Contestant {
    fn config(&self, base: &RunConfig, seed: u64, learning_rate: f32) -> RunConfig {
        let &Self { strategy, threads, push_every, batch, .. } = self;
        RunConfig { strategy, threads, push_every, batch, seed, learning_rate, ..base.clone() }
    }

    fn name(&self) -> String {
        format!("{}, N = {}, K = {}", self.strategy.name(), self.threads, self.push_every)
    }

    fn median_time(&self, target: usize) -> f64 {
        median(self.outcomes.iter().map(|outcome| time_or_never(outcome, target)))
    }
}

impl Row {
    /// `serial`: its median for each of the `losses`.
    fn new(contestant: Contestant, losses: &[f64], serial: &[f64]) -> Self {
        let all = losses.iter().zip(serial).enumerate();
        let targets = all.map(|(n, (&loss, &serial))| Target::new(&contestant, n, loss, serial));
        Self {
            examples_per_second: median(
                contestant.outcomes.iter().map(|o| o.examples as f64 / o.seconds),
            ),
            targets: targets.collect(),
            contestant,
        }
    }

    /// The one that rates are tuned for.
    fn last(&self) -> &Target {
        self.targets.last().expect("a goal has a loss")
    }
}

impl Target {
    fn new(contestant: &Contestant, target: usize, loss: f64, serial: f64) -> Self {
        let outcomes = &contestant.outcomes;
        let finite = |value: f64| value.is_finite().then_some(value);
        let at = |share| {
            finite(quantile(outcomes.iter().map(|outcome| time_or_never(outcome, target)), share))
        };
        let examples = |o: &Outcome| o.reached[target].map_or(f64::INFINITY, |(_, n)| n as f64);
        let median = at(0.5);
        Self {
            loss,
            reached: outcomes.iter().filter(|o| o.reached[target].is_some()).count(),
            median,
            low: at(0.25),
            high: at(0.75),
            gain: median.map(|median| serial / median).and_then(finite),
            median_examples: finite(quantile(outcomes.iter().map(examples), 0.5)),
        }
    }
}

fn time_or_never(outcome: &Outcome, target: usize) -> f64 {
    outcome.reached[target].map_or(f64::INFINITY, |(seconds, _)| seconds)
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    quantile(values, 0.5)
}

/// The value with `share` of the others below it.
fn quantile(values: impl Iterator<Item = f64>, share: f64) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * share).round() as usize]
}

fn markdown(text: &mut String, report: &Report) -> Result<()> {
    let Report { size, hidden, bits, goal, rates, seeds, rows, apart, model, prediction } = report;
    let tuned = match rates[..] {
        [rate] => format!("all at the learning rate {rate}"),
        _ => format!("learning rates tuned over {rates:?}"),
    };
    writeln!(
        text,
        "\n## {}: H = {hidden}, T = {bits}, until the held-out loss is below {}\n\n\
         Median and quartiles of {seeds} seeds; {tuned} (times B, or \
         times N for averaging).\n\n\
         | strategy | N | K | B | rate | time to loss, ms | times serial | examples/s | times \
         serial | examples to loss | reached |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        size.name(),
        goal.losses[goal.losses.len() - 1]
    )?;
    let ms = |time: Option<f64>| time.map_or("never".to_owned(), |s| format!("{:.2}", s * 1e3));
    let times = |gain: Option<f64>| gain.map_or("–".to_owned(), |gain| format!("{gain:.2}"));
    let count = |n: Option<f64>| n.map_or("–".to_owned(), |n| thousands(n as u64));
    for row in rows {
        let Contestant { strategy, threads, push_every, batch, learning_rate, .. } = row.contestant;
        let target = row.last();
        writeln!(
            text,
            "| {} | {threads} | {push_every} | {batch} | {learning_rate} | {} ({} to {}) | {} | {} \
             | {:.2} | {} | {}/{seeds} |",
            strategy.name(),
            ms(target.median),
            ms(target.low),
            ms(target.high),
            times(target.gain),
            thousands(row.examples_per_second as u64),
            row.examples_per_second / rows[0].examples_per_second,
            count(target.median_examples),
            target.reached,
        )?;
    }
    if goal.losses.len() > 1 {
        text.push_str("\nOn the way, in the same runs:\n\n| strategy | N | K | B |");
        for loss in &goal.losses {
            write!(text, " below {loss}, ms | times serial | examples | reached |")?;
        }
        writeln!(text, "\n|{}", " --- |".repeat(4 + 4 * goal.losses.len()))?;
        for row in rows {
            let Contestant { strategy, threads, push_every, batch, .. } = row.contestant;
            write!(text, "| {} | {threads} | {push_every} | {batch} |", strategy.name())?;
            for target in &row.targets {
                let (gain, examples) = (times(target.gain), count(target.median_examples));
                let (median, reached) = (ms(target.median), target.reached);
                write!(text, " {median} | {gain} | {examples} | {reached}/{seeds} |")?;
            }
            text.push('\n');
        }
    }
    writeln!(text, "\nSerial trainings beside each other that share nothing, median:\n")?;
    for &(n, rate) in apart {
        let times = rate / rows[0].examples_per_second;
        writeln!(
            text,
            "- N = {n}: {} examples/s, {times:.2} times serial",
            thousands(rate as u64)
        )?;
    }
    let Some(model) = model else { return Ok(()) };
    writeln!(
        text,
        "\nFitted: an example takes a worker {:.0} ns, a push {:.0} ns. So predicted, not \
         measured:\n\n| N | K for overheads below 5 % | examples/s | times serial |\n\
         | ---: | ---: | ---: | ---: |",
        model.example * 1e9,
        model.push * 1e9
    )?;
    for &(n, k, rate) in prediction {
        let times = rate / rows[0].examples_per_second;
        writeln!(text, "| {n} | {k} | {} | {times:.1} |", thousands(rate as u64))?;
    }
    Ok(())
}

/// Time to loss over threads, the best K of each strategy, and the ideal line dashed.
fn picture(report: &Report) -> Result<String, Box<dyn std::error::Error>> {
    const COLOURS: [RGBColor; 3] =
        [RGBColor(0, 158, 115), RGBColor(0, 114, 178), RGBColor(213, 94, 0)];
    let serial = report.rows[0].last().median.unwrap_or(f64::NAN) * 1e3;
    let mut threads: Vec<usize> = report.rows.iter().map(|row| row.contestant.threads).collect();
    threads.sort_unstable();
    threads.dedup();
    let strategies = [Strategy::Synchronous, Strategy::Hogwild, Strategy::Averaging];
    let best = |strategy, threads| {
        let rows = report.rows.iter().filter(move |row| {
            row.contestant.strategy == strategy && row.contestant.threads == threads
        });
        rows.filter_map(|row| row.last().median).min_by(f64::total_cmp).map(|seconds| seconds * 1e3)
    };
    let lines = strategies.map(|strategy| {
        let point = |&n: &usize| Some((n as f64, best(strategy, n)?));
        threads.iter().filter_map(point).collect::<Vec<_>>()
    });
    let times = lines.iter().flatten().map(|(_, time)| *time).chain([serial]);
    let top = times.filter(|time| time.is_finite()).fold(1e-3, f64::max) * 1.1;
    let last = threads.last().map_or(1.0, |&n| n as f64);

    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (720, 420)).into_drawing_area();
        root.fill(&WHITE)?;
        let title = format!(
            "Time to a held-out loss of {}: H = {}, T = {}",
            report.goal.losses[report.goal.losses.len() - 1],
            report.hidden,
            report.bits
        );
        let mut chart = ChartBuilder::on(&root)
            .caption(title, ("sans-serif", 17))
            .margin(12)
            .x_label_area_size(42)
            .y_label_area_size(60)
            .build_cartesian_2d(0.9..last + 0.1, 0.0..top)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(BLACK.mix(0.12))
            .x_labels(threads.len() + 1)
            .x_desc("threads")
            .y_desc("milliseconds, median")
            .x_label_formatter(&|n| format!("{n:.0}"))
            .label_style(("sans-serif", 13))
            .draw()?;
        let ideal = (0..=40).map(|n| 1.0 + (last - 1.0) * f64::from(n) / 40.0);
        chart
            .draw_series(DashedLineSeries::new(
                ideal.map(|n| (n, serial / n)),
                6,
                5,
                BLACK.stroke_width(1),
            ))?
            .label("ideal: serial / threads")
            .legend(|(x, y)| PathElement::new([(x, y), (x + 18, y)], BLACK));
        for ((strategy, points), colour) in strategies.iter().zip(lines).zip(COLOURS) {
            chart
                .draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)))?
                .label(strategy.name())
                .legend(move |(x, y)| {
                    PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2))
                });
            chart.draw_series(points.iter().map(|&at| Circle::new(at, 4, colour.filled())))?;
        }
        chart
            .draw_series([Circle::new((1.0, serial), 5, BLACK.filled())])?
            .label("serial")
            .legend(|(x, y)| Circle::new((x + 9, y), 4, BLACK.filled()));
        chart
            .configure_series_labels()
            .border_style(BLACK.mix(0.3))
            .background_style(WHITE.mix(0.8))
            .label_font(("sans-serif", 13))
            .position(SeriesLabelPosition::LowerLeft)
            .draw()?;
        root.present()?;
    }
    Ok(svg)
}
