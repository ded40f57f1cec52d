//! The roofline: the most that a kernel could reach, by its arithmetic and its memory traffic.
//!
//! ```text
//! intensity  = FLOP / bytes
//! attainable = min(peak, intensity · bandwidth)
//! ```
//!
//! The bandwidth is that of the first level which holds all that the kernel touches: L1,
//! L2, memory. L3's is not measured (it is shared, and its size and speed differ most
//! among machines), so what only L3 holds is bounded by L2's: too high, but valid. Peak and
//! bandwidths come from the bench `roofline`, before and after the groups. Williams, Waterman, Patterson: "Roofline", CACM 52(4), 2009.

use std::fs;
use std::sync::LazyLock;

use model::flops;
use serde::{Deserialize, Serialize};

use super::group::{Group, layer_config, layer_shape, product_shape};

/// One line of the bench `roofline`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ceilings {
    /// Multiply-adds in registers.
    pub peak_gflops: f64,
    /// Loads from a buffer that fits into L1, L2, or neither.
    pub l1_gb_per_s: f64,
    pub l2_gb_per_s: f64,
    pub memory_gb_per_s: f64,
}

/// The ceilings of a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Roofline {
    pub before: Ceilings,
    pub after: Ceilings,
    /// The higher value of each: what shares refer to, so that a disturbance of the
    /// measurement makes no share look better.
    pub ceilings: Ceilings,
    /// How far the peak rate moved within the run, relative to the higher one.
    pub drift: f64,
}

impl Roofline {
    pub fn new(before: Ceilings, after: Ceilings) -> Self {
        let ceilings = Ceilings {
            peak_gflops: before.peak_gflops.max(after.peak_gflops),
            l1_gb_per_s: before.l1_gb_per_s.max(after.l1_gb_per_s),
            l2_gb_per_s: before.l2_gb_per_s.max(after.l2_gb_per_s),
            memory_gb_per_s: before.memory_gb_per_s.max(after.memory_gb_per_s),
        };
        let drift = (before.peak_gflops - after.peak_gflops).abs() / ceilings.peak_gflops;
        Self { before, after, ceilings, drift }
    }

    /// What binds `work`, and what it could reach there, in GFLOP/s.
    pub fn attainable(&self, work: Work) -> (Limit, f64) {
        let ceilings = &self.ceilings;
        let (level, bandwidth) = match work.footprint {
            bytes if bytes <= CACHES.l1 => (Limit::L1, ceilings.l1_gb_per_s),
            bytes if bytes <= CACHES.last => (Limit::L2, ceilings.l2_gb_per_s),
            _ => (Limit::Memory, ceilings.memory_gb_per_s),
        };
        let by_traffic = work.intensity() * bandwidth;
        if by_traffic < ceilings.peak_gflops {
            (level, by_traffic)
        } else {
            (Limit::Peak, ceilings.peak_gflops)
        }
    }
}

/// What bounds a kernel: the peak rate, or the bandwidth of a level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Limit {
    #[serde(rename = "peak")]
    Peak,
    L1,
    L2,
    #[serde(rename = "memory")]
    Memory,
}

impl Limit {
    pub fn name(self) -> &'static str {
        match self {
            Self::Peak => "peak",
            Self::L1 => "L1",
            Self::L2 => "L2",
            Self::Memory => "memory",
        }
    }
}

/// What one iteration of a benchmark has to do, in any program.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Work {
    pub flop: f64,
    /// Read and written, each matrix or slice once.
    pub bytes: f64,
    /// Bytes touched: what a cache must hold.
    footprint: f64,
}

/// What one value costs in a kernel of the group `activation`.
struct Cost {
    name: &'static str,
    /// Counted in our code (`crates/kernels/src`): a fused multiply-add is two, a
    /// division or its estimate one; shifts, masks and comparisons are none, but for
    /// `clip`, which does nothing else.
    flop: f64,
    /// Values read and written, each buffer once.
    moved: f64,
    /// Buffers touched.
    buffers: f64,
}

