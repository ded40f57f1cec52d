//! The pass of interval bound propagation of a GRU or an LSTM with a sigmoid or a softmax head. The
//! head, ε and the loss are those of [`super`]; between them a state's interval, center c and radius
//! r, is taken through the gates. Each bound follows from bounds alone: `a·b` for a in [0, 1] is
//! least at the end of a that the sign of b says.
//!
//! ```text
//! sums   x = x[t]·W_in + b_in (a point)   [m, M] = c·W_rec + b_rec ∓ r·|W_rec|     for each gate
//! GRU    [r, R] = σ(x + [m, M])   [z, Z] likewise   [n, N] = tanh(x + least, most of r·m)
//!        low = n + z·(h − n)   high = N + Z·(H − N)       z or Z, whichever is worse; h = c − r, H = c + r
//! LSTM   i, f, o likewise by σ, g by tanh     of the cell k, K the bounds before:
//!        low_c = f·k + i·g   high_c = f·K + i·G   low = o·tanh(low_c)   high = o·tanh(high_c)
//! then   c = (high + low)/2   r = (high − low)/2 + ε      of an LSTM's cell, too
//! ```
//!
//! An LSTM's cell is a sum that nothing bounds where f is 1, and a proof has to bound it. So
//! `FORGET/2 · mean over T of Σ max(0, F − ¾)²` is added to the loss, F the upper bound of f: with
//! f up to ¾, no |c| is above 4. The same for Z of a GRU: where z is 1, an interval never gets
//! narrower, and in the few steps of a training that costs nothing yet.
//!
//! The backward pass is the chain rule from the last line up; which end of a gate was taken is seen
//! again from the values that were kept.

use super::auxiliary::{Asked, Room};
use super::weights::{Places, Weights, backward_of_head, worst};
use kernels::activation::{sigmoid_into, tanh_into};
use kernels::matmul::gemm;
use kernels::matrix::{MatMut, MatRef};
use model::{Cell, Parameters};
use train::batch::{Batch, Inputs, Targets};
use train::metrics::Totals;
use train::pass::Pass;

/// What it counts that a gate that keeps (f, z) is above …
const FORGET: f32 = 20.0;
/// … this.
const KEPT: f32 = 0.75;
/// Units whose gates are neighbours in a row.
const GROUP: usize = 16;
type Group = [f32; GROUP];

/// The gradient of the worst output's loss over `batch`, as
/// [`intervals::differentiate`](super::intervals::differentiate).
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
    let sizes = Sizes::new(parameters, batch);
    let mut intervals = Intervals::new(sizes, pass.workspace(sizes.workspace()));
    let weights = Weights::new(parameters);
    let totals = intervals.forward(&weights, x, targets, epsilon);
    intervals.backward(&weights, x, targets, asked, gradient);
    totals
}

/// The sizes of a pass.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    cell: Cell,
    /// T
    steps: usize,
    /// B
    batch: usize,
    /// H
    hidden: usize,
    /// S, from one row of units to the next.
    stride: usize,
    /// G·S, from one row of gates to the next.
    gates: usize,
    /// I
    inputs: usize,
    /// O
    outputs: usize,
}

impl Sizes {
    fn new(parameters: &Parameters, batch: &Batch) -> Self {
        let config = parameters.config();
        let (hidden, gates) = (config.hidden(), parameters.input_rows().stride);
        Self {
            cell: config.cell(),
            steps: batch.steps,
            batch: batch.count,
            hidden,
            stride: hidden.next_multiple_of(GROUP),
            gates,
            inputs: config.inputs(),
            outputs: config.outputs(),
        }
    }

    /// Values of `[B, S]`.
    fn step(&self) -> usize {
        self.batch * self.stride
    }

    /// Values of `[T, B, G·S]`.
    fn all_gates(&self) -> usize {
        self.steps * self.batch * self.gates
    }

    /// Values of all of [`Intervals`].
    fn workspace(&self) -> usize {
        let states = (self.steps + 1) * self.step();
        5 * self.all_gates()
            + 6 * states
            + 4 * self.step()
            + self.steps * self.batch * self.outputs
            + 2 * self.hidden * self.gates
    }
}

/// Center and radius, or low and high, or the gradients of these.
type Two<'a> = [&'a mut [f32]; 2];

