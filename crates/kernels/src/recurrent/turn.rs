//! The product of a step by turns of the state: it never passes through memory.
//!
//! ```text
//! z = Σ_p turn_p(h) ⊙ D_p        D_p[j] = W[turn_p(j)][j], a diagonal of W
//! ```
//!
//! A value that every lane needs is broadcast from memory some twenty cycles after its vector
//! was stored, which is more than the product itself takes. A turn of the vector in its register
//! takes one to four. `U` turns bring each unit to each lane once, so the diagonals of W take the
//! place of its rows, with as many multiply-adds.
//!
//! The units are quads of four lanes, `Q` of them in each of `N` vectors. A turn (a, b) moves
//! quad q + a to the place of quad q, and in each quad the lane r + b to the place of lane r:
//! the second is a shuffle within 128 bits, which is cheap, and only `Q − 1` of the first have to
//! cross lanes, as whole vectors change their places for nothing.
//!
//! Back through time W is transposed, and its diagonals are those of W, turned.

use super::shuffle::{QUAD, choose, shift, turn};
use super::{Finish, Scan, input_part};
use crate::lanes::{LANES, Lanes, each, in_register, load, store, tree_sum};
use crate::rows::{Rows, ZEROS};

/// The diagonals of a matrix of `U` × `U` values, of turn (a, b) in place `a·QUAD + b`.
type Diagonals<const N: usize, const U: usize> = [[Lanes; N]; U];

/// The time loop of a single sequence of up to `U = N·Q·QUAD` units. The sum over the turns is
/// split over `SPLIT` accumulators. `beside` gets the step before and its state, in each step
/// but the first, once the product is on its way.
///
/// What binds it is latency: a turn takes 1 cycle, or 3 and 1; U / SPLIT multiply-adds take 4 each,
/// log2 SPLIT additions 3 each, and then the sigmoid 40, or the derivative's product 3. A step has N·U
/// multiply-adds and U turns, of 8 units at 8 lanes 8 and 7: ports have little to do, so what
/// `llvm-mca` says of them does not matter here.
///
/// # Safety
/// As [`super::scan`]; B is 1, `H ≤ U`, and S is `N·LANES` at least.
#[inline(always)]
pub(super) unsafe fn scan_turned<
    const N: usize,
    const Q: usize,
    const U: usize,
    const SPLIT: usize,
>(
    pass: Scan,
    finish: impl Finish,
    mut beside: impl FnMut(usize, [Lanes; N]),
) {
    const { assert!(U == N * Q * QUAD && Q * QUAD <= LANES && (N == 1 || Q * QUAD == LANES)) };
    let stride = pass.state_weights.stride;
    let steps = pass.sizes.steps;
    // SAFETY: W has H ≤ U rows of S ≥ N·LANES values.
    let mut diagonals = unsafe { diagonals::<N, Q, U>(pass.state_weights, pass.sizes.hidden) };
    if pass.backwards {
        diagonals = transposed::<N, Q, U>(&diagonals);
    }
    let mut last = [Lanes::ZERO; N];
    for step in 0..steps {
        let t = if pass.backwards { steps - 1 - step } else { step };
        // SAFETY: row t of the input has `inputs` values, and U as many rows of S ≥ N·LANES.
        let mut units: [Lanes; N] = each(|n| unsafe { input_part(&pass, t, n) });
        if step > 0 {
            let mut sums = [[Lanes::ZERO; N]; SPLIT];
            sums[0] = units;
            add_shifted::<N, Q, U, SPLIT, 0>(&mut sums, last, &diagonals);
            add_shifted::<N, Q, U, SPLIT, 1>(&mut sums, last, &diagonals);
            add_shifted::<N, Q, U, SPLIT, 2>(&mut sums, last, &diagonals);
            add_shifted::<N, Q, U, SPLIT, 3>(&mut sums, last, &diagonals);
            beside(if pass.backwards { t + 1 } else { t - 1 }, last);
            units = each(|n| tree_sum(each::<SPLIT>(|s| sums[s][n])));
        }
        for (n, last) in last.iter_mut().enumerate() {
            let offset = t * stride + n * LANES;
            // SAFETY: row t of the state has S ≥ N·LANES values, and `state` is written by this
            // pass alone.
            unsafe {
                *last = finish.of(offset, units[n]);
                store(pass.state.add(offset), *last);
            }
        }
    }
}

/// Adds the products of the turns by `S` quads, and by whole vectors more.
#[inline(always)]
fn add_shifted<
    const N: usize,
    const Q: usize,
    const U: usize,
    const SPLIT: usize,
    const S: usize,
