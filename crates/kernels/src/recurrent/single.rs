//! The time loops of a single sequence of 9 to 64 units, with W in L1.
//!
//! Forward the lanes run along the sums, and each unit is spread over a vector:
//!
//! ```text
//! z = Σ_k h[k] · W[k, ·]
//! ```
//!
//! Back, the same rows of W are read, but the lanes run along what is summed:
//!
//! ```text
//! z[j] = Σ_lanes Σ_n dz[n] ⊙ W[j, n]
//! ```
//!
//! so that W need not be transposed first, nor `dz` leave its registers. The sums across lanes
//! ([`dots`]) take about three operations a row, most of them on ports that have nothing to
//! multiply.
//!
//! All strides are constants. A last quad of rows that H does not fill is filled up by rows of
//! zeros: a step has no loop for a remainder.

use super::shuffle::{QUAD, QUADS, halves, spread_lane, spread_quad};
use super::{Finish, ROW, Scan};
use crate::lanes::{LANES, Lanes, each, in_register, load, store, tree_sum};
use crate::rows::{Rows, RowsMut};
use crate::tail_mask::first_lanes;
use std::array;

/// The most units of these loops.
pub(super) const MOST: usize = 64;

/// A row of W that is not there.
static ZEROS: [f32; MOST] = [0.0; MOST];

/// Runs `pass` forward.
///
/// # Safety
/// As [`super::scan`]; B is 1, and H is 9 to [`MOST`].
#[inline(always)]
pub(super) unsafe fn scan_forward(pass: Scan, finish: impl Finish) {
    // SAFETY: as asked above; H is in N vectors, and where K is said, in K quads.
    unsafe {
        match pass.sizes.hidden {
            ..=12 => forward_in_registers::<{ 16 / LANES }, 3, 4>(pass, finish),
            13..=16 => forward_in_registers::<{ 16 / LANES }, 4, 4>(pass, finish),
            17..=20 => forward_in_registers::<{ 24 / LANES + LANES / 16 }, 5, 2>(pass, finish),
            21..=24 => forward_in_registers::<{ 24 / LANES + LANES / 16 }, 6, 2>(pass, finish),
            25..=28 => forward_in_registers::<{ 32 / LANES }, 7, 2>(pass, finish),
            29..=32 => forward_in_registers::<{ 32 / LANES }, 8, 2>(pass, finish),
            33..=40 if LANES == 8 => forward_in_memory::<5, 3, 2, 2>(pass, finish),
            41..=48 if LANES == 8 => forward_in_memory::<6, 3, 3, 2>(pass, finish),
            49..=56 if LANES == 8 => forward_in_memory::<7, 4, 3, 2>(pass, finish),
            _ if LANES == 8 => forward_in_memory::<8, 4, 4, 2>(pass, finish),
            33..=48 => forward_in_memory::<3, 2, 1, 4>(pass, finish),
            _ => forward_in_memory::<4, 2, 2, 4>(pass, finish),
        }
    }
}

/// Runs `pass` back, and beside it, while the chain waits, sums the gradient of W; `h` are the
/// states of the forward pass. Says whether it has summed it.
///
/// # Safety
/// As [`scan_forward`]; `h` has T rows of S values, and `dw` H rows of S values.
#[inline(always)]
pub(super) unsafe fn scan_back(pass: Scan, finish: impl Finish, h: Rows, dw: RowsMut) -> bool {
    let beside = Beside { h, dw };
    // SAFETY: as asked above; H is in N vectors, and where K is said, in K quads.
    unsafe {
        match pass.sizes.hidden {
            ..=12 => back_in_registers::<{ 16 / LANES }, 3, true>(pass, finish, beside),
            13..=16 => back_in_registers::<{ 16 / LANES }, 4, true>(pass, finish, beside),
            17..=20 => {
                back_in_registers::<{ 24 / LANES + LANES / 16 }, 5, false>(pass, finish, beside);
            }
            21..=24 => {
                back_in_registers::<{ 24 / LANES + LANES / 16 }, 6, false>(pass, finish, beside);
            }
            25..=28 => back_in_registers::<{ 32 / LANES }, 7, false>(pass, finish, beside),
            29..=32 => back_in_registers::<{ 32 / LANES }, 8, false>(pass, finish, beside),
            33..=40 if LANES == 8 => back_in_memory::<5>(pass, finish),
            41..=48 if LANES == 8 => back_in_memory::<6>(pass, finish),
            49..=56 if LANES == 8 => back_in_memory::<7>(pass, finish),
            _ if LANES == 8 => back_in_memory::<8>(pass, finish),
            33..=48 => back_in_memory::<3>(pass, finish),
            _ => back_in_memory::<4>(pass, finish),
        }
    }
    pass.sizes.hidden <= 16
}

