//! The weights of a layer and of the head in f64, as PyTorch has them, and the few products that
//! are made of them.
//!
//! A matrix is `[rows][columns]`; a gradient is `d` and the name.

/// Rows of equal length.
pub type Matrix = Vec<Vec<f64>>;

/// The weights of one layer and direction, as PyTorch has them.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// `[G·H][I_l]`, row: to unit.
    pub w_ih: Matrix,
    /// `[G·H][H]`, row: to unit; of a network that remembers its outputs `[H][O]`, of one that
    /// remembers its inputs `[H][0]`.
    pub w_hh: Matrix,
    /// `[G·H]`, empty without biases.
    pub b_ih: Vec<f64>,
    /// `[G·H]`, empty without biases, and where W_hh is.
    pub b_hh: Vec<f64>,
}

/// The weights of the head.
#[derive(Clone, Debug, PartialEq)]
pub struct Linear {
    /// `[O][D·H]`, row: to output.
    pub weight: Matrix,
    /// `[O]`, empty without a bias.
    pub bias: Vec<f64>,
}

/// `W·x + b`, for `W` `[rows][columns]`; an empty `b` is none.
pub(super) fn affine(w: &[Vec<f64>], b: &[f64], x: &[f64]) -> Vec<f64> {
    let product = |w: &Vec<f64>| w.iter().zip(x).map(|(w, x)| w * x).sum();
    let mut sums: Vec<f64> = w.iter().map(product).collect();
    add(&mut sums, b);
    sums
}

/// `W·x + b` for an x that is 1 at `place` and 0 elsewhere: column `place` of W.
pub(super) fn selected(w: &[Vec<f64>], b: &[f64], place: usize) -> Vec<f64> {
    let mut sums: Vec<f64> = w.iter().map(|row| row[place]).collect();
    add(&mut sums, b);
    sums
}

/// `sums += d·xᵀ` for such an x.
pub(super) fn add_to_column(sums: &mut [Vec<f64>], place: usize, d: &[f64]) {
    sums.iter_mut().zip(d).for_each(|(row, d)| row[place] += d);
}

/// `sums += Wᵀ·d`
pub(super) fn add_transposed(sums: &mut [f64], w: &[Vec<f64>], d: &[f64]) {
    for (row, d) in w.iter().zip(d) {
        for (sum, w) in sums.iter_mut().zip(row) {
            *sum += w * d;
        }
    }
}

/// `sums[i][j] += left[i]·right[j]`
pub(super) fn add_outer(sums: &mut [Vec<f64>], left: &[f64], right: &[f64]) {
    for (row, left) in sums.iter_mut().zip(left) {
        for (sum, right) in row.iter_mut().zip(right) {
            *sum += left * right;
        }
    }
}

/// `sums += values`
pub(super) fn add(sums: &mut [f64], values: &[f64]) {
    for (sum, value) in sums.iter_mut().zip(values) {
        *sum += value;
    }
}
