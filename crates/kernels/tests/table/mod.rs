//! The error table of the activations as data, and the one runner that checks a row.
//!
//! `precision.rs` feeds it a sample in every test run, `exhaustive.rs` every f32
//! there is. A bound is changed by review, with the figure that `exhaustive.rs`
//! printed beside it, and never to make a test pass.
//!
//! The error is |y − f(x)| in units of the last place of the true f(x): the spacing of
//! f32 in its binade, 2⁻¹⁴⁹ below the normal range. ∞ counts as 2¹²⁸.
//!
//! The truth is f64, in loops the compiler can vectorise: the standard library's
//! functions would take minutes for 3·2³² values. `precision.rs` holds these to the
//! standard library's; their own error is below 1e-7 ULP of f32.

use kernels::activation;
use kernels::lanes::{LANES, Lanes};

/// One line of the table.
pub struct Row {
    pub name: &'static str,
    /// The largest error in a build with fused multiply-add, in ULP.
    pub bound_fma: f64,
    /// The largest error in a build without, in ULP.
    pub bound_plain: f64,
    /// Results between zero and this, the true value or ours, count as equal.
    pub flushed_below: f64,
    /// No result lies outside, not even by one ULP.
    pub range: [f32; 2],
    /// f(−x) = −f(x), bit for bit.
    pub odd: bool,
    #[allow(dead_code)] // read by people, and printed by one of the two
    pub note: &'static str,
    pub kernel: fn(&[f32], &mut [f32]),
    #[allow(dead_code)] // of one value; `exhaustive.rs` takes them all at once
    pub truth: fn(f64) -> f64,
    truth_of_all: fn(&[f32], &mut [f64]),
}

pub const TABLE: [Row; 4] = [
    Row {
        name: "exp",
        bound_fma: 1.0,
        bound_plain: 1.0,
        flushed_below: 0.0,
        range: [0.0, f32::INFINITY],
        odd: false,
        note: "also where the result is subnormal",
        kernel: activation::exp_into,
        truth: f64::exp,
        truth_of_all: |x, y| fill(x, y, exp),
    },
    Row {
        name: "sigmoid",
        bound_fma: 2.0,
        bound_plain: 2.0,
        flushed_below: f32::MIN_POSITIVE as f64,
        range: [0.0, 1.0],
        odd: false,
        note: "a result below 2⁻¹²⁶ may be zero",
        kernel: activation::sigmoid_into,
        truth: kernels::reference::sigmoid,
        truth_of_all: |x, y| fill(x, y, |x| 1.0 / (1.0 + exp(-x))),
    },
    Row {
        name: "sigmoid in a chain",
        bound_fma: 2.0,
        bound_plain: 2.5,
        flushed_below: f32::MIN_POSITIVE as f64,
        range: [0.0, 1.0],
        odd: false,
        note: "what the recurrent steps of a single sequence use",
        kernel: sigmoid_chain,
        truth: kernels::reference::sigmoid,
        truth_of_all: |x, y| fill(x, y, |x| 1.0 / (1.0 + exp(-x))),
    },
    Row {
        name: "tanh",
        bound_fma: 2.0,
        bound_plain: 2.5,
        flushed_below: 0.0,
        range: [-1.0, 1.0],
        odd: true,
        note: "also where the argument is subnormal",
        kernel: activation::tanh_into,
        truth: f64::tanh,
        truth_of_all: |x, y| fill(x, y, tanh),
    },
];

fn sigmoid_chain(x: &[f32], y: &mut [f32]) {
    for (x, y) in x.chunks(LANES).zip(y.chunks_mut(LANES)) {
        let mut lanes = [0.0; LANES];
        lanes[..x.len()].copy_from_slice(x);
        let values = activation::sigmoid_chain_lanes(Lanes::new(lanes)).to_array();
        y.copy_from_slice(&values[..y.len()]);
    }
}

/// The largest error found, in ULP, and where.
#[derive(Clone, Copy, Debug, Default)]
pub struct Worst {
    pub ulp: f64,
    pub x: f32,
}

impl Worst {
    #[allow(dead_code)] // one of the two has threads
    pub fn max(self, other: Self) -> Self {
        if other.ulp > self.ulp { other } else { self }
    }
}

impl Row {
    /// The bound that holds in this build.
    pub fn bound(&self) -> f64 {
        if cfg!(target_feature = "fma") { self.bound_fma } else { self.bound_plain }
    }

