//! Synchronous SGD and averaging over the ranks of a job: each rank does this, with its own workers.
//!
//! ```text
//! R ranks of t workers each, numbered rank after rank
//! synchronous   for each batch: every rank draws all of it, from the generator of worker 0
//!                   its workers: the gradients of their shares                   in parallel
//!                   g ← g₀ + g₁ + … over all workers, in this order;  step, on every rank
//! averaging     until all examples are used:
//!                   wᵣ ← w; K examples for each worker of rank r, on wᵣ
//!                   w ← Σᵣ (kᵣ / Σ k)·wᵣ, in this order
//! ```
//!
//! Synchronous, these are the bits of one process with as many workers; averaging, too, if a rank
//! has one worker. Several workers of a rank train its wᵣ by Hogwild!.
//!
//! Nothing but the values travels: all ranks draw the same batches, take the same steps, and count
//! the same examples.

use super::averaging::{shares, weight};
use super::hogwild::Hogwild;
use super::outer::Outer;
use super::serial;
use crate::batch::Batch;
use crate::exchange::{Exchange, Values};
use crate::metrics::Totals;
use crate::parallel::{Share, deal, each_of};
use crate::task::{Progress, Task};
use crate::transport::Transport;
use crate::worker::Worker;
use kernels::vector::{axpy, scale};
use model::Parameters;
use rayon::ThreadPool;
use std::ops::Range;
use std::sync::Arc;

/// A rank's part in a training.
#[derive(Debug)]
pub(crate) struct Ranks<T> {
    pub transport: Arc<dyn Transport>,
    pub pool: ThreadPool,
    pub exchange: Exchange,
    /// Examples of all workers so far.
    pub done: u64,
    pub kind: Kind<T>,
}

/// When the ranks meet.
#[derive(Debug)]
pub(crate) enum Kind<T> {
    /// After each batch.
    Synchronous {
        /// Worker 0, which draws and steps, where it is another rank's.
        first: Option<Box<Worker<T>>>,
        whole: Batch,
        gradient: Parameters,
    },
    /// After K examples of each worker.
    Averaging {
        replica: Parameters,
        hogwild: Option<Hogwild>,
        /// K, whole batches.
        every: u64,
        outer: Option<Outer>,
    },
}

/// Examples of all workers of all ranks.
impl<T: Task> Ranks<T> {
    /// `examples` examples by all ranks together, which call this together; the same parameters on
    /// all of them when it ends. `watch` as in [`crate::trainer::Trainer::train_watched`].
    pub fn train(
        &mut self,
        workers: &mut [Worker<T>],
        parameters: &mut Parameters,
        batch: usize,
        examples: u64,
        mut watch: impl FnMut(u64, &Parameters) + Send,
    ) -> Totals {
        // Of each meeting, what this rank's workers came to.
        let mut parts = Vec::new();
        let mut done = 0;
        while done < examples {
            let left = examples - done;
            let count = match &self.kind {
                Kind::Synchronous { .. } => {
                    let count = left.min(batch as u64);
                    self.update(workers, parameters, count as usize, &mut parts);
                    count
                }
                Kind::Averaging { .. } => {
                    self.average(workers, parameters, batch, left, &mut parts)
                }
            };
            done += count;
            self.done += count;
            watch(done, parameters);
        }
        self.totals(&parts, workers.len())
    }

    /// A batch of `count` examples.
    fn update(
        &mut self,
        workers: &mut [Worker<T>],
        parameters: &mut Parameters,
        count: usize,
        parts: &mut Vec<Totals>,
    ) {
        let Self { transport, pool, exchange, done, kind } = self;
        let Kind::Synchronous { first, whole, gradient } = kind else { unreachable!() };
        let own_first = workers.len() * transport.rank();
        let all = workers.len() * transport.ranks();
        let drawer = first.as_deref_mut().unwrap_or(&mut workers[0]);
        let progress = Progress { examples: *done, ..drawer.progress };
        drawer.draw_into(whole, count, progress);
        let dealt: Vec<_> = deal(count, all).collect();
        let own: Vec<_> = dealt.iter().skip(own_first).take(workers.len()).cloned().collect();
        let (tasks, mut shares): (Vec<_>, Vec<_>) =
            workers.iter_mut().map(|worker| (&worker.task, &mut worker.share)).unzip();
        let now = &*parameters;
        let mut found = each_of(pool, &mut shares, own, whole, |share, own| {
            let Share { pass, gradient, .. } = share;
            tasks[0].differentiate(pass, now, own, progress, gradient)
        });
        found.resize(workers.len(), Totals::default());
        for (worker, part) in workers.iter_mut().zip(&found) {
            worker.progress.examples += part.examples;
        }
        parts.extend(found);
        let mut sum = Sum { workers, active: dealt.len(), gradient: &mut *gradient };
        exchange.run(&**transport, &mut sum);
        if dealt.len() == 1 && own_first == 0 {
            // It worked on the whole, which is now its own.
            std::mem::swap(whole, &mut workers[0].share.batch);
        }
        let first = first.as_deref_mut().unwrap_or(&mut workers[0]);
        first.optimizer.step(parameters, gradient, count);
    }

