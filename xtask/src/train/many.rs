//! `cargo xtask train --seeds`: the same training once for each seed.

use super::common::Common;
use super::json::{described, extend, of_error};
use crate::interrupt;
use crate::output::{Progress, line, thousands, warn};
use anyhow::Context;
use serde_json::{Value, json};
use std::ops::Range;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use train::config::RunConfig;
use train::statistics::{median, quantile};
use train::study::{SeedResult, train_seeds};
use train::task::{Score, Task};

/// Trains each of `seeds`; says what ended, also where one fails or all are stopped.
pub fn many<T: Task + 'static>(
    args: &Common,
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

fn ns_per_example<S>(result: &SeedResult<S>) -> f64 {
    result.seconds * 1e9 / result.examples as f64
}

/// Of the seeds that ended, the median.
fn typical<S>(results: &[SeedResult<S>]) -> Option<f64> {
    let all: Vec<f64> = results.iter().map(|result| ns_per_example(result)).collect();
    (!all.is_empty()).then(|| median(&all))
}

/// Of the seeds that ended: the figure that they are compared by, and its quartiles and the best.
fn spread<S: Score>(results: &[SeedResult<S>]) -> Option<Spread> {
    let (name, _) = results.first()?.score.figure();
    let all: Vec<f64> = results.iter().map(|result| result.score.figure().1).collect();
    let [low, median, high] = [0.25, 0.5, 0.75].map(|q| quantile(&all, q));
    Some(Spread { name, median, quartiles: [low, high], best: quantile(&all, 0.0) })
}

/// Of many seeds.
struct Spread {
    name: &'static str,
    median: f64,
    quartiles: [f64; 2],
    best: f64,
}

fn perfect<S: Score>(results: &[SeedResult<S>]) -> usize {
    results.iter().filter(|result| result.score.is_perfect()).count()
}

fn show_seeds<T: Task>(config: &RunConfig<T>, results: &[SeedResult<T::Score>]) {
    let heading = T::Score::heading();
    line(format!("{:>8}  {:>10}  {heading:>21}  {:>10}", "seed", "loss", "ns/example"));
    for result in results {
        let SeedResult { seed, loss, score, .. } = result;
        let (score, ns) = (score.brief(), ns_per_example(result));
        line(format!("{seed:>8}  {loss:>10.6}  {score:>21}  {ns:>10.0}"));
    }
    if let (Some(first), Some(typical)) = (results.first(), typical(results)) {
        line("");
        line(format!(
            "{} after {} examples; median {typical:.0} ns an example",
            first.score.summary(perfect(results), results.len()),
            thousands(config.run.examples)
        ));
    }
    if let (Some(Spread { name, median, quartiles: [low, high], best }), true) =
        (spread(results), config.task.validate_every().is_some())
    {
        line(format!(
            "{name}: median {median:.4}, quartiles {low:.4} to {high:.4}, best {best:.4}"
        ));
    }
}

fn of_seeds<T: Task>(config: &RunConfig<T>, count: u64, results: &[SeedResult<T::Score>]) -> Value {
    let row = |result: &SeedResult<T::Score>| {
        let SeedResult { seed, loss, score, examples, seconds } = result;
        let mut row = json!({ "seed": seed, "loss": loss, "seconds": seconds });
        if config.task.validate_every().is_some() {
            row["updates"] = examples.div_ceil(config.run.batch as u64).into();
        }
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
            "median_ns_per_example": typical(results),
            "rows": results.iter().map(row).collect::<Vec<_>>(),
        }),
    );
    if let Some(Spread { name, median, quartiles, best }) = spread(results) {
        extend(
            &mut object,
            &json!({ "figure": name, "median": median, "quartiles": quartiles, "best": best }),
        );
    }
    object
}
