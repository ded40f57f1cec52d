//! The LSTM cell: four gates, and a cell state that is only scaled and added to.
//!
//! ```text
//! forward                                 backward, given dh and dc (from the step after)
//! i = σ(z_i)                              dz_i = dc ⊙ g ⊙ i ⊙ (1 − i)
//! f = σ(z_f)                              dz_f = dc ⊙ c_before ⊙ f ⊙ (1 − f)
//! g = tanh(z_g)                           dz_g = dc ⊙ i ⊙ (1 − g²)
//! o = σ(z_o)                              dz_o = dh ⊙ tanh(c) ⊙ o ⊙ (1 − o) = dh ⊙ h ⊙ (1 − o)
//! c = f ⊙ c_before + i ⊙ g                dc_before = dc ⊙ f
//! h = o ⊙ tanh(c)                         dc ← dc + dh ⊙ o ⊙ (1 − tanh²(c))       (first of all)
//! ```
//!
//! as `σ′ = σ·(1 − σ)` and `tanh′ = 1 − tanh²`, by the chain rule from the last line of
//! the forward pass up. Source: S. Hochreiter, J. Schmidhuber, Long Short-Term Memory,
//! 1997, with the forget gate of F. Gers et al., 2000; PyTorch's order i, f, g, o.
//!
//! 1. The forward pass replaces the pre-activations by the gates, the backward pass replaces
//!    the gates by the gradients of the pre-activations. A step keeps 6 values a unit: four
//!    gates, c and h.
//! 2. `tanh(c)` is neither kept nor computed again: it is `h / o`. A division counts as three
//!    operations, tanh as 27, and keeping the value would cost memory. `o` is clamped to at
//!    least 2⁻¹²⁶: where σ is 0, so is h, and the quotient is 0 instead of NaN. It is within
//!    two roundings of the tanh of the forward pass (more where h is subnormal, but then it
//!    is multiplied by an o of 1e-31 at most).
//! 3. A c that decays goes to 0 from 2⁻¹²⁶ on: rounding would keep it at a few units of
//!    2⁻¹⁴⁹ for ever, and arithmetic on subnormal numbers is slow. So does its gradient on
//!    the way through many steps. All other numbers keep their bits.

use super::sums::{self, Term, bias_of, load_gates, store_gates};
use super::{CellWeights, GROUP, Walk, check, check_row, get, put, vectors};
use crate::activation::{sigmoid_lanes, tanh_lanes};
use crate::lanes::{Lanes, load, store, zero_where_subnormal};
use crate::matmul::gemm;
use crate::matrix::{MatMut, MatRef};
use crate::rows::{Rows, RowsMut};
use std::array;

/// G, the gates of a cell: i, f, g, o.
pub const GATES: usize = 4;
/// The gates of 16 units.
const BLOCK: usize = GATES * GROUP;

/// One step of `rows` sequences: the pre-activations `gates` `[rows, 4·S]` become the
/// gates' values i, f, g, o; `c` and `h` `[rows, S]` are the states after the step, and
/// `c_before` `[rows, S]` the cell state before it.
///
/// # Panics
/// If the sizes do not fit together.
#[track_caller]
pub fn forward(gates: MatMut<'_>, c_before: MatRef<'_>, c: MatMut<'_>, h: MatMut<'_>) {
    let (rows, units) = (h.rows(), h.columns());
    check_row("h", units, 1, units);
    check("gates", gates.rows(), gates.columns(), rows, GATES * units);
    check("c_before", c_before.rows(), c_before.columns(), rows, units);
    check("c", c.rows(), c.columns(), rows, units);
    let states = c_before.iter_rows().zip(c.into_rows()).zip(h.into_rows());
    for (gates, ((c_before, c), h)) in gates.into_rows().zip(states) {
        let c_before = c_before.as_chunks::<GROUP>().0;
        let c = c.as_chunks_mut::<GROUP>().0;
        let h = h.as_chunks_mut::<GROUP>().0;
        let gates = gates.as_chunks_mut::<BLOCK>().0;
        // In two loops, so that tanh(c) does not wait for its c.
        for ((gates, c_before), c) in gates.iter_mut().zip(c_before).zip(&mut *c) {
            for unit in vectors() {
                let z = array::from_fn(|gate| get(gates, gate * GROUP + unit));
                let (values, after) = activate(z, get(c_before, unit));
                for (gate, value) in values.into_iter().enumerate() {
                    put(gates, gate * GROUP + unit, value);
                }
                put(c, unit, after);
            }
        }
        for ((gates, c), h) in gates.iter().zip(c).zip(h) {
            for unit in vectors() {
                let (o, c) = (get(gates, 3 * GROUP + unit), get(c, unit));
                put(h, unit, o * tanh_lanes(c));
            }
        }
    }
}

