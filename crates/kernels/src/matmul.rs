//! Products of matrices: `C ← activation(α·op(A)·op(B) + β·C + bias)`.
//!
//! ```text
//! A [m×k], B [k×n], C [m×n]; op exchanges rows and columns or does not.
//! for each block of columns of C             what of B fits into L2
//!   for each block of the depth k            what of a strip of B fits into L1
//!     pack the block of B into panels        `pack`
//!     for each block of rows of C            what of A fits into L2
//!       pack the block of A
//!       for each strip of columns, for each group of rows: a tile   `tile`
//! ```
//!
//! 1. One tile kernel does all the arithmetic, but for vectors (`dot`).
//! 2. A product that is small or has few rows is one sweep of tiles over A and B
//!    where they lie: nothing is packed, nothing allocated.
//! 3. A [`PackedMatrix`] skips the packing of B, for every product but the first.
//! 4. What is packed goes to a workspace of the thread, allocated at first use.
//! 5. The epilogue (α, β, bias, activation) works on the tile in registers, so the
//!    result is written once.
//! 6. Threads share out C and nothing else: each value is summed in the same order
//!    however many there are, and comes out with the same bits.
//!
//! Every value is within `γ_{k+4}·(|α|·|op(A)|·|op(B)| + |β|·|C| + |bias|)` of the
//! exact one before the activation, where `γ_n = n·u/(1 − n·u)` and u = 2⁻²⁴: each
//! product takes part in at most k roundings, then come α, β and bias. (Without
//! FMA hardware a product rounds once more, which `k + 4` allows for.) Source:
//! N. Higham, Accuracy and Stability of Numerical Algorithms, section 3.5.
//!
//! Deliberately absent: f64, complex numbers, matrices with a column stride.

mod dot;
mod pack;
mod tile;

use std::ptr;

pub use pack::PackedMatrix;
use pack::{block_stride, copy_rows, pack_panels, packed_len, with_workspace};

use tile::DEPTH;

use crate::{
    activation::{sigmoid_lanes, tanh_lanes},
    lanes::{LANES, Lanes, load_partial},
    matrix::{MatMut, MatRef, Operand},
};

/// What is done to a value of C before it is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    #[default]
    Identity,
    /// `σ(x) = 1 / (1 + e^{−x})`, as [`crate::activation::sigmoid`].
    Sigmoid,
    /// As [`crate::activation::tanh`].
    Tanh,
}

/// What is done to the tiles of a product while they are in registers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Epilogue<'a> {
    /// `[n]`: added to every row.
    pub bias: Option<&'a [f32]>,
    /// Applied last.
    pub activation: Activation,
}

/// The right factor: a view, its transpose, or a packed matrix, by `into()`.
#[derive(Clone, Copy, Debug)]
pub struct Right<'a>(Source<'a>);

#[derive(Clone, Copy, Debug)]
enum Source<'a> {
    Plain(Operand<'a>),
    /// The columns of a packed matrix from a multiple of [`LANES`] on.
    Packed {
        matrix: &'a PackedMatrix,
        first: usize,
        columns: usize,
    },
}

impl<'a> From<MatRef<'a>> for Right<'a> {
    #[inline]
    fn from(matrix: MatRef<'a>) -> Self {
        Self(Source::Plain(matrix.into()))
    }
}

impl<'a> From<Operand<'a>> for Right<'a> {
    #[inline]
    fn from(operand: Operand<'a>) -> Self {
        Self(Source::Plain(operand))
    }
}

impl<'a> From<&'a PackedMatrix> for Right<'a> {
    #[inline]
    fn from(matrix: &'a PackedMatrix) -> Self {
        Self(Source::Packed { matrix, first: 0, columns: matrix.columns() })
    }
}

impl Right<'_> {
    fn rows(&self) -> usize {
        match self.0 {
            Source::Plain(operand) => operand.rows(),
            Source::Packed { matrix, .. } => matrix.rows(),
        }
    }

    fn columns(&self) -> usize {
        match self.0 {
            Source::Plain(operand) => operand.columns(),
            Source::Packed { columns, .. } => columns,
        }
    }

    /// Columns `first..first + columns`, where `first` is a multiple of [`LANES`].
    fn columns_from(&self, first: usize, columns: usize) -> Self {
        debug_assert!(first.is_multiple_of(LANES));
        Self(match self.0 {
            Source::Plain(operand) => {
                Source::Plain(operand.part(0, first, operand.rows(), columns))
            }
            Source::Packed { matrix, first: before, .. } => {
                Source::Packed { matrix, first: before + first, columns }
            }
        })
    }
}

