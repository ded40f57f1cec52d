//! Sets of hidden states on their way through a network, for the search.
//!
//! ```text
//! set     c + Σ_g e_g·G[·, g] + Σ_j e_j·own_j·u_j, all e in [−1, 1], cut by a box
//! image   W_recᵀ·set: a matrix product, and the own_j become columns of G
//! after   σ(image + W_in·pair + b): on [low, high] a line of the chord's slope λ follows σ,
//!         and what it is off by becomes the new own_j
//! ```
//!
//! Nothing here is trusted: it computes in rounded f64, with some slack.
//!
//! 1. Generators lie along the lanes, `[H, G]`: products, sums of absolute values and
//!    scaling are then whole vectors for every H.
//! 2. σ and the logarithm of the tangents' points are polynomials over eight units at once.
//! 3. Sets are written over where they lie; a walk allocates nothing.

use model::Parameters;

/// Values computed side by side.
pub(super) const LANES: usize = 8;
type Lanes = [f64; LANES];

/// A network's weights as plain numbers.
#[derive(Clone, Debug)]
pub(super) struct Net {
    pub hidden: usize,
    /// `[4][H]`, what a pair and the biases add to the sums.
    inputs: [Vec<f64>; 4],
    /// `[H, H]`, row: from unit
    pub w_rec: Vec<f64>,
    /// `[H]`
    w_out: Vec<f64>,
    b_out: f64,
    /// `[H]`, the sums of the absolute weights of a unit.
    weight: Vec<f64>,
    /// `[H]`, a little more than the f32 sums may be off.
    slack: Vec<f64>,
    out_slack: f64,
    /// `[H]`, how far at most an error of a unit moves all sums after it.
    reach: Vec<f64>,
}

impl Net {
    pub(super) fn new(parameters: &Parameters) -> Self {
        let config = parameters.config();
        let h = config.hidden();
        let mut inputs = [(); 4].map(|()| vec![0.0; h]);
        let (mut w_rec, mut w_out, mut b_out) = (vec![0.0; h * h], vec![0.0; h], 0.0);
        let mut weight = vec![0.0; h];
        for tensor in parameters.tensors() {
            for (n, index) in tensor.indices().enumerate() {
                let value = f64::from(parameters.arena()[index]);
                match tensor.name() {
                    "weight_ih_l0" => {
                        let pairs = if n % 2 == 0 { [2, 3] } else { [1, 3] };
                        pairs.into_iter().for_each(|pair: usize| inputs[pair][n / 2] += value);
                        weight[n / 2] += value.abs();
                    }
                    "weight_hh_l0" => {
                        w_rec[n % h * h + n / h] = value;
                        weight[n / h] += value.abs();
                    }
                    "bias_ih_l0" | "bias_hh_l0" => {
                        inputs.iter_mut().for_each(|inputs| inputs[n] += value);
                        weight[n] += value.abs();
                    }
                    "head.weight" => w_out[n] = value,
                    _ => b_out = value,
                }
            }
        }
        let slack = |weight: f64| weight * ((h + 13) as f64 / 16_777_216.0 * 1.01 + 3e-9) + 1e-25;
        let absolute = |values: &[f64]| values.iter().map(|value| value.abs()).sum::<f64>();
        let reach = w_rec.chunks_exact(h).zip(&w_out);
        Self {
            hidden: h,
            slack: weight.iter().map(|&weight| slack(weight)).collect(),
            out_slack: slack(absolute(&w_out) + b_out.abs()),
            reach: reach.map(|(row, out)| 0.25 * absolute(row) + out.abs()).collect(),
            inputs,
            w_rec,
            w_out,
            b_out,
            weight,
        }
    }

    /// One step of one state.
    pub(super) fn step(&self, state: &[f64], pair: u8, next: &mut [f64]) {
        self.sums(state, next);
        for (next, input) in next.iter_mut().zip(&self.inputs[usize::from(pair)]) {
            *next += input;
        }
        for next in next.chunks_mut(LANES) {
            let mut z = [0.0; LANES];
            z[..next.len()].copy_from_slice(next);
            next.copy_from_slice(&sigmoid(z)[..next.len()]);
        }
    }

    /// `z = h·W_rec`
    fn sums(&self, state: &[f64], z: &mut [f64]) {
        z.fill(0.0);
        for (value, row) in state.iter().zip(self.w_rec.chunks_exact(self.hidden)) {
            for (z, w) in z.iter_mut().zip(row) {
                *z = fma(*value, *w, *z);
            }
        }
    }

