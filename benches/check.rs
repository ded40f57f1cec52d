//! Answers held against the f64 reference, before anything is timed: a module of several benches.

/// Values of f32, as the reference takes them.
pub fn widened(values: &[f32]) -> impl Iterator<Item = f64> {
    values.iter().map(|&v| f64::from(v))
}

/// Panics unless `found` is within 1e-5 of `expected`, as vectors: by their Euclidean distance,
/// relative to the length of `expected`.
#[track_caller]
pub fn assert_close(found: impl IntoIterator<Item = f64>, expected: impl IntoIterator<Item = f64>) {
    let (mut error, mut length) = (0.0, 0.0);
    let mut expected = expected.into_iter();
    for found in found {
        let expected = expected.next().expect("no more values than expected");
        error += (found - expected).powi(2);
        length += expected.powi(2);
    }
    assert!(expected.next().is_none(), "as many values as expected");
    assert!(error.sqrt() <= 1e-5 * length.sqrt(), "{:e} off {:e}", error.sqrt(), length.sqrt());
}
