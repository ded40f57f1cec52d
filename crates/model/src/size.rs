//! Sizes that a caller gives: their products may wrap, and memory may not hold them.
//!
//! Every door that takes sizes asks here once, before anything is indexed or allocated.

/// The most steps of a pass: so many that only a mistake asks for more.
pub(crate) const MOST_STEPS: usize = 1 << 30;

/// The most parameters, padding included, that a network may have: 4 GiB of them.
pub(crate) const MOST_PARAMETERS: usize = 1 << 30;

/// The product of `sizes`, or none if a slice of numbers cannot be so long.
pub(crate) fn product<const N: usize>(sizes: [usize; N]) -> Option<usize> {
    let product = sizes.iter().try_fold(1_usize, |product, &size| product.checked_mul(size))?;
    // the most bytes of an allocation
    (product <= isize::MAX as usize / size_of::<f32>()).then_some(product)
}

/// A product, for the text of a refusal.
pub(crate) fn text(product: Option<usize>) -> String {
    product.map_or("more than memory holds".to_owned(), |product| product.to_string())
}

/// Whether the allocator gives room for `values` more numbers.
///
/// Only large rooms are asked for: what is small is had, or nothing is.
pub(crate) fn has_room(values: usize) -> bool {
    const LARGE: usize = 1 << 24;
    values < LARGE || Vec::<f32>::new().try_reserve_exact(values).is_ok()
}

/// The product of `sizes`, for `what` of so many values.
///
/// # Panics
/// If a slice cannot be so long, or memory does not hold it.
#[track_caller]
pub(crate) fn room<const N: usize>(what: &str, sizes: [usize; N]) -> usize {
    match product(sizes) {
        Some(values) if has_room(values) => values,
        _ => panic!("{what} of {sizes:?} values do not fit in memory"),
    }
}

/// Refuses values `x` that are not `[T, B, I]`.
///
/// # Panics
/// If they are not.
#[track_caller]
pub(crate) fn check_values(x: &[f32], steps: usize, batch: usize, inputs: usize) {
    assert!(
        product([steps, batch, inputs]) == Some(x.len()),
        "x holds {} values, {steps} steps of {batch} sequences of {inputs} inputs do not",
        x.len()
    );
}
