//! Training for a proof by interval bound propagation (IBP): on intervals of states instead of
//! states.
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
//!           loss = mean over T of −ln σ(s·worst)
//! backward  d = σ(worst) − y, over T; from loss and next step, dc and dr:
//!           dc += d·w_out   dr −= s·d·|w_out|   dw_out = Σ d·c − s·d·r·sign w_out   db_out = Σ d
//!           dlo = (dc − dr)/2 · lo(1 − lo)      dhi = (dc + dr)/2 · hi(1 − hi)
//!           dzc = dhi + dlo   dzr = dhi − dlo   since zc enters both, and zr with ±
//!           dc[t−1] = dzc·W_recᵀ   dr[t−1] = dzr·|W_rec|ᵀ
//!           dW_rec = Σ c[t−1]ᵀ dzc + (Σ r[t−1]ᵀ dzr) ⊙ sign W_rec      dW_in, db likewise
//! ```
//!
//! It is a task like any other, but for its backward pass: [`Ibp`] is trained by every strategy
//! and optimizer, in jobs and run folders, with checkpoints.
//!
//! Source of the bounds: S. Gowal et al., On the Effectiveness of Interval Bound
//! Propagation for Training Verifiably Robust Models, 2018.

use crate::pairs::{add, draw, mix};
use kernels::activation::{sigmoid, sigmoid_into};
use kernels::matmul::gemm;
use kernels::matrix::{MatMut, MatRef};
use model::{Head, Parameters};
use serde::{Deserialize, Serialize};
use std::ops::Range;
use train::batch::{Batch, Inputs, Targets};
use train::config::{Extent, NetworkConfig, RunConfig, StrategyConfig};
use train::metrics::Totals;
use train::optimizer::{OptimizerConfig, Rule};
use train::pass::Pass;
use train::task::{Addition, Progress, Source, Sums, Task};

/// Addition, learned on intervals: each state is as wide as a proof has to be able to take it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ibp {
    bits: Bits,
    /// ε at the end, reached between 20 % and 70 % of the examples.
    #[serde(default = "Ibp::epsilon")]
    epsilon: f32,
}

/// T, checked as that of additions is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
struct Bits(Addition);

impl TryFrom<u32> for Bits {
    type Error = train::Error;

    fn try_from(bits: u32) -> Result<Self, train::Error> {
        Addition::new(bits).map(Self)
    }
}

impl From<Bits> for u32 {
    fn from(Bits(addition): Bits) -> Self {
        addition.bits()
    }
}

impl Ibp {
    /// T, the digits of a sequence, where nothing else is asked.
    pub const BITS: u32 = 12;
    /// Examples: 6,000 updates.
    pub const EXAMPLES: u64 = 6_000 * Self::BATCH as u64;
    /// B, the sequences of an update.
    pub const BATCH: usize = 64;
    /// The learning rate of Adam.
    pub const LEARNING_RATE: f32 = 0.01;

    /// Additions of `bits` digits, 1 to 64.
    ///
    /// # Errors
    /// If `bits` is out of that range.
    pub fn new(bits: u32) -> Result<Self, train::Error> {
        Ok(Self { bits: bits.try_into()?, epsilon: Self::epsilon() })
    }

    /// A whole certifiable training of a lab's network of `hidden` units: 12 digits, 6,000
    /// updates of Adam on 64 sequences each.
    pub fn training(hidden: usize, bias: bool, seed: u64) -> RunConfig<Self> {
        RunConfig {
            task: Self::new(Self::BITS).expect("1 to 64 bits"),
            network: NetworkConfig { bias, ..NetworkConfig::lab(hidden) },
            optimizer: OptimizerConfig::new(Self::LEARNING_RATE, Rule::ADAM),
            strategy: StrategyConfig::SERIAL,
            run: Extent::new(Self::EXAMPLES, Self::BATCH, seed),
        }
    }

