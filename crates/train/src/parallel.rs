//! One network run by several threads, each on its share of a batch.
//!
//! ```text
//! B sequences, N threads: share n is the sequences n·⌈B/N⌉ .. (n + 1)·⌈B/N⌉
//!     thread n: forward, loss and BPTT of its share, with its own activations
//!     g ← g₀ + g₁ + … , in this order
//! ```
//!
//! So the same batch gives the same bits for the same number of threads, whoever finishes
//! first; another number differs by the rounding of the sum alone.
//!
//! 1. A share's columns of `[T, B, ·]` are copied side by side by the thread that needs
//!    them. With one thread nothing is copied.
//! 2. The gradients are added block by block, and the blocks shared out: memory bounds
//!    that, too.
//!
//! For workers that draw their own examples and meet less often there are the strategies.
//! Dropout is not drawn here: its masks come from one generator, and belong to one thread.

use crate::Error;
use kernels::buffer::Buffer;
use kernels::vector::axpy;
use model::{Config, Network, Parameters, Sequences};
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::mem;
use std::ops::Range;

/// Values in a block of a gradient: it and its summands fit in L2.
const BLOCK: usize = 1 << 14;

/// A network on several threads.
#[derive(Debug)]
pub struct Parallel {
    config: Config,
    pool: ThreadPool,
    shares: Vec<Share>,
    /// How many shares the last pass had.
    active: usize,
}

/// What one thread has to itself, on cache lines that no other writes.
#[derive(Debug)]
#[repr(align(128))]
struct Share {
    network: Network,
    gradient: Parameters,
    /// Its sequences among those of the batch.
    sequences: Range<usize>,
    /// `[T, share of B, I]`
    x: Buffer,
    /// In the shape of the outputs.
    dy: Buffer,
    loss: f64,
}

/// Sequences `[T, B, I]` for several threads.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// `[T, B, I]`
    pub x: &'a [f32],
    /// T
    pub steps: usize,
    /// B
    pub batch: usize,
    /// `[B]`, or full length.
    pub lengths: Option<&'a [usize]>,
}

impl Parallel {
    /// Networks of `config` on `threads` threads.
    ///
    /// # Errors
    /// If there are no threads or too many, or they cannot be started.
    pub fn new(config: Config, threads: usize) -> Result<Self, Error> {
        if threads == 0 || threads > crate::strategy::MOST_THREADS {
            return Err(Error::Threads(threads));
        }
        let pool = ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .map_err(|source| Error::StartThreads { threads, source })?;
        let share = |_| Share {
            network: Network::new(config),
            gradient: Parameters::zeros(config),
            sequences: 0..0,
            x: Buffer::default(),
            dy: Buffer::default(),
            loss: 0.0,
        };
        Ok(Self { config, pool, shares: (0..threads).map(share).collect(), active: 0 })
    }

    /// The gradient of a batch, summed over it, in [`Parallel::gradient`]; returns its loss.
    ///
    /// `loss(sequences, outputs, dy)` judges a share: the outputs `[T, share, O]` (`[share,
    /// O]` of a head on the last step) of the batch's `sequences`. It returns their loss and
    /// writes the gradient to `dy`, in the shape of the outputs.
    ///
    /// # Errors
    /// If the lengths do not fit, or an input is not finite.
    ///
    /// # Panics
    /// If `x` does not hold T·B·I values, or `parameters` are of another configuration.
    pub fn differentiate(
        &mut self,
        parameters: &Parameters,
        batch: &Batch<'_>,
        loss: impl Fn(Range<usize>, &[f32], &mut [f32]) -> f64 + Sync,
    ) -> Result<f64, Error> {
        self.each_share(batch, |share, x, sequences| {
            let network = &mut share.network;
            let outputs = network.run(parameters, sequences);
            share.dy.resize(outputs.len());
            share.loss = loss(share.sequences.clone(), outputs, &mut share.dy);
            network.backward(parameters, x, &share.dy, &mut share.gradient);
        })?;
        let (first, others) = self.shares[..self.active].split_at_mut(1);
        if !others.is_empty() {
            let gradient = first[0].gradient.arena_mut();
            self.pool.install(|| {
                gradient.par_chunks_mut(BLOCK).enumerate().for_each(|(n, block)| {
                    for other in &*others {
                        axpy(1.0, &other.gradient.arena()[n * BLOCK..][..block.len()], block);
                    }
                });
            });
        }
        Ok(self.shares[..self.active].iter().map(|share| share.loss).sum())
    }

