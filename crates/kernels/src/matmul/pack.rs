//! Copies of operands in the order in which the tiles read them.
//!
//! ```text
//! panels of B [k×n]: for each WIDTH vectors of columns, their k rows one after the
//!                    other; the last panel is as many vectors wide as are left, and
//!                    its columns from n on are zero
//! rows of A [m×k]:   the block as it is, at a stride that spreads the rows over the
//!                    sets of a cache
//! ```
//!
//! A panel is read from its first value to its last, by every tile of its strip.
//! Not a file format: the panels of two builds differ.

use std::cell::RefCell;

use super::addresses::Strip;
use super::tile::WIDTH;
use crate::{
    buffer::{Buffer, LINE},
    lanes::LANES,
    matrix::{MatRef, Operand},
    size,
    tail_mask::TailMask,
    transpose::transpose_view,
};

/// A matrix `[k, n]` packed as the right factor of many products.
///
/// Packing costs about as much as one product with a single row. It pays where the same
/// matrix is multiplied by several left factors, as the recurrent weights of a sequence
/// are, once a time step.
#[derive(Clone, Debug, Default)]
pub struct PackedMatrix {
    panels: Buffer,
    rows: usize,
    columns: usize,
}

impl PackedMatrix {
    /// Packs `op(B)` into a buffer of its own.
    ///
    /// # Panics
    /// If it has, in panels, more values than a `usize` counts.
    #[track_caller]
    pub fn new<'a>(matrix: impl Into<Operand<'a>>) -> Self {
        let mut packed = Self::default();
        packed.assign(matrix);
        packed
    }

    /// Packs another `op(B)` into the same buffer, which grows if it must.
    ///
    /// # Panics
    /// If it has, in panels, more values than a `usize` counts.
    #[track_caller]
    pub fn assign<'a>(&mut self, matrix: impl Into<Operand<'a>>) {
        let matrix = matrix.into();
        let panels = self.panels.first(packed_len(matrix.rows(), matrix.columns()));
        (self.rows, self.columns) = (matrix.rows(), matrix.columns());
        pack_panels(matrix, panels);
    }

    /// Rows of the matrix that was packed.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns of the matrix that was packed.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The rows of `column` and of those behind it in its vector.
    #[inline(always)]
    pub(super) fn strip_from(&self, column: usize) -> Strip {
        let first = column - column % (WIDTH * LANES);
        let vectors = (self.columns - first).div_ceil(LANES).min(WIDTH);
        Strip::new(self.panel(first).wrapping_add(column - first), vectors * LANES)
    }

    /// The address of the panel that starts at `column`, a multiple of `WIDTH · LANES`. Its
    /// rows have as many whole vectors as are left of the columns, `WIDTH` at most.
    pub(super) fn panel(&self, column: usize) -> *const f32 {
        debug_assert!(column.is_multiple_of(WIDTH * LANES));
        // `assign` has made room for `packed_len` values.
        self.panels[column * self.rows..].as_ptr()
    }
}

/// Values in the panels of `rows` × `columns`.
#[track_caller]
fn packed_len(rows: usize, columns: usize) -> usize {
    size::padded_rows(rows, columns, LANES)
}

/// Writes the panels of `op(B)`.
fn pack_panels(matrix: Operand<'_>, panels: &mut [f32]) {
    let (rows, columns) = (matrix.rows(), matrix.columns());
    if panels.is_empty() {
        return;
    }
    for (index, panel) in panels.chunks_mut(rows * WIDTH * LANES).enumerate() {
        let first = index * WIDTH * LANES;
        pack_panel(matrix.part(0, first, rows, (columns - first).min(WIDTH * LANES)), panel);
    }
}

/// Writes an `op(B)` that is no wider than a panel as one panel.
pub(super) fn pack_panel(matrix: Operand<'_>, panel: &mut [f32]) {
    let (rows, columns) = (matrix.rows(), matrix.columns());
    let stride = columns.next_multiple_of(LANES);
    for first in (0..columns).step_by(LANES) {
        let width = LANES.min(columns - first);
        if matrix.is_transposed() {
            let source = matrix.matrix().part(first, 0, width, rows);
            transpose_view(source, &mut panel[first..], stride, LANES);
        } else {
            copy_vectors(matrix.matrix().part(0, first, rows, width), &mut panel[first..], stride);
        }
    }
}

/// Writes the rows of `source` (at most [`LANES`] columns) as vectors at a stride, filled
/// up with zeros.
fn copy_vectors(source: MatRef<'_>, target: &mut [f32], stride: usize) {
    let mask = TailMask::new(source.columns());
    for (target, row) in target.chunks_mut(stride).zip(source.iter_rows()) {
        let (target, _) = target.split_first_chunk_mut::<LANES>().expect("room for a vector");
        *target = match row.first_chunk::<LANES>() {
            Some(full) => *full,
            // SAFETY: the mask selects as many lanes as the row has values.
            None => unsafe { mask.load(row.as_ptr()) }.to_array(),
        };
    }
}

/// The stride of the rows in a block of A: an odd number of cache lines, so that the rows
/// of a tile are in different sets.
pub(super) fn block_stride(columns: usize) -> usize {
    (columns.div_ceil(LINE) | 1) * LINE
}

/// Copies the rows of a view to the given stride; the values between them stay as they are.
pub(super) fn copy_rows(source: MatRef<'_>, target: &mut [f32], stride: usize) {
    for (target, source) in target.chunks_mut(stride).zip(source.iter_rows()) {
        target[..source.len()].copy_from_slice(source);
    }
}

/// The buffers that a product on this thread needs beside its operands.
#[derive(Default)]
pub(super) struct Workspace {
    /// A block of A.
    pub(super) left: Buffer,
    /// A block of B in panels.
    pub(super) right: Buffer,
    /// A vector gathered from a column.
    pub(super) vector: Buffer,
}

/// Calls `use_it` with the workspace of this thread. Calls must not be nested.
pub(super) fn with_workspace<R>(use_it: impl FnOnce(&mut Workspace) -> R) -> R {
    thread_local! {
        static WORKSPACE: RefCell<Workspace> = RefCell::default();
    }
    WORKSPACE.with_borrow_mut(use_it)
}
