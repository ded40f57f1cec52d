//! Numbers to compute with, the same in every run: a module of several benches.

use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// A source of numbers in [−1, 1).
pub fn uniform() -> impl FnMut() -> f32 {
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(1);
    move || (generator.next_u32() >> 8) as f32 / (1 << 23) as f32 - 1.0
}
