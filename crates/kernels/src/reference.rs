//! The obvious version of every kernel: f64, plain loops that read like the formulas.
//!
//! What the tests compare with and the benchmarks assert by. Never fast, never
//! stabilised beyond what f64 does by itself.

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
