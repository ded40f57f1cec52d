//! Hogwild!: the workers share the parameters and never wait for each other.
//!
//! ```text
//! each worker, until all examples are claimed:
//!     claim the next K examples, or some times as many
//!     for each batch of B:
//!         on its own replica: draw; forward, loss, BPTT, step
//!         where a batch is long, in the middle of that: exchange W_out
//!         four times in K: push a part of the change, and take over what others pushed
//!                                                              (see `shared`)
//! ```
//!
//! 1. Examples are claimed from one counter, not dealt out: a worker that is late or slow
//!    claims fewer, and nobody waits for it at the end, when claims get small.
//! 2. The caller's thread is the first worker, so that the first example does not wait for a
//!    thread to wake up, and a call for no more than K examples wakes none.
//! 3. Optimizer state belongs to a worker. Only changes of parameters are shared.
//! 4. Early synchronisation of the output layer. All units are positive, so the common mode of the output's weights is a
//!    stiff direction, and two workers that step along it at the same time go twice as far: the
//!    rate had to fall, and two workers needed 1.3 times the examples. So a worker takes `W_out`
//!    when its states are there, and gives its step back at once, before the way back through
//!    time: a few hundredths of an example, in which the other one seldom does the same. It costs
//!    two ways of a few lines a batch, and needs an optimizer whose step has parts
//!    ([`crate::optimizer::OptimizerConfig::has_parts`]).
//! 5. Pushes are not made in step with others: see [`Distances`].
//!
//! Which examples a worker sees is its generator's affair; how many, and what the others
//! pushed meanwhile, is the scheduler's. So no two trainings are alike, unless there is one
//! worker: then nobody else writes, and it is the serial strategy bit for bit.

use crate::metrics::Totals;
use crate::shared::{Replica, Shared};
use crate::task::Task;
use crate::worker::Worker;
use model::Parameters;
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use rayon::ThreadPool;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What the workers share, and what each has of it.
#[derive(Debug)]
pub(crate) struct Hogwild {
    shared: Shared,
    replicas: Vec<Padded>,
    /// K, whole batches.
    push_every: u64,
    /// Is `W_out` exchanged in the middle of each batch?
    has_early_sync: bool,
}

/// The parts in which a push is made.
const PARTS: u64 = 4;

/// The most examples that are claimed at once, if K is not more.
const CLAIM: u64 = 64;

/// On cache lines of its own: a worker writes to it at each push.
#[derive(Debug)]
#[repr(align(128))]
struct Padded(Replica);

/// The batches between two parts of a push: K / (B·parts) in the mean, and uneven. Workers that
/// are as fast as each other may else fall into step, and push the same lines at the same time
/// again and again, which would lose updates.
#[derive(Debug)]
struct Distances {
    batches: u64,
    parts: u64,
    /// Parts so far, and the batch in which the last one was due, counted from the first.
    count: u64,
    last: u64,
    generator: Xoshiro256PlusPlus,
}

impl Distances {
    /// Of worker `number`, for K of so many `batches`; `parts` are no more than these.
    fn new(number: usize, batches: u64, parts: u64) -> Self {
        let generator = Xoshiro256PlusPlus::seed_from_u64(number as u64);
        Self { batches, parts, count: 0, last: 0, generator }
    }

    /// At least 1.
    #[inline]
    fn next(&mut self) -> u64 {
        self.count += 1;
        // Where part `count` of an even push lies, and up to half of its distance later.
        let even = u128::from(self.count) * u128::from(self.batches) / u128::from(self.parts);
        let late = self.generator.next_u64() % (self.batches / self.parts / 2 + 1);
        let due = even as u64 + late;
        due - std::mem::replace(&mut self.last, due)
    }
}

impl Hogwild {
    pub fn new(
        parameters: &Parameters,
        workers: usize,
        push_every: u64,
        has_early_sync: bool,
    ) -> Self {
        let replica = |n| Padded(Replica::new(parameters.clone(), n, workers));
        Self {
            shared: Shared::new(parameters.arena()),
            replicas: (0..workers).map(replica).collect(),
            push_every,
            has_early_sync,
        }
    }

    /// The workers go on from `parameters`, which others have changed.
    pub fn put(&mut self, parameters: &Parameters) {
        self.shared = Shared::new(parameters.arena());
    }