const fn cost(name: &'static str, flop: f64, moved: f64, buffers: f64) -> Cost {
    Cost { name, flop, moved, buffers }
}

const COSTS: [Cost; 12] = [
    cost("exp", 23.0, 2.0, 2.0),
    cost("sigmoid", 21.0, 2.0, 2.0),
    cost("tanh", 33.0, 2.0, 2.0),
    cost("softmax", 26.0, 2.0, 2.0),
    cost("log_sum_exp", 25.0, 1.0, 1.0),
    cost("sigmoid_backward", 3.0, 3.0, 2.0),
    cost("tanh_backward", 4.0, 3.0, 2.0),
    cost("axpy", 2.0, 3.0, 2.0),
    cost("scale", 1.0, 2.0, 1.0),
    cost("clip", 2.0, 2.0, 1.0),
    cost("dot", 2.0, 2.0, 2.0),
    cost("squared_norm", 2.0, 1.0, 1.0),
];

impl Work {
    /// The work of the benchmark `what` (as `exp`) of `size` (as `4096`, or `16x64x256`);
    /// none where nothing sensible can be counted, as for the lab, which is bound by the
    /// length of a chain and not by arithmetic or traffic.
    pub fn of(group: Group, what: &str, by: &str, size: &str) -> Option<Self> {
        const F32: f64 = 4.0;
        match group {
            Group::Activation => {
                // A number of values, or rows x columns of them.
                let values = size.split('x').map(str::parse::<f64>);
                let values = values.product::<Result<f64, _>>().ok()?;
                let cost = COSTS.iter().find(|cost| cost.name == what)?;
                let buffers = if by.ends_with("in_place") { 1.0 } else { cost.buffers };
                Some(Self {
                    flop: cost.flop * values,
                    bytes: cost.moved * F32 * values,
                    footprint: buffers * F32 * values,
                })
            }
            // C[m,n] ← A[m,k]·B[k,n]; C is brought in by the cache before it is written.
            Group::Matmul => {
                let [m, k, n] = product_shape(size)?;
                let values = |rows: usize, columns: usize| rows as f64 * columns as f64;
                let (a, b, c) = (values(m, k), values(k, n), values(m, n));
                Some(Self {
                    flop: flops::product(m, k, n),
                    bytes: F32 * (a + b + 2.0 * c),
                    footprint: F32 * (a + b + c),
                })
            }
            // All rows of a batch share each weight that is read; a training step reads them
            // three times. Two threads have more than one core's peak, and a stream waits for
            // its own states: no sensible limit.
            Group::Model => {
                let (mode, layer) = what.split_once('/')?;
                let [inputs, hidden, steps, batch] = layer_shape(size)?;
                let config = layer_config(layer, inputs, hidden)?;
                let (flop, passes) = match mode {
                    "inference" => (flops::forward(config, steps, batch), 1.0),
                    "training" => (flops::training_step(config, steps, batch), 3.0),
                    _ => return None,
                };
                // Of both directions.
                let weights = flops::forward(config, 1, 1) / 2.0;
                (by == "carry").then_some(Self {
                    flop,
                    bytes: passes * F32 * steps as f64 * weights,
                    footprint: F32 * weights,
                })
            }
            Group::Lab => None,
        }
    }

    /// FLOP a byte.
    pub fn intensity(self) -> f64 {
        self.flop / self.bytes
    }
}

/// Bytes of the data caches that one core can use.
struct Caches {
    l1: f64,
    /// L3, or L2 where there is none.
    last: f64,
}

/// As Linux reports them, else what most x86-64 cores of recent years have at least.
static CACHES: LazyLock<Caches> = LazyLock::new(|| {
    let size = |level: &str, kind: &str| {
        (0..8).find_map(|index| {
            let folder = format!("/sys/devices/system/cpu/cpu0/cache/index{index}");
            let read = |name: &str| fs::read_to_string(format!("{folder}/{name}")).ok();
            let matches = read("level")?.trim() == level && read("type")?.trim() == kind;
            let kibibytes: f64 = read("size")?.trim().strip_suffix('K')?.parse().ok()?;
            matches.then_some(kibibytes * 1024.0)
        })
    };
    let last = size("3", "Unified").or_else(|| size("2", "Unified"));
    Caches { l1: size("1", "Data").unwrap_or(32.0 * 1024.0), last: last.unwrap_or(256.0 * 1024.0) }
});

