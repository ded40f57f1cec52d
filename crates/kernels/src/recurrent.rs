//! The small recurrent network, fused: an Elman layer with a sigmoid, and its
//! sigmoid outputs, forward and back through time, for any size and batch.
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
//! At batch 1 the cost is the latency of that chain and not its arithmetic:
//!
//! 1. The lanes run along the hidden units; a state is stored once and each of its
//!    values is broadcast by the load port, as an operand of a multiply-add.
//! 2. The sum over H is split over enough accumulators to hide the latency of the
//!    multiply-add, and `input·U`, which nothing waits for, starts them off.
//! 3. Up to 16 units the recurrent weights are held in registers for the whole
//!    sequence; above, they are read from L1.
//! 4. All that the chain does not need (transposing `W_rec`, the outputs of
//!    earlier steps, the products for the gradients) stands behind it in program
//!    order, and fills the slots that the waiting chain leaves empty.
//!
//! With a larger batch the rows of a step are independent, and tiles of them share
//! each weight that is loaded.
//!
//! What this is not: layers, gates and large matrices; a hidden state above a few
//! hundred units wants packed products.

use crate::activation::{sigmoid, sigmoid_lanes};
use crate::lanes::{LANES, Lanes, load, prefix_mask, store};

/// Rows of hidden units are padded to a multiple of this many values (64 bytes),
/// in every build alike. The padding of weights is zero, and stays zero.
pub const ROW: usize = 16;

/// The length S of a row that holds `hidden` units.
pub const fn row_stride(hidden: usize) -> usize {
    hidden.next_multiple_of(ROW)
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
    pub const fn rows(&self) -> usize {
        self.steps * self.batch
    }

    /// S, the length of a row of hidden units.
    pub const fn stride(&self) -> usize {
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

/// What the backward pass writes on its way.
#[derive(Debug)]
pub struct Scratch<'a> {
    /// `[T, B, S]`, the gradients before the hidden sigmoid.
    pub dz: &'a mut [f32],
    /// `[H, S]`, `W_rec` transposed.
    pub w_rec_t: &'a mut [f32],
}

/// Runs the network over `x` `[T, B, I]`: writes the states `h` `[T, B, S]` and the
/// outputs `y` `[T, B, O]`. The padding of `h` is finite, and not zero.
///
/// # Panics
/// If a slice does not have the length that `sizes` asks for.
pub fn forward(sizes: Sizes, weights: Weights<&[f32]>, x: &[f32], h: &mut [f32], y: &mut [f32]) {
    check_weights(sizes, weights);
    check("x", x.len(), sizes.rows() * sizes.inputs);
    check("h", h.len(), sizes.rows() * sizes.stride());
    check("y", y.len(), sizes.rows() * sizes.outputs);

    let pass = Scan {
        input: Rows::new(x, sizes.inputs),
        inputs: sizes.inputs,
        input_weights: Rows::new(weights.w_in, sizes.stride()),
        state: h.as_mut_ptr(),
        state_weights: Rows::new(weights.w_rec, sizes.stride()),
        sizes,
        backwards: false,
    };
    // SAFETY: the checks above are the lengths that `Scan` asks for.
    unsafe { scan(pass, |_, z| sigmoid_lanes(z)) };
    // SAFETY: the checks above.
    unsafe { project(sizes, Rows::new(h, sizes.stride()), weights.w_out, y) };
    sigmoid(y);
}

/// Carries `dy` `[T, B, O]`, the gradient before the output's sigmoid, back through
/// time, and writes the gradients, summed over T and B, over `gradients`.
///
/// `x` and `h` are those of the forward pass. Padding in `gradients` is written as zero.
///
/// # Panics
/// If a slice does not have the length that `sizes` asks for.
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
    check("x", x.len(), sizes.rows() * sizes.inputs);
    check("h", h.len(), sizes.rows() * stride);
    check("dy", dy.len(), sizes.rows() * sizes.outputs);
    check("dz", scratch.dz.len(), sizes.rows() * stride);
    check("w_rec_t", scratch.w_rec_t.len(), sizes.hidden * stride);
    check("dw_in", gradients.w_in.len(), sizes.inputs * stride);
    check("dw_rec", gradients.w_rec.len(), sizes.hidden * stride);
    check("dw_out", gradients.w_out.len(), sizes.outputs * stride);

    // SAFETY: the checks above.
    unsafe { transpose(sizes.hidden, weights.w_rec, scratch.w_rec_t) };
    let h_rows = Rows::new(h, stride);
    let pass = Scan {
        input: Rows::new(dy, sizes.outputs),
        inputs: sizes.outputs,
        input_weights: Rows::new(weights.w_out, stride),
        state: scratch.dz.as_mut_ptr(),
        state_weights: Rows::new(scratch.w_rec_t, stride),
        sizes,
        backwards: true,
    };
    // h ⊙ (1 − h), the sigmoid's derivative from its output
    let finish = |offset: usize, dh: Lanes| {
        // SAFETY: `offset` lies in a row of `state`, and `h` is as long as `dz`.
        let h = unsafe { load(h_rows.start.add(offset)) };
        dh * h.mul_neg_add(h, h)
    };
    // SAFETY: the checks above are the lengths that `Scan` asks for.
    unsafe { scan(pass, finish) };

    let dz = Rows::new(scratch.dz, stride);
    let (rows, later) = (sizes.rows(), sizes.rows() - sizes.batch.min(sizes.rows()));
    // SAFETY: the checks above; `later` rows follow the first step's `batch`.
    unsafe {
        let x = Columns { rows: Rows::new(x, sizes.inputs), count: sizes.inputs };
        outer_sums(rows, x, dz, sizes.hidden, gradients.w_in);
        let earlier_h = Columns { rows: h_rows, count: sizes.hidden };
        outer_sums(later, earlier_h, dz.from(sizes.rows() - later), sizes.hidden, gradients.w_rec);
        let dy = Columns { rows: Rows::new(dy, sizes.outputs), count: sizes.outputs };
        outer_sums(rows, dy, h_rows, sizes.hidden, gradients.w_out);
    }
}

