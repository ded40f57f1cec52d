//! Trains and examines the networks of a study.

use crate::error::Error;
use crate::ibp::{Ibp, MachineIbp};
use crate::prove::certify;
use crate::study::studied::Studied;
use crate::study::trial::{Ending, Kind, Recipe, Trial};
use model::{Nonlinearity, Parameters, weights};
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;
use train::config::{Extent, NetworkConfig, RunConfig, Strategy, StrategyConfig};
use train::dealer::{follow, lead};
use train::task::machine::LENGTH;
use train::task::{Addition, Task, Words};
use train::trainer::Trainer;
use train::transport::Transport;
use verify::Cell;

/// H of the study.
pub const SIZES: [usize; 5] = [2, 3, 4, 8, 16];

/// The kinds of the study: every H of [`SIZES`], with biases or without, by both recipes,
/// serial or Hogwild!.
pub fn kinds() -> Vec<Kind> {
    let both = [false, true];
    let mut kinds = Vec::new();
    for hidden in SIZES {
        for bias in both {
            for recipe in [Recipe::Plain, Recipe::Certifiable] {
                let of = |hogwild| Kind { hidden, bias, recipe, hogwild, ..Kind::LAB };
                kinds.extend(both.map(of));
            }
        }
    }
    kinds
}

/// The kinds of a study of `machines`: by machine, cell, H and recipe, all with biases and serial.
pub fn kinds_of(
    machines: &[Studied],
    cells: &[Cell],
    sizes: &[usize],
    recipes: &[Recipe],
) -> Vec<Kind> {
    let mut kinds = Vec::new();
    for &machine in machines {
        for &cell in cells {
            for &hidden in sizes {
                let machine = Some(machine);
                let of = |&recipe| Kind { hidden, bias: true, recipe, machine, cell, ..Kind::LAB };
                kinds.extend(recipes.iter().map(of));
            }
        }
    }
    kinds
}

/// Trains a network of `kind` from `seed`.
///
/// # Errors
/// If the kind makes no sense, or the training diverges.
pub fn train(kind: Kind, seed: u64) -> Result<Parameters, Error> {
    let Kind { hidden, bias, recipe, hogwild, cell, .. } = kind;
    let strategy = StrategyConfig {
        name: if hogwild { Strategy::Hogwild } else { Strategy::Serial },
        threads: kind.workers(),
        push_every: 1,
    };
    if let Some(machine) = kind.machine {
        let cell = match cell {
            Cell::Sigmoid => model::Cell::Elman(Nonlinearity::Sigmoid),
            Cell::Tanh => model::Cell::Elman(Nonlinearity::Tanh),
            Cell::Relu => model::Cell::Elman(Nonlinearity::Relu),
            Cell::Gru => model::Cell::Gru,
            Cell::Lstm => model::Cell::Lstm,
        };
        let words = |length| Words::new(machine.task(seed), length).map_err(Error::Train);
        return match recipe {
            Recipe::Plain => {
                let training = words(LENGTH)?.training();
                let network = NetworkConfig { bias, ..NetworkConfig::new(cell, hidden) };
                let run = Extent { seed, ..training.run };
                trained(&RunConfig { network, strategy, run, ..training })
            }
            Recipe::Certifiable => {
                let words = words(MachineIbp::steps(cell))?;
                let training = MachineIbp::training(words, cell, hidden, seed);
                let network = NetworkConfig { bias, ..training.network };
                trained(&RunConfig { network, strategy, ..training })
            }
        };
    }
    match recipe {
        Recipe::Plain => {
            let lab = Addition::lab();
            let network = NetworkConfig { bias, ..NetworkConfig::lab(hidden) };
            let run = Extent { seed, ..lab.run };
            trained(&RunConfig { network, strategy, run, ..lab })
        }
        Recipe::Certifiable => {
            trained(&RunConfig { strategy, ..Ibp::training(hidden, bias, seed) })
        }
    }
}