/// The intervals of a pass, in rows of S or G·S values of which the padding is zero in all that
/// matters.
struct Intervals<'a> {
    sizes: Sizes,
    /// `[T + 1, B, S]` each: c[t − 1] and r[t − 1], from zeros on …
    h: Two<'a>,
    /// … the same of the cell of an LSTM …
    c: Two<'a>,
    /// … and the bounds of its tanh.
    tanh: Two<'a>,
    /// `[T, B, G·S]`: `x·W_in + b_in`, then dx.
    x: &'a mut [f32],
    /// `[T, B, G·S]` each: center and radius of the sums of states, then their gradients.
    sums: Two<'a>,
    /// `[T, B, G·S]` each: the bounds of the gates.
    gates: Two<'a>,
    /// `[B, S]` each.
    dh: Two<'a>,
    dc: Two<'a>,
    /// `[T, B, O]`: the gradient of the worst output; of a softmax, of each difference.
    d: &'a mut [f32],
    /// `[H, G·S]`: |W_rec|, and a product.
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
        let (gates, step) = (sizes.all_gates(), sizes.step());
        let states = (sizes.steps + 1) * step;
        Self {
            sizes,
            h: [take(states), take(states)],
            c: [take(states), take(states)],
            tanh: [take(states), take(states)],
            x: take(gates),
            sums: [take(gates), take(gates)],
            gates: [take(gates), take(gates)],
            dh: [take(step), take(step)],
            dc: [take(step), take(step)],
            d: take(sizes.steps * sizes.batch * sizes.outputs),
            absolute: take(sizes.hidden * sizes.gates),
            product: take(sizes.hidden * sizes.gates),
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
        let Sizes { steps, batch, hidden, stride, gates, inputs, .. } = self.sizes;
        for (absolute, w) in self.absolute.iter_mut().zip(weights.w_rec) {
            *absolute = w.abs();
        }
        let rows = steps * batch;
        let w_in = MatRef::new(weights.w_in, inputs, gates);
        gemm(1.0, MatRef::new(x, rows, inputs), w_in, 0.0, MatMut::new(self.x, rows, gates));
        if let Some([b_in, b_rec]) = weights.biases {
            for (x, sum) in self.x.chunks_exact_mut(gates).zip(self.sums[0].chunks_exact_mut(gates))
            {
                x.iter_mut().zip(b_in).for_each(|(x, b)| *x += b);
                sum.copy_from_slice(b_rec);
            }
        }
        for t in 0..steps {
            let before = t * self.sizes.step();
            for (n, w) in [weights.w_rec, &*self.absolute].into_iter().enumerate() {
                let h = &self.h[n][before..before + self.sizes.step()];
                let sum = &mut self.sums[n][t * batch * gates..][..batch * gates];
                let h = MatRef::with_stride(h, batch, hidden, stride);
                let w = MatRef::new(w, hidden, gates);
                gemm(1.0, h, w, 1.0, MatMut::new(sum, batch, gates));
            }
            for n in 0..batch {
                self.forward_row(t * batch + n, epsilon);
            }
        }
        let step = self.sizes.step();
        let states = [&self.h[0][step..], &self.h[1][step..]];
        let mut totals = worst(weights, (steps, stride, hidden), states, targets, self.d);
        totals.examples = batch as u64;
        totals.loss /= steps as f64;
        totals
    }

    /// The gates of row `row` of `[T·B]`, and the state after them.
    fn forward_row(&mut self, row: usize, epsilon: f32) {
        let Sizes { batch, hidden, stride, gates, cell, .. } = self.sizes;
        let (now, next) = (row * stride, (row + batch) * stride);
        let count = gates / stride;
        for first in (0..stride).step_by(GROUP) {
            let place = row * gates + first * count;
            let [center, radius] = [0, 1].map(|n| &self.sums[n][place..][..count * GROUP]);
            let x = &self.x[place..][..count * GROUP];
            let [low, high] =
                self.gates.each_mut().map(|bounds| &mut bounds[place..][..count * GROUP]);
            // the arguments of all gates, then the gates
            for n in 0..count * GROUP {
                low[n] = x[n] + center[n] - radius[n];
                high[n] = x[n] + center[n] + radius[n];
            }
            let before = |of: &Two<'_>| -> [Group; 2] {
                let [c, r] = [0, 1].map(|n| group(&of[n][now + first..]));
                [zip(&c, &r, |c, r| c - r), zip(&c, &r, |c, r| c + r)]
            };
            let after = match cell {
                Cell::Gru => {
                    let gates = 2 * GROUP;
                    sigmoids(&mut low[..gates]);
                    sigmoids(&mut high[..gates]);
                    for l in 0..GROUP {
                        let n = gates + l;
                        let (m, most) = (center[n] - radius[n], center[n] + radius[n]);
                        low[n] = x[n] + m * if m >= 0.0 { low[l] } else { high[l] };
                        high[n] = x[n] + most * if most >= 0.0 { high[l] } else { low[l] };
                    }
                    tanhs(&mut low[gates..]);
                    tanhs(&mut high[gates..]);
                    let [h, most] = before(&self.h);
                    let (z, n): (Group, Group) = (group(&low[GROUP..]), group(&low[gates..]));
                    let (z_high, n_high): (Group, Group) =
                        (group(&high[GROUP..]), group(&high[gates..]));
                    std::array::from_fn::<_, 2, _>(|end| {
                        std::array::from_fn(|l| {
                            let (h, n) = if end == 0 { (h[l], n[l]) } else { (most[l], n_high[l]) };
                            let worse = (h < n) == (end == 0);
                            n + (h - n) * if worse { z_high[l] } else { z[l] }
                        })
                    })
                }
                _ => {
                    for bounds in [&mut *low, &mut *high] {
                        sigmoids(&mut bounds[..2 * GROUP]);
                        tanhs(&mut bounds[2 * GROUP..3 * GROUP]);
                        sigmoids(&mut bounds[3 * GROUP..]);
                    }
                    let [k, most] = before(&self.c);
                    let c: [Group; 2] = std::array::from_fn(|end| {
                        std::array::from_fn(|l| {
                            let gate = |n: usize, of: f32| {
                                let is_low = (of >= 0.0) == (end == 0);
                                of * if is_low { low[n * GROUP + l] } else { high[n * GROUP + l] }
                            };
                            let (k, bounds) =
                                if end == 0 { (k[l], &*low) } else { (most[l], &*high) };
                            gate(1, k) + gate(0, bounds[2 * GROUP + l])
                        })
                    });
                    for (end, c) in c.iter().enumerate() {
                        tanh_into(c, &mut self.tanh[end][now + first..][..GROUP]);
                    }
                    let of = (next + first, hidden.saturating_sub(first).min(GROUP), epsilon);
                    put(&mut self.c, of, &c);
                    std::array::from_fn(|end| {
                        let tanh: Group = group(&self.tanh[end][now + first..]);
                        std::array::from_fn(|l| {
                            let is_low = (tanh[l] >= 0.0) == (end == 0);
                            tanh[l] * if is_low { low[3 * GROUP + l] } else { high[3 * GROUP + l] }
                        })
                    })
                }
            };
            let of = (next + first, hidden.saturating_sub(first).min(GROUP), epsilon);
            put(&mut self.h, of, &after);
        }
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
        let Sizes { steps, batch, hidden, stride, gates, inputs, outputs, .. } = self.sizes;
        let places = Places::new(gradient);
        let arena = gradient.arena_mut();
        arena[places.w_out.start..places.b_out.end].fill(0.0);
        let (w_out, b_out) =
            arena[places.w_out.start..places.b_out.end].split_at_mut(outputs * stride);
        let mut room = Room::default();
        for t in (0..steps).rev() {
            if let Some(asked) = asked {
                let states = &asked.states[t * batch..(t + 1) * batch];
                let now = (t + 1) * batch * stride..(t + 2) * batch * stride;
                let of = self.h.each_ref().map(|part| &part[now.clone()]);
                let into = self.dh.each_mut().map(|part| &mut **part);
                asked.step(of, states, asked.weight / steps as f32, into, &mut room);
            }
            for n in 0..batch {
                let row = t * batch + n;
                let state = (row + batch) * stride;
                let state = self.h.each_ref().map(|part| &part[state..][..hidden]);
                let [dc, dr] = self.dh.each_mut().map(|part| &mut part[n * stride..][..hidden]);
                let d = &self.d[row * outputs..][..outputs];
                backward_of_head(
                    (weights, stride),
                    (d, targets[row]),
                    state,
                    [dc, dr],
                    (w_out, b_out),
                );
                self.backward_row(row, n);
            }
            for (n, w) in [weights.w_rec, &*self.absolute].into_iter().enumerate() {
                let dsum = &self.sums[n][t * batch * gates..][..batch * gates];
                let w = MatRef::new(w, hidden, gates);
                let dh = MatMut::with_stride(self.dh[n], batch, hidden, stride);
                gemm(1.0, MatRef::new(dsum, batch, gates), w.t(), 1.0, dh);
            }
        }
        let rows = steps * batch;
        let units = |states| MatRef::with_stride(states, rows, hidden, stride);
        let [dcenter, dradius] = self.sums.each_ref().map(|part| MatRef::new(part, rows, gates));
        let states = self.h.each_ref().map(|part| &part[..rows * stride]);
        gemm(1.0, units(states[1]).t(), dradius, 0.0, MatMut::new(self.product, hidden, gates));
        let w_rec = &mut arena[places.w_rec];
        gemm(1.0, units(states[0]).t(), dcenter, 0.0, MatMut::new(w_rec, hidden, gates));
        for ((gradient, product), w) in w_rec.iter_mut().zip(&*self.product).zip(weights.w_rec) {
            *gradient += product * w.signum();
        }
        let dx = MatRef::new(self.x, rows, gates);
        let w_in = MatMut::new(&mut arena[places.w_in], inputs, gates);
        gemm(1.0, MatRef::new(x, rows, inputs).t(), dx, 0.0, w_in);
        let biases = &mut arena[places.biases];
        biases.fill(0.0);
        for (bias, d) in biases.chunks_exact_mut(gates).zip([&*self.x, &*self.sums[0]]) {
            for d in d.chunks_exact(gates) {
                bias.iter_mut().zip(d).for_each(|(b, d)| *b += d);
            }
        }
    }

    /// From the gradient of the state after row `row`, which is sequence `n` of a step, to that of
    /// its sums; what is left in `dh` and `dc` is of the state before, but for its sums.
    fn backward_row(&mut self, row: usize, n: usize) {
        let Sizes { steps, stride, gates, cell, .. } = self.sizes;
        let (now, at, count) = (row * stride, n * stride, gates / stride);
        let pressed = |kept: f32| FORGET / steps as f32 * (kept - KEPT).max(0.0);
        for first in (0..stride).step_by(GROUP) {
            let place = row * gates + first * count;
            let [low, high] = self.gates.each_ref().map(|part| &part[place..][..count * GROUP]);
            let [center, radius] =
                self.sums.each_mut().map(|part| &mut part[place..][..count * GROUP]);
            let x = &mut self.x[place..][..count * GROUP];
            let [dh_center, dh_radius] =
                self.dh.each_mut().map(|part| &mut part[at + first..][..GROUP]);
            for l in 0..GROUP {
                let gate = |n: usize| [low[n * GROUP + l], high[n * GROUP + l]];
                let dends = |d: [f32; 2]| [0.5 * (d[0] - d[1]), 0.5 * (d[0] + d[1])];
                let ends = |part: &Two<'_>| {
                    let [c, r] = [part[0][now + first + l], part[1][now + first + l]];
                    [c - r, c + r]
                };
                // of the two ends of a value, the gradients
                let dh = dends([dh_center[l], dh_radius[l]]);
                let mut dgates = [[0.0_f32; 2]; 4];
                match cell {
                    Cell::Gru => {
                        let [r, z, n] = [gate(0), gate(1), gate(2)];
                        let h = ends(&self.h);
                        let inner = 2 * GROUP + l;
                        let m = [center[inner] - radius[inner], center[inner] + radius[inner]];
                        let (mut dh_before, mut dm, mut dargument) = ([0.0; 2], [0.0; 2], 0.0);
                        dgates[1][1] = pressed(z[1]);
                        for end in 0..2 {
                            let taken = usize::from((h[end] < n[end]) == (end == 0));
                            let dn = dh[end] * (1.0 - z[taken]);
                            dh_before[end] = dh[end] * z[taken];
                            dgates[1][taken] += dh[end] * (h[end] - n[end]);
                            let d = dn * (1.0 - n[end] * n[end]);
                            dargument += d;
                            let taken = usize::from((m[end] >= 0.0) != (end == 0));
                            dm[end] = d * r[taken];
                            dgates[0][taken] += d * m[end];
                        }
                        for (n, of) in [r, z].into_iter().enumerate() {
                            let [a, b] =
                                [0, 1].map(|end| dgates[n][end] * of[end] * (1.0 - of[end]));
                            let n = n * GROUP + l;
                            (x[n], center[n], radius[n]) = (a + b, a + b, b - a);
                        }
                        x[inner] = dargument;
                        (center[inner], radius[inner]) = (dm[0] + dm[1], dm[1] - dm[0]);
                        dh_center[l] = dh_before[0] + dh_before[1];
                        dh_radius[l] = dh_before[1] - dh_before[0];
                    }
                    _ => {
                        let [i, f, g, o] = [gate(0), gate(1), gate(2), gate(3)];
                        let k = ends(&self.c);
                        let [dc_center, dc_radius] =
                            self.dc.each_mut().map(|part| &mut part[at + first + l]);
                        let mut dc = dends([*dc_center, *dc_radius]);
                        dgates[1][1] = pressed(f[1]);
                        for end in 0..2 {
                            let tanh = self.tanh[end][now + first + l];
                            let taken = usize::from((tanh >= 0.0) != (end == 0));
                            dgates[3][taken] += dh[end] * tanh;
                            dc[end] += dh[end] * o[taken] * (1.0 - tanh * tanh);
                            let taken = usize::from((k[end] >= 0.0) != (end == 0));
                            dgates[1][taken] += dc[end] * k[end];
                            let dk = dc[end] * f[taken];
                            let taken = usize::from((g[end] >= 0.0) != (end == 0));
                            dgates[0][taken] += dc[end] * g[end];
                            dgates[2][end] = dc[end] * i[taken];
                            dc[end] = dk;
                        }
                        (*dc_center, *dc_radius) = (dc[0] + dc[1], dc[1] - dc[0]);
                        for (n, of) in [i, f, g, o].into_iter().enumerate() {
                            let [a, b] = [0, 1].map(|end| {
                                let slope = match n {
                                    2 => 1.0 - of[end] * of[end],
                                    _ => of[end] * (1.0 - of[end]),
                                };
                                dgates[n][end] * slope
                            });
                            let n = n * GROUP + l;
                            (x[n], center[n], radius[n]) = (a + b, a + b, b - a);
                        }
                        (dh_center[l], dh_radius[l]) = (0.0, 0.0);
                    }
                }
            }
        }
    }
}