/// What is summed beside the way back: `dw += h[t]ᵀ dz[t + 1]`.
#[derive(Clone, Copy)]
struct Beside {
    /// `[T, S]`
    h: Rows,
    /// `[H, S]`
    dw: RowsMut,
}

impl Beside {
    /// Writes zeros.
    ///
    /// # Safety
    /// `dw` has `hidden` rows.
    unsafe fn clear(self, hidden: usize) {
        for k in 0..hidden {
            // SAFETY: row k is one of `hidden`, of S = stride values.
            unsafe { self.dw.at(k).write_bytes(0, self.dw.stride) };
        }
    }

    /// Adds the products of a step; the first overwrites what was there.
    ///
    /// # Safety
    /// `h` has row t, `dw` has `hidden` rows, and S is N·LANES at least.
    #[inline(always)]
    unsafe fn add<const N: usize>(self, t: usize, dz: [Lanes; N], hidden: usize, is_first: bool) {
        let values = self.h.at(t);
        let mut dz = dz;
        dz[N - 1] = first_lanes(hidden - (N - 1) * LANES, dz[N - 1]);
        for k in 0..hidden {
            // SAFETY: k is below `hidden` ≤ S, so a value of row t, and a row of `dw`.
            unsafe {
                let (value, sums) = (Lanes::splat(*values.add(k)), self.dw.at(k));
                for (n, dz) in dz.into_iter().enumerate() {
                    let sum = sums.add(n * LANES);
                    let before = if is_first { Lanes::ZERO } else { load(sum) };
                    store(sum, value.mul_add(dz, before));
                }
                if is_first && N * LANES < stride(N) {
                    store(sums.add(N * LANES), Lanes::ZERO);
                }
            }
        }
    }
}

/// S of units that fill `N` vectors.
const fn stride(vectors: usize) -> usize {
    (vectors * LANES).next_multiple_of(ROW)
}

/// W, whose rows have `N` vectors.
#[derive(Clone, Copy)]
struct Matrix<const N: usize> {
    start: *const f32,
    /// The rows of the last quad.
    last: [*const f32; QUAD],
}

impl<const N: usize> Matrix<N> {
    fn new(weights: Rows, hidden: usize) -> Self {
        let first = (hidden - 1) / QUAD * QUAD;
        let row =
            |r: usize| if first + r < hidden { weights.at(first + r) } else { ZEROS.as_ptr() };
        Self { start: weights.start, last: [row(0), row(1), row(2), row(3)] }
    }

    /// Row `r` of quad `quad`, of `quads` that W has.
    #[inline(always)]
    fn row(&self, quad: usize, r: usize, quads: usize) -> *const f32 {
        if quad + 1 < quads {
            self.start.wrapping_add((quad * QUAD + r) * stride(N))
        } else {
            self.last[r]
        }
    }
}

/// `input[t]·U`
///
/// # Safety
/// As [`super::scan`]; S is N·LANES at least, and t < T.
#[inline(always)]
unsafe fn inputs<const N: usize>(pass: &Scan, t: usize) -> [Lanes; N] {
    let values = pass.input.at(t);
    let mut sums = [Lanes::ZERO; N];
    for k in 0..pass.inputs {
        // SAFETY: row t of the input has `inputs` values, and U as many rows of S values.
        unsafe {
            let (value, row) = (Lanes::splat(*values.add(k)), pass.input_weights.at(k));
            sums = each(|n| value.mul_add(load(row.add(n * LANES)), sums[n]));
        }
    }
    sums
}

/// The steps of a pass in its order: each, and the one before it.
#[inline(always)]
fn order(pass: &Scan) -> impl Iterator<Item = (usize, Option<usize>)> + use<> {
    let (steps, backwards) = (pass.sizes.steps, pass.backwards);
    (0..steps).map(move |step| {
        let t = if backwards { steps - 1 - step } else { step };
        let before = if backwards { t + 1 } else { t.wrapping_sub(1) };
        (t, (step > 0).then_some(before))
    })
}

