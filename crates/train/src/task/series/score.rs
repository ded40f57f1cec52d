//! How good a network is on a series: its forecasts beside those that need none, or its classes.

use super::measures::Measures;
use crate::task::Score;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::fmt::{Display, Formatter};

/// What a network on a series came to.
#[derive(Clone, Debug, Serialize, Deserialize)]
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
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Confusion {
    classes: Vec<String>,
    /// The most frequent class of the training part.
    usual: usize,
    /// `[true class, told class]`; the last row is of windows whose label the training part has not.
    counts: Vec<u64>,
}

impl Confusion {
    /// Nothing yet; `usual` is the most frequent class of the training part.
    pub fn new(classes: Vec<String>, usual: usize) -> Self {
        let counts = vec![0; (classes.len() + 1) * classes.len()];
        Self { classes, usual, counts }
    }

    /// One more window; a `truth` that is no class is a label that the training part has not.
    pub fn add(&mut self, truth: usize, told: usize) {
        let classes = self.classes.len();
        self.counts[truth.min(classes) * classes + told] += 1;
    }

    /// A row a class, and one of other labels, if there are any.
    fn rows(&self) -> impl Iterator<Item = &[u64]> {
        let classes = self.classes.len();
        let has_others = self.counts[classes * classes..].iter().any(|&count| count > 0);
        self.counts.chunks(classes).take(classes + usize::from(has_others))
    }

    fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The share that was told rightly. No network can tell a label that it was never shown: a
    /// window with one counts as told wrongly.
    pub fn accuracy(&self) -> f64 {
        let right: u64 =
            (0..self.classes.len()).map(|n| self.counts[n * (self.classes.len() + 1)]).sum();
        right as f64 / self.total() as f64
    }

    /// The share of the class that is the most frequent of the training part: what always telling
    /// that one comes to.
    pub fn most_frequent(&self) -> f64 {
        let usual = self.rows().nth(self.usual).map_or(0, |row| row.iter().sum::<u64>());
        usual as f64 / self.total() as f64
    }
}

impl Display for Confusion {
    /// A row a true class, a column a told one.
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> =
            self.classes.iter().map(|name| name.escape_debug().to_string()).collect();
        let others = "(others)".to_owned();
        let width = names.iter().map(String::len).max().unwrap_or(0).max(others.len());
        write!(f, "{:>width$}  told:", "true")?;
        names.iter().try_for_each(|name| write!(f, " {name:>width$}"))?;
        for (name, row) in names.iter().chain([&others]).zip(self.rows()) {
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
                 always telling the most frequent class of the training part: {:.2} %.\n{test}",
                100.0 * test.accuracy(),
                100.0 * valid.accuracy(),
                100.0 * test.most_frequent()
            ),
        }
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

    fn describe(&self) -> Value {
        match self {
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
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_confusion_counts_labels_that_were_never_shown_as_told_wrongly() {
        let mut confusion = Confusion::new(vec!["a".to_owned(), "b".to_owned()], 1);
        for (truth, told) in [(0, 0), (0, 0), (0, 1), (1, 1)] {
            confusion.add(truth, told);
        }
        // Always telling what training saw most, though this part has more of the other.
        assert_eq!((confusion.accuracy(), confusion.most_frequent()), (0.75, 0.25));
        assert!(!confusion.to_string().contains("others"));
        confusion.add(2, 0);
        assert_eq!((confusion.accuracy(), confusion.most_frequent()), (0.6, 0.2));
        let table = confusion.to_string();
        assert_eq!(table.lines().count(), 4, "{table}");
        assert!(table.contains("(others)"), "{table}");
    }
}
