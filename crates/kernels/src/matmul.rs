//! Products of matrices: `C ← activation(α·op(A)·op(B) + β·C + bias)`.
//!
//! ```text
//! A [m×k], B [k×n], C [m×n]; op is the identity or the transpose
//! for each block of the depth k              so deep that a strip of B fits into L1
//!   for each block of rows of C              copied from A, if it is large
//!     for each strip of columns              a panel of B, as wide as a tile
//!       for each group of rows: a tile       `tile`
//! ```
//!
//! 1. One tile kernel does all the arithmetic, except for vectors and edges (`dot`).
//! 2. A product whose B fits into L1 is one sweep of tiles over A and B in place. The
//!    smallest is a single tile, called directly: work before and after the multiply-adds
//!    is not hidden behind those of another tile.
//! 3. Otherwise the first tile that reads a strip of B packs it into a panel, which stays
//!    in L1 for the tiles below it; where these are few (`DIRECT_ROWS`), all read it from L2.
//!    Further blocks of rows find the panels of a B that is not huge (`KEPT`).
//! 4. A [`PackedMatrix`] has all its panels already, for many products.
//! 5. Meanwhile the tiles of a strip prefetch the next strip into L2, each its share. Where
//!    a strip has a single tile, which would wait for its own loads, none is fetched.
//! 6. A is read in place, some rows at a time (`block_rows`), so that the rows of a block keep to
//!    their sets of L2. It is copied only if its rows lie far apart, and then twice as many at
//!    a time, so that B is read half as often.
//! 7. Packed data go to a workspace of the thread, allocated at first use.
//! 8. The epilogue (α, β, bias, activation) works on a tile in registers or L1, so C is
//!    written to memory once.
//! 9. Threads divide C and nothing else: each value is summed in the same order however
//!    many there are, and has the same bits.
//!
//! Before the activation, every value is within
//! `γ_{k+4}·(|α|·|op(A)|·|op(B)| + |β|·|C| + |bias|)` of the exact one, where
//! `γ_n = n·u/(1 − n·u)` and u = 2⁻²⁴: each product takes part in at most k roundings, and
//! α, β and the bias add three. (Without FMA hardware a product rounds once more, which
//! `k + 4` allows for.) Source: N. Higham, Accuracy and Stability of Numerical Algorithms,
//! section 3.5.
//!
//! Not supported: f64, complex numbers, matrices with a column stride.
//! `benches/README.md` has the measurements behind these choices.

mod addresses;
mod dot;
mod epilogue;
mod pack;
mod tile;

use std::ptr;

use addresses::{Addresses, BYTES, DEPTH, Strip};
use epilogue::Update;
pub use epilogue::{Activation, Epilogue};
pub use pack::PackedMatrix;
use pack::{block_stride, copy_rows, pack_panel, with_workspace};
use tile::{Manner, TILE_ROWS, WIDTH, sweep, try_single, without_edge};

use crate::{
    cpu::l2_bytes,
    lanes::{LANES, Lanes},
    matrix::{MatMut, MatRef, Operand},
    tail_mask::load_partial,
};

/// The right factor: a view, its transpose, or a packed matrix, made by `into()`.
#[derive(Clone, Copy, Debug)]
pub struct Right<'a>(Source<'a>);

