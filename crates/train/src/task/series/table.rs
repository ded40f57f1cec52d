//! A table from a CSV file: columns of numbers, of times and of words.
//!
//! The file is looked over twice: once for what it is (delimiter, decimal mark, what each column
//! holds), and once for its values. How times are written is recognised in the first rows. No cell is kept as text, but for one of each kind of a
//! column of words.

use super::times::{self, Way};
use crate::Error;
use csv::{ByteRecord, ErrorKind, Reader, ReaderBuilder};
use jiff::civil::DateTime;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::Path;

/// How a file writes its cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Format {
    /// Between two cells.
    pub delimiter: char,
    /// Before the fraction of a number: `.` or `,`.
    pub decimal: char,
}

/// What is said of a file; the rest is recognised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Between two cells.
    pub delimiter: Option<char>,
    /// Before the fraction of a number.
    pub decimal: Option<char>,
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq)]
pub enum Column {
    /// Numbers; NaN where the cell is empty or says that there is none.
    Numbers(Vec<f64>),
    /// Moments, as a clock on the wall says them.
    Times(Vec<DateTime>),
    /// Words: the different ones, in the order of their characters, and which stands where; none for
    /// a cell that is empty or says that there is none.
    Words(Vec<String>, Vec<Option<u32>>),
}

impl Column {
    /// In messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Numbers(_) => "numbers",
            Self::Times(_) => "times",
            Self::Words(..) => "words",
        }
    }
}

/// Columns of the same length, by name.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// How the file writes its cells.
    pub format: Format,
    /// The names, in the order of the file.
    pub names: Vec<String>,
    /// As many columns.
    pub columns: Vec<Column>,
    /// Rows, without the header.
    pub rows: usize,
}

/// Candidates for a delimiter.
const DELIMITERS: [char; 4] = [',', ';', '\t', '|'];

/// Rows that the decimal mark and times are recognised by.
const LOOK: usize = 1_000;

/// Rows between two words on how far the reading is.
const WATCH: usize = 1 << 12;

impl Table {
    /// Reads the CSV file whose `bytes` are given; `path` names it in errors.
    ///
    /// # Errors
    /// [`Error::Data`], with the line where it is in one: if the file is no UTF-8, has no header or
    /// no rows, a name twice, rows of different lengths, or a number that is infinite.
    pub fn read(path: &Path, bytes: &[u8], said: Said) -> Result<Self, Error> {
        Self::read_watched(path, bytes, said, &mut |_| ())
    }

    /// [`Table::read`]; `watch` is told now and then how many of the bytes are done with, in
    /// proportion to the work.
    ///
    /// # Errors
    /// As [`Table::read`].
    pub fn read_watched(
        path: &Path,
        bytes: &[u8],
        said: Said,
        watch: &mut dyn FnMut(u64),
    ) -> Result<Self, Error> {
        let refuse = |reason: String| Error::Data { path: path.to_owned(), reason };
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        if let Err(error) = std::str::from_utf8(bytes) {
            let before = &bytes[..error.valid_up_to()];
            let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
            return Err(refuse(format!("is no UTF-8 in line {line}; convert it to UTF-8")));
        }
        let delimiter = said.delimiter.unwrap_or_else(|| delimiter(bytes));
        let names = header(bytes, delimiter).map_err(refuse)?;
        let decimal = match said.decimal {
            Some(decimal) => decimal,
            None => decimal_mark(bytes, delimiter),
        };
        let format = Format { delimiter, decimal };
        let bad = |error: csv::Error| refuse(of_csv(&error, names.len()));

        let ways = ways(bytes, delimiter, names.len());
        let mut kinds: Vec<_> = ways.iter().map(|&way| Kind::new(way)).collect();
        let mut rows = 0;
        each_row(bytes, format, |_, record| {
            rows += 1;
            if rows % WATCH == 0 {
                watch(record.position().map_or(0, csv::Position::byte) / 2);
            }
            for (kind, cell) in kinds.iter_mut().zip(record) {
                kind.see(cell, decimal);
            }
            Ok(())
        })
        .map_err(|error| error.map(bad, refuse))?;
        if rows == 0 {
            return Err(refuse("has a header and no rows; name a file with data".to_owned()));
        }

        let mut columns: Vec<_> = kinds.iter().map(|kind| Growing::new(kind, rows)).collect();
        let mut row = 0;
        each_row(bytes, format, |line, record| {
            row += 1;
            if row % WATCH == 0 {
                let half = bytes.len() as u64 / 2;
                watch(half + record.position().map_or(0, csv::Position::byte) / 2);
            }
            for ((column, cell), name) in columns.iter_mut().zip(record).zip(&names) {
                let refused = |what| {
                    format!("{what} in line {line}, column {name:?}; numbers must be finite")
                };
                column.push(cell, decimal).map_err(refused)?;
            }
            Ok(())
        })
        .map_err(|error| error.map(bad, refuse))?;
        let columns = columns.into_iter().map(Growing::finish).collect();
        Ok(Self { format, names, columns, rows })
    }

