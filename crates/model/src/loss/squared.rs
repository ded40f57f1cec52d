//! Squared errors, of sigmoid and of linear outputs, and the lab's absolute error.

use super::terms::Terms;
use crate::Error;
use kernels::loss;

/// Half the squared error of sigmoid outputs, `L = ½ Σ (y − o)²` over all values.
///
/// `outputs` are `o = σ(a)`; `gradient` receives `∂L/∂a`, the gradient before the
/// sigmoid, which is what [`crate::Network::backward`] takes. The sum is within 1e-6 of its size
/// of the exact one, at any length.
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
    let blocks = outputs.chunks(BLOCK).zip(targets.chunks(BLOCK));
    let mut total = 0.0;
    for (gradient, (outputs, targets)) in gradient.chunks_mut(BLOCK).zip(blocks) {
        let mut sums = [0.0; LANES];
        let (gradient_chunks, gradient_rest) = gradient.as_chunks_mut::<LANES>();
        let (pairs, rest) = chunks(outputs, targets);
        // ∂L/∂a = ∂L/∂o · ∂o/∂a = (o − y) · o (1 − o)
        for (gradient, (outputs, targets)) in gradient_chunks.iter_mut().zip(pairs) {
            for k in 0..LANES {
                let (o, error) = (outputs[k], outputs[k] - targets[k]);
                gradient[k] = error * (o * (1.0 - o));
                sums[k] += error * error;
            }
        }
        for ((gradient, (&o, &y)), sum) in gradient_rest.iter_mut().zip(rest).zip(&mut sums) {
            let error = o - y;
            *gradient = error * (o * (1.0 - o));
            *sum += error * error;
        }
        total += f64::from(sums.iter().sum::<f32>());
    }
    (0.5 * total) as f32
}

/// `½ Σ (y − o)²` of linear outputs o `[T, B, O]`, over the `terms`; their mean is by value.
///
/// ```text
/// ∂L/∂o = o − y        (divided by the number of values, for the mean)
/// ```
///
/// `gradient` receives it, and zero where no term is. `PyTorch`'s `MSELoss` is twice this.
///
/// # Errors
/// If the mask does not fit; see [`Terms`].
///
/// # Panics
/// If a slice does not hold T·B·O values.
pub fn squared_error(
    terms: &Terms<'_>,
    outputs: &[f32],
    targets: &[f32],
    gradient: &mut [f32],
) -> Result<f32, Error> {
    terms.by_value(outputs, targets, gradient, loss::squared_error)
}

/// [`sigmoid_squared_error`] over some of the steps of `[T, B, O]`, or averaged by value.
///
/// # Errors
/// If the mask does not fit; see [`Terms`].
///
/// # Panics
/// If a slice does not hold T·B·O values.
pub fn sigmoid_squared_error_over(
    terms: &Terms<'_>,
    outputs: &[f32],
    targets: &[f32],
    gradient: &mut [f32],
) -> Result<f32, Error> {
    terms.by_value(outputs, targets, gradient, loss::sigmoid_squared_error)
}

/// `Σ |y − o|` over all values, within 1e-6 of its size at any length.
///
/// # Panics
/// If the two slices differ in length.
pub fn absolute_error(outputs: &[f32], targets: &[f32]) -> f32 {
    assert!(
        outputs.len() == targets.len(),
        "{} outputs and {} targets; the two must be equal",
        outputs.len(),
        targets.len()
    );
    let mut total = 0.0;
    for (outputs, targets) in outputs.chunks(BLOCK).zip(targets.chunks(BLOCK)) {
        let mut sums = [0.0; LANES];
        let (pairs, rest) = chunks(outputs, targets);
        for (outputs, targets) in pairs {
            for k in 0..LANES {
                sums[k] += (targets[k] - outputs[k]).abs();
            }
        }
        for ((o, y), sum) in rest.zip(&mut sums) {
            *sum += (y - o).abs();
        }
        total += f64::from(sums.iter().sum::<f32>());
    }
    total as f32
}

/// Sums run in so many lanes: the order of additions is fixed, and the compiler can
/// put a chunk into a vector.
const LANES: usize = 8;

/// Values that are added up in f32, beyond which sums are in f64: so a loss is within 1e-6 of the
/// exact one at any length. With n = 16 terms in a lane, the roundings of its sum, of the sum of
/// the lanes, of a term and of the result come to (n/2 + 7/2 + 3 + 1)·2⁻²⁴ at most. The lab's
/// steps are shorter than a block.
const BLOCK: usize = 16 * LANES;

