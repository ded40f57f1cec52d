//! Recorded trainings: reading a trace of the lab, and replaying it in f32.
//!
//! A trace (`"format": "lab-trace-1"`) holds the first weights `w_in` `[2][H]`, `w_rec`
//! `[H][H]` (row: from) and `w_out` `[H]`, the operand `pairs` of each example in
//! order, the `errors` `Σ_t |y − o|` that a float64 program saw, and the `final` weights.

use super::{Addition, Pair};
use crate::Error;
use crate::config::{Extent, NetworkConfig, RunConfig};
use crate::optimizer::{OptimizerConfig, Rule, Sgd};
use crate::strategy::Serial;
use model::{Config, Parameters};
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::Deserialize;
use std::path::Path;

/// The one format there is.
const FORMAT: &str = "lab-trace-1";

/// Recorded in a trace.
#[derive(Clone, Debug, Deserialize)]
struct Recorded {
    w_in: Vec<Vec<f64>>,
    w_rec: Vec<Vec<f64>>,
    w_out: Vec<f64>,
}

/// A recorded training. What else the file holds (`source`, `printed`) is not needed.
#[derive(Clone, Debug, Deserialize)]
pub struct Trace {
    format: String,
    bits: u32,
    hidden: usize,
    learning_rate: f64,
    #[serde(flatten)]
    first: Recorded,
    pairs: Vec<[u64; 2]>,
    errors: Vec<f64>,
    #[serde(rename = "final")]
    last: Recorded,
}

/// How far a replay went from what was recorded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Replay {
    /// Examples replayed.
    pub examples: usize,
    /// The largest absolute difference of an example's error.
    pub max_error_difference: f64,
    /// The largest absolute difference of a final weight.
    pub max_weight_difference: f64,
}

impl Replay {
    /// Whether both differences are at most `tolerance`; NaN is not.
    pub fn within(&self, tolerance: f64) -> bool {
        self.max_error_difference <= tolerance && self.max_weight_difference <= tolerance
    }
}

impl Trace {
    /// Reads a trace and checks that its parts fit each other.
    ///
    /// # Errors
    /// If the file cannot be read, is no trace, or its lists disagree.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(Error::file("read the trace", path))?;
        let content = |reason| Error::Content { path: path.to_owned(), reason };
        let trace: Self = serde_json::from_str(&text)
            .map_err(|error| content(format!("is not a trace: {error}")))?;
        trace.check().map_err(content)?;
        Ok(trace)
    }

    fn check(&self) -> Result<(), String> {
        if self.format != FORMAT {
            return Err(format!("has the format {:?}; only {FORMAT:?} is known", self.format));
        }
        let task = Addition::new(self.bits).map_err(|error| format!("cannot be used: {error}"))?;
        Config::lab(Addition::INPUTS, self.hidden, Addition::OUTPUTS)
            .map_err(|error| format!("cannot be used: {error}"))?;
        Sgd::new(self.learning_rate as f32).map_err(|error| format!("cannot be used: {error}"))?;
        if self.pairs.len() != self.errors.len() {
            return Err(format!(
                "holds {} pairs but {} errors; each example needs one of both",
                self.pairs.len(),
                self.errors.len()
            ));
        }
        for (prefix, weights) in [("", &self.first), ("final.", &self.last)] {
            weights.check(prefix, self.hidden)?;
        }
        for (n, pair) in self.pairs.iter().enumerate() {
            if let Some(operand) = pair.iter().find(|&&operand| operand >= task.operands()) {
                return Err(format!(
                    "has the operand {operand} in pair {n}; with {} bits operands are below {}",
                    self.bits,
                    task.operands()
                ));
            }
        }
        if let Some(n) = self.errors.iter().position(|error| !error.is_finite()) {
            return Err(format!("has the error {} at example {n}", self.errors[n]));
        }
        Ok(())
    }

    /// Trains from the recorded weights on the recorded pairs, in f32.
    ///
    /// # Errors
    /// If the learning rate makes no sense.
    pub fn replay(&self) -> Result<Replay, Error> {
        let task = Addition::new(self.bits)?;
        let config = RunConfig {
            task,
            network: NetworkConfig::lab(self.hidden),
            optimizer: OptimizerConfig::new(self.learning_rate as f32, Rule::SGD),
            run: Extent::new(self.pairs.len() as u64, 1, 0),
            ..Addition::lab()
        };
        let model = config.network.config(&task)?;
        let mut first = Parameters::zeros(model);
        let mut rows = self.first.rows();
        first.for_each_row_mut(|row| {
            let recorded = rows.next().expect("the rows were counted");
            row.iter_mut().zip(recorded).for_each(|(w, &r)| *w = r as f32);
        });

        let unused = Xoshiro256PlusPlus::seed_from_u64(0);
        let mut serial = Serial::resume(&config, first, unused)?;
        let error_differences = self.pairs.iter().zip(&self.errors).map(|(&[a, b], recorded)| {
            let totals = serial.train_on(|batch| task.encode(&[Pair { a, b }], batch));
            (totals.error - recorded).abs()
        });
        let max_error_difference = largest(error_differences);
        let last = serial.parameters();
        let found = last.w_in().chain(last.w_rec()).chain(last.w_out()).flatten();
        let recorded = self.last.rows().flatten();
        let weight_differences = found.zip(recorded).map(|(&w, &r)| (f64::from(w) - r).abs());
        Ok(Replay {
            examples: self.pairs.len(),
            max_error_difference,
            max_weight_difference: largest(weight_differences),
        })
    }
}

/// The largest value; NaN if there is one.
fn largest(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, |most, value| if value > most || value.is_nan() { value } else { most })
}

impl Recorded {
    /// Rows in the order of [`Parameters`].
    fn rows(&self) -> impl Iterator<Item = &Vec<f64>> {
        self.w_in.iter().chain(&self.w_rec).chain([&self.w_out])
    }

    fn check(&self, prefix: &str, hidden: usize) -> Result<(), String> {
        let matrices = [("w_in", &self.w_in, Addition::INPUTS), ("w_rec", &self.w_rec, hidden)];
        for (name, matrix, rows) in matrices {
            if matrix.len() != rows || matrix.iter().any(|row| row.len() != hidden) {
                let lengths: Vec<_> = matrix.iter().map(Vec::len).take(20).collect();
                return Err(format!(
                    "should hold {rows} rows of {hidden} values in `{prefix}{name}`; it holds \
                     {} rows, of {lengths:?} values",
                    matrix.len()
                ));
            }
        }
        if self.w_out.len() != hidden {
            let found = self.w_out.len();
            return Err(format!(
                "should hold {hidden} values in `{prefix}w_out`; it holds {found}"
            ));
        }
        if self.rows().flatten().any(|w| !w.is_finite() || w.abs() > f64::from(f32::MAX)) {
            return Err(format!("holds a weight in `{prefix}…` that is no finite f32"));
        }
        Ok(())
    }
}
