//! How a training goes: sums over a stretch of it, their means, and the file of these.

use crate::Error;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

/// What a stretch of training added up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// How many examples there were.
    pub examples: u64,
    /// Their losses, each before its update.
    pub loss: f64,
    /// Their errors, a second measure that the task chooses: the lab prints `Σ_t |y − o|`.
    pub error: f64,
}

impl Totals {
    /// The metrics of the interval that added up to this, which ended after `examples`
    /// examples and `seconds` seconds.
    pub fn mean(&self, examples: u64, seconds: f64) -> Metrics {
        let count = self.examples as f64;
        let (loss, error) = (self.loss / count, self.error / count);
        Metrics { examples, loss, error, seconds, valid: None }
    }
}

impl std::ops::AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        self.examples += other.examples;
        self.loss += other.loss;
        self.error += other.error;
    }
}

impl std::iter::Sum for Totals {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |mut sum, totals| {
            sum += totals;
            sum
        })
    }
}

/// How one interval of examples went.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Examples seen at its end.
    pub examples: u64,
    /// The mean loss of an example in it.
    pub loss: f64,
    /// The mean error of an example in it; see [`Totals::error`].
    pub error: f64,
    /// Seconds of training up to its end, without printing and evaluation.
    pub seconds: f64,
    /// The loss of an example on the validation data, where it was measured at its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid: Option<f64>,
}

/// Metrics that are being written, line by line, in a file that gets its final name when
/// the run is finished.
#[derive(Debug)]
pub struct MetricsFile {
    pub(crate) unfinished: PathBuf,
    pub(crate) file: File,
    pub(crate) bytes: u64,
}

impl MetricsFile {
    /// Adds a line; returns the bytes there are then.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn push(&mut self, metrics: &Metrics) -> Result<u64, Error> {
        let mut line = serde_json::to_string(metrics).expect("a flat object of numbers");
        line.push('\n');
        let written = self.file.write_all(line.as_bytes());
        written.map_err(Error::file("write", &self.unfinished))?;
        self.bytes += line.len() as u64;
        Ok(self.bytes)
    }

    pub(crate) fn sync(&self) -> Result<(), Error> {
        self.file.sync_all().map_err(Error::file("write", &self.unfinished))
    }

    pub(crate) fn rename(&self, path: &Path) -> Result<(), Error> {
        fs::rename(&self.unfinished, path).map_err(Error::file("write", path))
    }
}
