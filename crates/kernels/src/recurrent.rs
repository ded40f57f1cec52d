//! The small recurrent network, fused: a sigmoid Elman layer and its sigmoid outputs,
//! forward and back through time, for any size and batch.
//!
//! Legend: T steps, B batch, I inputs, H hidden units, O outputs; S is H rounded
//! up to [`ROW`], the length of every row that holds hidden units.
//!
//! ```text
//! forward   h[t] = σ(x[t]·W_in + h[t−1]·W_rec)         h[−1] = 0, no biases
//!           y[t] = σ(h[t]·W_outᵀ)
//! backward  dz[t] = (dy[t]·W_out + dz[t+1]·W_recᵀ) ⊙ h[t] ⊙ (1 − h[t])      dz[T] = 0
//!           dW_in = Σ x[t]ᵀ dz[t]   dW_rec = Σ h[t−1]ᵀ dz[t]   dW_out = Σ dy[t]ᵀ h[t]
//! ```
//!
//! where `dy[t]` is the gradient before the output's sigmoid. Both directions are
//! one loop, `scan`: `state[t] = finish(input[t]·U + state[t ∓ 1]·W)`.
//!
//! At batch 1 the cost is the latency of that chain, not its arithmetic:
//!
//! 1. The lanes run along the hidden units. Up to 8 units the product of a step is made from
//!    turns of the state in its registers (`turn`); up to 32 its values are spread from there
//!    (`single`). A larger state is stored once, and the load port broadcasts each value.
//! 2. The sum over H is split over enough accumulators to hide the latency of the
//!    multiply-add, and `input·U`, which nothing waits for, starts them off.
//! 3. Up to 8 units the recurrent weights stay in registers for the whole sequence; otherwise
//!    they are operands in L1, in both directions in the order in which they stand.
//! 4. Work that the chain does not need (the outputs of earlier steps, the products for the
//!    gradients) follows it in program order, and fills the slots that the chain leaves
//!    empty while it waits.
//!
//! With a larger batch the rows of a step are independent, and a tile of them shares each
//! weight that is loaded.
//!
//! Not for layers, gates or large matrices: above a few hundred units packed products are
//! faster.

mod shuffle;
mod single;
mod turn;

use turn::scan_turned;

use crate::activation::{sigmoid, sigmoid_chain_lanes};
use crate::buffer::LINE;
use crate::lanes::{LANES, Lanes, each, eights, from_eights, load, store, tree_sum};
use crate::rows::{Rows, RowsMut};
use crate::size;
use crate::tail_mask::first_lanes;
use crate::transpose::transpose;
use std::slice;
use wide::f32x8;

/// Rows of hidden units are padded to a multiple of this many values (64 bytes),
/// in every build alike. The padding of weights is zero, and stays zero.
pub const ROW: usize = LINE;

/// The length S of a row that holds `hidden` units.
///
/// # Panics
/// If it is beyond `usize`.
#[track_caller]
pub fn row_stride(hidden: usize) -> usize {
    size::padded(hidden, ROW)
}

/// The sizes of one pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// T, the steps of each sequence.
    pub steps: usize,
    /// B, the sequences side by side.
    pub batch: usize,
    /// I, the inputs of a step.
    pub inputs: usize,
    /// H, the hidden units.
    pub hidden: usize,
    /// O, the outputs of a step.
    pub outputs: usize,
}

impl Sizes {
    /// T·B, the rows of every `[T, B, ·]` array.
    ///
    /// # Panics
    /// If they are more than a `usize` counts.
    #[track_caller]
    pub fn rows(&self) -> usize {
        size::rows(self.steps, self.batch)
    }

    /// S, the length of a row of hidden units.
    ///
    /// # Panics
    /// If it is beyond `usize`.
    #[track_caller]
    pub fn stride(&self) -> usize {
        row_stride(self.hidden)
    }
}

/// The network's weights, or the sums of their gradients; padding is zero.
#[derive(Clone, Copy, Debug)]
pub struct Weights<T> {
    /// `[I, S]`, row: from input.
    pub w_in: T,
    /// `[H, S]`, row: from unit, column: to unit.
    pub w_rec: T,
    /// `[O, S]`, row: to output.
    pub w_out: T,
}

/// Memory that the backward pass needs for intermediate values.
#[derive(Debug)]
pub struct Scratch<'a> {
    /// `[T, B, S]`, the gradients before the hidden sigmoid.
    pub dz: &'a mut [f32],
    /// `[H, S]`, `W_rec` transposed, where it has to be.
    pub w_rec_t: &'a mut [f32],
}

