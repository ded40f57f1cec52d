//! What the states of a network in training are asked besides its outputs: the machine's state.
//!
//! ```text
//! a_q    [Q, H]     a code word of signs ±a for each state q of the machine, drawn once
//! u      = c − m − r ⊙ sign a_y           the worst of the interval, for y, the true state
//! d_q    = u·a_q    p = softmax(d)        loss = weight · mean over T of −ln p_y
//! du     = Σ_q (p_q − [q = y])·a_q        dc += du   dr −= du ⊙ sign a_y
//! ```
//!
//! u is the worst for every q at once: `a_q − a_y` is 0, or points against `a_y`. m is the middle of
//! the units' range.
//!
//! The code words are no part of the network and are not trained. With them the gradient of a step
//! says what the steps behind it have to know; the outputs alone say so only many symbols later, or
//! (of a sum modulo something) never at first.
//!
//! Random code words instead of learned ones: T. G. Dietterich and G. Bakiri, Solving Multiclass
//! Learning Problems via Error-Correcting Output Codes, 1995.

use kernels::matmul::gemm;
use kernels::matrix::{MatMut, MatRef};
use model::loss::{Terms, softmax_cross_entropy};
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// a; half the distance of two code words along a unit where they differ.
const SCALE: f32 = 0.5;
/// What the code words are drawn from.
const SEED: u64 = 1;

/// The code words of a machine's states.
#[derive(Clone, Debug)]
pub(super) struct Codes {
    /// Q
    states: usize,
    /// H
    hidden: usize,
    /// S, from one row to the next.
    stride: usize,
    /// m
    middle: f32,
    /// `[Q, S]`
    rows: Vec<f32>,
}

/// What the states of a batch are asked.
pub(super) struct Asked<'a> {
    pub codes: &'a Codes,
    /// `[T, B]`: the machine's states, y.
    pub states: &'a [u32],
    /// What the loss counts for, beside that of the outputs.
    pub weight: f32,
}

impl Codes {
    /// For so many `states` (Q) and `hidden` (H) units around `middle`, in rows of `stride` (S).
    pub fn new(states: usize, (hidden, stride): (usize, usize), middle: f32) -> Self {
        let mut generator = Xoshiro256PlusPlus::seed_from_u64(SEED);
        let mut rows = vec![0.0; states * stride];
        for row in rows.chunks_exact_mut(stride) {
            let mut sign = || if generator.next_u64() >> 63 == 1 { SCALE } else { -SCALE };
            row[..hidden].fill_with(&mut sign);
        }
        Self { states, hidden, stride, middle, rows }
    }

    fn row(&self, state: u32) -> &[f32] {
        &self.rows[state as usize * self.stride..][..self.hidden]
    }
}

/// Room for the passes of one step.
#[derive(Default)]
pub(super) struct Room {
    /// `[B, S]`: u, then du.
    worst: Vec<f32>,
    /// `[B, Q]`
    logits: Vec<f32>,
    gradient: Vec<f32>,
}

impl Asked<'_> {
    /// The loss of one step, summed over B, of the states `centers` and `radii` `[B, S]`, where the
    /// machine is in `states` `[B]`. Its gradient times `share` is added to `dc` and `dr`.
    pub fn step(
        &self,
        [centers, radii]: [&[f32]; 2],
        states: &[u32],
        share: f32,
        [dc, dr]: [&mut [f32]; 2],
        room: &mut Room,
    ) -> f32 {
        let Codes { states: q, hidden, stride, middle, ref rows } = *self.codes;
        let batch = states.len();
        room.worst.resize(batch * stride, 0.0);
        room.logits.resize(batch * q, 0.0);
        room.gradient.resize(batch * q, 0.0);
        for (n, &state) in states.iter().enumerate() {
            let row = n * stride..n * stride + hidden;
            let (centers, radii) = (&centers[row.clone()], &radii[row.clone()]);
            let code = self.codes.row(state);
            for (((u, c), r), a) in room.worst[row].iter_mut().zip(centers).zip(radii).zip(code) {
                *u = c - middle - r * a.signum();
            }
        }
        let codes = MatRef::new(rows, q, stride);
        let worst = MatRef::new(&room.worst, batch, stride);
        gemm(1.0, worst, codes.t(), 0.0, MatMut::new(&mut room.logits, batch, q));
        let terms = Terms::all(1, batch, q);
        let loss = softmax_cross_entropy(&terms, &room.logits, states, &mut room.gradient);
        let loss = loss.expect("a state of the machine");
        let gradient = MatRef::new(&room.gradient, batch, q);
        gemm(share, gradient, codes, 0.0, MatMut::new(&mut room.worst, batch, stride));
        for (n, &state) in states.iter().enumerate() {
            let row = n * stride..n * stride + hidden;
            let (dc, dr) = (&mut dc[row.clone()], &mut dr[row.clone()]);
            let code = self.codes.row(state);
            for (((du, dc), dr), a) in room.worst[row].iter().zip(dc).zip(dr).zip(code) {
                *dc += du;
                *dr -= du * a.signum();
            }
        }
        loss
    }
}

