//! Enclosures of the exact sigmoid σ, computed in f64.

/// How far [`sigmoid`] may be from σ, anywhere.
pub(crate) const SIGMOID_ERROR: f64 = 1e-11;

/// σ(x), within [`SIGMOID_ERROR`], by IEEE's four operations alone.
///
/// `e^y = (e^{y/1024})^1024`. For |y| ≤ 40 the series to the tenth power is cut off at
/// `0.04^11/11! < 1e-22` and rounds below 20·2⁻⁵³ relative; ten squarings make that less
/// than 1024·21·2⁻⁵³ < 3e-12, and σ is off by at most a quarter of the relative error of
/// the exponential. Beyond ±40, σ is within 1e-17 of its value there.
pub(crate) fn sigmoid(x: f64) -> f64 {
    let y = -x.clamp(-40.0, 40.0) / 1024.0;
    let mut power = 1.0;
    for n in (1..=10).rev() {
        power = 1.0 + power * y / f64::from(n);
    }
    for _ in 0..10 {
        power *= power;
    }
    1.0 / (1.0 + power)
}

/// The linearisation error of a line of slope λ: the least and the largest `σ(z) − λ·z` on
/// [low, high], for λ in [0, ¼].
///
/// On z ≥ 0, σ is concave: the least value is at an end, and every tangent lies above. By
/// `σ(−z) = 1 − σ(z)` the other side is the same with `1 −` and its ends exchanged.
pub(crate) fn linearisation_error(slope: f64, low: f64, high: f64) -> (f64, f64) {
    let (mut least, mut most) = (f64::MAX, f64::MIN);
    if high >= 0.0 {
        (least, most) = concave(slope, low.max(0.0), high);
    }
    if low < 0.0 {
        let (below, above) = concave(slope, (-high).max(0.0), -low);
        least = least.min(1.0 - above);
        most = most.max(1.0 - below);
    }
    (least.next_down(), most.next_up())
}

/// [`linearisation_error`] on [a, b] with 0 ≤ a.
fn concave(slope: f64, a: f64, b: f64) -> (f64, f64) {
    let value = |z: f64| sigmoid(z) - slope * z;
    // Where σ′ = σ·(1 − σ) = λ, nearly: any other point would be as sound.
    let root = (1.0 - 4.0 * slope).max(0.0).sqrt();
    let touch = ((1.0 + root) / (1.0 - root).max(1e-300)).ln().clamp(a, b);
    let at = sigmoid(touch);
    let gradient = at * (1.0 - at) - slope;
    let above = value(touch) + (gradient * (a - touch)).max(gradient * (b - touch));
    // σ, σ′ and the products, all generously.
    let slack = 1e-10 * (1.0 + b);
    (value(a).min(value(b)) - slack, above + slack)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn reference(x: f64) -> f64 {
        1.0 / (1.0 + (-x).exp())
    }

    proptest! {
        #[test]
        fn the_sigmoid_is_as_near_as_it_says(x in prop_oneof![-50.0..50.0_f64, -1e9..1e9_f64]) {
            // The standard library's exponential is good to an ULP or so of f64.
            prop_assert!((sigmoid(x) - reference(x)).abs() < SIGMOID_ERROR / 2.0);
        }

        #[test]
        fn a_line_follows_the_sigmoid_within_its_linearisation_error(
            slope in 0.0..=0.25_f64, a in -30.0..30.0_f64, width in 0.0..20.0_f64, at in 0.0..=1.0_f64,
        ) {
            let (low, high) = (a, a + width);
            let (below, above) = linearisation_error(slope, low, high);
            let z = low + at * (high - low);
            let error = reference(z) - slope * z;
            prop_assert!(below <= error && error <= above);
            // and not by a mile: no wider than what the ends and a step between them show
            let seen = (0..=2_000).map(|n| low + f64::from(n) / 2_000.0 * (high - low));
            let seen = seen.map(|z| reference(z) - slope * z);
            let (least, most) = seen.fold((f64::MAX, f64::MIN), |(a, b), v| (a.min(v), b.max(v)));
            prop_assert!(above - most < 0.01 + 1e-3 * width && least - below < 0.01 + 1e-3 * width);
        }
    }
}
