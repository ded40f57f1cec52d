//! What a bench made of its samples, each taken beside a reference loop: best and median of those
//! that are kept, the share of the limit at the same moment, and how many were thrown away.
//!
//! The bench appends a line of JSON for each benchmark to a file; `benches/moments.rs` has the
//! statistics, and says when a sample is thrown away.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::roofline::{Limit, Work};

/// What runs beside the samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reference {
    /// Multiply-adds in registers: GFLOP/s.
    Peak,
    /// Loads from the cache that holds the data: GB/s.
    Loads,
}

/// The samples of a benchmark; times are nanoseconds for one iteration.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Moments {
    pub samples: usize,
    pub thrown_away: usize,
    pub best_ns: f64,
    pub median_ns: f64,
    pub reference: Reference,
    /// The fastest that the reference was beside a sample, in GFLOP/s or GB/s.
    pub reference_best: f64,
    /// Its median beside all samples.
    pub reference_median: f64,
    /// FLOP or bytes that the reference would have done in the time of an iteration.
    pub least_cost: f64,
    pub median_cost: f64,
    /// The share of the limit at the same moment that was reached, where the reference is that
    /// limit.
    #[serde(default)]
    pub best_share: Option<f64>,
    #[serde(default)]
    pub median_share: Option<f64>,
}

impl Moments {
    /// Fills in the shares of `limit` that `work` reached.
    pub fn find_shares(&mut self, limit: Option<Limit>, work: Option<Work>) {
        let (Some(limit), Some(work)) = (limit, work) else { return };
        let amount = match (self.reference, limit) {
            (Reference::Peak, Limit::Peak) => work.flop,
            (Reference::Loads, Limit::L1 | Limit::L2) => work.bytes,
            _ => return,
        };
        self.best_share = Some(amount / self.least_cost);
        self.median_share = Some(amount / self.median_cost);
    }

    /// As `3 of 812`: samples that were thrown away.
    pub fn thrown_away(&self) -> String {
        format!("{} of {}", self.thrown_away, self.samples)
    }

    /// Was the machine busy with something else during most of it?
    pub fn is_disturbed(&self) -> bool {
        2 * self.thrown_away > self.samples
    }
}

/// A line of the file.
#[derive(Debug, PartialEq, Deserialize)]
pub struct Line {
    /// As Criterion names them.
    pub function: String,
    pub parameter: String,
    #[serde(flatten)]
    pub moments: Moments,
}

/// All lines of the file at `path`; none where there is no file, as of a bench that was ended
/// before.
///
/// # Errors
/// If it cannot be read, or holds something else.
pub fn read(path: &Path) -> Result<Vec<Line>> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        text => text.with_context(|| format!("cannot read {}", path.display()))?,
    };
    // The last one may be half written, by a bench that was ended.
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let lines = whole.lines().map(serde_json::from_str);
    let lines: serde_json::Result<_> = lines.collect();
    lines.with_context(|| format!("cannot use {}", path.display()))
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub const LINE: &str = r#"{"group":"activation","function":"exp/carry","parameter":"4096",
        "reference":"peak","samples":40,"thrown_away":4,"best_ns":900.0,"median_ns":1000.0,
        "least_cost":160000.0,"median_cost":200000.0,"reference_best":200.0,"reference_median":199.0}"#;

    #[test]
    fn the_share_is_that_of_the_reference_where_it_is_the_limit() {
        let Line { moments, .. } = serde_json::from_str(LINE).unwrap();
        let work = Work::of(super::super::group::Group::Activation, "exp", "carry", "4096");
        let shares = |moments: Moments, limit, work| {
            let mut moments = moments;
            moments.find_shares(limit, work);
            moments.best_share.zip(moments.median_share)
        };
        // 23 FLOP and 8 bytes a value
        let flop = 4096.0 * 23.0;
        let of_peak = Some((flop / 160_000.0, flop / 200_000.0));
        assert_eq!(shares(moments, Some(Limit::Peak), work), of_peak);
        assert_eq!(shares(moments, Some(Limit::L1), work), None);
        assert_eq!(shares(moments, None, None), None);
        let loads = Moments { reference: Reference::Loads, ..moments };
        let of_loads = Some((32_768.0 / 160_000.0, 32_768.0 / 200_000.0));
        assert_eq!(shares(loads, Some(Limit::L2), work), of_loads);
        assert_eq!(shares(loads, Some(Limit::Memory), work), None);
    }

    #[test]
    fn most_samples_thrown_away_is_a_disturbed_figure() {
        let Line { moments, .. } = serde_json::from_str(LINE).unwrap();
        let disturbed = |thrown_away| Moments { thrown_away, ..moments }.is_disturbed();
        assert_eq!([4, 20, 21, 40].map(disturbed), [false, false, true, true]);
        assert_eq!(moments.thrown_away(), "4 of 40");
    }

    #[test]
    fn a_file_that_is_missing_has_no_lines_and_a_broken_one_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("moments");
        assert_eq!(read(&path).unwrap(), []);
        let line = LINE.replace('\n', "");
        fs::write(&path, format!("{line}\n{line}\n{{\"group\":")).unwrap();
        let lines = read(&path).unwrap();
        assert_eq!((lines.len(), lines[1].function.as_str()), (2, "exp/carry"));
        fs::write(&path, "not JSON\n").unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(error.starts_with("cannot use ") && error.ends_with("moments"), "{error}");
    }
}