/// The first 16 values.
fn group(values: &[f32]) -> Group {
    values[..GROUP].try_into().expect("as many")
}

fn zip(a: &Group, b: &Group, of: impl Fn(f32, f32) -> f32) -> Group {
    std::array::from_fn(|l| of(a[l], b[l]))
}

fn sigmoids(values: &mut [f32]) {
    let mut z = [0.0; 2 * GROUP];
    let z = &mut z[..values.len()];
    z.copy_from_slice(values);
    sigmoid_into(z, values);
}

fn tanhs(values: &mut [f32]) {
    let mut z = [0.0; GROUP];
    z.copy_from_slice(values);
    tanh_into(&z, values);
}

/// Writes center and radius of `count` units, from `start` on, from their bounds.
fn put(to: &mut Two<'_>, (start, count, epsilon): (usize, usize, f32), [low, high]: &[Group; 2]) {
    let [center, radius] = to.each_mut().map(|part| &mut part[start..][..count]);
    for l in 0..count {
        center[l] = 0.5 * (high[l] + low[l]);
        radius[l] = 0.5 * (high[l] - low[l]) + epsilon;
    }
}

#[cfg(test)]
mod tests {
    use super::super::auxiliary::{self, Codes};
    use super::*;
    use model::{Architecture, Config, Head, HeadActivation, HeadSteps};
    use rand::{RngExt, SeedableRng};
    use rand_xoshiro::Xoshiro256PlusPlus;
    use std::collections::HashMap;

