//! The parts of a series: rows to train on, to choose by, and to judge by, in the order of time.

use crate::Error;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Rows, from 0; the parts do not overlap, and none is empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parts {
    /// What is trained on, and scaled by.
    pub train: Range<usize>,
    /// What the best parameters are chosen by.
    pub valid: Range<usize>,
    /// What the network is judged by, in the end.
    pub test: Range<usize>,
}

/// How rows are shared out.
#[derive(Clone, Debug, PartialEq)]
pub enum Split {
    /// By shares for training, validation and test, which add up to 1.
    Shares([f64; 3]),
    /// By rows.
    Rows {
        /// For training; its last part is the validation.
        train: Range<usize>,
        /// For the test.
        test: Range<usize>,
        /// The share of `train` that validates.
        valid: f64,
    },
}

impl Parts {
    /// The parts of a table of `rows` rows.
    ///
    /// # Errors
    /// [`Error::Task`], if they make no sense.
    pub fn of(split: &Split, rows: usize) -> Result<Self, Error> {
        let refuse = |reason: String| Err(Error::Task(reason));
        let parts = match split {
            Split::Shares(shares) => {
                let is_share = shares.iter().all(|&share| share > 0.0 && share < 1.0);
                if !is_share || (shares.iter().sum::<f64>() - 1.0).abs() > 1e-6 {
                    return refuse(format!(
                        "a split of {shares:?} makes no sense; give three shares above 0 that add up to \
                         1, such as 0.8,0.1,0.1"
                    ));
                }
                let place = |share: f64| (rows as f64 * share).round() as usize;
                let (first, second) = (place(shares[0]), place(shares[0] + shares[1]));
                Self { train: 0..first, valid: first..second, test: second..rows }
            }
            Split::Rows { train, test, valid } => {
                if !(*valid > 0.0 && *valid < 1.0) {
                    return refuse(format!(
                        "a validation part of {valid} of the training rows makes no sense; give a share \
                         above 0 and below 1, such as 0.1"
                    ));
                }
                if train.end > rows || test.end > rows {
                    let end = train.end.max(test.end);
                    return refuse(format!(
                        "there are {rows} rows, and rows up to {end} are asked for; give ends of at most \
                         {rows}"
                    ));
                }
                if train.start < test.end && test.start < train.end {
                    return refuse(format!(
                        "the training rows {train:?} and the test rows {test:?} overlap; give two that do \
                         not"
                    ));
                }
                let cut = train.end - (train.len() as f64 * valid).round() as usize;
                Self { train: train.start..cut, valid: cut..train.end, test: test.clone() }
            }
        };
        let Self { train, valid, test } = &parts;
        if train.is_empty() || valid.is_empty() || test.is_empty() {
            return refuse(format!(
                "of {rows} rows, {} are to train on, {} to validate and {} to test; give each part at \
                 least one (--split, or --train-rows and --test-rows)",
                train.len(),
                valid.len(),
                test.len()
            ));
        }
        Ok(parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_rows_are_parts_in_the_order_of_time() {
        let parts = Parts::of(&Split::Shares([0.8, 0.1, 0.1]), 34_587).unwrap();
        let expected = Parts { train: 0..27_670, valid: 27_670..31_128, test: 31_128..34_587 };
        assert_eq!(parts, expected);
        let rows = Split::Rows { train: 1..1_114, test: 1_114..1_436, valid: 0.1 };
        let parts = Parts::of(&rows, 1_442).unwrap();
        assert_eq!(parts, Parts { train: 1..1_003, valid: 1_003..1_114, test: 1_114..1_436 });
    }

    #[test]
    fn parts_that_make_no_sense_are_refused() {
        let rows = |train, test, valid| Split::Rows { train, test, valid };
        for (split, reason) in [
            (Split::Shares([0.8, 0.1, 0.2]), "add up to 1"),
            (Split::Shares([1.0, 0.0, 0.0]), "above 0"),
            (Split::Shares([f64::NAN, 0.5, 0.5]), "add up to 1"),
            (rows(0..50, 50..101, 0.1), "there are 100 rows, and rows up to 101"),
            (rows(0..50, 40..60, 0.1), "overlap"),
            (rows(0..50, 50..60, 1.0), "a validation part of 1"),
            (rows(0..50, 60..60, 0.1), "0 to test"),
            (rows(0..2, 60..70, 0.1), "0 to validate"),
        ] {
            let error = Parts::of(&split, 100).unwrap_err().to_string();
            assert!(error.contains(reason), "{reason}: {error}");
        }
    }
}
