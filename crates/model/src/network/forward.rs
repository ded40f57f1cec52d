//! One layer and direction forward over one segment.
//!
//! ```text
//! z = x·W_in + b                                  one product for all rows; of symbols, the rows of
//!                                                 W_in that they select, step by step
//! for each step: z += h_before·W_rec; h = cell(z)
//! ```
//!
//! The arithmetic is `kernels::cell`'s and `kernels::matmul`'s. Few sequences take the
//! fused steps over weights where they lie, more take products with packed weights.

use super::product::{self, Ready};
use super::segment::{Fed, Piece, Segment, Shape, Slot, part, part_mut, parts_mut};
use crate::Cell;
use kernels::cell::panels::InitialSum;
use kernels::cell::{Walk, elman, gru, lstm};
use kernels::matmul::{Epilogue, Right};
use kernels::matrix::{MatMut, MatRef};

/// Up to so many sequences, fused steps over unpacked weights are faster.
pub(super) const FEW: usize = 4;

/// What the forward pass multiplies with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Forward<'a> {
    /// W_in `[I_l, G·S]`, in as many parts as there are inputs side by side.
    pub w_in: &'a [Right<'a>],
    /// W_in `[I_l, G·S]`, unpacked: for symbols.
    pub plain_w_in: MatRef<'a>,
    /// W_rec `[H, G·S]`
    pub w_rec: Ready<'a>,
    /// The same, unpacked.
    pub plain_w_rec: MatRef<'a>,
    /// `[G·S]`: b_in + b_rec, or for a GRU b_in.
    pub bias: Option<&'a [f32]>,
    /// `[G·S]`: b_rec, of a GRU.
    pub recurrent_bias: Option<&'a [f32]>,
    /// Whether the segment starts from zeros, which meet no weight.
    pub from_zeros: bool,
}

/// Runs the layer over a segment, whose inputs `x` `[rows, ·]` are as many parts as W_in
/// has, or symbols `[rows]`, from the start in `h` and c. All states h are in `h` and not in the
/// slot.
pub(super) fn forward(
    segment: &Segment<'_>,
    x: &Fed<'_>,
    weights: &Forward<'_>,
    slot: &mut Slot,
    h: &mut [f32],
) {
    let Shape { cell, hidden, stride, direction } = segment.shape;
    let (rows, batch) = (segment.rows(), segment.packing.batch);
    let row = segment.shape.row();
    let is_fused = segment.is_even() && batch <= FEW;
    {
        let z = match cell {
            Cell::Elman(_) => &mut h[segment.first_row() * stride..][..rows * stride],
            Cell::Gru | Cell::Lstm => &mut slot.gates[..],
        };
        let z = MatMut::new(z, rows, row);
        match x {
            Fed::Parts(x) => {
                let epilogue = Epilogue { bias: weights.bias, ..Epilogue::default() };
                product::of_parts(x, weights.w_in, epilogue, z);
            }
            Fed::Symbols(symbols) if is_fused => {
                product::select(symbols, weights.plain_w_in, weights.bias, z);
            }
            Fed::Symbols(_) => {} // step by step, while the rows of z are in the cache
        }
    }

    if is_fused {
        let walk = Walk { steps: segment.steps.len(), batch, direction };
        let (h_start, h) = split_start(segment, h);
        match cell {
            Cell::Elman(f) => {
                elman::forward_steps(f.into(), walk, weights.plain_w_rec, h_start, h);
            }
            Cell::Gru => {
                let zx = MatMut::new(&mut slot.gates, rows, row);
                let zh = MatMut::new(&mut slot.recurrent, rows, row);
                let w_rec = weights.plain_w_rec;
                let recurrent = gru::Recurrent { w_rec, b_rec: weights.recurrent_bias };
                gru::forward_steps(walk, recurrent, h_start, gru::Steps { zx, zh, h });
            }
            Cell::Lstm => {
                let (c_start, c) = split_start(segment, &mut slot.c);
                let start = lstm::Start { h: h_start, c: c_start };
                let gates = MatMut::new(&mut slot.gates, rows, row);
                let steps = lstm::Steps { gates, c, h };
                lstm::forward_steps(walk, weights.plain_w_rec, start, steps);
            }
        }
        return;
    }

    for t in segment.order() {
        for piece in segment.pieces(t) {
            let Piece { row: first, count, before, .. } = piece;
            let (from, to) = (segment.before_row(&piece), segment.first_row() + first);
            let is_zero = before.is_none() && weights.from_zeros;
            let (h_before, mut h) = parts_mut(h, stride, count, from, to);
            let h_before = h_before.as_ref();
            let used = h_before.part(0, 0, count, hidden);
            let symbols = match x {
                Fed::Parts(_) => None,
                Fed::Symbols(symbols) => Some(&symbols[first..first + count]),
            };
            // z += h_before·W_rec, or, where nothing stands in z yet, both terms
            let sum = |mut z: MatMut<'_>| {
                if !is_zero {
                    let start = symbols.map_or(InitialSum::Old, |_| InitialSum::Zeros);
                    weights.w_rec.multiply(used, row, start, z.reborrow());
                }
                if let Some(symbols) = symbols {
                    let select = if is_zero { product::select } else { product::add_rows };
                    select(symbols, weights.plain_w_in, weights.bias, z);
                }
            };
            match cell {
                Cell::Elman(f) => {
                    sum(h.reborrow());
                    elman::forward(f.into(), hidden, h);
                }
                Cell::Gru => {
                    let mut zx = part_mut(&mut slot.gates, first, count, row);
                    if let Some(symbols) = symbols {
                        product::select(symbols, weights.plain_w_in, weights.bias, zx.reborrow());
                    }
                    let mut zh = part_mut(&mut slot.recurrent, first, count, row);
                    let bias = weights.recurrent_bias;
                    if is_zero {
                        zh.reborrow().into_rows().for_each(|zh| match bias {
                            Some(bias) => zh.copy_from_slice(bias),
                            None => zh.fill(0.0),
                        });
                    } else {
                        let start = bias.map_or(InitialSum::Zeros, InitialSum::Row);
                        weights.w_rec.multiply(used, row, start, zh.reborrow());
                    }
                    gru::forward(zx, zh.as_ref(), h_before, h);
                }
                Cell::Lstm => {
                    let mut gates = part_mut(&mut slot.gates, first, count, row);
                    sum(gates.reborrow());
                    let (c_before, c) = parts_mut(&mut slot.c, stride, count, from, to);
                    lstm::forward(gates, c_before.as_ref(), c, h);
                }
            }
        }
    }
}

/// Of a buffer of states: the start `[B, S]` and the rows `[rows, S]` of the segment.
fn split_start<'s>(segment: &Segment<'_>, states: &'s mut [f32]) -> (MatRef<'s>, MatMut<'s>) {
    let (rows, batch, stride) = (segment.rows(), segment.packing.batch, segment.shape.stride);
    let middle = segment.first_row().max(segment.start_row());
    let (low, high) = states.split_at_mut(middle * stride);
    let (start, rest) = if segment.is_forward() { (low, high) } else { (high, low) };
    (part(start, 0, batch, stride), part_mut(rest, 0, rows, stride))
}
