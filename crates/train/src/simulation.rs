//! Many workers simulated in one process, without a clock: how many examples N of them need to a
//! loss, and not how long they take.
//!
//! ```text
//! for each way (strategy, N, K): for each learning rate r, r·√N, r·N: for each seed
//!     train as N workers would; after every so many examples: the loss
//!     the examples trained on when it first is below the target
//! the median over the seeds, at the rate where that is least
//! ```
//!
//! The bits are those of a [`Trainer`] with N threads ([`Trainer::simulated`]): who computes a
//! share says nothing about what comes out. So 256 workers can be tried on one core.
//!
//! - `synchronous`: a worker computes the gradient of `config.run.batch` (b) examples, and one
//!   update follows on all N·b. K is b.
//! - `averaging`: a worker makes K examples in batches of b, then all replicas are averaged.
//!
//! The rates of a larger step: √N keeps the variance of an update (Krizhevsky, *One weird trick
//! for parallelizing convolutional neural networks*, 2014), N its mean (Goyal et al., *Accurate,
//! Large Minibatch SGD*, 2017). They are chosen on the seeds that are told, which flatters all ways
//! alike.

use crate::Error;
use crate::config::{Extent, RunConfig, Strategy, StrategyConfig};
use crate::statistics::median;
use crate::task::Task;
use crate::trainer::Trainer;
use model::Parameters;
use serde::Serialize;
use std::num::NonZero;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// How workers meet: what is simulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Way {
    /// `serial`, `synchronous` or `averaging`.
    pub strategy: Strategy,
    /// N
    pub workers: usize,
    /// K, the examples of a worker between two meetings.
    pub push_every: u64,
}

impl Way {
    /// One worker, and for each N of `workers`: synchronous training, and averaging at each K of
    /// `push_every`, rounded up to whole batches of b examples.
    pub fn all(workers: &[usize], push_every: &[u64], batch: usize) -> Vec<Self> {
        let b = batch as u64;
        let mut all = vec![Self { strategy: Strategy::Serial, workers: 1, push_every: b }];
        for &workers in workers.iter().filter(|&&workers| workers > 1) {
            all.push(Self { strategy: Strategy::Synchronous, workers, push_every: b });
            for &k in push_every {
                let way = Self {
                    strategy: Strategy::Averaging,
                    workers,
                    push_every: k.next_multiple_of(b),
                };
                if !all.contains(&way) {
                    all.push(way);
                }
            }
        }
        all
    }

    /// `config`, b examples a batch and worker, trained in this way.
    fn configure<T: Task>(self, config: &RunConfig<T>, rate: f32, seed: u64) -> RunConfig<T> {
        let Self { strategy: name, workers, push_every } = self;
        let batch = match name {
            Strategy::Synchronous => config.run.batch.saturating_mul(workers),
            _ => config.run.batch,
        };
        let mut config = RunConfig {
            strategy: StrategyConfig { name, threads: workers, push_every },
            run: Extent { batch, seed, ..config.run },
            ..config.clone()
        };
        config.optimizer.learning_rate = rate;
        config
    }

    /// The examples of all workers between two meetings.
    fn round(self) -> u64 {
        self.push_every.saturating_mul(self.workers as u64)
    }

    /// The learning rates that are tried, without those that are the same.
    fn rates(self, base: f32) -> Vec<f32> {
        let n = self.workers as f32;
        let mut rates = vec![base, base * n.sqrt(), base * n];
        rates.dedup();
        rates
    }
}

/// What a simulation is run for.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The loss to fall below.
    pub loss: f64,
    /// Examples between two measurements of it, rounded up to whole rounds of the workers.
    pub every: u64,
    /// Seeds 0 to this are trained, at least 1.
    pub seeds: u64,
}

/// What became of a way.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Simulated {
    /// Which.
    #[serde(flatten)]
    pub way: Way,
    /// The learning rate of the fewest examples; none if the loss was reached at no rate.
    pub learning_rate: Option<f32>,
    /// The examples of all workers to the loss, the median over the seeds; none if half of them
    /// did not reach it, in all examples of the configuration.
    pub examples: Option<f64>,
}