/// Forward, of units in `N` vectors and `K` quads, whose states stay in registers.
///
/// What binds it is the chain of product and sigmoid. A step has N·4K multiply-adds, each with a load
/// of W, 5K shuffles and 26 operations for each sigmoid. Of 16 units at 8 lanes that are 32, 20 and
/// 52: 30 cycles for the ports that multiply, but a chain of some 85, namely a shuffle of 3 and one of 1,
/// 16 cycles of multiply-adds and the last of 4, two additions, some waiting for a port, and the
/// sigmoid's 40. Of 32 units there are 184 for these ports, 92 cycles of a chain of 155.
///
/// The units are spread by shuffles, since a load of theirs would take the place of one of W, and
/// come some twenty cycles after its store. `llvm-mca -mcpu=skylake` tells the chain well (82 to 86
/// cycles); its model of Zen 3 has the same length, but takes a multiply-add for two cycles, so
/// that ports seem to bind where latency does; that of Zen 2 takes a shuffle across halves for many.
///
/// # Safety
/// As [`super::scan`]; B is 1, N·LANES the first multiple of LANES from H on, and K·QUAD that of
/// QUAD.
#[inline(always)]
unsafe fn forward_in_registers<const N: usize, const K: usize, const SPLIT: usize>(
    pass: Scan,
    finish: impl Finish,
) {
    let matrix = Matrix::<N>::new(pass.state_weights, pass.sizes.hidden);
    let mut last = [Lanes::ZERO; N];
    for (t, before) in order(&pass) {
        let mut sums = [[Lanes::ZERO; N]; SPLIT];
        // SAFETY: t is below T, and S ≥ N·LANES; W has the rows of K quads, with those of zeros.
        // Row t of the state has S ≥ N·LANES values, and `state` is written by this pass alone.
        unsafe {
            sums[0] = inputs::<N>(&pass, t);
            let state = last;
            if before.is_some() {
                add_quad::<N, K, SPLIT, 0>(&mut sums, state, &matrix);
                add_quad::<N, K, SPLIT, 1>(&mut sums, state, &matrix);
                add_quad::<N, K, SPLIT, 2>(&mut sums, state, &matrix);
                add_quad::<N, K, SPLIT, 3>(&mut sums, state, &matrix);
                add_quad::<N, K, SPLIT, 4>(&mut sums, state, &matrix);
                add_quad::<N, K, SPLIT, 5>(&mut sums, state, &matrix);
                add_quad::<N, K, SPLIT, 6>(&mut sums, state, &matrix);
                let values = match K {
                    3 => spread::<N, 2>(state),
                    4 => spread::<N, 3>(state),
                    5 => spread::<N, 4>(state),
                    6 => spread::<N, 5>(state),
                    7 => spread::<N, 6>(state),
                    _ => spread::<N, 7>(state),
                };
                for n in 0..N {
                    for r in 0..QUAD {
                        let sum = &mut sums[r % SPLIT][n];
                        *sum = values[r].mul_add(load(matrix.last[r].add(n * LANES)), *sum);
                    }
                    sums[0][n] = tree_sum(each::<SPLIT>(|s| sums[s][n]));
                    // Up to three vectors: the first is finished while the last are summed. The
                    // registers do not hold more beside what the sigmoid needs.
                    if N < 4 {
                        let offset = t * stride(N) + n * LANES;
                        last[n] = finish.of(offset, in_register(sums[0][n]));
                        store(pass.state.add(offset), last[n]);
                    }
                }
                if N < 4 {
                    continue;
                }
            }
            for n in 0..N {
                let offset = t * stride(N) + n * LANES;
                last[n] = finish.of(offset, sums[0][n]);
                store(pass.state.add(offset), last[n]);
            }
        }
    }
}

/// Adds the products of the units of quad `Q`, of `K`.
///
/// # Safety
/// `matrix` has K quads of rows.
#[inline(always)]
unsafe fn add_quad<const N: usize, const K: usize, const SPLIT: usize, const Q: usize>(
    sums: &mut [[Lanes; N]; SPLIT],
    state: [Lanes; N],
    matrix: &Matrix<N>,
) {
    if Q + 1 >= K {
        return;
    }
    for (r, value) in spread::<N, Q>(state).into_iter().enumerate() {
        let row = matrix.row(Q, r, K);
        let sums = &mut sums[(Q * QUAD + r) % SPLIT];
        // SAFETY: a row of the matrix has N vectors.
        *sums = each(|n| value.mul_add(unsafe { load(row.add(n * LANES)) }, sums[n]));
    }
}