    /// The column `name`.
    ///
    /// # Errors
    /// Which there are, as a sentence without its end, if it is not there.
    pub fn column(&self, name: &str) -> Result<&Column, String> {
        let place = self.names.iter().position(|other| other == name);
        place.map(|place| &self.columns[place]).ok_or_else(|| {
            let names: Vec<_> = self.names.iter().map(|name| format!("{name:?}")).collect();
            format!("has no column {name:?}; it has {}", names.join(", "))
        })
    }

    /// The last `rows` rows, or all. What is missing in the first of them is the number before it,
    /// which would be carried forward to there.
    pub fn last(&self, rows: usize) -> Self {
        let first = self.rows.saturating_sub(rows);
        let columns = self.columns.iter().map(|column| match column {
            Column::Numbers(all) => {
                let mut last = all[first..].to_vec();
                if let Some(value) = last.first_mut().filter(|value| value.is_nan()) {
                    let known = all[..first].iter().rfind(|value| !value.is_nan());
                    *value = known.copied().unwrap_or(f64::NAN);
                }
                Column::Numbers(last)
            }
            Column::Times(all) => Column::Times(all[first..].to_vec()),
            Column::Words(words, all) => Column::Words(words.clone(), all[first..].to_vec()),
        });
        Self {
            format: self.format,
            names: self.names.clone(),
            columns: columns.collect(),
            rows: self.rows - first,
        }
    }
}

fn reader(bytes: &[u8], delimiter: char) -> Reader<&[u8]> {
    let mut builder = ReaderBuilder::new();
    builder.delimiter(u8::try_from(delimiter).unwrap_or(b',')).has_headers(false);
    builder.from_reader(bytes)
}

/// The candidate that the first line has most of.
fn delimiter(bytes: &[u8]) -> char {
    let line = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let count = |candidate: char| {
        let mut is_quoted = false;
        let mut counts = |&&byte: &&u8| {
            is_quoted ^= byte == b'"';
            !is_quoted && char::from(byte) == candidate
        };
        line.iter().filter(|byte| counts(byte)).count()
    };
    // Of equal ones the first, and so a comma where there is none at all.
    DELIMITERS.into_iter().rev().max_by_key(|&candidate| count(candidate)).unwrap_or(',')
}

/// The names of the columns, in the first line.
fn header(bytes: &[u8], delimiter: char) -> Result<Vec<String>, String> {
    let mut first = ByteRecord::new();
    let is_there = reader(bytes, delimiter).read_byte_record(&mut first);
    if !is_there.map_err(|error| of_csv(&error, 0))? {
        return Err("has no header; give its columns names in the first line".to_owned());
    }
    // The first one of pandas has no name, and others forget it, too.
    let name = |(place, name): (usize, &[u8])| match text(name).trim() {
        "" => format!("column {}", place + 1),
        name => name.to_owned(),
    };
    let names: Vec<_> = first.iter().enumerate().map(name).collect();
    let is_value =
        |name: &&String| number(name, '.').is_some() || times::recognise(&[name]).is_some();
    if let Some(value) = names.iter().find(is_value) {
        return Err(format!(
            "has no header: its first line holds {value:?}; give its columns names in a line above"
        ));
    }
    for (place, name) in names.iter().enumerate() {
        if names[..place].contains(name) {
            return Err(format!("has two columns {name:?}; rename one"));
        }
    }
    Ok(names)
}

