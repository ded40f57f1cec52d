//! The cells of recurrent layers: the gate arithmetic of Elman, GRU and LSTM layers,
//! forward and backward, with PyTorch's equations and order of gates.
//!
//! Legend: T steps, B batch, I inputs, H hidden units, G gates of a cell (1, 3, 4); S is
//! H rounded up to [`GROUP`].
//!
//! ```text
//! z = x·W_in + b_in + h_before·W_rec + b_rec      W_in [I, G·S], W_rec [H, G·S], b [G·S]
//! h, c = cell(z, c_before)                        elman, gru, lstm
//! ```
//!
//! A row of gate values is *grouped*: for every 16 units, G blocks of 16 values, one for each
//! gate ([`column()`] says where a value is). So the gates of 16 units are G adjacent cache
//! lines, one tile of a product holds all gates of its units, and the arithmetic runs on
//! values that are already in registers.
//!
//! Each cell has three kinds of functions, over the same arithmetic:
//!
//! 1. `forward`, `backward`: the gates of one step, for any number of rows. For batches,
//!    together with packed products.
//! 2. `forward_steps`, `backward_steps`: all steps of a layer, the recurrent product
//!    included, for few rows (B up to about 4), which reuse each weight too seldom to pack.
//! 3. `step`: one step from `x` to `h`, for streaming.
//!
//! All rows are padded with zeros to S (or G·S) values; the strides of the views may be
//! larger. If the padding of the inputs is zero (weights, biases, `h`, `c`, and every
//! gradient), so is the padding of the outputs, except for the activated gates. These must
//! not enter a product; their gradients, which do, are zero in the padding. A NaN or ∞ among
//! the states of a step may turn the padding to NaN.
//!
//! This is not a layer: the product `x·W_in` of all steps at once, the gradients of the
//! weights (`xᵀ·dz`, `hᵀ·dz`) and the lengths of the sequences belong to the caller.

pub mod elman;
pub mod few;
pub mod gru;
pub mod lstm;
pub mod panels;
mod sums;

use crate::lanes::{LANES, Lanes, load, store};
use crate::matrix::{MatMut, MatRef};
use crate::recurrent::ROW;
use crate::size;

/// Units whose values of one gate are adjacent: those of a cache line.
pub const GROUP: usize = ROW;

/// Where the value of `gate` of `unit` is in a grouped row of `gates` gates.
pub const fn column(gates: usize, gate: usize, unit: usize) -> usize {
    (unit / GROUP * gates + gate) * GROUP + unit % GROUP
}

/// The end from which a layer reads its sequences.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// From the first step to the last.
    #[default]
    Forward,
    /// From the last step to the first.
    Reverse,
}

/// The steps of a pass over arrays `[T·B, ·]`, in which row `t·B + b` is step t of
/// sequence b.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Walk {
    /// T, the steps of each sequence.
    pub steps: usize,
    /// B, the sequences side by side.
    pub batch: usize,
    /// Which step comes first.
    pub direction: Direction,
}

impl Walk {
    /// T·B, the rows of the arrays.
    #[track_caller]
    fn rows(self) -> usize {
        size::rows(self.steps, self.batch)
    }

    /// The steps in the order in which the layer takes them; the first starts from the
    /// initial state. None where there are no sequences.
    fn order(self) -> impl DoubleEndedIterator<Item = usize> {
        (0..if self.batch == 0 { 0 } else { self.steps }).map(move |step| match self.direction {
            Direction::Forward => step,
            Direction::Reverse => self.steps - 1 - step,
        })
    }

    /// The step that the layer took before step `t`, if there was one.
    fn before(self, t: usize) -> Option<usize> {
        match self.direction {
            Direction::Forward => t.checked_sub(1),
            Direction::Reverse => (t + 1 < self.steps).then_some(t + 1),
        }
    }

