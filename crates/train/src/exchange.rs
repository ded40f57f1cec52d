//! Arenas of many ranks made into one, the same bits on each: in worker order, block by block.
//!
//! ```text
//! n values in blocks; of each block a part for each of R ranks
//!     scatter   part d of every worker's values to rank d
//!     combine   on rank d, in worker order: ((v₀ + v₁) + v₂) + …
//!     gather    what came out, to all ranks
//! ```
//!
//! 1. A rank sends and receives about n values for each of its workers, however many ranks there
//!    are. Where that is no more if all values go to all ranks at once (two workers in all), or they
//!    are few, they do: one meeting instead of two, for networks whose messages take their time.
//! 2. While a block travels, the one before is combined, and the next one packed.
//! 3. Compressed, values travel as bf16: the upper half of an f32, rounded to even. What rounding
//!    took away is kept, and added to the next values: of the workers' on the way there, of what
//!    came out on the way back. Source: Tang et al., *DoubleSqueeze*, 2019.

use crate::transport::Transport;
use bytemuck::{Pod, cast_slice, cast_slice_mut};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Values of a block.
const BLOCK: usize = 1 << 16;

/// So many values of all workers together are sent to all ranks at once.
const FEW: usize = 1 << 13;

/// What rounding took away from what a rank has sent: nothing where values travel as they are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Residuals {
    /// Of each of its workers, as long as the arena.
    own: Vec<Vec<f32>>,
    /// Of what it combined; 0 elsewhere.
    combined: Vec<f32>,
}

/// What is exchanged, and how it becomes one.
pub(crate) trait Values {
    /// Writes the values `range` of worker `number` of this rank to `out`.
    fn pack(&self, number: usize, range: Range<usize>, out: &mut [f32]);
    /// Makes the values of all workers, in their order, into one.
    fn combine(&self, workers: &[&[f32]], out: &mut [f32]);
    /// Takes over what came out for `range`.
    fn unpack(&mut self, range: Range<usize>, values: &[f32]);
}

/// Exchanges arenas of one length, again and again.
#[derive(Debug)]
pub(crate) struct Exchange {
    values: usize,
    /// Of a rank.
    workers: usize,
    is_compressed: bool,
    pub residuals: Residuals,
}

impl Exchange {
    /// For arenas of so many `values`, of as many `workers` on each rank; `residuals` as they were,
    /// or none at the beginning.
    pub fn new(values: usize, workers: usize, is_compressed: bool, residuals: Residuals) -> Self {
        let fits = residuals.own.len() == workers
            && residuals.own.iter().chain([&residuals.combined]).all(|all| all.len() == values);
        let residuals = match (is_compressed, fits) {
            (false, _) => Residuals::default(),
            (true, true) => residuals,
            (true, false) => {
                Residuals { own: vec![vec![0.0; values]; workers], combined: vec![0.0; values] }
            }
        };
        Self { values, workers, is_compressed, residuals }
    }

    /// Do values travel as bf16?
    pub fn is_compressed(&self) -> bool {
        self.is_compressed
    }

    /// Makes all ranks' `values` into one.
    pub fn run(&mut self, transport: &dyn Transport, values: &mut impl Values) {
        let workers = transport.ranks() * self.workers;
        let is_at_once = workers <= 2 || workers * self.values <= FEW;
        match (is_at_once, self.is_compressed) {
            (true, false) => self.at_once::<f32>(transport, values),
            (true, true) => self.at_once::<u16>(transport, values),
            (false, false) => self.blocks::<f32>(transport, values),
            (false, true) => self.blocks::<u16>(transport, values),
        }
    }