/// Runs the network over `x` `[T, B, I]`: writes the states `h` `[T, B, S]` and the
/// outputs `y` `[T, B, O]`. The padding of `h` is finite, but not zero.
///
/// # Panics
/// If a slice does not have the length that `sizes` asks for, or there are no hidden units.
#[track_caller]
pub fn forward(sizes: Sizes, weights: Weights<&[f32]>, x: &[f32], h: &mut [f32], y: &mut [f32]) {
    check_weights(sizes, weights);
    check("x", x.len(), sizes.rows(), sizes.inputs);
    check("h", h.len(), sizes.rows(), sizes.stride());
    check("y", y.len(), sizes.rows(), sizes.outputs);

    // SAFETY: the checks above: `x` is `[T·B, I]`, `h` `[T·B, S]` and `y` `[T·B, O]`, and the
    // weights are those of so many inputs, units and outputs.
    unsafe {
        scan_forward(sizes, weights, x, h);
        let stride = sizes.stride();
        outputs(sizes, Rows::of_slice(h, stride), Rows::of_slice(weights.w_out, stride), y);
    }
}

/// The first part of [`forward`]: the states `h` `[T, B, S]` alone, so that `W_out` can be
/// changed before [`head`] computes the outputs (the early synchronisation of the output
/// layer in Hogwild!).
///
/// # Panics
/// If a slice does not have the length that `sizes` asks for, or there are no hidden units.
#[track_caller]
pub fn states(sizes: Sizes, weights: Weights<&[f32]>, x: &[f32], h: &mut [f32]) {
    check_weights(sizes, weights);
    check("x", x.len(), sizes.rows(), sizes.inputs);
    check("h", h.len(), sizes.rows(), sizes.stride());
    // SAFETY: the checks above: `x` is `[T·B, I]`, `h` `[T·B, S]`, and the weights are those of
    // so many inputs and units.
    unsafe { scan_forward(sizes, weights, x, h) };
}

/// The second part of [`forward`]: the outputs `y` `[T, B, O]` from the states `h`
/// `[T, B, S]` and `w_out` `[O, S]`.
///
/// # Panics
/// If a slice does not have the length that `sizes` asks for, or there are no hidden units.
#[track_caller]
pub fn head(sizes: Sizes, w_out: &[f32], h: &[f32], y: &mut [f32]) {
    check_hidden(sizes);
    let stride = sizes.stride();
    check("w_out", w_out.len(), sizes.outputs, stride);
    check("h", h.len(), sizes.rows(), stride);
    check("y", y.len(), sizes.rows(), sizes.outputs);
    // SAFETY: the checks above: `h` is `[T·B, S]`, `w_out` `[O, S]` and `y` `[T·B, O]`.
    unsafe { outputs(sizes, Rows::of_slice(h, stride), Rows::of_slice(w_out, stride), y) };
}

/// The part of [`backward`] that writes `dw_out` `[O, S]`: it needs the states `h`
/// `[T, B, S]` and `dy` `[T, B, O]`, but no pass back through time.
///
/// # Panics
/// If a slice does not have the length that `sizes` asks for, or there are no hidden units.
#[track_caller]
pub fn head_gradient(sizes: Sizes, h: &[f32], dy: &[f32], dw_out: &mut [f32]) {
    check_hidden(sizes);
    let stride = sizes.stride();
    check("h", h.len(), sizes.rows(), stride);
    check("dy", dy.len(), sizes.rows(), sizes.outputs);
    check("dw_out", dw_out.len(), sizes.outputs, stride);
    let dy = Columns { rows: Rows::of_slice(dy, sizes.outputs), count: sizes.outputs };
    // SAFETY: the checks above: `dy` is `[T·B, O]`, `h` `[T·B, S]` and `dw_out` `[O, S]`.
    unsafe { outer_sums(sizes.rows(), dy, Rows::of_slice(h, stride), sizes.hidden, dw_out) };
}

/// The states of [`forward`].
///
/// # Safety
/// The slices have the lengths that `sizes` asks for.
#[inline(always)]
unsafe fn scan_forward(sizes: Sizes, weights: Weights<&[f32]>, x: &[f32], h: &mut [f32]) {
    let pass = Scan {
        input: Rows::of_slice(x, sizes.inputs),
        inputs: sizes.inputs,
        input_weights: Rows::of_slice(weights.w_in, sizes.stride()),
        state: h.as_mut_ptr(),
        state_weights: Rows::of_slice(weights.w_rec, sizes.stride()),
        sizes,
        backwards: false,
    };
    // SAFETY: the slices have the lengths that `sizes` asks for, as asked above, which are the
    // shapes that `Scan` names; `h` is borrowed exclusively.
    unsafe {
        if sizes.batch == 1 {
            scan(pass, StateInChain);
        } else {
            scan(pass, State);
        }
    }
}

