//! Products of many rows with the same weights, the same bits for a row whatever the rows
//! beside it.
//!
//! `z ← activation(Σ_p x_p·W_p + bias)` over parts that stand side by side. The kernels sum
//! a product of very few rows in another order, which is quicker; then the outputs would
//! depend on how a sequence is cut into chunks. So such a product is given more rows, of
//! zeros.

use kernels::buffer::Buffer;
use kernels::matmul::{Activation, Epilogue, Right, gemm_fused};
use kernels::matrix::{MatMut, MatRef};

/// From so many rows on, each is summed over the depth from the first to the last.
const LEAST_ROWS: usize = 8;

/// `z ← activation(Σ_p x_p·W_p + bias)` for `x_p` `[rows, k_p]`, `W_p` `[k_p, n]`, `z`
/// `[rows, n]`.
pub(super) fn of_parts(
    x: &[MatRef<'_>],
    weights: &[Right<'_>],
    epilogue: Epilogue<'_>,
    z: MatMut<'_>,
) {
    let (rows, columns) = (z.rows(), z.columns());
    if rows >= LEAST_ROWS {
        return sum_parts(x, weights, epilogue, z);
    }
    let pad = |x: &MatRef<'_>| {
        let mut values: Vec<f32> = x.iter_rows().flatten().copied().collect();
        values.resize(LEAST_ROWS * x.columns(), 0.0);
        values
    };
    let padded: Vec<Vec<f32>> = x.iter().map(pad).collect();
    let views: Vec<_> =
        padded.iter().zip(x).map(|(p, x)| MatRef::new(p, LEAST_ROWS, x.columns())).collect();
    let mut sums = Buffer::zeros(LEAST_ROWS * columns);
    sum_parts(&views, weights, epilogue, MatMut::new(&mut sums, LEAST_ROWS, columns));
    for (n, row) in z.into_rows().enumerate() {
        row.copy_from_slice(&sums[n * columns..][..columns]);
    }
}

/// [`of_parts`] of rows enough.
fn sum_parts(x: &[MatRef<'_>], weights: &[Right<'_>], epilogue: Epilogue<'_>, mut z: MatMut<'_>) {
    for (part, (x, &w)) in x.iter().zip(weights).enumerate() {
        let is_last = part + 1 == weights.len();
        let epilogue = Epilogue {
            bias: epilogue.bias.filter(|_| part == 0),
            activation: if is_last { epilogue.activation } else { Activation::Identity },
        };
        gemm_fused(1.0, *x, w, if part == 0 { 0.0 } else { 1.0 }, z.reborrow(), epilogue);
    }
}