/// The loss at one state, in f64: the worst for each other state by itself.
#[cfg(test)]
pub(super) fn reference(codes: &Codes, c: &[f64], r: &[f64], right: usize) -> f64 {
    let worst = |q: usize| {
        let pairs = codes.row(q as u32).iter().zip(codes.row(right as u32)).enumerate();
        let differences = pairs.map(|(j, (a, right))| {
            let w = f64::from(a - right);
            (c[j] - f64::from(codes.middle)) * w + r[j] * w.abs()
        });
        differences.sum::<f64>().exp()
    };
    (0..codes.states).filter(|&q| q != right).map(worst).sum::<f64>().ln_1p()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;

    #[test]
    fn what_states_are_asked_has_the_gradient_of_central_differences() {
        let mut generator = Xoshiro256PlusPlus::seed_from_u64(3);
        for (states, hidden, middle) in [(2, 1, 0.5), (4, 5, 0.0), (10, 16, 0.5), (3, 33, 0.5)] {
            let stride = usize::next_multiple_of(hidden, 16);
            let codes = Codes::new(states, (hidden, stride), middle);
            let right: Vec<u32> = (0..3).map(|n| (n % states) as u32).collect();
            let asked = Asked { codes: &codes, states: &right, weight: 1.0 };
            let mut row = |most: f32| {
                let mut values = vec![0.0; 3 * stride];
                for row in values.chunks_exact_mut(stride) {
                    row[..hidden].fill_with(|| generator.random_range(0.0..most));
                }
                values
            };
            let (centers, radii) = (row(1.0), row(0.2));
            let (mut dc, mut dr) = (vec![0.0; 3 * stride], vec![0.0; 3 * stride]);
            let mut room = Room::default();
            let into = [&mut dc[..], &mut dr[..]];
            let found = asked.step([&centers, &radii], &right, 0.5, into, &mut room);
            let wide = |values: &[f32], n: usize| -> Vec<f64> {
                values[n * stride..][..hidden].iter().map(|&value| f64::from(value)).collect()
            };
            let mut sum = 0.0;
            for (n, &right) in right.iter().enumerate() {
                let (c, r) = (wide(&centers, n), wide(&radii, n));
                sum += reference(&codes, &c, &r, right as usize);
                for j in 0..hidden {
                    let at = |by: [f64; 2]| {
                        let (mut c, mut r) = (c.clone(), r.clone());
                        (c[j], r[j]) = (c[j] + by[0], r[j] + by[1]);
                        reference(&codes, &c, &r, right as usize)
                    };
                    let of = |by: [f64; 2]| 0.5 * (at(by) - at(by.map(|by| -by))) / 2e-6;
                    let (dc, dr) = (f64::from(dc[n * stride + j]), f64::from(dr[n * stride + j]));
                    assert!((dc - of([1e-6, 0.0])).abs() < 1e-6, "{states} {hidden} {n} {j}: {dc}");
                    assert!((dr - of([0.0, 1e-6])).abs() < 1e-6, "{states} {hidden} {n} {j}: {dr}");
                }
            }
            assert!((f64::from(found) - sum).abs() < 1e-5 * sum.max(1.0), "{found} {sum}");
        }
    }
}