type Pairs<'a> = (&'a [f32; LANES], &'a [f32; LANES]);

/// Two slices of equal length side by side: in chunks, and what is left, value by value.
fn chunks<'a>(
    outputs: &'a [f32],
    targets: &'a [f32],
) -> (impl Iterator<Item = Pairs<'a>>, impl Iterator<Item = (&'a f32, &'a f32)>) {
    let (output_chunks, output_rest) = outputs.as_chunks::<LANES>();
    let (target_chunks, target_rest) = targets.as_chunks::<LANES>();
    (output_chunks.iter().zip(target_chunks), output_rest.iter().zip(target_rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_and_gradient_are_those_of_the_formulas_at_every_length_across_chunks() {
        for len in 0..40 {
            let outputs: Vec<f32> = (0..len).map(|n| (n as f32 * 0.37).sin() * 0.5 + 0.5).collect();
            let targets: Vec<f32> = (0..len).map(|n| (n % 3 % 2) as f32).collect();
            let mut gradient = vec![f32::NAN; len];
            let squared = f64::from(sigmoid_squared_error(&outputs, &targets, &mut gradient));
            let absolute = f64::from(absolute_error(&outputs, &targets));
            let wide = |v: &[f32]| v.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
            let (o, y) = (wide(&outputs), wide(&targets));
            let pairs = || o.iter().zip(&y);
            let close = |a: f64, b: f64| (a - b).abs() <= 1e-6 * (1.0 + b.abs());
            assert!(close(squared, pairs().map(|(o, y)| 0.5 * (y - o).powi(2)).sum()), "{len}");
            assert!(close(absolute, pairs().map(|(o, y)| (y - o).abs()).sum()), "{len}");
            for (g, (o, y)) in wide(&gradient).into_iter().zip(pairs()) {
                assert!(close(g, (o - y) * o * (1.0 - o)), "{len}");
            }
        }
    }

    /// A sum in one precision and few lanes drifts where all terms are alike: by 5e-3 at four
    /// million values.
    #[test]
    fn losses_over_many_values_are_as_exact_as_over_few() {
        for (len, count) in
            [(127, 200), (128, 2_000), (129, 200), (512, 200), (1 << 12, 20), ((1 << 22) + 5, 3)]
        {
            let spread = |n: usize| 1.0 + (n / 3) as f32 / count as f32;
            let offs = (0..count).map(|n| [0.1_f32, 0.02, 0.37][n % 3] * spread(n));
            for off in offs {
                let targets: Vec<f32> = (0..len).map(|n| (n % 2) as f32).collect();
                let outputs: Vec<f32> = targets.iter().map(|y| (y - off).abs()).collect();
                let mut gradient = vec![0.0; len];
                let squared = f64::from(sigmoid_squared_error(&outputs, &targets, &mut gradient));
                let absolute = f64::from(absolute_error(&outputs, &targets));
                let errors =
                    || outputs.iter().zip(&targets).map(|(&o, &y)| f64::from(o) - f64::from(y));
                let exact = errors().map(|e| 0.5 * e * e).sum::<f64>();
                assert!((squared / exact - 1.0).abs() < 1e-6, "{len} values: {squared}, {exact}");
                let exact = errors().map(f64::abs).sum::<f64>();
                assert!((absolute / exact - 1.0).abs() < 1e-6, "{len} values: {absolute}");
            }
        }
    }

    #[test]
    fn a_block_is_summed_as_ever_bit_for_bit() {
        for len in [1, 9, 72, BLOCK] {
            let outputs: Vec<f32> = (0..len).map(|n| (n as f32 * 0.37).sin() * 0.5 + 0.5).collect();
            let targets: Vec<f32> = (0..len).map(|n| (n % 3 % 2) as f32).collect();
            let (mut squares, mut sizes) = ([0.0_f32; LANES], [0.0_f32; LANES]);
            for (n, (o, y)) in outputs.iter().zip(&targets).enumerate() {
                squares[n % LANES] += (o - y) * (o - y);
                sizes[n % LANES] += (y - o).abs();
            }
            let squared = sigmoid_squared_error(&outputs, &targets, &mut vec![0.0; len]);
            assert_eq!(squared, 0.5 * squares.iter().sum::<f32>());
            assert_eq!(absolute_error(&outputs, &targets), sizes.iter().sum::<f32>());
        }
    }
}
