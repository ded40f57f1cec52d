//! Row-major views of f32 matrices: the arguments of the products.
//!
//! A view is an address in a buffer, a number of rows and columns, and a stride (the
//! distance between the starts of two rows, at least the columns). It owns nothing. The
//! values between the end of a row and the start of the next do not belong to it: no method
//! reads, writes or returns them. That is why a view holds a pointer and not a slice, and
//! why [`MatMut::split_at_column`] can return two halves of the same rows.
//!
//! Constructors panic on sizes that do not fit; their `try_` forms return a [`MatrixError`]
//! instead, for sizes that are known only at run time.
//!
//! Not a matrix library: no arithmetic, no owned type, no element but f32.

use std::{marker::PhantomData, slice};

/// Sizes that do not describe a matrix within the buffer given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MatrixError {
    /// The rows would overlap.
    #[error(
        "a stride of {stride} is shorter than a row of {columns} columns: \
         give at least as many as columns"
    )]
    Stride {
        /// Values between the starts of two rows.
        stride: usize,
        /// Values in a row.
        columns: usize,
    },
    /// The last row would end beyond the buffer.
    #[error(
        "{rows} x {columns} values at stride {stride} do not fit into {length}: \
         all rows but the last take {stride}, the last {columns}"
    )]
    Length {
        /// Rows asked for.
        rows: usize,
        /// Values in a row.
        columns: usize,
        /// Values between the starts of two rows.
        stride: usize,
        /// Values in the buffer.
        length: usize,
    },
}

/// Checks that a matrix of these sizes lies within `length` values; returns a stride with
/// which each of its rows begins within them, or just behind.
///
/// That is the given stride wherever two rows have values. With a single row, or rows without
/// values, a stride may lead beyond the buffer; it is then cut short, so that the start of a
/// row is always in the buffer and no multiple of a stride overflows.
fn check(length: usize, rows: usize, columns: usize, stride: usize) -> Result<usize, MatrixError> {
    if stride < columns {
        return Err(MatrixError::Stride { stride, columns });
    }
    if rows == 0 || columns == 0 {
        return Ok(columns);
    }
    let needed = (rows - 1).checked_mul(stride).and_then(|before| before.checked_add(columns));
    match needed {
        Some(needed) if needed <= length => Ok(stride.min(length)),
        _ => Err(MatrixError::Length { rows, columns, stride, length }),
    }
}

/// A matrix to read: `rows` × `columns`, row-major.
#[derive(Clone, Copy, Debug)]
pub struct MatRef<'a> {
    start: *const f32,
    rows: usize,
    columns: usize,
    stride: usize,
    lifetime: PhantomData<&'a [f32]>,
}

// SAFETY: a `MatRef` is a shared borrow of the values in its rows, and shared
// borrows of f32 may cross and be used from several threads.
unsafe impl Send for MatRef<'_> {}
// SAFETY: `&MatRef` only reads, and shared borrows of f32 may be used from several threads.
unsafe impl Sync for MatRef<'_> {}

impl<'a> MatRef<'a> {
    /// A view of `rows` × `columns` values, one row directly after the other.
    ///
    /// # Panics
    /// If `data` is not exactly `rows · columns` long.
    #[track_caller]
    pub fn new(data: &'a [f32], rows: usize, columns: usize) -> Self {
        assert!(
            rows.checked_mul(columns) == Some(data.len()),
            "{rows} x {columns} values asked for, {} given",
            data.len()
        );
        Self { start: data.as_ptr(), rows, columns, stride: columns, lifetime: PhantomData }
    }

    /// A view of `rows` × `columns` values whose rows start `stride` values apart.
    ///
    /// # Panics
    /// If `stride < columns`, or `data` ends before the last row does.
    #[track_caller]
    pub fn with_stride(data: &'a [f32], rows: usize, columns: usize, stride: usize) -> Self {
        Self::try_with_stride(data, rows, columns, stride).unwrap_or_else(|error| panic!("{error}"))
    }

