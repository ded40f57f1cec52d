//! `cargo xtask train --certifiable`: a training on intervals, for a proof.

use super::{Args, verdict};
use crate::chart::{self, Curve};
use crate::output::{Progress, line, thousands};
use certify::ibp::{BATCH, Certifiable, LEARNING_RATE, STEPS, Training};
use serde_json::json;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;
use train::evaluate::evaluate;
use train::run::{Metrics, RunConfig, RunFolder};
use train::task::Addition;

/// Runs the training that `args` ask for.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
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
    let _lock = folder.lock()?;
    let mut metrics_file = folder.start_metrics()?;
    let mut metrics = Vec::new();
    let progress =
        if args.quiet { Progress::none() } else { Progress::new(asked.updates, "updates") };
    if !args.quiet {
        line(format!("{:>10}  {:>10}", "updates", "worst loss"));
    }
    let (mut seconds, mut done, mut loss) = (0.0, 0, 0.0);
    while done < asked.updates {
        let count = (asked.updates - done).min(500);
        let start = Instant::now();
        loss = training.train(count)?;
        seconds += start.elapsed().as_secs_f64();
        done += count;
        let examples = done * per_update;
        metrics.push(Metrics { examples, loss, error: loss, seconds });
        metrics_file.push(metrics.last().expect("just pushed"))?;
        if !args.quiet {
            progress.line(format!("{:>10}  {loss:>10.6}", thousands(done)));
        }
        progress.add(count);
    }
    progress.finish();

    let parameters = training.parameters();
    let score = evaluate(&Addition::new(8)?, parameters, args.seed);
    let title = format!("Training for a proof: {} hidden units, seed {}", args.hidden, args.seed);
    let curve = chart::loss_curves(&title, &[Curve { name: title.clone(), metrics }])?;
    folder.finish(&config, metrics_file, &curve, parameters)?;
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