fn trained<T: Task>(config: &RunConfig<T>) -> Result<Parameters, Error> {
    let mut trainer = Trainer::new(config)?;
    let examples = config.run.examples;
    let totals = trainer.train(examples);
    if !trainer.is_finite() {
        return Err(Error::Train(train::Error::Diverged {
            examples,
            loss: totals.loss / examples as f64,
            norm: trainer.gradient_norm(),
            learning_rate: config.optimizer.learning_rate,
            weight_decay: 0.0, // no recipe has one
            checkpoint: None,
        }));
    }
    Ok(trainer.parameters().clone())
}

/// Trains and examines a network of each kind and seed of `jobs`, one a core, taken in their
/// order. `budget` is that of [`certify`]. `ended` gets each trial as it ends, in any order,
/// from any thread. After an error no job is begun, nor once `is_stopped` says so, and those that
/// were are ended.
///
/// # Errors
/// As [`train()`], and those of `ended`.
pub fn study(
    jobs: &[(Kind, u64)],
    budget: u64,
    is_stopped: impl Fn() -> bool + Sync,
    ended: impl Fn(Trial) -> Result<(), Error> + Sync,
) -> Result<(), Error> {
    let next = AtomicUsize::new(0);
    // Threads of their own: one of rayon's that waits for the pool of a Hogwild! training
    // would begin another job meanwhile, and its seconds would count for both.
    let work = || {
        while !is_stopped()
            && let Some(&(kind, seed)) = jobs.get(next.fetch_add(1, Ordering::Relaxed))
        {
            trial(kind, seed, budget).and_then(&ended).inspect_err(|_| {
                next.store(jobs.len(), Ordering::Relaxed);
            })?;
        }
        Ok(())
    };
    let cores = thread::available_parallelism().map_or(1, NonZero::get).min(jobs.len());
    thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        let results = workers.into_iter().map(|worker| match worker.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        results.fold(Ok(()), Result::and)
    })
}

/// [`study`] dealt out over ranks, as rank 0: see [`train::dealer`]. The others [`follow_study`].
///
/// # Errors
/// As [`study`], also of the other ranks.
pub fn lead_study(
    transport: &dyn Transport,
    jobs: &[(Kind, u64)],
    budget: u64,
    is_stopped: impl Fn() -> bool + Sync,
    ended: impl Fn(Trial) -> Result<(), Error> + Sync,
) -> Result<(), Error> {
    let text = |job| serde_json::to_string(job).expect("numbers and names");
    let all = (jobs.iter().map(text), jobs.len());
    lead(transport, all, is_stopped, as_text(budget), |_, trial: String| {
        ended(serde_json::from_str(&trial).expect("a trial as text"))
    })
}

/// As another rank than 0: trains and examines what rank 0 gives out.
pub fn follow_study(transport: &dyn Transport, budget: u64, is_stopped: impl Fn() -> bool + Sync) {
    follow(transport, is_stopped, as_text(budget));
}

/// Kinds and trials travel as they stand in their file.
fn as_text(budget: u64) -> impl Fn(&String) -> Result<Option<String>, Error> + Sync {
    move |job| {
        let (kind, seed) = serde_json::from_str(job).expect("a kind and a seed as text");
        let trial = trial(kind, seed, budget)?;
        Ok(Some(serde_json::to_string(&trial).expect("numbers and names")))
    }
}

fn trial(kind: Kind, seed: u64, budget: u64) -> Result<Trial, Error> {
    let machine = kind.machine(seed);
    let start = Instant::now();
    let parameters = train(kind, seed)?;
    let training_seconds = start.elapsed().as_secs_f64();
    let outcome = certify(&parameters, &machine, &weights::to_bytes(&parameters), budget);
    let proof_seconds = start.elapsed().as_secs_f64() - training_seconds;
    let ending = Ending::new(&outcome, &machine);
    Ok(Trial { kind, seed, budget, ending, training_seconds, proof_seconds })
}
