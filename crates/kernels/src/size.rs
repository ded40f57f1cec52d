//! Products of sizes, at the public functions that take sizes.
//!
//! A build with optimisation lets a product wrap, and a wrapped product may be the length of
//! the slice that came with it. Each function that takes sizes looks at their products once,
//! before a loop relies on them, and panics with the sizes in its message.

/// T·B: the rows of an array `[T, B, ·]`.
#[inline(always)]
#[track_caller]
pub(crate) fn rows(steps: usize, batch: usize) -> usize {
    match steps.checked_mul(batch) {
        Some(rows) => rows,
        None => too_many_rows(steps, batch),
    }
}

/// `size`, rounded up to a multiple of `to`.
#[inline(always)]
#[track_caller]
pub(crate) fn padded(size: usize, to: usize) -> usize {
    match size.checked_next_multiple_of(to) {
        Some(padded) => padded,
        None => too_large(size, to),
    }
}

/// The values of `rows` rows of `columns` values, each rounded up to a multiple of `to`.
#[inline(always)]
#[track_caller]
pub(crate) fn padded_rows(rows: usize, columns: usize, to: usize) -> usize {
    match padded(columns, to).checked_mul(rows) {
        Some(values) => values,
        None => too_many_values(rows, columns, to),
    }
}

// Not inlined: what formats a message costs the caller's loop registers.

#[cold]
#[track_caller]
fn too_many_rows(steps: usize, batch: usize) -> ! {
    panic!("{steps} steps of {batch} sequences are more rows than a usize counts")
}

#[cold]
#[track_caller]
fn too_large(size: usize, to: usize) -> ! {
    panic!("{size}, rounded up to a multiple of {to}, is more than a usize holds")
}

#[cold]
#[track_caller]
fn too_many_values(rows: usize, columns: usize, to: usize) -> ! {
    panic!("{rows} rows of {columns} values, in multiples of {to}, are more than a usize counts")
}
