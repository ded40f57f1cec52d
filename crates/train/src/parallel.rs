//! One network run by several threads, each on its share of a batch, or of the units.
//!
//! ```text
//! B sequences, N threads: share n is the sequences n·⌈B/N⌉ .. (n + 1)·⌈B/N⌉
//!     thread n: forward, loss and BPTT of its share, with its own activations
//!     g ← g₀ + g₁ + … , in this order
//! ```
//!
//! Where a share would be a few sequences of a large network, or none, the threads share the units
//! of each layer instead ([`model::Units`]), and there is one gradient, to which each writes its
//! columns.
//!
//! So the same batch gives the same bits for the same number of threads, whoever finishes
//! first; another number differs by the rounding of the sum alone. States that are carried over
//! batches, and the generators of dropout masks, belong to a share.
//!
//! 1. A share's columns of `[T, B, ·]` are copied side by side by the thread that needs
//!    them. With one thread nothing is copied.
//! 2. The gradients are added block by block, and the blocks shared out: memory bounds
//!    that, too.
//!
//! The strategy `synchronous` deals out sequences with an update behind it, and shares no units: the
//! ranks of a job have to come to the same bits. For workers that meet less often there are the
//! others.

use crate::Error;
use crate::batch::Batch;
use crate::config::MOST_THREADS;
use crate::pass::{Pass, shares_units};
use kernels::vector::axpy;
use model::{Config, Parameters};
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::iter::Sum;
use std::mem;
use std::ops::Range;
use std::sync::Arc;

/// Values in a block of a gradient: it and its summands fit in L2.
const BLOCK: usize = 1 << 14;

/// What one thread has to itself, on cache lines that no other writes.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Share {
    pub pass: Pass,
    /// Of its last batch, summed.
    pub gradient: Parameters,
    /// Its part of a batch that is dealt out, or its own.
    pub batch: Batch,
}

impl Share {
    pub fn new(config: Config, masks: Xoshiro256PlusPlus) -> Self {
        Self {
            pass: Pass::new(config, masks),
            gradient: Parameters::zeros(config),
            batch: Batch::default(),
        }
    }
}

/// N threads that wait for work.
///
/// # Errors
/// If there are none or too many, or they cannot be started.
pub(crate) fn pool(threads: usize) -> Result<ThreadPool, Error> {
    if threads == 0 || threads > MOST_THREADS {
        return Err(Error::Threads(threads));
    }
    ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|n| format!("worker-{n}"))
        .build()
        .map_err(|source| Error::StartThreads { threads, source })
}

/// The sequences of each share of a batch of `count` (B): no more shares than have work, and one
/// at least.
pub(crate) fn deal(count: usize, threads: usize) -> impl ExactSizeIterator<Item = Range<usize>> {
    let size = count.div_ceil(threads).max(1);
    let active = count.div_ceil(size).max(1);
    (0..active).map(move |n| n * size..((n + 1) * size).min(count))
}

/// [`deal`] of a batch. All sequences are the first share's, if its pass has the threads share
/// units instead.
fn deal_of(first: &Share, batch: &Batch, threads: usize, learns: bool) -> Vec<Range<usize>> {
    let threads = if first.pass.is_shared(batch, learns) { 1 } else { threads };
    deal(batch.count, threads).collect()
}

/// Deals `batch` out, and calls `work` with each share and its part of it; the results in their
/// order. `learns` as in [`shares_units`].
fn each_share<L: Send>(
    pool: &ThreadPool,
    shares: &mut [&mut Share],
    batch: &Batch,
    learns: bool,
    work: impl Fn(&mut Share, &Batch) -> L + Sync,
) -> Vec<L> {
    let ranges = deal_of(shares[0], batch, shares.len(), learns);
    each_of(pool, shares, ranges, batch, work)
}

/// [`each_share`] of those shares of `batch` that are dealt to `shares`: `ranges`, which may be
/// fewer.
pub(crate) fn each_of<L: Send>(
    pool: &ThreadPool,
    shares: &mut [&mut Share],
    ranges: Vec<Range<usize>>,
    batch: &Batch,
    work: impl Fn(&mut Share, &Batch) -> L + Sync,
) -> Vec<L> {
    if ranges.len() == 1 && ranges[0] == (0..batch.count) {
        return vec![work(shares[0], batch)]; // nothing to wake a thread for
    }
    let run = |(share, range): (&mut &mut Share, Range<usize>)| {
        let mut own = mem::take(&mut share.batch);
        batch.columns(range, &mut own);
        let result = work(share, &own);
        share.batch = own;
        result
    };
    let shares = shares.par_iter_mut().zip(ranges).with_max_len(1);
    pool.install(|| shares.map(run).collect())
}

/// Adds the gradients of the `active` first shares, in their order, to that of the first.
pub(crate) fn sum_gradients(pool: &ThreadPool, shares: &mut [&mut Share], active: usize) {
    let Some((first, others)) = shares[..active].split_first_mut() else { return };
    let add = |(n, block): (usize, &mut [f32])| {
        for other in &*others {
            axpy(1.0, &other.gradient.arena()[n * BLOCK..][..block.len()], block);
        }
    };
    let gradient = first.gradient.arena_mut();
    if others.is_empty() {
    } else if gradient.len() <= BLOCK {
        add((0, gradient));
    } else {
        pool.install(|| gradient.par_chunks_mut(BLOCK).enumerate().for_each(add));
    }
}

