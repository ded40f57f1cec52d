//! The floor under one training example of the lab: T = 8 steps, batch 1, O = 1.
//!
//! An example is one chain of dependent values; each example needs the weights of the
//! one before. What the chain does not need can be done while it waits. So no program
//! of this formulation (each state is whole before the next product begins, nothing is
//! approximated or reassociated across steps) is faster than
//!
//! ```text
//! forward    T × sigmoid  +  (T − 1) × product
//! output     1 × output       h[T−1]·w_out, its sigmoid, the loss's delta, dy·w_out
//! backward   T × multiply (by the sigmoid's derivative)  +  (T − 1) × product
//! update     4 × FMA          dz[0] into the gradient of W_in, that into W_in,
//!                             and x·W_in (I = 2) of the next example
//!
//! product  = exchange + max(⌈log2 H⌉ × add, issue)
//! exchange : a vector stored, one of its values broadcast by a load, an FMA
//! issue    : H·⌈H/lanes⌉ FMAs at two a cycle; the last begins so much after the first
//! ```
//!
//! H products summed in pairs are ⌈log2 H⌉ additions deep, with as many accumulators
//! as that takes. Weights do not wait for the state: their loads are not in the chain.
//!
//! An example is not faster, either, than two ports do its arithmetic:
//!
//! ```text
//! FMAs       3·(T − 1)·H·⌈H/lanes⌉          two products and one gradient a step
//! loads      2·(T − 1)·H broadcasts, and, where W does not fit the registers,
//!            each of its vectors 2·(T − 1) times, and once more for the update
//! ```
//!
//! The smaller things (W_in, w_out, the sigmoids' own arithmetic, the transpose of
//! W_rec) are left out of that: a floor may be too low, never too high.
//!
//! Each link is measured here, as a chain of nothing else, in the same process as the
//! examples. A cycle is a quarter of a dependent FMA, which takes four on the current
//! cores of Intel and AMD; a build without FMA has no such measure.

use std::array;
use std::hint::black_box;
use std::time::{Duration, Instant};

use kernels::activation::sigmoid_lanes;
use kernels::lanes::{LANES, Lanes};
use train::strategy::Serial;

/// T
const STEPS: usize = 8;
/// Vector registers.
const REGISTERS: usize = if LANES == 16 { 32 } else { 16 };
/// The vectors of 16 units.
const VECTORS: usize = 16 / LANES;

/// Latencies in ns.
#[derive(Clone, Copy, Debug)]
struct Links {
    fma: f64,
    add: f64,
    multiply: f64,
    exchange: f64,
    sigmoid: f64,
    output: f64,
}

/// 16 units on a cache line, as the kernels keep them.
#[repr(align(64))]
struct State([[f32; LANES]; VECTORS]);

impl State {
    /// Written to memory for good: whoever reads a value has to load it.
    fn store(&mut self, vectors: [Lanes; VECTORS]) {
        self.0 = vectors.map(Lanes::to_array);
        black_box(&mut *self);
    }

    fn broadcast(&self, unit: usize) -> Lanes {
        Lanes::splat(self.0[unit / LANES][unit % LANES])
    }
}

fn measure() -> Links {
    let opaque = |value| black_box(Lanes::splat(value));
    let (quarter, half, one) = (opaque(0.25), opaque(0.5), opaque(1.0));
    let mut state = State([[0.0; LANES]; VECTORS]);
    Links {
        fma: latency(|x| x.mul_add(half, quarter)),
        add: latency(|x| x + quarter),
        multiply: latency(|x| x * one),
        exchange: latency(|x| {
            state.store([x; VECTORS]);
            state.broadcast(3).mul_add(half, quarter)
        }),
        sigmoid: latency(sigmoid_lanes),
        output: latency(|h| {
            let o = sigmoid_lanes(Lanes::splat((h * half).reduce_add()));
            let dy = (o - quarter) * o.mul_neg_add(o, o); // (o − y)·o·(1 − o)
            dy * half
        }),
    }
}

