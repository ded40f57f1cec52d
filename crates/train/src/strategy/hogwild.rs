//! Hogwild!: the workers share the parameters and never wait for each other.
//!
//! ```text
//! each worker, until all examples are claimed:
//!     claim the next K examples
//!     K / B times: draw a batch; forward, loss, BPTT, step on its own replica
//!     push the change, and take over what others pushed        (see `shared`)
//! ```
//!
//! 1. Examples are claimed from one counter, not dealt out: a worker that is late or slow
//!    claims fewer, and nobody waits for it at the end.
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
        let (shared, push_every) = (&self.shared, self.push_every);
        // The counter gives out numbers and orders nothing: relaxed.
        let claimed = AtomicU64::new(0);
        let run = |worker: &mut Worker,
                   replica: &mut Replica,
                   watch: &mut dyn FnMut(u64, &Parameters)| {
            let mut totals = Totals::default();
            replica.push_all(shared);
            loop {
                let first = claimed.fetch_add(push_every, Relaxed);
                if first >= examples {
                    break;
                }
                let mut left = push_every.min(examples - first);
                while left > 0 {
                    let count = left.min(batch as u64);
                    worker.draw(count as usize);
                    replica.use_inputs(worker.x(), shared);
                    totals += worker.update(&mut replica.parameters);
                    left -= count;
                }
                replica.push(shared);
                watch(claimed.load(Relaxed).min(examples), &replica.parameters);
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
