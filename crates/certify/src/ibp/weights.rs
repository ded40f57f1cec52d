//! The weights that a pass of interval bound propagation needs, where they lie, and the head: the
//! loss of the worst output that an interval of states allows. Of a sigmoid the formulas are in
//! [`super`]; of a softmax, with y the right output,
//!
//! ```text
//! forward   d_k = (c[t]·(w_k − w_y) + b_k − b_y) + r[t]·|w_k − w_y|      the worst, for each k ≠ y
//!           loss = mean over T of ln (1 + Σ_k e^{d_k})
//! backward  p_k = e^{d_k} / (1 + Σ e^{d}), over T
//!           dc += Σ p_k·(w_k − w_y)   dr += Σ p_k·|w_k − w_y|   dw_k = p_k·(c + r·sign(w_k − w_y)) = −dw_y
//! ```

use kernels::activation::sigmoid;
use kernels::recurrent::ROW;
use model::Parameters;
use std::ops::Range;
use train::metrics::Totals;

/// The weights of a network, by rows.
pub(super) struct Weights<'a> {
    /// `[I, G·S]`
    pub w_in: &'a [f32],
    /// `[H, G·S]`
    pub w_rec: &'a [f32],
    /// `[G·S]` each, of a network with biases.
    pub biases: Option<[&'a [f32]; 2]>,
    /// `[O, S]`
    pub w_out: &'a [f32],
    /// `[O]` and padding; empty without biases.
    pub b_out: &'a [f32],
}

/// Where they lie in an arena.
pub(super) struct Places {
    pub w_in: Range<usize>,
    pub w_rec: Range<usize>,
    /// Both of the cells' biases, or nothing.
    pub biases: Range<usize>,
    pub w_out: Range<usize>,
    /// Empty without biases.
    pub b_out: Range<usize>,
}

impl Places {
    pub fn new(parameters: &Parameters) -> Self {
        let rows = parameters.input_rows();
        let (tail, head) = (parameters.tail_range(), parameters.head_range());
        let outputs = parameters.config().outputs();
        let stride = parameters.config().hidden().next_multiple_of(ROW);
        let w_out = head.start..head.start + outputs * stride;
        Self {
            w_in: rows.all(),
            w_rec: rows.all().end..tail.start,
            biases: tail.start..head.start,
            b_out: w_out.end..head.end,
            w_out,
        }
    }
}

impl<'a> Weights<'a> {
    pub fn new(parameters: &'a Parameters) -> Self {
        let (places, arena) = (Places::new(parameters), parameters.arena());
        let biases = &arena[places.biases];
        let (input, recurrent) = biases.split_at(biases.len() / 2);
        Self {
            w_in: &arena[places.w_in],
            w_rec: &arena[places.w_rec],
            biases: (!biases.is_empty()).then_some([input, recurrent]),
            w_out: &arena[places.w_out],
            b_out: &arena[places.b_out],
        }
    }
}

/// The loss of the worst outputs, summed over T, and its gradient `d` `[T, B, O]`: of the states of
/// `[center, radius]` `[T, B, S]`. The sizes are T, S and H.
pub(super) fn worst(
    weights: &Weights<'_>,
    sizes: (usize, usize, usize),
    states: [&[f32]; 2],
    targets: &[f32],
    d: &mut [f32],
) -> Totals {
    match d.len() / targets.len() {
        1 => worst_of_one(weights, sizes, states, targets, d),
        _ => worst_of_many(weights, sizes, states, targets, d),
    }
}

