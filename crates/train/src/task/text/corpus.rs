//! A text in memory, as symbols: as narrow as they can be, for a text may be long.

use std::ops::Range;

/// Symbols of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Symbols {
    /// Of a vocabulary of up to 2⁸ symbols.
    U8(Vec<u8>),
    /// Of up to 2¹⁶.
    U16(Vec<u16>),
    /// Of more.
    U32(Vec<u32>),
}

impl Symbols {
    /// None yet, of a vocabulary of `count`, with room for `room`.
    pub fn with_room(count: usize, room: usize) -> Self {
        if count <= 1 << 8 {
            Self::U8(Vec::with_capacity(room))
        } else if count <= 1 << 16 {
            Self::U16(Vec::with_capacity(room))
        } else {
            Self::U32(Vec::with_capacity(room))
        }
    }

    /// One more.
    ///
    /// # Panics
    /// If the vocabulary has no such symbol.
    pub fn push(&mut self, symbol: u32) {
        let fits = "a symbol of the vocabulary";
        match self {
            Self::U8(all) => all.push(symbol.try_into().expect(fits)),
            Self::U16(all) => all.push(symbol.try_into().expect(fits)),
            Self::U32(all) => all.push(symbol),
        }
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
    #[inline]
    pub fn at(&self, place: usize) -> u32 {
        match self {
            Self::U8(all) => all[place].into(),
            Self::U16(all) => all[place].into(),
            Self::U32(all) => all[place],
        }
    }

    /// Those at `places`, in their order.
    pub fn part(&self, places: Range<usize>) -> impl Iterator<Item = u32> {
        places.map(|place| self.at(place))
    }

    /// Gives back the room that is not needed.
    pub fn shrink(&mut self) {
        match self {
            Self::U8(all) => all.shrink_to_fit(),
            Self::U16(all) => all.shrink_to_fit(),
            Self::U32(all) => all.shrink_to_fit(),
        }
    }
}

/// A text: its first part to train on, and the rest to validate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corpus {
    /// What is trained on.
    pub train: Symbols,
    /// What is not.
    pub valid: Symbols,
    /// Symbols of the whole that are not in the vocabulary: words that count as unknown ones, or
    /// characters that are left out.
    pub unknown: u64,
}