/// Propagates `dy` `[T, B, O]`, the gradient before the output's sigmoid, back through time,
/// and overwrites `gradients` with the gradients of the weights, summed over T and B.
///
/// `x` and `h` are those of the forward pass. Padding in `gradients` is written as zero, also
/// where a gradient is NaN.
///
/// # Panics
/// If a slice does not have the length that `sizes` asks for, or there are no hidden units.
#[track_caller]
pub fn backward(
    sizes: Sizes,
    weights: Weights<&[f32]>,
    x: &[f32],
    h: &[f32],
    dy: &[f32],
    scratch: Scratch<'_>,
    gradients: Weights<&mut [f32]>,
) {
    let stride = sizes.stride();
    check_weights(sizes, weights);
    check("x", x.len(), sizes.rows(), sizes.inputs);
    check("h", h.len(), sizes.rows(), stride);
    check("dy", dy.len(), sizes.rows(), sizes.outputs);
    check("dz", scratch.dz.len(), sizes.rows(), stride);
    check("w_rec_t", scratch.w_rec_t.len(), sizes.hidden, stride);
    check("dw_in", gradients.w_in.len(), sizes.inputs, stride);
    check("dw_rec", gradients.w_rec.len(), sizes.hidden, stride);
    check("dw_out", gradients.w_out.len(), sizes.outputs, stride);

    let needs_transposed = sizes.batch != 1 || sizes.hidden > single::MOST;
    if needs_transposed {
        let from = Rows::of_slice(weights.w_rec, stride);
        let to = RowsMut::of_slice(scratch.w_rec_t, stride);
        // SAFETY: the checks above: `w_rec` and `w_rec_t` have H rows of S values, and S is
        // a multiple of LANES and of 8, at least H; `w_rec_t` is borrowed exclusively.
        unsafe { transpose::<true>(from, sizes.hidden, sizes.hidden, to, stride) };
    }
    let h_rows = Rows::of_slice(h, stride);
    let pass = Scan {
        input: Rows::of_slice(dy, sizes.outputs),
        inputs: sizes.outputs,
        input_weights: Rows::of_slice(weights.w_out, stride),
        state: scratch.dz.as_mut_ptr(),
        state_weights: Rows::of_slice(
            if needs_transposed { scratch.w_rec_t } else { weights.w_rec },
            stride,
        ),
        sizes,
        backwards: true,
    };
    let finish = Gradient { h: h_rows };
    // By the pointer that writes them: a slice borrowed now would not outlive the writes.
    let dz = Rows { start: pass.state, stride };
    let (rows, later) = (sizes.rows(), sizes.rows() - sizes.batch.min(sizes.rows()));
    let x = Columns { rows: Rows::of_slice(x, sizes.inputs), count: sizes.inputs };
    let earlier_h = Columns { rows: h_rows, count: sizes.hidden };
    let dy = Columns { rows: Rows::of_slice(dy, sizes.outputs), count: sizes.outputs };
    // SAFETY: the checks above: `dy` is `[T·B, O]`, `h` and `dz` are `[T·B, S]`, the weights
    // and the gradients have the shapes of `Weights`, and `w_rec_t` that of `w_rec`; `dz` is
    // borrowed exclusively. The rows of `dz` from the second step on are `later`.
    unsafe {
        match sizes.hidden {
            1..=8 if sizes.batch == 1 => scan_turned_back(pass, finish, h_rows, gradients.w_rec),
            _ => {
                let dw_rec = RowsMut::of_slice(gradients.w_rec, stride);
                let is_summed = if needs_transposed {
                    scan(pass, finish);
                    false
                } else if LANES == 16 && sizes.hidden <= 16 {
                    // One vector, whose diagonals fit the registers.
                    scan_turned::<{ 16 / LANES }, { LANES / 4 }, 16, 4>(pass, finish, |_, _| {});
                    false
                } else {
                    single::scan_back(pass, finish, h_rows, dw_rec)
                };
                if !is_summed {
                    let later_dz = dz.from(rows - later);
                    outer_sums(later, earlier_h, later_dz, sizes.hidden, gradients.w_rec);
                }
            }
        }
        outer_sums(rows, x, dz, sizes.hidden, gradients.w_in);
        outer_sums(rows, dy, h_rows, sizes.hidden, gradients.w_out);
    }
}

/// Refuses an array that is not `[rows, columns]`, whose product may be beyond `usize`.
#[track_caller]
fn check(name: &str, found: usize, rows: usize, columns: usize) {
    assert!(
        rows.checked_mul(columns) == Some(found),
        "{name} holds {found} values, the sizes ask for {rows} x {columns}"
    );
}

