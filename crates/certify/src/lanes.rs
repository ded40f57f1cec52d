//! The sigmoid, the logarithm and linear relaxations of σ, tanh and ReLU, over eight units at once.

use verify::Cell;

/// Values computed side by side.
pub(crate) const LANES: usize = 8;
pub(crate) type Lanes = [f64; LANES];

/// `a·b + c`, in one instruction where the build has it.
pub(crate) fn fma(a: f64, b: f64, c: f64) -> f64 {
    if cfg!(target_feature = "fma") { a.mul_add(b, c) } else { a * b + c }
}

/// Some values, and zeros.
pub(crate) fn lanes(values: &[f64]) -> Lanes {
    let mut lanes = [0.0; LANES];
    let count = values.len().min(LANES);
    lanes[..count].copy_from_slice(&values[..count]);
    lanes
}

/// Lines that stand for an activation f on [low, high]: `slope·z + below ≤ f(z) ≤ slope·z + above`,
/// so that `[below, above]` encloses the linearisation error.
pub(crate) struct Line {
    /// f(low)
    pub bottom: Lanes,
    /// f(high)
    pub top: Lanes,
    pub slope: Lanes,
    pub below: Lanes,
    pub above: Lanes,
}

impl Line {
    /// For an Elman `cell`.
    pub fn of(cell: Cell, low: Lanes, high: Lanes) -> Self {
        match cell {
            Cell::Sigmoid => Self::chord(low, high),
            Cell::Tanh => Self::chord_of_tanh(low, high),
            Cell::Relu => Self::chord_of_relu(low, high),
            Cell::Gru | Cell::Lstm => unreachable!("a cell with gates has several sums"),
        }
    }

    /// By `tanh z = 2·σ(2z) − 1`, and `tanh z − λ·z = 2·(σ(2z) − λ/4·2z) − 1`.
    fn chord_of_tanh(low: Lanes, high: Lanes) -> Self {
        let line = Self::chord(low.map(|z| 2.0 * z), high.map(|z| 2.0 * z));
        let twice = |values: Lanes| values.map(|value| 2.0 * value - 1.0);
        Self {
            bottom: twice(line.bottom),
            top: twice(line.top),
            slope: line.slope.map(|slope| 4.0 * slope),
            below: twice(line.below),
            above: twice(line.above),
        }
    }

    /// `max(z, 0) − λ·z` is least at 0, or at an end.
    fn chord_of_relu(low: Lanes, high: Lanes) -> Self {
        let (bottom, top) = (low.map(|z| z.max(0.0)), high.map(|z| z.max(0.0)));
        let [mut slope, mut below, mut above] = [[0.0; LANES]; 3];
        for l in 0..LANES {
            let width = high[l] - low[l];
            let chord = (top[l] - bottom[l]) / width.max(1e-6);
            let tangent = if low[l] > 0.0 { 1.0 } else { 0.0 };
            slope[l] = (if width > 1e-6 { chord } else { tangent }).clamp(0.0, 1.0);
            let (a, b) = (bottom[l] - slope[l] * low[l], top[l] - slope[l] * high[l]);
            above[l] = a.max(b);
            below[l] = if low[l] < 0.0 && high[l] > 0.0 { 0.0 } else { a.min(b) };
        }
        Self { bottom, top, slope, below, above }
    }

    /// Of the slope of σ's chord, or, on a point, of its tangent.
    pub fn chord(low: Lanes, high: Lanes) -> Self {
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
pub(crate) fn sigmoid(x: Lanes) -> Lanes {
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
            let line = Line::chord([low; LANES], [low + width; LANES]);
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
