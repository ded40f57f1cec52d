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
//! workers leaves some without work; with B = 1 there is nothing to share. How the work is dealt
//! out, and the gradients added, is [`crate::parallel`]'s.

use crate::batch::Batch;
use crate::metrics::Totals;
use crate::parallel::{Share, deal, each_of, sum_gradients};
use crate::task::{Progress, Task};
use crate::worker::Worker;
use model::Parameters;
use rayon::ThreadPool;

/// `examples` examples, an update for each batch, which `whole` has room for; the last batch
/// holds what is left.
pub(crate) fn train<T: Task>(
    pool: &ThreadPool,
    workers: &mut [Worker<T>],
    whole: &mut Batch,
    parameters: &mut Parameters,
    (batch, examples): (usize, u64),
    mut watch: impl FnMut(u64, &Parameters) + Send,
) -> Totals {
    pool.install(|| {
        let mut totals = Totals::default();
        while totals.examples < examples {
            let count = (examples - totals.examples).min(batch as u64) as usize;
            // Each counts the examples of its share; the first one draws for all.
            let done = workers.iter().map(|worker| worker.progress.examples).sum();
            let progress = Progress { examples: done, ..workers[0].progress };
            workers[0].draw_into(whole, count, progress);
            let (tasks, mut shares): (Vec<_>, Vec<_>) =
                workers.iter_mut().map(|worker| (&worker.task, &mut worker.share)).unzip();
            let now = &*parameters;
            let ranges = deal(count, shares.len()).collect();
            let parts = each_of(pool, &mut shares, ranges, whole, |share, own| {
                let Share { pass, gradient, .. } = share;
                tasks[0].differentiate(pass, now, own, progress, gradient)
            });
            sum_gradients(pool, &mut shares, parts.len());
            for (worker, part) in workers.iter_mut().zip(&parts) {
                worker.progress.examples += part.examples;
            }
            let first = &mut workers[0];
            first.optimizer.step(parameters, &first.share.gradient, count);
            if parts.len() == 1 {
                // It worked on the whole, which is now its own.
                std::mem::swap(whole, &mut first.share.batch);
            }
            totals += parts.into_iter().sum();
            watch(totals.examples, parameters);
        }
        totals
    })
}