    /// All values to all ranks; each combines them.
    fn at_once<W: Wire>(&mut self, transport: &dyn Transport, values: &mut impl Values) {
        let mut packed = vec![W::default(); self.workers * self.values];
        let mut combined = vec![0.0; self.values];
        for (number, out) in packed.chunks_exact_mut(self.values).enumerate() {
            values.pack(number, 0..self.values, &mut combined);
            let residual = self.residuals.own.get_mut(number).map(|all| &mut all[..]);
            W::encode(&mut combined, residual, out);
        }
        let mut all = vec![W::default(); transport.ranks() * packed.len()];
        transport.all_gather_bytes(cast_slice(&packed), cast_slice_mut(&mut all));
        let mut decoded = vec![0.0; W::room(all.len())];
        let all = W::decode(&all, &mut decoded);
        values.combine(&all.chunks_exact(self.values).collect::<Vec<_>>(), &mut combined);
        values.unpack(0..self.values, &combined);
    }

    fn blocks<W: Wire>(&mut self, transport: &dyn Transport, values: &mut impl Values) {
        let shape = Shape {
            values: self.values,
            workers: self.workers,
            ranks: transport.ranks(),
            rank: transport.rank(),
        };
        let residuals = &mut self.residuals;
        let blocks = self.values.div_ceil(BLOCK);
        let (mut packed, mut received, mut before) = (Vec::new(), Vec::new(), Vec::new());
        let (mut part, mut all) = (Vec::new(), Vec::new());
        for block in 0..=blocks {
            if block == 0 {
                shape.pack::<W>(values, residuals, block, &mut packed);
            }
            let mut combine = || {
                if let Some(last) = block.checked_sub(1) {
                    shape.combine::<W>(values, residuals, last, &before, &mut part);
                }
            };
            if block < blocks {
                received.resize(packed.len(), W::default());
                let (own, theirs) = (cast_slice(&packed), cast_slice_mut(&mut received));
                transport.scatter_while(own, theirs, &mut combine);
            } else {
                combine();
            }
            std::mem::swap(&mut received, &mut before);
            let mut pack = || {
                if block + 1 < blocks {
                    shape.pack::<W>(values, residuals, block + 1, &mut packed);
                }
            };
            if let Some(last) = block.checked_sub(1) {
                all.resize(shape.ranks * part.len(), W::default());
                transport.gather_while(cast_slice(&part), cast_slice_mut(&mut all), &mut pack);
                shape.unpack::<W>(values, last, &all);
            } else {
                pack();
            }
        }
    }
}

/// Who has which part of a block.
#[derive(Clone, Copy)]
struct Shape {
    values: usize,
    workers: usize,
    ranks: usize,
    rank: usize,
}

impl Shape {
    fn block(self, block: usize) -> Range<usize> {
        block * BLOCK..self.values.min((block + 1) * BLOCK)
    }

    /// The room for a part of `block`; the last parts may be shorter.
    fn room(self, block: usize) -> usize {
        self.block(block).len().div_ceil(self.ranks)
    }

    /// The values of `block` that rank `of` combines.
    fn part(self, block: usize, of: usize) -> Range<usize> {
        let Range { start, end } = self.block(block);
        let start = (start + of * self.room(block)).min(end);
        start..(start + self.room(block)).min(end)
    }

    /// To `out` what each rank is sent: its part of `block`, of each worker.
    fn pack<W: Wire>(
        self,
        values: &impl Values,
        residuals: &mut Residuals,
        block: usize,
        out: &mut Vec<W>,
    ) {
        let room = self.room(block);
        out.resize(self.ranks * self.workers * room, W::default());
        let mut scratch = vec![0.0; room];
        for (n, out) in out.chunks_exact_mut(room).enumerate() {
            let (of, number) = (n / self.workers, n % self.workers);
            let range = self.part(block, of);
            let scratch = &mut scratch[..range.len()];
            values.pack(number, range.clone(), scratch);
            let residual = residuals.own.get_mut(number).map(|all| &mut all[range]);
            W::encode(scratch, residual, out);
        }
    }