    /// [`MatRef::with_stride`] for sizes met at run time.
    ///
    /// # Errors
    /// If `stride < columns`, or `data` ends before the last row does.
    pub fn try_with_stride(
        data: &'a [f32],
        rows: usize,
        columns: usize,
        stride: usize,
    ) -> Result<Self, MatrixError> {
        let stride = check(data.len(), rows, columns, stride)?;
        Ok(Self { start: data.as_ptr(), rows, columns, stride, lifetime: PhantomData })
    }

    /// `[1, n]`: a slice as the one row of a matrix.
    pub fn from_row(data: &'a [f32]) -> Self {
        Self::new(data, 1, data.len())
    }

    /// `[n, 1]`: a slice as the one column of a matrix.
    pub fn from_column(data: &'a [f32]) -> Self {
        Self::new(data, data.len(), 1)
    }

    /// Number of rows.
    #[inline]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    #[inline]
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Distance between the starts of two rows, in values: the buffer's length at most, and
    /// the columns where no value is in view.
    #[inline]
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// `[columns]`: one row.
    ///
    /// # Panics
    /// If there is no such row.
    #[track_caller]
    pub fn row(&self, row: usize) -> &'a [f32] {
        assert!(row < self.rows, "row {row} of {} rows", self.rows);
        // SAFETY: the constructors checked that the row lies in the buffer, or is empty and
        // begins in it or just behind; the buffer is borrowed for 'a.
        unsafe { slice::from_raw_parts(self.start.wrapping_add(row * self.stride), self.columns) }
    }

    /// The rows from the first to the last.
    pub fn iter_rows(self) -> impl ExactSizeIterator<Item = &'a [f32]> {
        (0..self.rows).map(move |row| self.row(row))
    }

    /// The part of `rows` × `columns` that starts at row `row`, column `column`.
    ///
    /// # Panics
    /// If it reaches beyond this view.
    #[track_caller]
    pub fn part(&self, row: usize, column: usize, rows: usize, columns: usize) -> Self {
        check_part((self.rows, self.columns), (row, column), (rows, columns));
        Self { start: self.start.wrapping_add(row * self.stride + column), rows, columns, ..*self }
    }

    /// The transpose, as a factor of a product; no value is moved.
    #[inline]
    pub fn t(self) -> Operand<'a> {
        Operand { matrix: self, transposed: true }
    }

    pub(crate) fn as_ptr(&self) -> *const f32 {
        self.start
    }
}

#[track_caller]
fn check_part(whole: (usize, usize), start: (usize, usize), part: (usize, usize)) {
    let fits = |whole: usize, start: usize, part: usize| {
        start.checked_add(part).is_some_and(|end| end <= whole)
    };
    assert!(
        fits(whole.0, start.0, part.0) && fits(whole.1, start.1, part.1),
        "the {} x {} part at ({}, {}) leaves the matrix of {} x {}",
        part.0,
        part.1,
        start.0,
        start.1,
        whole.0,
        whole.1
    );
}

/// A matrix to write: `rows` × `columns`, row-major, borrowed exclusively.
#[derive(Debug)]
pub struct MatMut<'a> {
    start: *mut f32,
    rows: usize,
    columns: usize,
    stride: usize,
    lifetime: PhantomData<&'a mut [f32]>,
}

// SAFETY: a `MatMut` is the only borrow of the values in its rows, and an
// exclusive borrow of f32 may cross threads; the values between the rows, which
// other views may hold, are never touched through it.
unsafe impl Send for MatMut<'_> {}
// SAFETY: `&MatMut` only reads, and shared borrows of f32 may be used from several threads.
unsafe impl Sync for MatMut<'_> {}

