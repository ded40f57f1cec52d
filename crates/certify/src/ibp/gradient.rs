//! The loss of the worst outputs, and its gradient.
//!
//! ```text
//! forward   zc[t] = x[t]·W_in + b + c[t−1]·W_rec     zr[t] = r[t−1]·|W_rec|    c[−1] = r[−1] = 0
//!           low[t] = σ(zc − zr)   high[t] = σ(zc + zr)
//!           c[t] = (high + low)/2   r[t] = (high − low)/2 + ε
//!           worst[t] = c[t]·w_out + b_out − s·r[t]·|w_out|      s = 1 where y is 1, else −1
//!           loss = mean of −ln σ(s·worst)
//! backward  d = σ(worst) − y, over T·B; from loss and next step, dc and dr:
//!           dc += d·w_out   dr −= s·d·|w_out|   dw_out = Σ d·c − s·d·r·sign w_out   db_out = Σ d
//!           dlow = (dc − dr)/2 · low(1 − low)   dhigh = (dc + dr)/2 · high(1 − high)
//!           dzc = dhigh + dlow   dzr = dhigh − dlow   since zc enters both, and zr with ±
//!           dc[t−1] = dzc·W_recᵀ   dr[t−1] = dzr·|W_rec|ᵀ
//!           dW_rec = Σ c[t−1]ᵀ dzc + (Σ r[t−1]ᵀ dzr) ⊙ sign W_rec      dW_in, db likewise
//! ```
//!
//! Inputs, a 1 for the bias and the states stand side by side in rows of K = 3 + H, and so
//! do `W_in`, b and `W_rec` in a matrix `[K, H]`: one product a step and kind.

use crate::ibp::batch::Batch;
use kernels::activation::{sigmoid, sigmoid_into};
use kernels::matmul::gemm;
use kernels::matrix::{MatMut, MatRef};
use model::{Config, Parameters};

/// Inputs, and the 1 that a bias is multiplied by.
const FIRST: usize = 3;

/// The pass forward and backward, with its memory.
#[derive(Clone, Debug)]
pub struct Ibp {
    hidden: usize,
    places: Places,
    weights: Matrices,
    gradient: Matrices,
    batch: usize,
    steps: usize,
    /// `[T + 1, B, K]`: x[t], 1, c[t − 1]
    centers: Vec<f32>,
    /// `[T + 1, B, K]`: 0, 0, 0, r[t − 1]
    radii: Vec<f32>,
    /// `[T, B, H]`
    low: Vec<f32>,
    high: Vec<f32>,
    /// `[B, H]`
    zc: Vec<f32>,
    zr: Vec<f32>,
    dc: Vec<f32>,
    dr: Vec<f32>,
    /// `[T, B, H]`
    dzc: Vec<f32>,
    dzr: Vec<f32>,
    /// `[T, B]`, d over T·B
    d: Vec<f32>,
    /// `[K, H]`, |W|; `[K, H]`, a product.
    absolute: Vec<f32>,
    product: Vec<f32>,
}

/// `[K, H]` and `[H + 1]`: all weights, or their gradient, as the products take them.
#[derive(Clone, Debug)]
struct Matrices {
    w: Vec<f32>,
    out: Vec<f32>,
}

/// Where the values of [`Matrices`] are in an arena: their index here, and there.
#[derive(Clone, Debug, Default)]
struct Places {
    w: Vec<(usize, usize)>,
    out: Vec<(usize, usize)>,
    /// Of b_hh, which is added to b_ih.
    second_bias: Vec<(usize, usize)>,
}

impl Matrices {
    fn zeros(hidden: usize) -> Self {
        Self { w: vec![0.0; (FIRST + hidden) * hidden], out: vec![0.0; hidden + 1] }
    }
}

impl Places {
    fn new(config: Config) -> Self {
        let h = config.hidden();
        let mut new = Self::default();
        for tensor in Parameters::zeros(config).tensors() {
            for (n, index) in tensor.indices().enumerate() {
                match tensor.name() {
                    "weight_ih_l0" => new.w.push((n % 2 * h + n / 2, index)),
                    "weight_hh_l0" => new.w.push(((FIRST + n % h) * h + n / h, index)),
                    "bias_ih_l0" => new.w.push((2 * h + n, index)),
                    "bias_hh_l0" => new.second_bias.push((2 * h + n, index)),
                    "head.weight" => new.out.push((n, index)),
                    "head.bias" => new.out.push((h, index)),
                    name => panic!("a network that adds has no `{name}`"),
                }
            }
        }
        new
    }

