//! What one core of this machine can do, measured: the constants that limits are derived from.
//!
//! | constant | measured by |
//! | --- | --- |
//! | multiply-adds, additions, divisions, all operations | twelve independent values in registers; for all, the fastest mix |
//! | loads from L1, L2 and memory | reading a buffer that fits into each, or into no cache |
//! | stores to L1 | writing a buffer that fits |
//! | latencies of an activation | a chain of nothing else (those of arithmetic: `floor.rs`) |
//!
//! Each is the best of many short loops: a limit is what the machine does at its fastest.
//! [`Machine::peak`] is taken by the loop that runs beside the samples later, so that these can be
//! compared with it whatever the clock does. The bandwidth of memory is shared with all cores; where
//! others use it all the time, it is measured too low.

use std::fs;
use std::hint::black_box;
use std::time::{Duration, Instant};

use kernels::activation::{sigmoid_lanes, tanh_lanes};
use kernels::lanes::{LANES, Lanes};

use crate::beside::{Beside, Reference};
use crate::floor::{self, Links};

/// How long each constant is looked for.
const LONG_ENOUGH: Duration = Duration::from_millis(40);

/// Bytes of a buffer that no cache holds.
pub const BEYOND_CACHES: usize = 256 << 20;

/// Vectors a nanosecond, GB/s and latencies in ns.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    /// GFLOP/s of multiply-adds.
    pub peak: f64,
    pub additions: f64,
    pub divisions: f64,
    /// Operations of any kind together.
    pub operations: f64,
    pub l1: f64,
    pub l2: f64,
    pub memory: f64,
    /// To L1.
    pub stores: f64,
    pub links: Links,
    pub division_latency: f64,
    pub sigmoid_latency: f64,
    pub tanh_latency: f64,
    /// Bytes.
    pub l1_size: usize,
    /// Bytes of L2, and of L3 where there is one.
    pub caches_size: usize,
}

impl Machine {
    /// Measures all of it, in half a second.
    pub fn measure() -> Self {
        let peak = Beside::new(Reference::Peak).fastest(LONG_ENOUGH);
        let [a, b] = black_box([Lanes::splat(0.999), Lanes::splat(1e-3)]);
        let additions = rate(|sums| {
            for sum in sums {
                *sum += b;
            }
        });
        let divisions = rate(|sums| {
            for sum in sums {
                *sum = a / *sum;
            }
        });
        let halves = rate(|sums| {
            let (left, right) = sums.split_at_mut(SUMS / 2);
            for (x, y) in left.iter_mut().zip(right) {
                *x = x.mul_add(a, b);
                *y += b;
            }
        });
        let thirds = rate(|sums| {
            let (left, rest) = sums.split_at_mut(SUMS / 3);
            let (middle, right) = rest.split_at_mut(SUMS / 3);
            for ((x, y), z) in left.iter_mut().zip(middle).zip(right) {
                *x = x.mul_add(a, b);
                *y += b;
                *z ^= b;
            }
        });
        let multiply_adds = peak / (2 * LANES) as f64;
        let links = floor::measure();
        let loads = |bytes| Beside::new(Reference::Loads(bytes)).fastest(LONG_ENOUGH);
        Self {
            peak,
            additions,
            divisions,
            operations: multiply_adds.max(additions).max(halves).max(thirds),
            l1: loads(16 << 10),
            l2: loads(256 << 10),
            memory: Beside::new(Reference::Loads(BEYOND_CACHES)).fastest(4 * LONG_ENOUGH),
            stores: stores(),
            links,
            division_latency: floor::latency(|x| a / x),
            sigmoid_latency: floor::latency(sigmoid_lanes),
            tanh_latency: floor::latency(tanh_lanes),
            l1_size: cache("1", "Data").unwrap_or(32 << 10),
            caches_size: cache("3", "Unified").or(cache("2", "Unified")).unwrap_or(256 << 10),
        }
    }

    /// Vector multiply-adds a nanosecond.
    pub fn multiply_adds(&self) -> f64 {
        self.peak / (2 * LANES) as f64
    }
}

const SUMS: usize = 12;

/// Vector operations a nanosecond, of a `round` that makes one on each sum.
#[inline(always)]
fn rate(round: impl Fn(&mut [Lanes; SUMS])) -> f64 {
    const ROUNDS: usize = 1_000;
    let mut best = 0.0_f64;
    let start = Instant::now();
    while start.elapsed() < LONG_ENOUGH {
        let mut sums = black_box([Lanes::splat(0.5); SUMS]);
        let begin = Instant::now();
        for _ in 0..ROUNDS {
            round(&mut sums);
        }
        black_box(sums);
        best = best.max((SUMS * ROUNDS) as f64 / begin.elapsed().as_nanos() as f64);
    }
    best
}

/// GB/s of stores to 16 KiB.
fn stores() -> f64 {
    const REPEATS: usize = 128;
    let mut data = vec![Lanes::ZERO; (16 << 10) / size_of::<Lanes>()];
    let (value, mut best) = (black_box(Lanes::splat(1.0)), 0.0_f64);
    let start = Instant::now();
    while start.elapsed() < LONG_ENOUGH {
        let begin = Instant::now();
        for _ in 0..REPEATS {
            data.fill(value);
            black_box(&mut data);
        }
        let ns = begin.elapsed().as_nanos() as f64;
        best = best.max((REPEATS * data.len() * size_of::<Lanes>()) as f64 / ns);
    }
    best
}

/// Bytes of a cache of the first core, as Linux reports them.
fn cache(level: &str, kind: &str) -> Option<usize> {
    (0..8).find_map(|index| {
        let folder = format!("/sys/devices/system/cpu/cpu0/cache/index{index}");
        let read = |name: &str| fs::read_to_string(format!("{folder}/{name}")).ok();
        let matches = read("level")?.trim() == level && read("type")?.trim() == kind;
        let kibibytes: usize = read("size")?.trim().strip_suffix('K')?.parse().ok()?;
        matches.then_some(kibibytes << 10)
    })
}
