//! The files of a text, one behind the other, in pieces that end between two symbols: no more than
//! a piece of them is in memory.

use super::Unit;
use crate::Error;
use crate::data_file::PIECE;
use crate::store::IN_MEMORY;

/// How much of a text is in memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// Bytes that are read at a time.
    pub piece: usize,
    /// Bytes of symbols that stay.
    pub symbols: usize,
}

impl Room {
    pub const USUAL: Self = Self { piece: PIECE, symbols: IN_MEMORY };
}

/// Where the part for validation begins: at the first place between two symbols behind the share
/// of the bytes before it. Between two characters, and of words between two of them.
#[derive(Debug)]
pub(super) struct Cut {
    unit: Unit,
    least: u64,
    place: Option<u64>,
}

impl Cut {
    /// Of files of so many bytes together, whose share `valid` is to lie behind it.
    pub fn new(unit: Unit, bytes: u64, valid: f64) -> Self {
        Self { unit, least: (bytes as f64 * (1.0 - valid)) as u64, place: None }
    }

    /// The parts before and behind it of the piece that begins at `start`. Pieces come in their
    /// order.
    pub fn parts<'a>(&mut self, start: u64, piece: &'a [u8]) -> (&'a [u8], &'a [u8]) {
        if self.place.is_none() {
            // A piece begins between two symbols.
            let first = self.least.saturating_sub(start) as usize;
            let is_between = |&place: &usize| place == 0 || is_between(self.unit, piece, place);
            let found = (first..piece.len()).find(is_between);
            self.place = found.map(|place| start + place as u64);
        }
        let end = start + piece.len() as u64;
        let place = self.place.map_or(end, |place| place.clamp(start, end));
        piece.split_at((place - start) as usize)
    }
}

/// Does a symbol begin at `place` of `bytes`, for sure?
fn is_between(unit: Unit, bytes: &[u8], place: usize) -> bool {
    match unit {
        Unit::Byte => true,
        Unit::Char => bytes[place] & 0xc0 != 0x80,
        Unit::Word => bytes[place].is_ascii_whitespace(),
    }
}

/// The pieces of all files together.
#[derive(Debug)]
pub(super) struct Pieces {
    unit: Unit,
    /// What is not known to end between two symbols, and where it begins.
    rest: Vec<u8>,
    start: u64,
}

impl Pieces {
    pub fn new(unit: Unit) -> Self {
        Self { unit, rest: Vec::new(), start: 0 }
    }

    /// The next `bytes`. Calls `see` with a piece and where it begins, if there is one.
    ///
    /// # Errors
    /// What `see` says.
    pub fn push(
        &mut self,
        bytes: &[u8],
        see: impl FnOnce(u64, &[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let looked_at = self.rest.len();
        self.rest.extend_from_slice(bytes);
        let mut places = (looked_at.max(1)..self.rest.len()).rev();
        let Some(end) = places.find(|&place| is_between(self.unit, &self.rest, place)) else {
            return Ok(());
        };
        see(self.start, &self.rest[..end])?;
        self.rest.drain(..end);
        self.start += end as u64;
        Ok(())
    }

    /// The files are at their end: calls `see` with the last piece.
    ///
    /// # Errors
    /// What `see` says.
    pub fn end(self, see: impl FnOnce(u64, &[u8]) -> Result<(), Error>) -> Result<(), Error> {
        see(self.start, &self.rest)
    }
}

/// Whether a file that comes in pieces is UTF-8.
#[derive(Debug, Default)]
pub(in crate::task) struct Utf8 {
    /// A character that has begun.
    rest: Vec<u8>,
    offset: u64,
}

impl Utf8 {
    /// The next `bytes`.
    ///
    /// # Errors
    /// [`Error::Utf8`], with the place in the file.
    pub fn see(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.rest.extend_from_slice(bytes);
        let (valid, is_bad) = match std::str::from_utf8(&self.rest) {
            Ok(_) => (self.rest.len(), false),
            Err(error) => (error.valid_up_to(), error.error_len().is_some()),
        };
        self.rest.drain(..valid);
        self.offset += valid as u64;
        if is_bad { self.end() } else { Ok(()) }
    }

    /// The file is at its end.
    ///
    /// # Errors
    /// As [`Utf8::see`].
    pub fn end(&self) -> Result<(), Error> {
        match self.rest.first() {
            Some(&byte) => Err(Error::Utf8 { offset: self.offset, byte }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As the whole is cut at once.
    fn expected(bytes: &[u8], unit: Unit, valid: f64) -> usize {
        let cut = (bytes.len() as f64 * (1.0 - valid)) as usize;
        let places = &mut (cut..bytes.len());
        places.find(|&place| place == 0 || is_between(unit, bytes, place)).unwrap_or(bytes.len())
    }

    proptest! {
        #[test]
        fn pieces_are_the_text_and_are_cut_where_the_whole_is_between_its_symbols(
            text in "(é|[ab \n€]|😀){0,60}", piece in 1..20_usize, valid in 0.01..0.99_f64,
        ) {
            for unit in [Unit::Byte, Unit::Char, Unit::Word] {
                let bytes = text.as_bytes();
                let mut cut = Cut::new(unit, bytes.len() as u64, valid);
                let (mut train, mut held) = (Vec::new(), Vec::new());
                let mut begins = Vec::new();
                let mut see = |start: u64, piece: &[u8]| {
                    begins.push(start as usize);
                    let parts = cut.parts(start, piece);
                    train.extend_from_slice(parts.0);
                    held.extend_from_slice(parts.1);
                    Ok(())
                };
                let mut pieces = Pieces::new(unit);
                let mut utf8 = Utf8::default();
                for bytes in bytes.chunks(piece) {
                    pieces.push(bytes, &mut see).unwrap();
                    utf8.see(bytes).unwrap();
                }
                pieces.end(&mut see).unwrap();
                utf8.end().unwrap();
                let at = expected(bytes, unit, valid);
                prop_assert_eq!((&train[..], &held[..]), bytes.split_at(at));
                let is_between = |&begin: &usize| {
                    begin == 0 || begin == bytes.len() || is_between(unit, bytes, begin)
                };
                prop_assert!(begins.iter().all(is_between), "{:?} {:?}", unit, begins);
            }
        }

        #[test]
        fn bytes_that_are_no_text_are_found_where_the_whole_has_them(
            bytes in prop::collection::vec(
                prop::sample::select(vec![b'a', 0xc3, 0xa9, 0xf0, 0x9f, 0x98, 0x80, 0xff]), 0..12),
            piece in 1..6_usize,
        ) {
            let mut utf8 = Utf8::default();
            let found = bytes.chunks(piece).try_for_each(|part| utf8.see(part));
            let found = found.and_then(|()| utf8.end());
            match (std::str::from_utf8(&bytes), found) {
                (Ok(_), Ok(())) => {}
                (Err(error), Err(Error::Utf8 { offset, byte })) => {
                    prop_assert_eq!(offset, error.valid_up_to() as u64);
                    prop_assert_eq!(byte, bytes[error.valid_up_to()]);
                }
                (whole, found) => prop_assert!(false, "{:?} {:?}", whole, found),
            }
        }
    }
}
