//! Vector helpers.

use crate::lanes::{LANES, Lanes};

/// `y ← y + αx`.
///
/// # Panics
/// If the lengths differ.
pub fn axpy(alpha: f32, x: &[f32], y: &mut [f32]) {
    assert!(x.len() == y.len(), "x holds {} values, y holds {}", x.len(), y.len());
    let scale = Lanes::splat(alpha);
    let (x_vectors, x_tail) = x.as_chunks::<LANES>();
    let (y_vectors, y_tail) = y.as_chunks_mut::<LANES>();
    for (y, x) in y_vectors.iter_mut().zip(x_vectors) {
        *y = scale.mul_add(Lanes::new(*x), Lanes::new(*y)).to_array();
    }
    for (y, x) in y_tail.iter_mut().zip(x_tail) {
        *y += alpha * x;
    }
}
