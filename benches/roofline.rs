//! What this machine can do at most: the two lines of a roofline.
//!
//! The peak rate of multiply-adds is measured with everything in registers, the
//! load bandwidth by reading a buffer that fits into L1, L2 or neither. Every
//! other figure of the study is a share of these, taken in the same run, because
//! the clock of a shared machine varies.
//!
//! `cargo bench -p benches --bench roofline` prints one line of JSON, with what it was built for.
//! Other benches include this file as a module. It times nothing but the machine, so it is no
//! Criterion group, and ignores Criterion's options.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use kernels::lanes::{LANES, Lanes};

/// The ceilings of one core.
#[derive(Clone, Copy, Debug)]
pub struct Roofline {
    /// Multiply-adds in registers, 10⁹ floating-point operations a second.
    pub peak: f64,
    /// Reading 16 KiB, 256 KiB and 256 MiB over and over, in 10⁹ bytes a second.
    pub l1: f64,
    /// As above.
    pub l2: f64,
    /// As above.
    pub memory: f64,
}

impl Roofline {
    /// Measures all ceilings, in about half a second.
    pub fn measure() -> Self {
        Self {
            peak: peak(),
            l1: load_bandwidth(16 << 10),
            l2: load_bandwidth(256 << 10),
            memory: load_bandwidth(256 << 20),
        }
    }
}

/// The peak rate of multiply-adds on one core, in GFLOP/s.
///
/// Twelve sums are in flight, which covers a latency of four cycles at two
/// multiply-adds a cycle with room to spare; all factors stay in registers.
pub fn peak() -> f64 {
    const SUMS: usize = 12;
    const ROUNDS: usize = 100_000;
    let [x, y] = black_box([Lanes::splat(0.999), Lanes::splat(1e-3)]);
    let mut sums = black_box([Lanes::splat(0.5); SUMS]);
    let seconds = fastest(|| {
        for _ in 0..ROUNDS {
            for sum in &mut sums {
                *sum = sum.mul_add(x, y);
            }
        }
    });
    black_box(sums);
    (2 * LANES * SUMS * ROUNDS) as f64 / seconds / 1e9
}

/// The bandwidth of loading a buffer of so many bytes again and again, in GB/s.
///
/// The values are loaded and dropped: any arithmetic on them, even a single addition each,
/// would be measured as well.
pub fn load_bandwidth(bytes: usize) -> f64 {
    const BLOCK: usize = 16;
    let count = bytes / size_of::<Lanes>() / BLOCK * BLOCK;
    let data = black_box(vec![Lanes::splat(1.0); count]);
    let repeats = ((4 << 20) / bytes).max(1);
    let seconds = fastest(|| {
        for _ in 0..repeats {
            for block in data.as_chunks::<BLOCK>().0 {
                for value in block {
                    // SAFETY: a reference is valid for reading.
                    unsafe { std::ptr::from_ref(value).read_volatile() };
                }
            }
        }
    });
    (repeats * count * size_of::<Lanes>()) as f64 / seconds / 1e9
}

/// The shortest of many runs, in seconds: what the machine does undisturbed.
fn fastest(mut run: impl FnMut()) -> f64 {
    const LONG_ENOUGH: Duration = Duration::from_millis(100);
    let start = Instant::now();
    let mut best = f64::INFINITY;
    run();
    while start.elapsed() < LONG_ENOUGH {
        let begin = Instant::now();
        run();
        best = best.min(begin.elapsed().as_secs_f64());
    }
    best
}

// Not used where this file is a module of another bench.
#[allow(dead_code)]
fn main() {
    let Roofline { peak, l1, l2, memory } = Roofline::measure();
    let features = kernels::cpu::build_features().join("\", \"");
    println!(
        "{{\"peak_gflops\": {peak:.1}, \"l1_gb_per_s\": {l1:.1}, \
         \"l2_gb_per_s\": {l2:.1}, \"memory_gb_per_s\": {memory:.1}, \
         \"build_features\": [\"{features}\"]}}"
    );
}
