//! A segment: some steps of one layer and direction, their rows, and what they keep.
//!
//! Rows are packed (see `sequences`): a step has a row for each sequence that has not
//! ended. A segment stands alone: it begins with a block of B rows, the states that its
//! sequences come from, so that it can be computed again without its neighbours.
//!
//! Here is only which rows meet which; the passes over them are `forward` and `backward`.

use crate::sequences::Packing;
use crate::{Cell, Config};
use kernels::buffer::Buffer;
use kernels::cell::Direction;
use kernels::matrix::{MatMut, MatRef};
use std::ops::Range;

/// What a segment keeps for its backward pass. Rows are those of the segment.
#[derive(Debug, Default)]
pub(super) struct Slot {
    /// GRU, LSTM: `[rows, G·S]`, the gates' values, then the gradients before them.
    pub gates: Buffer,
    /// GRU: `[rows, G·S]`, what comes from the state before, then its gradient.
    pub recurrent: Buffer,
    /// `[B, S]` where the segment starts from, and `[rows, S]` the states: in this order
    /// forward, in the other in reverse, so that each row's state before is B rows away.
    /// Empty where the outputs hold them (`layers`).
    pub h: Buffer,
    /// LSTM: the same of the cell states.
    pub c: Buffer,
}

impl Slot {
    /// Bytes of its buffers.
    pub fn bytes(&self) -> usize {
        let buffers = [&self.gates, &self.recurrent, &self.h, &self.c];
        buffers.iter().map(|buffer| size_of_val(&buffer[..])).sum()
    }
}

/// What a layer is fed with in a segment.
#[derive(Debug)]
pub(super) enum Fed<'a> {
    /// Values `[rows, ·]` side by side.
    Parts(Vec<MatRef<'a>>),
    /// `[rows]`: each selects a row of the weights.
    Symbols(&'a [u32]),
}

/// What of a layer and direction does not change from segment to segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub cell: Cell,
    /// H
    pub hidden: usize,
    /// S
    pub stride: usize,
    pub direction: Direction,
}

impl Shape {
    /// Of direction `direction` of any layer.
    pub fn new(config: Config, direction: usize) -> Self {
        let direction = if direction == 0 { Direction::Forward } else { Direction::Reverse };
        let (cell, hidden, stride) = (config.cell(), config.hidden(), config.stride());
        Self { cell, hidden, stride, direction }
    }

    /// G·S
    pub fn row(&self) -> usize {
        self.cell.gates() * self.stride
    }
}

/// The steps of a segment and their rows, counted from the segment's first.
#[derive(Clone, Debug)]
pub(super) struct Segment<'a> {
    pub packing: &'a Packing,
    pub steps: Range<usize>,
    pub shape: Shape,
}

/// Some rows of one step, whose states before stand side by side.
pub(super) struct Piece {
    /// The first row, among those of the segment.
    pub row: usize,
    pub count: usize,
    /// The step before, or none where the sequences come from the segment's start.
    pub before: Option<usize>,
    /// The first row's place among the sequences.
    pub place: usize,
}

impl<'a> Segment<'a> {
    pub fn new(packing: &'a Packing, index: usize, shape: Shape) -> Self {
        Self { packing, steps: packing.segments[index].clone(), shape }
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.packing.rows_of(&self.steps).len()
    }

    /// The first row of step `t`.
    pub fn row(&self, t: usize) -> usize {
        self.packing.rows_of(&(self.steps.start..t)).len()
    }

    pub fn is_forward(&self) -> bool {
        self.shape.direction == Direction::Forward
    }

    /// Whether every step has a row of every sequence.
    pub fn is_even(&self) -> bool {
        self.packing.is_even()
    }

    /// The steps, in the order in which the layer takes them.
    pub fn order(&self) -> impl DoubleEndedIterator<Item = usize> + use<> {
        let (steps, forward) = (self.steps.clone(), self.is_forward());
        (0..steps.len()).map(move |n| if forward { steps.start + n } else { steps.end - 1 - n })
    }