/// `C ← α·op(A)·op(B) + β·C` for A `[m, k]`, B `[k, n]`, C `[m, n]`.
///
/// β = 0 does not read C: it may hold anything, NaN included. α = 0 and k = 0 do
/// not read A and B.
///
/// # Panics
/// If the sizes do not fit together.
#[track_caller]
pub fn gemm<'a>(
    alpha: f32,
    a: impl Into<Operand<'a>>,
    b: impl Into<Right<'a>>,
    beta: f32,
    c: MatMut<'_>,
) {
    gemm_fused(alpha, a, b, beta, c, Epilogue::default());
}

/// `C ← activation(α·op(A)·op(B) + β·C + bias)`: [`gemm`] with an epilogue.
///
/// # Panics
/// If the sizes do not fit together.
#[track_caller]
pub fn gemm_fused<'a>(
    alpha: f32,
    a: impl Into<Operand<'a>>,
    b: impl Into<Right<'a>>,
    beta: f32,
    c: MatMut<'_>,
    epilogue: Epilogue<'_>,
) {
    let product = Product::new(alpha, a.into(), b.into(), beta, c, epilogue);
    product.compute();
}

/// [`gemm_fused`] on the threads of the current rayon pool, for large products;
/// small ones stay on this thread. The result does not depend on the threads.
///
/// # Panics
/// If the sizes do not fit together.
#[track_caller]
pub fn gemm_parallel<'a>(
    alpha: f32,
    a: impl Into<Operand<'a>>,
    b: impl Into<Right<'a>>,
    beta: f32,
    c: MatMut<'_>,
    epilogue: Epilogue<'_>,
) {
    let product = Product::new(alpha, a.into(), b.into(), beta, c, epilogue);
    if product.multiply_adds() < PARALLEL {
        product.compute();
    } else {
        product.compute_shared();
    }
}

/// `y ← α·op(A)·x + β·y` for A `[m, k]`, x `[k]`, y `[m]`.
///
/// # Panics
/// If the sizes do not fit together.
#[track_caller]
pub fn matrix_vector<'a>(
    alpha: f32,
    a: impl Into<Operand<'a>>,
    x: &[f32],
    beta: f32,
    y: &mut [f32],
) {
    let (x, y) = (MatRef::from_column(x), MatMut::from_column(y));
    let product = Product::new(alpha, a.into(), x.into(), beta, y, Epilogue::default());
    product.compute();
}

/// `y ← α·x·op(B) + β·y` for x `[k]`, B `[k, n]`, y `[n]`.
///
/// # Panics
/// If the sizes do not fit together.
#[track_caller]
pub fn vector_matrix<'a>(alpha: f32, x: &[f32], b: impl Into<Right<'a>>, beta: f32, y: &mut [f32]) {
    let (x, y) = (MatRef::from_row(x), MatMut::from_row(y));
    let product = Product::new(alpha, x.into(), b.into(), beta, y, Epilogue::default());
    product.compute();
}

/// `C ← C + α·x·yᵀ` for x `[m]`, y `[n]`, C `[m, n]`.
///
/// # Panics
/// If the sizes do not fit together.
#[track_caller]
pub fn rank_one(alpha: f32, x: &[f32], y: &[f32], c: MatMut<'_>) {
    let (x, y) = (MatRef::from_column(x), MatRef::from_row(y));
    let product = Product::new(alpha, x.into(), y.into(), 1.0, c, Epilogue::default());
    product.compute();
}

/// What happens to the sums of a tile.
#[derive(Clone, Copy)]
struct Update {
    alpha: f32,
    beta: f32,
    activation: Activation,
}

impl Update {
    /// What happens to the sums over the block of the depth that starts at p:
    /// the first scales C, the last applies the activation.
    fn for_block(self, whole: &tile::Addresses, p: usize) -> Self {
        Self {
            beta: if p == 0 { self.beta } else { 1.0 },
            activation: if whole.is_last(p) { self.activation } else { Activation::Identity },
            ..self
        }
    }
}

