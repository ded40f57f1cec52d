//! The pass of interval bound propagation: a batch of words on intervals of states, forward and
//! backward, for an Elman network with a sigmoid or a softmax head. The formulas are in [`super`],
//! those of the heads in [`weights`](super::weights), of cells with gates in [`gated`].
//!
//! A ReLU has nothing that bounds it, and a network that grows its states makes ε as small as it
//! likes. So `1/2 · mean over T of Σ max(0, hi − BOUND)²` is added to the loss.

use super::auxiliary::{Asked, Room};
use super::gated;
use super::weights::{Places, Weights, backward_of_head, worst};
use kernels::activation::{sigmoid_into, tanh_into};
use kernels::matmul::gemm;
use kernels::matrix::{MatMut, MatRef};
use model::{Cell, Nonlinearity, Parameters};
use train::batch::{Batch, Inputs, Targets};
use train::metrics::Totals;
use train::pass::Pass;

/// The gradient of the worst output's loss over `batch`, and of what the states are asked besides,
/// summed, to `gradient`. The loss that is returned is that of the outputs alone; the error is the
/// sum over T of what the worst output is off.
pub(super) fn differentiate(
    pass: &mut Pass,
    parameters: &Parameters,
    batch: &Batch,
    epsilon: f32,
    asked: Option<&Asked<'_>>,
    gradient: &mut Parameters,
) -> Totals {
    let (Inputs::Values(x), Targets::Values(targets)) = (&batch.inputs, &batch.targets) else {
        panic!("a batch of words holds values");
    };
    if matches!(parameters.config().cell(), Cell::Gru | Cell::Lstm) {
        return gated::differentiate(pass, parameters, batch, epsilon, asked, gradient);
    }
    let sizes = Sizes::new(parameters, batch);
    let mut intervals = Intervals::new(sizes, pass.workspace(sizes.workspace()));
    let weights = Weights::new(parameters);
    let totals = intervals.forward(&weights, x, targets, epsilon);
    intervals.backward(&weights, x, targets, asked, gradient);
    totals
}

/// What a ReLU is pressed below.
const BOUND: f32 = 1.0;

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
    /// I
    inputs: usize,
    /// O
    outputs: usize,
    nonlinearity: Nonlinearity,
}

