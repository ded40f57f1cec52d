//! The pre-activations of a few rows, `start + a·U + b·W`, for all gates of some units at
//! a time, so that the gates can be applied to sums in registers.
//!
//! ```text
//! for each tile of R rows and V vectors of units
//!   sums[r][v][g] = start + Σ_k a[r, k]·U[k, v, g] + Σ_k b[r, k]·W[k, v, g]
//!   finish(r, v, sums[r][v])
//! ```
//!
//! 1. A row of weights is read in place, G vectors for each vector of units; nothing is
//!    packed, since a few rows read each weight only once or twice.
//! 2. A single row takes four vectors of units at a time: long pieces of each row of
//!    weights, which are read from L2 faster than short ones, and enough sums to hide the
//!    latency of the multiply-add. Where fewer vectors are left, the sum over k is split
//!    over `SPLIT` accumulators instead.
//! 3. Two, three or four rows share each load. With 16 registers, which hold the sums of one row for
//!    all gates of a vector, those of more rows lie in L1 (`of_few`).
//! 4. The gates of a tile are computed after its sums, those of all its vectors together:
//!    each is a long chain, and the chains overlap.
//!
//! Lower bound: reading the weights, a load for each multiply-add.
//!
//! Not a product of matrices: from about eight rows on, packed weights are faster.

use super::{GROUP, few};
use crate::lanes::{LANES, Lanes, each, load, store, tree_sum};
use crate::rows::{Rows, RowsMut};
use std::array;
use std::mem::MaybeUninit;

/// One product: `values` `[rows, depth]` times `weights` `[depth, G·S]`.
#[derive(Clone, Copy)]
pub(super) struct Term {
    pub(super) values: Rows,
    pub(super) weights: Rows,
    pub(super) depth: usize,
}

/// Where the gates of the vector of units that starts at `unit` begin in a row.
#[inline(always)]
pub(super) fn first_gate<const G: usize>(unit: usize) -> usize {
    unit / GROUP * (G * GROUP) + unit % GROUP
}

/// Loads the `G` gates of the vector of units that starts at `unit` from a grouped row.
///
/// # Safety
/// The row has more than `unit` units, rounded up to [`GROUP`].
#[inline(always)]
pub(super) unsafe fn load_gates<const G: usize>(row: *const f32, unit: usize) -> [Lanes; G] {
    // SAFETY: the row has S > `unit` units, so G blocks of GROUP values from that of `unit` on,
    // and a vector does not leave its block.
    each(|g| unsafe { load(row.add(first_gate::<G>(unit) + g * GROUP)) })
}

/// Stores the gates of a vector of units where [`load_gates`] finds them.
///
/// # Safety
/// As [`load_gates`], for writing.
#[inline(always)]
pub(super) unsafe fn store_gates<const G: usize>(row: *mut f32, unit: usize, gates: [Lanes; G]) {
    for (g, &gate) in gates.iter().enumerate() {
        // SAFETY: the row has S > `unit` units, so G blocks of GROUP values from that of `unit`
        // on, valid for writing, and a vector does not leave its block.
        unsafe { store(row.add(first_gate::<G>(unit) + g * GROUP), gate) };
    }
}

/// The `G` gates of the vector of units that starts at `unit` of a bias, or zeros.
///
/// # Safety
/// The bias, where there is one, is a grouped row of more than `unit` units, rounded up to
/// [`GROUP`].
#[inline(always)]
pub(super) unsafe fn bias_of<const G: usize>(bias: Option<&[f32]>, unit: usize) -> [Lanes; G] {
    // SAFETY: the bias has more than `unit` units.
    bias.map_or([Lanes::ZERO; G], |bias| unsafe { load_gates(bias.as_ptr(), unit) })
}