/// `,`, if numbers are written with it and none with a point.
fn decimal_mark(bytes: &[u8], delimiter: char) -> char {
    if delimiter == ',' {
        return '.';
    }
    let mut reader = reader(bytes, delimiter);
    let (mut commas, mut points) = (0, 0);
    for record in reader.byte_records().skip(1).take(LOOK).flatten() {
        for cell in &record {
            let cell = text(cell);
            commas += usize::from(cell.contains(',') && number(cell, ',').is_some());
            points += usize::from(cell.contains('.') && number(cell, '.').is_some());
        }
    }
    if commas > 0 && points == 0 { ',' } else { '.' }
}

/// How each of `columns` columns writes its times, if that is what its first cells are.
fn ways(bytes: &[u8], delimiter: char, columns: usize) -> Vec<Option<Way>> {
    let mut reader = reader(bytes, delimiter);
    let first: Vec<_> = reader.byte_records().skip(1).take(LOOK).map_while(Result::ok).collect();
    let way = |column: usize| {
        let cells = first.iter().filter_map(|record| Some(text(record.get(column)?).trim()));
        let cells: Vec<_> = cells.filter(|cell| !is_missing(cell)).collect();
        times::recognise(&cells)
    };
    (0..columns).map(way).collect()
}

/// What went wrong with a row.
enum RowError {
    Csv(csv::Error),
    Cell(String),
}

impl RowError {
    fn map(self, csv: impl Fn(csv::Error) -> Error, cell: impl Fn(String) -> Error) -> Error {
        match self {
            Self::Csv(error) => csv(error),
            Self::Cell(reason) => cell(reason),
        }
    }
}

/// Calls `see` with the line and the cells of each row.
fn each_row(
    bytes: &[u8],
    format: Format,
    mut see: impl FnMut(u64, &ByteRecord) -> Result<(), String>,
) -> Result<(), RowError> {
    let mut reader = reader(bytes, format.delimiter);
    let mut record = ByteRecord::new();
    let mut is_header = true;
    while reader.read_byte_record(&mut record).map_err(RowError::Csv)? {
        if std::mem::take(&mut is_header) {
            continue;
        }
        let line = record.position().map_or(0, csv::Position::line);
        see(line, &record).map_err(RowError::Cell)?;
    }
    Ok(())
}

/// An error of the reader as the rest of a sentence that begins with the file's name.
fn of_csv(error: &csv::Error, columns: usize) -> String {
    match error.kind() {
        ErrorKind::UnequalLengths { pos, len, .. } => format!(
            "has {len} cells in line {}, and {columns} columns by its header; mend that line, or say \
             what is between two cells (--delimiter)",
            pos.as_ref().map_or(0, csv::Position::line)
        ),
        _ => format!("cannot be read as CSV: {error}"),
    }
}

/// A cell; the file was found to be UTF-8.
fn text(cell: &[u8]) -> &str {
    std::str::from_utf8(cell).unwrap_or_default()
}

/// Does the cell say that there is no value?
fn is_missing(cell: &str) -> bool {
    ["", "na", "n/a", "nan", "null", "none", "?"]
        .iter()
        .any(|missing| cell.eq_ignore_ascii_case(missing))
}

fn number(cell: &str, decimal: char) -> Option<f64> {
    if decimal == ',' {
        if cell.contains('.') { None } else { cell.replacen(',', ".", 1).parse().ok() }
    } else {
        cell.parse().ok()
    }
}

/// What the cells of a column have been so far.
#[derive(Clone, Debug)]
struct Kind {
    are_numbers: bool,
    /// As all of them are times, if they are.
    way: Option<Way>,
}

impl Kind {
    fn new(way: Option<Way>) -> Self {
        Self { are_numbers: true, way }
    }

    fn see(&mut self, cell: &[u8], decimal: char) {
        if !self.are_numbers && self.way.is_none() {
            return;
        }
        let cell = text(cell).trim();
        if is_missing(cell) {
            // A clock does not stand still: a column with a gap is none of times.
            self.way = None;
            return;
        }
        if self.are_numbers {
            self.are_numbers = number(cell, decimal).is_some();
        }
        self.way = self.way.filter(|way| times::parse(way, cell).is_some());
    }
}

/// A column that is being read.
enum Growing {
    Numbers(Vec<f64>),
    Times(Way, Vec<DateTime>),
    Words(HashMap<String, u32>, Vec<Option<u32>>),
}

