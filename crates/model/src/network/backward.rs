//! One layer and direction backward through one segment.
//!
//! ```text
//! for each step, the last first: dz from dh by the cell; dh_before += dz·W_recᵀ; db += Σ dz
//! dW_in += xᵀ·dz    dW_rec += h_beforeᵀ·dz    dx += dz·W_inᵀ       one product each
//! ```
//!
//! A product over the whole segment, not over all steps, sums the gradient of the weights:
//! dz is then still in the cache, and the sum does not depend on whether the segments were
//! kept or computed again. The gradient of the first segment is written, not added, so
//! that nobody has to clear it.

use super::product::{self, Ready};
use super::segment::{Fed, Piece, Segment, Shape, Slot, part, part_mut, parts_mut};
use crate::Cell;
use crate::parameters::Layer;
use kernels::buffer::Buffer;
use kernels::cell::panels::InitialSum;
use kernels::cell::{GROUP, elman, gru, lstm};
use kernels::matmul::{Right, gemm};
use kernels::matrix::{MatMut, MatRef};

/// What the backward pass multiplies with, and how it takes the segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backward<'a> {
    /// The inputs.
    pub x: &'a Fed<'a>,
    /// All states h, as in [`Slot::h`].
    pub h: &'a [f32],
    /// W_recᵀ `[G·S, H]`
    pub w_rec_t: Ready<'a>,
    /// W_inᵀ `[G·S, ·]`, in as many parts.
    pub w_in_t: &'a [Right<'a>],
    /// Whether it is the first to write the gradient of the weights.
    pub is_first: bool,
    /// Whether ∂L/∂ the states that the segment starts from is asked for.
    pub to_start: bool,
    /// Whether the segment starts from zeros.
    pub from_zeros: bool,
}

/// ∂L/∂ the states.
#[derive(Debug)]
pub(super) struct Down<'a> {
    /// `[rows, S]`: ∂L/∂h from outside of the layer; used up.
    pub dh: &'a mut [f32],
    /// `[B, S]`: ∂L/∂h behind the segment, becomes that before it.
    pub dh_start: &'a mut [f32],
    /// `[B, S]`: the same of c.
    pub dc_start: &'a mut [f32],
}

