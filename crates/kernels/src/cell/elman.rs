//! The Elman cell: one gate, which is the state.
//!
//! ```text
//! forward           backward, given dh
//! h = f(z)          dz = dh ⊙ f′(z)     tanh:     f′ = 1 − h²
//!                                       ReLU:     f′ = 1 where h > 0, else 0
//!                                       sigmoid:  f′ = h ⊙ (1 − h)
//! ```
//!
//! Source: J. Elman, Finding Structure in Time, 1990; PyTorch's `nn.RNN`.
//!
//! 1. The state replaces its pre-activation, `dz` the gradient `dh`: a step keeps one
//!    value a unit.
//! 2. As `σ(0)` is not 0, the padding of a state is set to zero.
//! 3. An h that decays goes to 0 from 2⁻¹²⁶ on, and its gradient on the way back as well:
//!    rounding would keep them at a few units of 2⁻¹⁴⁹ for ever, and arithmetic on subnormal
//!    numbers is slow. (A sigmoid is flushed as it is.) All others keep their bits.

use super::sums::{self, Term, bias_of, load_gates};
use super::{CellWeights, GROUP, Walk, check, check_row, get, put, vectors};
use crate::activation::{sigmoid_lanes, tanh_lanes};
use crate::lanes::{LANES, Lanes, store, zero_where_subnormal};
use crate::matmul::gemm;
use crate::matrix::{MatMut, MatRef};
use crate::rows::{Rows, RowsMut};
use crate::tail_mask::first_lanes;

/// The nonlinearity f of an Elman cell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Nonlinearity {
    /// `tanh(z)`
    #[default]
    Tanh,
    /// `max(z, 0)`
    Relu,
    /// `σ(z) = 1 / (1 + e^{−z})`
    Sigmoid,
}

use Nonlinearity::{Relu, Sigmoid, Tanh};

/// One step of `rows` sequences of H = `hidden` units: the pre-activations in `h`
/// `[rows, S]` become the states.
///
/// # Panics
/// If the rows of `h` are not those of `hidden` units.
#[track_caller]
pub fn forward(nonlinearity: Nonlinearity, hidden: usize, h: MatMut<'_>) {
    check_row("h", h.columns(), 1, hidden);
    match nonlinearity {
        Tanh => map_rows(h, hidden, tanh),
        Relu => map_rows(h, hidden, relu),
        Sigmoid => map_rows(h, hidden, sigmoid_lanes),
    }
}

#[inline(always)]
fn map_rows(h: MatMut<'_>, hidden: usize, f: impl Fn(Lanes) -> Lanes) {
    for row in h.into_rows() {
        for (group, h) in row.as_chunks_mut::<GROUP>().0.iter_mut().enumerate() {
            for unit in vectors() {
                put(h, unit, masked(f(get(h, unit)), group * GROUP + unit, hidden));
            }
        }
    }
}

/// One step back of `rows` sequences: `dh` `[rows, S]`, which is ∂L/∂h, becomes the
/// gradient of the pre-activations; `h` `[rows, S]` are the states of the forward pass.
///
/// The caller computes the rest, `dh_before = dz·W_recᵀ`.
///
/// # Panics
/// If the sizes do not fit together.
#[track_caller]
pub fn backward(nonlinearity: Nonlinearity, h: MatRef<'_>, dh: MatMut<'_>) {
    check_row("h", h.columns(), 1, h.columns());
    check("dh", dh.rows(), dh.columns(), h.rows(), h.columns());
    match nonlinearity {
        Tanh => zip_rows(h, dh, |h, dh| dh * h.mul_neg_add(h, Lanes::ONE)),
        // A NaN is not ≤ 0, and passes.
        Relu => zip_rows(h, dh, |h, dh| h.simd_le(Lanes::ZERO).select(Lanes::ZERO, dh)),
        Sigmoid => zip_rows(h, dh, |h, dh| dh * h.mul_neg_add(h, h)),
    }
}

#[inline(always)]
fn zip_rows(h: MatRef<'_>, dh: MatMut<'_>, f: impl Fn(Lanes, Lanes) -> Lanes) {
    for (h, dh) in h.iter_rows().zip(dh.into_rows()) {
        let groups = h.as_chunks::<GROUP>().0.iter().zip(dh.as_chunks_mut::<GROUP>().0);
        for (h, dh) in groups {
            for unit in vectors() {
                let gradient = get(dh, unit);
                let gradient = zero_where_subnormal(gradient, gradient);
                put(dh, unit, f(get(h, unit), gradient));
            }
        }
    }
}

/// All steps of a layer: `h` `[T·B, S]` holds `x·W_in + b_in + b_rec`; adds
/// `h_before·W_rec` and applies the nonlinearity, step by step. `w_rec` is `[H, S]`,
/// `start` `[B, S]` the states before the first step.
///
/// # Panics
/// If the sizes do not fit together.
#[track_caller]
pub fn forward_steps(
    nonlinearity: Nonlinearity,
    walk: Walk,
    w_rec: MatRef<'_>,
    start: MatRef<'_>,
    h: MatMut<'_>,
) {
    let units = h.columns();
    check_row("w_rec", w_rec.columns(), 1, w_rec.rows());
    check("h", h.rows(), units, walk.rows(), w_rec.columns());
    check("start", start.rows(), start.columns(), walk.batch, units);
    match nonlinearity {
        Tanh => all_steps(walk, w_rec, start, h, tanh),
        Relu => all_steps(walk, w_rec, start, h, relu),
        Sigmoid => all_steps(walk, w_rec, start, h, sigmoid_lanes),
    }
}