    fn epsilon() -> f32 {
        0.05
    }

    /// The additions.
    pub fn addition(&self) -> Addition {
        self.bits.0
    }

    /// ε now.
    fn epsilon_at(&self, progress: Progress) -> f32 {
        let Progress { examples, workers, of, .. } = progress;
        let share = (examples * workers as u64) as f32 / of.max(1) as f32;
        self.epsilon * ((share - 0.2) / 0.5).clamp(0.0, 1.0)
    }
}

impl Task for Ibp {
    const NAME: &'static str = "addition-ibp";
    const IS_BPTT: bool = false;

    type Score = Sums;

    fn io(&self) -> (usize, Head) {
        self.addition().io()
    }

    fn steps(&self) -> usize {
        self.addition().steps()
    }

    /// New sequences, each with a mix of pairs of its own, so that long carries occur.
    fn draw(&self, source: Source<'_>, batch: &mut Batch) {
        let Source { generator, count, .. } = source;
        let (x, targets) = batch.values((self.steps(), count), 2, 1);
        for n in 0..count {
            let mix = mix(generator);
            let mut carry = false;
            for t in 0..self.steps() {
                let pair = draw(&mix, generator);
                let (digit, next) = add(pair, carry);
                carry = next;
                let row = t * count + n;
                x[2 * row] = f32::from(pair >> 1);
                x[2 * row + 1] = f32::from(pair & 1);
                targets[row] = f32::from(u8::from(digit));
            }
        }
    }

    /// The loss of the outputs, of states and not of intervals: that of additions.
    fn loss(&self, batch: &Batch, y: &[f32], dy: &mut [f32]) -> Totals {
        self.addition().loss(batch, y, dy)
    }

    /// The gradient of the worst output's loss; the error is `Σ_t |y − σ(worst)|`.
    fn differentiate(
        &self,
        pass: &mut Pass,
        parameters: &Parameters,
        batch: &Batch,
        progress: Progress,
        gradient: &mut Parameters,
    ) -> Totals {
        let (Inputs::Values(x), Targets::Values(targets)) = (&batch.inputs, &batch.targets) else {
            panic!("a batch of additions holds values");
        };
        let sizes = Sizes::new(parameters, batch);
        let mut intervals = Intervals::new(sizes, pass.workspace(sizes.workspace()));
        let weights = LabWeights::new(parameters);
        let totals = intervals.forward(&weights, x, targets, self.epsilon_at(progress));
        intervals.backward(&weights, x, targets, gradient);
        totals
    }

    fn evaluate(&self, parameters: &Parameters, seed: u64) -> Sums {
        // All sums of 8 digits, as the lab has them.
        Addition::new(8).expect("1 to 64 bits").evaluate(parameters, seed)
    }

    fn aim(&self) -> String {
        "add, for a proof".to_owned()
    }

    fn header(&self) -> String {
        "worst loss".to_owned()
    }
}

/// The sizes of a pass.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    /// T
    steps: usize,
    /// B
    batch: usize,
    /// H
    hidden: usize,
    /// S, from one row of units to the next.
    stride: usize,
}

impl Sizes {
    fn new(parameters: &Parameters, batch: &Batch) -> Self {
        let (steps, batch) = (batch.steps, batch.count);
        let stride = parameters.input_rows().stride;
        Self { steps, batch, hidden: parameters.config().hidden(), stride }
    }

    /// Values of `[T, B, S]`.
    fn states(&self) -> usize {
        self.steps * self.step()
    }

    /// Values of `[B, S]`.
    fn step(&self) -> usize {
        self.batch * self.stride
    }

    /// Values of all of [`Intervals`].
    fn workspace(&self) -> usize {
        7 * self.states()
            + 6 * self.step()
            + self.steps * self.batch
            + 2 * self.hidden * self.stride
    }
}