#[derive(Clone, Copy, Debug)]
enum Source<'a> {
    Plain(Operand<'a>),
    /// The columns of a packed matrix from the start of a panel on.
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

    /// Where the rows of `column` begin: of a view that is not transposed, or of the panel that
    /// holds the column.
    #[inline(always)]
    fn strip_from(&self, column: usize) -> Strip {
        match self.0 {
            Source::Plain(b) => Strip::new(b.as_ptr().wrapping_add(column), b.matrix().stride()),
            Source::Packed { matrix, first, .. } => matrix.strip_from(first + column),
        }
    }

    /// Columns `first..first + columns`, where `first` is the start of a panel.
    fn columns_from(&self, first: usize, columns: usize) -> Self {
        debug_assert!(first.is_multiple_of(WIDTH * LANES));
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
/// With β = 0, C is not read: it may hold anything, NaN included. With α = 0 or k = 0, A
/// and B are not read.
///
/// # Panics
/// If the sizes do not fit together.
#[track_caller]
#[inline]
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
#[inline]
pub fn gemm_fused<'a>(
    alpha: f32,
    a: impl Into<Operand<'a>>,
    b: impl Into<Right<'a>>,
    beta: f32,
    mut c: MatMut<'_>,
    epilogue: Epilogue<'_>,
) {
    let (a, b) = (a.into(), b.into());
    check(&a, &b, &c, &epilogue);
    if alpha != 0.0
        && is_small(&c, a.columns())
        && let Some(strip) = one_strip(&b)
    {
        let mut at = Addresses::new(a, &mut c, &epilogue);
        let update = Update { alpha, beta, activation: epilogue.activation };
        // SAFETY: the views hold the values that their sizes name, and `check` saw that the
        // sizes fit together; C is borrowed exclusively.
        unsafe {
            at.columns = without_edge(&at, &update, |column| b.strip_from(column));
            if at.columns > 0 && !try_single(&at, &update, strip) {
                some_tiles(&at, &update, strip);
            }
        }
        return;
    }
    Product { alpha, a, b, beta, c, epilogue }.compute();
}

/// Whether a product is one sweep of tiles over A and B in place, and so short that the
/// cost of what comes before counts: a [`Product`] is passed through memory.
#[inline(always)]
fn is_small(c: &MatMut<'_>, depth: usize) -> bool {
    let (some_depth, some_columns) = (1..=DEPTH, 3..WIDE);
    c.rows() > 0
        && some_depth.contains(&depth)
        && some_columns.contains(&c.columns())
        && depth * c.columns() <= LARGE
}

/// B as a single strip, if it can be read as one.
#[inline(always)]
fn one_strip(b: &Right<'_>) -> Option<Strip> {
    let is_one = match b.0 {
        Source::Plain(b) => !b.is_transposed(),
        Source::Packed { columns, .. } => columns <= WIDTH * LANES,
    };
    is_one.then(|| b.strip_from(0))
}

/// A small product of more than one tile.
///
/// # Safety
/// As for [`sweep`], for a B that is one strip.
#[inline(never)]
unsafe fn some_tiles(at: &Addresses, update: &Update, b: Strip) {
    let manner = Manner { width: tile::width(at.rows), fetch: false };
    let strip = |column: usize, _| Strip::new(b.b.wrapping_add(column), b.step);
    // SAFETY: the addresses are valid, as asked above; since B is one strip, the strip from a
    // column on lies that many values further on, at the same step.
    unsafe { sweep(at, update, manner, strip) };
}

/// Panics if the sizes do not fit together.
#[track_caller]
#[inline(always)]
fn check(a: &Operand<'_>, b: &Right<'_>, c: &MatMut<'_>, epilogue: &Epilogue<'_>) {
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

/// The most rows of a block of A, in place and copied. The rows of a copy are spread evenly over
/// the sets of L2.
const ROWS: usize = 256;
const COPIED_ROWS: usize = 512;

/// The rows of a block of A in place, or of a copy: with [`DEPTH`], a quarter or a half of the L2
/// of this CPU, whole tiles of them at least. Which rows are computed together changes no sum.
fn block_rows(copied: bool, l2_bytes: usize) -> usize {
    let (most, share) = if copied { (COPIED_ROWS, 2) } else { (ROWS, 4) };
    (l2_bytes / share / (DEPTH * BYTES)).clamp(4 * TILE_ROWS, most)
}

/// Columns of C, and values between the first and the last of A, from which copying A
/// pays: its rows then collide in few pages and cache sets.
const WIDE: usize = 256;
const FAR: usize = 1 << 18;
/// Values of B above which its strips are packed: they do not fit into L1.
const LARGE: usize = 1 << 13;
/// The most values of B whose panels are kept for all rows of C. Else each block of rows packs them
/// again.
const KEPT: usize = 1 << 20;
/// The most rows of C whose tiles read such a B in place. A row of a wide strip is as many whole
/// cache lines as L2 delivers during its multiply-adds; one of a narrow strip is a line or two.
const DIRECT_ROWS: usize = if WIDTH == 4 { 32 } else { TILE_ROWS };
/// Multiply-adds from which waking threads pays.
const PARALLEL: usize = 1 << 23;
/// Rows and columns of C that one task of the parallel form computes.
const TASK_ROWS: usize = 96;
const TASK_COLUMNS: usize = 512;

/// Packed strips of B, from one step of the depth on.
struct Panels<'a> {
    /// Room for them; none if B is read in place.
    values: &'a mut [f32],
    /// Whether each strip has a place of its own, for the rows below.
    keeps: bool,
    /// Whether they are all there.
    are_made: bool,
}

impl Panels<'_> {
    /// None: B is read in place.
    fn none() -> Self {
        Self { values: &mut [], keeps: false, are_made: false }
    }

    /// Where the panel of the strip begins that starts at `column`.
    #[inline(always)]
    fn first(&self, column: usize, depth: usize) -> usize {
        if self.keeps { column * depth } else { 0 }
    }
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
        check(&a, &b, &c, &epilogue);
        Self { alpha, a, b, beta, c, epilogue }
    }

    fn multiply_adds(&self) -> usize {
        self.c.rows().saturating_mul(self.c.columns()).saturating_mul(self.a.columns())
    }

    fn update(&self) -> Update {
        Update { alpha: self.alpha, beta: self.beta, activation: self.epilogue.activation }
    }

    /// The whole product, by the path that suits its shape.
    #[inline(never)]
    fn compute(mut self) {
        let (rows, columns, depth) = (self.c.rows(), self.c.columns(), self.a.columns());
        if rows == 0 || columns == 0 {
            return;
        }
        if self.alpha == 0.0 || depth == 0 {
            return self.without_factors();
        }
        if let Source::Plain(b) = self.b.0 {
            if columns <= 2 && !self.a.is_transposed() {
                for column in 0..columns {
                    self.column(b, column);
                }
                return;
            }
            if columns == 1 && self.c.stride() == 1 && self.epilogue.bias.is_none() {
                return self.exchanged(b);
            }
            if b.is_transposed() && rows <= 4 {
                for row in 0..rows {
                    self.row(b, row);
                }
                return;
            }
            if rows == 1 && !b.is_transposed() && !is_small(&self.c, depth) {
                return self.one_row(b);
            }
            if b.is_transposed() && !self.a.is_transposed() {
                self = self.without_last_columns(b);
            }
        }
        self.tiles();
    }

    /// `C ← activation(β·C + bias)`: A and B are not read.
    fn without_factors(mut self) {
        let product = Addresses { depth: 0, ..self.addresses() };
        let none = Strip::new(ptr::null(), 0);
        let manner = Manner { width: WIDTH, fetch: false };
        // SAFETY: C is borrowed exclusively and has the sizes named, the bias a value a column
        // (`check`); a depth of zero reads neither A nor B.
        unsafe { sweep(&product, &self.update(), manner, |_, _| none) };
    }

    fn addresses(&mut self) -> Addresses {
        Addresses::new(self.a, &mut self.c, &self.epilogue)
    }

    /// Blocks of tiles.
    #[inline(always)]
    fn tiles(mut self) {
        let whole = self.addresses();
        if whole.depth <= DEPTH && whole.rows <= ROWS && self.is_direct() {
            // SAFETY: these are the addresses of the whole product, from the first step of the
            // depth on; `Product::is_direct` says that B is read in place.
            return unsafe { self.block(&whole, 0, &self.update(), Panels::none()) };
        }
        self.blocks(&whole);
    }

    /// Whether tiles read A and B in place.
    fn is_direct(&self) -> bool {
        let (rows, columns, depth) = (self.c.rows(), self.c.columns(), self.a.columns());
        let b_lies_well = match self.b.0 {
            Source::Plain(b) => {
                !b.is_transposed() && (rows <= DIRECT_ROWS || depth * columns <= LARGE)
            }
            Source::Packed { .. } => true,
        };
        b_lies_well && !self.copies_a()
    }

    /// Whether A is copied: its rows are many and far apart, and many strips of B
    /// read them.
    fn copies_a(&self) -> bool {
        let matrix = self.a.matrix();
        self.c.columns() >= WIDE && matrix.rows() * matrix.stride() > FAR
    }

    fn blocks(&self, whole: &Addresses) {
        let update = self.update();
        with_workspace(|workspace| {
            let blocks = whole.depth.div_ceil(DEPTH);
            let depth = whole.depth.div_ceil(blocks);
            let copies_a = self.copies_a();
            let most = block_rows(copies_a, l2_bytes());
            let rows = whole.rows.div_ceil(whole.rows.div_ceil(most));
            let packs = matches!(self.b.0, Source::Plain(_)) && !self.is_direct();
            let keeps = packs && rows < whole.rows && depth * whole.columns <= KEPT;
            let columns = match (packs, keeps) {
                (false, _) => 0,
                (true, false) => WIDTH * LANES,
                (true, true) => whole.columns.next_multiple_of(LANES),
            };
            let panels = workspace.right.first(depth * columns);
            for p in (0..whole.depth).step_by(depth) {
                let depth = depth.min(whole.depth - p);
                let is_last = p + depth == whole.depth;
                let update = update.for_part(p == 0, is_last);
                let bias = if is_last { whole.bias } else { ptr::null() };
                let a = whole.a.wrapping_add(p * whole.a_step);
                let block = Addresses { depth, a, bias, ..*whole };
                for row in (0..whole.rows).step_by(rows) {
                    let rows = rows.min(whole.rows - row);
                    let c = block.c.wrapping_add(row * block.c_row);
                    let mut block = Addresses { rows, c, ..block };
                    if copies_a {
                        let part = self.a.part(row, p, rows, depth).matrix();
                        let stride = block_stride(part.columns());
                        let copy = workspace.left.first(part.rows() * stride);
                        copy_rows(part, copy, stride);
                        (block.a_row, block.a_step) =
                            if self.a.is_transposed() { (1, stride) } else { (stride, 1) };
                        block.a = copy.as_ptr();
                    } else {
                        block.a = block.a.wrapping_add(row * block.a_row);
                    }
                    // SAFETY: the addresses are those of some rows of C and of the same rows of
                    // A, or of a copy of these, from step p of the depth on; the panels are empty
                    // or have room for this depth, and those that are kept were written by the
                    // first rows.
                    unsafe {
                        let panels = Panels { values: panels, keeps, are_made: keeps && row > 0 };
                        self.block(&block, p, &update, panels);
                    }
                }
            }
        });
    }

    /// The part of the product that starts at p of the depth.
    ///
    /// # Safety
    /// The addresses are those of this product or a part of it, from p on. The panels have room
    /// for a strip of that depth, or if they are kept for all strips, or are empty if B is read in
    /// place; those that are made hold B from p on.
    #[inline(always)]
    unsafe fn block(&self, at: &Addresses, p: usize, update: &Update, panels: Panels<'_>) {
        let manner = |width| Manner { width, fetch: true };
        let is_transposed = matches!(self.b.0, Source::Plain(b) if b.is_transposed());
        let mut at = *at;
        if !is_transposed {
            let strip = |column| {
                let whole = self.b.strip_from(column);
                Strip { b: whole.b.wrapping_add(p * whole.step), ..whole }
            };
            // SAFETY: A, C and the bias are valid at these addresses, as asked above; B has a
            // row for each step of the depth from p on.
            at.columns = unsafe { without_edge(&at, update, strip) };
        }
        let at = &at;
        let is_last = |column: usize, vectors: usize| column + vectors * LANES >= at.columns;
        match self.b.0 {
            Source::Packed { matrix, first, .. } => {
                let strip = |column: usize, vectors: usize| {
                    let Strip { b, step, .. } = matrix.strip_from(first + column);
                    let b = b.wrapping_add(p * step);
                    let next = if is_last(column, vectors) {
                        ptr::null()
                    } else {
                        b.wrapping_add(matrix.rows() * step)
                    };
                    Strip { b, step, panel: ptr::null_mut(), next }
                };
                // SAFETY: A, C and the bias are valid at these addresses, as asked above, and a
                // packed matrix has all panels of its rows, of which p is one.
                unsafe { sweep(at, update, manner(WIDTH), strip) };
            }
            Source::Plain(b) if b.is_transposed() => {
                let strip = |column: usize, vectors: usize| {
                    let columns = (at.columns - column).min(vectors * LANES);
                    let first = panels.first(column, at.depth);
                    let panel = &mut panels.values[first..][..at.depth * vectors * LANES];
                    if !panels.are_made {
                        pack_panel(b.part(p, column, at.depth, columns), panel);
                    }
                    Strip::new(panel.as_ptr(), vectors * LANES)
                };
                // SAFETY: A, C and the bias are valid at these addresses, as asked above, and
                // each strip has been packed, now or for the rows above.
                unsafe { sweep(at, update, manner(WIDTH), strip) };
            }
            Source::Plain(_) if panels.are_made => {
                let strip = |column: usize, vectors: usize| {
                    let first = panels.first(column, at.depth);
                    let b = panels.values[first..][..at.depth * vectors * LANES].as_ptr();
                    let right = b.wrapping_add(vectors * LANES * at.depth);
                    let next = if is_last(column, vectors) { ptr::null() } else { right };
                    Strip { b, step: vectors * LANES, panel: ptr::null_mut(), next }
                };
                // SAFETY: A, C and the bias are valid at these addresses, as asked above, and
                // the rows above have packed all strips.
                unsafe { sweep(at, update, manner(WIDTH), strip) };
            }
            Source::Plain(b) => {
                let step = b.matrix().stride();
                let in_place = panels.values.is_empty();
                let width = if in_place { tile::width(at.rows) } else { WIDTH };
                let b = b.as_ptr().wrapping_add(p * step);
                let strip = |column: usize, vectors: usize| {
                    let b = b.wrapping_add(column);
                    let right = b.wrapping_add(vectors * LANES);
                    let next = if is_last(column, vectors) { ptr::null() } else { right };
                    let first = panels.first(column, at.depth);
                    let panel = if in_place {
                        ptr::null_mut()
                    } else {
                        panels.values[first..][..at.depth * vectors * LANES].as_mut_ptr()
                    };
                    Strip { b, step, panel, next }
                };
                // SAFETY: A, C and the bias are valid at these addresses, as asked above; B is
                // a view with rows from p on and these columns, and the panel has room for so
                // deep a strip of WIDTH vectors, or of those that are left, or is null.
                unsafe { sweep(at, update, manner(width), strip) };
            }
        }
    }

    /// The columns behind the last whole vector, if they are one or two: a tile would fill a small
    /// part of its vectors. As in `without_edge`, the choice does not depend on the rows.
    fn without_last_columns(mut self, b: Operand<'_>) -> Self {
        let (rows, columns) = (self.c.rows(), self.c.columns());
        let whole = columns - columns % LANES;
        if whole == columns || columns - whole > 2 {
            return self;
        }
        for column in whole..columns {
            self.column(b, column);
        }
        let bias = self.epilogue.bias.map(|bias| &bias[..whole]);
        Self {
            b: self.b.columns_from(0, whole),
            c: self.c.into_part(0, 0, rows, whole),
            epilogue: Epilogue { bias, ..self.epilogue },
            ..self
        }
    }

    /// One column of C, as rows of A times a column of B. A is not transposed, and the
    /// column of B is gathered if need be.
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

    /// One row of C, as the rows of the matrix that B transposes times a row of A.
    fn row(&mut self, b: Operand<'_>, row: usize) {
        let y = dot::Strided { start: self.c.row_mut(row).as_mut_ptr(), step: 1 };
        let bias = self.epilogue.bias;
        let bias =
            |first: usize, count: usize| bias.map(|bias| load_partial(&bias[first..first + count]));
        let update = self.update();
        with_column(self.a.t(), row, |x| {
            // SAFETY: y is a row of C, which is borrowed exclusively, and has a
            // value for each row of the matrix that B transposes.
            unsafe { dot::matrix_vector(b.matrix(), x, &y, bias, &update) };
        });
    }

    /// The one row of C, as a row of A times a B that is not transposed.
    fn one_row(&mut self, b: Operand<'_>) {
        let y = self.c.as_mut_ptr();
        let (bias, update) = (self.epilogue.bias, self.update());
        with_column(self.a.t(), 0, |x| {
            // SAFETY: y is the row of C, which is borrowed exclusively, and has a
            // value for each column of B.
            unsafe { dot::vector_matrix(x, b.matrix(), y, bias, &update) };
        });
    }

    /// `Cᵀ = op(B)ᵀ·op(A)ᵀ`, for a C of one contiguous column and a transposed A: the lanes
    /// then run along the rows of the matrix that A transposes.
    fn exchanged(&mut self, b: Operand<'_>) {
        let (y, matrix, update) = (self.c.as_mut_ptr(), self.a.matrix(), self.update());
        with_column(b, 0, |x| {
            // SAFETY: y is C, which is borrowed exclusively, without gaps, and has a
            // value for each column of the matrix that A transposes.
            unsafe { dot::vector_matrix(x, matrix, y, None, &update) };
        });
    }

    /// Halves the longer side of C for two threads until a task is small enough. It stops
    /// above a few rows or columns, which would be summed in another order than the whole.
    fn compute_shared(self) {
        let (rows, columns) = (self.c.rows(), self.c.columns());
        let depth = self.a.columns();
        let (first, second) = if rows > TASK_ROWS && rows * TASK_COLUMNS >= columns * TASK_ROWS {
            let half = rows / 2;
            let (above, below) = self.c.split_at_row(half);
            (
                Product { a: self.a.part(0, 0, half, depth), c: above, ..self },
                Product { a: self.a.part(half, 0, rows - half, depth), c: below, ..self },
            )
        } else if columns > TASK_COLUMNS {
            let half = (columns / 2).next_multiple_of(WIDTH * LANES);
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
            return self.compute();
        };
        rayon::join(|| first.compute_shared(), || second.compute_shared());
    }
}

/// Passes a column of `op(X)` as a slice: in place if its values are contiguous, else
/// gathered in the workspace.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_keeps_to_its_share_of_l2_and_is_neither_tiny_nor_endless() {
        for kib in [256, 512, 1_024, 1_280, 2_048] {
            for (copied, share) in [(false, 4), (true, 2)] {
                let rows = block_rows(copied, kib << 10);
                assert!(rows * DEPTH * BYTES <= (kib << 10) / share, "{kib} KiB: {rows} rows");
            }
        }
        assert_eq!(block_rows(false, 1), 4 * TILE_ROWS);
        assert_eq!([false, true].map(|copied| block_rows(copied, 1 << 40)), [ROWS, COPIED_ROWS]);
    }
}