impl Sizes {
    fn new(parameters: &Parameters, batch: &Batch) -> Self {
        let (steps, batch) = (batch.steps, batch.count);
        let stride = parameters.input_rows().stride;
        let config = parameters.config();
        let Cell::Elman(nonlinearity) = config.cell() else {
            panic!("intervals are of Elman networks, not of {:?}", config.cell());
        };
        let (hidden, inputs, outputs) = (config.hidden(), config.inputs(), config.outputs());
        Self { steps, batch, hidden, stride, inputs, outputs, nonlinearity }
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
            + self.steps * self.batch * self.outputs
            + 2 * self.hidden * self.stride
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
    /// `[T, B, O]`: the gradient of the worst output; of a softmax, of each difference.
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
            d: take(sizes.steps * sizes.batch * sizes.outputs),
            absolute: take(sizes.hidden * sizes.stride),
            product: take(sizes.hidden * sizes.stride),
        }
    }

    /// The loss of the worst outputs, and what the backward pass needs.
    fn forward(
        &mut self,
        weights: &Weights<'_>,
        x: &[f32],
        targets: &[f32],
        epsilon: f32,
    ) -> Totals {
        let Sizes { steps, batch, hidden, stride, inputs, .. } = self.sizes;
        for (absolute, w) in self.absolute.iter_mut().zip(weights.w_rec) {
            *absolute = w.abs();
        }
        let rows = steps * batch;
        let w_in = MatRef::new(weights.w_in, inputs, stride);
        gemm(1.0, MatRef::new(x, rows, inputs), w_in, 0.0, MatMut::new(self.zc, rows, stride));
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
            for (z, bound) in [(&*self.sum, low), (&*self.zr, high)] {
                match self.sizes.nonlinearity {
                    Nonlinearity::Sigmoid => sigmoid_into(z, bound),
                    Nonlinearity::Tanh => tanh_into(z, bound),
                    Nonlinearity::Relu => {
                        bound.iter_mut().zip(z).for_each(|(h, z)| *h = z.max(0.0));
                    }
                }
            }
            let (low, high) = (&self.low[now.clone()], &self.high[now.clone()]);
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
        let states = [&self.centers[step..], &self.radii[step..]];
        let mut totals = worst(weights, (steps, stride, hidden), states, targets, self.d);
        totals.examples = batch as u64;
        totals.loss /= steps as f64;
        totals
    }

    /// The gradient, summed over B, over `gradient`.
    fn backward(
        &mut self,
        weights: &Weights<'_>,
        x: &[f32],
        targets: &[f32],
        asked: Option<&Asked<'_>>,
        gradient: &mut Parameters,
    ) {
        let Sizes { steps, batch, hidden, stride, inputs, outputs, nonlinearity } = self.sizes;
        let (places, step) = (Places::new(gradient), self.sizes.step());
        let arena = gradient.arena_mut();
        arena[places.w_out.start..places.b_out.end].fill(0.0);
        let (w_out, b_out) =
            arena[places.w_out.start..places.b_out.end].split_at_mut(outputs * stride);
        let mut room = Room::default();
        for t in (0..steps).rev() {
            if let Some(asked) = asked {
                let states = &asked.states[t * batch..(t + 1) * batch];
                let now = (t + 1) * step..(t + 2) * step;
                let of = [&self.centers[now.clone()], &self.radii[now]];
                let into = [&mut *self.dc, &mut *self.dr];
                asked.step(of, states, asked.weight / steps as f32, into, &mut room);
            }
            for n in 0..batch {
                let row = t * batch + n;
                let state = (row + batch) * stride;
                let (center, radius) = (&self.centers[state..][..hidden], &self.radii[state..]);
                let (dc, dr) = (&mut self.dc[n * stride..], &mut self.dr[n * stride..]);
                let (low, high) = (&self.low[row * stride..], &self.high[row * stride..]);
                let (dzc, dzr) = (&mut self.zc[row * stride..], &mut self.dzr[row * stride..]);
                let d = &self.d[row * outputs..][..outputs];
                backward_of_head(
                    (weights, stride),
                    (d, targets[row]),
                    [center, &radius[..hidden]],
                    [&mut dc[..hidden], &mut dr[..hidden]],
                    (w_out, b_out),
                );
                // dh times the activation's derivative, by its value h
                let chain = |dh: f32, h: f32| match nonlinearity {
                    Nonlinearity::Sigmoid => dh * h * (1.0 - h),
                    Nonlinearity::Tanh => dh * (1.0 - h * h),
                    Nonlinearity::Relu if h > 0.0 => dh,
                    Nonlinearity::Relu => 0.0,
                };
                let pressed = |high: f32| match nonlinearity {
                    Nonlinearity::Relu => (high - BOUND).max(0.0) / steps as f32,
                    _ => 0.0,
                };
                for j in 0..hidden {
                    let dlow = chain(0.5 * (dc[j] - dr[j]), low[j]);
                    let dhigh = chain(0.5 * (dc[j] + dr[j]) + pressed(high[j]), high[j]);
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
        let w_in = MatMut::new(&mut arena[places.w_in], inputs, stride);
        gemm(1.0, MatRef::new(x, rows, inputs).t(), dzc, 0.0, w_in);
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
    use super::super::auxiliary::{self, Codes};
    use super::*;
    use model::{Architecture, Config, Head, HeadActivation, HeadSteps};
    use rand::{RngExt, SeedableRng};
    use rand_xoshiro::Xoshiro256PlusPlus;

    /// The forward pass again, in f64 and plain loops, on the arena `w`: the loss of the outputs, of
    /// what the states are asked, and of what is pressed.
    fn losses(
        (places, sizes): (&Places, Sizes),
        batch: &Batch,
        asked: &Asked<'_>,
        w: &[f64],
        epsilon: f64,
    ) -> [f64; 3] {
        let Sizes { steps, batch: count, hidden, stride, inputs, outputs, nonlinearity } = sizes;
        let (Inputs::Values(x), Targets::Values(targets)) = (&batch.inputs, &batch.targets) else {
            panic!("values")
        };
        let f = |z: f64| match nonlinearity {
            Nonlinearity::Sigmoid => kernels::reference::sigmoid(z),
            Nonlinearity::Tanh => z.tanh(),
            Nonlinearity::Relu => z.max(0.0),
        };
        let (w_in, w_rec, w_out) = (places.w_in.start, places.w_rec.start, places.w_out.start);
        let b_out = |k: usize| match places.b_out.is_empty() {
            true => 0.0,
            false => w[places.b_out.start + k],
        };
        let bias = |j: usize| {
            let both = places.biases.clone().step_by(stride);
            both.map(|start| w[start + j]).sum::<f64>()
        };
        let [mut loss, mut states, mut pressed] = [0.0; 3];
        for n in 0..count {
            let (mut c, mut r) = (vec![0.0; hidden], vec![0.0; hidden]);
            for t in 0..steps {
                let row = t * count + n;
                let bounds: Vec<(f64, f64)> = (0..hidden)
                    .map(|j| {
                        let input =
                            |i: usize| f64::from(x[inputs * row + i]) * w[w_in + i * stride + j];
                        let w_rec = |k: usize| w[w_rec + k * stride + j];
                        let zc: f64 = (0..hidden).map(|k| c[k] * w_rec(k)).sum();
                        let zr: f64 = (0..hidden).map(|k| r[k] * w_rec(k).abs()).sum();
                        let zc = zc + (0..inputs).map(input).sum::<f64>() + bias(j);
                        (f(zc - zr), f(zc + zr))
                    })
                    .collect();
                c = bounds.iter().map(|(low, high)| 0.5 * (low + high)).collect();
                r = bounds.iter().map(|(low, high)| 0.5 * (high - low) + epsilon).collect();
                if nonlinearity == Nonlinearity::Relu {
                    let over = bounds.iter().map(|(_, high)| (high - f64::from(BOUND)).max(0.0));
                    pressed += over.map(|over| 0.5 * over * over).sum::<f64>();
                }
                let right = targets[row] as usize;
                // of a sigmoid, the other output is −w and −b, half of each
                let of = |k: usize, j: usize| match outputs {
                    1 => (k as f64 - 0.5) * w[w_out + j],
                    _ => w[w_out + k * stride + j],
                };
                let bias_of = |k: usize| match outputs {
                    1 => (k as f64 - 0.5) * b_out(0),
                    _ => b_out(k),
                };
                let worst = |k: usize| {
                    let units = (0..hidden).map(|j| {
                        let difference = of(k, j) - of(right, j);
                        c[j] * difference + r[j] * difference.abs()
                    });
                    units.sum::<f64>() + bias_of(k) - bias_of(right)
                };
                let others = (0..outputs.max(2)).filter(|&k| k != right);
                loss += others.map(|k| worst(k).exp()).sum::<f64>().ln_1p();
                states += auxiliary::reference(asked.codes, &c, &r, asked.states[row] as usize);
            }
        }
        [loss, f64::from(asked.weight) * states, pressed].map(|loss| loss / steps as f64)
    }

    #[test]
    fn the_interval_gradient_is_that_of_central_differences() {
        let mut generator = Xoshiro256PlusPlus::seed_from_u64(0);
        let mut is_pressed = false;
        for (hidden, bias, nonlinearity, inputs, outputs) in [
            (1, true, Nonlinearity::Sigmoid, 2, 1),
            (2, false, Nonlinearity::Sigmoid, 2, 1),
            (5, true, Nonlinearity::Sigmoid, 1, 3),
            (16, false, Nonlinearity::Sigmoid, 2, 1),
            (17, true, Nonlinearity::Sigmoid, 4, 1),
            (5, true, Nonlinearity::Tanh, 3, 4),
            (16, false, Nonlinearity::Tanh, 1, 1),
            (17, true, Nonlinearity::Tanh, 2, 17),
            (5, true, Nonlinearity::Relu, 3, 1),
            (8, false, Nonlinearity::Relu, 2, 5),
            (17, true, Nonlinearity::Relu, 10, 3),
        ] {
            let activation =
                if outputs == 1 { HeadActivation::Sigmoid } else { HeadActivation::Identity };
            let head = Head { outputs, bias, steps: HeadSteps::Every, activation };
            let cell = Cell::Elman(nonlinearity);
            let architecture = Architecture::new(cell, inputs, hidden);
            let model =
                Config::new(Architecture { bias, head: Some(head), ..architecture }).unwrap();
            let mut parameters = Parameters::uniform(model, &mut generator);
            let scale = if nonlinearity == Nonlinearity::Relu { 0.5 } else { 2.0 };
            parameters.arena_mut().iter_mut().for_each(|w| *w *= scale);
            let mut pass = Pass::new(model, generator.clone());
            let mut batch = Batch::default();
            let (x, targets) = batch.values((4, 3), inputs, 1);
            x.iter_mut().for_each(|x| *x = generator.random_range(-1.0..=1.0));
            let mut output = || generator.random_range(0..outputs.max(2)) as f32;
            targets.iter_mut().for_each(|y| *y = output());
            let (places, sizes) = (Places::new(&parameters), Sizes::new(&parameters, &batch));
            let codes = Codes::new(3, (hidden, sizes.stride), 0.5);
            let states: Vec<u32> = (0..4 * 3).map(|_| generator.random_range(0..3)).collect();
            let question = Asked { codes: &codes, states: &states, weight: 0.7 };
            let epsilon = f64::from(0.05_f32);
            let wide: Vec<f64> = parameters.arena().iter().map(|&w| f64::from(w)).collect();
            for asked in [None, Some(&question)] {
                let mut gradient = Parameters::zeros(model);
                gradient.arena_mut().fill(f32::NAN); // written over, whatever was there
                let (pass, gradient) = (&mut pass, &mut gradient);
                let totals = differentiate(pass, &parameters, &batch, 0.05, asked, gradient);
                let mut values = std::collections::BTreeSet::new();
                model.tensors().iter().for_each(|tensor| values.extend(tensor.indices()));
                let mut padding = (0..gradient.arena().len()).filter(|n| !values.contains(n));
                assert!(padding.all(|n| gradient.arena()[n] == 0.0), "{hidden} units");

                let losses = |w: &[f64]| losses((&places, sizes), &batch, &question, w, epsilon);
                let [expected, _, pressed] = losses(&wide);
                is_pressed |= pressed > 0.0;
                assert!((totals.loss - expected).abs() < 2e-6 * expected, "{totals:?} {expected}");
                let largest = gradient.arena().iter().fold(0.0_f32, |most, g| most.max(g.abs()));
                for index in model.tensors().iter().flat_map(|tensor| tensor.indices()) {
                    let at = |by: f64| {
                        let mut wide = wide.clone();
                        wide[index] += by;
                        let [outputs, states, pressed] = losses(&wide);
                        outputs + pressed + if asked.is_some() { states } else { 0.0 }
                    };
                    let expected = (at(1e-5) - at(-1e-5)) / 2e-5;
                    let found = f64::from(gradient.arena()[index]);
                    let off = (found - expected).abs();
                    let name = format!("{hidden} {nonlinearity:?} {outputs}, {index}");
                    assert!(off < 2e-5 * f64::from(largest), "{name}: {found} {expected}");
                }
            }
        }
        assert!(is_pressed, "of some ReLU");
    }
}