/// `activation(α·sum + β·old + bias)` of one vector.
#[inline(always)]
fn finish(sum: Lanes, old: Lanes, bias: Option<Lanes>, update: &Update) -> Lanes {
    let mut value = sum * Lanes::splat(update.alpha);
    if update.beta != 0.0 {
        value = old.mul_add(Lanes::splat(update.beta), value);
    }
    if let Some(bias) = bias {
        value += bias;
    }
    match update.activation {
        Activation::Identity => value,
        Activation::Sigmoid => sigmoid_lanes(value),
        Activation::Tanh => tanh_lanes(value),
    }
}

/// Rows of a block of A: with [`DEPTH`], a quarter of a small L2.
const ROWS: usize = 192;
/// Columns of a block of B.
const COLUMNS: usize = 1024;
/// Rows of C from which packing B may pay.
const PACKED_ROWS: usize = 48;
/// Values of B from which it is packed even if its vectors do not straddle lines.
const LARGE: usize = 1 << 17;
/// Columns of C from which A is packed, too.
const WIDE: usize = 256;
/// Multiply-adds from which threads are worth waking: some 100 µs of work.
const PARALLEL: usize = 1 << 23;
/// Rows and columns of C that one task of the parallel form computes.
const TASK_ROWS: usize = 96;
const TASK_COLUMNS: usize = 512;

/// Whether a B that is not transposed is packed, for so many rows of C.
///
/// Vectors that straddle two cache lines take two loads each, which a few tiles
/// make up for; else it is for pages and cache sets that a large B is packed.
fn packing_pays(b: Operand<'_>, rows: usize) -> bool {
    let straddles = !b.as_ptr().addr().is_multiple_of(size_of::<Lanes>())
        || !b.matrix().stride().is_multiple_of(LANES);
    rows >= PACKED_ROWS && (straddles || b.rows() * b.columns() >= LARGE)
}

/// A product whose sizes fit together.
struct Product<'a, 'b, 'c, 'e> {
    alpha: f32,
    a: Operand<'a>,
    b: Right<'b>,
    beta: f32,
    c: MatMut<'c>,
    epilogue: Epilogue<'e>,
}

impl<'a, 'b, 'c, 'e> Product<'a, 'b, 'c, 'e> {
    #[track_caller]
    #[inline(always)]
    fn new(
        alpha: f32,
        a: Operand<'a>,
        b: Right<'b>,
        beta: f32,
        c: MatMut<'c>,
        epilogue: Epilogue<'e>,
    ) -> Self {
        assert!(
            a.columns() == b.rows() && a.rows() == c.rows() && b.columns() == c.columns(),
            "A is {} x {}, B {} x {}, C {} x {}: they must be m x k, k x n, m x n",
            a.rows(),
            a.columns(),
            b.rows(),
            b.columns(),
            c.rows(),
            c.columns(),
        );
        if let Some(bias) = epilogue.bias {
            assert!(
                bias.len() == c.columns(),
                "a bias of {} values does not fit the {} columns of C",
                bias.len(),
                c.columns(),
            );
        }
        Self { alpha, a, b, beta, c, epilogue }
    }

    fn multiply_adds(&self) -> usize {
        self.c.rows() * self.c.columns() * self.a.columns()
    }

    fn update(&self) -> Update {
        Update { alpha: self.alpha, beta: self.beta, activation: self.epilogue.activation }
    }

    /// The whole product, by the path that suits its shape.
    #[inline(always)]
    fn compute(mut self) {
        let (rows, columns, depth) = (self.c.rows(), self.c.columns(), self.a.columns());
        if rows == 0 || columns == 0 {
            return;
        }
        if self.alpha == 0.0 || depth == 0 {
            return self.without_factors();
        }
        let Source::Plain(b) = self.b.0 else {
            if rows >= ROWS && depth > DEPTH {
                self.blocked();
            } else {
                self.direct();
            }
            return;
        };
        if columns <= 2 && !self.a.is_transposed() {
            for column in 0..columns {
                self.column(b, column);
            }
        } else if columns == 1 && self.c.stride() == 1 && self.epilogue.bias.is_none() {
            self.exchanged(b);
        } else if b.is_transposed() && rows <= 4 {
            for row in 0..rows {
                self.row(b, row);
            }
        } else if b.is_transposed() || packing_pays(b, rows) {
            self.blocked();
        } else {
            self.direct();
        }
    }