    /// `[B, ·]`: step `t` of `[T·B, ·]`.
    fn step<'a>(self, t: usize, all: MatRef<'a>) -> MatRef<'a> {
        all.part(t * self.batch, 0, self.batch, all.columns())
    }

    fn step_mut<'a>(self, t: usize, all: &'a mut MatMut<'_>) -> MatMut<'a> {
        let columns = all.columns();
        all.reborrow().into_part(t * self.batch, 0, self.batch, columns)
    }

    /// Of `[T·B, ·]`: the step before `t` (none if `t` is the first), and step `t`.
    fn before_and_step<'a>(
        self,
        t: usize,
        all: &'a mut MatMut<'_>,
    ) -> (Option<MatMut<'a>>, MatMut<'a>) {
        let Some(before) = self.before(t) else {
            return (None, self.step_mut(t, all));
        };
        let columns = all.columns();
        let middle = t.max(before) * self.batch;
        let (early, late) = all.reborrow().split_at_row(middle);
        let early = early.into_part(middle - self.batch, 0, self.batch, columns);
        let late = late.into_part(0, 0, self.batch, columns);
        if before < t { (Some(early), late) } else { (Some(late), early) }
    }
}

/// The weights of one layer and direction, as [`step`](lstm::step) takes them.
#[derive(Clone, Copy, Debug)]
pub struct CellWeights<'a> {
    /// `[I, G·S]`, row: from input.
    pub w_in: MatRef<'a>,
    /// `[H, G·S]`, row: from unit.
    pub w_rec: MatRef<'a>,
    /// `[G·S]`: PyTorch's `bias_ih`; `None` means zeros.
    pub b_in: Option<&'a [f32]>,
    /// `[G·S]`: PyTorch's `bias_hh`; `None` means zeros.
    pub b_rec: Option<&'a [f32]>,
}

impl CellWeights<'_> {
    /// H
    fn hidden(&self) -> usize {
        self.w_rec.rows()
    }

    #[track_caller]
    fn check(&self, gates: usize, inputs: usize) {
        let row = self.w_rec.columns();
        check_row("w_rec", row, gates, self.hidden());
        check("w_in", self.w_in.rows(), self.w_in.columns(), inputs, row);
        for (name, bias) in [("b_in", self.b_in), ("b_rec", self.b_rec)] {
            if let Some(bias) = bias {
                check(name, 1, bias.len(), 1, row);
            }
        }
    }
}

/// Panics with the name of a matrix that has another shape.
#[track_caller]
fn check(name: &str, rows: usize, columns: usize, of_rows: usize, of_columns: usize) {
    assert!(
        (rows, columns) == (of_rows, of_columns),
        "{name} is {rows} x {columns}, the others ask for {of_rows} x {of_columns}"
    );
}

/// Panics if a row of gates is not that of `hidden` units.
#[track_caller]
fn check_row(name: &str, columns: usize, gates: usize, hidden: usize) {
    let expected = size::padded_rows(gates, hidden, GROUP);
    assert!(
        hidden > 0 && columns == expected,
        "{name} has rows of {columns} values: {hidden} units with {gates} gates need {expected}"
    );
}

/// The vectors of a group of 16 units: one, or two where vectors have 8 lanes.
fn vectors() -> impl Iterator<Item = usize> {
    (0..GROUP).step_by(LANES)
}

/// The vector at `at` of a block. Its size is known at compile time, as is `at` once the
/// loops are unrolled, so the check takes no code.
#[inline(always)]
fn get<const N: usize>(block: &[f32; N], at: usize) -> Lanes {
    assert!(at + LANES <= N);
    // SAFETY: `at + LANES` is at most the length N of the block.
    unsafe { load(block.as_ptr().add(at)) }
}

/// Writes the vector that [`get`] reads.
#[inline(always)]
fn put<const N: usize>(block: &mut [f32; N], at: usize, value: Lanes) {
    assert!(at + LANES <= N);
    // SAFETY: `at + LANES` is at most the length N of the block, which is borrowed exclusively.
    unsafe { store(block.as_mut_ptr().add(at), value) }
}
