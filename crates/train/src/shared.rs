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
//! 3. A push is made in parts, K/4 examples apart: a part is the next quarter of `W_rec`, and
//!    every time `W_in` and `W_out`, which are few lines. Old values of these two cost more
//!    examples than old values of `W_rec`, by far. Each worker is at another quarter, so that
//!    two that push at the same time seldom want the same line.
//!    Where examples are long `W_out` is exchanged in the middle of each besides: see
//!    `strategy/hogwild.rs`.
//! 4. A value that did not change is not stored: its line can stay with its readers, and
//!    no store of an old value can undo somebody's work.
//! 5. The lines that come next are asked for ahead of their turn, to be written: a line comes
//!    once and not first for the load and then for the store. Where they are few they are
//!    asked for a whole batch ahead, and the way is for nothing.
//! 6. Rows that belong to an input, `W_in [I, S]`, are left out as long as the input is
//!    zero: see [`Replica::use_inputs`]. With one-hot inputs these are nearly all there are.
//! 7. A line is moved in four pieces of 16 bytes, and not value by value, which takes five
//!    times as long: see [`kernels::relaxed`].
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
//! model checker `loom`, and a block holds one value; see `tests/loom.rs`. How a whole line
//! of atomics is moved is the affair of [`kernels::relaxed`].

use kernels::prefetch::for_writing;
use model::{InputRows, Memory, Parameters};
use std::ops::Range;

/// Values in a block.
#[cfg(not(loom))]
pub use kernels::relaxed::LINE as BLOCK;
/// A block is a cache line.
#[cfg(not(loom))]
use kernels::relaxed::Line as Block;

#[cfg(loom)]
pub use one_value::BLOCK;
#[cfg(loom)]
use one_value::Block;

/// What loom looks at instead of a line: one value, exchanged as [`kernels::relaxed::Line`]
/// exchanges each of its own.
#[cfg(loom)]
mod one_value {
    use loom::sync::atomic::{AtomicU32, Ordering::Relaxed};

    /// Values in a block.
    pub const BLOCK: usize = 1;

    /// One value.
    #[derive(Debug)]
    pub struct Block(AtomicU32);

    impl Block {
        pub fn new([value]: [f32; BLOCK]) -> Self {
            Self(AtomicU32::new(value.to_bits()))
        }

        pub fn load(&self) -> [f32; BLOCK] {
            [f32::from_bits(self.0.load(Relaxed))]
        }

        pub fn exchange(&self, [own]: &mut [f32; BLOCK], [seen]: &mut [f32; BLOCK]) {
            let theirs = self.load()[0];
            let is_changed = own.to_bits() != seen.to_bits();
            let value = if !is_changed {
                theirs
            } else if theirs.to_bits() == seen.to_bits() {
                *own
            } else {
                theirs + (*own - *seen)
            };
            if is_changed {
                self.0.store(value.to_bits(), Relaxed);
            }
            (*own, *seen) = (value, value);
        }
    }
}

/// An arena of `f32`, as bits in relaxed atomics, that any number of threads may change.
#[derive(Debug)]
pub struct Shared {
    blocks: Box<[Block]>,
    len: usize,
}

impl Shared {
    /// A copy of `values`.
    pub fn new(values: &[f32]) -> Self {
        let value = |n: usize| values.get(n).copied().unwrap_or(0.0);
        let block = |b: usize| Block::new(std::array::from_fn(|n| value(b * BLOCK + n)));
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
            values.copy_from_slice(&block.load()[..values.len()]);
        }
    }

    /// The exchange of one block: see the module.
    #[inline]
    pub fn exchange(&self, block: usize, own: &mut [f32; BLOCK], seen: &mut [f32; BLOCK]) {
        self.blocks[block].exchange(own, seen);
    }
}

/// A worker's own parameters, and what it last saw of the shared ones.
#[derive(Debug)]
pub struct Replica {
    /// What the kernels read and the optimizer changes.
    pub parameters: Parameters,
    seen: Parameters,
    /// The rows of the inputs, one behind the other: whole blocks.
    rows: InputRows,
    /// What is pushed in parts: all between these rows and what is pushed every time.
    body: Range<usize>,
    /// How many inputs there are, if so many that rows are left out; else 0.
    inputs: usize,
    /// Which inputs were used since the last push, as a list and by number.
    used: Vec<usize>,
    is_used: Vec<bool>,
    /// The block of the body where the next push starts.
    start: usize,
}

