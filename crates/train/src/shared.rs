//! Parameters that several workers change at once: the memory that Hogwild! shares.
//!
//! ```text
//! each worker owns     w    its parameters, a plain arena that the kernels read
//!                      w₀   what it last saw in the shared memory
//! exchange, value by value:
//!     s ← load shared
//!     w ← w                 if s = w₀     nobody else wrote: my value stands
//!         s                 if w = w₀     I changed nothing: I take what is there
//!         s + (w − w₀)      otherwise     my change goes on top of theirs
//!     store w, if I had changed it;  w₀ ← w
//! ```
//!
//! 1. Nobody waits for anybody: a load and a store, no lock and no locked instruction.
//! 2. A push is also the next pull. Each line travels once for both.
//! 3. A worker starts each push at another block, so that two that push at the same time
//!    seldom want the same line.
//! 4. A value that did not change is not stored: its line can stay with its readers, and
//!    no store of an old value can undo somebody's work.
//! 5. The lines that come next are asked for ahead of their turn, to be written: a line comes
//!    once and not first for the load and then for the store.
//! 6. Rows that belong to an input, `W_in [I, S]`, can be left out as long as the input is
//!    zero: see [`Replica::use_inputs`]. With one-hot inputs these are nearly all there are.
//!
//! # Why relaxed
//!
//! Three things are asked of the memory, and relaxed atomics give all three.
//!
//! *A load returns a value that somebody stored.* One atomic access to 32 bits has no torn
//! result, and no data race is undefined behaviour, whatever the order.
//!
//! *A worker sees its own stores.* All accesses to one atomic stand in one order
//! (coherence), which agrees with the order of a thread's own program. So a row that only
//! one worker changes takes every change of it, and one worker alone trains bit by bit as
//! the serial strategy does.
//!
//! *At the end everything is seen.* The caller of a strategy reads after its workers have
//! been joined, and joining a thread happens after all that the thread did.
//!
//! Nothing is asked about the order of accesses to *different* values. A worker may see one
//! weight of a push and not another. That is the bargain of Hogwild!: gradients are computed
//! on a mixture of parameters, each a little old. Between the load and the store of an
//! exchange another worker's store to the same value may fall, and is then lost; an
//! addition that cannot lose it (compare-and-swap) would lock the line for each value.
//!
//! What this is not: a channel. No flag, counter or message may be passed through these
//! values, as nothing orders them with anything.
//!
//! Source: Niu, Recht, Ré, Wright, *Hogwild!: A Lock-Free Approach to Parallelizing
//! Stochastic Gradient Descent*, 2011. Under `--cfg loom` the atomics are those of the
//! model checker `loom`, and a block holds one value; see `tests/loom.rs`.

use kernels::prefetch::for_writing;
use model::Parameters;
use std::ops::Range;

#[cfg(loom)]
use loom::sync::atomic::{AtomicU32, Ordering::Relaxed};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Values in a block, which is a cache line.
pub const BLOCK: usize = if cfg!(loom) { 1 } else { 16 };

#[repr(align(64))]
#[derive(Debug)]
struct Block([AtomicU32; BLOCK]);

/// An arena of `f32`, as bits in relaxed atomics, that any number of threads may change.
#[derive(Debug)]
pub struct Shared {
    blocks: Box<[Block]>,
    len: usize,
}

impl Shared {
    /// A copy of `values`.
    pub fn new(values: &[f32]) -> Self {
        let value = |n: usize| AtomicU32::new(values.get(n).map_or(0, |value| value.to_bits()));
        let block = |b: usize| Block(std::array::from_fn(|n| value(b * BLOCK + n)));
        let blocks = (0..values.len().div_ceil(BLOCK)).map(block).collect();
        Self { blocks, len: values.len() }
    }

    /// Copies every value to `values`. Each is one that was stored; they need not have been
    /// there at the same time, unless nobody writes meanwhile.
    ///
    /// # Panics
    /// If `values` has another length.
    pub fn read(&self, values: &mut [f32]) {
        assert!(values.len() == self.len, "{} values of {}", values.len(), self.len);
        for (block, values) in self.blocks.iter().zip(values.chunks_mut(BLOCK)) {
            for (shared, value) in block.0.iter().zip(values) {
                *value = f32::from_bits(shared.load(Relaxed));
            }
        }
    }

