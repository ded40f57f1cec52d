//! Training for a proof: on intervals of states instead of states.
//!
//! A state is known up to a radius; after each step the radius grows by ε; the loss is that
//! of the worst output the interval allows. So the network learns to add and to contract:
//! what is left of the radius after a few steps is what boxes can prove.
//!
//! ```text
//! forward   zc[t] = x[t]·W_in + b + c[t−1]·W_rec     zr[t] = r[t−1]·|W_rec|    c[−1] = r[−1] = 0
//!           lo[t] = σ(zc − zr)   hi[t] = σ(zc + zr)
//!           c[t] = (hi + lo)/2   r[t] = (hi − lo)/2 + ε
//!           worst[t] = c[t]·w_out + b_out − s·r[t]·|w_out|      s = 1 where y is 1, else −1
//!           loss = mean of −ln σ(s·worst)
//! backward  d = σ(worst) − y, over T·B; from loss and next step, dc and dr:
//!           dc += d·w_out   dr −= s·d·|w_out|   dw_out = Σ d·c − s·d·r·sign w_out   db_out = Σ d
//!           dlo = (dc − dr)/2 · lo(1 − lo)      dhi = (dc + dr)/2 · hi(1 − hi)
//!           dzc = dhi + dlo   dzr = dhi − dlo   since zc enters both, and zr with ±
//!           dc[t−1] = dzc·W_recᵀ   dr[t−1] = dzr·|W_rec|ᵀ
//!           dW_rec = Σ c[t−1]ᵀ dzc + (Σ r[t−1]ᵀ dzr) ⊙ sign W_rec      dW_in, db likewise
//! ```
//!
//! Inputs, a 1 for the bias and the states stand side by side in rows of K = 3 + H, and so
//! do `W_in`, b and `W_rec` in a matrix `[K, H]`: one product a step and kind.
//!
//! Source of the bounds: S. Gowal et al., On the Effectiveness of Interval Bound
//! Propagation for Training Verifiably Robust Models, 2018.

use crate::pairs::{add, draw, mix};
use kernels::activation::{sigmoid, sigmoid_into};
use kernels::matmul::gemm;
use kernels::matrix::{MatMut, MatRef};
use model::{Config, Parameters};
use rand::{Rng, RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use train::shared::{BLOCK, Shared};
use train::task::Addition;

/// What a certifiable training is asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Certifiable {
    /// H
    pub hidden: usize,
    /// Whether the network has biases.
    pub bias: bool,
    /// What all randomness comes from.
    pub seed: u64,
    /// Updates of Adam.
    pub updates: u64,
    /// ε at the end, reached between 20 % and 70 % of the updates.
    pub epsilon: f32,
}

impl Default for Certifiable {
    fn default() -> Self {
        Self { hidden: 16, bias: false, seed: 0, updates: 6_000, epsilon: 0.05 }
    }
}

/// T, the digits of a sequence.
pub const STEPS: usize = 12;
/// B, the sequences of an update.
pub const BATCH: usize = 64;
/// The step of Adam.
pub const LEARNING_RATE: f32 = 0.01;
/// Inputs, and the 1 that a bias is multiplied by.
const FIRST: usize = 3;

/// A certifiable training at work.
#[derive(Clone, Debug)]
pub struct Training {
    asked: Certifiable,
    config: Config,
    generator: Xoshiro256PlusPlus,
    done: u64,
    weights: Weights,
    pass: Pass,
    first_moment: Weights,
    second_moment: Weights,
}

/// `[K, H]` and `[H + 1]`, or their gradients.
#[derive(Clone, Debug)]
struct Weights {
    w: Vec<f32>,
    out: Vec<f32>,
}

impl Weights {
    fn zeros(hidden: usize) -> Self {
        Self { w: vec![0.0; (FIRST + hidden) * hidden], out: vec![0.0; hidden + 1] }
    }