fn check(name: &str, found: usize, expected: usize) {
    assert!(found == expected, "{name} holds {found} values, the sizes ask for {expected}");
}

fn check_weights(sizes: Sizes, weights: Weights<&[f32]>) {
    assert!(sizes.hidden > 0, "a recurrent network has at least one hidden unit");
    check("w_in", weights.w_in.len(), sizes.inputs * sizes.stride());
    check("w_rec", weights.w_rec.len(), sizes.hidden * sizes.stride());
    check("w_out", weights.w_out.len(), sizes.outputs * sizes.stride());
}

/// Rows of equal length, unchecked: the doors above have checked them.
#[derive(Clone, Copy)]
struct Rows {
    start: *const f32,
    stride: usize,
}

impl Rows {
    fn new(values: &[f32], stride: usize) -> Self {
        Self { start: values.as_ptr(), stride }
    }

    /// The start of row `row`.
    #[inline(always)]
    fn at(self, row: usize) -> *const f32 {
        self.start.wrapping_add(row * self.stride)
    }

    #[inline(always)]
    fn from(self, row: usize) -> Self {
        Self { start: self.at(row), ..self }
    }
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

/// Chooses the instance of [`scan_with`] for the number of hidden units.
/// `finish` gets the offset of a vector in `state`, and the vector.
///
/// # Safety
/// The arrays in `pass` have the shapes written there.
#[inline(always)]
unsafe fn scan(pass: Scan, finish: impl Fn(usize, Lanes) -> Lanes + Copy) {
    // <vectors a tile, rows of W held in registers, accumulators for a single row>
    // SAFETY: the caller's.
    unsafe {
        match pass.sizes.hidden {
            1..=4 => scan_with::<1, 4, 4>(pass, finish),
            5..=8 => scan_with::<1, 8, 8>(pass, finish),
            9..=16 if LANES == 16 => scan_with::<1, 16, 8>(pass, finish),
            hidden if hidden <= LANES => scan_with::<1, 0, 8>(pass, finish),
            hidden if hidden <= 2 * LANES => scan_with::<2, 0, 4>(pass, finish),
            _ => scan_with::<4, 0, 2>(pass, finish),
        }
    }
}

/// The time loop, over tiles of `N` vectors; the first `HELD` rows of W (all there
/// are, and zeros) stay in registers, or none if `HELD` is 0.
///
/// # Safety
/// As `scan`; `HELD` is 0 or `H ≤ HELD ≤ S` and `H ≤ N·LANES`.
#[inline(always)]
unsafe fn scan_with<const N: usize, const HELD: usize, const SPLIT: usize>(
    pass: Scan,
    finish: impl Fn(usize, Lanes) -> Lanes + Copy,
) {
    let Sizes { steps, batch, hidden, .. } = pass.sizes;
    let vectors = hidden.div_ceil(LANES);
    let mut held = [[Lanes::ZERO; N]; HELD];
    for (row, weights) in held.iter_mut().enumerate().take(hidden) {
        for (n, vector) in weights.iter_mut().enumerate() {
            // SAFETY: row < H, and a row of S values has N vectors.
            *vector = unsafe { load(pass.state_weights.at(row).add(n * LANES)) };
        }
    }
    for step in 0..steps {
        let t = if pass.backwards { steps - 1 - step } else { step };
        let before = if pass.backwards { t + 1 } else { t.wrapping_sub(1) };
        let previous = (step > 0).then(|| Rows {
            start: pass.state.wrapping_add(before * batch * pass.sizes.stride()),
            stride: pass.sizes.stride(),
        });
        let mut row = 0;
        // SAFETY: rows below B and vectors below those of H, as `tile` asks.
        unsafe {
            while batch - row >= 4 {
                let mut n = 0;
                while vectors - n >= N {
                    tile::<4, N, HELD, 1>(&pass, t, row, n, previous, &held, finish);
                    n += N;
                }
                while n < vectors {
                    tile::<4, 1, 0, 2>(&pass, t, row, n, previous, &[], finish);
                    n += 1;
                }
                row += 4;
            }
            while row < batch {
                let mut n = 0;
                while vectors - n >= N {
                    tile::<1, N, HELD, SPLIT>(&pass, t, row, n, previous, &held, finish);
                    n += N;
                }
                while n < vectors {
                    tile::<1, 1, 0, 8>(&pass, t, row, n, previous, &[], finish);
                    n += 1;
                }
                row += 1;
            }
        }
    }
}

/// `R` rows × `N` vectors of one step, from row `row` and vector `first` on, the
/// sum over H split over `SPLIT` accumulators.
///
/// # Safety
/// As `scan`; `row + R ≤ B` and `(first + N)·LANES ≤ S`.
#[inline(always)]
unsafe fn tile<const R: usize, const N: usize, const HELD: usize, const SPLIT: usize>(
    pass: &Scan,
    t: usize,
    row: usize,
    first: usize,
    previous: Option<Rows>,
    held: &[[Lanes; N]; HELD],
    finish: impl Fn(usize, Lanes) -> Lanes,
) {
    let at = t * pass.sizes.batch + row;
    let mut sums = [[[Lanes::ZERO; N]; R]; SPLIT];
    // SAFETY: as asked of the caller: every row is in its array and every vector in its row.
    unsafe {
        let input_weights = |k, n| load(pass.input_weights.at(k).add((first + n) * LANES));
        accumulate(&mut sums, pass.input.from(at), pass.inputs, input_weights);
        if let Some(previous) = previous {
            let state = previous.from(row);
            if HELD > 0 {
                accumulate(&mut sums, state, HELD, |k: usize, n: usize| held[k][n]);
            } else {
                let weights = |k, n| load(pass.state_weights.at(k).add((first + n) * LANES));
                accumulate(&mut sums, state, pass.sizes.hidden, weights);
            }
        }
        let mut width = SPLIT;
        while width > 1 {
            width /= 2;
            #[allow(clippy::needless_range_loop)] // plain indices unroll to registers
            for s in 0..width {
                for r in 0..R {
                    for n in 0..N {
                        sums[s][r][n] += sums[s + width][r][n];
                    }
                }
            }
        }
        for (r, sums) in sums[0].iter().enumerate() {
            for (n, &sum) in sums.iter().enumerate() {
                let offset = (at + r) * pass.sizes.stride() + (first + n) * LANES;
                store(pass.state.add(offset), finish(offset, sum));
            }
        }
    }
}

/// `sums[·][r][n] += Σ_k values[r][k]·weights(k, n)`, `k` dealt out over the accumulators.
///
/// # Safety
/// `values` has `R` rows of at least `count` values.
#[inline(always)]
unsafe fn accumulate<const R: usize, const N: usize, const SPLIT: usize>(
    sums: &mut [[[Lanes; N]; R]; SPLIT],
    values: Rows,
    count: usize,
    weights: impl Fn(usize, usize) -> Lanes,
) {
    let add = |sums: &mut [[Lanes; N]; R], k: usize| {
        for (r, sums) in sums.iter_mut().enumerate() {
            // SAFETY: r < R and k < count.
            let value = Lanes::splat(unsafe { *values.at(r).add(k) });
            for (n, sum) in sums.iter_mut().enumerate() {
                *sum = value.mul_add(weights(k, n), *sum);
            }
        }
    };
    let mut k = 0;
    while k + SPLIT <= count {
        for (s, sums) in sums.iter_mut().enumerate() {
            add(sums, k + s);
        }
        k += SPLIT;
    }
    for (s, sums) in sums.iter_mut().enumerate().take(count - k) {
        add(sums, k + s);
    }
}

/// `y[row, o] = Σ_j h[row, j]·w_out[o, j]`; the weights' zero padding hides that of `h`.
///
/// # Safety
/// `h` has T·B rows of S values, `w_out` O rows of S values, `y` T·B·O values.
#[inline(always)]
unsafe fn project(sizes: Sizes, h: Rows, w_out: &[f32], y: &mut [f32]) {
    let w_out = Rows::new(w_out, sizes.stride());
    let vectors = sizes.hidden.div_ceil(LANES);
    for row in 0..sizes.rows() {
        for output in 0..sizes.outputs {
            let mut sum = Lanes::ZERO;
            for n in 0..vectors {
                // SAFETY: as asked of the caller; vectors·LANES ≤ S.
                let (h, w) = unsafe {
                    (load(h.at(row).add(n * LANES)), load(w_out.at(output).add(n * LANES)))
                };
                sum = h.mul_add(w, sum);
            }
            y[row * sizes.outputs + output] = sum.reduce_add();
        }
    }
}

/// `to[j, i] = from[i, j]` for i, j < H, zero in the padding of `to`.
///
/// # Safety
/// Both have H rows of S values.
#[inline(always)]
unsafe fn transpose(hidden: usize, from: &[f32], to: &mut [f32]) {
    use wide::f32x8;
    const BLOCK: usize = 8; // what `wide` transposes in registers
    let stride = row_stride(hidden);
    for i in (0..hidden).step_by(BLOCK) {
        for j in (0..hidden).step_by(BLOCK) {
            let rows = std::array::from_fn(|k| {
                if i + k < hidden {
                    // SAFETY: row i + k < H, and j + 8 ≤ S as both are multiples of 8.
                    unsafe {
                        from.as_ptr().add((i + k) * stride + j).cast::<f32x8>().read_unaligned()
                    }
                } else {
                    f32x8::ZERO
                }
            });
            for (k, row) in f32x8::transpose(rows).into_iter().enumerate().take(hidden - j) {
                // SAFETY: row j + k < H, and i + 8 ≤ S.
                unsafe {
                    to.as_mut_ptr().add((j + k) * stride + i).cast::<f32x8>().write_unaligned(row);
                };
            }
        }
    }
}

/// The left factor of a sum of outer products: the columns of some rows.
#[derive(Clone, Copy)]
struct Columns {
    rows: Rows,
    count: usize,
}

/// `sums[m, ·] = Σ_n left[n, m]·right[n, ·]` over `rows` rows n, with zero padding.
///
/// # Safety
/// `left` and `right` have `rows` rows, the latter of S values; `sums` is `[left.count, S]`.
#[inline(always)]
unsafe fn outer_sums(rows: usize, left: Columns, right: Rows, hidden: usize, sums: &mut [f32]) {
    // SAFETY: the caller's; each tile starts where the one before has ended.
    unsafe {
        let mut m = 0;
        while left.count - m >= 16 && LANES == 16 {
            outer_tiles::<16>(rows, left, m, right, hidden, sums);
            m += 16;
        }
        while left.count - m >= 8 {
            outer_tiles::<8>(rows, left, m, right, hidden, sums);
            m += 8;
        }
        while left.count - m >= 2 {
            outer_tiles::<2>(rows, left, m, right, hidden, sums);
            m += 2;
        }
        if m < left.count {
            outer_tiles::<1>(rows, left, m, right, hidden, sums);
        }
    }
}

/// Rows m to m + `M` of [`outer_sums`], a vector's width of columns at a time.
///
/// # Safety
/// As [`outer_sums`], and `m + M ≤ left.count`.
#[inline(always)]
unsafe fn outer_tiles<const M: usize>(
    rows: usize,
    left: Columns,
    m: usize,
    right: Rows,
    hidden: usize,
    sums: &mut [f32],
) {
    for column in (0..hidden).step_by(LANES) {
        let mut acc = [Lanes::ZERO; M];
        for n in 0..rows {
            // SAFETY: row n is there, and column + LANES ≤ S.
            let right = unsafe { load(right.at(n).add(column)) };
            for (k, acc) in acc.iter_mut().enumerate() {
                // SAFETY: m + k < left.count.
                let value = Lanes::splat(unsafe { *left.rows.at(n).add(m + k) });
                *acc = value.mul_add(right, *acc);
            }
        }
        if hidden - column < LANES {
            let [mask] = prefix_mask(hidden - column);
            for acc in &mut acc {
                *acc *= mask;
            }
        }
        for (k, acc) in acc.into_iter().enumerate() {
            // SAFETY: row m + k of `sums` has S values.
            unsafe { store(sums.as_mut_ptr().add((m + k) * right.stride + column), acc) };
        }
    }
}
