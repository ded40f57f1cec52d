//! What a task adds to a training that is shown: its unit, its pictures, what to do next.

use model::Parameters;
use serde_json::{Value, json};

/// The name of a file, and what is in it.
pub type Picture = (&'static str, String);

/// What a task adds to a training that is shown.
pub struct Ending<T> {
    /// What is counted while it goes …
    pub unit: &'static str,
    /// … and how many of these are an example.
    pub per_example: fn(&T) -> u64,
    /// What it trains on, in lines that come first.
    pub about: fn(&T) -> Vec<String>,
    /// What to do with the network, in a line; the run's folder, quoted, if it is not the latest.
    pub next: fn(Option<&str>) -> String,
    /// Whether `cargo xtask page` shows it.
    pub has_page: bool,
    /// Files for the run's folder beside the usual ones: their names and contents.
    pub pictures: fn(&T, &Parameters) -> anyhow::Result<Vec<Picture>>,
    /// Snapshots that are kept where nobody says how many, if they take little room.
    pub snapshots: u32,
    /// So many networks are trained at most, each from the next seed, until one is proved; none, where
    /// nobody asked for a proof.
    pub attempts: Option<u64>,
    /// What programs are told besides; the number is of examples a second.
    pub numbers: fn(&T, f64) -> Value,
}

impl<T> Ending<T> {
    /// Nothing but what to do next.
    pub const fn new(next: fn(Option<&str>) -> String) -> Self {
        Self {
            unit: "examples",
            per_example: |_| 1,
            about: |_| Vec::new(),
            next,
            has_page: true,
            pictures: |_, _| Ok(Vec::new()),
            snapshots: 0,
            attempts: None,
            numbers: |_, _| json!({}),
        }
    }
}
