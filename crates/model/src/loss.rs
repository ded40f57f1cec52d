//! Losses, each with its gradient derived beside the line that computes it.

/// Half the squared error of sigmoid outputs, `L = ½ Σ (y − o)²` over all values.
///
/// `outputs` are `o = σ(a)`; `gradient` receives `∂L/∂a`, the gradient before the
/// sigmoid, which is what [`crate::Network::backward`] takes.
///
/// # Panics
/// If the three slices differ in length.
pub fn sigmoid_squared_error(outputs: &[f32], targets: &[f32], gradient: &mut [f32]) -> f32 {
    assert!(
        outputs.len() == targets.len() && outputs.len() == gradient.len(),
        "{} outputs, {} targets and room for {} gradients; the three must be equal",
        outputs.len(),
        targets.len(),
        gradient.len()
    );
    let mut sum = 0.0;
    for ((gradient, &o), &y) in gradient.iter_mut().zip(outputs).zip(targets) {
        let error = o - y;
        // ∂L/∂a = ∂L/∂o · ∂o/∂a = (o − y) · o (1 − o)
        *gradient = error * (o * (1.0 - o));
        sum += error * error;
    }
    0.5 * sum
}
