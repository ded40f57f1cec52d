//! Products of many rows with the same weights, the same bits for a row whatever the rows
//! beside it.
//!
//! `z ← activation(Σ_p x_p·W_p + bias)` over parts that stand side by side. The kernels sum
//! a product of very few rows in another order, which is quicker; then the outputs would
//! depend on how a sequence is cut into chunks. So such a product is given more rows, of
//! zeros.
//!
//! Where the rows of x are one-hot, the product selects rows of W, and its gradient adds to
//! them: [`select`], [`add_selected`].
//!
//! The recurrent product of each step is [`Recurrent`]'s, by the kernel that suits the size
//! of the weights.

use kernels::buffer::Buffer;
use kernels::cell::panels::{InitialSum, Panels, multiply};
use kernels::matmul::{Activation, Epilogue, PackedMatrix, Right, gemm_fused};
use kernels::matrix::{MatMut, MatRef, Operand};

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

/// `z ← W[symbols] + bias`: row i is row `symbols[i]` of W `[V, n]`, which is what the product
/// of a one-hot row with W is, to the bit.
pub(super) fn select(symbols: &[u32], w: MatRef<'_>, bias: Option<&[f32]>, z: MatMut<'_>) {
    for (z, &symbol) in z.into_rows().zip(symbols) {
        let w = w.row(symbol as usize);
        match bias {
            None => z.copy_from_slice(w),
            Some(bias) => {
                z.iter_mut().zip(w).zip(bias).for_each(|((z, w), bias)| *z = w + bias);
            }
        }
    }
}

/// `z += W[symbols] + bias`: [`select`], added.
pub(super) fn add_rows(symbols: &[u32], w: MatRef<'_>, bias: Option<&[f32]>, z: MatMut<'_>) {
    for (z, &symbol) in z.into_rows().zip(symbols) {
        let w = w.row(symbol as usize);
        match bias {
            None => z.iter_mut().zip(w).for_each(|(z, w)| *z += w),
            Some(bias) => {
                z.iter_mut().zip(w).zip(bias).for_each(|((z, w), bias)| *z += w + bias);
            }
        }
    }
}

/// `dW[symbols] += dz`: adds row i of dz `[rows, n]` to row `symbols[i]` of dW `[V, n]`.
pub(super) fn add_selected(symbols: &[u32], dz: MatRef<'_>, dw: &mut [f32]) {
    let columns = dz.columns();
    for (dz, &symbol) in dz.iter_rows().zip(symbols) {
        let dw = &mut dw[symbol as usize * columns..][..columns];
        dw.iter_mut().zip(dz).for_each(|(dw, dz)| *dw += dz);
    }
}

/// Recurrent weights, or their transpose, made ready for the products of a pass.
#[derive(Debug, Default)]
pub(super) struct Recurrent {
    /// Those that L2 holds.
    packed: PackedMatrix,
    /// Those that it does not.
    panels: Panels,
    is_large: bool,
}

impl Recurrent {
    /// Takes the weights of another pass.
    pub fn assign<'a>(&mut self, weights: impl Into<Operand<'a>>) {
        let weights = weights.into();
        self.is_large = Panels::pay(weights.rows(), weights.columns());
        if self.is_large {
            self.panels.assign(weights);
        } else {
            self.packed.assign(weights);
        }
    }

    pub fn ready(&self) -> Ready<'_> {
        if self.is_large { Ready::Panels(&self.panels) } else { (&self.packed).into() }
    }
}

/// Weights `[k, n]` to multiply with.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ready<'a> {
    Right(Right<'a>),
    Panels(&'a Panels),
}

impl<'a, R: Into<Right<'a>>> From<R> for Ready<'a> {
    fn from(right: R) -> Self {
        Self::Right(right.into())
    }
}

impl Ready<'_> {
    /// `c ← start + a·W` for `a` `[rows, k]` and `c` `[rows, n]`, n rounded up to 16; the
    /// columns behind n stay zero.
    pub fn multiply(self, a: MatRef<'_>, n: usize, start: InitialSum<'_>, c: MatMut<'_>) {
        match self {
            Self::Panels(panels) => multiply(a, panels, start, c),
            Self::Right(right) => {
                let rows = c.rows();
                let (bias, beta) = match start {
                    InitialSum::Zeros => (None, 0.0),
                    InitialSum::Row(row) => (Some(&row[..n]), 0.0),
                    InitialSum::Old => (None, 1.0),
                };
                let epilogue = Epilogue { bias, ..Epilogue::default() };
                gemm_fused(1.0, a, right, beta, c.into_part(0, 0, rows, n), epilogue);
            }
        }
    }
}
