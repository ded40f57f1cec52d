//! Who computes: the strategy that is asked for, or what was measured to be the fastest.

use super::common::{Choice, Common};
use crate::output::thousands;
use crate::{Usage, ranks};
use train::config::{Compress, OuterRule, RanksConfig, RunConfig, Strategy, StrategyConfig};
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
    let ranks = config.ranks.count;
    if ranks > 1 {
        return choose_across(args, config);
    }
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

/// The strategy of several ranks: what was asked for, or what the task takes if ranks can; else
/// averaging.
fn choose_across<T: Task>(args: &Common, config: &RunConfig<T>) -> anyhow::Result<StrategyConfig> {
    let asked = match args.strategy {
        Some(Choice::Named(name)) => Some(name),
        Some(Choice::Auto) => Some(Strategy::Averaging),
        None => None,
    };
    let name = match (asked, config.strategy.name) {
        (Some(name), _) => name,
        (None, Strategy::Synchronous) => Strategy::Synchronous,
        (None, _) => Strategy::Averaging,
    };
    let threads = args.threads.unwrap_or(1).saturating_mul(config.ranks.count);
    let strategy = StrategyConfig { name, threads, push_every: 1 };
    match name {
        Strategy::Serial | Strategy::Hogwild => Err(Usage(format!(
            "--strategy {} needs one memory, and {} ranks have one each; give averaging (hogwild \
             within a rank of several --threads, averages between ranks) or synchronous",
            name.name(),
            config.ranks.count
        ))
        .into()),
        Strategy::Synchronous if args.push_every.is_some() => Err(Usage(
            "--push-every would be ignored: synchronous workers meet after each batch".to_owned(),
        )
        .into()),
        Strategy::Synchronous => Ok(strategy),
        Strategy::Averaging => {
            let model = config.network.config(&config.task)?;
            let best = best_push_every(&RunConfig { strategy, ..config.clone() }, model);
            Ok(StrategyConfig { push_every: args.push_every.unwrap_or(best), ..strategy })
        }
    }
}

/// The ranks that there are, and what they send; refused where it would be ignored.
pub fn choose_ranks(args: &Common) -> Result<RanksConfig, Usage> {
    let count = ranks::transport().map_or(1, |transport| transport.ranks());
    let ranks = RanksConfig { count, outer: args.outer.into(), compress: args.compress.into() };
    if count == 1 && ranks.compress != Compress::None {
        return Err(Usage(
            "--compress would be ignored: there is one rank, and nothing travels; start several by \
             `cargo xtask cluster`"
                .to_owned(),
        ));
    }
    Ok(ranks)
}

/// Only averages have an outer optimizer.
pub fn refuse_outer<T: Task>(config: &RunConfig<T>) -> Result<(), Usage> {
    let is_asked = config.ranks.outer != OuterRule::Sgd;
    if is_asked && config.strategy.name != Strategy::Averaging {
        let name = config.strategy.name.name();
        return Err(Usage(format!(
            "--outer would be ignored: the strategy {name} makes no averages; give --strategy \
             averaging"
        )));
    }
    Ok(())
}

/// The strategy in words.
pub fn workers<T: Task>(config: &RunConfig<T>) -> String {
    let StrategyConfig { name: strategy, threads, push_every } = config.strategy;
    let (name, many) = (strategy.name(), if threads == 1 { "" } else { "s" });
    let RanksConfig { count: ranks, outer, compress } = config.ranks;
    let name = match outer {
        OuterRule::Sgd => name.to_owned(),
        OuterRule::Nesterov => format!("{name} with nesterov"),
    };
    let many = match (ranks, compress) {
        (1, _) => many.to_owned(),
        (_, Compress::None) => format!("{many} on {ranks} ranks"),
        (_, Compress::Bf16) => format!("{many} on {ranks} ranks in bf16"),
    };
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
