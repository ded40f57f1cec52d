//! Benchmarks beside a reference loop: a module of the benches.
//!
//! ```text
//! reference · sample · reference · sample · ... · reference
//! ```
//!
//! A sample is as many iterations as take [`MOMENT`], or one; the reference takes a few
//! microseconds, so that it tells of the moment. What Criterion reports is the sum of the samples,
//! none thrown away; [`Group`] prints beneath it what `moments.rs` makes of them, and appends it as
//! a line of JSON to the file that `CARRY_BENCH_MOMENTS` names. With `--test`, nothing is measured.

// No bench uses all of this file.
#![allow(dead_code)]

use std::hint::black_box;
use std::io::Write;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{Bencher, BenchmarkGroup, BenchmarkId, Criterion, Throughput};
use kernels::lanes::{LANES, Lanes};
use serde_json::json;

use crate::moments::{Moment, Summary};

/// The least length of a sample: much more than the reference takes, and less than most
/// disturbances last.
const MOMENT: Duration = Duration::from_micros(300);

/// Vectors that are loaded between two steps of a loop.
const BLOCK: usize = 16;

/// What runs beside the samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reference {
    /// Multiply-adds in registers: GFLOP/s.
    Peak,
    /// Loads of so many bytes, again and again: GB/s.
    Loads(usize),
}

/// A reference loop and its data.
pub struct Beside {
    reference: Reference,
    data: Vec<Lanes>,
    /// Where the next loads begin.
    next: usize,
    /// A guess at an iteration, from the last sample.
    iteration: Duration,
}

impl Beside {
    /// Has what the reference needs, in the cache that holds it.
    pub fn new(reference: Reference) -> Self {
        let bytes = if let Reference::Loads(bytes) = reference { bytes } else { 0 };
        let vectors = (bytes / size_of::<Lanes>()).next_multiple_of(BLOCK).max(BLOCK);
        let data = vec![Lanes::splat(1.0); vectors];
        let mut beside = Self { reference, data, next: 0, iteration: MOMENT };
        beside.speed();
        beside
    }

    /// How fast the reference is now.
    pub fn speed(&mut self) -> f64 {
        match self.reference {
            Reference::Peak => peak_now(),
            Reference::Loads(_) => self.loads_now(),
        }
    }

    /// The fastest of its readings during so long.
    pub fn fastest(&mut self, during: Duration) -> f64 {
        let start = Instant::now();
        let mut best = self.speed();
        while start.elapsed() < during {
            best = best.max(self.speed());
        }
        best
    }

    /// The whole of a small buffer, so many times that the clock is precise; of a large one the next
    /// mebibyte.
    fn loads_now(&mut self) -> f64 {
        const REPEATED: usize = (512 << 10) / size_of::<Lanes>();
        const STREAMED: usize = (1 << 20) / size_of::<Lanes>();
        if self.data.len() < 16 * STREAMED {
            let data = black_box(&self.data[..]);
            // What the samples have pushed out of the cache is fetched before.
            load(data);
            let repeats = (REPEATED / data.len()).max(1);
            // Loads from L1 settle at one of two speeds, some percent apart: the better of a few.
            let read = || {
                let start = Instant::now();
                for _ in 0..repeats {
                    load(data);
                }
                bandwidth(repeats * data.len(), start.elapsed())
            };
            return (0..4).map(|_| read()).fold(0.0, f64::max);
        }
        if self.next + STREAMED > self.data.len() {
            self.next = 0;
        }
        let part = black_box(&self.data[self.next..][..STREAMED]);
        self.next += STREAMED;
        let start = Instant::now();
        load(part);
        bandwidth(STREAMED, start.elapsed())
    }

    /// Runs so many iterations in samples, each between two references. `run` makes so many
    /// iterations and says how long they took.
    pub fn sample(
        &mut self,
        iterations: u64,
        mut run: impl FnMut(u64) -> Duration,
    ) -> (Duration, Vec<Moment>) {
        let (mut total, mut moments, mut left) = (Duration::ZERO, Vec::new(), iterations);
        let mut before = self.speed();
        while left > 0 {
            let fit = MOMENT.as_nanos() / self.iteration.as_nanos().max(1);
            let count = left.min(u64::try_from(fit).unwrap_or(u64::MAX).max(1));
            let time = run(count);
            let after = self.speed();
            let ns = time.as_nanos() as f64 / count as f64;
            moments.push(Moment { ns, before, after });
            self.iteration = time / u32::try_from(count).unwrap_or(u32::MAX);
            (total, left, before) = (total + time, left - count, after);
        }
        (total, moments)
    }
}

/// Loads `part` and drops it.
fn load(part: &[Lanes]) {
    for block in part.as_chunks::<BLOCK>().0 {
        for value in block {
            // SAFETY: a reference is valid for reading.
            unsafe { std::ptr::from_ref(value).read_volatile() };
        }
    }
}

/// Of so many vectors, in GB/s.
fn bandwidth(vectors: usize, time: Duration) -> f64 {
    (vectors * size_of::<Lanes>()) as f64 / time.as_nanos() as f64
}

