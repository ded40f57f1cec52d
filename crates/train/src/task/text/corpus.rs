//! A text as symbols: as narrow as they can be, for a text may be long; in memory or, where it is
//! too long for that, in a temporary file.

use crate::Error;
use crate::store::{Growing, Store};
use std::ops::Range;

/// Symbols of a text.
#[derive(Debug, PartialEq)]
pub enum Symbols {
    /// Of a vocabulary of up to 2⁸ symbols.
    U8(Store<u8>),
    /// Of up to 2¹⁶.
    U16(Store<u16>),
    /// Of more.
    U32(Store<u32>),
}

impl Symbols {
    /// `symbols` of a vocabulary of `count`, in memory.
    ///
    /// # Panics
    /// If the vocabulary has no such symbol.
    pub fn new(count: usize, symbols: &[u32]) -> Self {
        let mut growing = GrowingSymbols::new(count, usize::MAX);
        let all = growing.extend(symbols).and_then(|()| growing.finish());
        all.expect("memory takes all")
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::U8(all) => all.len(),
            Self::U16(all) => all.len(),
            Self::U32(all) => all.len(),
        }
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The one at `place`.
    ///
    /// # Panics
    /// If there is none, or its file cannot be read; so all below.
    pub fn at(&self, place: usize) -> u32 {
        let mut found = 0;
        self.each(place..place + 1, |_, symbol| found = symbol);
        found
    }

    /// Calls `see` with each of `places`, counted from 0, and the symbol there.
    #[inline]
    pub fn each(&self, places: Range<usize>, mut see: impl FnMut(usize, u32)) {
        match self {
            Self::U8(all) => all.each(places, |n, symbol| see(n, symbol.into())),
            Self::U16(all) => all.each(places, |n, symbol| see(n, symbol.into())),
            Self::U32(all) => all.each(places, see),
        }
    }

    /// Those at `places`, in their order.
    pub fn part(&self, places: Range<usize>) -> impl Iterator<Item = u32> {
        let end = places.end;
        places.step_by(PART).flat_map(move |first| {
            let mut part = Vec::with_capacity(PART);
            self.each(first..end.min(first + PART), |_, symbol| part.push(symbol));
            part
        })
    }
}

/// Symbols that are looked at together.
const PART: usize = 1 << 12;

/// Symbols of a text that is still being read.
#[derive(Debug)]
pub(super) enum GrowingSymbols {
    U8(Growing<u8>),
    U16(Growing<u16>),
    U32(Growing<u32>),
}

impl GrowingSymbols {
    /// None yet, of a vocabulary of `count`; `in_memory` bytes of them stay in memory.
    pub fn new(count: usize, in_memory: usize) -> Self {
        if count <= 1 << 8 {
            Self::U8(Growing::new(in_memory))
        } else if count <= 1 << 16 {
            Self::U16(Growing::new(in_memory))
        } else {
            Self::U32(Growing::new(in_memory))
        }
    }

    /// Some more.
    ///
    /// # Errors
    /// As [`Growing::extend`].
    ///
    /// # Panics
    /// If the vocabulary has no such symbol.
    pub fn extend(&mut self, symbols: &[u32]) -> Result<(), Error> {
        let fits = "a symbol of the vocabulary";
        match self {
            Self::U8(all) => {
                let narrow = symbols.iter().map(|&symbol| u8::try_from(symbol).expect(fits));
                all.extend(&narrow.collect::<Vec<_>>())
            }
            Self::U16(all) => {
                let narrow = symbols.iter().map(|&symbol| u16::try_from(symbol).expect(fits));
                all.extend(&narrow.collect::<Vec<_>>())
            }
            Self::U32(all) => all.extend(symbols),
        }
    }

    /// All that came.
    ///
    /// # Errors
    /// As [`Growing::finish`].
    pub fn finish(self) -> Result<Symbols, Error> {
        Ok(match self {
            Self::U8(all) => Symbols::U8(all.finish()?),
            Self::U16(all) => Symbols::U16(all.finish()?),
            Self::U32(all) => Symbols::U32(all.finish()?),
        })
    }
}

/// A text: its first part to train on, and the rest to validate.
#[derive(Debug, PartialEq)]
pub struct Corpus {
    /// What is trained on.
    pub train: Symbols,
    /// What is not.
    pub valid: Symbols,
    /// Symbols of the whole that are not in the vocabulary: words that count as unknown ones, or
    /// characters that are left out.
    pub unknown: u64,
}