    fn sigmoid(z: f64) -> f64 {
        1.0 / (1.0 + (-z).exp())
    }

    fn product([a, b]: [f64; 2], [c, d]: [f64; 2]) -> [f64; 2] {
        let ends = [a * c, a * d, b * c, b * d];
        [ends.into_iter().fold(f64::MAX, f64::min), ends.into_iter().fold(f64::MIN, f64::max)]
    }

    /// The forward pass again, in f64, from PyTorch's tensors in `w`, by all ends of all products: the
    /// loss of the outputs, of what the states are asked, and of the gates that keep.
    fn losses(
        sizes: Sizes,
        batch: &Batch,
        asked: &Asked<'_>,
        w: &HashMap<String, Vec<f64>>,
        epsilon: f64,
    ) -> [f64; 3] {
        let Sizes { steps, batch: count, hidden, inputs, outputs, cell, .. } = sizes;
        let (Inputs::Values(x), Targets::Values(targets)) = (&batch.inputs, &batch.targets) else {
            panic!("values")
        };
        let bias = |name: &str, n: usize| w.get(name).map_or(0.0, |b| b[n]);
        let [mut loss, mut states, mut kept] = [0.0; 3];
        for n in 0..count {
            let mut h = vec![[0.0; 2]; hidden];
            let mut c = h.clone();
            let widened = |[low, high]: [f64; 2]| [low - epsilon, high + epsilon];
            for t in 0..steps {
                let row = t * count + n;
                let of_x = |sum: usize| {
                    let w = &w["weight_ih_l0"][sum * inputs..];
                    let products = (0..inputs).map(|i| w[i] * f64::from(x[inputs * row + i]));
                    products.sum::<f64>() + bias("bias_ih_l0", sum)
                };
                let of_h = |sum: usize| {
                    let w = &w["weight_hh_l0"][sum * hidden..][..hidden];
                    let b = bias("bias_hh_l0", sum);
                    w.iter().zip(&h).fold([b; 2], |[low, high], (&w, &h)| {
                        let [a, b] = product([w; 2], h);
                        [low + a, high + b]
                    })
                };
                let plus = |[a, b]: [f64; 2], [c, d]: [f64; 2]| [a + c, b + d];
                let next: Vec<[[f64; 2]; 3]> = (0..hidden)
                    .map(|j| {
                        let sum = |gate: usize| {
                            let sum = gate * hidden + j;
                            plus([of_x(sum); 2], of_h(sum))
                        };
                        if cell == Cell::Gru {
                            let [r, z] = [0, 1].map(|gate| sum(gate).map(sigmoid));
                            let inner = product(r, of_h(2 * hidden + j));
                            let n = plus([of_x(2 * hidden + j); 2], inner).map(f64::tanh);
                            let mean = |end: usize| z.map(|z| n[end] + z * (h[j][end] - n[end]));
                            let ([a, b], [c, d]) = (mean(0), mean(1));
                            return [widened([a.min(b), c.max(d)]), [0.0; 2], z];
                        }
                        let [i, f, o] = [0, 1, 3].map(|gate| sum(gate).map(sigmoid));
                        let after = plus(product(f, c[j]), product(i, sum(2).map(f64::tanh)));
                        let state = product(o, after.map(f64::tanh));
                        [widened(state), widened(after), f]
                    })
                    .collect();
                h = next.iter().map(|next| next[0]).collect();
                c = next.iter().map(|next| next[1]).collect();
                let over = |next: &[[f64; 2]; 3]| (next[2][1] - f64::from(KEPT)).max(0.0).powi(2);
                kept += 0.5 * f64::from(FORGET) * next.iter().map(over).sum::<f64>();
                let right = targets[row] as usize;
                // of a sigmoid, the other output is −w and −b, half of each
                let of = |k: usize, j: usize| match outputs {
                    1 => (k as f64 - 0.5) * w["head.weight"][j],
                    _ => w["head.weight"][k * hidden + j],
                };
                let bias_of = |k: usize| match outputs {
                    1 => (k as f64 - 0.5) * bias("head.bias", 0),
                    _ => bias("head.bias", k),
                };
                let worst = |k: usize| {
                    let units = (0..hidden).map(|j| {
                        let difference = of(k, j) - of(right, j);
                        product([difference; 2], h[j])[1]
                    });
                    units.sum::<f64>() + bias_of(k) - bias_of(right)
                };
                let others = (0..outputs.max(2)).filter(|&k| k != right);
                loss += others.map(|k| worst(k).exp()).sum::<f64>().ln_1p();
                let of = |sign: f64| -> Vec<f64> {
                    h.iter().map(|[low, high]| 0.5 * (high + sign * low)).collect()
                };
                let (c, r) = (of(1.0), of(-1.0));
                states += auxiliary::reference(asked.codes, &c, &r, asked.states[row] as usize);
            }
        }
        [loss, f64::from(asked.weight) * states, kept].map(|loss| loss / steps as f64)
    }

