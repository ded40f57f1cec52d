//! One training in a run folder: shown as it goes, and its outcome.

use super::common::{Choice, Common};
use super::ending::Ending;
use super::json::{described, extend, of_error};
use super::optimizer;
use super::prove::{Attempt, prove};
use super::workers::workers;
use crate::chart::{self, Curve};
use crate::interrupt;
use crate::output::{Progress, line, thousands, warn};
use crate::paths::{quoted, shown};
use model::Memory;
use serde_json::json;
use std::path::Path;
use std::process::ExitCode;
use train::atomic_file::write_whole;
use train::config::StrategyConfig;
use train::job::{Advance, Job};
use train::metrics::Metrics;
use train::task::{Score, Task};

/// Lines of losses that are shown at most.
const MOST_ROWS: u64 = 20;

/// Runs `job` to its end, or to where it is stopped. `named` is its folder, where it was named.
pub fn one<T: Task>(
    args: &Common,
    mut job: Job<T>,
    ending: &Ending<T>,
    named: Option<&Path>,
) -> anyhow::Result<ExitCode> {
    let config = job.config().clone();
    let say = |text: String| {
        if !args.quiet {
            line(text);
        }
    };
    (ending.about)(&config.task).into_iter().for_each(say);
    let counted = |examples: u64| examples.saturating_mul((ending.per_example)(&config.task));
    let mut progress = if args.quiet {
        Progress::none()
    } else {
        Progress::new(counted(config.run.examples), ending.unit)
    };
    if job.examples() > 0 {
        let (done, all) = (thousands(job.examples()), thousands(config.run.examples));
        say(format!("Going on after {done} of {all} examples"));
        progress.begin_at(counted(job.examples()));
        if let (Some(error), false) = (job.lost_snapshots(), args.quiet) {
            let why = anyhow::Error::from(error);
            warn(format!(
                "warning: {why:#}; the snapshots of before are lost, those from now on are kept"
            ));
        }
    }
    if let (Some((before, now)), false) = (job.dealt_anew(), args.quiet) {
        warn(format!(
            "note: it goes on with {now} rank{} after {before}: as good, but not in the same bits",
            if now == 1 { "" } else { "s" }
        ));
    }
    if matches!(args.strategy, Some(Choice::Auto)) {
        say(format!("Fastest for these sizes, as measured: {}", workers(&config)));
    }
    let is_validated = config.task.validate_every().is_some();
    say(if is_validated {
        let rate = format!("{}/s", ending.unit);
        format!("{:>10}  {:<22}  {:<22}  {rate:>12}", "update", "training loss", "validation loss")
    } else {
        format!("{:>10}  {}", "example", config.task.header())
    });
    // Where a task has no rows of its own, mean losses are shown.
    let (mut shows_losses, mut next_row) = (false, 0);
    let mut validations = 0;
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
            Advance::First if !args.quiet && !is_validated => {
                let (batch, y) = job.trainer().last_batch();
                match config.task.show(batch, y) {
                    Some(row) => progress.line(format!("{:>10}  {row}", thousands(done))),
                    None => shows_losses = true,
                }
            }
            Advance::Interval(metrics) => {
                progress.say(format!("loss {:.4}", metrics.loss));
                let is_row = metrics.examples >= next_row || job.is_done();
                if let (Some(valid), true) = (metrics.valid, is_row && !args.quiet) {
                    progress.line(validated(&job, valid, ending));
                    next_row = metrics.examples + config.run.examples / MOST_VALIDATED;
                    validations += 1;
                    if validations % ILLUSTRATED == 0
                        && let Some(text) = config.task.illustrate(job.trainer().parameters())
                    {
                        progress.line(format!("{:>10}  {text}", ""));
                    }
                }
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
        progress.set(counted(job.examples()));
    }
    progress.finish();

    let title = format!(
        "Loss while learning to {}: {} hidden units, seed {}",
        config.task.aim(),
        config.network.hidden,
        config.run.seed
    );
    let metrics = job.metrics().to_vec();
    let loss = metrics.last().map_or(f64::NAN, |metrics| metrics.loss);
    let curve = chart::loss_curves(
        &title,
        chart::unit_of_loss(T::NAME),
        &[Curve { name: "training".to_owned(), metrics }],
    )?;
    let (seconds, examples) = (job.seconds(), job.examples());
    let parameters = job.parameters();
    // The files first, for nothing may come between; the outcome, whatever became of them.
    let kept = job.finish(&curve).map_err(anyhow::Error::from);
    let kept = kept.and_then(|()| {
        for (name, content) in (ending.pictures)(&config.task, &parameters)? {
            write_whole(&job.folder().path().join(name), content.as_bytes())?;
        }
        Ok(())
    });
    let score = config.task.evaluate(&parameters, config.run.seed);

    let ns_per_example = seconds * 1e9 / examples as f64;
    let path = job.folder().path();
    say(String::new());
    say(score.to_string());
    if let (Some(best), true) = (job.validation().best(), examples < config.run.examples) {
        let (patience, best) = (config.run.patience.unwrap_or(0), thousands(best.examples));
        say(format!(
            "It ended early: {patience} validations were no better than the one after {best} \
             examples"
        ));
    }
    if is_validated {
        let rate = counted(examples) as f64 / seconds;
        say(format!(
            "{} {} in {seconds:.1} s by {}{}, {} a second",
            thousands(counted(examples)),
            ending.unit,
            workers(&config),
            optimizer::words(&config.optimizer),
            thousands(rate as u64)
        ));
    } else {
        say(format!(
            "{} examples in {:.1} ms by {}{}, {ns_per_example:.0} ns an example",
            thousands(examples),
            seconds * 1e3,
            workers(&config),
            optimizer::words(&config.optimizer)
        ));
    }
    match &kept {
        Ok(()) => {
            say(format!("The run is in {}", shown(path)));
            if ending.attempts.is_none() {
                say((ending.next)(named.map(quoted).as_deref()));
            }
            let network = &config.network;
            let run = named.map_or(String::new(), |path| format!(" {}", quoted(path)));
            let has_page = network.memory == Memory::State && !network.bidirectional;
            if ending.has_page && has_page {
                say(format!("See it: cargo xtask page{run} --open"));
            }
        }
        Err(_) if job.folder().has_checkpoint() => say(format!(
            "Its files could not be written; cargo xtask train --resume {} tries again",
            quoted(path)
        )),
        Err(_) => say("Its files could not be written".to_owned()),
    }
    let attempt = match &kept {
        Ok(()) if ending.attempts.is_some() => Some(prove(job.folder(), args.quiet)?),
        _ => None,
    };
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
                "ranks": config.ranks.count,
                "optimizer": config.optimizer.rule.name(),
                "seconds": seconds,
                "ns_per_example": ns_per_example,
                "loss": loss,
                "run": path.display().to_string(),
            }),
        );
        if let Some(best) = job.validation().best() {
            let batch = config.run.batch as u64;
            let numbers = json!({
                "updates": examples.div_ceil(batch),
                "best_updates": best.examples.div_ceil(batch),
                "train_loss": training_loss(job.metrics(), best.examples),
            });
            extend(&mut object, &numbers);
        }
        extend(&mut object, &score.describe());
        extend(&mut object, &(ending.numbers)(&config.task, examples as f64 / seconds));
        if let Err(error) = &kept {
            extend(&mut object, &json!({ "error": format!("{error:#}") }));
        }
        if let Some(attempt) = &attempt {
            object["proof"] = attempt.fields.clone();
        }
        line(object.to_string());
    }
    kept?;
    let Some(Attempt { code, kept, .. }) = attempt else { return Ok(ExitCode::SUCCESS) };
    kept?;
    Ok(code)
}