#[track_caller]
fn check_hidden(sizes: Sizes) {
    assert!(sizes.hidden > 0, "a recurrent network has at least one hidden unit");
}

#[track_caller]
fn check_weights(sizes: Sizes, weights: Weights<&[f32]>) {
    check_hidden(sizes);
    check("w_in", weights.w_in.len(), sizes.inputs, sizes.stride());
    check("w_rec", weights.w_rec.len(), sizes.hidden, sizes.stride());
    check("w_out", weights.w_out.len(), sizes.outputs, sizes.stride());
}

/// One direction of a pass: `state[t] = finish(input[t]·U + state[t ∓ 1]·W)`.
#[derive(Clone, Copy)]
struct Scan {
    /// `[T, B, inputs]`
    input: Rows,
    inputs: usize,
    /// U `[inputs, S]`
    input_weights: Rows,
    /// `[T, B, S]`
    state: *mut f32,
    /// W `[H, S]`
    state_weights: Rows,
    sizes: Sizes,
    /// From the last step to the first.
    backwards: bool,
}

/// What a [`Scan`] makes of its sums. Functions of a trait, since a closure is not inlined
/// everywhere, and a call would push the sums of the other vectors out of their registers.
trait Finish: Copy {
    /// The vector of `state` at `offset`, from its sum.
    ///
    /// # Safety
    /// `offset` is that of a vector in a row of `state`.
    unsafe fn of(self, offset: usize, sum: Lanes) -> Lanes;

    /// [`Finish::of`] `sum + early`, of which the second has long been there.
    ///
    /// # Safety
    /// As [`Finish::of`].
    #[inline(always)]
    unsafe fn of_two(self, offset: usize, sum: Lanes, early: Lanes) -> Lanes {
        // SAFETY: as asked above.
        unsafe { self.of(offset, sum + early) }
    }

    /// What is left to do with all `count` rows of a step, of `vectors` vectors each.
    ///
    /// # Safety
    /// The rows hold so many values, and nobody else has them.
    #[inline(always)]
    unsafe fn rest(self, _rows: RowsMut, _count: usize, _vectors: usize) {}
}

/// The state, where each step waits for the one before.
#[derive(Clone, Copy)]
struct StateInChain;

impl Finish for StateInChain {
    #[inline(always)]
    unsafe fn of(self, _: usize, z: Lanes) -> Lanes {
        sigmoid_chain_lanes(z)
    }
}

/// The state, where there are others to compute meanwhile: those of a step at once, with several
/// vectors in flight. A tile's own would fill the scheduler, and keep the next tile waiting.
#[derive(Clone, Copy)]
struct State;

impl Finish for State {
    #[inline(always)]
    unsafe fn of(self, _: usize, z: Lanes) -> Lanes {
        z
    }

    #[inline(always)]
    unsafe fn rest(self, rows: RowsMut, count: usize, vectors: usize) {
        let values = vectors * LANES;
        // Rows without padding are one.
        let (count, values) =
            if values == rows.stride { (1, count * values) } else { (count, values) };
        for row in 0..count {
            // SAFETY: as asked above.
            sigmoid(unsafe { slice::from_raw_parts_mut(rows.at(row), values) });
        }
    }
}

/// The gradient before the sigmoid, whose derivative is that of its output: h ⊙ (1 − h).
#[derive(Clone, Copy)]
struct Gradient {
    /// The states, of the shape of `state`.
    h: Rows,
}

impl Finish for Gradient {
    #[inline(always)]
    unsafe fn of(self, offset: usize, dh: Lanes) -> Lanes {
        // SAFETY: `offset` is that of a vector in a row of `state`, and `h` has the same shape.
        let h = unsafe { load(self.h.start.add(offset)) };
        dh * h.mul_neg_add(h, h)
    }

    #[inline(always)]
    unsafe fn of_two(self, offset: usize, dh: Lanes, early: Lanes) -> Lanes {
        // SAFETY: as in `of`.
        let h = unsafe { load(self.h.start.add(offset)) };
        let derivative = h.mul_neg_add(h, h);
        dh.mul_add(derivative, early * derivative)
    }
}

/// Runs a [`Scan`], in the way that suits the number of hidden units.
///
/// # Safety
/// The arrays in `pass` have the shapes written there.
#[inline(always)]
unsafe fn scan(pass: Scan, finish: impl Finish) {
    let Sizes { batch, hidden, .. } = pass.sizes;
    // SAFETY: the arrays in `pass` have the shapes of `Scan`, as asked above. Where B is 1,
    // `scan_turned` is taken for H ≤ U ≤ 8, as S is 16 then, and `single` for its 9 to 64 units.
    unsafe {
        match hidden {
            1..=4 if batch == 1 => scan_turned::<1, 1, 4, 2>(pass, finish, |_, _| {}),
            5..=8 if batch == 1 => scan_turned::<1, 2, 8, 4>(pass, finish, |_, _| {}),
            9..=single::MOST if batch == 1 => single::scan_forward(pass, finish),
            _ if batch == 0 => {} // of however many steps
            _ => scan_tiles(pass, finish),
        }
    }
}