    /// `C ← activation(β·C + bias)`: A and B are not read.
    fn without_factors(mut self) {
        let product = tile::Addresses {
            depth: 0,
            a: ptr::null(),
            a_row: 0,
            a_step: 0,
            b: ptr::null(),
            b_step: 0,
            b_panel: 0,
            ..self.addresses()
        };
        // SAFETY: C and the bias are as in `addresses`; a depth of zero reads
        // neither A nor B.
        unsafe { tile::sweep(product, &self.update()) };
    }

    /// Tiles over A and B where they lie. B is not transposed.
    #[inline(always)]
    fn direct(mut self) {
        let whole = self.addresses();
        if whole.depth <= DEPTH {
            // SAFETY: the views vouch for their values, and `new` checked that
            // the sizes fit; C is borrowed exclusively.
            unsafe { tile::sweep(whole, &self.update()) };
            return;
        }
        for p in (0..whole.depth).step_by(DEPTH) {
            // SAFETY: as above; after the first block C is initialised.
            unsafe { tile::sweep(whole.depth_block(p), &self.update().for_block(&whole, p)) };
        }
    }

    /// The addresses of a product of which nothing is packed on the way.
    #[inline(always)]
    fn addresses(&mut self) -> tile::Addresses {
        let (a_row, a_step) = self.a.steps();
        let (b, b_step, b_panel) = match self.b.0 {
            Source::Plain(b) => (b.as_ptr(), b.steps().0, LANES),
            Source::Packed { matrix, first, .. } => (
                matrix.panels().as_ptr().wrapping_add(first * matrix.rows()),
                LANES,
                matrix.rows() * LANES,
            ),
        };
        tile::Addresses {
            rows: self.c.rows(),
            columns: self.c.columns(),
            depth: self.a.columns(),
            a: self.a.as_ptr(),
            a_row,
            a_step,
            b,
            b_step,
            b_panel,
            c: self.c.as_mut_ptr(),
            c_row: self.c.stride(),
            bias: self.epilogue.bias.map_or(ptr::null(), <[f32]>::as_ptr),
        }
    }

    /// One column of C, as rows of A times a column of B. Neither is transposed
    /// in a way that matters: A is not, and the column of B is gathered.
    fn column(&mut self, b: Operand<'_>, column: usize) {
        let y =
            dot::Strided { start: self.c.as_mut_ptr().wrapping_add(column), step: self.c.stride() };
        let bias = self.epilogue.bias.map(|bias| Lanes::splat(bias[column]));
        let update = self.update();
        with_column(b, column, |x| {
            // SAFETY: y is a column of C, which is borrowed exclusively, and has
            // a value for each row of A.
            unsafe { dot::matrix_vector(self.a.matrix(), x, &y, |_, _| bias, &update) };
        });
    }

    /// One row of C, as the rows of a B that is transposed times a row of A.
    fn row(&mut self, b: Operand<'_>, row: usize) {
        let y = dot::Strided { start: self.c.row_mut(row).as_mut_ptr(), step: 1 };
        let bias = self.epilogue.bias;
        let bias =
            |first: usize, count: usize| bias.map(|bias| load_partial(&bias[first..first + count]));
        let update = self.update();
        with_column(self.a.t(), row, |x| {
            // SAFETY: y is a row of C, which is borrowed exclusively, and has a
            // value for each row of the matrix behind B.
            unsafe { dot::matrix_vector(b.matrix(), x, &y, bias, &update) };
        });
    }

    /// `Cᵀ = op(B)ᵀ·op(A)ᵀ`, for a C of one column without gaps and a transposed A:
    /// the lanes then run along the rows of the matrix behind A.
    fn exchanged(mut self, b: Operand<'_>) {
        let product = tile::Addresses {
            rows: 1,
            columns: self.c.rows(),
            b: self.a.matrix().as_ptr(),
            b_step: self.a.matrix().stride(),
            b_panel: LANES,
            ..self.addresses()
        };
        let update = self.update();
        with_column(b, 0, |x| {
            let product = tile::Addresses { a: x.as_ptr(), a_row: 0, a_step: 1, ..product };
            // SAFETY: x is op(B)ᵀ, the matrix behind A has its depth of rows and
            // a column for each row of C, and those are next to each other.
            unsafe { tile::sweep(product, &update) };
        });
    }

