//! The α-β model: what a message costs, what an average over all ranks costs, and from both the
//! time of a training on a cluster that is not here.
//!
//! ```text
//! message of n bytes      α + n·β                                  α in s, β in s a byte
//! sum over P ranks        the less of
//!   recursive doubling    ⌈log₂ P⌉ · (α + n·β)
//!   Rabenseifner          2·⌈log₂ P⌉·α + 2·(P − 1)/P · n·β
//! training, E examples    ⌈E/(P·K)⌉ · (K·c + sum)                  c: seconds an example
//! ```
//!
//! A training is whole rounds: nobody has the loss before the first meeting.
//!
//! What is left out: the adding itself, the waiting for the slowest, links that several ranks
//! share, and that communication may overlap with computing. The first three make a cluster slower
//! than this, the last one faster.
//!
//! Source: Thakur, Rabenseifner and Gropp, *Optimization of Collective Communication Operations in
//! MPICH*, International Journal of High Performance Computing Applications 19(1), 2005.

use serde::Serialize;

/// A network between ranks.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Link {
    /// α, seconds a message.
    pub latency: f64,
    /// β, seconds a byte.
    pub per_byte: f64,
}

impl Link {
    /// A network of so many bits a second, whose messages are `latency` seconds on their way.
    pub fn new(bits_per_second: f64, latency: f64) -> Self {
        Self { latency, per_byte: 8.0 / bits_per_second }
    }

    /// The link that explains `messages` (bytes, seconds) with the least relative error, by least
    /// squares of (α + n·β)/t − 1. Neither number is below 0. None without two sizes, or where a
    /// time is not above 0.
    pub fn fit(messages: &[(f64, f64)]) -> Option<Self> {
        let (&first, rest) = messages.split_first()?;
        let is_time = |&(n, t): &(f64, f64)| n >= 0.0 && n.is_finite() && t > 0.0 && t.is_finite();
        if !messages.iter().all(is_time) || rest.iter().all(|other| other.0 == first.0) {
            return None;
        }
        let (latency, per_byte) = fit_relative(messages)?;
        // With one of them at 0, the other alone explains best.
        let alone = |x: fn(f64, f64) -> f64| {
            let x = messages.iter().map(|&(n, t)| x(n, t));
            let (sum, squares) = x.fold((0.0, 0.0), |(sum, sq), x| (sum + x, sq + x * x));
            sum / squares
        };
        Some(if latency < 0.0 {
            Self { latency: 0.0, per_byte: alone(|n, t| n / t) }
        } else if per_byte < 0.0 {
            Self { latency: alone(|_, t| 1.0 / t), per_byte: 0.0 }
        } else {
            Self { latency, per_byte }
        })
    }

    /// Seconds of a message of so many bytes.
    pub fn message(self, bytes: f64) -> f64 {
        self.latency + bytes * self.per_byte
    }

    /// Seconds until each of `ranks` has the sum of what all have, of so many bytes.
    pub fn sum(self, ranks: usize, bytes: f64) -> f64 {
        if ranks <= 1 {
            return 0.0;
        }
        let (rounds, ranks) = (f64::from(ranks.next_power_of_two().ilog2()), ranks as f64);
        let doubling = rounds * self.message(bytes);
        let halving =
            2.0 * rounds * self.latency + 2.0 * (ranks - 1.0) / ranks * bytes * self.per_byte;
        doubling.min(halving)
    }
}

/// A training, as the model sees it.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// E, the examples of all ranks to the loss.
    pub examples: f64,
    /// c, seconds that a rank computes for an example, its share of an update included.
    pub seconds_per_example: f64,
    /// K, the examples of a rank between two meetings.
    pub push_every: u64,
    /// Bytes of the parameters, or their gradient.
    pub bytes: f64,
}

impl Work {
    /// Seconds on so many ranks, which meet over `link`.
    pub fn seconds(self, ranks: usize, link: Link) -> f64 {
        let every = self.push_every.max(1) as f64;
        // Medians of examples lie beside whole rounds by what a sum of floats rounds.
        let rounds = (self.examples / (ranks.max(1) as f64 * every) - 1e-9).ceil().max(1.0);
        rounds * (every * self.seconds_per_example + link.sum(ranks, self.bytes))
    }
}

/// The examples to a loss at numbers of workers that were not simulated, from those that were
/// (`points`: N, examples): a + c·N with the least relative error, both at least 0. None without two
/// different N.
///
/// This is the form that examples have where the noise of the gradient decides: E = E₀·(1 + B/B₀)
/// for batches of B = N·b (McCandlish et al., *An Empirical Model of Large-Batch Training*, 2018).
pub fn examples_at(points: &[(f64, f64)], workers: f64) -> Option<f64> {
    Link::fit(points).map(|line| line.message(workers))
}

