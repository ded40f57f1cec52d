//! Hogwild!: the workers share the parameters and never wait for each other.
//!
//! ```text
//! each worker, until all examples are claimed:
//!     claim the next K examples, or some times as many
//!     K / B times: draw a batch; forward, loss, BPTT, step on its own replica
//!         four times in K: push a part of the change, and take over what others pushed
//!                                                              (see `shared`)
//! ```
//!
//! 1. Examples are claimed from one counter, not dealt out: a worker that is late or slow
//!    claims fewer, and nobody waits for it at the end, when claims get small.
//! 2. The caller's thread is the first worker, so that the first example does not wait for a
//!    thread to wake up, and a call for no more than K examples wakes none.
//! 3. Optimizer state belongs to a worker. Only changes of parameters are shared.
//!
//! Which examples a worker sees is its generator's affair; how many, and what the others
//! pushed meanwhile, is the scheduler's. So no two trainings are alike, unless there is one
//! worker: then nobody else writes, and it is the serial strategy bit for bit.

use super::Totals;
use super::worker::Worker;
use crate::shared::{Replica, Shared};
use model::Parameters;
use rayon::ThreadPool;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What the workers share, and what each has of it.
#[derive(Debug)]
pub(super) struct Hogwild {
    shared: Shared,
    replicas: Vec<Padded>,
    /// K, whole batches.
    push_every: u64,
}

/// The parts in which a push is made.
const PARTS: u64 = 4;

/// The most examples that are claimed at once, if K is not more.
const CLAIM: u64 = 64;

/// On cache lines of its own: a worker writes to it at each push.
#[derive(Debug)]
#[repr(align(128))]
struct Padded(Replica);

impl Hogwild {
    pub fn new(parameters: &Parameters, workers: usize, push_every: u64) -> Self {
        let replica = |n| Padded(Replica::new(parameters.clone(), n, workers));
        Self {
            shared: Shared::new(parameters.arena()),
            replicas: (0..workers).map(replica).collect(),
            push_every,
        }
    }

    /// `examples` examples by all workers together; leaves in `parameters` what came of it.
    pub fn train(
        &mut self,
        pool: &ThreadPool,
        workers: &mut [Worker],
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
        let run = |worker: &mut Worker,
                   replica: &mut Replica,
                   watch: &mut dyn FnMut(u64, &Parameters)| {
            let mut totals = Totals::default();
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
                let (mut at, mut done) = (first, 0);
                while at < last {
                    let count = (last - at).min(batch as u64);
                    worker.draw(count as usize);
                    replica.use_inputs(worker.x(), shared);
                    at += count;
                    done += 1;
                    let is_push = done * parts % batches < parts || at == last;
                    if is_push {
                        replica.prepare_push(parts as usize, shared);
                    }
                    totals += worker.update(&mut replica.parameters);
                    if is_push {
                        replica.push(parts as usize, shared);
                    }
                    if done == batches || at == last {
                        done = 0;
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
        let everything = workers.iter_mut().zip(&mut self.replicas).zip(&mut totals);
        let mut everything = everything.take(needed);
        if let Some(((worker, replica), first_totals)) = everything.next() {
            pool.in_place_scope(|scope| {
                for ((worker, replica), totals) in everything {
                    scope.spawn(|_| *totals = run(worker, &mut replica.0, &mut |_, _| ()));
                }
                *first_totals = run(worker, &mut replica.0, &mut watch);
            });
        }
        // The scope has joined the workers: all that they stored happened before.
        shared.read(parameters.arena_mut());
        totals.into_iter().sum()
    }
}
