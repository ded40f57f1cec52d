//! Who computes: the strategy that is asked for, or what was measured to be the fastest.

use super::common::{Choice, Common};
use crate::Usage;
use crate::output::thousands;
use train::config::{RunConfig, Strategy, StrategyConfig};
use train::strategy::{best_push_every, fastest};
use train::task::Task;

/// Options of strategies with several workers, where there is one: refused, with the reason.
pub fn refuse_workers(args: &Common, reason: &str) -> Result<(), Usage> {
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
pub fn choose_strategy<T: Task>(
    args: &Common,
    config: &RunConfig<T>,
) -> anyhow::Result<StrategyConfig> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = args.threads.unwrap_or(cores);
    let model = config.network.config(&config.task)?;
    let name = match args.strategy {
        None if threads == 1 => Strategy::Serial,
        None => config.strategy.name,
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
pub fn workers<T: Task>(config: &RunConfig<T>) -> String {
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