    /// Blocks of A and B, packed.
    fn blocked(mut self) {
        let whole = self.addresses();
        let all = self.update();
        with_workspace(|workspace| {
            for first in (0..whole.columns).step_by(COLUMNS) {
                let columns = COLUMNS.min(whole.columns - first);
                for p in (0..whole.depth).step_by(DEPTH) {
                    let block = whole.depth_block(p);
                    let (depth, update) = (block.depth, all.for_block(&whole, p));
                    let (b, b_panel) = match self.b.0 {
                        Source::Plain(b) => {
                            let panels = workspace.right.first(packed_len(depth, columns));
                            pack_panels(b.part(p, first, depth, columns), panels);
                            (panels.as_ptr(), depth * LANES)
                        }
                        Source::Packed { .. } => {
                            let before = first / LANES * whole.b_panel;
                            (block.b.wrapping_add(before), whole.b_panel)
                        }
                    };
                    for row in (0..whole.rows).step_by(ROWS) {
                        let rows = ROWS.min(whole.rows - row);
                        let mut a = block.a.wrapping_add(row * whole.a_row);
                        let (mut a_row, mut a_step) = (whole.a_row, whole.a_step);
                        if columns >= WIDE {
                            let part = self.a.part(row, p, rows, depth).matrix();
                            let stride = block_stride(part.columns());
                            let packed = workspace.left.first(part.rows() * stride);
                            copy_rows(part, packed, stride);
                            a = packed.as_ptr();
                            if self.a.is_transposed() {
                                a_step = stride;
                            } else {
                                a_row = stride;
                            }
                        }
                        let product = tile::Addresses {
                            rows,
                            columns,
                            depth,
                            a,
                            a_row,
                            a_step,
                            b,
                            b_step: LANES,
                            b_panel,
                            c: whole.c.wrapping_add(row * whole.c_row + first),
                            c_row: whole.c_row,
                            bias: tile::offset(block.bias, first),
                        };
                        // SAFETY: the packed blocks hold what the sizes say, the
                        // part of C and of the bias lies in the whole; after the
                        // first block of the depth C is initialised.
                        unsafe { tile::sweep(product, &update) };
                    }
                }
            }
        });
    }

    /// Halves the longer side of C for two threads until a task is small enough.
    fn compute_shared(self) {
        let (rows, columns) = (self.c.rows(), self.c.columns());
        let depth = self.a.columns();
        let (first, second) = if rows > TASK_ROWS && rows * TASK_COLUMNS >= columns * TASK_ROWS {
            let half = middle(rows, TASK_ROWS);
            let (above, below) = self.c.split_at_row(half);
            (
                Product { a: self.a.part(0, 0, half, depth), c: above, ..self },
                Product { a: self.a.part(half, 0, rows - half, depth), c: below, ..self },
            )
        } else if columns > TASK_COLUMNS {
            let half = middle(columns, TASK_COLUMNS);
            let (left, right) = self.c.split_at_column(half);
            let part = |first: usize, columns: usize| {
                let bias = self.epilogue.bias;
                Epilogue { bias: bias.map(|bias| &bias[first..first + columns]), ..self.epilogue }
            };
            (
                Product {
                    b: self.b.columns_from(0, half),
                    c: left,
                    epilogue: part(0, half),
                    ..self
                },
                Product {
                    b: self.b.columns_from(half, columns - half),
                    c: right,
                    epilogue: part(half, columns - half),
                    ..self
                },
            )
        } else {
            return self.blocked();
        };
        rayon::join(|| first.compute_shared(), || second.compute_shared());
    }
}

/// About the half of `whole`, as a multiple of `step`.
fn middle(whole: usize, step: usize) -> usize {
    (whole.div_ceil(step) / 2).max(1) * step
}

/// Lends a column of `op(X)` as a slice: as it lies if its values are next to
/// each other, else gathered in the workspace.
fn with_column(operand: Operand<'_>, column: usize, use_it: impl FnOnce(&[f32])) {
    if operand.is_transposed() {
        return use_it(operand.matrix().row(column));
    }
    with_workspace(|workspace| {
        let vector = workspace.vector.first(operand.rows());
        for (value, row) in vector.iter_mut().zip(operand.matrix().iter_rows()) {
            *value = row[column];
        }
        use_it(vector);
    });
}