    /// The rows of step `t`: one piece, or in reverse two, where sequences begin at `t`.
    pub fn pieces(&self, t: usize) -> impl Iterator<Item = Piece> + use<> {
        let (row, count) = (self.row(t), self.packing.count(t));
        let before = if self.is_forward() {
            t.checked_sub(1).filter(|&before| before >= self.steps.start)
        } else {
            Some(t + 1).filter(|&before| before < self.steps.end)
        };
        let after = match before {
            Some(before) => count.min(self.packing.count(before)),
            None => 0,
        };
        let later = Piece { row, count: after, before, place: 0 };
        let first = Piece { row: row + after, count: count - after, before: None, place: after };
        [later, first].into_iter().filter(|piece| piece.count > 0)
    }

    /// Where the rows of the segment begin in a buffer of states.
    pub fn first_row(&self) -> usize {
        if self.is_forward() { self.packing.batch } else { 0 }
    }

    /// Where the block of B states that the segment starts from begins.
    pub fn start_row(&self) -> usize {
        if self.is_forward() { 0 } else { self.rows() }
    }

    /// Where the states before a piece begin in a buffer of states.
    pub fn before_row(&self, piece: &Piece) -> usize {
        match piece.before {
            Some(before) => self.first_row() + self.row(before),
            None => self.start_row() + piece.place,
        }
    }

    /// `[rows, S]`: the states that the segment has computed, in `h` as in [`Slot::h`].
    pub fn states<'s>(&self, h: &'s [f32]) -> MatRef<'s> {
        let stride = self.shape.stride;
        let states = &h[self.first_row() * stride..][..self.rows() * stride];
        MatRef::new(states, self.rows(), stride)
    }

    /// The values of all states, those that it starts from included.
    pub fn len_of_states(&self) -> usize {
        (self.rows() + self.packing.batch) * self.shape.stride
    }

    /// Makes room for all but h.
    pub fn make_room(&self, slot: &mut Slot) {
        let Shape { cell, stride, .. } = self.shape;
        let (rows, row) = (self.rows(), cell.gates() * stride);
        match cell {
            Cell::Elman(_) => {}
            Cell::Gru => {
                slot.gates.resize(rows * row);
                slot.recurrent.resize(rows * row);
            }
            Cell::Lstm => {
                slot.gates.resize(rows * row);
                slot.c.resize(self.len_of_states());
            }
        }
    }

    /// Writes the states `[B, S]` that the segment starts from to all `states`, h or c.
    pub fn start_from(&self, states: &mut [f32], start: &[f32]) {
        if start.is_empty() {
            return; // no c
        }
        let first = self.start_row() * self.shape.stride;
        states[first..first + start.len()].copy_from_slice(start);
    }

    /// Writes the states behind the segment, of all `states`, h or c, over those before it,
    /// `[B, S]`.
    pub fn finish(&self, states: &[f32], end_states: &mut [f32]) {
        if end_states.is_empty() {
            return; // no c
        }
        let stride = self.shape.stride;
        // the last state of a sequence in the segment, in the direction's order
        for place in 0..self.packing.count(self.steps.start) {
            let end = self.packing.length(place).min(self.steps.end);
            let last = if self.is_forward() { end - 1 } else { self.steps.start };
            let from = (self.first_row() + self.row(last) + place) * stride;
            end_states[place * stride..][..stride].copy_from_slice(&states[from..from + stride]);
        }
    }
}

/// `[count, width]`: rows of `width` values from row `first` on.
pub(super) fn part(values: &[f32], first: usize, count: usize, width: usize) -> MatRef<'_> {
    MatRef::new(&values[first * width..][..count * width], count, width)
}

/// [`part`], to write.
pub(super) fn part_mut(values: &mut [f32], first: usize, count: usize, width: usize) -> MatMut<'_> {
    MatMut::new(&mut values[first * width..][..count * width], count, width)
}

/// Two parts of `count` rows of `width` values that do not overlap: from row `one` on, and
/// from row `other` on.
pub(super) fn parts_mut(
    values: &mut [f32],
    width: usize,
    count: usize,
    one: usize,
    other: usize,
) -> (MatMut<'_>, MatMut<'_>) {
    let (low, high) = (one.min(other), one.max(other));
    let (before, behind) = values.split_at_mut(high * width);
    let (low, high) = (part_mut(before, low, count, width), part_mut(behind, 0, count, width));
    if one < other { (low, high) } else { (high, low) }
}
