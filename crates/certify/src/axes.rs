//! Principal component analysis of sampled states.

/// The eigenvectors of the covariance, as rows `[H, H]`, that of the largest variance first, by
/// Jacobi's rotations, rounded to f32 to be short when written.
pub(crate) fn principal_axes(states: &[Vec<f64>]) -> Vec<f64> {
    let h = states[0].len();
    let count = states.len() as f64;
    let mean: Vec<f64> =
        (0..h).map(|j| states.iter().map(|state| state[j]).sum::<f64>() / count).collect();
    let mut a = vec![0.0; h * h];
    for state in states {
        for i in 0..h {
            for j in 0..h {
                a[i * h + j] += (state[i] - mean[i]) * (state[j] - mean[j]);
            }
        }
    }
    ordered(&mut a, h)
}

/// The eigenvectors of the symmetric `a` as rows, that of the largest value first, rounded to f32.
fn ordered(a: &mut [f64], h: usize) -> Vec<f64> {
    let axes = eigenvectors(a, h);
    // the diagonal is now the variances
    let mut order: Vec<usize> = (0..h).collect();
    order.sort_by(|&i, &j| a[j * h + j].total_cmp(&a[i * h + i]));
    order
        .into_iter()
        .flat_map(|i| axes[i * h..][..h].iter().map(|&value| f64::from(value as f32)))
        .collect()
}

/// [`principal_axes`] behind a first axis along `first`, of any length but 0: those of what is left
/// across it once what varies along with it is taken out, as the slopes of a leaf do.
pub(crate) fn axes_behind(first: &[f64], states: &[Vec<f64>]) -> Vec<f64> {
    let (h, count) = (first.len(), states.len() as f64);
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let length = dot(first, first).sqrt();
    let first: Vec<f64> = first.iter().map(|value| value / length).collect();
    let mean: Vec<f64> =
        (0..h).map(|j| states.iter().map(|state| state[j]).sum::<f64>() / count).collect();
    let along: Vec<f64> =
        states.iter().map(|state| dot(state, &first) - dot(&mean, &first)).collect();
    let square = dot(&along, &along) + 1e-12;
    let slope = |j: usize| {
        states.iter().zip(&along).map(|(state, along)| (state[j] - mean[j]) * along).sum::<f64>()
            / square
    };
    let slopes: Vec<f64> = (0..h).map(slope).collect();
    let mut a = vec![0.0; h * h];
    for (state, along) in states.iter().zip(&along) {
        let mut rest: Vec<f64> = (0..h).map(|j| state[j] - mean[j] - slopes[j] * along).collect();
        let off = dot(&rest, &first);
        rest.iter_mut().zip(&first).for_each(|(rest, first)| *rest -= off * first);
        for i in 0..h {
            for j in 0..h {
                a[i * h + j] += rest[i] * rest[j];
            }
        }
    }
    // A variance above all others makes it the first.
    let above = 1.0 + 2.0 * (0..h).map(|i| a[i * h + i]).sum::<f64>();
    for i in 0..h {
        for j in 0..h {
            a[i * h + j] += above * first[i] * first[j];
        }
    }
    ordered(&mut a, h)
}

/// The eigenvectors of the symmetric `a`, as rows (Golub and Van Loan, Matrix
/// Computations, section 8.5).
fn eigenvectors(a: &mut [f64], h: usize) -> Vec<f64> {
    let mut v = vec![0.0; h * h];
    (0..h).for_each(|i| v[i * h + i] = 1.0);
    for _ in 0..30 {
        for p in 0..h {
            for q in p + 1..h {
                let off = a[p * h + q];
                if off.abs() < 1e-300 {
                    continue;
                }
                let tau = (a[q * h + q] - a[p * h + p]) / (2.0 * off);
                let t = tau.signum() / (tau.abs() + (1.0 + tau * tau).sqrt());
                let c = 1.0 / (1.0 + t * t).sqrt();
                let s = t * c;
                for k in 0..h {
                    let (x, y) = (a[k * h + p], a[k * h + q]);
                    a[k * h + p] = c * x - s * y;
                    a[k * h + q] = s * x + c * y;
                }
                for k in 0..h {
                    let (x, y) = (a[p * h + k], a[q * h + k]);
                    a[p * h + k] = c * x - s * y;
                    a[q * h + k] = s * x + c * y;
                    let (x, y) = (v[p * h + k], v[q * h + k]);
                    v[p * h + k] = c * x - s * y;
                    v[q * h + k] = s * x + c * y;
                }
            }
        }
        let off: f64 =
            (0..h).flat_map(|i| (0..i).map(move |j| (i, j))).map(|(i, j)| a[i * h + j].abs()).sum();
        let diagonal: f64 = (0..h).map(|i| a[i * h + i].abs()).sum();
        if off <= 1e-14 * diagonal {
            break;
        }
    }
    v
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_behind_one_begin_with_it_and_are_orthogonal() {
        // along (1, 1, 1), and a little across
        let states: Vec<Vec<f64>> = (0..100)
            .map(|n| {
                let (t, s) = (f64::from(n) / 100.0, f64::from(n % 7) / 100.0);
                vec![t + s, t - s, t]
            })
            .collect();
        let axes = axes_behind(&[0.0, 0.0, -2.0], &states);
        let dot =
            |i: usize, j: usize| (0..3).map(|k| axes[3 * i + k] * axes[3 * j + k]).sum::<f64>();
        assert!((axes[2].abs() - 1.0).abs() < 1e-6, "{axes:?}");
        for i in 0..3 {
            for j in 0..3 {
                assert!((dot(i, j) - f64::from(u8::from(i == j))).abs() < 1e-6, "{axes:?}");
            }
        }
        // What varies along with the first is taken out: (1, −1, 0) is what is left.
        assert!((axes[3] + axes[4]).abs() < 1e-6, "{axes:?}");
    }
}