/// Trains `config` in each of `ways` until `loss` of the parameters is below the target, or the
/// examples of the configuration are used up. Its batch is b, of one worker; its learning rate
/// that of one worker, too. `trained` is called after each training. What comes out is in the order
/// of `ways`, the same for any number of cores.
///
/// A way that the task has too little data for, that does not fit in memory, or with batches
/// above [`crate::config::MOST_BATCH`], reaches nothing.
///
/// # Errors
/// If `config` makes no sense.
///
/// # Panics
/// If there are no seeds.
pub fn simulate<T: Task>(
    config: &RunConfig<T>,
    ways: &[Way],
    target: Target,
    loss: impl Fn(&Parameters) -> f64 + Sync,
    trained: impl Fn() + Sync,
) -> Result<Vec<Simulated>, Error> {
    let base = config.optimizer.learning_rate;
    let of_way = |(n, way): (usize, &Way)| {
        let way = *way;
        let of_rate = move |rate| (0..target.seeds).map(move |seed| (n, way, rate, seed));
        way.rates(base).into_iter().flat_map(of_rate)
    };
    let jobs: Vec<_> = ways.iter().enumerate().flat_map(of_way).collect();
    let outcomes = Mutex::new(vec![None; jobs.len()]);
    let failed = Mutex::new(None);
    // Each core takes the next training that nobody has.
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some((at, &(_, way, rate, seed))) = {
            let at = next.fetch_add(1, Ordering::Relaxed);
            jobs.get(at).map(|job| (at, job))
        } {
            match examples_to(&way.configure(config, rate, seed), way.round(), target, &loss) {
                Ok(examples) => outcomes.lock().expect("nobody panics with it")[at] = examples,
                Err(error) => {
                    next.store(jobs.len(), Ordering::Relaxed);
                    failed.lock().expect("nobody panics with it").get_or_insert(error);
                }
            }
            trained();
        }
    };
    thread::scope(|scope| {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        (0..cores.min(jobs.len())).for_each(|_| drop(scope.spawn(work)));
    });
    if let Some(error) = failed.into_inner().expect("nobody panics with it") {
        return Err(error);
    }
    let outcomes = outcomes.into_inner().expect("nobody panics with it");
    let summed = |(n, &way): (usize, &Way)| {
        let at_rate = |&rate: &f32| {
            let of_rate = jobs.iter().zip(&outcomes);
            let of_rate = of_rate.filter(|((of, _, r, _), _)| *of == n && *r == rate);
            let examples =
                of_rate.map(|(_, &examples)| examples.map_or(f64::INFINITY, |e| e as f64));
            (rate, median(&examples.collect::<Vec<_>>()))
        };
        let rates = way.rates(base);
        let best = rates.iter().map(at_rate).min_by(|a, b| a.1.total_cmp(&b.1));
        let best = best.filter(|(_, examples)| examples.is_finite());
        let (rates, examples) = best.unzip();
        Simulated { way, learning_rate: rates, examples }
    };
    Ok(ways.iter().enumerate().map(summed).collect())
}