    fn values(&self) -> impl Iterator<Item = &f32> {
        self.w.iter().chain(&self.out)
    }

    /// Whole blocks, with zeros behind the end.
    fn to_blocks(&self) -> Vec<[f32; BLOCK]> {
        let values: Vec<f32> = self.values().copied().collect();
        let block = |values: &[f32]| std::array::from_fn(|n| values.get(n).copied().unwrap_or(0.0));
        values.chunks(BLOCK).map(block).collect()
    }

    fn values_mut(&mut self) -> impl Iterator<Item = &mut f32> {
        self.w.iter_mut().chain(&mut self.out)
    }
}

impl Training {
    /// A network with weights uniform in [−1, 1).
    ///
    /// # Errors
    /// If the network has no hidden units or too many.
    pub fn new(asked: Certifiable) -> Result<Self, model::Error> {
        let config = Addition::network(asked.hidden, asked.bias)?;
        let mut generator = Xoshiro256PlusPlus::seed_from_u64(asked.seed);
        let mut weights = Weights::zeros(asked.hidden);
        weights.values_mut().for_each(|w| *w = generator.random_range(-1.0..1.0));
        let zeros = Weights::zeros(asked.hidden);
        let mut training = Self {
            asked,
            config,
            generator,
            done: 0,
            weights,
            pass: Pass::new(asked.hidden, BATCH, STEPS),
            first_moment: zeros.clone(),
            second_moment: zeros,
        };
        training.freeze(|training| &mut training.weights);
        Ok(training)
    }

    /// Without biases, their places stay zero.
    fn freeze(&mut self, which: impl Fn(&mut Self) -> &mut Weights) {
        if !self.asked.bias {
            let h = self.asked.hidden;
            let weights = which(self);
            weights.w[2 * h..3 * h].fill(0.0);
            weights.out[h] = 0.0;
        }
    }

    /// ε now.
    fn epsilon(&self) -> f32 {
        let share = self.done as f32 / self.asked.updates as f32;
        self.asked.epsilon * ((share - 0.2) / 0.5).clamp(0.0, 1.0)
    }

    /// `updates` more updates; returns the mean loss.
    pub fn train(&mut self, updates: u64) -> f64 {
        let mut total = 0.0;
        for _ in 0..updates {
            let epsilon = self.epsilon();
            self.pass.draw(&mut self.generator);
            total += self.pass.forward(&self.weights, epsilon);
            self.pass.backward(&self.weights);
            self.freeze(|training| &mut training.pass.gradient);
            self.done += 1;
            self.adam();
        }
        total / updates as f64
    }

    /// The whole training by `threads` workers on shared weights (Hogwild!), each with its
    /// own generator, Adam and equal part of the updates, after each of which it exchanges
    /// its weights; see [`train::shared`]. Returns the mean loss.
    ///
    /// # Panics
    /// If it has begun already, or there are no threads.
    pub fn train_hogwild(&mut self, threads: usize) -> f64 {
        assert!(self.done == 0 && threads > 0, "{threads} workers, {} updates done", self.done);
        let updates = self.asked.updates.div_ceil(threads as u64);
        let mut generator = self.generator.clone();
        let mut workers: Vec<Self> = (0..threads)
            .map(|_| {
                let mut worker = self.clone();
                worker.asked.updates = updates;
                worker.generator = generator.clone();
                generator.jump();
                worker
            })
            .collect();
        let shared = Shared::new(&self.weights.to_blocks().concat());
        let losses = std::thread::scope(|scope| {
            let start = |worker| scope.spawn(|| Self::share(worker, updates, &shared));
            let started: Vec<_> = workers.iter_mut().map(start).collect();
            let losses = started.into_iter().map(|worker| worker.join().expect("a worker"));
            losses.collect::<Vec<f64>>()
        });
        let mut values = vec![0.0; self.weights.to_blocks().len() * BLOCK];
        shared.read(&mut values);
        self.weights.values_mut().zip(values).for_each(|(w, value)| *w = value);
        self.pass = workers.swap_remove(0).pass;
        self.done = self.asked.updates;
        losses.iter().sum::<f64>() / threads as f64
    }