#[cfg(test)]
mod tests {
    use super::*;

    const CEILINGS: Ceilings = Ceilings {
        peak_gflops: 200.0,
        l1_gb_per_s: 400.0,
        l2_gb_per_s: 100.0,
        memory_gb_per_s: 10.0,
    };

    #[test]
    fn the_higher_ceiling_counts_and_the_drift_is_relative_to_it() {
        let after = Ceilings { peak_gflops: 190.0, l1_gb_per_s: 410.0, ..CEILINGS };
        let roofline = Roofline::new(CEILINGS, after);
        assert_eq!(roofline.ceilings, Ceilings { l1_gb_per_s: 410.0, ..CEILINGS });
        assert_eq!(roofline.drift, 0.05);
    }

    #[test]
    fn work_of_products_and_activations() {
        let square = Work::of(Group::Matmul, "", "carry", "64x64x64").unwrap();
        assert_eq!((square.flop, square.bytes), (2.0 * 262_144.0, 4.0 * 4.0 * 4096.0));
        assert_eq!(square.intensity(), 8.0);
        let lstm = Work::of(Group::Model, "training/lstm", "carry", "64x128x64x32").unwrap();
        assert_eq!(lstm.flop, 3.0 * 2.0 * 64.0 * 32.0 * 4.0 * 128.0 * 192.0);
        assert_eq!(lstm.footprint, 4.0 * 4.0 * 128.0 * 192.0);
        let both =
            Work::of(Group::Model, "training/lstm_bidirectional", "carry", "64x128x64x32").unwrap();
        assert_eq!((both.flop, both.bytes), (2.0 * lstm.flop, 2.0 * lstm.bytes));
        assert!(Work::of(Group::Model, "training/lstm", "carry_2_threads", "1x2x3x4").is_none());
        let exp = Work::of(Group::Activation, "exp", "std", "1000").unwrap();
        assert_eq!((exp.flop, exp.bytes, exp.footprint), (23_000.0, 8000.0, 8000.0));
        let softmax = Work::of(Group::Activation, "softmax", "carry", "10x100").unwrap();
        assert_eq!((softmax.flop, softmax.bytes), (26_000.0, 8000.0));
        let tanh = Work::of(Group::Activation, "tanh", "carry_in_place", "1000").unwrap();
        assert_eq!((tanh.bytes, tanh.footprint), (8000.0, 4000.0));
        for (group, what, size) in [
            (Group::Lab, "step", "16"),
            (Group::Activation, "another", "64"),
            (Group::Activation, "softmax", "64xa"),
            (Group::Model, "step/lstm", "16x16"),
            (Group::Model, "training/elman", "64x128x64x32"),
            (Group::Model, "training/lstm", "16x16"),
            (Group::Matmul, "", "64"),
            (Group::Matmul, "", "1x2x3x4"),
            (Group::Matmul, "", "axbxc"),
        ] {
            assert_eq!(Work::of(group, what, "carry", size), None, "{what} {size}");
        }
    }

    #[test]
    fn the_footprint_names_the_level_and_the_intensity_the_limit() {
        let roofline = Roofline::new(CEILINGS, CEILINGS);
        let work = |flop, footprint| Work { flop, bytes: 100.0, footprint };
        assert_eq!(roofline.attainable(work(100.0, 0.0)), (Limit::Peak, 200.0));
        assert_eq!(roofline.attainable(work(25.0, 0.0)), (Limit::L1, 100.0));
        assert_eq!(roofline.attainable(work(100.0, CACHES.last)), (Limit::L2, 100.0));
        assert_eq!(roofline.attainable(work(100.0, CACHES.last + 1.0)), (Limit::Memory, 10.0));
    }
}