/// Each unit of quad `Q` in all lanes of a vector.
#[inline(always)]
fn spread<const N: usize, const Q: usize>(state: [Lanes; N]) -> [Lanes; QUAD] {
    let vector = state[Q / QUADS % N];
    let quad = in_register(match Q % QUADS {
        0 => spread_quad::<0>(vector),
        1 => spread_quad::<1>(vector),
        2 => spread_quad::<2>(vector),
        _ => spread_quad::<3>(vector),
    });
    [spread_lane::<0>(quad), spread_lane::<1>(quad), spread_lane::<2>(quad), spread_lane::<3>(quad)]
}

/// Back, of units in `N` vectors and `K` quads.
///
/// What binds it is latency up to 16 units: of a row's sum, of the sums across lanes (an addition and
/// a shuffle for each of log2 LANES levels) and of the derivative. A step has N·4K multiply-adds, and
/// for each LANES rows LANES − 1 times an addition, a shuffle and a choice. Of 16 units at 8 lanes
/// that are 32 and 42; with the gradient beside them 116 loads and stores, 39 cycles at three in
/// each. A step takes longer than any of these counts, which is not explained yet.
///
/// From 17 units on it is the ports: of 32 at 8 lanes 128 multiply-adds and 84 others, all of which
/// wait for the whole of the step before.
///
/// # Safety
/// As [`forward_in_registers`].
#[inline(always)]
unsafe fn back_in_registers<const N: usize, const K: usize, const SUMS: bool>(
    pass: Scan,
    finish: impl Finish,
    beside: Beside,
) {
    let (steps, hidden) = (pass.sizes.steps, pass.sizes.hidden);
    if SUMS && steps < 2 {
        // SAFETY: the gradient has H rows.
        unsafe { beside.clear(hidden) };
    }
    let matrix = Matrix::<N>::new(pass.state_weights, pass.sizes.hidden);
    let mut last = [Lanes::ZERO; N];
    for (t, before) in order(&pass) {
        // SAFETY: t is below T, and S ≥ N·LANES; W has the rows of K quads, with those of zeros.
        let (units, inputs) = unsafe {
            let inputs = inputs::<N>(&pass, t);
            let mut sums = [Lanes::ZERO; N];
            if before.is_some() {
                set_dots::<N, K, 0>(&mut sums, last, &matrix);
                set_dots::<N, K, 1>(&mut sums, last, &matrix);
                set_dots::<N, K, 2>(&mut sums, last, &matrix);
                set_dots::<N, K, 3>(&mut sums, last, &matrix);
                // A constant in each call: so no step but the first asks.
                match SUMS.then_some(t + 2 == steps) {
                    Some(true) => beside.add(t, last, hidden, true),
                    Some(false) => beside.add(t, last, hidden, false),
                    None => {}
                }
            }
            (sums, inputs)
        };
        for n in 0..N {
            let offset = t * stride(N) + n * LANES;
            // SAFETY: row t of the state has S ≥ N·LANES values, and `state` is written by this
            // pass alone.
            unsafe {
                last[n] = finish.of_two(offset, units[n], inputs[n]);
                store(pass.state.add(offset), last[n]);
            }
        }
    }
}

/// Sets vector `M` of the sums to the products of its rows with `values`.
///
/// # Safety
/// `matrix` has K quads of rows.
#[inline(always)]
unsafe fn set_dots<const N: usize, const K: usize, const M: usize>(
    sums: &mut [Lanes; N],
    values: [Lanes; N],
    matrix: &Matrix<N>,
) {
    if M >= N {
        return;
    }
    // SAFETY: the quads are some of K.
    let dots = unsafe {
        dots(values, |j| {
            let quad = M * QUADS + j / QUAD;
            (quad < K).then(|| matrix.row(quad, j % QUAD, K))
        })
    };
    sums[M % N] = dots;
}

