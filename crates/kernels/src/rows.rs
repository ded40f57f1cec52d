//! Rows of values as a pointer and a stride: what the fused kernels index without checks.
//!
//! A [`Rows`] remembers neither its length nor its lifetime. The public functions check
//! all sizes once and make these of their slices and views; whoever dereferences one says
//! why the place is valid. Not for other crates: they have [`crate::matrix`].

use crate::buffer::LINE;
use crate::matrix::{MatMut, MatRef};

/// Rows to read, `stride` values apart.
#[derive(Clone, Copy)]
pub(crate) struct Rows {
    pub(crate) start: *const f32,
    pub(crate) stride: usize,
}

impl Rows {
    /// The rows of a slice `[n, stride]`.
    #[inline(always)]
    pub(crate) fn of_slice(values: &[f32], stride: usize) -> Self {
        Self { start: values.as_ptr(), stride }
    }

    /// The rows of a view.
    #[inline(always)]
    pub(crate) fn of_view(view: MatRef<'_>) -> Self {
        Self { start: view.as_ptr(), stride: view.stride() }
    }

    /// The rows from row `row` on.
    #[inline(always)]
    pub(crate) fn from(self, row: usize) -> Self {
        Self { start: self.at(row), ..self }
    }

    /// The start of row `row`.
    #[inline(always)]
    pub(crate) fn at(self, row: usize) -> *const f32 {
        self.start.wrapping_add(row * self.stride)
    }
}

/// As [`Rows`], to write.
#[derive(Clone, Copy)]
pub(crate) struct RowsMut {
    pub(crate) start: *mut f32,
    pub(crate) stride: usize,
}

impl RowsMut {
    /// The rows of a slice `[n, stride]`, which is used through this pointer alone from
    /// here on.
    #[inline(always)]
    pub(crate) fn of_slice(values: &mut [f32], stride: usize) -> Self {
        Self { start: values.as_mut_ptr(), stride }
    }

    /// The rows of a view, which is used through this pointer alone from here on.
    #[inline(always)]
    pub(crate) fn of_view(view: &mut MatMut<'_>) -> Self {
        Self { start: view.as_mut_ptr(), stride: view.stride() }
    }

    /// The rows from row `row` on.
    #[inline(always)]
    pub(crate) fn from(self, row: usize) -> Self {
        Self { start: self.at(row), ..self }
    }

    /// The start of row `row`.
    #[inline(always)]
    pub(crate) fn at(self, row: usize) -> *mut f32 {
        self.start.wrapping_add(row * self.stride)
    }

    /// The same rows, to read what has been written.
    #[inline(always)]
    pub(crate) fn as_rows(self) -> Rows {
        Rows { start: self.start, stride: self.stride }
    }
}

/// Stands in for a row that is not there, up to a cache line of it.
pub(crate) static ZEROS: [f32; LINE] = [0.0; LINE];
