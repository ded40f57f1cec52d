//! Losses: one pass over outputs and targets that adds up the loss and writes its gradient.
//!
//! ```text
//! squared_error            ½ Σ (o − y)²
//! sigmoid_squared_error    ½ Σ (o − y)²  with o = σ(a), by a
//! binary_cross_entropy     −Σ y·ln σ(a) + (1 − y)·ln(1 − σ(a))
//! softmax_cross_entropy    −Σ_rows ln softmax(a)_class
//! ```
//!
//! The gradient is multiplied by `scale`; the sum that is returned is not, since only the
//! caller knows what it averages over. `model::loss` derives the gradients and handles steps
//! and masks.
//!
//! 1. A sum runs in `SUMS` vectors over `BLOCK` values, and in f64 beyond: its error
//!    does not grow with the length.
//! 2. The binary cross-entropy never subtracts two numbers of nearly the same size. With
//!    `u = e^{−|a|}`, which cannot overflow,
//!    ```text
//!    ln(1 + e^{−|a|}) = ln(1 + u) = 2·artanh(s),   s = u/(2 + u) in [0, 1/3]
//!    σ(|a|) = 1/(1 + u),   σ(−|a|) = u/(1 + u)
//!    loss = ln(1 + u) + |a|·w,   gradient = (1 − y)·σ(a) − y·σ(−a),
//!    ```
//!    w = 1 − y where a ≥ 0, else y; so a loss near 0 has as many right digits as any.
//! 3. The rows of a softmax share their logarithm: `Σ ln s = ln Π s`, and in f64 the
//!    product of `ROWS` sums, each between 1 and the number of classes, overflows for
//!    no number of classes that fits in memory.
//!
//! Any length, any alignment; nothing here allocates.

use crate::activation::{exp_lanes, softmax_row};
use crate::lanes::{LANES, Lanes, tree_sum};
use crate::tail_mask::{leading_ones, load_partial, store_partial};

/// Vectors in which a sum runs.
const SUMS: usize = 4;
/// Values that are added up in f32.
const BLOCK: usize = 1024;
/// Rows of a softmax that share one logarithm.
const ROWS: usize = 16;

/// `gradient ← scale·(o − y)`; returns `½ Σ (o − y)²`.
///
/// # Panics
/// If the three slices differ in length.
#[track_caller]
pub fn squared_error(scale: f32, outputs: &[f32], targets: &[f32], gradient: &mut [f32]) -> f64 {
    let scale = Lanes::splat(scale);
    0.5 * sum(outputs, targets, gradient, |o, y| {
        let error = o - y;
        (error * error, scale * error)
    })
}

/// `gradient ← scale·(o − y)·o·(1 − o)`, by what went into the sigmoid whose outputs are
/// `o`; returns `½ Σ (o − y)²`.
///
/// # Panics
/// If the three slices differ in length.
#[track_caller]
pub fn sigmoid_squared_error(
    scale: f32,
    outputs: &[f32],
    targets: &[f32],
    gradient: &mut [f32],
) -> f64 {
    let scale = Lanes::splat(scale);
    0.5 * sum(outputs, targets, gradient, |o, y| {
        let error = o - y;
        (error * error, scale * error * (o * (Lanes::ONE - o)))
    })
}

/// `gradient ← scale·(σ(a) − y)`; returns `−Σ y·ln σ(a) + (1 − y)·ln(1 − σ(a))`, each
/// term to a few units in the last place. Targets lie in [0, 1].
///
/// NaN makes NaN, and so does an infinite logit on the side where its loss is zero.
///
/// # Panics
/// If the three slices differ in length.
#[track_caller]
pub fn binary_cross_entropy(
    scale: f32,
    logits: &[f32],
    targets: &[f32],
    gradient: &mut [f32],
) -> f64 {
    let scale = Lanes::splat(scale);
    sum(logits, targets, gradient, |a, y| {
        let size = a.abs();
        let u = exp_lanes(-size);
        let likely = Lanes::ONE / (Lanes::ONE + u); // σ(|a|)
        let unlikely = u * likely; // σ(−|a|)
        let positive = a.simd_ge(Lanes::ZERO);
        let (up, down) = (positive.select(likely, unlikely), positive.select(unlikely, likely));
        let not_y = Lanes::ONE - y;
        let wrong = positive.select(not_y, y);
        (size.mul_add(wrong, ln_1p(u)), scale * (y.mul_neg_add(down, not_y * up)))
    })
}