    /// Copies `parameters` to `to`; without biases, their places stay zero.
    fn read(&self, parameters: &Parameters, to: &mut Matrices) {
        let arena = parameters.arena();
        self.w.iter().for_each(|&(n, index)| to.w[n] = arena[index]);
        self.out.iter().for_each(|&(n, index)| to.out[n] = arena[index]);
        self.second_bias.iter().for_each(|&(n, index)| to.w[n] += arena[index]);
    }

    /// Copies `from` to `parameters`; b_hh stays as it is.
    fn write(&self, from: &Matrices, parameters: &mut Parameters) {
        let arena = parameters.arena_mut();
        self.w.iter().for_each(|&(n, index)| arena[index] = from.w[n]);
        self.out.iter().for_each(|&(n, index)| arena[index] = from.out[n]);
    }
}

/// Parameters of `config` whose values `value` gives in the order of the matrices here:
/// `W_in`, b and `W_rec`, each row from one input or unit, then `w_out` and `b_out`. Of a
/// network without biases, the values for them are asked for and dropped; b_hh is 0.
pub(super) fn fill(config: Config, mut value: impl FnMut() -> f32) -> Parameters {
    let mut matrices = Matrices::zeros(config.hidden());
    matrices.w.iter_mut().chain(&mut matrices.out).for_each(|w| *w = value());
    let mut parameters = Parameters::zeros(config);
    Places::new(config).write(&matrices, &mut parameters);
    parameters
}

impl Ibp {
    /// For networks of `config`.
    ///
    /// # Panics
    /// If that is not a network that adds: one Elman layer, two inputs, one output.
    pub fn new(config: Config) -> Self {
        let hidden = config.hidden();
        let width = FIRST + hidden;
        let none = Vec::new;
        Self {
            hidden,
            places: Places::new(config),
            weights: Matrices::zeros(hidden),
            gradient: Matrices::zeros(hidden),
            batch: 0,
            steps: 0,
            centers: none(),
            radii: none(),
            low: none(),
            high: none(),
            zc: none(),
            zr: none(),
            dc: none(),
            dr: none(),
            dzc: none(),
            dzr: none(),
            d: none(),
            absolute: vec![0.0; width * hidden],
            product: vec![0.0; width * hidden],
        }
    }

    /// Makes room for T `steps` of B `batch` sequences.
    fn resize(&mut self, steps: usize, batch: usize) {
        if (self.steps, self.batch) == (steps, batch) {
            return;
        }
        (self.steps, self.batch) = (steps, batch);
        let (rows, width) = (steps * batch, FIRST + self.hidden);
        self.centers = vec![0.0; (rows + batch) * width];
        self.centers.chunks_exact_mut(width).for_each(|row| row[2] = 1.0);
        self.radii = vec![0.0; (rows + batch) * width];
        for states in [&mut self.low, &mut self.high, &mut self.dzc, &mut self.dzr] {
            *states = vec![0.0; rows * self.hidden];
        }
        for step in [&mut self.zc, &mut self.zr, &mut self.dc, &mut self.dr] {
            *step = vec![0.0; batch * self.hidden];
        }
        self.d = vec![0.0; rows];
    }

    /// Writes the gradient of the mean loss of the worst outputs to `gradient`, and returns
    /// that loss, for states known up to a radius that grows by `epsilon` (ε) each step.
    ///
    /// The two biases of a unit are one number to the network. The gradient by it is that of
    /// `bias_ih_l0`; that of `bias_hh_l0` is left as it is.
    ///
    /// # Panics
    /// If a length of `batch` does not fit its T and B.
    pub fn gradient(
        &mut self,
        parameters: &Parameters,
        batch: &Batch,
        epsilon: f32,
        gradient: &mut Parameters,
    ) -> f64 {
        let rows = batch.steps * batch.batch;
        assert!(
            batch.inputs.len() == rows * 2 && batch.targets.len() == rows,
            "{} inputs and {} targets for {} sequences of {} steps",
            batch.inputs.len(),
            batch.targets.len(),
            batch.batch,
            batch.steps
        );
        self.resize(batch.steps, batch.batch);
        self.places.read(parameters, &mut self.weights);
        let centers = self.centers.chunks_exact_mut(FIRST + self.hidden);
        for (center, x) in centers.zip(batch.inputs.chunks_exact(2)) {
            center[..2].copy_from_slice(x);
        }
        let loss = self.forward(&batch.targets, epsilon);
        self.backward(&batch.targets);
        self.places.write(&self.gradient, gradient);
        loss
    }