    /// One worker's part.
    fn share(&mut self, updates: u64, shared: &Shared) -> f64 {
        let mut seen = self.weights.to_blocks();
        let mut total = 0.0;
        for _ in 0..updates {
            total += self.train(1);
            let mut own = self.weights.to_blocks();
            for (block, (own, seen)) in own.iter_mut().zip(&mut seen).enumerate() {
                shared.exchange(block, own, seen);
            }
            self.weights.values_mut().zip(own.iter().flatten()).for_each(|(w, &own)| *w = own);
        }
        total / updates as f64
    }

    /// The Euclidean norm of the last update's gradient.
    pub fn gradient_norm(&self) -> f64 {
        let square = |g: &f32| f64::from(*g) * f64::from(*g);
        self.pass.gradient.values().map(square).sum::<f64>().sqrt()
    }

    /// D. Kingma and J. Ba, Adam: A Method for Stochastic Optimization, 2015.
    fn adam(&mut self) {
        const MEAN: f32 = 0.9;
        const SQUARE: f32 = 0.999;
        let step = self.done.min(100_000) as i32;
        let rate = LEARNING_RATE * (1.0 - SQUARE.powi(step)).sqrt() / (1.0 - MEAN.powi(step));
        let weights = self.weights.values_mut().zip(self.pass.gradient.values());
        let moments = self.first_moment.values_mut().zip(self.second_moment.values_mut());
        for ((w, &g), (m, v)) in weights.zip(moments) {
            *m = MEAN * *m + (1.0 - MEAN) * g;
            *v = SQUARE * *v + (1.0 - SQUARE) * g * g;
            *w -= rate * *m / (v.sqrt() + 1e-8);
        }
    }

    /// The network as it is.
    pub fn parameters(&self) -> Parameters {
        let h = self.asked.hidden;
        let mut parameters = Parameters::zeros(self.config);
        for tensor in parameters.tensors() {
            for (n, index) in tensor.indices().enumerate() {
                parameters.arena_mut()[index] = match tensor.name() {
                    "weight_ih_l0" => self.weights.w[n % 2 * h + n / 2],
                    "weight_hh_l0" => self.weights.w[(FIRST + n % h) * h + n / h],
                    "bias_ih_l0" => self.weights.w[2 * h + n],
                    "head.weight" => self.weights.out[n],
                    "head.bias" => self.weights.out[h],
                    _ => 0.0, // b_hh, beside b_ih
                };
            }
        }
        parameters
    }
}

/// One pass forward and back.
#[derive(Clone, Debug)]
struct Pass {
    hidden: usize,
    batch: usize,
    steps: usize,
    /// `[T + 1, B, K]`: x[t], 1, c[t − 1]
    centers: Vec<f32>,
    /// `[T + 1, B, K]`: 0, 0, 0, r[t − 1]
    radii: Vec<f32>,
    /// `[T, B]`
    targets: Vec<f32>,
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
    gradient: Weights,
}

impl Pass {
    fn new(hidden: usize, batch: usize, steps: usize) -> Self {
        let (rows, width) = (steps * batch, FIRST + hidden);
        let mut centers = vec![0.0; (rows + batch) * width];
        centers.chunks_exact_mut(width).for_each(|row| row[2] = 1.0);
        let states = || vec![0.0; rows * hidden];
        let step = || vec![0.0; batch * hidden];
        Self {
            hidden,
            batch,
            steps,
            centers,
            radii: vec![0.0; (rows + batch) * width],
            targets: vec![0.0; rows],
            low: states(),
            high: states(),
            zc: step(),
            zr: step(),
            dc: step(),
            dr: step(),
            dzc: states(),
            dzr: states(),
            d: vec![0.0; rows],
            absolute: vec![0.0; width * hidden],
            product: vec![0.0; width * hidden],
            gradient: Weights::zeros(hidden),
        }
    }

