//! From the last layer's states to the outputs, and back.
//!
//! ```text
//! forward     y = activation(Σ_d h_d·W_out_dᵀ + b_out)        d: the directions
//! backward    dh_d = dy·W_out_d    dW_out_d = Σ dyᵀ·h_d    db_out = Σ dy
//! ```
//!
//! for every row, or for the last of each sequence; without a head, y is h. `dy` is the
//! gradient before the activation.

use super::backward::add_rows;
use super::product;
use crate::{Config, HeadActivation, Parameters};
use kernels::matmul::{Activation, Epilogue, Right, gemm};
use kernels::matrix::{MatMut, MatRef};

/// The part of `W_out` `[O, D·S]` for direction `direction`: `[O, columns]`.
fn part_of(w_out: &[f32], config: Config, direction: usize, columns: usize) -> MatRef<'_> {
    let row = config.directions() * config.stride();
    MatRef::new(w_out, config.outputs(), row).part(
        0,
        direction * config.stride(),
        config.outputs(),
        columns,
    )
}

/// The outputs `y` `[rows, outputs]` of states `h`, each `[rows, S]`, one a direction.
pub(super) fn forward(parameters: &Parameters, h: &[MatRef<'_>], y: &mut [f32]) {
    let config = parameters.config();
    let (hidden, outputs) = (config.hidden(), config.outputs());
    let Some((w_out, b_out)) = parameters.head() else {
        for (direction, h) in h.iter().enumerate() {
            let rows = y.chunks_exact_mut(outputs);
            for (y, h) in rows.zip(h.iter_rows()) {
                y[direction * hidden..][..hidden].copy_from_slice(&h[..hidden]);
            }
        }
        return;
    };
    let rows = h[0].rows();
    let activation = match config.head().map(|head| head.activation) {
        Some(HeadActivation::Sigmoid) => Activation::Sigmoid,
        _ => Activation::Identity,
    };
    let epilogue = Epilogue { bias: b_out.get(..outputs), activation };
    let h: Vec<_> = h.iter().map(|h| h.part(0, 0, rows, hidden)).collect();
    let weights = |direction| part_of(w_out, config, direction, hidden).t().into();
    let weights: Vec<Right<'_>> = (0..config.directions()).map(weights).collect();
    product::of_parts(&h, &weights, epilogue, MatMut::new(y, rows, outputs));
}

/// `dh` `[rows, S]` of direction `direction` from `dy` `[rows, outputs]`.
pub(super) fn backward(parameters: &Parameters, dy: MatRef<'_>, direction: usize, dh: &mut [f32]) {
    let config = parameters.config();
    let (hidden, stride) = (config.hidden(), config.stride());
    if let Some((w_out, _)) = parameters.head() {
        // with the padding, whose weights are zero
        let w = part_of(w_out, config, direction, stride);
        return gemm(1.0, dy, w, 0.0, MatMut::new(dh, dy.rows(), stride));
    }
    for (dh, dy) in dh.chunks_exact_mut(stride).zip(dy.iter_rows()) {
        dh[..hidden].copy_from_slice(&dy[direction * hidden..][..hidden]);
    }
}

/// Adds to the gradient of the head, or writes it first.
pub(super) fn sum_gradient(
    gradient: &mut Parameters,
    h: &[MatRef<'_>],
    dy: MatRef<'_>,
    is_first: bool,
) {
    let config = gradient.config();
    let (hidden, stride, outputs) = (config.hidden(), config.stride(), config.outputs());
    let Some((dw_out, db_out)) = gradient.head_mut() else { return };
    if is_first {
        dw_out.fill(0.0); // the padding, too, whatever stood there
    }
    let beta = if is_first { 0.0 } else { 1.0 };
    for (direction, h) in h.iter().enumerate() {
        let dw = MatMut::new(dw_out, outputs, config.directions() * stride);
        let dw = dw.into_part(0, direction * stride, outputs, hidden);
        gemm(1.0, dy.t(), h.part(0, 0, h.rows(), hidden), beta, dw);
    }
    if is_first {
        db_out.fill(0.0);
    }
    if let Some(db_out) = db_out.get_mut(..outputs) {
        add_rows(dy, db_out);
    }
}