    /// The mean loss.
    fn forward(&mut self, targets: &[f32], epsilon: f32) -> f64 {
        let (h, batch, width) = (self.hidden, self.batch, FIRST + self.hidden);
        for (absolute, w) in self.absolute.iter_mut().zip(&self.weights.w) {
            *absolute = w.abs();
        }
        for t in 0..self.steps {
            let rows = t * batch * width..(t + 1) * batch * width;
            let now = MatRef::new(&self.centers[rows.clone()], batch, width);
            gemm(
                1.0,
                now,
                MatRef::new(&self.weights.w, width, h),
                0.0,
                MatMut::new(&mut self.zc, batch, h),
            );
            let now = MatRef::new(&self.radii[rows.clone()], batch, width);
            let absolute = MatRef::new(&self.absolute, width, h);
            gemm(1.0, now, absolute, 0.0, MatMut::new(&mut self.zr, batch, h));
            for (c, r) in self.zc.iter_mut().zip(&mut self.zr) {
                (*c, *r) = (*c - *r, *c + *r);
            }
            let states = t * batch * h..(t + 1) * batch * h;
            let (low, high) = (&mut self.low[states.clone()], &mut self.high[states]);
            sigmoid_into(&self.zc, low);
            sigmoid_into(&self.zr, high);
            let next = rows.end..rows.end + batch * width;
            let centers = self.centers[next.clone()].chunks_exact_mut(width);
            let radii = self.radii[next].chunks_exact_mut(width);
            let bounds = low.chunks_exact(h).zip(high.chunks_exact(h));
            for ((center, radius), (low, high)) in centers.zip(radii).zip(bounds) {
                for j in 0..h {
                    center[FIRST + j] = 0.5 * (high[j] + low[j]);
                    radius[FIRST + j] = 0.5 * (high[j] - low[j]) + epsilon;
                }
            }
        }
        let mut loss = 0.0;
        let share = 1.0 / self.d.len() as f32;
        let centers = self.centers.chunks_exact(width).skip(batch);
        let radii = self.radii.chunks_exact(width).skip(batch);
        for ((d, y), (center, radius)) in self.d.iter_mut().zip(targets).zip(centers.zip(radii)) {
            let (mut c, mut r) = (self.weights.out[h], 0.0);
            for j in 0..h {
                c += center[FIRST + j] * self.weights.out[j];
                r += radius[FIRST + j] * self.weights.out[j].abs();
            }
            let sign = 2.0 * y - 1.0;
            let right = sign * c - r; // s·worst
            loss += f64::from((-right).max(0.0) + (-right.abs()).exp().ln_1p());
            *d = -right; // the error is −s·σ(−s·worst)
        }
        sigmoid(&mut self.d);
        for (d, y) in self.d.iter_mut().zip(targets) {
            *d *= (1.0 - 2.0 * y) * share;
        }
        loss * f64::from(share)
    }