/// The backward pass of [`scan_turned`] for up to 8 units: the gradient of W_rec is summed
/// step by step, while the chain waits. With 16 units in one vector the ports have no time for that.
///
/// # Safety
/// As [`scan_turned`]; `h` has T rows of S values, and `dw_rec` H rows of S values.
unsafe fn scan_turned_back(pass: Scan, finish: impl Finish, h: Rows, dw_rec: &mut [f32]) {
    let stride = pass.state_weights.stride;
    dw_rec.fill(0.0);
    let sums = dw_rec.as_mut_ptr();
    let add_outer = |t: usize, [dz]: [Lanes; 1]| {
        let earlier = h.at(t - 1);
        let dz = first_lanes(pass.sizes.hidden, dz);
        for k in 0..pass.sizes.hidden {
            // SAFETY: t is a step behind the first, so `h` has row t − 1, of S ≥ H values;
            // `dw_rec` has H rows of S ≥ LANES values and is borrowed exclusively.
            unsafe {
                let sum = sums.add(k * stride);
                store(sum, Lanes::splat(*earlier.add(k)).mul_add(dz, load(sum)));
            }
        }
    };
    // SAFETY: B is 1 and H ≤ 8, and the arrays in `pass` have the shapes of `Scan`, as asked
    // above.
    unsafe {
        if pass.sizes.hidden <= 4 {
            scan_turned::<1, 1, 4, 2>(pass, finish, add_outer);
        } else {
            scan_turned::<1, 2, 8, 4>(pass, finish, add_outer);
        }
    }
}

/// `Σ_k input[row, k]·U[k, ·]`, for vector `n` of the columns.
///
/// # Safety
/// As [`scan`]; `row < T·B` and `(n + 1)·LANES ≤ S`.
#[inline(always)]
unsafe fn input_part(pass: &Scan, row: usize, n: usize) -> Lanes {
    let mut sum = Lanes::ZERO;
    for k in 0..pass.inputs {
        // SAFETY: row `row` of the input has `inputs` values, and row k of U has S values, of
        // which vector n is a part.
        let (value, weights) =
            unsafe { (*pass.input.at(row).add(k), load(pass.input_weights.at(k).add(n * LANES))) };
        sum = Lanes::splat(value).mul_add(weights, sum);
    }
    sum
}

/// The time loop over tiles of some rows × vectors, W read from memory.
///
/// What binds it are the ports that multiply: for each unit a tile of R rows and N vectors has R·N
/// multiply-adds, R broadcasts and N loads of W; of 4 × 2 8 and 6, 4 cycles and 3. A tile has 8 sums at
/// least, two multiply-adds a cycle for 4 cycles, and no more than leave registers for the values and
/// the weights: of 16 it has 12, of 32 it may have 16. Behind the tiles of a step stand its sigmoids, 9
/// multiply-adds and products and a division for each vector.
///
/// # Safety
/// As [`scan`].
#[inline(never)]
unsafe fn scan_tiles(pass: Scan, finish: impl Finish) {
    let Sizes { steps, batch, hidden, .. } = pass.sizes;
    let stride = pass.state_weights.stride;
    let vectors = hidden.div_ceil(LANES);
    for step in 0..steps {
        let t = if pass.backwards { steps - 1 - step } else { step };
        let before = if pass.backwards { t + 1 } else { t.wrapping_sub(1) };
        let previous = (step > 0)
            .then(|| Rows { start: pass.state.wrapping_add(before * batch * stride), stride });
        let mut n = 0;
        while n < vectors {
            // SAFETY: so many vectors from n on are left of those of a row, which S holds; the
            // arrays in `pass` have the shapes of `Scan`, and `before` is a step of it.
            n += unsafe {
                match vectors - n {
                    1 => column::<8, 1, 8>(&pass, t, n, previous, finish),
                    4.. if LANES == 16 || batch < 4 => {
                        column::<4, 4, 2>(&pass, t, n, previous, finish)
                    }
                    3 | 5.. if LANES == 8 => column::<4, 3, 4>(&pass, t, n, previous, finish),
                    _ => column::<4, 2, 4>(&pass, t, n, previous, finish),
                }
            };
        }
        // SAFETY: row t·B of the state and the B − 1 behind it, of S values, in which the vectors
        // are; the tiles are done with them.
        unsafe {
            let rows = pass.state.add(t * batch * stride);
            finish.rest(RowsMut { start: rows, stride }, batch, vectors);
        }
    }
}