    /// How far the sum before the output is on its right side.
    pub(super) fn margin_of(&self, state: &[f64], digit: bool) -> f64 {
        let z = self.b_out + state.iter().zip(&self.w_out).map(|(h, w)| h * w).sum::<f64>();
        if digit { z } else { -z }
    }

    /// What lines cannot follow of the next step from anywhere in a set, for the worst pair:
    /// the error that it adds to all sums after it.
    pub(super) fn bend(&self, image: &Image) -> f64 {
        let of = |inputs: &Vec<f64>| {
            let mut total = 0.0;
            for first in (0..self.hidden).step_by(LANES) {
                let at = |values: &[f64]| lanes(&values[first..]);
                let (input, reach) = (at(inputs), at(&self.reach));
                let (mut low, mut high) = (at(&image.low), at(&image.high));
                for l in 0..LANES {
                    (low[l], high[l]) = (low[l] + input[l], high[l] + input[l]);
                }
                let line = Line::along(low, high);
                for (l, reach) in reach.into_iter().enumerate() {
                    total += 0.5 * (line.above[l] - line.below[l]) * reach;
                }
            }
            total
        };
        self.inputs.iter().map(of).fold(0.0, f64::max)
    }

    /// The affine image of a set; `rough` is a width by which the set is larger than it says.
    pub(super) fn image(&self, set: &Zonotope, rough: f64, image: &mut Image) {
        let h = self.hidden;
        let columns = (set.columns + h).next_multiple_of(LANES);
        image.columns = columns;
        self.sums(&set.center, &mut image.center);
        for j in 0..h {
            let row = &mut image.generators[j * set.stride..][..columns];
            let mut radius = [0.0; LANES];
            for first in (0..set.columns).step_by(LANES) {
                let mut sum = [0.0; LANES];
                for k in 0..h {
                    let w = self.w_rec[k * h + j];
                    let from = &set.generators[k * set.stride + first..][..LANES];
                    for l in 0..LANES {
                        sum[l] = fma(w, from[l], sum[l]);
                    }
                }
                row[first..][..LANES].copy_from_slice(&sum);
                for l in 0..LANES {
                    radius[l] += sum[l].abs();
                }
            }
            let mut radius: f64 = radius.iter().sum();
            row[set.columns..].fill(0.0);
            let (mut low, mut high) = (0.0, 0.0);
            for k in 0..h {
                let w = self.w_rec[k * h + j];
                let own = set.own[k] * w;
                row[set.columns + k] = own;
                radius += own.abs();
                low += (w * set.low[k]).min(w * set.high[k]);
                high += (w * set.low[k]).max(w * set.high[k]);
            }
            let error = self.slack[j] + rough * self.weight[j];
            image.error[j] = error;
            image.low[j] = low.max(image.center[j] - radius) - error;
            image.high[j] = high.min(image.center[j] + radius) + error;
        }
    }

    /// The states after one more pair.
    pub(super) fn after(&self, image: &Image, pair: u8, set: &mut Zonotope) {
        let h = self.hidden;
        set.columns = image.columns;
        for first in (0..h).step_by(LANES) {
            let at = |values: &[f64]| lanes(&values[first..]);
            let input = at(&self.inputs[usize::from(pair)]);
            let (mut low, mut high) = (at(&image.low), at(&image.high));
            for l in 0..LANES {
                (low[l], high[l]) = (low[l] + input[l], high[l] + input[l]);
            }
            let line = Line::along(low, high);
            let count = (h - first).min(LANES);
            for l in 0..count {
                let j = first + l;
                let (bottom, top, slope) = (line.bottom[l], line.top[l], line.slope[l]);
                let ulp = 4.0e-7 * top + 3e-11;
                (set.low[j], set.high[j]) = ((bottom - ulp).max(0.0), (top + ulp).min(1.0));
                set.center[j] =
                    slope * (image.center[j] + input[l]) + 0.5 * (line.below[l] + line.above[l]);
                set.own[j] = 0.5 * (line.above[l] - line.below[l])
                    + slope * image.error[j]
                    + ulp
                    + 3e-9 * (1.0 + slope * self.weight[j] * 8.0)
                    + 3e-10 * (1.0 + high[l].abs().max(low[l].abs()));
                let range = j * set.stride..j * set.stride + image.columns;
                let (to, from) = (&mut set.generators[range.clone()], &image.generators[range]);
                for (to, from) in to.iter_mut().zip(from) {
                    *to = from * slope;
                }
            }
        }
    }

