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
    let axes = eigenvectors(&mut a, h);
    // the diagonal is now the variances
    let mut order: Vec<usize> = (0..h).collect();
    order.sort_by(|&i, &j| a[j * h + j].total_cmp(&a[i * h + i]));
    order
        .into_iter()
        .flat_map(|i| axes[i * h..][..h].iter().map(|&value| f64::from(value as f32)))
        .collect()
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