/// The weights of a lab's network, by rows of S values.
struct LabWeights<'a> {
    /// `[2, S]`
    w_in: &'a [f32],
    /// `[H, S]`
    w_rec: &'a [f32],
    /// `[S]` each, of a network with biases.
    biases: Option<[&'a [f32]; 2]>,
    /// `[S]`
    w_out: &'a [f32],
    b_out: f32,
}

/// Where they lie in an arena.
struct Places {
    w_in: Range<usize>,
    w_rec: Range<usize>,
    /// Both of the cells' biases, or nothing.
    biases: Range<usize>,
    w_out: Range<usize>,
    /// Empty without biases.
    b_out: Range<usize>,
}

impl Places {
    fn new(parameters: &Parameters) -> Self {
        let rows = parameters.input_rows();
        let (tail, head) = (parameters.tail_range(), parameters.head_range());
        let w_out = head.start..head.start + rows.stride;
        Self {
            w_in: rows.all(),
            w_rec: rows.all().end..tail.start,
            biases: tail.start..head.start,
            b_out: w_out.end..head.end,
            w_out,
        }
    }
}

impl<'a> LabWeights<'a> {
    fn new(parameters: &'a Parameters) -> Self {
        let (places, arena) = (Places::new(parameters), parameters.arena());
        let biases = &arena[places.biases];
        let (input, recurrent) = biases.split_at(biases.len() / 2);
        Self {
            w_in: &arena[places.w_in],
            w_rec: &arena[places.w_rec],
            biases: (!biases.is_empty()).then_some([input, recurrent]),
            w_out: &arena[places.w_out],
            b_out: arena[places.b_out].first().copied().unwrap_or(0.0),
        }
    }
}

/// `[rows, H]` of states `[rows, S]`.
fn units(states: &[f32], sizes: Sizes) -> MatRef<'_> {
    let rows = states.len() / sizes.stride;
    MatRef::with_stride(states, rows, sizes.hidden, sizes.stride)
}

/// The intervals of a pass, in rows of S values of which the last S − H are zero.
struct Intervals<'a> {
    sizes: Sizes,
    /// `[T + 1, B, S]`: c[t − 1], from zeros on.
    centers: &'a mut [f32],
    /// `[T + 1, B, S]`: r[t − 1]
    radii: &'a mut [f32],
    /// `[T, B, S]`: lo and hi.
    low: &'a mut [f32],
    high: &'a mut [f32],
    /// `[T, B, S]`: `x·W_in + b`, and then dzc.
    zc: &'a mut [f32],
    /// `[T, B, S]`: dzr
    dzr: &'a mut [f32],
    /// `[B, S]`
    zr: &'a mut [f32],
    sum: &'a mut [f32],
    dc: &'a mut [f32],
    dr: &'a mut [f32],
    /// `[T, B]`
    d: &'a mut [f32],
    /// `[H, S]`: |W_rec|, and a product.
    absolute: &'a mut [f32],
    product: &'a mut [f32],
}

impl<'a> Intervals<'a> {
    fn new(sizes: Sizes, workspace: &'a mut [f32]) -> Self {
        workspace.fill(0.0);
        let mut rest = workspace;
        let mut take = |len: usize| {
            let (part, others) = std::mem::take(&mut rest).split_at_mut(len);
            rest = others;
            part
        };
        let (states, step) = (sizes.states(), sizes.step());
        Self {
            sizes,
            centers: take(states + step),
            radii: take(states + step),
            low: take(states),
            high: take(states),
            zc: take(states),
            dzr: take(states),
            zr: take(step),
            sum: take(step),
            dc: take(step),
            dr: take(step),
            d: take(sizes.steps * sizes.batch),
            absolute: take(sizes.hidden * sizes.stride),
            product: take(sizes.hidden * sizes.stride),
        }
    }