impl<'a> MatMut<'a> {
    /// A view of `rows` × `columns` values, one row directly after the other.
    ///
    /// # Panics
    /// If `data` is not exactly `rows · columns` long.
    #[track_caller]
    pub fn new(data: &'a mut [f32], rows: usize, columns: usize) -> Self {
        assert!(
            rows.checked_mul(columns) == Some(data.len()),
            "{rows} x {columns} values asked for, {} given",
            data.len()
        );
        Self { start: data.as_mut_ptr(), rows, columns, stride: columns, lifetime: PhantomData }
    }

    /// A view of `rows` × `columns` values whose rows start `stride` values apart.
    ///
    /// # Panics
    /// If `stride < columns`, or `data` ends before the last row does.
    #[track_caller]
    pub fn with_stride(data: &'a mut [f32], rows: usize, columns: usize, stride: usize) -> Self {
        Self::try_with_stride(data, rows, columns, stride).unwrap_or_else(|error| panic!("{error}"))
    }

    /// [`MatMut::with_stride`] for sizes met at run time.
    ///
    /// # Errors
    /// If `stride < columns`, or `data` ends before the last row does.
    pub fn try_with_stride(
        data: &'a mut [f32],
        rows: usize,
        columns: usize,
        stride: usize,
    ) -> Result<Self, MatrixError> {
        let stride = check(data.len(), rows, columns, stride)?;
        Ok(Self { start: data.as_mut_ptr(), rows, columns, stride, lifetime: PhantomData })
    }

    /// `[1, n]`: a slice as the one row of a matrix.
    pub fn from_row(data: &'a mut [f32]) -> Self {
        let columns = data.len();
        Self::new(data, 1, columns)
    }

    /// `[n, 1]`: a slice as the one column of a matrix.
    pub fn from_column(data: &'a mut [f32]) -> Self {
        let rows = data.len();
        Self::new(data, rows, 1)
    }

    /// Number of rows.
    #[inline]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    #[inline]
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Distance between the starts of two rows, in values: the buffer's length at most, and
    /// the columns where no value is in view.
    #[inline]
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// This view for reading.
    #[inline]
    pub fn as_ref(&self) -> MatRef<'_> {
        MatRef {
            start: self.start,
            rows: self.rows,
            columns: self.columns,
            stride: self.stride,
            lifetime: PhantomData,
        }
    }

    /// The same view for a shorter lifetime, as `&mut *slice` is of a slice.
    #[inline]
    pub fn reborrow(&mut self) -> MatMut<'_> {
        MatMut {
            start: self.start,
            rows: self.rows,
            columns: self.columns,
            stride: self.stride,
            lifetime: PhantomData,
        }
    }

    /// `[columns]`: one row.
    ///
    /// # Panics
    /// If there is no such row.
    #[track_caller]
    pub fn row_mut(&mut self, row: usize) -> &mut [f32] {
        assert!(row < self.rows, "row {row} of {} rows", self.rows);
        // SAFETY: the constructors checked that the row lies in the buffer, or is empty and
        // begins in it or just behind; the values of this row are borrowed by this view alone.
        unsafe {
            slice::from_raw_parts_mut(self.start.wrapping_add(row * self.stride), self.columns)
        }
    }

    /// The rows from the first to the last, each without the gap after it.
    pub fn into_rows(self) -> impl ExactSizeIterator<Item = &'a mut [f32]> {
        (0..self.rows).map(move |row| {
            let start = self.start.wrapping_add(row * self.stride);
            // SAFETY: the constructors checked that the row lies in the buffer, or is empty and
            // begins in it or just behind. The stride is at least the columns, so the rows are
            // disjoint, and the view is consumed: nothing else refers to them.
            unsafe { slice::from_raw_parts_mut(start, self.columns) }
        })
    }

    /// The part of `rows` × `columns` that starts at row `row`, column `column`.
    ///
    /// # Panics
    /// If it reaches beyond this view.
    #[track_caller]
    pub fn into_part(self, row: usize, column: usize, rows: usize, columns: usize) -> Self {
        check_part((self.rows, self.columns), (row, column), (rows, columns));
        Self { start: self.start.wrapping_add(row * self.stride + column), rows, columns, ..self }
    }

    /// The rows before `row`, and those from it on.
    ///
    /// # Panics
    /// If `row` is more than the number of rows.
    #[track_caller]
    pub fn split_at_row(self, row: usize) -> (Self, Self) {
        let Self { rows, columns, .. } = self;
        check_part((rows, columns), (row, 0), (rows.saturating_sub(row), columns));
        let above = Self { rows: row, ..self };
        let below =
            Self { start: self.start.wrapping_add(row * self.stride), rows: rows - row, ..self };
        (above, below)
    }

    /// The columns before `column`, and those from it on: two views of the same
    /// rows that share no value.
    ///
    /// # Panics
    /// If `column` is more than the number of columns.
    #[track_caller]
    pub fn split_at_column(self, column: usize) -> (Self, Self) {
        let Self { rows, columns, .. } = self;
        let behind = columns.saturating_sub(column);
        check_part((rows, columns), (0, column), (rows, behind));
        let left = Self { columns: column, ..self };
        let right = Self { start: self.start.wrapping_add(column), columns: behind, ..self };
        (left, right)
    }

    pub(crate) fn as_mut_ptr(&mut self) -> *mut f32 {
        self.start
    }
}