/// In lane j the product of `values` with row `row(j)`, or zero where there is none.
///
/// A level halves the vectors: it adds the lanes of two that stand half a block apart, and leaves
/// each in the half that has the number of its row. The level that takes most operations is the
/// last. Depth first, so that few vectors wait in registers.
///
/// # Safety
/// The rows have N vectors.
#[inline(always)]
unsafe fn dots<const N: usize>(
    values: [Lanes; N],
    row: impl Fn(usize) -> Option<*const f32> + Copy,
) -> Lanes {
    // SAFETY: as asked above.
    unsafe {
        let [even, odd] = if LANES == 16 {
            [
                halves::<8>(four_dots(values, row, 0), four_dots(values, row, 8)),
                halves::<8>(four_dots(values, row, 1), four_dots(values, row, 9)),
            ]
        } else {
            [four_dots(values, row, 0), four_dots(values, row, 1)]
        };
        halves::<1>(even, odd)
    }
}

/// Of [`dots`], rows j, j + 2, j + 4 and j + 6.
///
/// # Safety
/// As [`dots`].
#[inline(always)]
unsafe fn four_dots<const N: usize>(
    values: [Lanes; N],
    row: impl Fn(usize) -> Option<*const f32>,
    j: usize,
) -> Lanes {
    // SAFETY: as asked above.
    unsafe {
        // Held, or the compiler would begin all rows before it ends one.
        in_register(halves::<4>(
            halves::<2>(dot(values, row(j)), dot(values, row(j + 2))),
            halves::<2>(dot(values, row(j + 4)), dot(values, row(j + 6))),
        ))
    }
}

/// The products of `values` with a row, summed to one vector; zero if there is none.
///
/// # Safety
/// The row has N vectors.
#[inline(always)]
unsafe fn dot<const N: usize>(values: [Lanes; N], row: Option<*const f32>) -> Lanes {
    let Some(row) = row else { return Lanes::ZERO };
    // SAFETY: the row has N vectors.
    let weight = |n: usize| unsafe { load(row.add(n * LANES)) };
    let mut sum = values[0] * weight(0);
    #[allow(clippy::needless_range_loop)] // iterators would spill the values to memory
    for n in 1..N {
        sum = values[n].mul_add(weight(n), sum);
    }
    sum
}

/// Forward, of units in `N` vectors, the states in memory: first the sums of `A` vectors, then of
/// the other `B`.
///
/// What binds it are the loads of W, one for each multiply-add, and two broadcasts for each unit: of
/// 64 units at 8 lanes 512 multiply-adds (256 cycles) and 640 loads (at most three in a cycle, of
/// which two of 256 bits). The sigmoid of the first part is computed beside the
/// product of the second, and that of the second beside the next step's product of the units of the
/// first.
///
/// # Safety
/// As [`super::scan`]; the number of sequences is 1, N = A + B, and N·LANES is the first multiple of LANES
/// from H on.
#[inline(always)]
unsafe fn forward_in_memory<const N: usize, const A: usize, const B: usize, const SPLIT: usize>(
    pass: Scan,
    finish: impl Finish,
) {
    const { assert!(A + B == N) };
    let matrix = Matrix::<N>::new(pass.state_weights, pass.sizes.hidden);
    let state = RowsMut { start: pass.state, stride: stride(N) };
    for (t, before) in order(&pass) {
        let before = before.map(|before| state.at(before).cast_const());
        // SAFETY: t and `before` are below T, and S ≥ N·LANES.
        unsafe {
            let units = inputs::<N>(&pass, t);
            let first = columns::<N, A, SPLIT>(&matrix, &pass, before, 0, each(|n| units[n]));
            for (n, sum) in first.into_iter().enumerate() {
                let offset = t * stride(N) + n * LANES;
                store(pass.state.add(offset), finish.of(offset, sum));
            }
            let second = columns::<N, B, SPLIT>(&matrix, &pass, before, A, each(|n| units[A + n]));
            for (n, sum) in second.into_iter().enumerate() {
                let offset = t * stride(N) + (A + n) * LANES;
                store(pass.state.add(offset), finish.of(offset, sum));
            }
        }
    }
}

