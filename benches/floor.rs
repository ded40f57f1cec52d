//! The floor under one training example of the lab: T = 8 steps, batch 1, O = 1.
//!
//! An example is one chain of dependent values, and begins with the weights that the
//! one before has left. What is not in the chain can be done while it waits. So no
//! program of this formulation (each state is whole before the next product begins;
//! nothing is approximated, or rearranged across steps) takes less than
//!
//! ```text
//! forward    T × sigmoid  + (T − 1) × product
//! output     h[T−1]·w_out summed across lanes, sigmoid, delta, dy·w_out
//! backward   T × multiply + (T − 1) × product      by the sigmoid's derivative
//! update     4 × FMA    dz[0] into the gradient of W_in, that into W_in, and x·W_in
//!                       (I = 2) of the next example
//!
//! product  = exchange + max(⌈log2 H⌉ × add, issue)
//! exchange   a value to all lanes, times its weights: the faster of two, a broadcast
//!            from the register, or from memory after a store
//! issue      from the first to the last of H·⌈H/lanes⌉ FMAs, two a cycle
//! ```
//!
//! The sum of H products is ⌈log2 H⌉ additions deep at best. Loads of weights wait for
//! nothing, and are not in the chain. From a register a value is broadcast each cycle,
//! through memory two are, later; so a real product is slower than its least, and is
//! measured as a whole as well.
//!
//! Nor does an example take less than two ports need for its arithmetic, or its loads:
//!
//! ```text
//! FMAs       (2 products and 1 gradient) · (T − 1) · H·⌈H/lanes⌉
//! loads      the broadcasts of 2·(T − 1) products; where W exceeds the registers, its
//!            vectors too, and once more for the update
//! ```
//!
//! What is smaller (W_in, w_out, the arithmetic of the sigmoids, the transpose of W_rec)
//! is left out there: this floor may be too low, and is never too high.
//!
//! Each link is measured as a chain of nothing else, in the process that times the
//! examples, the best of many: it is what the machine does undisturbed. A cycle is a quarter of a dependent FMA, which takes four on
//! current cores of Intel and AMD; a build without FMA has no such measure.

// Each of the two benches uses a part.
#![allow(dead_code)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use kernels::activation::sigmoid_chain_lanes;
use kernels::lanes::{LANES, Lanes};
use train::statistics::median;
use train::strategy::Serial;
use train::task::Addition;

/// T
pub const STEPS: usize = 8;
/// Vector registers.
const REGISTERS: usize = if LANES == 16 { 32 } else { 16 };
/// The vectors of 16 units.
const VECTORS: usize = 16 / LANES;

/// Latencies in ns.
#[derive(Clone, Copy, Debug)]
pub struct Links {
    pub fma: f64,
    pub add: f64,
    pub multiply: f64,
    /// A value broadcast from the register where it is, and an FMA.
    pub in_register: f64,
    /// A vector stored, a value broadcast by a load, and an FMA. The compiler may copy
    /// the vector once more, which makes this too long rather than too short.
    pub through_memory: f64,
    pub sigmoid: f64,
    pub output: f64,
    product_of_16: f64,
}

/// 16 units, or their sums.
type Units = [Lanes; VECTORS];

/// Writes `units` to `memory`, from where one that is read afterwards has to be loaded.
fn store<T>(memory: &mut T, units: T) {
    *memory = units;
    black_box(memory);
}

fn broadcast(units: &Units, unit: usize) -> Lanes {
    Lanes::splat(units[unit / LANES].as_array()[unit % LANES])
}

/// Measures all links.
pub fn measure() -> Links {
    let opaque = |value| black_box(Lanes::splat(value));
    let (quarter, half, one) = (opaque(0.25), opaque(0.5), opaque(1.0));
    let mut memory = Lanes::ZERO;
    let in_register = latency(|x| Lanes::splat(x.as_array()[0]).mul_add(half, quarter));
    let through_memory = latency(|x| {
        store(&mut memory, x);
        Lanes::splat(memory.as_array()[3]).mul_add(half, quarter)
    });
    Links {
        fma: latency(|x| x.mul_add(half, quarter)),
        add: latency(|x| x + quarter),
        multiply: latency(|x| x * one),
        in_register,
        through_memory,
        sigmoid: latency(sigmoid_chain_lanes),
        output: latency(|h| {
            let o = sigmoid_chain_lanes(Lanes::splat((h * half).reduce_add()));
            let dy = (o - quarter) * o.mul_neg_add(o, o); // (o − y)·o·(1 − o)
            dy * half
        }),
        product_of_16: measure_product(),
    }
}

/// The product of 16 units by broadcasts, four of them from the register, and nothing else: what
/// its links, the ports and the compiler come to together. The kernels did so before they turned
/// the state in its registers.
fn measure_product() -> f64 {
    const SPLIT: usize = 4;
    // The sum of 16 equal values, times 1/16: the same values for ever.
    let weights: [Units; 16] = black_box([[Lanes::splat(1.0 / 16.0); VECTORS]; 16]);
    let mut memory = [Lanes::ZERO; VECTORS];
    let mut units = [Lanes::splat(0.5); VECTORS];
    latency(|_| {
        store(&mut memory, units);
        let mut sums = [[Lanes::ZERO; SPLIT]; VECTORS];
        for (k, weights) in weights.iter().enumerate() {
            let value = broadcast(if VECTORS == 1 && k < 4 { &units } else { &memory }, k);
            for (sums, &weights) in sums.iter_mut().zip(weights) {
                sums[k % SPLIT] = value.mul_add(weights, sums[k % SPLIT]);
            }
        }
        units = sums.map(|[a, b, c, d]| (a + b) + (c + d));
        units[0]
    })
}

