//! The loss of the recurrent layers: a module of the bench `model`, and of Carry among the peers.

/// Σ y², and its gradient `dy ← 2·y`.
pub fn sum_of_squares(y: &[f32], dy: &mut [f32]) -> f64 {
    /// Sums under way, enough for several vectors.
    const SUMS: usize = 64;
    let mut total = 0.0;
    // In f32 within a block, in f64 over the blocks.
    for (y, dy) in y.chunks(1024).zip(dy.chunks_mut(1024)) {
        let mut sums = [0.0_f32; SUMS];
        let (y, y_rest) = y.as_chunks::<SUMS>();
        let (dy, dy_rest) = dy.as_chunks_mut::<SUMS>();
        for (y, dy) in y.iter().zip(dy) {
            for k in 0..SUMS {
                sums[k] += y[k] * y[k];
                dy[k] = 2.0 * y[k];
            }
        }
        for ((y, dy), sum) in y_rest.iter().zip(dy_rest).zip(&mut sums) {
            *sum += y * y;
            *dy = 2.0 * y;
        }
        total += f64::from(sums.iter().sum::<f32>());
    }
    total
}