/// A network on several threads.
///
/// ```
/// use model::{Architecture, Cell, Config, Head, Parameters};
/// use train::batch::Batch;
/// use train::parallel::Parallel;
///
/// let gru = Architecture::new(Cell::Gru, 3, 8);
/// let config = Config::new(Architecture { head: Some(Head::linear(1)), ..gru })?;
/// let parameters = Parameters::zeros(config);
/// let mut parallel = Parallel::new(config, 2)?;
///
/// let mut batch = Batch::default();
/// let (x, targets) = batch.values((5, 4), 3, 1); // T = 5, B = 4, I = 3, O = 1
/// x.fill(0.5);
/// targets.fill(1.0);
/// let loss: f64 = parallel.differentiate(&parameters, &batch, |batch, y, dy| {
///     let train::batch::Targets::Values(targets) = &batch.targets else { unreachable!() };
///     dy.iter_mut().zip(y.iter().zip(&**targets)).for_each(|(dy, (y, t))| *dy = y - t);
///     dy.iter().map(|d| 0.5 * f64::from(d * d)).sum()
/// })?;
/// assert_eq!(loss, 0.5 * 20.0);
/// # Ok::<(), train::Error>(())
/// ```
#[derive(Debug)]
pub struct Parallel {
    config: Config,
    pool: ThreadPool,
    shares: Vec<Share>,
    /// The sequences of each share in the last pass.
    dealt: Vec<Range<usize>>,
}

impl Parallel {
    /// Networks of `config` on `threads` threads. Dropout draws its masks from seed 0, each
    /// thread a `jump()` after the one before.
    ///
    /// # Errors
    /// If there are no threads or too many, or they cannot be started.
    pub fn new(config: Config, threads: usize) -> Result<Self, Error> {
        let pool = pool(threads)?;
        let mut generator = Xoshiro256PlusPlus::seed_from_u64(0);
        let share = |_| {
            let share = Share::new(config, generator.clone());
            generator.jump();
            share
        };
        let mut shares: Vec<_> = (0..threads).map(share).collect();
        if shares_units(config, threads, (1, 1), false) {
            // The caller's thread is one of those that share; one more would only look for work.
            shares[0].pass.share_units(&Arc::new(self::pool(threads - 1)?), threads);
        }
        Ok(Self { config, pool, shares, dealt: Vec::new() })
    }

    /// The gradient of a batch, summed over it, in [`Parallel::gradient`]; returns its loss, a
    /// sum over the shares.
    ///
    /// `loss(batch, outputs, dy)` judges a share (all of the batch, where units are shared), a
    /// batch by itself: its outputs `[T, share, O]` (`[share, O]` of a head on the last step). It
    /// returns their loss and writes the gradient to `dy`, in the shape of the outputs.
    ///
    /// # Errors
    /// If the batch does not fit the network, or an input makes no sense.
    ///
    /// # Panics
    /// If `parameters` are of another configuration.
    pub fn differentiate<L: Send + Sum>(
        &mut self,
        parameters: &Parameters,
        batch: &Batch,
        loss: impl Fn(&Batch, &[f32], &mut [f32]) -> L + Sync,
    ) -> Result<L, Error> {
        let losses = self.each(batch, true, |share, own| {
            share.pass.differentiate(parameters, own, &mut share.gradient, &loss)
        })?;
        let mut shares: Vec<_> = self.shares.iter_mut().collect();
        sum_gradients(&self.pool, &mut shares, self.dealt.len());
        Ok(losses.into_iter().sum())
    }

    /// Runs the network over a batch, for its outputs alone: see [`Parallel::outputs`].
    ///
    /// # Errors
    /// As [`Parallel::differentiate`].
    ///
    /// # Panics
    /// As [`Parallel::differentiate`].
    pub fn infer(&mut self, parameters: &Parameters, batch: &Batch) -> Result<(), Error> {
        self.each(batch, false, |share, own| share.pass.infer(parameters, own).map(|_| ()))?;
        Ok(())
    }

    /// Looks at the whole batch first, so that an error tells places in it, and not in a share.
    fn each<L: Send>(
        &mut self,
        batch: &Batch,
        learns: bool,
        work: impl Fn(&mut Share, &Batch) -> Result<L, model::Error> + Sync,
    ) -> Result<Vec<L>, Error> {
        batch.sequences(self.config, None)?;
        self.dealt = deal_of(&self.shares[0], batch, self.shares.len(), learns);
        let mut shares: Vec<_> = self.shares.iter_mut().collect();
        let results = each_share(&self.pool, &mut shares, batch, learns, work);
        Ok(results.into_iter().collect::<Result<_, _>>()?)
    }

    /// The gradient that [`Parallel::differentiate`] found last.
    pub fn gradient(&self) -> &Parameters {
        &self.shares[0].gradient
    }

    /// The outputs of the last pass, share by share: which sequences of the batch, and
    /// their `[T, share, O]`.
    pub fn outputs(&self) -> impl Iterator<Item = (Range<usize>, &[f32])> {
        let shares = self.dealt.iter().cloned().zip(&self.shares);
        shares.map(|(sequences, share)| (sequences, share.pass.outputs()))
    }
}