/// The rate of multiply-adds in registers at this moment; `roofline.rs` says why twelve sums.
fn peak_now() -> f64 {
    const SUMS: usize = 12;
    const ROUNDS: usize = 3_000;
    let [x, y] = black_box([Lanes::splat(0.999), Lanes::splat(1e-3)]);
    let mut sums = black_box([Lanes::splat(0.5); SUMS]);
    let start = Instant::now();
    for _ in 0..ROUNDS {
        for sum in &mut sums {
            *sum = sum.mul_add(x, y);
        }
    }
    black_box(sums);
    (2 * LANES * SUMS * ROUNDS) as f64 / start.elapsed().as_nanos() as f64
}

/// `count` iterations of `f`, as Criterion times them.
pub fn time(count: u64, mut f: impl FnMut()) -> Duration {
    let start = Instant::now();
    for _ in 0..count {
        f();
    }
    start.elapsed()
}

/// A Criterion group whose benchmarks are measured beside a reference.
pub struct Group<'a> {
    name: &'static str,
    criterion: BenchmarkGroup<'a, WallTime>,
    reference: Reference,
    /// FLOP of an iteration, or bytes, by the reference; where they can be counted.
    work: Option<f64>,
    is_test: bool,
}

impl<'a> Group<'a> {
    /// Beside the peak, until told otherwise.
    pub fn new(criterion: &'a mut Criterion, name: &'static str) -> Self {
        let is_test = std::env::args().any(|argument| argument == "--test");
        let criterion = criterion.benchmark_group(name);
        Self { name, criterion, reference: Reference::Peak, work: None, is_test }
    }

    /// Of an iteration, for Criterion.
    pub fn throughput(&mut self, throughput: Throughput) {
        self.criterion.throughput(throughput);
    }

    /// What the next benchmarks run beside, and the work of an iteration in its unit: FLOP or
    /// bytes.
    pub fn beside(&mut self, reference: Reference, work: Option<f64>) {
        (self.reference, self.work) = (reference, work);
    }

    /// A benchmark of `f`, of a parameter or of none.
    pub fn bench(&mut self, function: &str, parameter: &str, mut f: impl FnMut()) {
        self.bench_timed(function, parameter, |count| time(count, &mut f));
    }

    /// A benchmark of `run`, which makes so many iterations and says how long they took.
    pub fn bench_timed(
        &mut self,
        function: &str,
        parameter: &str,
        mut run: impl FnMut(u64) -> Duration,
    ) {
        let is_test = self.is_test;
        let mut beside = (!is_test).then(|| Beside::new(self.reference));
        // Criterion warms up with 1, 2, 4 and so on iterations.
        let (mut next_of_warm_up, mut warm_up, mut moments) = (Some(1), Vec::new(), Vec::new());
        let sample = |b: &mut Bencher| {
            b.iter_custom(|count| {
                let Some(beside) = &mut beside else { return run(count) };
                let (total, sampled) = beside.sample(count, &mut run);
                if next_of_warm_up == Some(count) {
                    next_of_warm_up = count.checked_mul(2);
                    warm_up = sampled;
                } else {
                    next_of_warm_up = None;
                    moments.extend(sampled);
                }
                total
            });
        };
        if parameter.is_empty() {
            self.criterion.bench_function(function, sample);
        } else {
            self.criterion.bench_function(BenchmarkId::new(function, parameter), sample);
        }
        // Criterion's own `--quick` knows nothing but the warm-up.
        let summary = Summary::of(if moments.is_empty() { &warm_up } else { &moments });
        if let Some(summary) = summary {
            self.report(function, parameter, &summary);
        }
    }

    fn report(&self, function: &str, parameter: &str, summary: &Summary) {
        let (name, unit) = match self.reference {
            Reference::Peak => ("peak", "GFLOP/s"),
            Reference::Loads(_) => ("loads", "GB/s"),
        };
        let share = self.work.map(|work| {
            format!(
                ", {:.1} % of {name} (best {:.1} %)",
                100.0 * work / summary.median_cost,
                100.0 * work / summary.least_cost
            )
        });
        println!(
            "  median {:.4e} ns, best {:.4e}{}; {} of {} samples thrown away; {name} beside them {:.1} {unit}, at most {:.1}",
            summary.median_ns,
            summary.best_ns,
            share.unwrap_or_default(),
            summary.thrown_away,
            summary.samples,
            summary.reference_median,
            summary.reference_best,
        );
        let Some(path) = std::env::var_os("CARRY_BENCH_MOMENTS") else { return };
        let line = json!({
            "group": self.name,
            "function": function,
            "parameter": parameter,
            "reference": name,
            "samples": summary.samples,
            "thrown_away": summary.thrown_away,
            "best_ns": summary.best_ns,
            "median_ns": summary.median_ns,
            "least_cost": summary.least_cost,
            "median_cost": summary.median_cost,
            "reference_best": summary.reference_best,
            "reference_median": summary.reference_median,
        });
        std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(&path)
            .and_then(|mut file| writeln!(file, "{line}"))
            .unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
    }

    /// Criterion's last words.
    pub fn finish(self) {
        self.criterion.finish();
    }
}