/// Lines of validations that are shown at most.
const MOST_VALIDATED: u64 = 25;

/// A sample of what the network makes is shown behind every so manieth of them.
const ILLUSTRATED: u64 = 5;

/// The line of a validation that has just been made.
fn validated<T: Task>(job: &Job<T>, valid: f64, ending: &Ending<T>) -> String {
    let task = &job.config().task;
    let (examples, batch) = (job.examples(), job.config().run.batch as u64);
    let train = training_loss(job.metrics(), examples);
    let rate = examples as f64 * (ending.per_example)(task) as f64 / job.seconds();
    format!(
        "{:>10}  {:<22}  {:<22}  {:>12}",
        thousands(examples.div_ceil(batch)),
        task.in_words(train),
        task.in_words(valid),
        thousands(rate as u64)
    )
}

/// The mean loss of the intervals between a validation after `examples` examples and the one
/// before.
fn training_loss(metrics: &[Metrics], examples: u64) -> f64 {
    let until = metrics.partition_point(|metrics| metrics.examples <= examples);
    let Some((last, before)) = metrics[..until].split_last() else { return f64::NAN };
    let others = before.iter().rev().take_while(|metrics| metrics.valid.is_none());
    let losses: Vec<f64> = others.chain([last]).map(|metrics| metrics.loss).collect();
    losses.iter().sum::<f64>() / losses.len() as f64
}

/// Says how far a training came that `error` ends.
fn failed<T: Task>(args: &Common, job: &Job<T>, error: &train::Error) {
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
