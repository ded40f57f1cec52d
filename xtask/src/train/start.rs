//! From options to a training: the configuration, checked before a folder is made.

use super::common::Common;
use super::ending::Ending;
use super::many::many;
use super::one::one;
use super::workers::{choose_ranks, choose_strategy, refuse_outer, refuse_workers};
use crate::output::line;
use crate::{Usage, ranks, runs};
use anyhow::Context;
use model::{Config, Parameters, weights};
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use train::config::{Extent, FirstWeights, RunConfig};
use train::job::Job;
use train::memory;
use train::run_folder::RunFolder;
use train::task::Task;
use train::trainer::Trainer;

/// A training of its own, or one for each of many seeds: `defaults`, but for what `args` ask.
pub fn start<T: Task + 'static>(
    args: &Common,
    defaults: RunConfig<T>,
    ending: Ending<T>,
) -> anyhow::Result<ExitCode> {
    let run = Extent {
        examples: args.examples.unwrap_or(defaults.run.examples),
        batch: args.batch.unwrap_or(defaults.run.batch),
        seed: args.seed,
        patience: args.patience.or(defaults.run.patience),
    };
    if args.patience.is_some() && defaults.task.validate_every().is_none() {
        let reason = "--patience would be ignored: the examples of this task never come twice, so \
                      there is no validation";
        return Err(Usage(reason.to_owned()).into());
    }
    let optimizer = args.optimizer.choose(run, &defaults.optimizer)?;
    if args.dropout > 0.0 && args.layers == 1 {
        let reason = "--dropout would be ignored: it is between layers; give at least --layers 2";
        return Err(Usage(reason.to_owned()).into());
    }
    let network = args.network(defaults.network);
    let mut config = RunConfig { network, optimizer, run, ..defaults };
    config.ranks = choose_ranks(args)?;
    if let Some(seeds) = &args.seeds {
        refuse_workers(args, "one worker trains each seed")?;
        config.strategy = train::config::StrategyConfig::SERIAL;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let side_by_side = cores.min((seeds.end - seeds.start) as usize);
        memory::check(memory::serial_bytes(&config, side_by_side)?)?;
        return many(args, &config, seeds.clone());
    }
    config.strategy = choose_strategy(args, &config)?;
    refuse_outer(&config)?;
    let options = args.options(affordable(ending.snapshots, &config)?);
    memory::check(memory::job_bytes(&config, options.snapshots)?)?;
    let first = match &args.init {
        Some(path) => {
            config.network.start = FirstWeights::Given;
            Some(weights_in(path, config.network.config(&config.task)?)?)
        }
        None => None,
    };
    let transport = ranks::transport();
    Trainer::across(transport.clone(), &config)?; // before the folder: bad sizes make none
    if ending.attempts.is_some() && config.ranks.count > 1 {
        let reason = "--until-proved is of one process: the other ranks would wait for the search";
        return Err(Usage(reason.to_owned()).into());
    }
    let folder = match &args.out {
        Some(path) => RunFolder::create(path, args.force)?,
        None => RunFolder::create_next(&runs::folder(!args.quiet))?,
    };
    let attempts = ending.attempts.unwrap_or(1);
    let mut attempt = 1;
    loop {
        if ending.attempts.is_some() && !args.quiet {
            line(format!("Attempt {attempt} of {attempts}, seed {}", config.run.seed));
        }
        let (config_now, folder) = (config.clone(), folder.clone());
        let job =
            Job::start_across(transport.clone(), config_now, first.as_ref(), folder, options)?;
        let code = one(args, job, &ending, args.out.as_deref())?;
        if code != ExitCode::FAILURE || attempt == attempts {
            return Ok(code);
        }
        config.run.seed = config.run.seed.wrapping_add(1);
        attempt += 1;
    }
}

/// `snapshots`, or none where so many take more than a few megabytes.
fn affordable<T: Task>(snapshots: u32, config: &RunConfig<T>) -> anyhow::Result<u32> {
    const MOST_BYTES: usize = 4 << 20;
    let network = config.network.config(&config.task)?;
    let bytes = network.arena_len().saturating_mul(size_of::<f32>() * snapshots as usize);
    Ok(if bytes <= MOST_BYTES { snapshots } else { 0 })
}

/// The weights of a run, or of a file of its own, which must be those of a network of `config`.
fn weights_in(path: &Path, config: Config) -> anyhow::Result<Parameters> {
    let bytes = if path.is_dir() {
        RunFolder::open(path)?.model_bytes()?
    } else {
        fs::read(path).with_context(|| format!("cannot read {}", path.display()))?
    };
    weights::from_bytes(config, &bytes)
        .with_context(|| format!("the weights in {} cannot be used", path.display()))
}

/// Goes on with the training in `folder`.
pub fn resume<T: Task>(
    args: &Common,
    folder: RunFolder,
    ending: Ending<T>,
) -> anyhow::Result<ExitCode> {
    let path = folder.path().to_owned();
    let job = Job::resume_across(ranks::transport(), folder, args.options(0))?;
    one(args, job, &ending, Some(&path))
}
