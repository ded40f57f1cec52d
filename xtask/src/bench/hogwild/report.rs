//! How the strategies did at one size: the tables and the picture.

use anyhow::Result;
use serde::Serialize;
use train::comparison::{Contestant, Row};
use train::config::Strategy;
use train::time_to_target::Goal;

use super::costs::{Cost, Costs};
use super::size::Size;
use crate::chart::{Axis, BLACK, Panel, Point, Series, Shape, colour, draw};
use crate::output::thousands;

/// Seconds that the transfer of a line never takes, from one end of a machine to the other; threads
/// that take turns on one core take longer.
const BUSY: f64 = 2e-6;

/// What was compared, and what came of it: the serial strategy first.
#[derive(Serialize)]
pub struct Report {
    pub size: Size,
    pub hidden: usize,
    pub bits: u32,
    pub goal: Goal,
    pub rates: Vec<f32>,
    /// How many were asked for, and contestants: fewer rows or outcomes if it was stopped.
    pub seeds: u64,
    pub contestants: usize,
    pub rows: Vec<Row>,
}

/// The machine, above the sections of the sizes.
pub fn heading(cpu: &str, cores: usize, costs: &Costs) -> String {
    let mut text = format!(
        "# Time to target\n\n{cpu}, {cores} cores; a cache line takes {:.0} ns from core to \
         core.\n\nA push while another worker pushes, with {} one-hot inputs and 16 units: {:.2} µs with \
         the rows that were used, {:.2} µs with all rows.\n",
        costs.line_transfer * 1e9,
        costs.one_hot_push.inputs,
        costs.one_hot_push.used_rows * 1e6,
        costs.one_hot_push.all_rows * 1e6,
    );
    if costs.line_transfer > BUSY {
        text += "\nTwo threads did not run at the same time: other programs keep the cores busy, \
                 and no figure below means anything.\n";
    }
    text
}

fn milliseconds(seconds: Option<f64>) -> String {
    seconds.map_or("never".to_owned(), |seconds| format!("{:.2}", seconds * 1e3))
}

fn times(gain: Option<f64>) -> String {
    gain.map_or("–".to_owned(), |gain| format!("{gain:.2}"))
}

fn count(examples: Option<f64>) -> String {
    examples.map_or("–".to_owned(), |examples| thousands(examples as u64))
}

/// The columns that say which contestant it is.
fn who(contestant: Contestant) -> String {
    let Contestant { strategy, threads, push_every, batch } = contestant;
    format!("| {} | {threads} | {push_every} | {batch} |", strategy.name())
}

impl Report {
    fn last_loss(&self) -> f64 {
        self.rows[0].last().loss
    }

    /// Seeds that all contestants trained on.
    fn ended(&self) -> u64 {
        self.rows.first().map_or(0, |row| row.outcomes.len() as u64)
    }

    /// Was it not stopped before its end?
    pub fn is_whole(&self) -> bool {
        self.rows.len() == self.contestants && self.ended() == self.seeds
    }

    /// What there is to say before all contestants trained on a seed.
    fn rates_so_far(&self) -> String {
        let Self { size, rows, contestants, .. } = self;
        let mut text = format!(
            "\n## {}\n\nStopped before a seed; the learning rates of {} of {contestants} are \
             chosen.\n\n| strategy | N | K | B | rate |\n| --- | ---: | ---: | ---: | ---: |\n",
            size.name(),
            rows.len(),
        );
        for row in rows {
            text += &format!("{} {} |\n", who(row.contestant), row.learning_rate);
        }
        text
    }

    /// The section of this size; `cost` is what the bench found for it.
    pub fn markdown(&self, cost: Option<&Cost>) -> String {
        let Self { size, hidden, bits, rates, rows, goal, .. } = self;
        let seeds = self.ended();
        if seeds == 0 {
            return self.rates_so_far();
        }
        let tuned = match rates[..] {
            [rate] => format!("all at the learning rate {rate}"),
            _ => format!("learning rates tuned over {rates:?}"),
        };
        let stopped = match self.seeds {
            all if all == seeds => String::new(),
            all => format!(" (of {all}: it was stopped)"),
        };
        let mut text = format!(
            "\n## {}: H = {hidden}, T = {bits}, until the held-out loss is below {}\n\n\
             Median and quartiles of {seeds} seeds{stopped}; {tuned} (times B, or \
             times N for averaging).\n\n\
             | strategy | N | K | B | rate | time to target, ms | times serial | examples/s | times \
             serial | examples to target | reached |\n\
             | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
            size.name(),
            self.last_loss(),
        );
        for row in rows {
            let target = row.last();
            text += &format!(
                "{} {} | {} ({} to {}) | {} | {} | {:.2} | {} | {}/{seeds} |\n",
                who(row.contestant),
                row.learning_rate,
                milliseconds(target.median),
                milliseconds(target.low),
                milliseconds(target.high),
                times(target.gain),
                thousands(row.examples_per_second as u64),
                row.examples_per_second / rows[0].examples_per_second,
                count(target.median_examples),
                target.reached,
            );
        }
        if goal.targets.len() > 1 {
            text += &self.all_targets();
        }
        text + &cost.map_or(String::new(), prediction)
    }