    #[test]
    fn the_interval_gradient_is_that_of_central_differences() {
        let mut generator = Xoshiro256PlusPlus::seed_from_u64(0);
        for (cell, hidden, bias, inputs, outputs) in [
            (Cell::Gru, 1, true, 2, 1),
            (Cell::Gru, 5, false, 3, 4),
            (Cell::Gru, 16, true, 2, 1),
            (Cell::Gru, 17, true, 1, 3),
            (Cell::Lstm, 1, true, 2, 1),
            (Cell::Lstm, 5, false, 3, 4),
            (Cell::Lstm, 16, true, 2, 1),
            (Cell::Lstm, 17, true, 1, 3),
        ] {
            let activation =
                if outputs == 1 { HeadActivation::Sigmoid } else { HeadActivation::Identity };
            let head = Head { outputs, bias, steps: HeadSteps::Every, activation };
            let layer = Architecture::new(cell, inputs, hidden);
            let model = Config::new(Architecture { bias, head: Some(head), ..layer }).unwrap();
            let mut parameters = Parameters::uniform(model, &mut generator);
            parameters.arena_mut().iter_mut().for_each(|w| *w *= 1.5);
            let mut gradient = Parameters::zeros(model);
            let mut pass = Pass::new(model, generator.clone());
            let mut batch = Batch::default();
            let (x, targets) = batch.values((4, 3), inputs, 1);
            x.iter_mut().for_each(|x| *x = generator.random_range(-1.0..=1.0));
            let mut output = || generator.random_range(0..outputs.max(2)) as f32;
            targets.iter_mut().for_each(|y| *y = output());
            let sizes = Sizes::new(&parameters, &batch);
            let wide: HashMap<String, Vec<f64>> = model
                .tensors()
                .iter()
                .map(|tensor| {
                    let values = tensor.indices().map(|n| f64::from(parameters.arena()[n]));
                    (tensor.name().to_owned(), values.collect())
                })
                .collect();
            let codes = Codes::new(3, (hidden, sizes.stride), 0.0);
            let states: Vec<u32> = (0..4 * 3).map(|_| generator.random_range(0..3)).collect();
            let question = Asked { codes: &codes, states: &states, weight: 0.7 };
            let epsilon = f64::from(0.05_f32);
            for asked in [None, Some(&question)] {
                gradient.arena_mut().fill(f32::NAN); // written over, whatever was there
                let into = &mut gradient;
                let totals = differentiate(&mut pass, &parameters, &batch, 0.05, asked, into);
                let mut values = std::collections::BTreeSet::new();
                model.tensors().iter().for_each(|tensor| values.extend(tensor.indices()));
                let mut padding = (0..gradient.arena().len()).filter(|n| !values.contains(n));
                assert!(padding.all(|n| gradient.arena()[n] == 0.0), "{hidden} units");
                let losses = |w: &_| losses(sizes, &batch, &question, w, epsilon);
                let expected = losses(&wide)[0];
                assert!((totals.loss - expected).abs() < 2e-6 * expected, "{totals:?} {expected}");
                let largest = gradient.arena().iter().fold(0.0_f32, |most, g| most.max(g.abs()));
                for tensor in model.tensors() {
                    for (n, index) in tensor.indices().enumerate() {
                        let at = |by: f64| {
                            let mut wide = wide.clone();
                            wide.get_mut(tensor.name()).unwrap()[n] += by;
                            let [outputs, states, kept] = losses(&wide);
                            outputs + kept + if asked.is_some() { states } else { 0.0 }
                        };
                        let expected = (at(1e-5) - at(-1e-5)) / 2e-5;
                        let found = f64::from(gradient.arena()[index]);
                        let off = (found - expected).abs();
                        let name = format!("{cell:?} {hidden} {outputs}, {} {n}", tensor.name());
                        assert!(off < 5e-5 * f64::from(largest), "{name}: {found} {expected}");
                    }
                }
            }
        }
    }
}