    /// New sequences, each with a mix of pairs of its own, so that long carries occur.
    fn draw(&mut self, generator: &mut impl Rng) {
        let width = FIRST + self.hidden;
        for n in 0..self.batch {
            let mix = mix(generator);
            let mut carry = false;
            for t in 0..self.steps {
                let pair = draw(&mix, generator);
                let (digit, next) = add(pair, carry);
                carry = next;
                let row = t * self.batch + n;
                self.centers[row * width] = f32::from(pair >> 1);
                self.centers[row * width + 1] = f32::from(pair & 1);
                self.targets[row] = f32::from(u8::from(digit));
            }
        }
    }

    /// The mean loss.
    fn forward(&mut self, weights: &Weights, epsilon: f32) -> f64 {
        let (h, batch, width) = (self.hidden, self.batch, FIRST + self.hidden);
        for (absolute, w) in self.absolute.iter_mut().zip(&weights.w) {
            *absolute = w.abs();
        }
        for t in 0..self.steps {
            let rows = t * batch * width..(t + 1) * batch * width;
            let now = MatRef::new(&self.centers[rows.clone()], batch, width);
            gemm(
                1.0,
                now,
                MatRef::new(&weights.w, width, h),
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
        for ((d, y), (center, radius)) in
            self.d.iter_mut().zip(&self.targets).zip(centers.zip(radii))
        {
            let (mut c, mut r) = (weights.out[h], 0.0);
            for j in 0..h {
                c += center[FIRST + j] * weights.out[j];
                r += radius[FIRST + j] * weights.out[j].abs();
            }
            let sign = 2.0 * y - 1.0;
            let right = sign * c - r; // s·worst
            loss += f64::from((-right).max(0.0) + (-right.abs()).exp().ln_1p());
            *d = -right; // the error is −s·σ(−s·worst)
        }
        sigmoid(&mut self.d);
        for (d, y) in self.d.iter_mut().zip(&self.targets) {
            *d *= (1.0 - 2.0 * y) * share;
        }
        loss * f64::from(share)
    }

    fn backward(&mut self, weights: &Weights) {
        let (h, batch, width) = (self.hidden, self.batch, FIRST + self.hidden);
        self.dc.fill(0.0);
        self.dr.fill(0.0);
        self.gradient.out.fill(0.0);
        for t in (0..self.steps).rev() {
            for n in 0..batch {
                let row = t * batch + n;
                let (d, s) = (self.d[row], 2.0 * self.targets[row] - 1.0);
                let state = (row + batch) * width + FIRST;
                let (center, radius) = (&self.centers[state..][..h], &self.radii[state..][..h]);
                let (dc, dr) = (&mut self.dc[n * h..][..h], &mut self.dr[n * h..][..h]);
                let (low, high) = (&self.low[row * h..][..h], &self.high[row * h..][..h]);
                let (dzc, dzr) = (&mut self.dzc[row * h..][..h], &mut self.dzr[row * h..][..h]);
                let out = &mut self.gradient.out;
                out[h] += d;
                for j in 0..h {
                    let w = weights.out[j];
                    out[j] += d * center[j] - s * d * radius[j] * w.signum();
                    let dc = dc[j] + d * w;
                    let dr = dr[j] - s * d * w.abs();
                    let dlow = 0.5 * (dc - dr) * low[j] * (1.0 - low[j]);
                    let dhigh = 0.5 * (dc + dr) * high[j] * (1.0 - high[j]);
                    (dzc[j], dzr[j]) = (dhigh + dlow, dhigh - dlow);
                }
            }
            let rows = t * batch * h..(t + 1) * batch * h;
            let (recurrent, absolute) = (&weights.w[FIRST * h..], &self.absolute[FIRST * h..]);
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
            self.gradient.w.iter_mut().zip(&self.product).zip(&weights.w)
        {
            *gradient += product * w.signum();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The forward pass again, in f64 and plain loops.
    fn loss(pass: &Pass, weights: &[f64], epsilon: f64) -> f64 {
        let (h, width) = (pass.hidden, FIRST + pass.hidden);
        let (w, out) = weights.split_at(width * h);
        let sigmoid = kernels::reference::sigmoid;
        let mut loss = 0.0;
        for n in 0..pass.batch {
            let (mut c, mut r) = (vec![0.0; h], vec![0.0; h]);
            for t in 0..pass.steps {
                let row = t * pass.batch + n;
                let x = &pass.centers[row * width..][..FIRST];
                let bounds: Vec<(f64, f64)> = (0..h)
                    .map(|j| {
                        let inputs: f64 = (0..FIRST).map(|i| f64::from(x[i]) * w[i * h + j]).sum();
                        let zc: f64 = (0..h).map(|k| c[k] * w[(FIRST + k) * h + j]).sum();
                        let zr: f64 = (0..h).map(|k| r[k] * w[(FIRST + k) * h + j].abs()).sum();
                        (sigmoid(inputs + zc - zr), sigmoid(inputs + zc + zr))
                    })
                    .collect();
                c = bounds.iter().map(|(low, high)| 0.5 * (low + high)).collect();
                r = bounds.iter().map(|(low, high)| 0.5 * (high - low) + epsilon).collect();
                let s = 2.0 * f64::from(pass.targets[row]) - 1.0;
                let center: f64 = (0..h).map(|j| c[j] * out[j]).sum::<f64>() + out[h];
                let radius: f64 = (0..h).map(|j| r[j] * out[j].abs()).sum();
                loss += (-(s * center - radius)).exp().ln_1p();
            }
        }
        loss / (pass.steps * pass.batch) as f64
    }

    #[test]
    fn one_hogwild_worker_trains_as_the_serial_one() {
        let asked = Certifiable { hidden: 5, updates: 30, ..Certifiable::default() };
        let [mut serial, mut hogwild] = [(); 2].map(|()| Training::new(asked).unwrap());
        serial.train(30);
        hogwild.train_hogwild(1);
        assert_eq!(serial.parameters().arena(), hogwild.parameters().arena());
        let mut two = Training::new(asked).unwrap();
        two.train_hogwild(2);
        assert_ne!(two.parameters().arena(), serial.parameters().arena());
        assert!(two.parameters().is_finite());
    }

    #[test]
    fn the_interval_gradient_is_that_of_central_differences() {
        for (hidden, seed) in [(1, 0), (2, 1), (5, 2), (16, 3), (17, 4)] {
            let mut generator = Xoshiro256PlusPlus::seed_from_u64(seed);
            let mut pass = Pass::new(hidden, 3, 4);
            pass.draw(&mut generator);
            let mut weights = Weights::zeros(hidden);
            weights.values_mut().for_each(|w| *w = generator.random_range(-2.0..2.0));
            let found = pass.forward(&weights, 0.05);
            pass.backward(&weights);
            let wide: Vec<f64> = weights.values().map(|&w| f64::from(w)).collect();
            let epsilon = f64::from(0.05_f32);
            assert!((found - loss(&pass, &wide, epsilon)).abs() < 1e-6 * found, "{found}");
            let largest = pass.gradient.values().fold(0.0_f32, |largest, g| largest.max(g.abs()));
            for (n, &gradient) in pass.gradient.values().enumerate() {
                let at = |by: f64| {
                    let mut weights = wide.clone();
                    weights[n] += by;
                    loss(&pass, &weights, epsilon)
                };
                let expected = (at(1e-5) - at(-1e-5)) / 2e-5;
                let off = (f64::from(gradient) - expected).abs();
                assert!(
                    off < 2e-5 * f64::from(largest),
                    "{hidden} units, weight {n}: {gradient} {expected}"
                );
            }
        }
    }
}
