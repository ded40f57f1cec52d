//! Numbers that are not finite, found and refused.

use crate::Error;

/// Is there neither a NaN nor an infinity among them? Their exponents alone are all ones.
pub(crate) fn all_finite(values: &[f32]) -> bool {
    let magnitude = |value: &f32| value.to_bits() & 0x7fff_ffff;
    let largest = |chunk: &[f32]| chunk.iter().map(magnitude).fold(0, u32::max);
    values.chunks(1024).all(|chunk| largest(chunk) < f32::INFINITY.to_bits())
}

/// Refuses values that are not finite by their place.
pub(crate) fn check_finite(what: &'static str, values: &[f32]) -> Result<(), Error> {
    if all_finite(values) {
        return Ok(());
    }
    check_finite_from(what, values, 0)
}

/// The same for those from index `first` on.
pub(crate) fn check_finite_from(
    what: &'static str,
    values: &[f32],
    first: usize,
) -> Result<(), Error> {
    match values[first..].iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(place) => {
            let (index, value) = (first + place, values[first + place]);
            Err(Error::NotFiniteValue { what, index, value })
        }
    }
}
