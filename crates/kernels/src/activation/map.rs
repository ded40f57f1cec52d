//! The loops that apply a function of a vector to slices of any length.
//!
//! The vectors of a block are computed operation by operation, all of them by turns: their chains
//! of dependent operations are long, and one vector after the other would fill the scheduler
//! with operations that wait.
//!
//! A tail shorter than a vector is not masked: the last whole vector of a slice is computed
//! once more, ending at its end. A slice shorter than a vector is loaded in part.

use crate::lanes::{LANES, Lanes, each};
use crate::tail_mask::{load_partial, store_partial};

/// Vectors in flight: enough to keep both multiply-add ports busy.
pub(super) const IN_FLIGHT: usize = if LANES == 16 { 4 } else { 6 };

/// `x[i] ← f(x[i])`; `f_block` is `f` of each of some vectors.
///
/// A length that is not a multiple of [`LANES`] costs one vector more: the last vector is
/// read before the loop overwrites part of it, and written over the loop's results, which
/// it equals where they overlap.
#[inline(always)]
pub(super) fn map(
    x: &mut [f32],
    f_block: impl Fn([Lanes; IN_FLIGHT]) -> [Lanes; IN_FLIGHT],
    f: impl Fn(Lanes) -> Lanes,
) {
    let Some(&last) = x.last_chunk::<LANES>() else {
        let value = f(load_partial(x));
        return store_partial(x, value);
    };
    let (full, tail) = x.as_chunks_mut::<LANES>();
    let ragged = !tail.is_empty();
    let (blocks, rest) = full.as_chunks_mut::<IN_FLIGHT>();
    for block in blocks {
        let values = f_block(each(|v| Lanes::new(block[v])));
        block.iter_mut().zip(values).for_each(|(chunk, value)| *chunk = value.to_array());
    }
    for chunk in rest {
        *chunk = f(Lanes::new(*chunk)).to_array();
    }
    if ragged && let Some(end) = x.last_chunk_mut::<LANES>() {
        *end = f(Lanes::new(last)).to_array();
    }
}

/// `y[i] ← f(x[i])`; `f_block` is `f` of each of some vectors.
#[inline(always)]
#[track_caller]
pub(super) fn map_into(
    x: &[f32],
    y: &mut [f32],
    f_block: impl Fn([Lanes; IN_FLIGHT]) -> [Lanes; IN_FLIGHT],
    f: impl Fn(Lanes) -> Lanes,
) {
    assert!(
        x.len() == y.len(),
        "input and output differ in length: {} values and {}",
        x.len(),
        y.len()
    );
    let Some(last) = x.last_chunk::<LANES>() else {
        return store_partial(y, f(load_partial(x)));
    };
    let (full_x, tail) = x.as_chunks::<LANES>();
    let (full_y, _) = y.as_chunks_mut::<LANES>();
    let (blocks_x, rest_x) = full_x.as_chunks::<IN_FLIGHT>();
    let (blocks_y, rest_y) = full_y.as_chunks_mut::<IN_FLIGHT>();
    for (block_x, block_y) in blocks_x.iter().zip(blocks_y) {
        let values = f_block(each(|v| Lanes::new(block_x[v])));
        block_y.iter_mut().zip(values).for_each(|(chunk, value)| *chunk = value.to_array());
    }
    for (chunk_x, chunk_y) in rest_x.iter().zip(rest_y) {
        *chunk_y = f(Lanes::new(*chunk_x)).to_array();
    }
    if !tail.is_empty()
        && let Some(end) = y.last_chunk_mut::<LANES>()
    {
        *end = f(Lanes::new(*last)).to_array();
    }
}

/// `dy[i] ← f(y[i], dy[i])`, with the tail as in [`map`].
#[inline(always)]
#[track_caller]
pub(super) fn zip_map(y: &[f32], dy: &mut [f32], f: impl Fn(Lanes, Lanes) -> Lanes) {
    assert!(
        y.len() == dy.len(),
        "output and gradient differ in length: {} values and {}",
        y.len(),
        dy.len()
    );
    let (Some(last_y), Some(&last_dy)) = (y.last_chunk::<LANES>(), dy.last_chunk::<LANES>()) else {
        let value = f(load_partial(y), load_partial(dy));
        return store_partial(dy, value);
    };
    let (full_y, tail) = y.as_chunks::<LANES>();
    let (full_dy, _) = dy.as_chunks_mut::<LANES>();
    for (chunk_y, chunk_dy) in full_y.iter().zip(full_dy) {
        *chunk_dy = f(Lanes::new(*chunk_y), Lanes::new(*chunk_dy)).to_array();
    }
    if !tail.is_empty()
        && let Some(end) = dy.last_chunk_mut::<LANES>()
    {
        *end = f(Lanes::new(*last_y), Lanes::new(last_dy)).to_array();
    }
}
