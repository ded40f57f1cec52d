//! The GRU cell: two gates that mix the state before with a candidate for the next.
//!
//! ```text
//! forward                                     backward, given dh
//! r = σ(zx_r + zh_r)                          dzx_r = dzx_n ⊙ zh_n ⊙ r ⊙ (1 − r)      dzh_r = dzx_r
//! z = σ(zx_z + zh_z)                          dzx_z = dh ⊙ (h_before − n) ⊙ z ⊙ (1 − z)  dzh_z = dzx_z
//! n = tanh(zx_n + r ⊙ zh_n)                   dzx_n = dh ⊙ (1 − z) ⊙ (1 − n²)         dzh_n = dzx_n ⊙ r
//! h = (1 − z) ⊙ n + z ⊙ h_before              dh_before = dh ⊙ z + dzh·W_recᵀ
//! zx = x·W_in + b_in     zh = h_before·W_rec + b_rec
//! ```
//!
//! as `σ′ = σ·(1 − σ)` and `tanh′ = 1 − tanh²`, by the chain rule from the last line of
//! the forward pass up. Source: K. Cho et al., Learning Phrase Representations using RNN
//! Encoder–Decoder, 2014; with PyTorch's order r, z, n, and its bias inside `r ⊙ zh_n`.
//!
//! The forward pass replaces `zx` by the values of r, z and n, and keeps `zh_n` for the
//! backward pass, which replaces both by `dzx` and `dzh`. A step keeps 7 values a unit: zx,
//! zh and h (the blocks r and z of `zh` only make room for the gradients).
//!
//! An h that decays goes to 0 from 2⁻¹²⁶ on: rounding would keep it at a few units of 2⁻¹⁴⁹
//! for ever, and arithmetic on subnormal numbers is slow. So does its gradient, dh, on the way
//! back. All others keep their bits.

use super::sums::{self, Term, bias_of, load_gates, store_gates};
use super::{CellWeights, GROUP, Walk, check, check_row, get, put, vectors};
use crate::activation::{sigmoid_lanes, tanh_lanes};
use crate::lanes::{Lanes, load, store, zero_where_subnormal};
use crate::matmul::gemm;
use crate::matrix::{MatMut, MatRef};
use crate::rows::{Rows, RowsMut};
use std::array;

/// G, the gates of a cell: r, z, n.
pub const GATES: usize = 3;
/// The gates of 16 units.
const BLOCK: usize = GATES * GROUP;

/// One step of `rows` sequences: `zx` `[rows, 3·S]` becomes the values of r, z and n; `zh`
/// is `[rows, 3·S]`, `h_before` and `h` `[rows, S]`.
///
/// # Panics
/// If the sizes do not fit together.
#[track_caller]
pub fn forward(zx: MatMut<'_>, zh: MatRef<'_>, h_before: MatRef<'_>, h: MatMut<'_>) {
    let (rows, units) = (h.rows(), h.columns());
    check_row("h", units, 1, units);
    check("zx", zx.rows(), zx.columns(), rows, GATES * units);
    check("zh", zh.rows(), zh.columns(), rows, GATES * units);
    check("h_before", h_before.rows(), h_before.columns(), rows, units);
    let states = h_before.iter_rows().zip(h.into_rows());
    for ((zx, zh), (h_before, h)) in zx.into_rows().zip(zh.iter_rows()).zip(states) {
        let zx = zx.as_chunks_mut::<BLOCK>().0;
        let zh = zh.as_chunks::<BLOCK>().0;
        let h_before = h_before.as_chunks::<GROUP>().0;
        let h = h.as_chunks_mut::<GROUP>().0;
        for (((zx, zh), h_before), h) in zx.iter_mut().zip(zh).zip(h_before).zip(h) {
            for unit in vectors() {
                let (values, after) = activate(
                    array::from_fn(|gate| get(zx, gate * GROUP + unit)),
                    array::from_fn(|gate| get(zh, gate * GROUP + unit)),
                    get(h_before, unit),
                );
                for (gate, value) in values.into_iter().enumerate() {
                    put(zx, gate * GROUP + unit, value);
                }
                put(h, unit, after);
            }
        }
    }
}

