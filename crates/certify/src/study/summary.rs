//! What became of many networks of one kind, in a few numbers.

use crate::study::trial::{Ending, Kind, Trial};
use serde::Serialize;
use train::statistics::quantile;

/// What became of the networks of one kind; where there were none, a field of quartiles is
/// `None`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// The kind.
    #[serde(flatten)]
    pub kind: Kind,
    /// How many networks.
    pub trials: usize,
    /// How many of them were proved right.
    pub certified: usize,
    /// How many were refuted.
    pub refuted: usize,
    /// Of how many neither was found.
    pub unknown: usize,
    /// Of those proved: the least distance of an output's sum from 0.
    pub margin: Option<Quartiles>,
    /// Of those proved: the symbols in the longest history.
    pub k: Option<Quartiles>,
    /// Of those proved: the nodes of the certificate.
    pub nodes: Option<Quartiles>,
    /// Of those refuted: the binary digits of the longer operand, or the symbols of the word.
    pub bits: Option<Quartiles>,
    /// Seconds of training.
    pub training_seconds: Option<Quartiles>,
    /// Seconds of the search.
    pub proof_seconds: Option<Quartiles>,
}

impl Summary {
    /// Of those `trials` that are of `kind`.
    pub fn new(kind: Kind, trials: &[Trial]) -> Self {
        let of_kind: Vec<Trial> =
            trials.iter().copied().filter(|trial| trial.kind == kind).collect();
        let of = |value: &dyn Fn(&Trial) -> Option<f64>| {
            Quartiles::of(&of_kind.iter().filter_map(value).collect::<Vec<f64>>())
        };
        let count = |is: fn(&Ending) -> bool| of_kind.iter().filter(|t| is(&t.ending)).count();
        let certified = |value: fn(f64, usize, usize) -> f64| {
            of(&|trial| match trial.ending {
                Ending::Certified { margin, k, nodes, .. } => Some(value(margin, k, nodes)),
                _ => None,
            })
        };
        Self {
            kind,
            trials: of_kind.len(),
            certified: count(|ending| matches!(ending, Ending::Certified { .. })),
            refuted: count(|ending| matches!(ending, Ending::Counterexample { .. })),
            unknown: count(|ending| matches!(ending, Ending::Unknown)),
            margin: certified(|margin, _, _| margin),
            k: certified(|_, k, _| k as f64),
            nodes: certified(|_, _, nodes| nodes as f64),
            bits: of(&|trial| match trial.ending {
                Ending::Counterexample { bits, .. } => Some(bits as f64),
                _ => None,
            }),
            training_seconds: of(&|trial| Some(trial.training_seconds)),
            proof_seconds: of(&|trial| Some(trial.proof_seconds)),
        }
    }
}

/// The values below which a quarter, a half and three quarters of some values lie.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Quartiles {
    /// Of a quarter.
    pub q1: f64,
    /// Of a half.
    pub median: f64,
    /// Of three quarters.
    pub q3: f64,
}

impl Quartiles {
    /// Of `values`, as [`train::statistics`] defines them, if there are any.
    fn of(values: &[f64]) -> Option<Self> {
        let at = |q| quantile(values, q);
        (!values.is_empty()).then(|| Self { q1: at(0.25), median: at(0.5), q3: at(0.75) })
    }
}

#[cfg(test)]
mod tests {
    use super::Quartiles;

    #[test]
    fn quartiles_are_those_of_numpy() {
        let of = |values: &[f64]| {
            Quartiles::of(values).map(|Quartiles { q1, median, q3 }| [q1, median, q3])
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[7.0]), Some([7.0; 3]));
        assert_eq!(of(&[4.0, 1.0]), Some([1.75, 2.5, 3.25]));
        assert_eq!(of(&[9.0, 1.0, 4.0, 2.0, 5.0]), Some([2.0, 4.0, 5.0]));
        assert_eq!(of(&[1.0, 2.0, 3.0, 4.0]), Some([1.75, 2.5, 3.25]));
    }
}