    /// How far the sum before the output is on its right side, at least.
    pub(super) fn margin(&self, set: &Zonotope, digit: bool) -> f64 {
        let (low, high) = set.range(&self.w_out);
        (if digit { low + self.b_out } else { -high - self.b_out }) - self.out_slack
    }
}

/// A set of states.
#[derive(Clone, Debug)]
pub(super) struct Zonotope {
    pub center: Vec<f64>,
    /// `[H, stride]`, of which `columns`, whole lanes, are used.
    pub generators: Vec<f64>,
    pub columns: usize,
    pub stride: usize,
    pub own: Vec<f64>,
    pub low: Vec<f64>,
    pub high: Vec<f64>,
}

/// The affine image of a set.
#[derive(Clone, Debug)]
pub(super) struct Image {
    center: Vec<f64>,
    generators: Vec<f64>,
    columns: usize,
    /// `[H]`, how far the f32 sums may be off.
    error: Vec<f64>,
    low: Vec<f64>,
    high: Vec<f64>,
}

/// The columns that `steps` steps may lead to.
fn stride(hidden: usize, steps: usize) -> usize {
    (0..=steps).fold(0, |columns, _| (columns + hidden).next_multiple_of(LANES))
}

impl Image {
    pub(super) fn new(hidden: usize, steps: usize) -> Self {
        let row = || vec![0.0; hidden];
        let generators = vec![0.0; hidden * stride(hidden, steps)];
        Self { center: row(), generators, columns: 0, error: row(), low: row(), high: row() }
    }
}

impl Zonotope {
    /// The origin, with room for `steps` steps.
    pub(super) fn new(hidden: usize, steps: usize) -> Self {
        let row = || vec![0.0; hidden];
        let stride = stride(hidden, steps);
        let generators = vec![0.0; hidden * stride];
        Self { center: row(), generators, columns: 0, stride, own: row(), low: row(), high: row() }
    }

    /// The range of `w·h`.
    pub(super) fn range(&self, w: &[f64]) -> (f64, f64) {
        let mut radius = [0.0; LANES];
        for first in (0..self.columns).step_by(LANES) {
            let mut sum = [0.0; LANES];
            for (j, &w) in w.iter().enumerate() {
                let from = &self.generators[j * self.stride + first..][..LANES];
                for l in 0..LANES {
                    sum[l] = fma(w, from[l], sum[l]);
                }
            }
            for l in 0..LANES {
                radius[l] += sum[l].abs();
            }
        }
        let mut radius: f64 = radius.iter().sum();
        let (mut low, mut high, mut center, mut slack) = (0.0, 0.0, 0.0, 0.0);
        for (j, &w) in w.iter().enumerate() {
            slack += 3e-9 * w.abs();
            radius += (self.own[j] * w).abs();
            center += self.center[j] * w;
            low += (w * self.low[j]).min(w * self.high[j]);
            high += (w * self.low[j]).max(w * self.high[j]);
        }
        radius += slack;
        ((low - slack).max(center - radius), (high + slack).min(center + radius))
    }

    /// The range of unit `j`.
    pub(super) fn range_of_unit(&self, j: usize) -> (f64, f64) {
        let row = &self.generators[j * self.stride..][..self.columns];
        let radius = row.iter().map(|value| value.abs()).sum::<f64>() + self.own[j] + 3e-9;
        let (low, high) = (self.center[j] - radius, self.center[j] + radius);
        (low.max(self.low[j]), high.min(self.high[j]))
    }
}

/// `a·b + c`, in one instruction where the build has it.
fn fma(a: f64, b: f64, c: f64) -> f64 {
    if cfg!(target_feature = "fma") { a.mul_add(b, c) } else { a * b + c }
}

/// Some values, and zeros.
fn lanes(values: &[f64]) -> Lanes {
    let mut lanes = [0.0; LANES];
    let count = values.len().min(LANES);
    lanes[..count].copy_from_slice(&values[..count]);
    lanes
}

/// Lines that follow σ on [low, high]: `slope·z + below ≤ σ(z) ≤ slope·z + above`.
struct Line {
    bottom: Lanes,
    top: Lanes,
    slope: Lanes,
    below: Lanes,
    above: Lanes,
}

