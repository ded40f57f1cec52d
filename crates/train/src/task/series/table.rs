//! A table from a CSV file: columns of numbers, of times and of words.
//!
//! The file is looked over three times, piece by piece: once for its digest, and whether it is UTF-8,
//! once for what it is (delimiter, decimal mark, what each column holds), and once for its values,
//! which stay in memory where they are few: see [`Store`]. How times are written is recognised in the
//! first rows. No cell is kept as text, but for one of each kind of a column of words.

use super::times::{self, Way};
use crate::Error;
use crate::data_file::{DataFile, PIECE, length};
use crate::store::{self, IN_MEMORY, Store};
use crate::task::text::pieces::Utf8;
use csv::{ByteRecord, ErrorKind, Reader, ReaderBuilder};
use jiff::SignedDuration;
use jiff::civil::{DateTime, date};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
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
#[derive(Debug, PartialEq)]
pub enum Column {
    /// Numbers; NaN where the cell is empty or says that there is none.
    Numbers(Store<f64>),
    /// Moments, as a clock on the wall says them.
    Times(Times),
    /// Words: the different ones, in the order in which they come first, and which stands where;
    /// [`MISSING`] for a cell that is empty or says that there is none. From `MOST_WORDS` on they
    /// are all alike.
    Words(Vec<String>, Store<u32>),
}

/// The number of a word that is not there.
pub const MISSING: u32 = u32::MAX;

/// The different words of a column that are told from each other.
pub const MOST_WORDS: usize = 1 << 16;

/// Moments, by row.
#[derive(Debug, PartialEq)]
pub struct Times(Store<i128>);