>(
    sums: &mut [[Lanes; N]; SPLIT],
    state: [Lanes; N],
    diagonals: &Diagonals<N, U>,
) {
    if S >= Q {
        return;
    }
    let shifted = shift::<N, Q, S>(state);
    // Else each turn would be merged with the shift to one that crosses lanes.
    let shifted = if S > 0 { each(|n| in_register(shifted[n])) } else { shifted };
    add_turned::<N, Q, U, SPLIT, S, 0>(sums, shifted, diagonals);
    add_turned::<N, Q, U, SPLIT, S, 1>(sums, shifted, diagonals);
    add_turned::<N, Q, U, SPLIT, S, 2>(sums, shifted, diagonals);
    add_turned::<N, Q, U, SPLIT, S, 3>(sums, shifted, diagonals);
}

/// [`add_shifted`], of one turn within the quads.
#[inline(always)]
fn add_turned<
    const N: usize,
    const Q: usize,
    const U: usize,
    const SPLIT: usize,
    const S: usize,
    const B: usize,
>(
    sums: &mut [[Lanes; N]; SPLIT],
    shifted: [Lanes; N],
    diagonals: &Diagonals<N, U>,
) {
    let turned: [Lanes; N] = each(|n| turn::<B>(shifted[n]));
    for m in 0..N {
        let diagonal = &diagonals[(m * Q + S) * QUAD + B];
        let sum = &mut sums[((S * QUAD + B) * N + m) % SPLIT];
        for n in 0..N {
            sum[n] = turned[(n + m) % N].mul_add(diagonal[n], sum[n]);
        }
    }
}

/// The diagonals of the `count` rows of `weights`, filled up with zeros to `U`.
///
/// # Safety
/// The rows have N·LANES values at least, and there are `U` at most.
#[inline(always)]
unsafe fn diagonals<const N: usize, const Q: usize, const U: usize>(
    weights: Rows,
    count: usize,
) -> Diagonals<N, U> {
    let mut diagonals = [[Lanes::ZERO; N]; U];
    for n in 0..N {
        // First in each quad of rows: lane r of turn b comes from row r + b. Then the quads of
        // rows: quad q of turn a comes from quad q + a. Each by the bits of the lane's number.
        let mut rows = [Lanes::ZERO; U];
        for (g, quad) in rows.as_chunks_mut::<QUAD>().0.iter_mut().enumerate() {
            let [a, b, c, d] = each(|k| {
                let k = g * QUAD + k;
                let row =
                    if k < count { weights.at(k).wrapping_add(n * LANES) } else { ZEROS.as_ptr() };
                // SAFETY: a row below `count` has N·LANES values, and ZEROS has 16.
                unsafe { load(row) }
            });
            let [a, b, c, d] =
                [choose::<1>(a, b), choose::<1>(b, c), choose::<1>(c, d), choose::<1>(d, a)];
            quad[0] = choose::<2>(a, c);
            quad[1] = choose::<2>(b, d);
            quad[2] = choose::<2>(c, a);
            quad[3] = choose::<2>(d, b);
        }
        let two: [Lanes; U] =
            if Q > 1 { each(|p| choose::<4>(rows[p], rows[(p + QUAD) % U])) } else { rows };
        let four: [Lanes; U] =
            if Q > 2 { each(|p| choose::<8>(two[p], two[(p + 2 * QUAD) % U])) } else { two };
        // Vector n begins at quad n·Q.
        for p in 0..U {
            diagonals[p][n] = four[(p + n * Q * QUAD) % U];
        }
    }
    diagonals
}

/// The diagonals of the transposed matrix.
#[inline(always)]
fn transposed<const N: usize, const Q: usize, const U: usize>(
    diagonals: &Diagonals<N, U>,
) -> Diagonals<N, U> {
    let mut transposed = [[Lanes::ZERO; N]; U];
    transposed_shift::<N, Q, U, 0>(diagonals, &mut transposed);
    transposed_shift::<N, Q, U, 1>(diagonals, &mut transposed);
    transposed_shift::<N, Q, U, 2>(diagonals, &mut transposed);
    transposed_shift::<N, Q, U, 3>(diagonals, &mut transposed);
    transposed
}

/// [`transposed`], for the turns by `S` quads, and by whole vectors more.
#[inline(always)]
fn transposed_shift<const N: usize, const Q: usize, const U: usize, const S: usize>(
    diagonals: &Diagonals<N, U>,
    transposed: &mut Diagonals<N, U>,
) {
    if S >= Q {
        return;
    }
    for m in 0..N {
        let a = m * Q + S;
        let opposite = (N * Q - a) % (N * Q) * QUAD;
        let of = |b: usize| {
            let shifted = shift::<N, Q, S>(diagonals[opposite + (QUAD - b) % QUAD]);
            each::<N>(|n| in_register(shifted[(n + m) % N]))
        };
        let [zero, one, two, three] = [of(0), of(1), of(2), of(3)];
        transposed[a * QUAD] = zero;
        transposed[a * QUAD + 1] = each(|n| turn::<1>(one[n]));
        transposed[a * QUAD + 2] = each(|n| turn::<2>(two[n]));
        transposed[a * QUAD + 3] = each(|n| turn::<3>(three[n]));
    }
}