/// One step back of `rows` sequences. `gates` `[rows, 4·S]` are the gates' values of the
/// forward pass and become the gradients of their pre-activations; `dc` `[rows, S]` is
/// ∂L/∂c after the step (without the part through h) and becomes that before it.
/// `c_before` and `h` `[rows, S]` are those of the forward pass, `dh` `[rows, S]` is ∂L/∂h.
///
/// The caller computes the rest, `dh_before = dz·W_recᵀ`.
///
/// # Panics
/// If the sizes do not fit together.
#[track_caller]
pub fn backward(
    gates: MatMut<'_>,
    c_before: MatRef<'_>,
    h: MatRef<'_>,
    dh: MatRef<'_>,
    dc: MatMut<'_>,
) {
    let (rows, units) = (h.rows(), h.columns());
    check_row("h", units, 1, units);
    check("gates", gates.rows(), gates.columns(), rows, GATES * units);
    check("c_before", c_before.rows(), c_before.columns(), rows, units);
    check("dh", dh.rows(), dh.columns(), rows, units);
    check("dc", dc.rows(), dc.columns(), rows, units);
    let states = c_before.iter_rows().zip(h.iter_rows()).zip(dh.iter_rows()).zip(dc.into_rows());
    for (gates, (((c_before, h), dh), dc)) in gates.into_rows().zip(states) {
        let c_before = c_before.as_chunks::<GROUP>().0;
        let h = h.as_chunks::<GROUP>().0;
        let dh = dh.as_chunks::<GROUP>().0;
        let dc = dc.as_chunks_mut::<GROUP>().0;
        let gates = gates.as_chunks_mut::<BLOCK>().0;
        let states = c_before.iter().zip(h).zip(dh).zip(dc);
        for (gates, (((c_before, h), dh), dc)) in gates.iter_mut().zip(states) {
            for unit in vectors() {
                let kept = Kept {
                    gates: array::from_fn(|gate| get(gates, gate * GROUP + unit)),
                    c_before: get(c_before, unit),
                    h: get(h, unit),
                };
                let dh = get(dh, unit);
                let dh = zero_where_subnormal(dh, dh);
                let (dz, dc_before) = differentiate(kept, dh, get(dc, unit));
                for (gate, dz) in dz.into_iter().enumerate() {
                    put(gates, gate * GROUP + unit, dz);
                }
                put(dc, unit, zero_where_subnormal(dc_before, dc_before));
            }
        }
    }
}

/// The states before the first step of a layer, each `[B, S]`.
#[derive(Clone, Copy, Debug)]
pub struct Start<'a> {
    /// The hidden state.
    pub h: MatRef<'a>,
    /// The cell state.
    pub c: MatRef<'a>,
}

/// What the steps of a layer keep.
#[derive(Debug)]
pub struct Steps<'a> {
    /// `[T·B, 4·S]`: `x·W_in + b_in + b_rec`, then the gates' values.
    pub gates: MatMut<'a>,
    /// `[T·B, S]`: the cell states, written.
    pub c: MatMut<'a>,
    /// `[T·B, S]`: the hidden states, written.
    pub h: MatMut<'a>,
}