impl Growing {
    fn new(kind: &Kind, rows: usize) -> Self {
        if kind.are_numbers {
            Self::Numbers(Vec::with_capacity(rows)) // also where no cell says anything
        } else if let Some(way) = kind.way {
            Self::Times(way, Vec::with_capacity(rows))
        } else {
            Self::Words(HashMap::new(), Vec::with_capacity(rows))
        }
    }

    fn push(&mut self, cell: &[u8], decimal: char) -> Result<(), String> {
        let cell = text(cell).trim();
        let is_missing = is_missing(cell);
        match self {
            Self::Numbers(all) if is_missing => all.push(f64::NAN),
            Self::Numbers(all) => {
                let value = number(cell, decimal).unwrap_or(f64::NAN);
                if !value.is_finite() {
                    return Err(format!("holds {cell}"));
                }
                all.push(value);
            }
            Self::Times(way, all) => all.extend(times::parse(way, cell)),
            Self::Words(_, all) if is_missing => all.push(None),
            Self::Words(numbers, all) => {
                let number = match numbers.get(cell) {
                    Some(&number) => number,
                    None => {
                        let next = numbers.len() as u32;
                        numbers.insert(cell.to_owned(), next);
                        next
                    }
                };
                all.push(Some(number));
            }
        }
        Ok(())
    }

