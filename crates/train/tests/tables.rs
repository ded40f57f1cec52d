//! Tables: random ones, written in every way, are read as they were; random bytes never panic.

use proptest::prelude::*;
use std::path::Path;
use train::task::series::{Column, Said, Table};

/// How a file is written: its delimiter, its decimal mark, and the end of its lines.
fn writing() -> impl Strategy<Value = (char, char, &'static str)> {
    let marks = prop_oneof![
        Just((',', '.')),
        Just((';', '.')),
        Just((';', ',')),
        Just(('\t', '.')),
        Just(('\t', ',')),
        Just(('|', ',')),
    ];
    (marks, prop_oneof![Just("\n"), Just("\r\n")])
        .prop_map(|((delimiter, decimal), end)| (delimiter, decimal, end))
}

/// A number, or none and how that is written.
fn cell() -> impl Strategy<Value = Result<f64, &'static str>> {
    prop_oneof![
        8 => prop_oneof![-1e6..1e6, any::<f64>().prop_filter("finite", |x| x.is_finite())]
            .prop_map(Ok),
        1 => prop_oneof![Just(""), Just("NA"), Just("NaN"), Just("?")].prop_map(Err),
    ]
}

/// Rows of three numbers.
fn rows() -> impl Strategy<Value = Vec<[Result<f64, &'static str>; 3]>> {
    prop::collection::vec([cell(), cell(), cell()], 1..40)
}

proptest! {
    #[test]
    fn what_was_written_is_read((delimiter, decimal, end) in writing(), rows in rows(), said: bool) {
        let mut text = format!("day{delimiter}a{delimiter}\"b {delimiter} c\"{delimiter}d{end}");
        for (n, row) in rows.iter().enumerate() {
            text += &format!("2020-01-{:02}", n % 28 + 1);
            for cell in row {
                let value = match cell {
                    Ok(value) => format!("{value:?}").replace('.', &decimal.to_string()),
                    Err(missing) => (*missing).to_owned(),
                };
                text += &format!("{delimiter}{value}");
            }
            text += end;
        }
        // Numbers of which none has a fraction say nothing of the decimal mark.
        let is_told = said || !text.contains(decimal);
        let said = if is_told {
            Said { delimiter: Some(delimiter), decimal: Some(decimal) }
        } else {
            Said::default()
        };
        let table = Table::read(Path::new("x"), text.as_bytes(), said).unwrap();
        prop_assert_eq!((table.format.delimiter, table.format.decimal), (delimiter, decimal));
        prop_assert_eq!(table.rows, rows.len());
        prop_assert_eq!(table.columns[0].kind(), "times");
        let name = format!("b {delimiter} c");
        for (n, name) in ["a", &name, "d"].into_iter().enumerate() {
            let Column::Numbers(values) = table.column(name).unwrap() else { panic!("{text}") };
            for (value, row) in values.iter(0..rows.len()).zip(&rows) {
                match row[n] {
                    Ok(written) => prop_assert_eq!(value.to_bits(), written.to_bits(), "{}", text),
                    Err(_) => prop_assert!(value.is_nan(), "{}", text),
                }
            }
        }
    }

    #[test]
    fn no_bytes_make_the_reading_panic(bytes: Vec<u8>, text in "[ab,;|\t\n\r\"0-9.?:/NA-]{0,80}") {
        for bytes in [&bytes[..], text.as_bytes(), format!("a;b\n{text}").as_bytes()] {
            let _ = Table::read(Path::new("x"), bytes, Said::default());
        }
    }
}