/// All steps of a layer: adds `h_before·W_rec` to the pre-activations and applies the
/// gates, step by step. `w_rec` is `[H, 4·S]`.
///
/// # Panics
/// If the sizes do not fit together.
#[track_caller]
pub fn forward_steps(walk: Walk, w_rec: MatRef<'_>, start: Start<'_>, steps: Steps<'_>) {
    let Steps { mut gates, mut c, mut h } = steps;
    let (rows, units) = (walk.rows(), h.columns());
    check_row("w_rec", w_rec.columns(), GATES, w_rec.rows());
    check_row("h", units, 1, w_rec.rows());
    check("h", h.rows(), units, rows, units);
    check("gates", gates.rows(), gates.columns(), rows, GATES * units);
    check("c", c.rows(), c.columns(), rows, units);
    check("start.h", start.h.rows(), start.h.columns(), walk.batch, units);
    check("start.c", start.c.rows(), start.c.columns(), walk.batch, units);
    let (gates, c, h) =
        (RowsMut::of_view(&mut gates), RowsMut::of_view(&mut c), RowsMut::of_view(&mut h));
    let start = (Rows::of_view(start.h), Rows::of_view(start.c));
    for t in walk.order() {
        let first = t * walk.batch;
        let (h_before, c_before) = walk.before(t).map_or(start, |before| {
            (h.as_rows().from(before * walk.batch), c.as_rows().from(before * walk.batch))
        });
        let (gates, c, h) = (gates.from(first), c.from(first), h.from(first));
        let term = Term { values: h_before, weights: Rows::of_view(w_rec), depth: w_rec.rows() };
        // SAFETY: by the checks above, `gates` has T·B rows of 4·S values, `c` and `h` have T·B
        // rows of S, both parts of `start` B rows of S, and `w_rec` H rows of 4·S; S is a
        // multiple of GROUP. What is written is borrowed exclusively, and the rows of step t
        // are not those that its states come from.
        unsafe {
            sums::for_each::<GATES, 1>(
                walk.batch,
                units,
                [term],
                |row, unit| load_gates(gates.at(row), unit),
                |row, unit, z| {
                    let (values, after) = activate(z, load(c_before.at(row).add(unit)));
                    store_gates(gates.at(row), unit, values);
                    store(c.at(row).add(unit), after);
                    store(h.at(row).add(unit), values[3] * tanh_lanes(after));
                },
            );
        }
    }
}

/// The arrays of the backward pass of a layer.
#[derive(Debug)]
pub struct StepsBackward<'a> {
    /// `[T·B, 4·S]`: the gates' values, then the gradients of their pre-activations.
    pub gates: MatMut<'a>,
    /// `[T·B, S]`: the cell states.
    pub c: MatRef<'a>,
    /// `[T·B, S]`: the hidden states.
    pub h: MatRef<'a>,
    /// `[T·B, S]`: ∂L/∂h from outside the layer; the part from later steps is added.
    pub dh: MatMut<'a>,
}

/// The gradients of the states before the first step, each `[B, S]`.
#[derive(Debug)]
pub struct StartBackward<'a> {
    /// Written: ∂L/∂h before the first step.
    pub dh: MatMut<'a>,
    /// ∂L/∂c after the last step, becomes that before the first.
    pub dc: MatMut<'a>,
}

/// [`forward_steps`], backward. `c_start` `[B, S]` is the cell state before the first step.
///
/// # Panics
/// If the sizes do not fit together.
#[track_caller]
pub fn backward_steps(
    walk: Walk,
    w_rec: MatRef<'_>,
    c_start: MatRef<'_>,
    steps: StepsBackward<'_>,
    start: StartBackward<'_>,
) {
    let StepsBackward { mut gates, c, h, mut dh } = steps;
    let StartBackward { dh: mut dh_start, mut dc } = start;
    let (rows, units) = (walk.rows(), h.columns());
    check_row("w_rec", w_rec.columns(), GATES, w_rec.rows());
    check_row("h", units, 1, w_rec.rows());
    check("h", h.rows(), units, rows, units);
    check("gates", gates.rows(), gates.columns(), rows, GATES * units);
    check("c", c.rows(), c.columns(), rows, units);
    check("dh", dh.rows(), dh.columns(), rows, units);
    check("c_start", c_start.rows(), c_start.columns(), walk.batch, units);
    check("start.dh", dh_start.rows(), dh_start.columns(), walk.batch, units);
    check("start.dc", dc.rows(), dc.columns(), walk.batch, units);
    dh_start.reborrow().into_rows().for_each(|row| row.fill(0.0));
    for t in walk.order().rev() {
        let c_before = walk.before(t).map_or(c_start, |before| walk.step(before, c));
        let (dh_before, dh) = walk.before_and_step(t, &mut dh);
        let mut gates = walk.step_mut(t, &mut gates);
        backward(gates.reborrow(), c_before, walk.step(t, h), dh.as_ref(), dc.reborrow());
        let dh_before = dh_before.unwrap_or_else(|| dh_start.reborrow());
        let dh_before = dh_before.into_part(0, 0, walk.batch, w_rec.rows());
        gemm(1.0, gates.as_ref(), w_rec.t(), 1.0, dh_before);
    }
}