    /// The worst error on `x`; panics where a rule other than the bound is broken.
    pub fn check(&self, x: &[f32], scratch: &mut Scratch) -> Worst {
        let Scratch { y, mirrored, truth, ulp } = scratch;
        for buffer in [&mut *y, &mut *mirrored] {
            buffer.resize(x.len(), 0.0);
        }
        truth.resize(x.len(), 0.0);
        ulp.resize(x.len(), 0.0);

        (self.kernel)(x, y);
        (self.truth_of_all)(x, truth);
        let [low, high] = self.range;
        let lawful = x.iter().zip(&*y).fold(true, |lawful, (x, y)| {
            lawful & ((x.is_nan() & y.is_nan()) | (!x.is_nan() & (low <= *y) & (*y <= high)))
        });
        if !lawful {
            self.explain(x, y);
        }
        if self.odd {
            for (mirrored, x) in mirrored.iter_mut().zip(x) {
                *mirrored = -x;
            }
            (self.kernel)(&mirrored.clone(), mirrored);
            let odd = x.iter().zip(&*y).zip(&*mirrored).fold(true, |odd, ((x, y), m)| {
                odd & (x.is_nan() | (y.to_bits() ^ m.to_bits() == 1 << 31))
            });
            assert!(odd, "{} is not odd among {:e} … {:e}", self.name, x[0], x[x.len() - 1]);
        }
        for ((ulp, y), truth) in ulp.iter_mut().zip(&*y).zip(&*truth) {
            *ulp = error_in_ulp(*y, *truth, self.flushed_below);
        }
        // NaN, where x is NaN, is never greater.
        let worst = ulp.iter().fold(0.0, |worst, &ulp| if ulp > worst { ulp } else { worst });
        let at = ulp.iter().position(|&ulp| ulp == worst).unwrap_or(0);
        Worst { ulp: worst, x: x[at] }
    }

    fn explain(&self, x: &[f32], y: &[f32]) {
        for (x, y) in x.iter().zip(y) {
            assert_eq!(x.is_nan(), y.is_nan(), "{}({x:e}) is {y:e}", self.name);
            let [low, high] = self.range;
            assert!(
                y.is_nan() || (low..=high).contains(y),
                "{}({x:e}) is {y:e}, outside [{low}, {high}]",
                self.name
            );
        }
    }
}

/// Buffers that [`Row::check`] uses again.
#[derive(Default)]
pub struct Scratch {
    y: Vec<f32>,
    mirrored: Vec<f32>,
    truth: Vec<f64>,
    ulp: Vec<f64>,
}

/// |y − truth| in ULP of f32 at `truth`.
fn error_in_ulp(y: f32, truth: f64, flushed_below: f64) -> f64 {
    const OVERFLOW: f64 = f32::MAX as f64 + (1u128 << 103) as f64 * 2.0; // 2¹²⁸
    let y = clamp(f64::from(y), -OVERFLOW, OVERFLOW);
    let truth = clamp(truth, -OVERFLOW, OVERFLOW);
    // 2^e of the binade, not beyond the highest, not below the lowest normal one.
    let binade = f64::from_bits(truth.to_bits() & (0x7ff << 52));
    let binade = clamp(binade, f64::from(f32::MIN_POSITIVE), OVERFLOW / 2.0);
    let ulp = binade / (1u64 << 23) as f64;
    let flushed = (truth.abs() < flushed_below) & (y.abs() <= flushed_below);
    if flushed { 0.0 } else { (y - truth).abs() / ulp }
}

/// NaN stays; a plain pair of selections, which vectorises.
fn clamp(x: f64, low: f64, high: f64) -> f64 {
    let x = if x < low { low } else { x };
    if x > high { high } else { x }
}

fn fill(x: &[f32], y: &mut [f64], f: impl Fn(f64) -> f64) {
    for (x, y) in x.iter().zip(y) {
        *y = f(f64::from(*x));
    }
}

/// `e^x` in f64, for |x| up to 200 and constant beyond: relative error below 1e-15.
pub fn exp(x: f64) -> f64 {
    let (power, expm1) = reduced_exp(clamp(x, -200.0, 200.0));
    power + power * expm1
}

/// `tanh x` in f64: relative error below 2e-15.
pub fn tanh(x: f64) -> f64 {
    let (power, expm1) = reduced_exp(clamp(2.0 * x.abs(), 0.0, 200.0));
    let exp_minus_one = power * expm1 + (power - 1.0); // exact bracket: power is at least 1
    (exp_minus_one / (exp_minus_one + 2.0)).copysign(x)
}

/// `e^x = 2ⁿ·(1 + expm1(r))` as (2ⁿ, expm1(r)), for |x| ≤ 200.
///
/// Taylor's series to r¹³/13! on |r| ≤ ln 2 / 2: what is cut off is below 1e-17.
fn reduced_exp(x: f64) -> (f64, f64) {
    const MAGIC: f64 = 6_755_399_441_055_744.0; // 1.5·2⁵²
    // ln 2, its upper part 32 bits wide (fdlibm, e_exp.c)
    const LN2_HI: f64 = 6.931_471_803_691_238e-1;
    const LN2_LO: f64 = 1.908_214_929_270_587_7e-10;
    const TERMS: usize = 13;
    const FACTORS: [f64; TERMS - 1] = {
        let mut factors = [0.5; TERMS - 1];
        let mut i = 1;
        while i < TERMS - 1 {
            factors[i] = factors[i - 1] / (i + 2) as f64;
            i += 1;
        }
        factors
    };
    let shifted = x * std::f64::consts::LOG2_E + MAGIC;
    let n = shifted - MAGIC;
    let power = f64::from_bits((shifted.to_bits() << 52).wrapping_add(1023 << 52));
    let r = (x - n * LN2_HI) - n * LN2_LO;
    let q = FACTORS.iter().rev().fold(0.0, |q, factor| q * r + factor);
    (power, r + r * r * q)
}