/// One step of all B rows, `N` vectors of their columns from vector `first` on; in tiles of `R` rows, and
/// of one, whose sum over H is split over `SPLIT` accumulators. Returns `N`.
///
/// # Safety
/// As [`scan`]; `(first + N)·LANES ≤ S`.
#[inline(always)]
unsafe fn column<const R: usize, const N: usize, const SPLIT: usize>(
    pass: &Scan,
    t: usize,
    first: usize,
    previous: Option<Rows>,
    finish: impl Finish,
) -> usize {
    let batch = pass.sizes.batch;
    let mut row = 0;
    // SAFETY: R rows from `row` on, or one, are within B; the N vectors from `first` on are
    // within S.
    unsafe {
        while batch - row >= R {
            tile::<R, N, 1>(pass, t, row, first, previous, finish);
            row += R;
        }
        while row < batch {
            tile::<1, N, SPLIT>(pass, t, row, first, previous, finish);
            row += 1;
        }
    }
    N
}

/// `R` rows × `N` vectors of one step, from row `row` and vector `first` on.
///
/// # Safety
/// As [`scan`]; `row + R ≤ B` and `(first + N)·LANES ≤ S`.
#[inline(always)]
unsafe fn tile<const R: usize, const N: usize, const SPLIT: usize>(
    pass: &Scan,
    t: usize,
    row: usize,
    first: usize,
    previous: Option<Rows>,
    finish: impl Finish,
) {
    let at = t * pass.sizes.batch + row;
    let mut sums = [[[Lanes::ZERO; N]; R]; SPLIT];
    // SAFETY: R rows from `row` on are within B and t below T, so they are rows of the input
    // and of the state; the N vectors from `first` on are within S; k and k + s are below H,
    // the rows of W; and nobody else writes to the state.
    unsafe {
        for (r, sums) in sums[0].iter_mut().enumerate() {
            *sums = each(|n| input_part(pass, at + r, first + n));
        }
        if let Some(previous) = previous {
            let state = previous.from(row);
            let weights = pass.state_weights.start.wrapping_add(first * LANES);
            let weights = Rows { start: weights, ..pass.state_weights };
            let hidden = pass.sizes.hidden;
            let mut k = 0;
            while k + SPLIT <= hidden {
                for (s, sums) in sums.iter_mut().enumerate() {
                    add_products(sums, state, weights, k + s);
                }
                k += SPLIT;
            }
            while k < hidden {
                add_products(&mut sums[0], state, weights, k);
                k += 1;
            }
        }
        #[allow(clippy::needless_range_loop)] // iterators would spill the sums to memory
        for r in 0..R {
            for n in 0..N {
                let sum = tree_sum(each::<SPLIT>(|s| sums[s][r][n]));
                let offset = (at + r) * pass.state_weights.stride + (first + n) * LANES;
                store(pass.state.add(offset), finish.of(offset, sum));
            }
        }
    }
}

/// `sums[r][n] += values[r][k]·weights[k][n]`
///
/// # Safety
/// `values` has `R` rows of more than `k` values, and row `k` of `weights` `N` vectors.
#[inline(always)]
unsafe fn add_products<const R: usize, const N: usize>(
    sums: &mut [[Lanes; N]; R],
    values: Rows,
    weights: Rows,
    k: usize,
) {
    // SAFETY: row k of the weights has N vectors, of which this is one.
    let weights: [Lanes; N] = each(|n| unsafe { load(weights.at(k).add(n * LANES)) });
    for (r, sums) in sums.iter_mut().enumerate() {
        // SAFETY: r is below R, and the row has more than k values.
        let value = Lanes::splat(unsafe { *values.at(r).add(k) });
        for (sum, weight) in sums.iter_mut().zip(weights) {
            *sum = value.mul_add(weight, *sum);
        }
    }
}

/// `y[row, o] = σ(Σ_j h[row, j]·w_out[o, j])`; the weights' zero padding masks that of `h`.
///
/// The lanes run along the units, over which the sums run: eight rows are reduced at once,
/// by transposing their products in registers.
///
/// # Safety
/// `h` has T·B rows of S values, `w_out` O rows of S values, `y` T·B·O values.
unsafe fn outputs(sizes: Sizes, h: Rows, w_out: Rows, y: &mut [f32]) {
    let vectors = sizes.hidden.div_ceil(LANES);
    // SAFETY: as asked above. A constant makes one or two vectors a row no loop.
    unsafe {
        match vectors {
            1 => outputs_of(1, sizes, h, w_out, y),
            2 => outputs_of(2, sizes, h, w_out, y),
            _ => outputs_of(vectors, sizes, h, w_out, y),
        }
    }
}