/// One step back of `rows` sequences. `zx` `[rows, 3·S]` are the values r, z and n of the
/// forward pass and become `dzx`; `zh` `[rows, 3·S]` becomes `dzh`. `h_before` `[rows, S]`
/// is that of the forward pass, `dh` `[rows, S]` is ∂L/∂h. To `dh_before` `[rows, S]`,
/// `dh ⊙ z` is added.
///
/// The caller adds the rest, `dzh·W_recᵀ`, to `dh_before`.
///
/// # Panics
/// If the sizes do not fit together.
#[track_caller]
pub fn backward(
    zx: MatMut<'_>,
    zh: MatMut<'_>,
    h_before: MatRef<'_>,
    dh: MatRef<'_>,
    dh_before: MatMut<'_>,
) {
    let (rows, units) = (dh.rows(), dh.columns());
    check_row("dh", units, 1, units);
    check("zx", zx.rows(), zx.columns(), rows, GATES * units);
    check("zh", zh.rows(), zh.columns(), rows, GATES * units);
    check("h_before", h_before.rows(), h_before.columns(), rows, units);
    check("dh_before", dh_before.rows(), dh_before.columns(), rows, units);
    let gates = zx.into_rows().zip(zh.into_rows());
    let states = h_before.iter_rows().zip(dh.iter_rows()).zip(dh_before.into_rows());
    for ((zx, zh), ((h_before, dh), dh_before)) in gates.zip(states) {
        let zx = zx.as_chunks_mut::<BLOCK>().0;
        let zh = zh.as_chunks_mut::<BLOCK>().0;
        let h_before = h_before.as_chunks::<GROUP>().0;
        let dh = dh.as_chunks::<GROUP>().0;
        let dh_before = dh_before.as_chunks_mut::<GROUP>().0;
        let states = h_before.iter().zip(dh).zip(dh_before);
        for ((zx, zh), ((h_before, dh), dh_before)) in zx.iter_mut().zip(zh).zip(states) {
            for unit in vectors() {
                let kept = Kept {
                    gates: array::from_fn(|gate| get(zx, gate * GROUP + unit)),
                    zh_n: get(zh, 2 * GROUP + unit),
                    h_before: get(h_before, unit),
                };
                let dh = get(dh, unit);
                let dh = zero_where_subnormal(dh, dh);
                put(dh_before, unit, dh.mul_add(kept.gates[1], get(dh_before, unit)));
                let (dzx, dzh_n) = differentiate(kept, dh);
                for (gate, value) in dzx.into_iter().enumerate() {
                    put(zx, gate * GROUP + unit, value);
                }
                for (gate, value) in [dzx[0], dzx[1], dzh_n].into_iter().enumerate() {
                    put(zh, gate * GROUP + unit, value);
                }
            }
        }
    }
}

/// The weights that a step applies to the state before.
#[derive(Clone, Copy, Debug)]
pub struct Recurrent<'a> {
    /// `[H, 3·S]`, row: from unit.
    pub w_rec: MatRef<'a>,
    /// `[3·S]`; `None` means zeros.
    pub b_rec: Option<&'a [f32]>,
}

/// What the steps of a layer keep.
#[derive(Debug)]
pub struct Steps<'a> {
    /// `[T·B, 3·S]`: `x·W_in + b_in`, then the values of r, z and n.
    pub zx: MatMut<'a>,
    /// `[T·B, 3·S]`: of `h_before·W_rec + b_rec`, block n is written; the other two are
    /// room for the backward pass.
    pub zh: MatMut<'a>,
    /// `[T·B, S]`: the states, written.
    pub h: MatMut<'a>,
}