/// [`forward_steps`], after its checks.
#[inline(always)]
fn all_steps(
    walk: Walk,
    w_rec: MatRef<'_>,
    start: MatRef<'_>,
    mut h: MatMut<'_>,
    f: impl Fn(Lanes) -> Lanes,
) {
    let (hidden, units) = (w_rec.rows(), h.columns());
    let h = RowsMut::of_view(&mut h);
    for t in walk.order() {
        let before = walk.before(t).map(|before| h.as_rows().from(before * walk.batch));
        let values = before.unwrap_or(Rows::of_view(start));
        let h = h.from(t * walk.batch);
        let term = Term { values, weights: Rows::of_view(w_rec), depth: hidden };
        // SAFETY: `forward_steps` has checked that `h` has T·B rows of S values, `start` B and
        // `w_rec` H; S is a multiple of GROUP. `h` is borrowed exclusively, and the rows of
        // step t, which are written, are not those that its states come from.
        unsafe {
            sums::for_each::<1, 1>(
                walk.batch,
                units,
                [term],
                |row, unit| load_gates(h.at(row), unit),
                |row, unit, [z]| store(h.at(row).add(unit), masked(f(z), unit, hidden)),
            );
        }
    }
}

/// [`forward_steps`], backward. `h` `[T·B, S]` are the states; `dh` `[T·B, S]`, which is
/// ∂L/∂h from outside of the layer, becomes the gradient of the pre-activations;
/// `dh_start` `[B, S]` is written: ∂L/∂h before the first step.
///
/// # Panics
/// If the sizes do not fit together.
#[track_caller]
pub fn backward_steps(
    nonlinearity: Nonlinearity,
    walk: Walk,
    w_rec: MatRef<'_>,
    h: MatRef<'_>,
    mut dh: MatMut<'_>,
    mut dh_start: MatMut<'_>,
) {
    let units = h.columns();
    check_row("w_rec", w_rec.columns(), 1, w_rec.rows());
    check("h", h.rows(), units, walk.rows(), w_rec.columns());
    check("dh", dh.rows(), dh.columns(), h.rows(), units);
    check("dh_start", dh_start.rows(), dh_start.columns(), walk.batch, units);
    dh_start.reborrow().into_rows().for_each(|row| row.fill(0.0));
    for t in walk.order().rev() {
        let (dh_before, mut dh) = walk.before_and_step(t, &mut dh);
        backward(nonlinearity, walk.step(t, h), dh.reborrow());
        let dh_before = dh_before.unwrap_or_else(|| dh_start.reborrow());
        let dh_before = dh_before.into_part(0, 0, walk.batch, w_rec.rows());
        gemm(1.0, dh.as_ref(), w_rec.t(), 1.0, dh_before);
    }
}

/// One step of a stream of `rows` sequences, from `x` `[rows, I]` and the states
/// `h_before` to `h`, both `[rows, S]`.
///
/// # Panics
/// If the sizes do not fit together.
#[track_caller]
pub fn step(
    nonlinearity: Nonlinearity,
    weights: CellWeights<'_>,
    x: MatRef<'_>,
    h_before: MatRef<'_>,
    h: MatMut<'_>,
) {
    weights.check(1, x.columns());
    check_row("h", h.columns(), 1, weights.hidden());
    check("x", x.rows(), x.columns(), h.rows(), x.columns());
    check("h_before", h_before.rows(), h_before.columns(), h.rows(), h.columns());
    match nonlinearity {
        Tanh => one_step(weights, x, h_before, h, tanh),
        Relu => one_step(weights, x, h_before, h, relu),
        Sigmoid => one_step(weights, x, h_before, h, sigmoid_lanes),
    }
}

/// [`step`], after its checks.
#[inline(always)]
fn one_step(
    weights: CellWeights<'_>,
    x: MatRef<'_>,
    h_before: MatRef<'_>,
    mut h: MatMut<'_>,
    f: impl Fn(Lanes) -> Lanes,
) {
    let CellWeights { w_in, w_rec, b_in, b_rec } = weights;
    let terms = [
        Term { values: Rows::of_view(x), weights: Rows::of_view(w_in), depth: w_in.rows() },
        Term {
            values: Rows::of_view(h_before),
            weights: Rows::of_view(w_rec),
            depth: w_rec.rows(),
        },
    ];
    let (rows, units) = (h.rows(), h.columns());
    let h = RowsMut::of_view(&mut h);
    // SAFETY: `step` has checked that `x` is `[rows, I]`, `h_before` and `h` are `[rows, S]`,
    // the weights have I and H rows of S values and each bias S values; S is a multiple of
    // GROUP. `h` is borrowed exclusively.
    unsafe {
        sums::for_each::<1, 2>(
            rows,
            units,
            terms,
            |_, unit| {
                let ([b_in], [b_rec]) = (bias_of(b_in, unit), bias_of(b_rec, unit));
                [b_in + b_rec]
            },
            |row, unit, [z]| store(h.at(row).add(unit), masked(f(z), unit, w_rec.rows())),
        );
    }
}

/// `tanh(z)` of each lane, 0 where that is subnormal.
#[inline(always)]
fn tanh(z: Lanes) -> Lanes {
    let h = tanh_lanes(z);
    zero_where_subnormal(h, h)
}

/// `max(z, 0)` of each lane, 0 where that is subnormal.
#[inline(always)]
fn relu(z: Lanes) -> Lanes {
    // The order of the operands lets NaN through.
    let h = Lanes::ZERO.fast_max(z);
    zero_where_subnormal(h, h)
}

/// The vector of the units from `unit` on, with zeros from unit `hidden` on.
#[inline(always)]
fn masked(value: Lanes, unit: usize, hidden: usize) -> Lanes {
    if unit + LANES <= hidden {
        return value;
    }
    first_lanes(hidden.saturating_sub(unit), value)
}