    /// To `out` this rank's part of `block`, combined of what all have sent.
    fn combine<W: Wire>(
        self,
        values: &impl Values,
        residuals: &mut Residuals,
        block: usize,
        received: &[W],
        out: &mut Vec<W>,
    ) {
        let (range, room) = (self.part(block, self.rank), self.room(block));
        let mut decoded = vec![0.0; W::room(received.len())];
        let all = W::decode(received, &mut decoded);
        let workers: Vec<_> = all.chunks_exact(room).map(|worker| &worker[..range.len()]).collect();
        let mut combined = vec![0.0; range.len()];
        values.combine(&workers, &mut combined);
        let residual = residuals.combined.get_mut(range);
        out.resize(room, W::default());
        W::encode(&mut combined, residual, out);
    }

    fn unpack<W: Wire>(self, values: &mut impl Values, block: usize, all: &[W]) {
        let mut decoded = vec![0.0; W::room(all.len())];
        let all = W::decode(all, &mut decoded);
        for (of, part) in all.chunks_exact(self.room(block)).enumerate() {
            let range = self.part(block, of);
            values.unpack(range.clone(), &part[..range.len()]);
        }
    }
}

/// How a value travels.
trait Wire: Pod + Default {
    /// Writes `values` to the front of `out`; with what was taken away before, if that is kept.
    fn encode(values: &mut [f32], residual: Option<&mut [f32]>, out: &mut [Self]);
    /// As values again, in `scratch` if they are not.
    fn decode<'a>(all: &'a [Self], scratch: &'a mut [f32]) -> &'a [f32];
    /// The scratch for so many.
    fn room(count: usize) -> usize;
}

impl Wire for f32 {
    fn encode(values: &mut [f32], _residual: Option<&mut [f32]>, out: &mut [Self]) {
        out[..values.len()].copy_from_slice(values);
    }

    fn decode<'a>(all: &'a [Self], _scratch: &'a mut [f32]) -> &'a [f32] {
        all
    }

    fn room(_count: usize) -> usize {
        0
    }
}

/// bf16
impl Wire for u16 {
    fn encode(values: &mut [f32], residual: Option<&mut [f32]>, out: &mut [Self]) {
        let residual = residual.expect("compressed, what is taken away is kept");
        for ((value, residual), out) in values.iter_mut().zip(residual).zip(out) {
            *value += *residual;
            *out = to_bf16(*value);
            *residual = *value - from_bf16(*out);
        }
    }

    fn decode<'a>(all: &'a [Self], scratch: &'a mut [f32]) -> &'a [f32] {
        scratch.iter_mut().zip(all).for_each(|(value, &bits)| *value = from_bf16(bits));
        scratch
    }

    fn room(count: usize) -> usize {
        count
    }
}

/// The upper half, rounded to the nearest, and to even between two. What is no number stays none.
fn to_bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
    if value.is_nan() { 0x7fc0 } else { rounded as u16 }
}

