//! How good a network is on a series: its forecasts beside those that need none, or its classes.

use super::measures::Measures;
use crate::task::Score;
use serde::{Serialize, Serializer};
use serde_json::{Map, json};
use std::fmt::{Display, Formatter};

/// What a network on a series came to.
#[derive(Clone, Debug)]
pub enum SeriesScore {
    /// Forecasts.
    Forecast {
        /// On the validation part.
        valid: Measures,
        /// On the test part.
        test: Measures,
        /// Of forecasts that need no network, by name, on the test part.
        baselines: Vec<(String, Measures)>,
        /// The RMSE of each step on the test part.
        horizon_rmse: Vec<f64>,
    },
    /// Classes.
    Classes {
        /// On the validation part.
        valid: Confusion,
        /// On the test part.
        test: Confusion,
    },
}

/// Which class was taken for which.
#[derive(Clone, Debug)]
pub struct Confusion {
    classes: Vec<String>,
    /// `[true class, told class]`
    counts: Vec<u64>,
}

impl Confusion {
    /// Nothing yet.
    pub fn new(classes: Vec<String>) -> Self {
        let counts = vec![0; classes.len() * classes.len()];
        Self { classes, counts }
    }

    /// One more window.
    pub fn add(&mut self, truth: usize, told: usize) {
        self.counts[truth * self.classes.len() + told] += 1;
    }

    fn rows(&self) -> impl Iterator<Item = &[u64]> {
        self.counts.chunks(self.classes.len())
    }

    fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The share that was told rightly.
    pub fn accuracy(&self) -> f64 {
        let right: u64 = self.rows().enumerate().map(|(n, row)| row[n]).sum();
        right as f64 / self.total() as f64
    }

    /// The share of the most frequent class: what always telling it comes to.
    pub fn most_frequent(&self) -> f64 {
        let most = self.rows().map(|row| row.iter().sum::<u64>()).max().unwrap_or(0);
        most as f64 / self.total() as f64
    }
}

impl Display for Confusion {
    /// A row a true class, a column a told one.
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> =
            self.classes.iter().map(|name| name.escape_debug().to_string()).collect();
        let width = names.iter().map(String::len).max().unwrap_or(0).max(6);
        write!(f, "{:>width$}  told:", "true")?;
        names.iter().try_for_each(|name| write!(f, " {name:>width$}"))?;
        for (name, row) in names.iter().zip(self.rows()) {
            write!(f, "\n{name:>width$}       ")?;
            row.iter().try_for_each(|count| write!(f, " {count:>width$}"))?;
        }
        Ok(())
    }
}

impl Display for SeriesScore {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Forecast { valid, test, baselines, .. } => {
                let width = baselines.iter().map(|(name, _)| name.len()).max().unwrap_or(0).max(19);
                writeln!(f, "{:<width$}  {:>10}  {:>10}  {:>7}", "", "MAE", "RMSE", "MASE")?;
                let mut row = |name: &str, measures: &Measures, end: &str| {
                    let Measures { mae, rmse, mase } = measures;
                    write!(f, "{name:<width$}  {mae:>10.4}  {rmse:>10.4}  {mase:>7.3}{end}")
                };
                row("network, validation", valid, "\n")?;
                row("network, test", test, "\n")?;
                for (place, (name, measures)) in baselines.iter().enumerate() {
                    row(name, measures, if place + 1 == baselines.len() { "" } else { "\n" })?;
                }
                Ok(())
            }
            Self::Classes { valid, test } => write!(
                f,
                "{:.2} % of the test part's windows are told rightly, {:.2} % of the validation part's; \
                 always telling the most frequent class: {:.2} %.\n{test}",
                100.0 * test.accuracy(),
                100.0 * valid.accuracy(),
                100.0 * test.most_frequent()
            ),
        }
    }
}

impl Serialize for SeriesScore {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let object = match self {
            Self::Forecast { valid, test, baselines, horizon_rmse } => {
                let baselines: Map<_, _> = baselines
                    .iter()
                    .map(|(name, measures)| (name.clone(), json!(measures)))
                    .collect();
                json!({
                    "valid": valid,
                    "test": test,
                    "baselines": baselines,
                    "horizon_rmse": horizon_rmse,
                })
            }
            Self::Classes { valid, test } => json!({
                "valid": { "accuracy": valid.accuracy() },
                "test": { "accuracy": test.accuracy() },
                "baselines": { "most frequent": { "accuracy": test.most_frequent() } },
                "confusion": test.rows().collect::<Vec<_>>(),
            }),
        };
        object.serialize(serializer)
    }
}

impl Score for SeriesScore {
    /// Better than all that needs no network.
    fn is_perfect(&self) -> bool {
        match self {
            Self::Forecast { test, baselines, .. } => baselines
                .iter()
                .all(|(_, baseline)| test.rmse < baseline.rmse || baseline.rmse.is_nan()),
            Self::Classes { test, .. } => test.accuracy() > test.most_frequent(),
        }
    }

    fn brief(&self) -> String {
        match self {
            Self::Forecast { test, .. } => format!("{:.4}", test.rmse),
            Self::Classes { test, .. } => format!("{:.2} %", 100.0 * test.accuracy()),
        }
    }

    fn heading() -> &'static str {
        "test RMSE or accuracy"
    }

    fn figure(&self) -> (&'static str, f64) {
        match self {
            Self::Forecast { test, .. } => ("test_rmse", test.rmse),
            Self::Classes { test, .. } => ("test_error", 1.0 - test.accuracy()),
        }
    }

    fn summary(&self, perfect: usize, count: usize) -> String {
        format!("{perfect} of {count} seeds are better than what needs no network")
    }
}