/// `start` + the product, of `C` vectors from vector `first` on.
///
/// # Safety
/// As [`forward_in_memory`]; first + C ≤ N, and `before` is a row of the state.
#[inline(always)]
unsafe fn columns<const N: usize, const C: usize, const SPLIT: usize>(
    matrix: &Matrix<N>,
    pass: &Scan,
    before: Option<*const f32>,
    first: usize,
    start: [Lanes; C],
) -> [Lanes; C] {
    let Some(before) = before else { return start };
    let mut sums = [[Lanes::ZERO; C]; SPLIT];
    sums[0] = start;
    let last = (pass.sizes.hidden - 1) / QUAD * QUAD;
    let (mut row, mut k) = (matrix.start.wrapping_add(first * LANES), 0);
    // SAFETY: a state has the values of all quads, and a row of W N vectors, of which C from
    // `first` on are these.
    unsafe {
        while k < last {
            let rows = each_row(|r| row.wrapping_add(r * stride(N)));
            add_four(&mut sums, rows, before.add(k));
            (row, k) = (row.wrapping_add(QUAD * stride(N)), k + QUAD);
        }
        let rows = each_row(|r| matrix.last[r].wrapping_add(first * LANES));
        add_four(&mut sums, rows, before.add(k));
    }
    each(|n| tree_sum(each::<SPLIT>(|s| sums[s][n])))
}

fn each_row(row: impl Fn(usize) -> *const f32) -> [*const f32; QUAD] {
    [row(0), row(1), row(2), row(3)]
}

/// Adds the products of four values and rows.
///
/// # Safety
/// There are four values, and a row has C vectors.
#[inline(always)]
unsafe fn add_four<const C: usize, const SPLIT: usize>(
    sums: &mut [[Lanes; C]; SPLIT],
    rows: [*const f32; QUAD],
    values: *const f32,
) {
    for (r, row) in rows.into_iter().enumerate() {
        // SAFETY: as asked above.
        unsafe {
            let value = Lanes::splat(*values.add(r));
            let sums = &mut sums[r % SPLIT];
            *sums = each(|n| value.mul_add(load(row.add(n * LANES)), sums[n]));
        }
    }
}

/// Back, of units in `N` vectors, the sums of one after the other.
///
/// What binds it are the ports: of 64 units at 8 lanes 512 multiply-adds, each with a load of W, and
/// 168 operations for the sums across lanes. At 8 lanes W and its gradient take 32 KiB, all of many an
/// L1: then some of W comes from L2.
///
/// # Safety
/// As [`forward_in_memory`].
#[inline(always)]
unsafe fn back_in_memory<const N: usize>(pass: Scan, finish: impl Finish) {
    let weights = pass.state_weights;
    let row = |j: usize| if j < pass.sizes.hidden { weights.at(j) } else { ZEROS.as_ptr() };
    let last: [*const f32; LANES] = array::from_fn(|j| row((N - 1) * LANES + j));
    let state = RowsMut { start: pass.state, stride: stride(N) };
    for (t, before) in order(&pass) {
        // SAFETY: t and `before` are below T, and S ≥ N·LANES; all vectors but the last have LANES
        // rows of W, and it has those of `last`.
        unsafe {
            let units = inputs::<N>(&pass, t);
            let Some(before) = before else {
                for (n, sum) in units.into_iter().enumerate() {
                    let offset = t * stride(N) + n * LANES;
                    store(pass.state.add(offset), finish.of(offset, sum));
                }
                continue;
            };
            let values: [Lanes; N] = each(|n| load(state.at(before).add(n * LANES)));
            let offset = t * stride(N);
            let mut rows = weights.start;
            for n in 0..N - 1 {
                let sum = dots(values, |j| Some(rows.wrapping_add(j * stride(N))));
                let offset = offset + n * LANES;
                store(pass.state.add(offset), finish.of_two(offset, sum, one_input(&pass, t, n)));
                rows = rows.wrapping_add(LANES * stride(N));
            }
            let sum = dots(values, |j| Some(last[j]));
            let offset = offset + (N - 1) * LANES;
            store(pass.state.add(offset), finish.of_two(offset, sum, one_input(&pass, t, N - 1)));
        }
    }
}

/// Vector n of [`inputs`].
///
/// # Safety
/// As [`inputs`]; n < N.
#[inline(always)]
unsafe fn one_input(pass: &Scan, t: usize, n: usize) -> Lanes {
    // SAFETY: row t of the input is one of T.
    unsafe { super::input_part(pass, t, n) }
}