    /// Runs the network over a batch, for its outputs alone: see [`Parallel::outputs`].
    ///
    /// # Errors
    /// As [`Parallel::differentiate`].
    ///
    /// # Panics
    /// As [`Parallel::differentiate`].
    pub fn infer(&mut self, parameters: &Parameters, batch: &Batch<'_>) -> Result<(), Error> {
        self.each_share(batch, |share, _, sequences| {
            share.network.infer(parameters, sequences);
        })
    }

    /// The gradient that [`Parallel::differentiate`] found last.
    pub fn gradient(&self) -> &Parameters {
        &self.shares[0].gradient
    }

    /// The outputs of the last pass, share by share: which sequences of the batch, and
    /// their `[T, share, O]`.
    pub fn outputs(&self) -> impl Iterator<Item = (Range<usize>, &[f32])> {
        let shares = self.shares[..self.active].iter();
        shares.map(|share| (share.sequences.clone(), share.network.outputs()))
    }

    /// Deals a batch out and calls `work` with each share, its x and what the network is
    /// shown of it.
    fn each_share(
        &mut self,
        batch: &Batch<'_>,
        work: impl Fn(&mut Share, &[f32], &Sequences<'_>) + Sync,
    ) -> Result<(), Error> {
        let Batch { x, steps, batch: count, lengths } = *batch;
        let (config, inputs) = (self.config, self.config.inputs());
        assert!(
            steps.checked_mul(count).and_then(|rows| rows.checked_mul(inputs)) == Some(x.len()),
            "x holds {} values, {steps} steps of {count} sequences of {inputs} inputs do not",
            x.len()
        );
        if lengths.is_some_and(|lengths| lengths.len() != count) {
            sequences(config, x, steps, count, lengths)?;
        }
        let size = count.div_ceil(self.shares.len()).max(1);
        self.active = count.div_ceil(size).max(1);
        let shares = &mut self.shares[..self.active];
        for (n, share) in shares.iter_mut().enumerate() {
            share.sequences = n * size..((n + 1) * size).min(count);
        }
        let run = |share: &mut Share| -> Result<(), model::Error> {
            let Range { start, end } = share.sequences;
            let lengths = lengths.map(|all| &all[start..end]);
            if end - start == count {
                work(share, x, &sequences(config, x, steps, count, lengths)?);
                return Ok(());
            }
            let mut columns = mem::take(&mut share.x);
            columns.resize(steps * (end - start) * inputs);
            let rows = x.chunks_exact(count * inputs);
            for (row, own) in rows.zip(columns.chunks_exact_mut((end - start) * inputs)) {
                own.copy_from_slice(&row[start * inputs..end * inputs]);
            }
            let result = sequences(config, &columns, steps, end - start, lengths)
                .map(|sequences| work(share, &columns, &sequences));
            share.x = columns;
            result
        };
        let found: Vec<_> = match shares {
            // nothing to wake a thread for
            [only] => vec![run(only)],
            _ => self.pool.install(|| shares.par_iter_mut().with_max_len(1).map(run).collect()),
        };
        if found.iter().any(Result::is_err) {
            // The whole as one: the error tells places in the batch and not in a share.
            sequences(config, x, steps, count, lengths)?;
        }
        Ok(())
    }
}

/// What a network is shown.
fn sequences<'a>(
    config: Config,
    x: &'a [f32],
    steps: usize,
    count: usize,
    lengths: Option<&'a [usize]>,
) -> Result<Sequences<'a>, model::Error> {
    let sequences = Sequences::new(config, x, steps, count)?;
    match lengths {
        Some(lengths) => sequences.with_lengths(lengths),
        None => Ok(sequences),
    }
}