/// A whole forward step of 16 units and nothing else, for comparison with its links.
fn measure_step() -> f64 {
    const SPLIT: usize = 8 / VECTORS;
    let weights: [[Lanes; VECTORS]; 16] = black_box([[Lanes::splat(0.05); VECTORS]; 16]);
    let mut state = State([[0.0; LANES]; VECTORS]);
    let mut h = [Lanes::splat(0.5); VECTORS];
    latency(|_| {
        state.store(h);
        let mut sums = [[Lanes::ZERO; SPLIT]; VECTORS];
        for unit in 0..16 {
            let value = state.broadcast(unit);
            for (sums, weight) in sums.iter_mut().zip(weights[unit]) {
                sums[unit % SPLIT] = value.mul_add(weight, sums[unit % SPLIT]);
            }
        }
        h = sums.map(|mut sums| {
            let mut width = SPLIT / 2;
            while width > 0 {
                for k in 0..width {
                    sums[k] += sums[k + width];
                }
                width /= 2;
            }
            sigmoid_lanes(sums[0])
        });
        h[0]
    })
}

/// The ns that `link` takes from its argument to its value: the median over many
/// chains of many.
fn latency(mut link: impl FnMut(Lanes) -> Lanes) -> f64 {
    const LENGTH: u32 = 2_000;
    let mut value = black_box(Lanes::splat(0.5));
    let ns = median::<201>(|| {
        let start = Instant::now();
        for _ in 0..LENGTH {
            value = link(value);
        }
        start.elapsed()
    });
    black_box(value);
    ns / f64::from(LENGTH)
}

/// The median, in ns, of `COUNT` durations.
fn median<const COUNT: usize>(mut duration: impl FnMut() -> Duration) -> f64 {
    let mut durations: [Duration; COUNT] = array::from_fn(|_| duration());
    durations.sort_unstable();
    durations[COUNT / 2].as_nanos() as f64
}

/// The least time of an example, in ns, and what forbids a shorter one.
fn floor(links: &Links, hidden: usize) -> (f64, &'static str) {
    let cycle = links.fma / 4.0;
    let (steps, products) = (STEPS as f64, (STEPS - 1) as f64);
    let vectors = hidden * hidden.div_ceil(LANES); // of W
    let held = vectors <= REGISTERS;

    let adds = f64::from(hidden.next_power_of_two().ilog2()) * links.add;
    let issue = (vectors.div_ceil(2) - 1) as f64 * cycle;
    let product = links.exchange + adds.max(issue);
    let chain = steps * links.sigmoid
        + products * product
        + links.output
        + steps * links.multiply
        + products * product
        + 4.0 * links.fma;

    let fmas = 3.0 * products * vectors as f64 / 2.0 * cycle;
    let weight_loads = if held { 0.0 } else { (2.0 * products + 1.0) * vectors as f64 };
    let loads = (2.0 * products * hidden as f64 + weight_loads) / 2.0 * cycle;

    let chain_name = if issue > adds { "chain, FMAs in it" } else { "chain" };
    [(fmas, "FMAs"), (loads, "loads")]
        .into_iter()
        .fold((chain, chain_name), |most, other| if other.0 > most.0 { other } else { most })
}

/// Prints the links, and for each H the time of an example beside its floor. `time`
/// trains on so many examples.
pub fn print_table(
    trainings: impl IntoIterator<Item = (usize, Serial)>,
    time: impl Fn(&mut Serial, u64) -> Duration,
) {
    const EXAMPLES: u64 = 500;
    let links = measure();
    let line = |name, ns: f64| {
        println!("{name:<28}{ns:>8.2} ns {:>7.1} cycles", ns / links.fma * 4.0);
    };
    println!("The chain of an example, in vectors of {LANES}:");
    line("sigmoid", links.sigmoid);
    line("exchange (with its FMA)", links.exchange);
    line("FMA", links.fma);
    line("add", links.add);
    line("multiply", links.multiply);
    line("output", links.output);
    line("a step of 16, its links", links.exchange + 4.0 * links.add + links.sigmoid);
    line("a step of 16, at once", measure_step());
    println!("\n{:>4}{:>16}{:>14}{:>8}  bound by", "H", "ns an example", "floor, ns", "ratio");
    for (hidden, mut serial) in trainings {
        let measured = median::<41>(|| time(&mut serial, EXAMPLES)) / EXAMPLES as f64;
        let (floor, bound) = floor(&links, hidden);
        println!("{hidden:>4}{measured:>16.1}{floor:>14.1}{:>8.2}  {bound}", measured / floor);
    }
    println!();
}
