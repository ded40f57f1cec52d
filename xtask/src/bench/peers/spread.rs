//! The figures of several rounds, in three numbers.

use serde::Serialize;
use train::statistics::median;

/// The median and the ends of the rounds' figures.
#[derive(Serialize)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

impl Spread {
    /// # Panics
    /// If there are no figures.
    pub fn of(figures: &[f64]) -> Self {
        Self {
            median: median(figures),
            min: figures.iter().copied().fold(f64::INFINITY, f64::min),
            max: figures.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        }
    }
}