/// Carries `down` back through a segment. `dx` gets ∂L/∂ the inputs, in as many parts, written
/// or (`true`) added; no parts if nobody asks.
/// `scratch` is for states before that do not stand side by side.
pub(super) fn backward(
    segment: &Segment<'_>,
    pass: &Backward<'_>,
    slot: &mut Slot,
    down: Down<'_>,
    gradient: Layer<&mut [f32]>,
    dx: Vec<(MatMut<'_>, bool)>,
    scratch: &mut Buffer,
) {
    let Shape { cell, hidden, stride, .. } = segment.shape;
    let Down { dh, dh_start, dc_start } = down;
    let (rows, row) = (segment.rows(), segment.shape.row());
    let beta = if pass.is_first { 0.0 } else { 1.0 };
    if pass.is_first {
        gradient.b_in.fill(0.0);
        gradient.b_rec.fill(0.0);
    }

    if let Some(last) = segment.order().next_back() {
        let (first, count) = (segment.row(last), segment.packing.count(last));
        let (dh, dh_start) = (&mut dh[first * stride..], &dh_start[..count * stride]);
        dh.iter_mut().zip(dh_start).for_each(|(dh, later)| *dh += later);
    }
    for t in segment.order().rev() {
        for piece in segment.pieces(t) {
            let from = segment.before_row(&piece);
            let Piece { row: first, count, before, place } = piece;
            let (at, states) = (segment.first_row() + first, pass.h);
            let h = part(states, at, count, stride);
            let h_before = part(states, from, count, stride);
            let (mut dh, mut dh_before) = match before {
                Some(before) => parts_mut(dh, stride, count, first, segment.row(before)),
                None => {
                    (part_mut(dh, first, count, stride), part_mut(dh_start, place, count, stride))
                }
            };
            let dz = match cell {
                Cell::Elman(f) => {
                    elman::backward(f.into(), h, dh.reborrow());
                    dh.as_ref()
                }
                Cell::Gru => {
                    if before.is_none() {
                        dh_before.reborrow().into_rows().for_each(|row| row.fill(0.0));
                    }
                    let mut dzx = part_mut(&mut slot.gates, first, count, row);
                    let dzh = part_mut(&mut slot.recurrent, first, count, row);
                    gru::backward(dzx.reborrow(), dzh, h_before, dh.as_ref(), dh_before.reborrow());
                    add_rows(dzx.as_ref(), gradient.b_in);
                    let dzh = part(&slot.recurrent, first, count, row);
                    add_last_gates(dzh, gradient.b_rec);
                    dzh
                }
                Cell::Lstm => {
                    let c_before = part(&slot.c, from, count, stride);
                    let gates = part_mut(&mut slot.gates, first, count, row);
                    let dc = part_mut(dc_start, place, count, stride);
                    lstm::backward(gates, c_before, h, dh.as_ref(), dc);
                    part(&slot.gates, first, count, row)
                }
            };
            if cell != Cell::Gru {
                add_rows(dz, gradient.b_rec);
            }
            if before.is_some() || pass.to_start {
                let adds = before.is_some() || cell == Cell::Gru;
                let start = if adds { InitialSum::Old } else { InitialSum::Zeros };
                pass.w_rec_t.multiply(dz, hidden, start, dh_before);
            }
        }
    }
    if cell == Cell::Gru {
        // r and z meet both biases in one sum
        let blocks = gradient.b_rec.chunks_exact_mut(GROUP).zip(gradient.b_in.chunks_exact(GROUP));
        for (gate, (b_rec, b_in)) in blocks.enumerate() {
            if gate % gru::GATES < gru::GATES - 1 {
                b_rec.copy_from_slice(b_in);
            }
        }
    } else {
        gradient.b_in.copy_from_slice(gradient.b_rec);
    }

    let dzx = match cell {
        Cell::Elman(_) => part(dh, 0, rows, row),
        Cell::Gru | Cell::Lstm => part(&slot.gates, 0, rows, row),
    };
    let dzh = match cell {
        Cell::Gru => part(&slot.recurrent, 0, rows, row),
        Cell::Elman(_) | Cell::Lstm => dzx,
    };
    let (h_before, dzh) = states_before(segment, pass.h, dzh, pass.from_zeros, scratch);
    let h_before = h_before.part(0, 0, h_before.rows(), hidden);
    gemm(1.0, h_before.t(), dzh, beta, MatMut::new(gradient.w_rec, hidden, row));
    match pass.x {
        Fed::Parts(parts) => {
            let mut rest = gradient.w_in;
            for x in parts {
                let (dw_in, behind) = rest.split_at_mut(x.columns() * row);
                gemm(1.0, x.t(), dzx, beta, MatMut::new(dw_in, x.columns(), row));
                rest = behind;
            }
        }
        // the rows were cleared before the first segment
        Fed::Symbols(symbols) => product::add_selected(symbols, dzx, gradient.w_in),
    }
    for ((dx, adds), &w_in_t) in dx.into_iter().zip(pass.w_in_t) {
        gemm(1.0, dzx, w_in_t, if adds { 1.0 } else { 0.0 }, dx);
    }
}

/// `sums[j] += Σ_i rows[i, j]`; nothing if there are no sums.
pub(super) fn add_rows(rows: MatRef<'_>, sums: &mut [f32]) {
    if sums.is_empty() {
        return;
    }
    let mut first = 0;
    while first + 4 <= rows.rows() {
        let [a, b, c, d] = [0, 1, 2, 3].map(|n| rows.row(first + n));
        for ((((sum, a), b), c), d) in sums.iter_mut().zip(a).zip(b).zip(c).zip(d) {
            *sum += (a + b) + (c + d);
        }
        first += 4;
    }
    for row in first..rows.rows() {
        sums.iter_mut().zip(rows.row(row)).for_each(|(sum, value)| *sum += value);
    }
}

/// [`add_rows`] of the last gate of a GRU, n.
pub(super) fn add_last_gates(rows: MatRef<'_>, sums: &mut [f32]) {
    let last = |row: &'_ [f32], n: usize| -> [f32; GROUP] {
        let (blocks, _) = row.as_chunks::<GROUP>();
        blocks[n]
    };
    for (n, sums) in sums.as_chunks_mut::<GROUP>().0.iter_mut().enumerate() {
        if n % gru::GATES == gru::GATES - 1 {
            for row in rows.iter_rows() {
                sums.iter_mut().zip(last(row, n)).for_each(|(sum, value)| *sum += value);
            }
        }
    }
}

/// The states before each row, side by side, and the rows of `dz` that they meet: all, or
/// those whose states before are not zero.
fn states_before<'a>(
    segment: &Segment<'_>,
    h: &'a [f32],
    dz: MatRef<'a>,
    from_zeros: bool,
    scratch: &'a mut Buffer,
) -> (MatRef<'a>, MatRef<'a>) {
    let (rows, stride, batch) = (segment.rows(), segment.shape.stride, segment.packing.batch);
    if segment.is_even() {
        // B rows away, in one block with the start
        let skipped = if from_zeros { batch } else { 0 };
        let (used, columns) = (rows - skipped, dz.columns());
        return if segment.is_forward() {
            (part(h, skipped, used, stride), dz.part(skipped, 0, used, columns))
        } else {
            (part(h, batch, used, stride), dz.part(0, 0, used, columns))
        };
    }
    if scratch.len() < rows * stride {
        scratch.resize(rows * stride);
    }
    for t in segment.steps.clone() {
        for piece in segment.pieces(t) {
            let from = segment.before_row(&piece) * stride;
            let (to, len) = (piece.row * stride, piece.count * stride);
            scratch[to..to + len].copy_from_slice(&h[from..from + len]);
        }
    }
    (part(scratch, 0, rows, stride), dz)
}