    /// A round, of at most `left` examples; how many these were.
    fn average(
        &mut self,
        workers: &mut [Worker<T>],
        parameters: &mut Parameters,
        batch: usize,
        left: u64,
        parts: &mut Vec<Totals>,
    ) -> u64 {
        let Self { transport, pool, exchange, kind, .. } = self;
        let Kind::Averaging { replica, hogwild, every, outer } = kind else { unreachable!() };
        let all = workers.len() * transport.ranks();
        let shares = shares(left, *every, batch as u64, all);
        let shares: Vec<u64> = shares.chunks(workers.len()).map(|own| own.iter().sum()).collect();
        let own = shares[transport.rank()];
        replica.arena_mut().copy_from_slice(parameters.arena());
        let part = match hogwild {
            None => serial::train(&mut workers[0], replica, batch, own, |_, _| ()),
            Some(hogwild) => hogwild.train(pool, workers, replica, batch, own, |_, _| ()),
        };
        parts.push(part);
        parts.resize(parts.len() + workers.len() - 1, Totals::default());
        if let Some(outer) = outer {
            outer.keep(parameters.arena());
        }
        let changes = exchange.is_compressed();
        let (replica, parameters_now) = (&*replica, &mut *parameters);
        let mut average = Average { replica, parameters: parameters_now, shares: &shares, changes };
        exchange.run(&**transport, &mut average);
        if let Some(outer) = outer {
            outer.step(parameters.arena_mut());
        }
        if let Some(hogwild) = hogwild {
            hogwild.put(parameters);
        }
        shares.iter().sum()
    }

    /// The sum over all ranks, meeting by meeting and in worker order, of what each of the `workers`
    /// of this rank came to in each meeting.
    fn totals(&self, parts: &[Totals], workers: usize) -> Totals {
        let numbers = |part: &Totals| [part.examples as f64, part.loss, part.error];
        let own: Vec<f64> = parts.iter().flat_map(numbers).collect();
        let mut all = vec![0.0; own.len() * self.transport.ranks()];
        let bytes = bytemuck::cast_slice_mut(&mut all);
        self.transport.all_gather_bytes(bytemuck::cast_slice(&own), bytes);
        let of_meeting = 3 * workers;
        let meeting = |n: usize| {
            let ranks = all.chunks_exact(own.len());
            let meeting =
                ranks.flat_map(move |rank| rank[n * of_meeting..][..of_meeting].chunks(3));
            let total = |n: &[f64]| Totals { examples: n[0] as u64, loss: n[1], error: n[2] };
            meeting.map(total).sum()
        };
        (0..parts.len() / workers).map(meeting).sum()
    }
}

/// The gradients of all shares, added.
struct Sum<'a, T> {
    workers: &'a [Worker<T>],
    /// As many shares as a batch has.
    active: usize,
    gradient: &'a mut Parameters,
}

impl<T: Task> Values for Sum<'_, T> {
    fn pack(&self, number: usize, range: Range<usize>, out: &mut [f32]) {
        out.copy_from_slice(&self.workers[number].share.gradient.arena()[range]);
    }

    fn combine(&self, workers: &[&[f32]], out: &mut [f32]) {
        out.copy_from_slice(workers[0]);
        workers[1..self.active].iter().for_each(|worker| axpy(1.0, worker, out));
    }

    fn unpack(&mut self, range: Range<usize>, values: &[f32]) {
        self.gradient.arena_mut()[range].copy_from_slice(values);
    }
}

/// The replicas, averaged; or how much each has changed, which rounding hurts less.
struct Average<'a> {
    replica: &'a Parameters,
    parameters: &'a mut Parameters,
    shares: &'a [u64],
    changes: bool,
}

impl Values for Average<'_> {
    fn pack(&self, _number: usize, range: Range<usize>, out: &mut [f32]) {
        out.copy_from_slice(&self.replica.arena()[range.clone()]);
        if self.changes {
            axpy(-1.0, &self.parameters.arena()[range], out);
        }
    }

    fn combine(&self, ranks: &[&[f32]], out: &mut [f32]) {
        let total: u64 = self.shares.iter().sum();
        out.copy_from_slice(ranks[0]);
        scale(weight(self.shares[0], total), out);
        for (rank, &share) in ranks.iter().zip(self.shares).skip(1).filter(|(_, share)| **share > 0)
        {
            axpy(weight(share, total), rank, out);
        }
    }

    fn unpack(&mut self, range: Range<usize>, values: &[f32]) {
        let own = &mut self.parameters.arena_mut()[range];
        if self.changes {
            axpy(1.0, values, own);
        } else {
            own.copy_from_slice(values);
        }
    }
}
