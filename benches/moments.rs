//! The statistics of samples that were taken beside a loop of known work: a module of every bench.
//!
//! A machine that others use is slower now and then, and a time alone does not show it. So before
//! and after each sample a reference loop runs that does nothing but multiply-adds in registers, or
//! loads. How fast it went tells two things:
//!
//! ```text
//! thrown away   before or after the sample, the reference was slower than the best that it reached
//!               beside this benchmark by more than TOLERANCE
//! cost          ns · reference at that moment: what the machine could have done in the time
//! share         the work of an iteration / its cost
//! ```
//!
//! Best and median are those of the samples that are kept. Where none is, all count, and as many
//! are said to be thrown away as there are: such a figure is no measurement.

use train::statistics::median;

/// How much slower than its own best the reference may be beside a sample that is kept.
pub const TOLERANCE: f64 = 0.05;

/// A sample, and how fast the reference was before and after it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moment {
    /// Of an iteration.
    pub ns: f64,
    /// GFLOP/s or GB/s.
    pub before: f64,
    /// As before.
    pub after: f64,
}

impl Moment {
    /// FLOP or bytes that the reference would have done in the time of an iteration.
    fn cost(self) -> f64 {
        self.ns * (self.before + self.after) / 2.0
    }
}

/// What the samples of a benchmark come to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// All there were.
    pub samples: usize,
    /// Those of them beside which the reference was slow.
    pub thrown_away: usize,
    /// The shortest iteration.
    pub best_ns: f64,
    /// The median iteration.
    pub median_ns: f64,
    /// The least of the costs, in FLOP or bytes.
    pub least_cost: f64,
    /// Their median.
    pub median_cost: f64,
    /// The fastest that the reference was, of all samples, in GFLOP/s or GB/s.
    pub reference_best: f64,
    /// Its median beside all samples.
    pub reference_median: f64,
}

impl Summary {
    /// None of no samples.
    pub fn of(moments: &[Moment]) -> Option<Self> {
        let slower = |moment: &Moment| moment.before.min(moment.after);
        let reference_best = moments.iter().map(|m| m.before.max(m.after)).reduce(f64::max)?;
        let least = (1.0 - TOLERANCE) * reference_best;
        let mut kept: Vec<_> = moments.iter().copied().filter(|m| slower(m) >= least).collect();
        let thrown_away = moments.len() - kept.len();
        if kept.is_empty() {
            kept = moments.to_vec();
        }
        let (ns, costs): (Vec<_>, Vec<_>) = kept.iter().map(|m| (m.ns, m.cost())).unzip();
        let least = |values: &[f64]| values.iter().copied().fold(f64::INFINITY, f64::min);
        let references: Vec<_> = moments.iter().map(|m| (m.before + m.after) / 2.0).collect();
        Some(Self {
            samples: moments.len(),
            thrown_away,
            best_ns: least(&ns),
            median_ns: median(&ns),
            least_cost: least(&costs),
            median_cost: median(&costs),
            reference_best,
            reference_median: median(&references),
        })
    }
}