fn from_bf16(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::Threads;
    use kernels::vector::axpy;
    use rand::{RngExt, SeedableRng};
    use rand_xoshiro::Xoshiro256PlusPlus;

    #[test]
    fn a_bf16_is_the_nearest_one_and_even_between_two() {
        for (value, expected) in [
            (0.0, 0.0),
            (-0.0, -0.0),
            (1.0, 1.0),
            (1.0 + 1.0 / 256.0, 1.0),
            (1.003_906_4, 1.007_812_5),
            (1.0 + 3.0 / 256.0, 1.015_625),
            (-3.4e38, f32::NEG_INFINITY),
            (f32::INFINITY, f32::INFINITY),
        ] {
            let found = from_bf16(to_bf16(value));
            assert_eq!(found.to_bits(), f32::to_bits(expected), "{value} {found}");
        }
        assert!(from_bf16(to_bf16(f32::from_bits(0x7f80_0001))).is_nan());
        // A NaN of many ones would round to a number.
        assert!(from_bf16(to_bf16(f32::from_bits(0x7fff_ffff))).is_nan());
        for upper in 0..=u16::MAX {
            let value = from_bf16(upper);
            assert!(value.is_nan() || to_bf16(value) == upper);
        }
    }

    /// A few workers' values, and what came out.
    struct Sum {
        own: Vec<Vec<f32>>,
        out: Vec<f32>,
    }

    impl Values for Sum {
        fn pack(&self, number: usize, range: Range<usize>, out: &mut [f32]) {
            out.copy_from_slice(&self.own[number][range]);
        }

        fn combine(&self, workers: &[&[f32]], out: &mut [f32]) {
            out.copy_from_slice(workers[0]);
            workers[1..].iter().for_each(|worker| axpy(1.0, worker, out));
        }

        fn unpack(&mut self, range: Range<usize>, values: &[f32]) {
            self.out[range].copy_from_slice(values);
        }
    }

    fn drawn(worker: usize, values: usize) -> Vec<f32> {
        let mut generator = Xoshiro256PlusPlus::seed_from_u64(worker as u64);
        (0..values).map(|_| generator.random_range(-1.0_f32..1.0)).collect()
    }

    /// What comes out of `rounds` exchanges of the same values, on each rank.
    fn exchanged(
        ranks: usize,
        workers: usize,
        values: usize,
        compressed: bool,
        rounds: usize,
    ) -> Vec<Vec<Vec<f32>>> {
        std::thread::scope(|scope| {
            let run = |transport: Threads| {
                let first = transport.rank() * workers;
                let own = (first..first + workers).map(|worker| drawn(worker, values)).collect();
                let mut sum = Sum { own, out: vec![f32::NAN; values] };
                let mut exchange = Exchange::new(values, workers, compressed, Residuals::default());
                let round = |_| {
                    exchange.run(&transport, &mut sum);
                    sum.out.clone()
                };
                (0..rounds).map(round).collect()
            };
            let all = Threads::new(ranks)
                .into_iter()
                .map(|transport| scope.spawn(move || run(transport)));
            let all: Vec<_> = all.collect();
            all.into_iter().map(|thread| thread.join().unwrap()).collect()
        })
    }

    #[test]
    fn a_sum_has_the_bits_of_one_loop_in_worker_order_on_every_rank() {
        for (ranks, workers) in [(1, 1), (2, 1), (3, 1), (4, 1), (2, 3), (3, 2), (5, 2)] {
            for values in [1, 7, 900, 5_000, BLOCK, BLOCK + 1, 3 * BLOCK + 17] {
                let mut expected = drawn(0, values);
                (1..ranks * workers).for_each(|n| axpy(1.0, &drawn(n, values), &mut expected));
                for found in exchanged(ranks, workers, values, false, 1) {
                    assert!(found[0] == expected, "{ranks} ranks × {workers}, {values} values");
                }
            }
        }
    }

    #[test]
    fn what_rounding_takes_away_comes_with_the_next_values() {
        for (ranks, workers, values) in [(3, 2, BLOCK + 100), (2, 1, BLOCK + 100), (3, 1, 50)] {
            comes_with_the_next_values(ranks, workers, values, 64);
        }
    }

    fn comes_with_the_next_values(ranks: usize, workers: usize, values: usize, rounds: usize) {
        let all = exchanged(ranks, workers, values, true, rounds);
        assert!(all.iter().all(|found| *found == all[0]), "the same bits on each rank");
        let mut exact = drawn(0, values);
        (1..ranks * workers).for_each(|n| axpy(1.0, &drawn(n, values), &mut exact));
        for (n, exact) in exact.iter().enumerate() {
            let sum: f64 = all[0].iter().map(|round| f64::from(round[n])).sum();
            let error = (sum - rounds as f64 * f64::from(*exact)).abs();
            // One rounding of a worker's value and of the sum is still to come, however many were.
            assert!(error < 0.06, "{n}: {sum} is {error} off");
            assert!((all[0][0][n] - exact).abs() < 0.06);
        }
    }
}