    fn all_targets(&self) -> String {
        let Self { goal, rows, .. } = self;
        let seeds = self.ended();
        let mut text = "\nAll targets, in the same runs:\n\n| strategy | N | K | B |".to_owned();
        for loss in &goal.targets {
            text += &format!(" below {loss}, ms | times serial | examples | reached |");
        }
        text += &format!("\n|{}\n", " --- |".repeat(4 + 4 * goal.targets.len()));
        for row in rows {
            text += &who(row.contestant);
            for target in &row.targets {
                text += &format!(
                    " {} | {} | {} | {}/{seeds} |",
                    milliseconds(target.median),
                    times(target.gain),
                    count(target.median_examples),
                    target.reached
                );
            }
            text.push('\n');
        }
        text
    }

    /// Time to the last target over threads, the best K of each strategy, and the ideal line
    /// dashed.
    ///
    /// # Errors
    /// If drawing fails.
    pub fn picture(&self) -> Result<String> {
        let serial = self.rows[0].last().median.map(|seconds| seconds * 1e3);
        let mut threads: Vec<usize> = self.rows.iter().map(|row| row.contestant.threads).collect();
        threads.sort_unstable();
        threads.dedup();
        let last = threads.last().map_or(1.0, |&n| n as f64);
        let mut top = serial.unwrap_or(1e-3);
        let mut series = Vec::new();
        for (number, strategy) in
            [Strategy::Synchronous, Strategy::Hogwild, Strategy::Averaging].into_iter().enumerate()
        {
            let best = |&threads: &usize| -> Option<Point> {
                let is_of = |row: &&Row| {
                    row.contestant.strategy == strategy && row.contestant.threads == threads
                };
                let times = self.rows.iter().filter(is_of).filter_map(|row| row.last().median);
                Some((threads as f64, times.min_by(f64::total_cmp)? * 1e3))
            };
            let points: Vec<Point> = threads.iter().filter_map(best).collect();
            if points.is_empty() {
                continue;
            }
            top = points.iter().fold(top, |top, (_, time)| top.max(*time));
            let (name, colour) = (strategy.name().to_owned(), colour(number));
            let dots = Shape::Dots(4, points.clone());
            series.push(Series { name: String::new(), colour, shape: dots });
            series.push(Series { name, colour, shape: Shape::Line(points) });
        }
        if let Some(serial) = serial {
            let dot = Shape::Dots(5, vec![(1.0, serial)]);
            series.insert(0, Series { name: "serial".to_owned(), colour: BLACK, shape: dot });
            let at = (0..=40).map(|n| 1.0 + (last - 1.0) * f64::from(n) / 40.0);
            let ideal = Shape::Dashes(6, at.map(|n| (n, serial / n)).collect());
            let name = "ideal: serial / threads".to_owned();
            series.push(Series { name, colour: BLACK, shape: ideal });
        }
        let axis = |name: &str, range, ticks| Axis {
            name: name.to_owned(),
            range,
            ticks,
            tick: |at| if at.fract() == 0.0 { at.to_string() } else { String::new() },
        };
        let x = axis("threads", 0.9..last + 0.1, threads.len() + 1);
        let y = Axis {
            tick: |at| format!("{at:.1}"),
            ..axis("time in milliseconds, median", 0.0..top * 1.1, 10)
        };
        let title = format!(
            "Time to a held-out loss of {}, over threads: H = {}, T = {}",
            self.last_loss(),
            self.hidden,
            self.bits
        );
        draw(&title, (900, 420), &[Panel { x, y, series, labels: Vec::new() }])
    }
}

/// The bound of all strategies, and what more cores would do.
fn prediction(cost: &Cost) -> String {
    let Cost { workers, independent, model, prediction, .. } = cost;
    let serial = independent.first().map_or(f64::NAN, |&(_, rate)| rate);
    let mut text =
        "\nSerial trainings at the same time that share nothing, no strategy can be faster:\n\n"
            .to_owned();
    for &(n, rate) in independent {
        let times = rate / serial;
        text +=
            &format!("- N = {n}: {} examples/s, {times:.2} times serial\n", thousands(rate as u64));
    }
    text += &format!(
        "\nFitted to N = {workers}: an example takes a worker {:.0} ns, a push {:.0} ns. So \
         predicted, not measured:\n\n| N | K for overheads below 5 % | examples/s | times serial |\n\
         | ---: | ---: | ---: | ---: |\n",
        model.example * 1e9,
        model.push * 1e9
    );
    for &(n, k, rate) in prediction {
        let times = rate / serial;
        text += &format!("| {n} | {k} | {} | {times:.1} |\n", thousands(rate as u64));
    }
    text
}
