//! Numbers as options take them: with the range in the refusal of what is none.

use crate::output::thousands;
use std::ops::{Range, RangeInclusive};

/// For clap: a whole number of `range`, which may end with the largest there is.
pub fn whole<N: TryFrom<u64>>(
    range: RangeInclusive<u64>,
) -> impl Fn(&str) -> Result<N, String> + Clone {
    move |text| {
        let words = match range.clone().into_inner() {
            (least, u64::MAX) => format!("a whole number in {least}.. is needed"),
            (least, most) => format!("a whole number in {least}..={most} is needed"),
        };
        let number: u64 = text.parse().map_err(|error| format!("{error}; {words}"))?;
        let number = Some(number).filter(|number| range.contains(number));
        number.and_then(|number| number.try_into().ok()).ok_or(words)
    }
}

/// The most seeds of one command: what is known of each is held until the end.
const MOST_SEEDS: u64 = 100_000;

/// For clap: seeds FROM..TO, TO excluded.
pub fn seed_range(text: &str) -> Result<Range<u64>, String> {
    let range = text.split_once("..").and_then(|(from, to)| {
        let range = from.parse().ok()?..to.parse().ok()?;
        (!range.is_empty()).then_some(range)
    });
    let range =
        range.ok_or("a range such as 0..100 is needed, the second number above the first")?;
    if range.end - range.start > MOST_SEEDS {
        return Err(format!("at most {} seeds at once are possible", thousands(MOST_SEEDS)));
    }
    Ok(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_in_the_range_is_told_the_range() {
        let number = whole::<u16>(1..=1024);
        assert_eq!([number("1"), number("1024")], [Ok(1), Ok(1024)]);
        for text in ["0", "1025", "-1", "x", "1e3", "", "99999999999999999999999"] {
            let words = number(text).unwrap_err();
            assert!(words.ends_with("a whole number in 1..=1024 is needed"), "{words}");
        }
        let most = u64::MAX.to_string();
        assert_eq!(whole(0..=u64::MAX)(&most), Ok(u64::MAX));
        let words = whole::<u64>(1..=u64::MAX)("0").unwrap_err();
        assert_eq!(words, "a whole number in 1.. is needed");
        // Where the type is smaller than the range, nothing is cut off.
        assert!(whole::<u8>(0..=1000)("256").is_err());
    }
}