impl Replica {
    /// A copy of `parameters`, which must be those that are shared. Worker `number` of
    /// `workers` starts its pushes at its own share of the blocks.
    ///
    /// # Panics
    /// If the arena is not whole blocks: rows are padded to 16 values.
    pub fn new(parameters: Parameters, number: usize, workers: usize) -> Self {
        let (len, rows) = (parameters.arena().len(), parameters.input_rows());
        assert!(len.is_multiple_of(BLOCK), "{len} values are not whole blocks");
        // A window shows an input at several places.
        let is_plain = !matches!(parameters.config().memory(), Memory::Window(_));
        let inputs = if rows.rows > FEW && is_plain { rows.rows } else { 0 };
        let body = rows.all().end..parameters.tail_range().start;
        Self {
            seen: parameters.clone(),
            rows,
            start: body.len() / BLOCK * number / workers,
            body,
            inputs,
            used: Vec::new(),
            is_used: vec![false; inputs],
            parameters,
        }
    }

    /// A batch with these `inputs` is next: brings the rows of the first layer (or of the
    /// embedding) that it uses up to date, if they were not used since the last push already.
    /// Those of inputs that are zero throughout have no gradient, and are left alone; what an
    /// optimizer with a memory does to them meanwhile is pushed when they are used again. With
    /// four inputs or fewer there is nothing to leave out, and this does nothing.
    #[inline]
    pub fn use_inputs(&mut self, inputs: model::Inputs<'_>, shared: &Shared) {
        // None of a few, or all of many.
        if self.used.len() == self.inputs {
            return;
        }
        match inputs {
            model::Inputs::Values(x) => {
                for row in x.chunks_exact(self.inputs) {
                    for (input, value) in row.iter().enumerate() {
                        if *value != 0.0 {
                            self.use_input(input, shared);
                        }
                    }
                }
            }
            model::Inputs::Symbols(symbols) => {
                for &symbol in symbols {
                    self.use_input(symbol as usize, shared);
                }
            }
        }
    }

    #[inline]
    fn use_input(&mut self, input: usize, shared: &Shared) {
        if !self.is_used[input] {
            self.is_used[input] = true;
            self.used.push(input);
            self.exchange(self.rows.range(input), shared);
        }
    }

    /// What a push in `parts` exchanges next: of the body up to two ranges, one where it does
    /// not go over the end; and always all behind it, and before it the rows of inputs that
    /// are not left out.
    #[inline]
    fn part(&self, parts: usize) -> [Range<usize>; 4] {
        let Range { start: first, end } = self.body;
        let from = first + self.start * BLOCK;
        let to = from + (self.body.len() / BLOCK).div_ceil(parts) * BLOCK;
        let rows = self.rows.all();
        let rows = rows.start + self.inputs * self.rows.stride..rows.end;
        [from..to.min(end), first..first + to.saturating_sub(end), end..self.len(), rows]
    }

    fn len(&self) -> usize {
        self.parameters.arena().len()
    }

    /// A push in `parts` is next, after one more batch: begins to bring its lines here
    /// meanwhile. Not so many that they would not all be here still, or that what the batch
    /// needs would not be.
    #[inline]
    pub fn prepare_push(&self, parts: usize, shared: &Shared) {
        let part = self.part(parts);
        if part.iter().map(Range::len).sum::<usize>() <= MOST_PREPARED * BLOCK {
            for Range { start, end } in part {
                shared.blocks[start / BLOCK..end / BLOCK].iter().for_each(for_writing);
            }
        }
    }

    /// Adds what the worker changed to what is shared, and takes over what others changed: in
    /// one of `parts` of the body, which the next calls go on from, in what stands behind it
    /// (the last biases and the head), and in the rows of inputs but those of inputs that were
    /// not used. As many calls exchange all of it.
    ///
    /// # Panics
    /// If `parts` is 0.
    #[inline]
    pub fn push(&mut self, parts: usize, shared: &Shared) {
        for range in self.part(parts) {
            self.exchange(range, shared);
        }
        let blocks = self.body.len() / BLOCK;
        self.start = (self.start + blocks.div_ceil(parts)) % blocks.max(1);
        while let Some(input) = self.used.pop() {
            self.is_used[input] = false;
            self.exchange(self.rows.range(input), shared);
        }
    }

    /// `W_out` is next to be exchanged, after a pass: begins to bring its lines here meanwhile.
    #[inline]
    pub fn prepare_head(&self, shared: &Shared) {
        let Range { start, end } = self.parameters.head_range();
        let lines = &shared.blocks[start / BLOCK..end / BLOCK];
        lines.iter().take(MOST_PREPARED).for_each(for_writing);
    }

    /// Adds what the worker changed in `W_out` to what is shared, and takes over what others
    /// changed there.
    #[inline]
    pub fn exchange_head(&mut self, shared: &Shared) {
        self.exchange(self.parameters.head_range(), shared);
    }

    /// The exchange of everything, at the beginning and the end of a training.
    pub fn push_all(&mut self, shared: &Shared) {
        self.exchange(0..self.len(), shared);
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

/// The most lines that are asked for a batch ahead.
const MOST_PREPARED: usize = 64;

/// So few inputs are soon all in use: their rows are exchanged as all others are.
const FEW: usize = 4;

/// Blocks that are on their way while one is exchanged: about as many lines as a core can wait
/// for at once.
const AHEAD: usize = 16;
