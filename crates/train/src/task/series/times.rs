//! Times as people write them: which way a column is written in is recognised once, and its cells
//! are read by it.

use jiff::civil::{Date, DateTime};

/// A way to write a time, as `strftime` says it; `ISO` for ISO 8601, with a space instead of the
/// `T` or not.
pub type Way = &'static str;

const ISO: Way = "ISO";

/// The likelier first, where a text could be two of them.
const WAYS: [Way; 21] = [
    ISO,
    "%Y-%m-%d %H:%M",
    "%Y/%m/%d",
    "%Y/%m/%d %H:%M",
    "%Y/%m/%d %H:%M:%S",
    "%d/%m/%Y",
    "%d/%m/%Y %H:%M",
    "%d/%m/%Y %H:%M:%S",
    "%m/%d/%Y",
    "%m/%d/%Y %H:%M",
    "%m/%d/%Y %H:%M:%S",
    "%m/%d/%Y %I:%M %p",
    "%m/%d/%Y %I:%M:%S %p",
    "%d.%m.%Y",
    "%d.%m.%Y %H:%M",
    "%d.%m.%Y %H:%M:%S",
    "%d-%m-%Y",
    "%d-%m-%Y %H:%M",
    "%d-%m-%Y %H:%M:%S",
    "%Y.%m.%d",
    "%Y.%m.%d %H:%M:%S",
];

/// The time that `cell` says in this way; an offset from UTC is read over, as hours and weekdays
/// are those of the clock on the wall.
pub fn parse(way: Way, cell: &str) -> Option<DateTime> {
    if !might_be(cell) {
        return None;
    }
    let cell = cell.strip_suffix('Z').unwrap_or(cell);
    let time = match way {
        ISO => cell.parse().ok(),
        _ if way.contains(':') => DateTime::strptime(way, cell).ok(),
        _ => Date::strptime(way, cell).ok().map(|date| date.at(0, 0, 0, 0)),
    };
    // A year of two digits would be one of the first century.
    time.filter(|time| time.year() >= 1_000)
}

/// The way in which all of `cells` are written; none if there is none, or no cell.
///
/// `03/04/2010` alone says neither March nor April: of several ways it is the one in which the
/// steps from cell to cell change least often.
pub fn recognise(cells: &[&str]) -> Option<Way> {
    let first = cells.first().filter(|first| might_be(first))?;
    let irregular = |way: Way| {
        parse(way, first)?;
        let times: Vec<_> = cells.iter().map(|cell| parse(way, cell)).collect::<Option<_>>()?;
        let steps: Vec<_> = times.windows(2).map(|pair| pair[0].duration_until(pair[1])).collect();
        Some(steps.windows(2).filter(|pair| pair[0] != pair[1]).count())
    };
    // Of equal ones the first.
    let fits = WAYS.into_iter().filter_map(|way| Some((irregular(way)?, way)));
    fits.min_by_key(|&(irregular, _)| irregular).map(|(_, way)| way)
}

/// Quick to tell: no shorter than a date, and beginning with a digit.
fn might_be(cell: &str) -> bool {
    cell.len() >= 8 && cell.as_bytes()[0].is_ascii_digit()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        let expected: DateTime = "2010-02-13T16:05:00".parse().unwrap();
        for text in [
            "2010-02-13 16:05",
            "2010-02-13T16:05:00Z",
            "2010-02-13T16:05:00+01:00",
            "2010-02-13 16:05:00",
            "2010/02/13 16:05",
            "13/02/2010 16:05:00",
            "02/13/2010 16:05",
            "02/13/2010 04:05 PM",
            "2/13/2010 4:05:00 PM",
            "13.2.2010 16:05",
            "13-02-2010 16:05",
        ] {
            let way = recognise(&[text]).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(parse(way, text), Some(expected), "{text}, {way}");
        }
        let day: DateTime = "2010-02-13T00:00:00".parse().unwrap();
        for text in ["2010-02-13", "2010/02/13", "13/02/2010", "02/13/2010", "13.02.2010"] {
            assert_eq!(recognise(&[text]).and_then(|way| parse(way, text)), Some(day), "{text}");
        }
        for text in ["", "12", "hello wo", "2010-13-40", "1.5e10000", "13/02/10", "ä2010-02-13"] {
            assert_eq!(recognise(&[text]), None, "{text}");
        }
        assert_eq!(recognise(&[]), None);
        assert_eq!(recognise(&["2010-02-13", "13/02/2010"]), None);
    }

    #[test]
    fn of_two_ways_the_one_with_regular_steps_is_taken() {
        assert_eq!(recognise(&["01/02/2010", "02/02/2010", "03/02/2010"]), Some("%d/%m/%Y"));
        assert_eq!(recognise(&["01/02/2010", "01/03/2010", "01/04/2010"]), Some("%m/%d/%Y"));
        assert_eq!(recognise(&["01/02/2010"]), Some("%d/%m/%Y"));
    }
}