    /// The loss of the worst outputs, and what the backward pass needs.
    fn forward(
        &mut self,
        weights: &LabWeights<'_>,
        x: &[f32],
        targets: &[f32],
        epsilon: f32,
    ) -> Totals {
        let Sizes { steps, batch, hidden, stride } = self.sizes;
        for (absolute, w) in self.absolute.iter_mut().zip(weights.w_rec) {
            *absolute = w.abs();
        }
        let rows = steps * batch;
        let w_in = MatRef::new(weights.w_in, 2, stride);
        gemm(1.0, MatRef::new(x, rows, 2), w_in, 0.0, MatMut::new(self.zc, rows, stride));
        for row in self.zc.chunks_exact_mut(stride) {
            for bias in weights.biases.into_iter().flatten() {
                row.iter_mut().zip(bias).for_each(|(z, b)| *z += b);
            }
        }
        let step = self.sizes.step();
        for t in 0..steps {
            let now = t * step..(t + 1) * step;
            self.sum.copy_from_slice(&self.zc[now.clone()]);
            let w_rec = MatRef::new(weights.w_rec, hidden, stride);
            let sum = MatMut::new(self.sum, batch, stride);
            gemm(1.0, units(&self.centers[now.clone()], self.sizes), w_rec, 1.0, sum);
            let absolute = MatRef::new(self.absolute, hidden, stride);
            let zr = MatMut::new(self.zr, batch, stride);
            gemm(1.0, units(&self.radii[now.clone()], self.sizes), absolute, 0.0, zr);
            for (c, r) in self.sum.iter_mut().zip(&mut *self.zr) {
                (*c, *r) = (*c - *r, *c + *r);
            }
            let (low, high) = (&mut self.low[now.clone()], &mut self.high[now.clone()]);
            sigmoid_into(self.sum, low);
            sigmoid_into(self.zr, high);
            let next = now.end..now.end + step;
            let centers = self.centers[next.clone()].chunks_exact_mut(stride);
            let radii = self.radii[next].chunks_exact_mut(stride);
            let bounds = low.chunks_exact(stride).zip(high.chunks_exact(stride));
            for ((center, radius), (low, high)) in centers.zip(radii).zip(bounds) {
                for j in 0..hidden {
                    center[j] = 0.5 * (high[j] + low[j]);
                    radius[j] = 0.5 * (high[j] - low[j]) + epsilon;
                }
            }
        }
        let mut totals = Totals { examples: batch as u64, ..Totals::default() };
        let share = 1.0 / steps as f32;
        let states = self.centers[step..].chunks_exact(stride);
        let states = states.zip(self.radii[step..].chunks_exact(stride));
        for ((d, y), (center, radius)) in self.d.iter_mut().zip(targets).zip(states) {
            let (mut c, mut r) = (weights.b_out, 0.0);
            for ((center, radius), w) in center.iter().zip(radius).zip(weights.w_out) {
                c += center * w;
                r += radius * w.abs();
            }
            let right = (2.0 * y - 1.0) * c - r; // s·worst
            totals.loss += f64::from((-right).max(0.0) + (-right.abs()).exp().ln_1p());
            *d = -right; // the error is −s·σ(−s·worst)
        }
        totals.loss /= steps as f64;
        sigmoid(self.d);
        for (d, y) in self.d.iter_mut().zip(targets) {
            totals.error += f64::from(*d);
            *d *= (1.0 - 2.0 * y) * share;
        }
        totals
    }