/// For each row `[classes]` of `logits` `[rows, classes]` and its class c:
/// `gradient ← scale·softmax(a)`, less `scale` at c; returns `−Σ ln softmax(a)_c`.
///
/// A row that holds NaN or ∞, or nothing but −∞, makes NaN.
///
/// # Panics
/// If there are no classes, a class is not below their number, or the lengths do not
/// fit together.
#[track_caller]
pub fn softmax_cross_entropy(
    scale: f32,
    logits: &[f32],
    classes: usize,
    targets: &[u32],
    gradient: &mut [f32],
) -> f64 {
    assert!(
        classes > 0
            && targets.len().checked_mul(classes) == Some(logits.len())
            && logits.len() == gradient.len(),
        "{} logits, room for {} gradients, {} rows of {classes} classes; \
         both must be rows times classes",
        logits.len(),
        gradient.len(),
        targets.len()
    );
    let mut loss = 0.0;
    let mut product = 1.0;
    let rows = logits.chunks_exact(classes).zip(gradient.chunks_exact_mut(classes));
    for (row, ((logits, gradient), &class)) in rows.zip(targets).enumerate() {
        gradient.copy_from_slice(logits);
        let (max, sum) = softmax_row(scale, gradient);
        let class = class as usize;
        assert!(class < classes, "row {row} is of class {class}, and there are {classes}");
        gradient[class] -= scale;
        loss += f64::from(max) - f64::from(logits[class]);
        product *= f64::from(sum);
        if row % ROWS == ROWS - 1 {
            loss += product.ln();
            product = 1.0;
        }
    }
    loss + product.ln()
}

/// `ln(1 + u)` for u in [0, 1], as `2·artanh(s)` with `s = u/(2 + u)`.
///
/// `artanh(s)/s = 1 + z·(C0 + … + C4·z⁴)` with `z = s²` in [0, 1/9], minimax in the
/// relative error (Lawson's iteration, coefficients rounded to f32 one after another):
/// 1.2e-10.
#[inline(always)]
fn ln_1p(u: Lanes) -> Lanes {
    const C0: f32 = 0.333_333_37;
    const C1: f32 = 0.199_994_74;
    const C2: f32 = 0.143_076_09;
    const C3: f32 = 0.107_218_59;
    const C4: f32 = 0.121_231_72;
    let splat = Lanes::splat;
    let s = u / (splat(2.0) + u);
    let z = s * s;
    let c = z.mul_add(splat(C4), splat(C3));
    let c = z.mul_add(c, splat(C2));
    let c = z.mul_add(c, splat(C1));
    let c = z.mul_add(c, splat(C0));
    let twice = s + s;
    (c * z).mul_add(twice, twice)
}

/// `gradient[k] ← g` and the sum of l, where `(l, g) = terms(a[k], y[k])`.
#[inline(always)]
#[track_caller]
fn sum(
    a: &[f32],
    y: &[f32],
    gradient: &mut [f32],
    terms: impl Fn(Lanes, Lanes) -> (Lanes, Lanes),
) -> f64 {
    assert!(
        a.len() == y.len() && a.len() == gradient.len(),
        "{} outputs, {} targets and room for {} gradients; the three must be equal",
        a.len(),
        y.len(),
        gradient.len()
    );
    let mut total = 0.0;
    for ((a, y), gradient) in a.chunks(BLOCK).zip(y.chunks(BLOCK)).zip(gradient.chunks_mut(BLOCK)) {
        let mut sums = [Lanes::ZERO; SUMS];
        let (a, a_rest) = a.as_chunks::<LANES>();
        let (y, y_rest) = y.as_chunks::<LANES>();
        let (gradient, gradient_rest) = gradient.as_chunks_mut::<LANES>();
        let (a, a_last) = a.as_chunks::<SUMS>();
        let (y, y_last) = y.as_chunks::<SUMS>();
        let (gradient, gradient_last) = gradient.as_chunks_mut::<SUMS>();
        for ((a, y), gradient) in a.iter().zip(y).zip(gradient) {
            for k in 0..SUMS {
                let (l, g) = terms(Lanes::new(a[k]), Lanes::new(y[k]));
                sums[k] += l;
                gradient[k] = g.to_array();
            }
        }
        for ((a, y), gradient) in a_last.iter().zip(y_last).zip(gradient_last) {
            let (l, g) = terms(Lanes::new(*a), Lanes::new(*y));
            sums[0] += l;
            *gradient = g.to_array();
        }
        if !a_rest.is_empty() {
            let (l, g) = terms(load_partial(a_rest), load_partial(y_rest));
            sums[1] += l * leading_ones(a_rest.len());
            store_partial(gradient_rest, g);
        }
        total += f64::from(tree_sum(sums).reduce_add());
    }
    total
}