/// `op(X)`: a matrix or its transpose, as a factor of a product. Made from a [`MatRef`] by
/// `into()` or [`MatRef::t`].
#[derive(Clone, Copy, Debug)]
pub struct Operand<'a> {
    matrix: MatRef<'a>,
    transposed: bool,
}

impl<'a> From<MatRef<'a>> for Operand<'a> {
    #[inline]
    fn from(matrix: MatRef<'a>) -> Self {
        Self { matrix, transposed: false }
    }
}

impl<'a> Operand<'a> {
    /// The view of the matrix as it is in memory.
    #[inline]
    pub fn matrix(&self) -> MatRef<'a> {
        self.matrix
    }

    /// Whether this is the transpose of [`Operand::matrix`].
    #[inline]
    pub fn is_transposed(&self) -> bool {
        self.transposed
    }

    /// The transpose of the operand.
    #[inline]
    pub fn t(self) -> Self {
        Self { transposed: !self.transposed, ..self }
    }

    /// Rows of `op(X)`.
    #[inline]
    pub fn rows(&self) -> usize {
        if self.transposed { self.matrix.columns } else { self.matrix.rows }
    }

    /// Columns of `op(X)`.
    #[inline]
    pub fn columns(&self) -> usize {
        if self.transposed { self.matrix.rows } else { self.matrix.columns }
    }

    /// The element of `op(X)` in row `row`, column `column`.
    ///
    /// # Panics
    /// If there is no such element.
    #[track_caller]
    pub fn get(&self, row: usize, column: usize) -> f32 {
        let (row, column) = if self.transposed { (column, row) } else { (row, column) };
        self.matrix.row(row)[column]
    }

    /// Distances in memory from an element of `op(X)` to the one below it and
    /// to the one right of it.
    #[inline]
    pub(crate) fn steps(&self) -> (usize, usize) {
        if self.transposed { (1, self.matrix.stride) } else { (self.matrix.stride, 1) }
    }

    /// Rows `row..row + rows` of columns `column..column + columns` of `op(X)`.
    #[track_caller]
    pub(crate) fn part(&self, row: usize, column: usize, rows: usize, columns: usize) -> Self {
        let matrix = if self.transposed {
            self.matrix.part(column, row, columns, rows)
        } else {
            self.matrix.part(row, column, rows, columns)
        };
        Self { matrix, ..*self }
    }

    #[inline]
    pub(crate) fn as_ptr(&self) -> *const f32 {
        self.matrix.as_ptr()
    }
}