/// Calls `finish(row, unit, start(row, unit) + Σ terms)` for each row and each vector of
/// units.
///
/// # Safety
/// The terms have `rows` rows of `depth` values, and `depth` rows of `G·units` weights;
/// `units` is a multiple of [`GROUP`].
#[inline(always)]
pub(super) unsafe fn for_each<const G: usize, const N: usize>(
    rows: usize,
    units: usize,
    terms: [Term; N],
    start: impl Fn(usize, usize) -> [Lanes; G],
    mut finish: impl FnMut(usize, usize, [Lanes; G]),
) {
    let (start, finish) = (&start, &mut finish);
    if LANES == 8 && G > 1 && (2..=few::MOST).contains(&rows) {
        // SAFETY: as asked above, for no more rows than MOST.
        return unsafe { of_few(rows, units, terms, start, finish) };
    }
    // SAFETY: `unit` is below `units`, and a column takes 4 vectors only where 4 are left, else
    // one; the terms have all rows and weights that a column reads.
    unsafe {
        let mut unit = 0;
        while unit < units {
            let vectors = (units - unit) / LANES;
            unit += match (G, vectors) {
                (1, 4..) => column::<G, 4, 4, N>(rows, unit, terms, start, finish),
                (3.., 4..) if rows == 1 => column::<G, 4, 1, N>(rows, unit, terms, start, finish),
                _ => column::<G, 1, 4, N>(rows, unit, terms, start, finish),
            };
        }
    }
}

/// [`for_each`] for up to [`few::MOST`] rows, which share each weight that is loaded: the sums of
/// some units go to a block in L1, since the registers hold too few rows of all gates of a vector.
///
/// # Safety
/// As [`for_each`].
#[inline(always)]
unsafe fn of_few<const G: usize, const N: usize>(
    rows: usize,
    units: usize,
    terms: [Term; N],
    start: &impl Fn(usize, usize) -> [Lanes; G],
    finish: &mut impl FnMut(usize, usize, [Lanes; G]),
) {
    let mut block = [const { MaybeUninit::<[f32; COLUMNS]>::uninit() }; few::MOST];
    let z = RowsMut { start: block.as_mut_ptr().cast(), stride: COLUMNS };
    let most = const { COLUMNS / G / GROUP * GROUP };
    for first in (0..units).step_by(most) {
        let count = most.min(units - first);
        // SAFETY: `first + unit` is below `units`, and the gates of `count` units fit into a row of
        // the block, whose values are written before they are read; the terms have all rows, and
        // weights for these units.
        unsafe {
            for row in 0..rows {
                for unit in (0..count).step_by(LANES) {
                    store_gates(z.at(row), unit, start(row, first + unit));
                }
            }
            for Term { values, weights, depth } in terms {
                let start = weights.start.wrapping_add(first_gate::<G>(first));
                few::add(values, Rows { start, ..weights }, depth, z, rows, G * count);
            }
            for row in 0..rows {
                for unit in (0..count).step_by(LANES) {
                    finish(row, first + unit, load_gates(z.at(row), unit));
                }
            }
        }
    }
}

/// Columns of the block of [`of_few`].
const COLUMNS: usize = 128;

/// `start` + the product, for one row and one vector of units.
///
/// # Safety
/// As [`for_each`]; row and vector are within them.
#[inline(always)]
pub(super) unsafe fn of_one<const G: usize>(
    row: usize,
    unit: usize,
    term: Term,
    start: [Lanes; G],
) -> [Lanes; G] {
    let mut sums = start;
    // SAFETY: the term has row `row`, and weights for the vector at `unit`; of a tile of one
    // row and one vector, no more is read.
    unsafe {
        tile::<G, 1, 1, 4, 1>(row, unit, [term], &|_, _| start, &mut |_, _, all| sums = all);
    }
    sums
}