/// Least squares of (a + b·x)/y − 1 over `points` (x, y).
fn fit_relative(points: &[(f64, f64)]) -> Option<(f64, f64)> {
    // Sums of u², u·v, v², u, v for u = 1/y and v = x/y, with x scaled to at most 1.
    let scale = points.iter().fold(0.0, |most: f64, point| most.max(point.0));
    let mut sums = [0.0; 5];
    for &(x, y) in points {
        let (u, v) = (1.0 / y, x / scale / y);
        for (sum, term) in sums.iter_mut().zip([u * u, u * v, v * v, u, v]) {
            *sum += term;
        }
    }
    let [uu, uv, vv, u, v] = sums;
    let determinant = uu * vv - uv * uv;
    let fit = ((u * vv - v * uv) / determinant, (v * uu - u * uv) / determinant / scale);
    (fit.0.is_finite() && fit.1.is_finite()).then_some(fit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() <= 1e-6 * b.abs()
    }

    proptest! {
        #[test]
        fn a_link_is_found_again_from_its_messages(
            latency in 1e-7..1e-1_f64, bits in 1e6..1e12_f64,
        ) {
            let link = Link::new(bits, latency);
            // From a message that is mostly latency to one that is mostly bytes.
            let middle = link.latency / link.per_byte;
            let sizes = [0.01, 0.1, 1.0, 10.0, 100.0].map(|size| size * middle);
            let found = Link::fit(&sizes.map(|n| (n, link.message(n)))).unwrap();
            prop_assert!(near(found.latency, latency) && near(found.per_byte, link.per_byte));
        }

        #[test]
        fn a_fit_is_never_negative_and_takes_any_times(
            messages in prop::collection::vec((0.0..1e7_f64, 1e-9..1e3_f64), 0..8),
        ) {
            if let Some(Link { latency, per_byte }) = Link::fit(&messages) {
                prop_assert!(latency >= 0.0 && latency.is_finite(), "{messages:?}");
                prop_assert!(per_byte >= 0.0 && per_byte.is_finite(), "{messages:?}");
            }
        }

        #[test]
        fn a_sum_takes_longer_with_more_ranks_and_more_bytes(
            latency in 1e-7..1e-1_f64, bits in 1e6..1e12_f64, ranks in 1..1024_usize, n in 0.0..1e9_f64,
        ) {
            let link = Link::new(bits, latency);
            let seconds = link.sum(ranks, n);
            let above = seconds * (1.0 - 1e-12);
            prop_assert!(link.sum(ranks + 1, n) >= above && link.sum(ranks, n + 1.0) >= above);
        }
    }

    #[test]
    fn a_sum_is_by_doubling_for_few_bytes_and_by_halving_for_many() {
        let link = Link { latency: 1.0, per_byte: 1.0 };
        assert_eq!(link.sum(1, 5.0), 0.0);
        assert_eq!(link.sum(8, 0.0), 3.0);
        assert_eq!(link.sum(5, 0.0), 3.0);
        assert_eq!(link.sum(8, 1000.0), 6.0 + 2.0 * 7.0 / 8.0 * 1000.0);
        assert_eq!(link.sum(2, 10.0), 11.0);
    }

    #[test]
    fn a_fit_needs_two_sizes_and_times_above_zero() {
        assert_eq!(Link::fit(&[]), None);
        assert_eq!(Link::fit(&[(8.0, 1.0), (8.0, 2.0)]), None);
        assert_eq!(Link::fit(&[(8.0, 1.0), (16.0, 0.0)]), None);
        // Times that fall with the size: α alone.
        let found = Link::fit(&[(1.0, 2.0), (2.0, 1.0)]).unwrap();
        assert!(found.per_byte == 0.0 && (1.0..2.0).contains(&found.latency), "{found:?}");
        // Times that grow faster than the size: β alone.
        let found = Link::fit(&[(1.0, 1.0), (2.0, 4.0)]).unwrap();
        assert!(found.latency == 0.0 && (1.0..2.0).contains(&found.per_byte), "{found:?}");
    }

    #[test]
    fn a_training_is_computing_and_meeting() {
        let link = Link { latency: 1e-3, per_byte: 0.0 };
        let work = Work { examples: 1e4, seconds_per_example: 1e-4, push_every: 10, bytes: 1e6 };
        assert!(near(work.seconds(1, link), 1.0));
        assert!(near(work.seconds(2, link), 0.5 + 500.0 * 1e-3));
        let rare = Work { push_every: 1_000, ..work };
        assert!(near(rare.seconds(2, link), 0.5 + 5.0 * 1e-3));
        // Six ranks need two rounds, and a thousand cannot need less than one.
        assert!(near(rare.seconds(6, link), 2.0 * (0.1 + 3.0 * 1e-3)));
        assert!(near(rare.seconds(1_000, link), 0.1 + 10.0 * 1e-3));
    }

    #[test]
    fn examples_go_on_in_a_straight_line() {
        let points = [(2.0, 120.0), (4.0, 140.0), (8.0, 180.0)];
        assert!(near(examples_at(&points, 1024.0).unwrap(), 100.0 + 10.0 * 1024.0));
        assert_eq!(examples_at(&points[..1], 1024.0), None);
    }
}
