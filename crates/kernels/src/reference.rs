//! The obvious version of every kernel: f64, plain loops that read like the formulas.
//!
//! The tests compare the kernels with it, and the benchmarks assert their answers by it.
//! Not fast, and with no more numerical stability than f64 gives by itself.

use crate::cell::elman::Nonlinearity;
use crate::matrix::{MatRef, Operand};
use crate::optimizer::{Adam, Change, Momentum};

/// `σ(x) = 1 / (1 + e^{−x})`.
pub fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// `σ′(x)` from `y = σ(x)`.
pub fn sigmoid_derivative(y: f64) -> f64 {
    y * (1.0 - y)
}

/// `tanh′(x)` from `y = tanh(x)`.
pub fn tanh_derivative(y: f64) -> f64 {
    1.0 - y * y
}

/// The state of a unit of an Elman cell.
pub fn elman(nonlinearity: Nonlinearity, z: f64) -> f64 {
    match nonlinearity {
        Nonlinearity::Tanh => z.tanh(),
        Nonlinearity::Relu => z.max(0.0),
        Nonlinearity::Sigmoid => sigmoid(z),
    }
}

/// `f′(z)` of an Elman cell, from `h = f(z)`.
pub fn elman_derivative(nonlinearity: Nonlinearity, h: f64) -> f64 {
    match nonlinearity {
        Nonlinearity::Tanh => tanh_derivative(h),
        Nonlinearity::Relu => f64::from(h > 0.0),
        Nonlinearity::Sigmoid => sigmoid_derivative(h),
    }
}

/// The gates r, z and n of a unit of a GRU cell, and its state.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)] // the names of the formulas
pub struct Gru {
    pub r: f64,
    pub z: f64,
    pub n: f64,
    pub h: f64,
}

/// A unit of a GRU cell, from its pre-activations `zx = x·W_in + b_in` and
/// `zh = h_before·W_rec + b_rec`, in the order r, z, n.
pub fn gru(zx: [f64; 3], zh: [f64; 3], h_before: f64) -> Gru {
    let r = sigmoid(zx[0] + zh[0]);
    let z = sigmoid(zx[1] + zh[1]);
    let n = (zx[2] + r * zh[2]).tanh();
    Gru { r, z, n, h: (1.0 - z) * n + z * h_before }
}

/// From `dh` of a unit: `dzx`, `dzh`, and the part of `dh_before` that does not come
/// through `zh`.
pub fn gru_backward(unit: Gru, zh_n: f64, h_before: f64, dh: f64) -> ([f64; 3], [f64; 3], f64) {
    let Gru { r, z, n, .. } = unit;
    let dn = dh * (1.0 - z) * tanh_derivative(n);
    let dz = dh * (h_before - n) * sigmoid_derivative(z);
    let dr = dn * zh_n * sigmoid_derivative(r);
    ([dr, dz, dn], [dr, dz, dn * r], dh * z)
}

/// The gates i, f, g and o of a unit of an LSTM cell, and its states.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)] // the names of the formulas
pub struct Lstm {
    pub i: f64,
    pub f: f64,
    pub g: f64,
    pub o: f64,
    pub c: f64,
    pub h: f64,
}

/// A unit of an LSTM cell, from its pre-activations in the order i, f, g, o.
pub fn lstm(z: [f64; 4], c_before: f64) -> Lstm {
    let (i, f, g, o) = (sigmoid(z[0]), sigmoid(z[1]), z[2].tanh(), sigmoid(z[3]));
    let c = f * c_before + i * g;
    Lstm { i, f, g, o, c, h: o * c.tanh() }
}

/// From `dh` and `dc` (without what comes through h) of a unit: the gradients of its
/// pre-activations, and `dc_before`.
pub fn lstm_backward(unit: Lstm, c_before: f64, dh: f64, dc: f64) -> ([f64; 4], f64) {
    let Lstm { i, f, g, o, c, .. } = unit;
    let dc = dc + dh * o * tanh_derivative(c.tanh());
    let dz = [
        dc * g * sigmoid_derivative(i),
        dc * c_before * sigmoid_derivative(f),
        dc * i * tanh_derivative(g),
        dh * c.tanh() * sigmoid_derivative(o),
    ];
    (dz, dc * f)
}

/// `e^{x_j} / Σ_k e^{x_k}` of one row.
pub fn softmax(x: &[f64]) -> Vec<f64> {
    let sum: f64 = x.iter().map(|x| x.exp()).sum();
    x.iter().map(|x| x.exp() / sum).collect()
}