/// All rows of `V` vectors of units; returns how many units these are.
///
/// # Safety
/// As [`for_each`]; the vectors are within the units.
#[inline(always)]
unsafe fn column<const G: usize, const V: usize, const SPLIT: usize, const N: usize>(
    rows: usize,
    unit: usize,
    terms: [Term; N],
    start: &impl Fn(usize, usize) -> [Lanes; G],
    finish: &mut impl FnMut(usize, usize, [Lanes; G]),
) -> usize {
    let mut row = 0;
    // SAFETY: a tile of R rows begins at a row that has R - 1 behind it, and the vectors from
    // `unit` on are V.
    unsafe {
        while row < rows {
            // The sums of a tile and a value fit the registers: of 16 where there are 8 lanes.
            let most = if LANES == 8 && V == 4 { 3 } else { 4 };
            let left = rows - row;
            row += match if left > most && left % most == 1 { 2 } else { left.min(most) } {
                4 if V * G <= 4 => tile::<G, V, 4, 1, N>(row, unit, terms, start, finish),
                3 if V * G == 1 => tile::<G, V, 3, 2, N>(row, unit, terms, start, finish),
                3 if V * G <= 4 => tile::<G, V, 3, 1, N>(row, unit, terms, start, finish),
                2 if V * G == 1 => tile::<G, V, 2, 4, N>(row, unit, terms, start, finish),
                2 if V * G <= 4 => tile::<G, V, 2, 1, N>(row, unit, terms, start, finish),
                _ => tile::<G, V, 1, SPLIT, N>(row, unit, terms, start, finish),
            };
        }
    }
    V * LANES
}

/// `R` rows and `V` vectors of units; returns `R`.
///
/// # Safety
/// As [`for_each`]; the rows and vectors are within them.
#[inline(always)]
unsafe fn tile<
    const G: usize,
    const V: usize,
    const R: usize,
    const SPLIT: usize,
    const N: usize,
>(
    row: usize,
    unit: usize,
    terms: [Term; N],
    start: &impl Fn(usize, usize) -> [Lanes; G],
    finish: &mut impl FnMut(usize, usize, [Lanes; G]),
) -> usize {
    let mut sums = [[[[Lanes::ZERO; G]; V]; R]; SPLIT];
    sums[0] = array::from_fn(|r| array::from_fn(|v| start(row + r, unit + v * LANES)));
    for term in terms {
        let values = term.values.from(row);
        let mut k = 0;
        // SAFETY: k + s and k are below the depth, the terms have R rows from `row` on and
        // weights for V vectors from `unit` on.
        unsafe {
            while k + SPLIT <= term.depth {
                for (s, sums) in sums.iter_mut().enumerate() {
                    add(sums, values, term.weights, k + s, unit);
                }
                k += SPLIT;
            }
            while k < term.depth {
                add(&mut sums[0], values, term.weights, k, unit);
                k += 1;
            }
        }
    }
    // All totals before the first `finish`, which is too long to be unrolled: a loop that
    // indexes the sums would keep them in memory while they are summed.
    let total: [[[Lanes; G]; V]; R] = array::from_fn(|r| {
        array::from_fn(|v| {
            array::from_fn(|g| tree_sum(array::from_fn::<_, SPLIT, _>(|s| sums[s][r][v][g])))
        })
    });
    for (r, total) in total.into_iter().enumerate() {
        for (v, total) in total.into_iter().enumerate() {
            finish(row + r, unit + v * LANES, total);
        }
    }
    R
}

/// `sums[r][v][g] += values[r, k]·weights[k, v, g]`
///
/// # Safety
/// `values` has `R` rows of more than `k` values; row `k` of `weights` has the gates of `V`
/// vectors of units from `unit` on.
#[allow(clippy::needless_range_loop)] // iterators would spill the sums to memory
#[inline(always)]
unsafe fn add<const G: usize, const V: usize, const R: usize>(
    sums: &mut [[[Lanes; G]; V]; R],
    values: Rows,
    weights: Rows,
    k: usize,
    unit: usize,
) {
    for v in 0..V {
        // SAFETY: row k of the weights has the gates of V vectors from `unit` on, of which this
        // is one.
        let weights: [Lanes; G] = unsafe { load_gates(weights.at(k), unit + v * LANES) };
        for r in 0..R {
            // SAFETY: r is below R, and the row has more than k values.
            let value = Lanes::splat(unsafe { *values.at(r).wrapping_add(k) });
            for g in 0..G {
                sums[r][v][g] = value.mul_add(weights[g], sums[r][v][g]);
            }
        }
    }
}