/// The examples of a training to the target, in steps of whole rounds.
fn examples_to<T: Task>(
    config: &RunConfig<T>,
    round: u64,
    target: Target,
    loss: impl Fn(&Parameters) -> f64,
) -> Result<Option<u64>, Error> {
    let mut trainer = match Trainer::simulated(config) {
        Ok(trainer) => trainer,
        Err(Error::Task(_) | Error::Batch(_) | Error::Memory { .. })
            if config.strategy.threads > 1 =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let step = target.every.max(1).checked_next_multiple_of(round).unwrap_or(u64::MAX);
    let mut done = 0;
    while config.run.examples - done >= step {
        trainer.train(step);
        done += step;
        let now = loss(trainer.parameters());
        if now < target.loss {
            return Ok(Some(done));
        }
        if !now.is_finite() {
            break;
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::TestTask;
    use crate::time_to_target::HeldOut;

    fn target(loss: f64) -> Target {
        Target { loss, every: 100, seeds: 3 }
    }

    #[test]
    fn a_simulated_worker_makes_the_bits_that_a_thread_of_its_own_makes() {
        for (name, batch) in [(Strategy::Synchronous, 12), (Strategy::Averaging, 2)] {
            for threads in [1, 2, 3, 5, 8] {
                let mut config = TestTask::lab();
                config.run.batch = batch;
                config.strategy = StrategyConfig { name, threads, push_every: 6 };
                let mut real = Trainer::new(&config).unwrap();
                let mut simulated = Trainer::simulated(&config).unwrap();
                for examples in [240, 101] {
                    real.train(examples);
                    simulated.train(examples);
                    let (real, simulated) = (real.parameters(), simulated.parameters());
                    assert_eq!(real.arena(), simulated.arena(), "{name:?} {threads}");
                }
            }
        }
    }

    #[test]
    fn ways_are_one_worker_and_each_n_with_each_k_in_whole_batches() {
        let ways = Way::all(&[1, 2, 4], &[1, 8, 9], 4);
        let named = |strategy| ways.iter().filter(move |way| way.strategy == strategy);
        assert_eq!((ways.len(), named(Strategy::Serial).count()), (9, 1));
        assert!(named(Strategy::Synchronous).all(|way| way.push_every == 4));
        let every: Vec<u64> = named(Strategy::Averaging).map(|way| way.push_every).collect();
        assert_eq!(every, [4, 8, 12, 4, 8, 12]);
        // 1 and 4 are the same K at a batch of 4.
        assert_eq!(Way::all(&[2], &[1, 4], 4).len(), 3);
    }

    #[test]
    fn examples_to_a_loss_are_those_of_a_plain_training_and_the_same_again() {
        let mut config = TestTask::lab();
        config.run.examples = 20_000;
        let held_out = HeldOut::new(TestTask::new(8).unwrap(), 100);
        let loss = |parameters: &Parameters| held_out.loss(parameters);
        let ways = Way::all(&[2, 8], &[16], 1);
        let once = simulate(&config, &ways, target(0.5), loss, || ()).unwrap();
        assert_eq!(once, simulate(&config, &ways, target(0.5), loss, || ()).unwrap());
        assert_eq!(once.iter().map(|one| one.way).collect::<Vec<_>>(), ways);
        assert!(once.iter().all(|one| one.examples.is_some()), "{once:?}");
        let plain = |seed| {
            let run = Extent { seed, ..config.run };
            let config = RunConfig { run, ..config.clone() };
            let mut trainer = Trainer::new(&config).unwrap();
            let mut counts = (1_u32..).map(|n| n * 100);
            let reaches = |_: &u32| {
                trainer.train(100);
                loss(trainer.parameters()) < 0.5
            };
            f64::from(counts.find(reaches).unwrap())
        };
        assert_eq!(once[0].examples, Some(median(&[0, 1, 2].map(plain))));
    }

    #[test]
    fn what_is_out_of_reach_is_not_reached_and_each_training_is_told_once() {
        let mut config = TestTask::lab();
        config.run.examples = 500;
        let count = AtomicUsize::new(0);
        let ways = Way::all(&[4], &[8], 1);
        let told = || {
            count.fetch_add(1, Ordering::Relaxed);
        };
        let all = simulate(&config, &ways, target(0.0), |_| 1.0, told).unwrap();
        assert!(all.iter().all(|one| one.examples.is_none() && one.learning_rate.is_none()));
        // One worker has one rate, others three.
        assert_eq!(count.into_inner(), 3 + 9 + 9);
        // A batch for all that is too large is not an error; one of nothing is.
        config.run.batch = crate::config::MOST_BATCH;
        let ways = Way::all(&[2], &[], config.run.batch);
        assert_eq!(simulate(&config, &ways, target(0.0), |_| 1.0, || ()).unwrap().len(), 2);
        config.run.batch = 0;
        let serial = [Way { strategy: Strategy::Serial, workers: 1, push_every: 1 }];
        assert!(simulate(&config, &serial, target(0.0), |_| 1.0, || ()).is_err());
    }
}