/// [`outputs`] of units in so many vectors.
///
/// # Safety
/// As [`outputs`]; H is in `vectors` vectors.
#[inline(always)]
unsafe fn outputs_of(vectors: usize, sizes: Sizes, h: Rows, w_out: Rows, y: &mut [f32]) {
    let (rows, outputs) = (sizes.rows(), sizes.outputs);
    for first in (0..rows).step_by(GROUP) {
        let count = GROUP.min(rows - first);
        for output in 0..outputs {
            // SAFETY: `first + count` is at most T·B, so these are rows of `h`, and `output` is
            // below O, so it is one of `w_out`; all have S values.
            let sums = unsafe {
                if count == GROUP {
                    dots(vectors, h.from(first), w_out.at(output))
                } else {
                    let mut sums = [0.0; GROUP];
                    for (row, sum) in sums.iter_mut().enumerate().take(count) {
                        *sum = dot(vectors, h.at(first + row), w_out.at(output)).reduce_add();
                    }
                    f32x8::new(sums)
                }
            };
            let values = eights(sigmoid_chain_lanes(from_eights(sums, f32x8::ZERO)))[0].to_array();
            match y.get_mut(first..first + GROUP) {
                Some(y) if outputs == 1 => y.copy_from_slice(&values),
                _ => {
                    for (row, value) in values.into_iter().enumerate().take(count) {
                        y[(first + row) * outputs + output] = value;
                    }
                }
            }
        }
    }
}

/// Rows that [`outputs`] sums at once: `wide` transposes eight by eight.
const GROUP: usize = 8;

/// The dot products of `weights` with [`GROUP`] rows.
///
/// # Safety
/// There are [`GROUP`] rows, and they and `weights` have so many vectors.
#[inline(always)]
unsafe fn dots(vectors: usize, rows: Rows, weights: *const f32) -> f32x8 {
    let mut products = [f32x8::ZERO; GROUP];
    for (row, product) in products.iter_mut().enumerate() {
        // SAFETY: `row` is below GROUP, and the row has the vectors, as have the weights.
        let parts = eights(unsafe { dot(vectors, rows.at(row), weights) });
        *product = if LANES == 16 { parts[0] + parts[1 % parts.len()] } else { parts[0] };
    }
    tree_sum(f32x8::transpose(products))
}

/// The products of two rows of `vectors` vectors, summed to one.
///
/// # Safety
/// Both have so many.
#[inline(always)]
unsafe fn dot(vectors: usize, row: *const f32, weights: *const f32) -> Lanes {
    let mut sum = Lanes::ZERO;
    for n in 0..vectors {
        // SAFETY: n is below `vectors`.
        let (h, w) = unsafe { (load(row.add(n * LANES)), load(weights.add(n * LANES))) };
        sum = h.mul_add(w, sum);
    }
    sum
}

/// The left factor of a sum of outer products: the columns of some rows.
#[derive(Clone, Copy)]
struct Columns {
    rows: Rows,
    count: usize,
}

/// `sums[m, ·] = Σ_n left[n, m]·right[n, ·]` over `rows` rows n, with zero padding.
///
/// What binds it are the multiply-adds: a tile of two vectors shares each value that is loaded,
/// and its columns share both vectors. M·V of them need M broadcasts and V loads, 8 and 6 of 4 × 2. With
/// few rows it is the way in and out of a tile instead: of one sequence of 8 steps each sum has 7
/// multiply-adds, 28 cycles one after the other, a store, and the share of a call.
///
/// # Safety
/// `left` and `right` have `rows` rows, the latter of S values; `sums` is `[left.count, S]`.
#[inline(always)]
unsafe fn outer_sums(rows: usize, left: Columns, right: Rows, hidden: usize, sums: &mut [f32]) {
    // With many rows, enough accumulators to hide the latency of the multiply-add; with
    // few, each row is added as soon as it has been computed.
    let split = rows >= 64;
    let to = RowsMut::of_slice(sums, right.stride);
    let vectors = hidden.div_ceil(LANES);
    // SAFETY: each tile takes no more columns than are left of `left.count`, from the one on
    // where the last ended; the arrays have the shapes asked for above.
    unsafe {
        let mut m = 0;
        while m < left.count {
            m += match left.count - m {
                16.. if LANES == 16 && vectors == 1 => {
                    outer_rows::<16, 1, 1>(rows, left, m, right, hidden, to)
                }
                8.. if vectors == 1 => outer_rows::<8, 1, 1>(rows, left, m, right, hidden, to),
                8.. if LANES == 16 => outer_rows::<8, 2, 1>(rows, left, m, right, hidden, to),
                2.. if LANES == 8 && vectors == 4 && !split => {
                    outer_rows::<2, 4, 1>(rows, left, m, right, hidden, to)
                }
                4.. => outer_rows::<4, 2, 1>(rows, left, m, right, hidden, to),
                2.. if split => outer_rows::<2, 2, 2>(rows, left, m, right, hidden, to),
                2.. => outer_rows::<2, 2, 1>(rows, left, m, right, hidden, to),
                _ if split => outer_rows::<1, 2, 4>(rows, left, m, right, hidden, to),
                _ => outer_rows::<1, 2, 1>(rows, left, m, right, hidden, to),
            };
        }
    }
}