impl Line {
    fn along(low: Lanes, high: Lanes) -> Self {
        let (bottom, top) = (sigmoid(low), sigmoid(high));
        let [mut slope, mut below, mut above, mut at, mut ratio] = [[0.0; LANES]; 5];
        for l in 0..LANES {
            let width = high[l] - low[l];
            let chord = (top[l] - bottom[l]) / width.max(1e-6);
            let tangent = bottom[l] * (1.0 - bottom[l]);
            slope[l] = (if width > 1e-6 { chord } else { tangent }).clamp(0.0, 0.25);
            // where σ′ = λ
            let root = (1.0 - 4.0 * slope[l]).max(0.0).sqrt();
            at[l] = 0.5 * (1.0 + root);
            ratio[l] = (1.0 + root) / (1.0 - root).max(1e-300);
        }
        let z = ln(ratio);
        for l in 0..LANES {
            let (a, b) = (bottom[l] - slope[l] * low[l], top[l] - slope[l] * high[l]);
            let right = at[l] - slope[l] * z[l];
            let left = 1.0 - right;
            let inside = |z: f64| low[l] < z && z < high[l];
            let most = a.max(b);
            above[l] = if inside(z[l]) { most.max(right) } else { most };
            let least = a.min(b);
            below[l] = if inside(-z[l]) { least.min(left) } else { least };
        }
        Self { bottom, top, slope, below, above }
    }
}

/// `1/(1 + e^−x)`, off by at most 3e-12: `(e^{y/1024})^1024` by a series and squarings.
fn sigmoid(x: Lanes) -> Lanes {
    let mut power = [1.0; LANES];
    let y = x.map(|x| -x.clamp(-40.0, 40.0) / 1024.0);
    for n in (1..=8).rev() {
        let share = 1.0 / f64::from(n);
        for l in 0..LANES {
            power[l] = fma(power[l] * y[l], share, 1.0);
        }
    }
    for _ in 0..10 {
        for power in &mut power {
            *power *= *power;
        }
    }
    power.map(|power| 1.0 / (1.0 + power))
}

/// The natural logarithm of positive normal numbers, off by at most 1e-11: the exponent, and
/// `ln m = 2·artanh((m − 1)/(m + 1))` for m in [√½, √2).
fn ln(x: Lanes) -> Lanes {
    let mut result = [0.0; LANES];
    for l in 0..LANES {
        let bits =
            x[l].to_bits() + (0x3ff0_0000_0000_0000 - std::f64::consts::FRAC_1_SQRT_2.to_bits());
        let exponent = f64::from((bits >> 52) as i32 - 1023);
        let m = f64::from_bits(
            (bits & 0x000f_ffff_ffff_ffff) + std::f64::consts::FRAC_1_SQRT_2.to_bits(),
        );
        let s = (m - 1.0) / (m + 1.0);
        let q = s * s;
        let mut series = 0.0;
        for n in (0..7).rev() {
            series = fma(series, q, 1.0 / f64::from(2 * n + 1));
        }
        result[l] = exponent * std::f64::consts::LN_2 + 2.0 * s * series;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_functions_over_lanes_are_as_near_as_they_say() {
        for n in -45_000..45_000 {
            let x = f64::from(n) * 1e-3;
            let found = sigmoid([x; LANES])[3];
            assert!((found - kernels::reference::sigmoid(x)).abs() < 3e-12, "{x} {found}");
            let x = (f64::from(n) * 1e-2).exp();
            let found = ln([x; LANES])[5];
            assert!((found - x.ln()).abs() < 1e-11 * (1.0 + x.ln().abs()), "{x} {found}");
        }
    }

    #[test]
    fn lines_follow_the_sigmoid() {
        for n in 0..2_000 {
            let low = f64::from(n % 100) * 0.3 - 15.0;
            let width = f64::from(n / 100).powi(2) * 0.03;
            let line = Line::along([low; LANES], [low + width; LANES]);
            let (mut least, mut most) = (f64::MAX, f64::MIN);
            for share in 0..=200 {
                let z = low + width * f64::from(share) / 200.0;
                let off = kernels::reference::sigmoid(z) - line.slope[0] * z;
                (least, most) = (least.min(off), most.max(off));
            }
            assert!(line.below[0] < least + 1e-10 && most < line.above[0] + 1e-10, "{low} {width}");
            assert!(least - line.below[0] < 1e-3 && line.above[0] - most < 1e-3, "{low} {width}");
        }
    }
}