/// `ln Σ_j e^{x_j}` of one row.
pub fn log_sum_exp(x: &[f64]) -> f64 {
    x.iter().map(|x| x.exp()).sum::<f64>().ln()
}

/// `½ (o − y)²` and its gradient by `o`.
pub fn squared_error(o: f64, y: f64) -> (f64, f64) {
    (0.5 * (o - y) * (o - y), o - y)
}

/// `−y·ln σ(a) − (1 − y)·ln(1 − σ(a))` and its gradient by `a`.
pub fn binary_cross_entropy(a: f64, y: f64) -> (f64, f64) {
    // −ln σ(a) = ln(1 + e^{−a}), and 1 − σ(a) = σ(−a)
    let minus_ln_sigmoid = |a: f64| (-a).exp().ln_1p();
    (y * minus_ln_sigmoid(a) + (1.0 - y) * minus_ln_sigmoid(-a), sigmoid(a) - y)
}

/// `−ln softmax(a)_class` of one row and its gradient by `a`.
pub fn softmax_cross_entropy(a: &[f64], class: usize) -> (f64, Vec<f64>) {
    let mut gradient = softmax(a);
    gradient[class] -= 1.0;
    (log_sum_exp(a) - a[class], gradient)
}

/// One step of momentum for one parameter: its value and velocity afterwards.
pub fn momentum_step(rule: Momentum, g: f64, velocity: f64, p: f64) -> (f64, f64) {
    let Momentum { rate, momentum, nesterov, change } = rule;
    let g = prepared(change, g, p);
    let velocity = f64::from(momentum) * velocity + g;
    let direction = if nesterov { g + f64::from(momentum) * velocity } else { velocity };
    (p - f64::from(rate) * direction, velocity)
}

/// One step of Adam for one parameter: its value and both moments afterwards.
pub fn adam_step(rule: Adam, g: f64, [m, v]: [f64; 2], p: f64) -> (f64, [f64; 2]) {
    let wide = f64::from;
    let g = prepared(rule.change, g, p);
    let m = m + wide(rule.blend1) * (g - m);
    let v = v + wide(rule.blend2) * (g * g - v);
    let denominator = v.sqrt() * wide(rule.root_scale) + wide(rule.epsilon);
    (wide(rule.keep) * p - wide(rule.rate) * m / denominator, [m, v])
}

fn prepared(change: Change, g: f64, p: f64) -> f64 {
    let limit = f64::from(change.limit);
    (f64::from(change.scale) * g).clamp(-limit, limit) + f64::from(change.decay) * p
}

/// `α·op(A)·op(B) + β·C`, row-major `[m, n]`. β = 0 does not read C, nor do α = 0
/// and k = 0 read A and B.
///
/// # Panics
/// If the sizes do not fit together.
pub fn gemm(alpha: f64, a: Operand<'_>, b: Operand<'_>, beta: f64, c: MatRef<'_>) -> Vec<f64> {
    combine(alpha, a, b, beta, c, |x| x)
}

/// `|α|·|op(A)|·|op(B)| + |β|·|C|`: what the rounding error of [`gemm`] is
/// proportional to.
///
/// # Panics
/// If the sizes do not fit together.
pub fn gemm_magnitude(
    alpha: f64,
    a: Operand<'_>,
    b: Operand<'_>,
    beta: f64,
    c: MatRef<'_>,
) -> Vec<f64> {
    combine(alpha, a, b, beta, c, f64::abs)
}

fn combine(
    alpha: f64,
    a: Operand<'_>,
    b: Operand<'_>,
    beta: f64,
    c: MatRef<'_>,
    part: impl Fn(f64) -> f64,
) -> Vec<f64> {
    let (m, k, n) = (a.rows(), a.columns(), b.columns());
    assert_eq!((b.rows(), c.rows(), c.columns()), (k, m, n));
    let mut result = vec![0.0; m * n];
    for i in 0..m {
        for j in 0..n {
            let mut value = 0.0;
            if alpha != 0.0 {
                for p in 0..k {
                    value += part(alpha * f64::from(a.get(i, p)) * f64::from(b.get(p, j)));
                }
            }
            if beta != 0.0 {
                value += part(beta * f64::from(c.row(i)[j]));
            }
            result[i * n + j] = value;
        }
    }
    result
}

/// `γ_n = n·u/(1 − n·u)` with u = 2⁻²⁴: the bound on the relative error of n
/// roundings to f32. Source: N. Higham, Accuracy and Stability of Numerical
/// Algorithms, section 3.1.
pub fn gamma(roundings: usize) -> f64 {
    let error = roundings as f64 * f64::from(f32::EPSILON) / 2.0;
    error / (1.0 - error)
}
