//! Both modes of the checker on one certificate.

use verify::{Verified, check, check_exact};

/// How far the margins of both modes, and their bounds of an LSTM's c, may be apart, relatively and
/// absolutely: the slack of f64.
const SLACK: f64 = 1e-4;

/// What both modes of the checker say to a certificate (JSON) of the network in `model`
/// (safetensors): that in f64 with slack, and that in exact arithmetic.
///
/// # Errors
/// If only one accepts it, or both and not with the same words, or numbers that are further apart
/// than the slack of f64. What was refused by both is the first mode's refusal.
pub fn agree(model: &[u8], certificate: &[u8]) -> Result<[Verified; 2], String> {
    let (rounded, exact) = match (check(model, certificate), check_exact(model, certificate)) {
        (Ok(rounded), Ok(exact)) => (rounded, exact),
        (Err(rounded), Err(_)) => return Err(rounded.to_string()),
        (Err(rounded), Ok(_)) => {
            return Err(format!("accepted in exact arithmetic alone: {rounded}"));
        }
        (Ok(_), Err(exact)) => return Err(format!("refused in exact arithmetic alone: {exact}")),
    };
    let Verified { margin, cell_bound, .. } = rounded;
    let same_words = Verified { margin, cell_bound, ..exact.clone() } == rounded;
    // NaN is not near anything.
    let is_near = |a: f64, b: f64| (a - b).abs() < SLACK * (1.0 + a.abs());
    let bounds_are_near = match (cell_bound, exact.cell_bound) {
        (Some(rounded), Some(exact)) => is_near(rounded, exact),
        (rounded, exact) => rounded == exact,
    };
    if same_words && bounds_are_near && is_near(margin, exact.margin) {
        return Ok([rounded, exact]);
    }
    Err(format!("proved otherwise in exact arithmetic: {exact:?}, not {rounded:?}"))
}
