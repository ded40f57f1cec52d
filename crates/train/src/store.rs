//! Values of a kind, one behind the other: in memory, or, where they are too many for that, in a
//! temporary file without a name, of which only what is asked for is read.
//!
//! The file is where temporary files are (`TMPDIR`), in the byte order of this machine, and ends
//! with the process. Each rank of a cluster has its own, so none needs memory for all of the data.

use crate::Error;
use bytemuck::Pod;
use std::env;
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::mem::size_of;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// Bytes that may stay in memory.
pub(crate) const IN_MEMORY: usize = 64 << 20;

/// Values that are read from a file at a time.
const BLOCK: usize = 512;

/// Values, which do not change any more.
#[derive(Debug)]
pub enum Store<V> {
    /// In memory.
    Memory(Vec<V>),
    /// In a file, so many.
    File(Mutex<File>, usize),
}

impl<V: Pod> Store<V> {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Memory(all) => all.len(),
            Self::File(_, len) => *len,
        }
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them, in memory from now on.
    ///
    /// # Panics
    /// If their file cannot be read.
    pub fn memory(&mut self) -> &mut Vec<V> {
        if let Self::File(_, len) = self {
            let mut all = vec![V::zeroed(); *len];
            self.read(0, &mut all);
            *self = Self::Memory(all);
        }
        match self {
            Self::Memory(all) => all,
            Self::File(..) => unreachable!("it was read"),
        }
    }

    /// Copies the values from `first` on to `values`.
    ///
    /// # Panics
    /// If there are not so many, or their file cannot be read.
    #[inline]
    pub fn read(&self, first: usize, values: &mut [V]) {
        match self {
            Self::Memory(all) => values.copy_from_slice(&all[first..first + values.len()]),
            Self::File(file, len) => {
                assert!(first + values.len() <= *len, "{first} and on, of {len} values");
                let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                let place = SeekFrom::Start((first * size_of::<V>()) as u64);
                let bytes = bytemuck::cast_slice_mut(values);
                let read = file.seek(place).and_then(|_| file.read_exact(bytes));
                read.unwrap_or_else(|error| {
                    let folder = env::temp_dir();
                    panic!("cannot read the data kept in {}: {error}", folder.display())
                });
            }
        }
    }

    /// The values at `places`; those of a file are read to `read`.
    ///
    /// # Panics
    /// As [`Store::read`].
    #[inline]
    pub fn slice<'a>(&'a self, places: Range<usize>, read: &'a mut Vec<V>) -> &'a [V] {
        match self {
            Self::Memory(all) => &all[places],
            Self::File(..) => {
                read.resize(places.len(), V::zeroed());
                self.read(places.start, read);
                read
            }
        }
    }

    /// The value at `place`.
    ///
    /// # Panics
    /// As [`Store::read`].
    #[inline]
    pub fn get(&self, place: usize) -> V {
        match self {
            Self::Memory(all) => all[place],
            Self::File(..) => {
                let mut value = [V::zeroed()];
                self.read(place, &mut value);
                value[0]
            }
        }
    }

    /// The values at `places`, read by and by.
    ///
    /// # Panics
    /// While it goes, as [`Store::read`].
    pub fn iter(&self, places: Range<usize>) -> impl Iterator<Item = V> + '_ {
        let (mut block, mut next) = (Vec::new(), 0);
        let mut left = places;
        std::iter::from_fn(move || {
            if next == block.len() {
                block.resize(BLOCK.min(left.len()), V::zeroed());
                self.read(left.start, &mut block);
                (next, left.start) = (0, left.start + block.len());
            }
            next += 1;
            block.get(next - 1).copied()
        })
    }

    /// Calls `see` with each of `places`, counted from 0, and its value.
    ///
    /// # Panics
    /// As [`Store::read`].
    #[inline]
    pub fn each(&self, places: Range<usize>, mut see: impl FnMut(usize, V)) {
        match self {
            Self::Memory(all) => {
                all[places].iter().enumerate().for_each(|(n, &value)| see(n, value));
            }
            Self::File(..) => {
                let mut block = [V::zeroed(); BLOCK];
                for first in places.clone().step_by(BLOCK) {
                    let block = &mut block[..BLOCK.min(places.end - first)];
                    self.read(first, block);
                    let from = first - places.start;
                    block.iter().enumerate().for_each(|(n, &value)| see(from + n, value));
                }
            }
        }
    }
}

