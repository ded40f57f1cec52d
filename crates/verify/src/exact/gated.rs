//! A unit of a cell with gates, on a set: affine forms of what it computes, every rounding outwards.
//!
//! ```text
//! form   every value that f32 may make is within `noise` of center + Σ_g e_g·generator_g, with the
//!        e of the set, and between `low` and `high`
//! GRU    r = σ(r)   z = σ(z)   n = tanh(x_n + r·n)   h = n + z·(h − n)
//! LSTM   i = σ(i)   f = σ(f)   g = tanh(g)   o = σ(o)   c = f·c + i·g   h = o·tanh(c)
//! x·y = y₀·x + x₀·y − x₀·y₀ + (x − x₀)·(y − y₀)     x₀, y₀ the middles of their bounds
//! ```

use super::dyadic::{FINE, shift, shift_up};
use super::sigmoid::{SLOPE, one};
use super::unit::{Activated, Function, activate};
use num_bigint::BigInt;

/// All numbers in 2⁻⁹⁶.
#[derive(Clone)]
pub(super) struct Form {
    pub center: BigInt,
    /// One for each generator of the set.
    pub generators: Vec<BigInt>,
    pub noise: BigInt,
    pub low: BigInt,
    pub high: BigInt,
}

/// What f32 may round of a value: half a unit in the last place, 2⁻²⁴ of it, and what subnormal
/// numbers lose.
fn half_ulp(largest: &BigInt) -> BigInt {
    shift_up(largest, -24) + 1
}

impl Form {
    /// What the symbol adds, between two bounds.
    fn plus_number(mut self, (least, most): &(BigInt, BigInt)) -> Self {
        self.center += least;
        self.noise += most - least;
        self.low += least;
        self.high += most;
        self
    }

    /// The value where f32 may have moved it by `error`.
    fn moved(mut self, error: &BigInt) -> Self {
        self.noise += error;
        self.low -= error;
        self.high += error;
        self
    }

    fn largest(&self) -> BigInt {
        BigInt::from(self.low.magnitude().max(self.high.magnitude()).clone())
    }

    fn middle(&self) -> BigInt {
        (&self.low + &self.high) >> 1
    }

    /// How far the value may be from the middle, which is rounded down.
    fn radius(&self) -> BigInt {
        &self.high - self.middle()
    }

    /// The affine form may say more than the bounds say, or less.
    fn tightened(mut self) -> Self {
        let reach: BigInt =
            self.generators.iter().map(|g| BigInt::from(g.magnitude().clone())).sum();
        let reach = reach + &self.noise;
        self.low = self.low.max(&self.center - &reach);
        self.high = self.high.min(&self.center + reach);
        self.ordered()
    }

    /// An empty set has bounds that cross; then anything holds.
    fn ordered(mut self) -> Self {
        if self.low > self.high {
            std::mem::swap(&mut self.low, &mut self.high);
        }
        self
    }

    /// a·x + b·y + c with a and b in 2⁻ᵇⁱᵗˢ and c in 2⁻⁽⁹⁶⁺ᵇⁱᵗˢ⁾, whose bounds are set by the caller.
    fn combined((a, x): (&BigInt, &Self), (b, y): (&BigInt, &Self), c: &BigInt, bits: i64) -> Self {
        let size = |n: &BigInt| BigInt::from(n.magnitude().clone());
        let pairs = x.generators.iter().zip(&y.generators);
        let noise = size(a) * &x.noise + size(b) * &y.noise;
        Self {
            center: shift(&(a * &x.center + b * &y.center + c), -bits),
            generators: pairs.map(|(x, y)| shift(&(a * x + b * y), -bits)).collect(),
            // The center and the generators are each rounded by less than one.
            noise: shift_up(&noise, -bits) + x.generators.len() + 1_u32,
            low: BigInt::ZERO,
            high: BigInt::ZERO,
        }
    }

    /// The exact product.
    fn times(&self, other: &Self) -> Self {
        let (x, y) = (self.middle(), other.middle());
        let mut product = Self::combined((&y, self), (&x, other), &-(&x * &y), FINE);
        product.noise += shift_up(&(self.radius() * other.radius()), -FINE);
        let ends = [&self.low, &self.high].map(|a| [&other.low, &other.high].map(|b| a * b));
        let ends = ends.into_iter().flatten();
        product.low = shift(&ends.clone().min().expect("four"), -FINE);
        product.high = shift_up(&ends.max().expect("four"), -FINE);
        product.tightened()
    }

