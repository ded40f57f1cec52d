//! What the bench `hogwild` found: the price of exchanges between cores, and what more cores
//! would do.

use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::size::Size;
use crate::bench::process::{finish, last_line};
use crate::bench::workspace::{Workspace, criterion_settings};

/// What the bench prints in its last line. Times are in seconds.
#[derive(Debug, Serialize, Deserialize)]
pub struct Costs {
    /// The transfer of a cache line from core to core.
    pub line_transfer: f64,
    pub one_hot_push: OneHotPush,
    sizes: Vec<Cost>,
}

/// A push while another worker pushes, in a network of so many one-hot inputs.
#[derive(Debug, Serialize, Deserialize)]
pub struct OneHotPush {
    pub inputs: usize,
    /// With the rows of `W_in` that were used.
    pub used_rows: f64,
    /// With all of them.
    pub all_rows: f64,
}

/// A training by several workers.
#[derive(Debug, Serialize, Deserialize)]
pub struct Cost {
    size: String,
    /// How many workers the model was fitted to.
    pub workers: usize,
    /// N, and the examples a second of N serial trainings that share nothing, one first.
    pub independent: Vec<(usize, f64)>,
    pub model: Model,
    /// N, and for each the K that keeps overheads below 5 % and the examples a second at it.
    pub prediction: Vec<(usize, u64, f64)>,
}

/// Seconds that an example and a push take a worker, and the transfer of a line.
#[derive(Debug, Serialize, Deserialize)]
pub struct Model {
    pub example: f64,
    pub push: f64,
    transfer: f64,
}

impl Costs {
    /// Those of a size; none if they were not measured.
    pub fn of(&self, size: Size) -> Option<&Cost> {
        self.sizes.iter().find(|cost| cost.size == size.bench_name())
    }
}

/// Builds the bench and runs it for `sizes`; `say` is called with each step.
///
/// # Errors
/// If that fails.
pub fn measure(
    workspace: &Workspace,
    sizes: &[Size],
    quick: bool,
    say: impl Fn(&'static str),
) -> Result<Costs> {
    say("building the bench `hogwild`");
    workspace.build(["hogwild"])?;
    say("measuring what exchanges between cores cost");
    let mut names: Vec<&str> = sizes.iter().map(|size| size.bench_name()).collect();
    names.dedup();
    let mut command = workspace.cargo_bench();
    command
        .args(["--bench", "hogwild", "--"])
        .args(criterion_settings(quick))
        // A regular expression: these benchmarks and no others.
        .arg(format!("hogwild/(line_transfer|push|{})", names.join("|")))
        .env("CRITERION_HOME", workspace.report_folder().join("criterion-hogwild"));
    let output = finish(&mut command, "the bench hogwild", Duration::from_secs(3600))?;
    last_line(&output).context("the bench hogwild")
}
