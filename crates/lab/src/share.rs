//! Shares: n of N, and the interval in which the true share lies, as far as N tell.

use serde::Serialize;
use std::fmt::{Display, Formatter};

/// So many of so many, such as networks that learned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(into = "Fields")]
pub struct Share {
    /// n
    pub count: usize,
    /// N
    pub of: usize,
}

/// As it is written, with the interval.
#[derive(Serialize)]
struct Fields {
    count: usize,
    of: usize,
    low: f64,
    high: f64,
}

impl From<Share> for Fields {
    fn from(share: Share) -> Self {
        let [low, high] = share.interval();
        Self { count: share.count, of: share.of, low, high }
    }
}

/// The 97.5 % quantile of the normal distribution: 95 % lie within so many standard deviations.
const Z: f64 = 1.959_963_984_540_054;

impl Share {
    /// How many of `all` are true.
    pub fn of(all: impl IntoIterator<Item = bool>) -> Self {
        all.into_iter().fold(Self::default(), |Self { count, of }, is_true| Self {
            count: count + usize::from(is_true),
            of: of + 1,
        })
    }

    /// n / N; 0 of none.
    pub fn value(self) -> f64 {
        if self.of == 0 { 0.0 } else { self.count as f64 / self.of as f64 }
    }

    /// The 95 % interval of the true share: Wilson's, which fits small N and shares near 0 and 1,
    /// too; all of [0, 1] for N = 0.
    ///
    /// Sources: E. B. Wilson, *Probable inference, the law of succession, and statistical
    /// inference*, 1927; recommended by Brown, Cai and DasGupta, *Interval Estimation for a
    /// Binomial Proportion*, 2001.
    pub fn interval(self) -> [f64; 2] {
        if self.of == 0 {
            return [0.0, 1.0];
        }
        let (n, share) = (self.of as f64, self.value());
        let middle = share + Z * Z / (2.0 * n);
        let half = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
        let [low, high] = [middle - half, middle + half].map(|bound| bound / (1.0 + Z * Z / n));
        // Where they are the ends, rounding would leave them beside.
        let is_end = |count| self.count == count;
        [if is_end(0) { 0.0 } else { low }, if is_end(self.of) { 1.0 } else { high }]
    }
}

impl Display for Share {
    /// `93 of 100 (95 %: 86 to 97 %)`
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let [low, high] = self.interval().map(percent);
        write!(f, "{} of {} (95 %: {low} to {high} %)", self.count, self.of)
    }
}

/// In percent, and with a digit behind the point near the ends, where a whole number says little.
fn percent(share: f64) -> String {
    let percent = 100.0 * share;
    let is_near_an_end = percent > 0.0 && percent < 1.0 || percent > 99.0 && percent < 100.0;
    if is_near_an_end { format!("{percent:.1}") } else { format!("{percent:.0}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// R. G. Newcombe, *Two-sided confidence intervals for the single proportion: comparison of
    /// seven methods*, Statistics in Medicine 17, 1998, table I, method 3.
    #[test]
    fn the_interval_is_the_published_one() {
        for (count, of, low, high) in [
            (81, 263, 0.2553, 0.3662),
            (15, 148, 0.0624, 0.1605),
            (0, 20, 0.0, 0.1611),
            (1, 29, 0.0061, 0.1718),
        ] {
            let [found_low, found_high] = Share { count, of }.interval();
            assert!((found_low - low).abs() < 6e-5, "{count} of {of}: {found_low}");
            assert!((found_high - high).abs() < 6e-5, "{count} of {of}: {found_high}");
        }
    }

    #[test]
    fn the_interval_holds_the_share_and_mirrors_and_narrows() {
        for of in [1, 2, 7, 200] {
            for count in 0..=of {
                let share = Share { count, of };
                let [low, high] = share.interval();
                assert!(0.0 <= low && low <= share.value() && share.value() <= high && high <= 1.0);
                let [mirrored, _] = Share { count: of - count, of }.interval();
                assert!((mirrored - (1.0 - high)).abs() < 1e-12);
                let [more_low, more_high] = Share { count: 10 * count, of: 10 * of }.interval();
                assert!(more_high - more_low < high - low);
            }
        }
        assert_eq!(Share::default().interval(), [0.0, 1.0]);
    }

    #[test]
    fn a_share_reads_as_a_sentence_does() {
        assert_eq!(Share { count: 93, of: 100 }.to_string(), "93 of 100 (95 %: 86 to 97 %)");
        assert_eq!(Share { count: 0, of: 200 }.to_string(), "0 of 200 (95 %: 0 to 2 %)");
        assert_eq!(Share::of([true, false, true]), Share { count: 2, of: 3 });
    }
}