/// All steps of a layer: computes `zh` and applies the gates, step by step. `start`
/// `[B, S]` are the states before the first step.
///
/// # Panics
/// If the sizes do not fit together.
#[track_caller]
pub fn forward_steps(walk: Walk, recurrent: Recurrent<'_>, start: MatRef<'_>, steps: Steps<'_>) {
    let Recurrent { w_rec, b_rec } = recurrent;
    let Steps { mut zx, mut zh, mut h } = steps;
    let (rows, units) = (walk.rows(), h.columns());
    check_row("w_rec", w_rec.columns(), GATES, w_rec.rows());
    check_row("h", units, 1, w_rec.rows());
    check("h", h.rows(), units, rows, units);
    check("zx", zx.rows(), zx.columns(), rows, GATES * units);
    check("zh", zh.rows(), zh.columns(), rows, GATES * units);
    check("start", start.rows(), start.columns(), walk.batch, units);
    if let Some(bias) = b_rec {
        check("b_rec", 1, bias.len(), 1, GATES * units);
    }
    let (zx, zh, h) =
        (RowsMut::of_view(&mut zx), RowsMut::of_view(&mut zh), RowsMut::of_view(&mut h));
    for t in walk.order() {
        let first = t * walk.batch;
        let before = walk.before(t).map(|before| h.as_rows().from(before * walk.batch));
        let h_before = before.unwrap_or(Rows::of_view(start));
        let (zx, zh, h) = (zx.from(first), zh.from(first), h.from(first));
        let term = Term { values: h_before, weights: Rows::of_view(w_rec), depth: w_rec.rows() };
        // SAFETY: by the checks above, `zx` and `zh` have T·B rows of 3·S values, `h` has T·B
        // and `start` B rows of S, `w_rec` H rows of 3·S, and `b_rec` 3·S values; S is a
        // multiple of GROUP. What is written is borrowed exclusively, and the rows of step t
        // are not those that its states come from.
        unsafe {
            sums::for_each::<GATES, 1>(
                walk.batch,
                units,
                [term],
                |_, unit| bias_of(b_rec, unit),
                |row, unit, sums| {
                    let (zx, zh) = (zx.at(row), zh.at(row));
                    let h_before = load(h_before.at(row).add(unit));
                    let (values, after) = activate(load_gates(zx, unit), sums, h_before);
                    store_gates(zx, unit, values);
                    store(zh.add(sums::first_gate::<GATES>(unit) + 2 * GROUP), sums[2]);
                    store(h.at(row).add(unit), after);
                },
            );
        }
    }
}

/// The arrays of the backward pass of a layer.
#[derive(Debug)]
pub struct StepsBackward<'a> {
    /// `[T·B, 3·S]`: the values of r, z and n, then `dzx`.
    pub zx: MatMut<'a>,
    /// `[T·B, 3·S]`: of the forward pass, then `dzh`.
    pub zh: MatMut<'a>,
    /// `[T·B, S]`: the states.
    pub h: MatRef<'a>,
    /// `[T·B, S]`: ∂L/∂h from outside the layer; the part from later steps is added.
    pub dh: MatMut<'a>,
}

/// [`forward_steps`], backward. `w_rec` is `[H, 3·S]`, `start` `[B, S]` are the states
/// before the first step, and `dh_start` `[B, S]` is written: ∂L/∂h before the first step.
///
/// # Panics
/// If the sizes do not fit together.
#[track_caller]
pub fn backward_steps(
    walk: Walk,
    w_rec: MatRef<'_>,
    start: MatRef<'_>,
    steps: StepsBackward<'_>,
    mut dh_start: MatMut<'_>,
) {
    let StepsBackward { mut zx, mut zh, h, mut dh } = steps;
    let (rows, units) = (walk.rows(), h.columns());
    check_row("w_rec", w_rec.columns(), GATES, w_rec.rows());
    check_row("h", units, 1, w_rec.rows());
    check("h", h.rows(), units, rows, units);
    check("zx", zx.rows(), zx.columns(), rows, GATES * units);
    check("zh", zh.rows(), zh.columns(), rows, GATES * units);
    check("dh", dh.rows(), dh.columns(), rows, units);
    check("start", start.rows(), start.columns(), walk.batch, units);
    check("dh_start", dh_start.rows(), dh_start.columns(), walk.batch, units);
    dh_start.reborrow().into_rows().for_each(|row| row.fill(0.0));
    for t in walk.order().rev() {
        let h_before = walk.before(t).map_or(start, |before| walk.step(before, h));
        let (dh_before, dh) = walk.before_and_step(t, &mut dh);
        let mut dh_before = dh_before.unwrap_or_else(|| dh_start.reborrow());
        let (zx, mut zh) = (walk.step_mut(t, &mut zx), walk.step_mut(t, &mut zh));
        backward(zx, zh.reborrow(), h_before, dh.as_ref(), dh_before.reborrow());
        let dh_before = dh_before.into_part(0, 0, walk.batch, w_rec.rows());
        gemm(1.0, zh.as_ref(), w_rec.t(), 1.0, dh_before);
    }
}

