//! Copies of operands in the order in which the tiles read them.
//!
//! ```text
//! panels of B [k×n]: for each WIDTH vectors of columns, k rows of them, one after
//!                    the other; the last panel is as many vectors wide as are
//!                    left, and its columns from n on are zero
//! rows of A [m×k]:   the block as it is, at a stride that does not
//!                    map all rows to the same few cache sets
//! ```
//!
//! A panel is read from its first value to its last, by every tile of its strip.
//! Not a file format: the panels of two builds differ.

use std::cell::RefCell;

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
/// Packing costs about as much as one product with a single row. It pays for
/// itself when the same matrix meets several left factors, as the recurrent
/// weights of a sequence do, one for each time step.
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

    /// Packs another `op(B)` into the same buffer, which grows where it must.
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

    /// Where the panel that starts at a column begins: a multiple of
    /// `WIDTH · LANES`. Its rows are as many whole vectors as are left of the
    /// columns, `WIDTH` at most.
    pub(super) fn panel(&self, column: usize) -> *const f32 {
        debug_assert!(column.is_multiple_of(WIDTH * LANES));
        self.panels[..packed_len(self.rows, self.columns)][column * self.rows..].as_ptr()
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

/// Writes the one panel of an `op(B)` that is no wider.
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

/// Writes the rows of `source` (at most [`LANES`] columns) as vectors at a stride,
/// with zeros behind.
fn copy_vectors(source: MatRef<'_>, target: &mut [f32], stride: usize) {
    let prefix = TailMask::new(source.columns());
    for (target, row) in target.chunks_mut(stride).zip(source.iter_rows()) {
        let (target, _) = target.split_first_chunk_mut::<LANES>().expect("room for a vector");
        *target = match row.first_chunk::<LANES>() {
            Some(full) => *full,
            // SAFETY: the mask selects as many lanes as the row has values.
            None => unsafe { prefix.load(row.as_ptr()) }.to_array(),
        };
    }
}

/// Distance of the rows in a block of A: an odd number of cache lines, so that
/// the rows of a tile lie in different sets.
pub(super) fn block_stride(columns: usize) -> usize {
    (columns.div_ceil(LINE) | 1) * LINE
}

/// Copies the rows of a view to the given stride; what lies between stays as it was.
pub(super) fn copy_rows(source: MatRef<'_>, target: &mut [f32], stride: usize) {
    for (target, source) in target.chunks_mut(stride).zip(source.iter_rows()) {
        target[..source.len()].copy_from_slice(source);
    }
}

/// What a product on this thread needs beside its operands.
#[derive(Default)]
pub(super) struct Workspace {
    /// A block of A.
    pub(super) left: Buffer,
    /// A block of B in panels.
    pub(super) right: Buffer,
    /// A vector gathered from a column.
    pub(super) vector: Buffer,
}

/// Lends the workspace of this thread. Not to be nested.
pub(super) fn with_workspace<R>(use_it: impl FnOnce(&mut Workspace) -> R) -> R {
    thread_local! {
        static WORKSPACE: RefCell<Workspace> = RefCell::default();
    }
    WORKSPACE.with_borrow_mut(use_it)
}
