//! How good forecasts are, and what they are compared with.

use serde::{Deserialize, Serialize};

/// Errors of forecasts, in the units of the file.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measures {
    /// The mean absolute error.
    pub mae: f64,
    /// The root of the mean squared error.
    pub rmse: f64,
    /// The mean absolute error over that of the forecast "as one season ago" within the training
    /// part (Hyndman and Koehler, *Another look at measures of forecast accuracy*, 2006).
    pub mase: f64,
}

/// Sums over forecasts, from which [`Measures`] follow. A value that is missing counts for nothing.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Of each target: the scale of MASE.
    scales: Vec<f64>,
    /// `[horizon, targets]`: counts, absolute and squared errors.
    sums: Vec<[f64; 3]>,
}

impl Tally {
    /// Nothing yet, for `horizon` steps of as many targets as there are `scales`.
    pub fn new(scales: &[f64], horizon: usize) -> Self {
        Self { scales: scales.to_vec(), sums: vec![[0.0; 3]; horizon * scales.len()] }
    }

    /// Forecasts `[horizon, targets]` from one origin, and what was true.
    pub fn add(&mut self, forecast: &[f64], truth: &[f64]) {
        for ((sums, forecast), truth) in self.sums.iter_mut().zip(forecast).zip(truth) {
            let error = (forecast - truth).abs();
            if !error.is_nan() {
                let [count, absolute, squared] = sums;
                (*count, *absolute, *squared) =
                    (*count + 1.0, *absolute + error, *squared + error * error);
            }
        }
    }

    /// Values that were judged.
    pub fn count(&self) -> f64 {
        sum(self.sums.iter())[0]
    }

    /// Over all steps and targets. Of several targets the scaled errors are those of each.
    pub fn measures(&self) -> Measures {
        let [count, absolute, squared] = sum(self.sums.iter());
        let targets = self.scales.len();
        let scaled = self.scales.iter().enumerate().map(|(target, scale)| {
            let [count, absolute, _] = sum(self.sums.iter().skip(target).step_by(targets));
            absolute / count / scale
        });
        let mase = scaled.sum::<f64>() / targets as f64;
        Measures { mae: absolute / count, rmse: (squared / count).sqrt(), mase }
    }

    /// The root of the mean squared error of each step.
    pub fn rmse_by_step(&self) -> Vec<f64> {
        let steps = self.sums.chunks(self.scales.len());
        steps
            .map(|step| {
                let [count, _, squared] = sum(step.iter());
                (squared / count).sqrt()
            })
            .collect()
    }
}

fn sum<'a>(all: impl Iterator<Item = &'a [f64; 3]>) -> [f64; 3] {
    all.fold([0.0; 3], |sum, each| std::array::from_fn(|n| sum[n] + each[n]))
}

/// A forecast that needs no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Baseline {
    /// The value of so many rows before; those behind the origin are the same of a whole number of
    /// such spans earlier.
    Ago(usize),
    /// The mean of the training part.
    Mean,
}

impl Baseline {
    /// Those that a forecaster asks for where the pattern comes again after `season` rows, with
    /// their names.
    pub fn of(season: usize) -> Vec<(&'static str, Self)> {
        let mut all = vec![("last value", Self::Ago(1)), ("one season ago", Self::Ago(season))];
        match season {
            24 => all.push(("a week ago", Self::Ago(168))),
            7 => all.push(("a year ago", Self::Ago(364))), // whole weeks
            _ => {}
        }
        if season == 1 {
            all.remove(1);
        }
        all.push(("mean", Self::Mean));
        all
    }

    /// Of the values of all rows, none of them missing: row `origin + step`, known only before
    /// `origin`. None, if that is before the first row.
    pub fn forecast(
        self,
        value: impl Fn(usize) -> f64,
        mean: f64,
        origin: usize,
        step: usize,
    ) -> Option<f64> {
        match self {
            Self::Mean => Some(mean),
            Self::Ago(span) => {
                let back = span * (step / span + 1);
                Some(value((origin + step).checked_sub(back)?))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_are_means_over_what_is_not_missing() {
        let mut tally = Tally::new(&[2.0], 2);
        tally.add(&[1.0, 5.0], &[2.0, 2.0]);
        tally.add(&[0.0, 9.0], &[4.0, f64::NAN]);
        let Measures { mae, rmse, mase } = tally.measures();
        assert!((mae - 8.0 / 3.0).abs() < 1e-12 && (mase - mae / 2.0).abs() < 1e-12);
        assert!((rmse - (26.0_f64 / 3.0).sqrt()).abs() < 1e-12);
        assert_eq!(tally.rmse_by_step(), [(17.0_f64 / 2.0).sqrt(), 3.0]);
        assert_eq!(tally.count(), 3.0);
    }

    #[test]
    fn several_targets_are_scaled_each_by_its_own() {
        let mut tally = Tally::new(&[1.0, 10.0], 1);
        tally.add(&[3.0, 30.0], &[1.0, 10.0]);
        assert_eq!(tally.measures().mase, 2.0);
        assert_eq!(tally.measures().mae, 11.0);
    }

    #[test]
    fn a_season_ago_is_never_behind_the_origin() {
        let value = |row: usize| row as f64;
        let seasonal = |step| Baseline::Ago(3).forecast(value, 0.0, 10, step);
        let found: Vec<_> = (0..7).map(|step| seasonal(step).unwrap()).collect();
        assert_eq!(found, [7.0, 8.0, 9.0, 7.0, 8.0, 9.0, 7.0]);
        assert_eq!(Baseline::Ago(1).forecast(value, 0.0, 10, 5), Some(9.0));
        assert_eq!(Baseline::Ago(11).forecast(value, 0.0, 10, 0), None);
        assert_eq!(Baseline::Mean.forecast(value, 4.5, 10, 0), Some(4.5));
    }
}