impl Times {
    /// Of row `row`.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn get(&self, row: usize) -> DateTime {
        moment(self.0.get(row))
    }

    /// As many as there are rows.
    pub fn iter(&self) -> impl Iterator<Item = DateTime> + '_ {
        self.0.iter(0..self.0.len()).map(moment)
    }

    /// Another of the same, with so much `room` in memory.
    pub(super) fn copy(&self, room: usize) -> Result<Self, Error> {
        let mut all = store::Growing::new(room);
        for time in self.0.iter(0..self.0.len()) {
            all.extend(&[time])?;
        }
        all.finish().map(Self)
    }

    /// One more.
    pub(super) fn push(&mut self, time: DateTime) {
        self.0.memory().push(nanoseconds(time));
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What times are counted from.
const FIRST: DateTime = date(1970, 1, 1).at(0, 0, 0, 0);

fn nanoseconds(time: DateTime) -> i128 {
    FIRST.duration_until(time).as_nanos()
}

fn moment(nanoseconds: i128) -> DateTime {
    FIRST + SignedDuration::from_nanos_i128(nanoseconds)
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
#[derive(Debug, PartialEq)]
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
    /// Reads the CSV file `path`, and its digest. `watch` is told now and then how many of its bytes
    /// are done with, in proportion to the work.
    ///
    /// # Errors
    /// As [`DataFile::read`] and [`Table::read`]; or if the file changes while it is read.
    pub fn open(
        path: &Path,
        said: Said,
        watch: &mut dyn FnMut(u64),
    ) -> Result<(DataFile, Self), Error> {
        Self::open_in(IN_MEMORY, path, said, watch)
    }

    /// [`Table::open`]; no more than `room` bytes of the values stay in memory.
    pub(super) fn open_in(
        room: usize,
        path: &Path,
        said: Said,
        watch: &mut dyn FnMut(u64),
    ) -> Result<(DataFile, Self), Error> {
        let state = || {
            let metadata = fs::metadata(path).map_err(Error::file("read", path))?;
            Ok::<_, Error>((metadata.len(), metadata.modified().ok()))
        };
        let bytes = length(path)?;
        let before = state()?;
        let mut lines = Lines::default();
        let file = DataFile::each(path, PIECE, |piece| lines.see(path, piece))?;
        lines.end(path)?;
        let table = Self::of(path, Input::File(path), bytes, said, room, watch);
        if state()? != before {
            let reason = "changes while it is read; read it when it is whole".to_owned();
            return Err(Error::Data { path: path.to_owned(), reason });
        }
        Ok((file, table?))
    }

    /// Reads the CSV file whose `bytes` are given; `path` names it in errors.
    ///
    /// # Errors
    /// [`Error::Data`], with the line where it is in one: if the file is no UTF-8, has no header or
    /// no rows, a name twice, rows of different lengths, or a number that is infinite. If the values
    /// find no room.
    pub fn read(path: &Path, bytes: &[u8], said: Said) -> Result<Self, Error> {
        let mut lines = Lines::default();
        lines.see(path, bytes)?;
        lines.end(path)?;
        Self::of(path, Input::Bytes(bytes), bytes.len() as u64, said, IN_MEMORY, &mut |_| ())
    }

    /// Of an `input` that is UTF-8.
    fn of(
        path: &Path,
        input: Input<'_>,
        length: u64,
        said: Said,
        room: usize,
        watch: &mut dyn FnMut(u64),
    ) -> Result<Self, Error> {
        let refuse = |reason: String| Error::Data { path: path.to_owned(), reason };
        let open = || input.open().map_err(Error::file("read", path));
        let delimiter = match said.delimiter {
            Some(delimiter) => delimiter,
            None => delimiter(open()?).map_err(Error::file("read", path))?,
        };
        let names = header(open()?, delimiter).map_err(refuse)?;
        let decimal = match said.decimal {
            Some(decimal) => decimal,
            None => decimal_mark(open()?, delimiter),
        };
        let format = Format { delimiter, decimal };
        let bad = |error: csv::Error| refuse(of_csv(&error, names.len()));

        let ways = ways(open()?, delimiter, names.len());
        let mut kinds: Vec<_> = ways.iter().map(|&way| Kind::new(way)).collect();
        let mut rows = 0;
        each_row(open()?, format, |_, record| {
            rows += 1;
            if rows % WATCH == 0 {
                watch(record.position().map_or(0, csv::Position::byte) / 2);
            }
            for (kind, cell) in kinds.iter_mut().zip(record) {
                kind.see(cell, decimal);
            }
            Ok(())
        })
        .map_err(|error| error.or(bad))?;
        if rows == 0 {
            return Err(refuse("has a header and no rows; name a file with data".to_owned()));
        }

        let room = room / names.len();
        let mut columns: Vec<_> = kinds.iter().map(|kind| Growing::new(kind, room)).collect();
        let mut row = 0;
        each_row(open()?, format, |line, record| {
            row += 1;
            if row % WATCH == 0 {
                watch(length / 2 + record.position().map_or(0, csv::Position::byte) / 2);
            }
            for ((column, cell), name) in columns.iter_mut().zip(record).zip(&names) {
                let refused = |what| {
                    let what = format!("{what} in line {line}, column {name:?}");
                    refuse(format!("{what}; numbers must be finite"))
                };
                column.push(cell, decimal, refused)?;
            }
            Ok(())
        })
        .map_err(|error| error.or(bad))?;
        let columns = columns.into_iter().map(Growing::finish).collect::<Result<_, _>>()?;
        // Of a file that has changed meanwhile, which its reader sees.
        let rows = row;
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
        let places = first..self.rows;
        let columns = self.columns.iter().map(|column| match column {
            Column::Numbers(all) => {
                let mut last: Vec<f64> = all.iter(places.clone()).collect();
                if let Some(value) = last.first_mut().filter(|value| value.is_nan()) {
                    let mut before = (0..first).rev().map(|row| all.get(row));
                    *value = before.find(|value| !value.is_nan()).unwrap_or(f64::NAN);
                }
                Column::Numbers(Store::Memory(last))
            }
            Column::Times(Times(all)) => {
                Column::Times(Times(Store::Memory(all.iter(places.clone()).collect())))
            }
            Column::Words(words, all) => {
                Column::Words(words.clone(), Store::Memory(all.iter(places.clone()).collect()))
            }
        });
        Self {
            format: self.format,
            names: self.names.clone(),
            columns: columns.collect(),
            rows: self.rows - first,
        }
    }
}

/// What a table is read from, again and again.
#[derive(Clone, Copy)]
enum Input<'a> {
    Bytes(&'a [u8]),
    File(&'a Path),
}

impl<'a> Input<'a> {
    /// From its beginning, without a byte order mark.
    fn open(self) -> io::Result<Box<dyn BufRead + 'a>> {
        let mut all: Box<dyn BufRead> = match self {
            Self::Bytes(bytes) => Box::new(bytes),
            Self::File(path) => Box::new(BufReader::with_capacity(PIECE, File::open(path)?)),
        };
        let mut first = Vec::new();
        all.by_ref().take(MARK.len() as u64).read_to_end(&mut first)?;
        Ok(if first == MARK { all } else { Box::new(io::Cursor::new(first).chain(all)) })
    }
}

/// The byte order mark of UTF-8.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// Whether a file that comes in pieces is UTF-8, line by line.
#[derive(Default)]
struct Lines {
    utf8: Utf8,
    /// Before the piece, and bytes before it.
    lines: usize,
    bytes: u64,
}

impl Lines {
    fn see(&mut self, path: &Path, piece: &[u8]) -> Result<(), Error> {
        let seen = self.utf8.see(piece).map_err(|error| self.refused(path, piece, &error));
        self.lines += count_lines(piece);
        self.bytes += piece.len() as u64;
        seen
    }

    fn end(&self, path: &Path) -> Result<(), Error> {
        self.utf8.end().map_err(|error| self.refused(path, &[], &error))
    }

    fn refused(&self, path: &Path, piece: &[u8], error: &Error) -> Error {
        let before = match error {
            Error::Utf8 { offset, .. } => offset.saturating_sub(self.bytes) as usize,
            _ => 0,
        };
        let line = 1 + self.lines + count_lines(&piece[..before.min(piece.len())]);
        let reason = format!("is no UTF-8 in line {line}; convert it to UTF-8");
        Error::Data { path: path.to_owned(), reason }
    }
}

fn count_lines(bytes: &[u8]) -> usize {
    bytes.iter().filter(|&&byte| byte == b'\n').count()
}

fn reader<R: Read>(input: R, delimiter: char) -> Reader<R> {
    let mut builder = ReaderBuilder::new();
    builder.delimiter(u8::try_from(delimiter).unwrap_or(b',')).has_headers(false);
    builder.buffer_capacity(PIECE).from_reader(input)
}

/// The candidate that the first line has most of.
fn delimiter(mut input: impl BufRead) -> io::Result<char> {
    let mut line = Vec::new();
    input.read_until(b'\n', &mut line)?;
    let count = |candidate: char| {
        let mut is_quoted = false;
        let mut counts = |&&byte: &&u8| {
            is_quoted ^= byte == b'"';
            !is_quoted && char::from(byte) == candidate
        };
        line.iter().filter(|byte| counts(byte)).count()
    };
    // Of equal ones the first, and so a comma where there is none at all.
    let all = DELIMITERS.into_iter().rev();
    Ok(all.max_by_key(|&candidate| count(candidate)).unwrap_or(','))
}

/// The names of the columns, in the first line.
fn header(input: impl Read, delimiter: char) -> Result<Vec<String>, String> {
    let mut first = ByteRecord::new();
    let is_there = reader(input, delimiter).read_byte_record(&mut first);
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
fn decimal_mark(input: impl Read, delimiter: char) -> char {
    if delimiter == ',' {
        return '.';
    }
    let mut reader = reader(input, delimiter);
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
fn ways(input: impl Read, delimiter: char, columns: usize) -> Vec<Option<Way>> {
    let mut reader = reader(input, delimiter);
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
    Other(Error),
}

impl RowError {
    fn or(self, csv: impl Fn(csv::Error) -> Error) -> Error {
        match self {
            Self::Csv(error) => csv(error),
            Self::Other(error) => error,
        }
    }
}

/// Calls `see` with the line and the cells of each row.
fn each_row(
    input: impl Read,
    format: Format,
    mut see: impl FnMut(u64, &ByteRecord) -> Result<(), Error>,
) -> Result<(), RowError> {
    let mut reader = reader(input, format.delimiter);
    let mut record = ByteRecord::new();
    let mut is_header = true;
    while reader.read_byte_record(&mut record).map_err(RowError::Csv)? {
        if std::mem::take(&mut is_header) {
            continue;
        }
        let line = record.position().map_or(0, csv::Position::line);
        see(line, &record).map_err(RowError::Other)?;
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
    Numbers(store::Growing<f64>),
    Times(Way, store::Growing<i128>),
    Words(HashMap<String, u32>, Vec<String>, store::Growing<u32>),
}

impl Growing {
    /// Of a `kind`, with so much `room` in memory.
    fn new(kind: &Kind, room: usize) -> Self {
        if kind.are_numbers {
            Self::Numbers(store::Growing::new(room)) // also where no cell says anything
        } else if let Some(way) = kind.way {
            Self::Times(way, store::Growing::new(room))
        } else {
            Self::Words(HashMap::new(), Vec::new(), store::Growing::new(room))
        }
    }

    /// One more cell; `refused` makes an error of what is wrong with it.
    fn push(
        &mut self,
        cell: &[u8],
        decimal: char,
        refused: impl Fn(String) -> Error,
    ) -> Result<(), Error> {
        let cell = text(cell).trim();
        let is_missing = is_missing(cell);
        let holds = || refused(format!("holds {cell}"));
        match self {
            Self::Numbers(all) if is_missing => all.extend(&[f64::NAN]),
            Self::Numbers(all) => {
                let value = number(cell, decimal).filter(|value| value.is_finite());
                all.extend(&[value.ok_or_else(holds)?])
            }
            Self::Times(way, all) => {
                let time = times::parse(way, cell).ok_or_else(holds)?;
                all.extend(&[nanoseconds(time)])
            }
            Self::Words(_, _, all) if is_missing => all.extend(&[MISSING]),
            Self::Words(numbers, words, all) => {
                let number = match numbers.get(cell) {
                    Some(&number) => number,
                    None if words.len() > MOST_WORDS => MOST_WORDS as u32,
                    None => {
                        let next = words.len() as u32;
                        numbers.insert(cell.to_owned(), next);
                        words.push(cell.to_owned());
                        next
                    }
                };
                all.extend(&[number])
            }
        }
    }

    fn finish(self) -> Result<Column, Error> {
        Ok(match self {
            Self::Numbers(all) => Column::Numbers(all.finish()?),
            Self::Times(_, all) => Column::Times(Times(all.finish()?)),
            Self::Words(_, words, all) => Column::Words(words, all.finish()?),
        })
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

    fn numbers(column: &Column) -> Vec<f64> {
        match column {
            Column::Numbers(all) => all.iter(0..all.len()).collect(),
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
        assert_eq!((times.get(1).hour(), times.get(2).day()), (19, 16));
        let kinds = Store::Memory(vec![0, 1, MISSING]);
        let kinds = Column::Words(vec!["b".into(), "a".into()], kinds);
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
        assert_eq!(times.get(2), "2010-02-15T00:00:00".parse().unwrap());
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
        assert_eq!((last.rows, times.len(), times.get(0).day()), (2, 2, 15));
        let (a, b) = (numbers(&last.columns[1]), numbers(&last.columns[2]));
        assert!(a[0] == 2.0 && a[1].is_nan() && b[0].is_nan() && b[1] == 5.0);
        let words = Store::Memory(vec![0, MISSING]);
        let words = Column::Words(vec!["x".into(), "y".into()], words);
        assert_eq!(last.columns[3], words);
    }

    #[test]
    fn the_reading_is_watched_from_its_beginning_to_its_end() {
        let text = format!("a\n{}", "1\n".repeat(3 * WATCH));
        let mut seen = Vec::new();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.csv");
        fs::write(&path, &text).unwrap();
        let table = Table::open(&path, Said::default(), &mut |done| seen.push(done));
        assert!(table.is_ok() && seen.len() == 6 && seen.is_sorted(), "{seen:?}");
        assert!(seen[5] > text.len() as u64 * 9 / 10 && seen[5] <= text.len() as u64, "{seen:?}");
    }

    #[test]
    fn a_file_is_read_as_its_bytes_are_and_its_mark_read_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.csv");
        for text in ["a;b\n1;x\n", "\u{feff}a;b\n1;x\n", "\u{feff}\"a\",b\n1,2\n", "a\n1\n"] {
            fs::write(&path, text).unwrap();
            let (file, table) = Table::open(&path, Said::default(), &mut |_| ()).unwrap();
            assert_eq!(file, DataFile::read(&path).unwrap().0);
            assert_eq!(table, read(text).unwrap());
            assert_eq!(table.names[0], "a");
        }
        for bytes in [&b"a\n1\n\xff\n"[..], b"a\n1\n\xe2\x82", b"\xff"] {
            fs::write(&path, bytes).unwrap();
            let error = Table::open(&path, Said::default(), &mut |_| ()).unwrap_err().to_string();
            assert!(error.contains("no UTF-8 in line"), "{error}");
            assert_eq!(error.contains("line 3"), bytes.len() > 1, "{error}");
        }
    }

    #[test]
    fn of_very_many_words_the_last_ones_are_all_alike() {
        let mut text = "a\n".to_owned();
        (0..MOST_WORDS + 3).for_each(|n| text.push_str(&format!("word {n}\n")));
        let table = read(&text).unwrap();
        let Column::Words(words, all) = &table.columns[0] else { panic!("words") };
        assert_eq!((words.len(), all.get(7)), (MOST_WORDS + 1, 7));
        assert_eq!(all.get(MOST_WORDS + 2), all.get(MOST_WORDS + 1));
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