    fn backward(&mut self, targets: &[f32]) {
        let (h, batch, width) = (self.hidden, self.batch, FIRST + self.hidden);
        self.dc.fill(0.0);
        self.dr.fill(0.0);
        self.gradient.out.fill(0.0);
        for t in (0..self.steps).rev() {
            for n in 0..batch {
                let row = t * batch + n;
                let (d, s) = (self.d[row], 2.0 * targets[row] - 1.0);
                let state = (row + batch) * width + FIRST;
                let (center, radius) = (&self.centers[state..][..h], &self.radii[state..][..h]);
                let (dc, dr) = (&mut self.dc[n * h..][..h], &mut self.dr[n * h..][..h]);
                let (low, high) = (&self.low[row * h..][..h], &self.high[row * h..][..h]);
                let (dzc, dzr) = (&mut self.dzc[row * h..][..h], &mut self.dzr[row * h..][..h]);
                let out = &mut self.gradient.out;
                out[h] += d;
                for j in 0..h {
                    let w = self.weights.out[j];
                    out[j] += d * center[j] - s * d * radius[j] * w.signum();
                    let dc = dc[j] + d * w;
                    let dr = dr[j] - s * d * w.abs();
                    let dlow = 0.5 * (dc - dr) * low[j] * (1.0 - low[j]);
                    let dhigh = 0.5 * (dc + dr) * high[j] * (1.0 - high[j]);
                    (dzc[j], dzr[j]) = (dhigh + dlow, dhigh - dlow);
                }
            }
            let rows = t * batch * h..(t + 1) * batch * h;
            let (recurrent, absolute) = (&self.weights.w[FIRST * h..], &self.absolute[FIRST * h..]);
            let dzc = MatRef::new(&self.dzc[rows.clone()], batch, h);
            let dzr = MatRef::new(&self.dzr[rows], batch, h);
            gemm(
                1.0,
                dzc,
                MatRef::new(recurrent, h, h).t(),
                0.0,
                MatMut::new(&mut self.dc, batch, h),
            );
            gemm(
                1.0,
                dzr,
                MatRef::new(absolute, h, h).t(),
                0.0,
                MatMut::new(&mut self.dr, batch, h),
            );
        }
        let rows = self.steps * batch;
        let dz = MatRef::new(&self.dzr, rows, h);
        let radii = MatRef::new(&self.radii[..rows * width], rows, width);
        gemm(1.0, radii.t(), dz, 0.0, MatMut::new(&mut self.product, width, h));
        let dz = MatRef::new(&self.dzc, rows, h);
        let centers = MatRef::new(&self.centers[..rows * width], rows, width);
        gemm(1.0, centers.t(), dz, 0.0, MatMut::new(&mut self.gradient.w, width, h));
        for ((gradient, product), w) in
            self.gradient.w.iter_mut().zip(&self.product).zip(&self.weights.w)
        {
            *gradient += product * w.signum();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Network;
    use rand::{RngExt, SeedableRng};
    use rand_xoshiro::Xoshiro256PlusPlus;
    use train::task::Addition;

    /// The values of a tensor, or zeros where the network has none.
    fn tensor(parameters: &Parameters, arena: &[f64], name: &str, len: usize) -> Vec<f64> {
        let tensors = parameters.tensors();
        let found = tensors.iter().find(|tensor| tensor.name() == name);
        found.map_or(vec![0.0; len], |tensor| tensor.indices().map(|i| arena[i]).collect())
    }

    /// The forward pass again, in f64 and plain loops, for the values of `arena` in place of
    /// those of `parameters`.
    fn loss(parameters: &Parameters, arena: &[f64], batch: &Batch, epsilon: f64) -> f64 {
        let h = parameters.config().hidden();
        let tensor = |name, len| tensor(parameters, arena, name, len);
        let (w_in, w_rec) = (tensor("weight_ih_l0", h * 2), tensor("weight_hh_l0", h * h));
        let (b_in, b_rec) = (tensor("bias_ih_l0", h), tensor("bias_hh_l0", h));
        let (w_out, b_out) = (tensor("head.weight", h), tensor("head.bias", 1)[0]);
        let sigmoid = kernels::reference::sigmoid;
        let mut loss = 0.0;
        for n in 0..batch.batch {
            let (mut c, mut r) = (vec![0.0; h], vec![0.0; h]);
            for t in 0..batch.steps {
                let row = t * batch.batch + n;
                let x = [0, 1].map(|i| f64::from(batch.inputs[row * 2 + i]));
                let bounds: Vec<(f64, f64)> = (0..h)
                    .map(|j| {
                        let inputs = x[0] * w_in[j * 2] + x[1] * w_in[j * 2 + 1];
                        let bias = b_in[j] + b_rec[j];
                        let zc: f64 = (0..h).map(|k| c[k] * w_rec[j * h + k]).sum();
                        let zr: f64 = (0..h).map(|k| r[k] * w_rec[j * h + k].abs()).sum();
                        (sigmoid(inputs + bias + zc - zr), sigmoid(inputs + bias + zc + zr))
                    })
                    .collect();
                c = bounds.iter().map(|(low, high)| 0.5 * (low + high)).collect();
                r = bounds.iter().map(|(low, high)| 0.5 * (high - low) + epsilon).collect();
                let s = 2.0 * f64::from(batch.targets[row]) - 1.0;
                let center: f64 = (0..h).map(|j| c[j] * w_out[j]).sum::<f64>() + b_out;
                let radius: f64 = (0..h).map(|j| r[j] * w_out[j].abs()).sum();
                loss += (-(s * center - radius)).exp().ln_1p();
            }
        }
        loss / (batch.steps * batch.batch) as f64
    }

    fn drawn(hidden: usize, bias: bool, seed: u64) -> (Parameters, Batch) {
        let mut generator = Xoshiro256PlusPlus::seed_from_u64(seed);
        let config = Addition::network(hidden, bias).unwrap();
        let parameters = fill(config, || generator.random_range(-2.0..2.0));
        let mut batch = Batch::zeros(4, 3);
        batch.draw(&mut generator);
        (parameters, batch)
    }

    #[test]
    fn the_interval_gradient_is_that_of_central_differences() {
        for (hidden, seed) in [(1, 0), (2, 1), (5, 2), (16, 3), (17, 4)] {
            for bias in [false, true] {
                let (mut parameters, batch) = drawn(hidden, bias, seed);
                if bias {
                    // the second of the two biases counts, too
                    let tensor = &parameters.tensors()[3];
                    assert_eq!(tensor.name(), "bias_hh_l0");
                    tensor.indices().for_each(|index| parameters.arena_mut()[index] = 0.25);
                }
                let mut gradient = Parameters::zeros(parameters.config());
                let mut ibp = Ibp::new(parameters.config());
                let found = ibp.gradient(&parameters, &batch, 0.05, &mut gradient);
                let wide: Vec<f64> = parameters.arena().iter().map(|&w| f64::from(w)).collect();
                let epsilon = f64::from(0.05_f32);
                let expected = loss(&parameters, &wide, &batch, epsilon);
                assert!((found - expected).abs() < 1e-6 * found, "{found} {expected}");
                let arena = gradient.arena();
                let largest = arena.iter().fold(0.0_f32, |largest, g| largest.max(g.abs()));
                for tensor in parameters.tensors() {
                    for (n, index) in tensor.indices().enumerate() {
                        let at = |by: f64| {
                            let mut arena = wide.clone();
                            arena[index] += by;
                            loss(&parameters, &arena, &batch, epsilon)
                        };
                        let expected = match tensor.name() {
                            "bias_hh_l0" => 0.0, // all of it is in `bias_ih_l0`
                            _ => (at(1e-5) - at(-1e-5)) / 2e-5,
                        };
                        let off = (f64::from(arena[index]) - expected).abs();
                        assert!(
                            off < 2e-5 * f64::from(largest),
                            "{hidden} units, {} {n}: {} {expected}",
                            tensor.name(),
                            arena[index]
                        );
                    }
                }
            }
        }
    }

    /// Without a radius IBP is the backpropagation of the binary cross-entropy.
    #[test]
    fn at_epsilon_0_the_gradient_is_that_of_the_model() {
        for (hidden, bias) in [(1, false), (5, true), (16, false), (17, true)] {
            let (parameters, batch) = drawn(hidden, bias, 7);
            let config = parameters.config();
            let (mut found, mut expected) = (Parameters::zeros(config), Parameters::zeros(config));
            Ibp::new(config).gradient(&parameters, &batch, 0.0, &mut found);
            let mut network = Network::new(config);
            let outputs = network.forward(&parameters, &batch.inputs, batch.steps, batch.batch);
            let share = 1.0 / batch.targets.len() as f32;
            let dy: Vec<f32> =
                outputs.iter().zip(&batch.targets).map(|(o, y)| (o - y) * share).collect();
            network.backward(&parameters, &batch.inputs, &dy, &mut expected);
            let largest = expected.arena().iter().fold(0.0_f32, |most, g| most.max(g.abs()));
            for tensor in parameters.tensors().iter().filter(|t| t.name() != "bias_hh_l0") {
                for index in tensor.indices() {
                    let off = (found.arena()[index] - expected.arena()[index]).abs();
                    assert!(off < 1e-5 * largest, "{hidden} units, {}: {off}", tensor.name());
                }
            }
        }
    }

    #[test]
    fn batches_of_other_sizes_are_taken_in_turn() {
        let (parameters, small) = drawn(5, false, 1);
        let mut large = Batch::zeros(9, 7);
        large.draw(&mut Xoshiro256PlusPlus::seed_from_u64(2));
        let config = parameters.config();
        let mut ibp = Ibp::new(config);
        let of = |ibp: &mut Ibp, batch| {
            let mut gradient = Parameters::zeros(config);
            let loss = ibp.gradient(&parameters, batch, 0.05, &mut gradient);
            (loss, gradient.arena().to_vec())
        };
        for batch in [&small, &large, &small] {
            assert_eq!(of(&mut ibp, batch), of(&mut Ibp::new(config), batch));
        }
    }
}