impl<V: Pod + PartialEq> PartialEq for Store<V> {
    /// The same values, wherever they are.
    fn eq(&self, other: &Self) -> bool {
        let both = |first: usize| {
            let count = BLOCK.min(self.len() - first);
            let mut blocks = [[V::zeroed(); BLOCK]; 2];
            self.read(first, &mut blocks[0][..count]);
            other.read(first, &mut blocks[1][..count]);
            blocks[0][..count] == blocks[1][..count]
        };
        self.len() == other.len() && (0..self.len()).step_by(BLOCK).all(both)
    }
}

/// Values that are still coming.
#[derive(Debug)]
pub struct Growing<V> {
    memory: Vec<V>,
    file: Option<BufWriter<File>>,
    /// Of these, so many are in the file.
    written: usize,
    most: usize,
}

impl<V: Pod> Growing<V> {
    /// None yet; `in_memory` bytes of them stay there.
    pub fn new(in_memory: usize) -> Self {
        let most = in_memory / size_of::<V>().max(1);
        Self { memory: Vec::new(), file: None, written: 0, most }
    }

    /// Some more.
    ///
    /// # Errors
    /// If they are too many for memory, and the folder for temporary files does not take them.
    pub fn extend(&mut self, values: &[V]) -> Result<(), Error> {
        self.memory.extend_from_slice(values);
        if self.memory.len() > self.most || self.file.is_some() {
            self.spill().map_err(no_room)?;
        }
        Ok(())
    }

    /// All that came.
    ///
    /// # Errors
    /// As [`Growing::extend`].
    pub fn finish(mut self) -> Result<Store<V>, Error> {
        let Some(file) = self.file else {
            self.memory.shrink_to_fit();
            return Ok(Store::Memory(self.memory));
        };
        let file = file.into_inner().map_err(|error| no_room(error.into_error()))?;
        Ok(Store::File(Mutex::new(file), self.written))
    }

    fn spill(&mut self) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(BufWriter::with_capacity(1 << 20, tempfile::tempfile()?)),
        };
        file.write_all(bytemuck::cast_slice(&self.memory))?;
        self.written += self.memory.len();
        self.memory.clear();
        self.memory.shrink_to(BLOCK);
        Ok(())
    }
}

fn no_room(error: io::Error) -> Error {
    let reason = format!(
        "does not take the data that memory is not to hold: {error}; make room there, or name \
         another folder for temporary files by TMPDIR"
    );
    Error::Data { path: env::temp_dir(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn store(parts: &[Vec<u16>], in_memory: usize) -> Store<u16> {
        let mut growing = Growing::new(in_memory);
        parts.iter().for_each(|part| growing.extend(part).unwrap());
        growing.finish().unwrap()
    }

    proptest! {
        #[test]
        fn what_is_kept_in_a_file_is_what_memory_would_hold(
            parts in prop::collection::vec(prop::collection::vec(any::<u16>(), 0..700), 0..6),
            in_memory in 0..2_000_usize,
            ends in (0.0..=1.0_f64, 0.0..=1.0_f64),
        ) {
            let all = parts.concat();
            let kept = store(&parts, in_memory);
            prop_assert_eq!(kept.len(), all.len());
            prop_assert_eq!(kept.is_empty(), all.is_empty());
            prop_assert_eq!(matches!(kept, Store::File(..)), all.len() > in_memory / 2);
            let place = |share: f64| (share * all.len() as f64) as usize;
            let (start, end) = (place(ends.0.min(ends.1)), place(ends.0.max(ends.1)));
            let mut found = vec![0; end - start];
            kept.read(start, &mut found);
            prop_assert_eq!(&found, &all[start..end]);
            let mut seen = Vec::new();
            kept.each(start..end, |n, value| seen.push((n, value)));
            let expected: Vec<_> = all[start..end].iter().copied().enumerate().collect();
            prop_assert_eq!(seen, expected);
            prop_assert!(kept.iter(start..end).eq(all[start..end].iter().copied()));
            let mut read = vec![7; 3];
            prop_assert_eq!(kept.slice(start..end, &mut read), &all[start..end]);
            prop_assert!((start..end).all(|place| kept.get(place) == all[place]));
            prop_assert_eq!(&kept, &Store::Memory(all.clone()));
            let mut again = store(&parts, in_memory);
            prop_assert_eq!(again.memory(), &all);
            if let Some(last) = all.last() {
                let mut other = all.clone();
                other[all.len() - 1] = last ^ 1;
                prop_assert_ne!(&kept, &Store::Memory(other));
                prop_assert_ne!(&kept, &Store::Memory(all[1..].to_vec()));
            }
        }
    }

    #[test]
    fn a_folder_that_takes_nothing_is_named_with_the_remedy() {
        let text = no_room(io::Error::from(io::ErrorKind::StorageFull)).to_string();
        assert!(text.contains("TMPDIR") && text.contains("memory"), "{text}");
    }
}