/// One step of a stream of `rows` sequences, from `x` `[rows, I]` and the states `h_before`
/// and `c` `[rows, S]` to `h` `[rows, S]` and, in place, the new `c`.
///
/// # Panics
/// If the sizes do not fit together.
#[track_caller]
pub fn step(
    weights: CellWeights<'_>,
    x: MatRef<'_>,
    h_before: MatRef<'_>,
    mut c: MatMut<'_>,
    mut h: MatMut<'_>,
) {
    let (rows, units) = (h.rows(), h.columns());
    weights.check(GATES, x.columns());
    check_row("h", units, 1, weights.hidden());
    check("x", x.rows(), x.columns(), rows, x.columns());
    check("h_before", h_before.rows(), h_before.columns(), rows, units);
    check("c", c.rows(), c.columns(), rows, units);
    let CellWeights { w_in, w_rec, b_in, b_rec } = weights;
    let terms = [
        Term { values: Rows::of_view(x), weights: Rows::of_view(w_in), depth: w_in.rows() },
        Term {
            values: Rows::of_view(h_before),
            weights: Rows::of_view(w_rec),
            depth: w_rec.rows(),
        },
    ];
    let (c, h) = (RowsMut::of_view(&mut c), RowsMut::of_view(&mut h));
    // SAFETY: by the checks above, `x` is `[rows, I]`, `h_before`, `c` and `h` are `[rows, S]`,
    // the weights have I and H rows of 4·S values and each bias 4·S values; S is a multiple of
    // GROUP. `c` and `h` are borrowed exclusively.
    unsafe {
        sums::for_each::<GATES, 2>(
            rows,
            units,
            terms,
            |_, unit| {
                let (b_in, b_rec) = (bias_of::<GATES>(b_in, unit), bias_of::<GATES>(b_rec, unit));
                array::from_fn(|gate| b_in[gate] + b_rec[gate])
            },
            |row, unit, z| {
                let c = c.at(row).add(unit);
                let ([.., o], after) = activate(z, load(c));
                store(c, after);
                store(h.at(row).add(unit), o * tanh_lanes(after));
            },
        );
    }
}

/// The forward half of the table above without its last line: the gates and c.
#[inline(always)]
fn activate(z: [Lanes; GATES], c_before: Lanes) -> ([Lanes; GATES], Lanes) {
    let (i, f, g) = (sigmoid_lanes(z[0]), sigmoid_lanes(z[1]), tanh_lanes(z[2]));
    let o = sigmoid_lanes(z[3]);
    let c = f.mul_add(c_before, i * g);
    ([i, f, g, o], zero_where_subnormal(c, c))
}

/// The values of the forward pass that the backward pass of a vector of units needs.
struct Kept {
    /// i, f, g, o
    gates: [Lanes; GATES],
    c_before: Lanes,
    h: Lanes,
}

/// The backward half of the table above: the gradients of the pre-activations, and
/// `dc_before`.
#[inline(always)]
fn differentiate(kept: Kept, dh: Lanes, dc: Lanes) -> ([Lanes; GATES], Lanes) {
    let Kept { gates: [i, f, g, o], c_before, h } = kept;
    let one = Lanes::ONE;
    // The order of the operands lets NaN through.
    let tanh_c = h / Lanes::splat(f32::MIN_POSITIVE).fast_max(o);
    // dh·o·(1 − tanh²) = dh·(o − h·tanh)
    let dc = dh.mul_add(h.mul_neg_add(tanh_c, o), dc);
    let dz_i = dc * g * (i * (one - i));
    let dz_f = dc * c_before * (f * (one - f));
    let dz_g = dc * i * g.mul_neg_add(g, one);
    let dz_o = dh * h * (one - o);
    ([dz_i, dz_f, dz_g, dz_o], dc * f)
}
