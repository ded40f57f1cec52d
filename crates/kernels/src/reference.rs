//! The obvious version of every kernel: f64, plain loops that read like the formulas.
//!
//! What the tests compare with and the benchmarks assert by. Never fast, never
//! stabilised beyond what f64 does by itself.

use crate::matrix::{MatRef, Operand};

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

/// `e^{x_j} / Σ_k e^{x_k}` of one row.
pub fn softmax(x: &[f64]) -> Vec<f64> {
    let sum: f64 = x.iter().map(|x| x.exp()).sum();
    x.iter().map(|x| x.exp() / sum).collect()
}

/// `ln Σ_j e^{x_j}` of one row.
pub fn log_sum_exp(x: &[f64]) -> f64 {
    x.iter().map(|x| x.exp()).sum::<f64>().ln()
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
