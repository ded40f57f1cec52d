//! `cargo xtask train --seeds`: the same training once for each seed.

use super::common::Common;
use super::json::{described, extend, of_error};
use crate::output::{Progress, line, thousands, warn};
use crate::paths::shown;
use crate::{interrupt, ranks};
use anyhow::Context;
use rayon::prelude::*;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::ops::Range;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use train::config::RunConfig;
use train::seeds_file::SeedsFile;
use train::statistics::{median, quantile};
use train::study::{SeedResult, train_seeds, train_seeds_over};
use train::task::{Score, Task};

/// Trains each of `seeds`; says what ended, also where one fails or all are stopped.
pub fn many<T: Task + 'static>(
    args: &Common,
    config: &RunConfig<T>,
    seeds: Range<u64>,
) -> anyhow::Result<ExitCode> {
    let ranks = ranks::transport().filter(|transport| transport.ranks() > 1);
    if let Some(transport) = ranks.as_ref().filter(|transport| transport.rank() > 0) {
        // Rank 0 has the file, and says everything.
        train_seeds_over(&**transport, config, (0..0, 0), interrupt::asked, |_| Ok(()))?;
        return Ok(if interrupt::asked() { interrupt::exit_code() } else { ExitCode::SUCCESS });
    }
    let count = seeds.end - seeds.start;
    let (mut file, mut found) = match &args.trials {
        Some(path) => {
            let (file, found) = SeedsFile::open(path, config)?;
            (Some(file), found)
        }
        None => (None, Vec::new()),
    };
    found.retain(|result| seeds.contains(&result.seed));
    let done: HashSet<u64> = found.iter().map(|result| result.seed).collect();
    let left = usize::try_from(count).unwrap_or(usize::MAX) - done.len();
    let mut progress = if args.quiet { Progress::none() } else { Progress::new(count, "seeds") };
    progress.begin_at(done.len() as u64);
    if let (Some(path), false, false) = (&args.trials, args.quiet, done.is_empty()) {
        let (done, all) = (thousands(done.len() as u64), thousands(count));
        line(format!("{done} of {all} seeds are in {} already", shown(path)));
    }
    let progress = Arc::new(progress);
    let results = Arc::new(Mutex::new(found));
    let mut keep = {
        let (progress, results) = (progress.clone(), results.clone());
        move |result: SeedResult<T::Score>| {
            progress.add(1);
            let kept = file.as_mut().map_or(Ok(()), |file| file.append(&result));
            results.lock().expect("nobody panics with it").push(result);
            kept
        }
    };
    let ended = match ranks {
        None => interrupt::unless_asked({
            let config = config.clone();
            move || {
                let keep = Mutex::new(keep);
                let seeds = seeds.into_par_iter().filter(|seed| !done.contains(seed));
                train_seeds(&config, seeds, |result| {
                    (keep.lock().expect("nobody panics with it"))(result)
                })
            }
        })?,
        Some(transport) => {
            let led = interrupt::while_saying_that_it_stops(|| {
                let seeds = seeds.filter(|seed| !done.contains(seed));
                let seeds = (seeds, left);
                train_seeds_over(&*transport, config, seeds, interrupt::asked, &mut keep)
            });
            if led.is_ok() && interrupt::asked() { None } else { Some(led) }
        }
    };
    progress.finish();
    let ended = match ended {
        // Bad sizes or numbers: no training was begun.
        Some(Err(error))
            if !matches!(error, train::Error::Seed { .. } | train::Error::Rank { .. }) =>
        {
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
            let go_on = if args.trials.is_some() { "; the same command goes on" } else { "" };
            warn(format!("stopped when {ended} of {all} seeds had ended{go_on}"));
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
        extend(&mut row, &score.describe());
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