/// One step of a stream of `rows` sequences, from `x` `[rows, I]` and the states
/// `h_before` to `h`, both `[rows, S]`.
///
/// # Panics
/// If the sizes do not fit together.
#[track_caller]
pub fn step(weights: CellWeights<'_>, x: MatRef<'_>, h_before: MatRef<'_>, mut h: MatMut<'_>) {
    let (rows, units) = (h.rows(), h.columns());
    weights.check(GATES, x.columns());
    check_row("h", units, 1, weights.hidden());
    check("x", x.rows(), x.columns(), rows, x.columns());
    check("h_before", h_before.rows(), h_before.columns(), rows, units);
    let CellWeights { w_in, w_rec, b_in, b_rec } = weights;
    let h_before = Rows::of_view(h_before);
    let from_x =
        Term { values: Rows::of_view(x), weights: Rows::of_view(w_in), depth: w_in.rows() };
    let from_h = Term { values: h_before, weights: Rows::of_view(w_rec), depth: w_rec.rows() };
    let h = RowsMut::of_view(&mut h);
    // SAFETY: by the checks above, `x` is `[rows, I]`, `h_before` and `h` are `[rows, S]`, the
    // weights have I and H rows of 3·S values and each bias 3·S values; S is a multiple of
    // GROUP. `h` is borrowed exclusively.
    unsafe {
        sums::for_each::<GATES, 1>(
            rows,
            units,
            [from_h],
            |_, unit| bias_of(b_rec, unit),
            |row, unit, zh| {
                let zx = sums::of_one(row, unit, from_x, bias_of(b_in, unit));
                let (_, after) = activate(zx, zh, load(h_before.at(row).add(unit)));
                store(h.at(row).add(unit), after);
            },
        );
    }
}

/// The forward half of the table above: the values of r, z and n, and h.
#[inline(always)]
fn activate(zx: [Lanes; GATES], zh: [Lanes; GATES], h_before: Lanes) -> ([Lanes; GATES], Lanes) {
    let (r, z) = (sigmoid_lanes(zx[0] + zh[0]), sigmoid_lanes(zx[1] + zh[1]));
    let n = tanh_lanes(r.mul_add(zh[2], zx[2]));
    let h = z.mul_add(h_before - n, n);
    ([r, z, n], zero_where_subnormal(h, h))
}

/// The values of the forward pass that the backward pass of a vector of units needs.
struct Kept {
    /// r, z, n
    gates: [Lanes; GATES],
    zh_n: Lanes,
    h_before: Lanes,
}

/// The backward half of the table above: `dzx`, and `dzh_n`.
#[inline(always)]
fn differentiate(kept: Kept, dh: Lanes) -> ([Lanes; GATES], Lanes) {
    let Kept { gates: [r, z, n], zh_n, h_before } = kept;
    let one = Lanes::ONE;
    let dn = dh * (one - z) * n.mul_neg_add(n, one);
    let dz = dh * (h_before - n) * (z * (one - z));
    let dr = dn * zh_n * (r * (one - r));
    ([dr, dz, dn], dn * r)
}