    /// The gradient, summed over B, over `gradient`.
    fn backward(
        &mut self,
        weights: &LabWeights<'_>,
        x: &[f32],
        targets: &[f32],
        gradient: &mut Parameters,
    ) {
        let Sizes { steps, batch, hidden, stride } = self.sizes;
        let (places, step) = (Places::new(gradient), self.sizes.step());
        let arena = gradient.arena_mut();
        arena[places.w_out.start..places.b_out.end].fill(0.0);
        let (w_out, b_out) = arena[places.w_out.start..].split_at_mut(stride);
        for t in (0..steps).rev() {
            for n in 0..batch {
                let row = t * batch + n;
                let (d, s) = (self.d[row], 2.0 * targets[row] - 1.0);
                let state = (row + batch) * stride;
                let (center, radius) = (&self.centers[state..][..hidden], &self.radii[state..]);
                let (dc, dr) = (&mut self.dc[n * stride..], &mut self.dr[n * stride..]);
                let (low, high) = (&self.low[row * stride..], &self.high[row * stride..]);
                let (dzc, dzr) = (&mut self.zc[row * stride..], &mut self.dzr[row * stride..]);
                if let Some(b_out) = b_out.first_mut() {
                    *b_out += d;
                }
                for j in 0..hidden {
                    let w = weights.w_out[j];
                    w_out[j] += d * center[j] - s * d * radius[j] * w.signum();
                    let dc = dc[j] + d * w;
                    let dr = dr[j] - s * d * w.abs();
                    let dlow = 0.5 * (dc - dr) * low[j] * (1.0 - low[j]);
                    let dhigh = 0.5 * (dc + dr) * high[j] * (1.0 - high[j]);
                    (dzc[j], dzr[j]) = (dhigh + dlow, dhigh - dlow);
                }
            }
            let now = t * step..(t + 1) * step;
            for (dz, w, dh) in [
                (&self.zc[now.clone()], weights.w_rec, &mut *self.dc),
                (&self.dzr[now.clone()], &*self.absolute, &mut *self.dr),
            ] {
                let dz = MatRef::with_stride(dz, batch, hidden, stride);
                let w = MatRef::with_stride(w, hidden, hidden, stride);
                gemm(1.0, dz, w.t(), 0.0, MatMut::with_stride(dh, batch, hidden, stride));
            }
        }
        let rows = steps * batch;
        let dzr = MatRef::new(self.dzr, rows, stride);
        let product = MatMut::new(self.product, hidden, stride);
        gemm(1.0, units(&self.radii[..rows * stride], self.sizes).t(), dzr, 0.0, product);
        let dzc = MatRef::new(self.zc, rows, stride);
        let w_rec = &mut arena[places.w_rec];
        let sum = MatMut::new(w_rec, hidden, stride);
        gemm(1.0, units(&self.centers[..rows * stride], self.sizes).t(), dzc, 0.0, sum);
        for ((gradient, product), w) in w_rec.iter_mut().zip(&*self.product).zip(weights.w_rec) {
            *gradient += product * w.signum();
        }
        let w_in = MatMut::new(&mut arena[places.w_in], 2, stride);
        gemm(1.0, MatRef::new(x, rows, 2).t(), dzc, 0.0, w_in);
        let biases = &mut arena[places.biases];
        biases.fill(0.0);
        for bias in biases.chunks_exact_mut(stride) {
            for dz in self.zc.chunks_exact(stride) {
                bias.iter_mut().zip(dz).for_each(|(b, dz)| *b += dz);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Network;
    use rand::SeedableRng;
    use rand_xoshiro::Xoshiro256PlusPlus;
    use train::config::Strategy;
    use train::trainer::Trainer;

    /// The forward pass again, in f64 and plain loops, on the arena `w`.
    fn loss(places: &Places, sizes: Sizes, batch: &Batch, w: &[f64], epsilon: f64) -> f64 {
        let Sizes { steps, batch: count, hidden, stride } = sizes;
        let (Inputs::Values(x), Targets::Values(targets)) = (&batch.inputs, &batch.targets) else {
            panic!("values")
        };
        let sigmoid = kernels::reference::sigmoid;
        let (w_in, w_rec, w_out) = (places.w_in.start, places.w_rec.start, places.w_out.start);
        let b_out = if places.b_out.is_empty() { 0.0 } else { w[places.b_out.start] };
        let bias = |j: usize| {
            let both = places.biases.clone().step_by(stride);
            both.map(|start| w[start + j]).sum::<f64>()
        };
        let mut loss = 0.0;
        for n in 0..count {
            let (mut c, mut r) = (vec![0.0; hidden], vec![0.0; hidden]);
            for t in 0..steps {
                let row = t * count + n;
                let bounds: Vec<(f64, f64)> = (0..hidden)
                    .map(|j| {
                        let input = |i: usize| f64::from(x[2 * row + i]) * w[w_in + i * stride + j];
                        let w_rec = |k: usize| w[w_rec + k * stride + j];
                        let zc: f64 = (0..hidden).map(|k| c[k] * w_rec(k)).sum();
                        let zr: f64 = (0..hidden).map(|k| r[k] * w_rec(k).abs()).sum();
                        let zc = zc + input(0) + input(1) + bias(j);
                        (sigmoid(zc - zr), sigmoid(zc + zr))
                    })
                    .collect();
                c = bounds.iter().map(|(low, high)| 0.5 * (low + high)).collect();
                r = bounds.iter().map(|(low, high)| 0.5 * (high - low) + epsilon).collect();
                let s = 2.0 * f64::from(targets[row]) - 1.0;
                let center: f64 = (0..hidden).map(|j| c[j] * w[w_out + j]).sum::<f64>() + b_out;
                let radius: f64 = (0..hidden).map(|j| r[j] * w[w_out + j].abs()).sum();
                loss += (-(s * center - radius)).exp().ln_1p();
            }
        }
        loss / steps as f64
    }

    #[test]
    fn the_interval_gradient_is_that_of_central_differences() {
        for (hidden, bias, seed) in
            [(1, true, 0), (2, false, 1), (5, true, 2), (16, false, 3), (17, true, 4)]
        {
            let config = Ibp::training(hidden, bias, seed);
            let config = RunConfig { task: Ibp::new(4).unwrap(), ..config };
            let model = config.network.config(&config.task).unwrap();
            let mut generator = Xoshiro256PlusPlus::seed_from_u64(seed);
            let mut parameters = Parameters::uniform(model, &mut generator);
            parameters.arena_mut().iter_mut().for_each(|w| *w *= 2.0);
            let mut gradient = Parameters::zeros(model);
            let mut pass = Pass::new(model, generator.clone());
            let mut batch = Batch::default();
            // At the end, where ε is largest.
            let progress = Progress { examples: 100, of: 100, batch: 1, worker: 0, workers: 1 };
            let source = Source { generator: &mut generator, count: 3, progress };
            config.task.draw(source, &mut batch);
            let step = |pass: &mut Pass, gradient: &mut Parameters| {
                config.task.differentiate(pass, &parameters, &batch, progress, gradient)
            };
            gradient.arena_mut().fill(f32::NAN); // written over, whatever was there
            let padding = |gradient: &mut Parameters| {
                let mut values = std::collections::BTreeSet::new();
                model.tensors().iter().for_each(|tensor| values.extend(tensor.indices()));
                (0..gradient.arena().len()).filter(|n| !values.contains(n)).collect::<Vec<_>>()
            };
            let totals = step(&mut pass, &mut gradient);
            let padding = padding(&mut gradient);
            assert!(padding.iter().all(|&n| gradient.arena()[n] == 0.0), "{hidden} units");

            let (places, sizes) = (Places::new(&parameters), Sizes::new(&parameters, &batch));
            let wide: Vec<f64> = parameters.arena().iter().map(|&w| f64::from(w)).collect();
            let epsilon = f64::from(0.05_f32);
            let expected = loss(&places, sizes, &batch, &wide, epsilon);
            assert!((totals.loss - expected).abs() < 1e-6 * expected, "{totals:?} {expected}");
            let largest = gradient.arena().iter().fold(0.0_f32, |most, g| most.max(g.abs()));
            for index in model.tensors().iter().flat_map(|tensor| tensor.indices()) {
                let at = |by: f64| {
                    let mut wide = wide.clone();
                    wide[index] += by;
                    loss(&places, sizes, &batch, &wide, epsilon)
                };
                let expected = (at(1e-5) - at(-1e-5)) / 2e-5;
                let found = f64::from(gradient.arena()[index]);
                let off = (found - expected).abs();
                assert!(off < 2e-5 * f64::from(largest), "{hidden}, {index}: {found} {expected}");
            }
        }
    }

    /// Without a radius IBP is the backpropagation of the binary cross-entropy.
    #[test]
    fn at_epsilon_0_the_gradient_is_that_of_the_model() {
        for (hidden, bias, seed) in [(1, false, 5), (5, true, 6), (16, false, 7), (17, true, 8)] {
            let task = Ibp::new(6).unwrap();
            let model = Ibp::training(hidden, bias, seed).network.config(&task).unwrap();
            let mut generator = Xoshiro256PlusPlus::seed_from_u64(seed);
            let parameters = Parameters::uniform(model, &mut generator);
            let (mut found, mut expected) = (Parameters::zeros(model), Parameters::zeros(model));
            let mut pass = Pass::new(model, generator.clone());
            let mut batch = Batch::default();
            let progress = Progress { examples: 0, of: 100, batch: 1, worker: 0, workers: 1 };
            task.draw(Source { generator: &mut generator, count: 3, progress }, &mut batch);
            task.differentiate(&mut pass, &parameters, &batch, progress, &mut found);

            let (Inputs::Values(x), Targets::Values(targets)) = (&batch.inputs, &batch.targets)
            else {
                panic!("values")
            };
            let mut network = Network::new(model);
            let outputs = network.forward(&parameters, x, 6, 3);
            let dy: Vec<f32> =
                outputs.iter().zip(&targets[..]).map(|(o, y)| (o - y) / 6.0).collect();
            network.backward(&parameters, x, &dy, &mut expected);
            let largest = expected.arena().iter().fold(0.0_f32, |most, g| most.max(g.abs()));
            for (n, (found, expected)) in found.arena().iter().zip(expected.arena()).enumerate() {
                let off = (found - expected).abs();
                assert!(off < 1e-5 * largest, "{hidden} units, {n}: {found} {expected}");
            }
        }
    }

    #[test]
    fn epsilon_grows_between_a_fifth_and_seven_tenths_of_the_examples() {
        let ibp = Ibp::new(12).unwrap();
        let at = |examples, workers| {
            ibp.epsilon_at(Progress { examples, of: 1_000, batch: 1, worker: 0, workers })
        };
        assert_eq!([at(0, 1), at(200, 1), at(700, 1), at(1_000, 1)], [0.0, 0.0, 0.05, 0.05]);
        assert!((at(450, 1) - 0.025).abs() < 1e-6 && (at(225, 2) - 0.025).abs() < 1e-6);
    }

    #[test]
    fn one_worker_of_any_strategy_is_the_serial_one_and_a_state_is_gone_on_from() {
        let short = |name| {
            let mut config = Ibp::training(5, true, 1);
            config.run.examples = 30 * 64;
            config.strategy = StrategyConfig { name, threads: 1, push_every: 1 };
            config
        };
        let mut serial = Trainer::new(&short(Strategy::Serial)).unwrap();
        serial.train(30 * 64);
        for name in Strategy::ALL {
            let config = short(name);
            let mut first = Trainer::new(&config).unwrap();
            first.train(10 * 64);
            let mut second = Trainer::from_state(&config, first.state()).unwrap();
            second.train(20 * 64);
            assert_eq!(second.parameters().arena(), serial.parameters().arena(), "{name:?}");
        }
        let mut two = short(Strategy::Hogwild);
        two.strategy.threads = 2;
        let mut two = Trainer::new(&two).unwrap();
        two.train(30 * 64);
        assert_ne!(two.parameters().arena(), serial.parameters().arena());
        assert!(two.is_finite());
    }
}