/// The loss of a sigmoid.
fn worst_of_one(
    weights: &Weights<'_>,
    (steps, stride, _): (usize, usize, usize),
    [centers, radii]: [&[f32]; 2],
    targets: &[f32],
    d: &mut [f32],
) -> Totals {
    let share = 1.0 / steps as f32;
    let b_out = weights.b_out.first().copied().unwrap_or(0.0);
    let mut totals = Totals::default();
    let states = centers.chunks_exact(stride).zip(radii.chunks_exact(stride));
    for ((d, y), (center, radius)) in d.iter_mut().zip(targets).zip(states) {
        let (mut c, mut r) = (b_out, 0.0);
        for ((center, radius), w) in center.iter().zip(radius).zip(weights.w_out) {
            c += center * w;
            r += radius * w.abs();
        }
        let right = (2.0 * y - 1.0) * c - r; // s·worst
        totals.loss += f64::from((-right).max(0.0) + (-right.abs()).exp().ln_1p());
        *d = -right; // the error is −s·σ(−s·worst)
    }
    sigmoid(d);
    for (d, y) in d.iter_mut().zip(targets) {
        totals.error += f64::from(*d);
        *d *= (1.0 - 2.0 * y) * share;
    }
    totals
}

/// The loss of a softmax.
fn worst_of_many(
    weights: &Weights<'_>,
    (steps, stride, hidden): (usize, usize, usize),
    [centers, radii]: [&[f32]; 2],
    targets: &[f32],
    d: &mut [f32],
) -> Totals {
    let share = 1.0 / steps as f32;
    let mut totals = Totals::default();
    let states = centers.chunks_exact(stride).zip(radii.chunks_exact(stride));
    let rows = d.chunks_exact_mut(d.len() / targets.len()).zip(targets);
    for ((d, &y), (center, radius)) in rows.zip(states) {
        d.fill(0.0);
        let right = y as usize;
        let w_right = &weights.w_out[right * stride..][..hidden];
        let bias = |k: usize| weights.b_out.get(k).copied().unwrap_or(0.0);
        for (k, d) in d.iter_mut().enumerate().filter(|(k, _)| *k != right) {
            *d = bias(k) - bias(right);
            let w = &weights.w_out[k * stride..][..hidden];
            for j in 0..hidden {
                let difference = w[j] - w_right[j];
                *d += center[j] * difference + radius[j] * difference.abs();
            }
        }
        let most = d.iter().fold(0.0_f32, |most, d| most.max(*d));
        let sum: f32 = d.iter().map(|d| (d - most).exp()).sum();
        totals.loss += f64::from(most + sum.ln());
        d.iter_mut().for_each(|d| *d = (*d - most).exp() / sum);
        totals.error += f64::from(1.0 - d[right]);
        d.iter_mut().for_each(|d| *d *= share);
    }
    totals
}

/// The head of one row, backward: from the gradient `d` `[O]` of its loss to that of its state of
/// `[center, radius]` `[H]`, and of the weights, to which it is added.
pub(super) fn backward_of_head(
    (weights, stride): (&Weights<'_>, usize),
    (d, target): (&[f32], f32),
    [center, radius]: [&[f32]; 2],
    [dc, dr]: [&mut [f32]; 2],
    (w_out, b_out): (&mut [f32], &mut [f32]),
) {
    if let &[d] = d {
        let s = 2.0 * target - 1.0;
        if let Some(b_out) = b_out.first_mut() {
            *b_out += d;
        }
        for j in 0..center.len() {
            let w = weights.w_out[j];
            w_out[j] += d * center[j] - s * d * radius[j] * w.signum();
            dc[j] += d * w;
            dr[j] -= s * d * w.abs();
        }
        return;
    }
    let right = target as usize;
    for (k, &d) in d.iter().enumerate().filter(|&(k, _)| k != right) {
        if !b_out.is_empty() {
            b_out[k] += d;
            b_out[right] -= d;
        }
        for j in 0..center.len() {
            let difference = weights.w_out[k * stride + j] - weights.w_out[right * stride + j];
            let dw = d * (center[j] + radius[j] * difference.signum());
            w_out[k * stride + j] += dw;
            w_out[right * stride + j] -= dw;
            dc[j] += d * difference;
            dr[j] += d * difference.abs();
        }
    }
}
