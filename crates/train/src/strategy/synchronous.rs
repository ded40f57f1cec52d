//! Synchronous SGD: the workers share each batch, and one update follows on their sum.
//!
//! ```text
//! for each batch: draw B examples from one generator
//!     worker n of N: the gradient of its share, forward, loss, BPTT     in parallel
//!     g ← g₀ + g₁ + … , in this order;  step
//! ```
//!
//! The examples are those of the serial strategy, dealt out in rows, and nothing depends on
//! who finishes first: the same seed and N give the same bits, and those differ from the
//! serial strategy's by the rounding of the sum alone. A batch with fewer examples than
//! workers leaves some without work; with B = 1 there is nothing to share.

use super::Totals;
use super::worker::Worker;
use kernels::vector::axpy;
use model::Parameters;
use rayon::ThreadPool;
use rayon::prelude::*;

/// `examples` examples, an update for each batch; the last batch holds what is left.
pub(super) fn train(
    pool: &ThreadPool,
    workers: &mut [Worker],
    parameters: &mut Parameters,
    batch: usize,
    examples: u64,
    mut watch: impl FnMut(u64, &Parameters) + Send,
) -> Totals {
    pool.install(|| {
        let mut totals = Totals::default();
        let mut parts = vec![Totals::default(); workers.len()];
        while totals.examples < examples {
            let count = (examples - totals.examples).min(batch as u64) as usize;
            let share = count.div_ceil(workers.len());
            let active = count.div_ceil(share);
            let (first, others) = workers.split_at_mut(1);
            let pairs = first[0].sample(count);
            let mut shares = pairs.chunks(share);
            first[0].take(shares.next().expect("a batch has an example"));
            let others = &mut others[..active - 1];
            for (worker, share) in others.iter_mut().zip(shares) {
                worker.take(share);
            }
            let workers = &mut workers[..active];
            let all = workers.par_iter_mut().zip(&mut parts).with_max_len(1);
            all.for_each(|(worker, part)| *part = worker.differentiate(parameters));

            let (first, others) = workers.split_at_mut(1);
            for other in others {
                axpy(1.0, other.gradient.arena(), first[0].gradient.arena_mut());
            }
            first[0].optimizer.step(parameters, &first[0].gradient, count);
            totals += parts[..active].iter().copied().sum();
            watch(totals.examples, parameters);
        }
        totals
    })
}