    /// The exchange of one block: see the module.
    ///
    /// In three passes, so that only the first and the last go value by value, as atomics
    /// must: what is written to `own` in whole vectors can be read in whole vectors at once.
    #[inline]
    pub fn exchange(&self, block: usize, own: &mut [f32; BLOCK], seen: &mut [f32; BLOCK]) {
        let shared = &self.blocks[block].0;
        let now: [u32; BLOCK] = std::array::from_fn(|n| shared[n].load(Relaxed));
        let changed: [bool; BLOCK] = std::array::from_fn(|n| own[n].to_bits() != seen[n].to_bits());
        for n in 0..BLOCK {
            let theirs = f32::from_bits(now[n]);
            let both = theirs + (own[n] - seen[n]);
            let sum = if now[n] == seen[n].to_bits() { own[n] } else { both };
            let value = if changed[n] { sum } else { theirs };
            (own[n], seen[n]) = (value, value);
        }
        for n in 0..BLOCK {
            if changed[n] {
                shared[n].store(own[n].to_bits(), Relaxed);
            }
        }
    }
}

/// A worker's own parameters, and what it last saw of the shared ones.
#[derive(Debug)]
pub struct Replica {
    /// What the kernels read and the optimizer changes.
    pub parameters: Parameters,
    seen: Parameters,
    /// S, the values in a row of `W_in`: whole blocks.
    stride: usize,
    /// Which inputs were used since the last push, as a list and by number.
    used: Vec<usize>,
    is_used: Vec<bool>,
    /// The block after `W_in` where the next push starts.
    start: usize,
}

impl Replica {
    /// A copy of `parameters`, which must be those that are shared. Worker `number` of
    /// `workers` starts its pushes at its own share of the blocks.
    ///
    /// # Panics
    /// If the arena is not whole blocks: rows are padded to 16 values.
    pub fn new(parameters: Parameters, number: usize, workers: usize) -> Self {
        let (config, len) = (parameters.config(), parameters.arena().len());
        assert!(len.is_multiple_of(BLOCK), "{len} values are not whole blocks");
        Self {
            seen: parameters.clone(),
            stride: config.hidden().next_multiple_of(16),
            used: Vec::new(),
            is_used: vec![false; config.inputs()],
            start: len / BLOCK * number / workers,
            parameters,
        }
    }

    /// An example with the inputs `x` `[T, B, I]` is next: brings the rows of `W_in` that it
    /// uses up to date, if they were not used since the last push already. Those of inputs
    /// that are zero throughout have no gradient, and are left alone.
    #[inline]
    pub fn use_inputs(&mut self, x: &[f32], shared: &Shared) {
        let inputs = self.is_used.len();
        // With few inputs all are soon in use.
        if self.used.len() == inputs {
            return;
        }
        for row in x.chunks_exact(inputs) {
            for (input, value) in row.iter().enumerate() {
                if *value != 0.0 && !self.is_used[input] {
                    self.is_used[input] = true;
                    self.used.push(input);
                    self.exchange(input * self.stride..(input + 1) * self.stride, shared);
                }
            }
        }
    }

    /// Adds what the worker changed since its last push to what is shared, and takes over
    /// what others changed: in all rows but those of inputs that were not used.
    pub fn push(&mut self, shared: &Shared) {
        let (first, len) = (self.is_used.len() * self.stride, self.parameters.arena().len());
        let start = first + self.start * BLOCK % (len - first);
        self.start += STEP;
        self.exchange(start..len, shared);
        self.exchange(first..start, shared);
        while let Some(input) = self.used.pop() {
            self.is_used[input] = false;
            self.exchange(input * self.stride..(input + 1) * self.stride, shared);
        }
    }

    /// The exchange of everything, at the beginning and the end of a training.
    pub fn push_all(&mut self, shared: &Shared) {
        self.exchange(0..self.parameters.arena().len(), shared);
        self.used.clear();
        self.is_used.fill(false);
    }

    /// Exchanges the values `range`, whole blocks.
    #[inline]
    fn exchange(&mut self, range: Range<usize>, shared: &Shared) {
        let first = range.start / BLOCK;
        let (own, _) = self.parameters.arena_mut()[range.clone()].as_chunks_mut();
        let (seen, _) = self.seen.arena_mut()[range].as_chunks_mut();
        shared.blocks[first..][..own.len().min(AHEAD)].iter().for_each(for_writing);
        for (block, (own, seen)) in (first..).zip(own.iter_mut().zip(seen)) {
            if let Some(ahead) = shared.blocks.get(block + AHEAD) {
                for_writing(ahead);
            }
            shared.exchange(block, own, seen);
        }
    }
}

/// Blocks that are on their way while one is exchanged: about as many lines as a core can wait
/// for at once.
const AHEAD: usize = 16;

/// Blocks between the starts of two pushes of a worker: after as many pushes as there are
/// blocks it has started at each, unless their number is a multiple of 7.
const STEP: usize = 7;
