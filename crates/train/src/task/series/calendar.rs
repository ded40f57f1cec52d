//! The clock and the calendar as inputs: where a row stands in the day, the week and the year.

use jiff::SignedDuration;
use jiff::civil::DateTime;
use serde::{Deserialize, Serialize};
use std::f64::consts::TAU;
use std::ops::Range;

/// Something that comes again, shown as the sine and cosine of the place in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cycle {
    /// By the hour and the minute.
    Day,
    /// By the weekday.
    Week,
    /// By the day, in years of 365.25 days.
    Year,
}

/// A year is learned from two of them at least.
const YEAR: SignedDuration = SignedDuration::from_hours(2 * 365 * 24);

impl Cycle {
    /// Those that rows go through, from the time of each: the day where rows are less than a day
    /// apart, the week where they are no more than that, and the year where `train` spans two.
    pub fn of(time: impl Fn(usize) -> DateTime, train: &Range<usize>) -> Vec<Self> {
        if train.len() < 2 {
            return Vec::new();
        }
        let first = time(train.start);
        let apart = first.duration_until(time(train.start + 1)).abs();
        let span = first.duration_until(time(train.end - 1)).abs();
        let day = SignedDuration::from_hours(24);
        let mut all = Vec::new();
        for (cycle, is_shown) in
            [(Self::Day, apart < day), (Self::Week, apart <= day), (Self::Year, span >= YEAR)]
        {
            if is_shown {
                all.push(cycle);
            }
        }
        all
    }

    /// In a list of what is shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Day => "hour",
            Self::Week => "weekday",
            Self::Year => "day of the year",
        }
    }

    /// Sine and cosine of the place of `time` in it.
    pub fn place(self, time: DateTime) -> [f32; 2] {
        let hour = f64::from(time.hour()) + f64::from(time.minute()) / 60.0;
        let share = match self {
            Self::Day => hour / 24.0,
            Self::Week => f64::from(time.weekday().to_monday_zero_offset()) / 7.0,
            Self::Year => (f64::from(time.day_of_year()) + hour / 24.0) / 365.25,
        };
        let (sine, cosine) = (TAU * share).sin_cos();
        [sine as f32, cosine as f32]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(apart: SignedDuration, count: i32) -> Vec<DateTime> {
        let first: DateTime = "2007-01-01T00:00:00".parse().unwrap();
        (0..count).map(|n| first + apart * n).collect()
    }

    #[test]
    fn rows_are_shown_the_cycles_that_they_go_through() {
        use Cycle::{Day, Week, Year};
        let hours = SignedDuration::from_hours;
        for (apart, count, expected) in [
            (hours(1), 1_000, &[Day, Week][..]),
            (hours(1), 20_000, &[Day, Week, Year]),
            (hours(24), 700, &[Week]),
            (hours(24), 800, &[Week, Year]),
            (hours(24 * 30), 60, &[Year]),
            (hours(24 * 30), 10, &[]),
            (hours(1), 1, &[]),
        ] {
            let times = times(apart, count);
            assert_eq!(
                Cycle::of(|row| times[row], &(0..times.len())),
                expected,
                "{apart:?}, {count}"
            );
        }
    }

    #[test]
    fn a_place_is_a_point_on_a_circle() {
        let at = |text: &str| text.parse::<DateTime>().unwrap();
        let near = |found: [f32; 2], expected: [f32; 2]| {
            (found[0] - expected[0]).abs() < 1e-2 && (found[1] - expected[1]).abs() < 1e-2
        };
        assert!(near(Cycle::Day.place(at("2007-05-01T06:00:00")), [1.0, 0.0]));
        assert!(near(Cycle::Week.place(at("2007-01-01T23:00:00")), [0.0, 1.0]), "a Monday");
        assert!(near(Cycle::Year.place(at("2007-07-01T15:00:00")), [0.0, -1.0]));
    }
}