    fn finish(self) -> Column {
        match self {
            Self::Numbers(all) => Column::Numbers(all),
            Self::Times(_, all) => Column::Times(all),
            Self::Words(numbers, all) => {
                let mut words: Vec<_> = numbers.into_iter().collect();
                words.sort_unstable();
                let mut order = vec![0; words.len()];
                for (place, (_, number)) in words.iter().enumerate() {
                    order[*number as usize] = place as u32;
                }
                let words = words.into_iter().map(|(word, _)| word).collect();
                let all = all.into_iter().map(|number| Some(order[number? as usize])).collect();
                Column::Words(words, all)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Table, String> {
        read_as(text, Said::default())
    }

    fn read_as(text: &str, said: Said) -> Result<Table, String> {
        let table = Table::read(Path::new("data.csv"), text.as_bytes(), said);
        table.map_err(|error| error.to_string())
    }

    fn numbers(column: &Column) -> &[f64] {
        match column {
            Column::Numbers(all) => all,
            other => panic!("{}", other.kind()),
        }
    }

    #[test]
    fn columns_are_what_their_cells_are() {
        let text = "hour,load,kind\n2006-12-16 18:00,3.5,b\n2006-12-16 19:00,?,a\n\
                    2006-12-16 20:00,-1e3,\n";
        let table = read(text).unwrap();
        assert_eq!((table.rows, table.names.len()), (3, 3));
        let load = numbers(table.column("load").unwrap());
        assert!(load[0] == 3.5 && load[1].is_nan() && load[2] == -1_000.0);
        let Column::Times(times) = table.column("hour").unwrap() else { panic!("times") };
        assert_eq!((times[1].hour(), times[2].day()), (19, 16));
        let kinds = Column::Words(vec!["a".into(), "b".into()], vec![Some(1), Some(0), None]);
        assert_eq!(table.column("kind").unwrap(), &kinds);
    }

    #[test]
    fn a_column_without_a_name_is_known_by_its_place() {
        let table = read(",load,\n0,1.5,2\n").unwrap();
        assert_eq!(table.names, ["column 1", "load", "column 3"]);
    }

    #[test]
    fn delimiters_and_decimal_commas_are_recognised_or_said() {
        for (text, format) in [
            ("a;b\n1,5;2\n", (';', ',')),
            ("a;b\n1.5;2\n", (';', '.')),
            ("a\tb\n1,5\t2\n", ('\t', ',')),
            ("a|b\n1.5|2\n", ('|', '.')),
            ("\"a;x\",b\n1.5,2\n", (',', '.')),
            ("\u{feff}a;b\r\n\"1,5\";2\r\n", (';', ',')),
        ] {
            let table = read(text).unwrap();
            assert_eq!((table.format.delimiter, table.format.decimal), format, "{text:?}");
            assert_eq!(numbers(&table.columns[0]), [1.5], "{text:?}");
        }
        let said = Said { delimiter: Some(';'), decimal: Some(',') };
        assert_eq!(numbers(&read_as("a\n7\n", said).unwrap().columns[0]), [7.0]);
        // Said to be other than they are: words.
        let said = Said { delimiter: None, decimal: Some('.') };
        assert_eq!(read_as("a;b\n1,5;2\n", said).unwrap().columns[0].kind(), "words");
    }

    #[test]
    fn a_column_of_times_is_one_in_every_row_and_one_with_a_gap_is_of_words() {
        let table = |cell: &str| {
            read(&format!("t,a\n02/13/2010,1\n02/14/2010,2\n{cell},3\n")).unwrap().columns.remove(0)
        };
        let Column::Times(times) = table("02/15/2010") else { panic!("times") };
        assert_eq!(times[2], "2010-02-15T00:00:00".parse().unwrap());
        assert_eq!(table("").kind(), "words");
        assert_eq!(table("later").kind(), "words");
        // beyond the rows that are recognised by
        let mut text = "t,a\n".to_owned();
        (0..2 * LOOK).for_each(|_| text.push_str("2010-02-13,1\n"));
        assert_eq!(read(&text).unwrap().columns[0].kind(), "times");
        text.push_str("soon,1\n");
        assert_eq!(read(&text).unwrap().columns[0].kind(), "words");
    }

    #[test]
    fn the_last_rows_begin_with_what_was_known_before_them() {
        let text = "t,a,b,c\n2010-02-13,1,,x\n2010-02-14,2,NA,y\n2010-02-15,,?,x\n2010-02-16,,5,\n";
        let table = read(text).unwrap();
        assert_eq!((table.last(4).rows, table.last(9).rows), (4, 4));
        let last = table.last(2);
        let Column::Times(times) = &last.columns[0] else { panic!("times") };
        assert_eq!((last.rows, times.len(), times[0].day()), (2, 2, 15));
        let (a, b) = (numbers(&last.columns[1]), numbers(&last.columns[2]));
        assert!(a[0] == 2.0 && a[1].is_nan() && b[0].is_nan() && b[1] == 5.0);
        let words = Column::Words(vec!["x".into(), "y".into()], vec![Some(0), None]);
        assert_eq!(last.columns[3], words);
    }

    #[test]
    fn the_reading_is_watched_from_its_beginning_to_its_end() {
        let text = format!("a\n{}", "1\n".repeat(3 * WATCH));
        let mut seen = Vec::new();
        let table =
            Table::read_watched(Path::new("x"), text.as_bytes(), Said::default(), &mut |done| {
                seen.push(done);
            });
        assert!(table.is_ok() && seen.len() == 6 && seen.is_sorted(), "{seen:?}");
        assert!(seen[5] > text.len() as u64 * 9 / 10 && seen[5] <= text.len() as u64, "{seen:?}");
    }

    #[test]
    fn what_is_no_table_is_refused_with_its_place() {
        for (text, reasons) in [
            ("", &["no header"][..]),
            ("1.5,2\n3,4\n", &["no header", "\"1.5\"", "line above"]),
            ("2006-12-16,x\n", &["no header", "2006-12-16"]),
            ("a,b\n", &["no rows"]),
            ("a,b,a\n1,2,3\n", &["two columns \"a\""]),
            ("a,column 1\n1,2\n,\n,,\n", &["3 cells in line 4"]),
            ("a,b\n1,2\n3\n4,5\n", &["1 cells in line 3", "2 columns", "--delimiter"]),
            ("a,b\n1,2\n3,4,5\n", &["3 cells in line 3"]),
            ("a,b\n1,2\n3,inf\n", &["inf in line 3, column \"b\"", "finite"]),
            ("a,b\n1,1e999\n", &["1e999 in line 2, column \"b\""]),
        ] {
            let error = read(text).unwrap_err();
            for reason in reasons {
                assert!(error.contains(reason) && error.contains("data.csv"), "{reason}: {error}");
            }
        }
        let table = Table::read(Path::new("x"), b"a\n1\n\xff\n", Said::default());
        assert!(table.unwrap_err().to_string().contains("no UTF-8 in line 3"));
        let error = read("a,b\n1,2\n").unwrap().column("c").unwrap_err();
        assert_eq!(error, "has no column \"c\"; it has \"a\", \"b\"");
    }
}