/// Rows m to m + `M` of [`outer_sums`], `V` vectors of columns at a time, with the rows n
/// distributed over `SPLIT` accumulators. Returns `M`.
///
/// # Safety
/// As [`outer_sums`], and `m + M ≤ left.count`.
#[inline(always)]
unsafe fn outer_rows<const M: usize, const V: usize, const SPLIT: usize>(
    rows: usize,
    left: Columns,
    m: usize,
    right: Rows,
    hidden: usize,
    sums: RowsMut,
) -> usize {
    let left = Rows { start: left.rows.start.wrapping_add(m), ..left.rows };
    let sums = sums.from(m);
    let mut column = 0;
    // SAFETY: a tile begins at a vector that has a unit, and takes V vectors only where so many
    // have one, else one; S holds them. Rows m to m + M of `sums` have S values.
    unsafe {
        while column < hidden {
            column += LANES
                * match (hidden - column).div_ceil(LANES) {
                    4 if V == 4 => {
                        outer_tile::<M, 4, SPLIT>(rows, left, right, column, hidden, sums)
                    }
                    3 | 5.. if V > 1 => {
                        outer_tile::<M, 3, SPLIT>(rows, left, right, column, hidden, sums)
                    }
                    2.. if V > 1 => {
                        outer_tile::<M, 2, SPLIT>(rows, left, right, column, hidden, sums)
                    }
                    _ => outer_tile::<M, 1, SPLIT>(rows, left, right, column, hidden, sums),
                };
        }
        while column < right.stride {
            for k in 0..M {
                store(sums.at(k).add(column), Lanes::ZERO);
            }
            column += LANES;
        }
    }
    M
}

/// `M` rows of [`outer_rows`] and `V` vectors from `column` on.
///
/// # Safety
/// As [`outer_rows`]; column + V·LANES ≤ S.
#[inline(never)]
unsafe fn outer_tile<const M: usize, const V: usize, const SPLIT: usize>(
    rows: usize,
    left: Rows,
    right: Rows,
    column: usize,
    hidden: usize,
    sums: RowsMut,
) -> usize {
    let mut acc = [[[Lanes::ZERO; V]; M]; SPLIT];
    // The last rows first: the backward pass has computed them first.
    let mut n = rows;
    // SAFETY: n + s and n are below `rows`, so both have this row; the columns are those asked
    // for above.
    unsafe {
        while n >= SPLIT {
            n -= SPLIT;
            for (s, acc) in acc.iter_mut().enumerate() {
                add_outer(acc, left.at(n + s), right.at(n + s).add(column));
            }
        }
        while n > 0 {
            n -= 1;
            add_outer(&mut acc[0], left.at(n), right.at(n).add(column));
        }
    }
    #[allow(clippy::needless_range_loop)] // iterators would spill the sums to memory
    for k in 0..M {
        for v in 0..V {
            let column = column + v * LANES;
            let mut sum = tree_sum(each::<SPLIT>(|s| acc[s][k][v]));
            if column + LANES > hidden {
                sum = first_lanes(hidden - column, sum);
            }
            // SAFETY: `sums` has M rows of S ≥ column + LANES values.
            unsafe { store(sums.at(k).add(column), sum) };
        }
    }
    V
}

/// `sums[k] += left[k]·right`, of M values and V vectors.
///
/// # Safety
/// `left` has M values, `right` V vectors.
#[inline(always)]
unsafe fn add_outer<const M: usize, const V: usize>(
    sums: &mut [[Lanes; V]; M],
    left: *const f32,
    right: *const f32,
) {
    // SAFETY: `right` has V vectors.
    let right: [Lanes; V] = each(|v| unsafe { load(right.add(v * LANES)) });
    for (k, sums) in sums.iter_mut().enumerate() {
        // SAFETY: `left` has M values.
        let value = Lanes::splat(unsafe { *left.add(k) });
        *sums = each(|v| value.mul_add(right[v], sums[v]));
    }
}