    /// `examples` examples by all workers together; leaves in `parameters` what came of it.
    pub fn train<T: Task>(
        &mut self,
        pool: &ThreadPool,
        workers: &mut [Worker<T>],
        parameters: &mut Parameters,
        batch: usize,
        examples: u64,
        mut watch: impl FnMut(u64, &Parameters),
    ) -> Totals {
        let shared = &self.shared;
        let push_every = self.push_every.min(examples.saturating_add(batch as u64));
        let batches = push_every.div_ceil(batch as u64);
        let parts = batches.min(PARTS);
        let many = 4 * workers.len() as u64;
        // The counter gives out numbers and orders nothing: relaxed.
        let claimed = AtomicU64::new(0);
        let run = |number: usize,
                   worker: &mut Worker<T>,
                   replica: &mut Replica,
                   watch: &mut dyn FnMut(u64, &Parameters)| {
            let mut totals = Totals::default();
            let mut distances = Distances::new(number, batches, parts);
            let (mut until_push, mut pushes) = (distances.next(), 0);
            replica.push_all(shared);
            let mut claim = push_every;
            loop {
                let first = claimed.fetch_add(claim, Relaxed);
                if first >= examples {
                    break;
                }
                let last = examples.min(first.saturating_add(claim));
                // As long as much is left, more at a time: the counter's line is wanted, too.
                claim = ((examples - last) / many).min(CLAIM) / push_every * push_every;
                claim = claim.max(push_every);
                let mut at = first;
                while at < last {
                    let count = (last - at).min(batch as u64);
                    worker.draw(count as usize);
                    replica.use_inputs(worker.share.batch.inputs.view(), shared);
                    at += count;
                    until_push -= 1;
                    if until_push == 0 {
                        replica.prepare_push(parts as usize, shared);
                    }
                    totals += if self.has_early_sync {
                        worker.update_with_early_sync(replica, shared)
                    } else {
                        worker.update(&mut replica.parameters)
                    };
                    if until_push == 0 {
                        replica.push(parts as usize, shared);
                        until_push = distances.next();
                        pushes += 1;
                    }
                    if pushes == parts || at == last {
                        pushes = 0;
                        let begun = claimed.load(Relaxed).min(examples);
                        watch(begun - (last - at), &replica.parameters);
                    }
                }
            }
            replica.push_all(shared);
            totals
        };

        let needed = examples.div_ceil(push_every).min(workers.len() as u64) as usize;
        let mut totals = vec![Totals::default(); workers.len()];
        let everything = workers.iter_mut().zip(&mut self.replicas).zip(&mut totals).enumerate();
        let mut everything = everything.take(needed);
        let run = &run;
        if let Some((_, ((worker, replica), first_totals))) = everything.next() {
            pool.in_place_scope(|scope| {
                for (number, ((worker, replica), totals)) in everything {
                    scope.spawn(move |_| {
                        *totals = run(number, worker, &mut replica.0, &mut |_, _| ());
                    });
                }
                *first_totals = run(0, worker, &mut replica.0, &mut watch);
            });
        }
        // The scope has joined the workers: all that they stored happened before.
        shared.read(parameters.arena_mut());
        totals.into_iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_uneven_and_k_in_the_mean() {
        for (batches, parts) in [(1, 1), (2, 2), (3, 3), (4, 4), (7, 4), (16, 4), (64, 4), (255, 4)]
        {
            let mut distances = Distances::new(1, batches, parts);
            let all: Vec<u64> = (0..1_000 * parts).map(|_| distances.next()).collect();
            let (least, most) = (*all.iter().min().unwrap(), *all.iter().max().unwrap());
            let (mean, half) = (batches / parts, batches / parts / 2);
            assert!(least >= (mean - half).max(1) && most <= mean + half + 1, "{batches} {all:?}");
            assert!(all.iter().sum::<u64>().abs_diff(1_000 * batches) <= half, "{batches}");
            assert!(mean < 2 || least < mean && most > mean, "{batches} {all:?}");
            // Another worker's are other ones.
            let mut others = Distances::new(2, batches, parts);
            let is_same = all.iter().all(|&distance| distance == others.next());
            assert_eq!(is_same, half == 0, "{batches}");
        }
        // A K beyond any training.
        assert!(Distances::new(0, u64::MAX / 2, 4).next() >= u64::MAX / 8);
    }
}