/// The ns that `link` takes from its argument to its value: the least over many
/// chains of many.
pub fn latency(mut link: impl FnMut(Lanes) -> Lanes) -> f64 {
    const LENGTH: u32 = 2_000;
    let mut value = black_box(Lanes::splat(0.5));
    let mut best = Duration::MAX;
    for _ in 0..201 {
        let start = Instant::now();
        for _ in 0..LENGTH {
            value = link(value);
        }
        best = best.min(start.elapsed());
    }
    black_box(value);
    best.as_nanos() as f64 / f64::from(LENGTH)
}

/// The median, in ns, of `COUNT` durations.
fn median_ns<const COUNT: usize>(mut duration: impl FnMut() -> Duration) -> f64 {
    median(&[(); COUNT].map(|()| duration().as_nanos() as f64))
}

/// The latency of a product of `hidden` units: the least that its links allow.
pub fn product(links: &Links, hidden: usize) -> f64 {
    let adds = f64::from(hidden.next_power_of_two().ilog2()) * links.add;
    let fmas = hidden * hidden.div_ceil(LANES);
    let issue = (fmas.div_ceil(2) - 1) as f64 * links.fma / 4.0;
    links.in_register.min(links.through_memory) + adds.max(issue)
}

/// The latency of the chain of a forward pass, up to the last output, in ns.
pub fn forward_chain(links: &Links, product: f64) -> f64 {
    STEPS as f64 * links.sigmoid + (STEPS - 1) as f64 * product + links.output
}

/// The latency of the chain of a forward and a backward pass, in ns.
pub fn pass_chain(links: &Links, product: f64) -> f64 {
    let backward = STEPS as f64 * links.multiply + (STEPS - 1) as f64 * product;
    forward_chain(links, product) + backward
}

/// The latency of the chain of an example, in ns.
pub fn chain(links: &Links, product: f64) -> f64 {
    pass_chain(links, product) + 4.0 * links.fma
}

/// The FMAs and the loads of an example, in vectors.
pub fn counts(hidden: usize) -> [usize; 2] {
    let products = 2 * (STEPS - 1);
    let vectors = hidden * hidden.div_ceil(LANES); // of W
    let fmas = products * vectors + (STEPS - 1) * vectors;
    let of_weights = if vectors < REGISTERS { 0 } else { (products + 1) * vectors };
    [fmas, products * hidden + of_weights]
}

/// The time of the FMAs and of the loads of an example at two a cycle, in ns.
fn throughput(links: &Links, hidden: usize) -> (f64, f64) {
    let pair = links.fma / 4.0 / 2.0;
    let [fmas, loads] = counts(hidden).map(|count| count as f64 * pair);
    (fmas, loads)
}

/// Prints the links, and for each H the time of an example next to its floor. `time`
/// trains on so many examples.
pub fn print_table(
    trainings: impl IntoIterator<Item = (usize, Serial<Addition>)>,
    time: impl Fn(&mut Serial<Addition>, u64) -> Duration,
) {
    const EXAMPLES: u64 = 500;
    let links = measure();
    let cycles = |ns: f64| ns / links.fma * 4.0;
    println!("The links of an example's chain, in vectors of {LANES}:");
    for (name, ns) in [
        ("FMA", links.fma),
        ("add", links.add),
        ("multiply", links.multiply),
        ("exchange in the register", links.in_register),
        ("exchange through memory", links.through_memory),
        ("sigmoid", links.sigmoid),
        ("output", links.output),
        ("product of 16: least", product(&links, 16)),
        ("product of 16: broadcasts", links.product_of_16),
    ] {
        println!("{name:<26}{ns:>8.2} ns{:>8.1} cycles", cycles(ns));
    }

    println!("\nT = {STEPS}, batch 1; the floor is the largest of chain, FMAs and loads (ns):");
    println!("   H   chain    FMAs   loads | floor, cycles     ns   example, ns   ratio");
    for (hidden, mut serial) in trainings {
        let example = median_ns::<41>(|| time(&mut serial, EXAMPLES)) / EXAMPLES as f64;
        let chain = chain(&links, product(&links, hidden));
        let (fmas, loads) = throughput(&links, hidden);
        let floor = chain.max(fmas).max(loads);
        println!(
            "{hidden:>4}{chain:>8.1}{fmas:>8.1}{loads:>8.1} |{:>14.0}{floor:>7.1}{example:>14.1}{:>8.2}",
            cycles(floor),
            example / floor
        );
    }
    let built = chain(&links, links.product_of_16);
    println!("  16 with products of broadcasts:{:>13.0}{built:>7.1}\n", cycles(built));
}