    /// The exact sum, or with `sign` −1 the difference.
    fn plus(&self, sign: i32, other: &Self) -> Self {
        let mut sum = Self::combined((&1.into(), self), (&sign.into(), other), &BigInt::ZERO, 0);
        let (least, most) = match sign {
            1 => (&other.low, &other.high),
            _ => (&-&other.high, &-&other.low),
        };
        (sum.low, sum.high) = (&self.low + least, &self.high + most);
        sum.tightened()
    }

    /// What f32 makes of a function of the value.
    fn activated(&self, function: Function) -> Self {
        let Activated { low, high, slope, offset, spread, ulps } =
            activate(function, self.low.clone(), self.high.clone());
        let mut form =
            Self::combined((&slope, self), (&BigInt::ZERO, self), &(offset << SLOPE), SLOPE);
        form.noise += spread + ulps;
        (form.low, form.high) = (low, high);
        form
    }
}

/// h after the step of a GRU: `rows` are the sums of states of r, z and n with their biases, and h;
/// `inputs` what the symbol adds, `errors` how far f32 sums may be off.
pub(super) fn gru(rows: [Form; 4], inputs: &[(BigInt, BigInt)], errors: &[BigInt]) -> Form {
    let [r, z, n, h] = rows.map(Form::ordered);
    let gate = |row: Form, k: usize| {
        row.plus_number(&inputs[k]).moved(&errors[k]).activated(Function::Sigmoid)
    };
    let (r, z) = (gate(r, 0), gate(z, 1));
    // The whole of the sum's error is in the argument of tanh: |r| ≤ 1.
    let argument = r.times(&n).plus_number(&inputs[2]).moved(&errors[2]);
    let n = argument.activated(Function::Tanh);
    // h − n, its product with z and the sum with n are each rounded, or some of them at once; each
    // error of a factor is multiplied by z ≤ 1.
    let difference = h.plus(-1, &n);
    let (x, y) = (z.middle(), difference.middle());
    // n + z·(h − n) = (1 − x₀)·n + x₀·h + y₀·z − x₀·y₀ + (z − x₀)·(h − n − y₀)
    let mean = Form::combined((&(one() - &x), &n), (&x, &h), &BigInt::ZERO, FINE);
    let mut mixed = Form::combined((&one(), &mean), (&y, &z), &-(&x * &y), FINE);
    mixed.noise += shift_up(&(z.radius() * difference.radius()), -FINE);
    // A mean of n and h: it grows with both, and is linear in z.
    let at = |z: &BigInt, n: &BigInt, h: &BigInt| (one() - z) * n + z * h;
    let least = at(&z.low, &n.low, &h.low).min(at(&z.high, &n.low, &h.low));
    let most = at(&z.low, &n.high, &h.high).max(at(&z.high, &n.high, &h.high));
    (mixed.low, mixed.high) = (shift(&least, -FINE), shift_up(&most, -FINE));
    let mixed = mixed.tightened();
    let largest = 2 * (h.largest() + n.largest()) + mixed.largest();
    // A hundredth more, for the roundings of what is rounded.
    let error = half_ulp(&(&largest + shift_up(&largest, -6)));
    mixed.moved(&(error + 2_u32))
}

/// h and c after the step of an LSTM: `rows` are the sums of states of i, f, g and o with their biases,
/// and c; the rest as of [`gru`].
pub(super) fn lstm(rows: [Form; 5], inputs: &[(BigInt, BigInt)], errors: &[BigInt]) -> [Form; 2] {
    let [i, f, g, o, c] = rows.map(Form::ordered);
    let gate = |row: Form, k: usize, function: Function| {
        row.plus_number(&inputs[k]).moved(&errors[k]).activated(function)
    };
    let (i, f) = (gate(i, 0, Function::Sigmoid), gate(f, 1, Function::Sigmoid));
    let (g, o) = (gate(g, 2, Function::Tanh), gate(o, 3, Function::Sigmoid));
    let (kept, new) = (f.times(&c), i.times(&g));
    // Both products and their sum are rounded, or some of them at once.
    let largest = 2 * (kept.largest() + new.largest());
    let error = half_ulp(&(&largest + shift_up(&largest, -6)));
    let c = kept.plus(1, &new).moved(&(error + 2_u32));
    let mut h = o.times(&c.activated(Function::Tanh)).moved(&(half_ulp(&one()) + 1_u32));
    // |o| and |tanh c| are at most 1 in f32, and so is their product.
    (h.low, h.high) = (h.low.max(-one()), h.high.min(one()));
    [h.ordered(), c]
}
