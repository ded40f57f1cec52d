//! A buffer of `f32` that begins on a cache line.
//!
//! Rows of a multiple of 16 values then never straddle two lines, and two buffers never share
//! one. It is a `Vec` of SIMD vectors, so it needs no `unsafe`.

use std::ops::{Deref, DerefMut};

/// Values in a cache line of 64 bytes.
pub const LINE: usize = 16;

/// A growable, 64-byte-aligned slice of `f32`.
#[derive(Clone, Debug, Default)]
pub struct Buffer {
    lines: Vec<wide::f32x16>,
    len: usize,
}

impl Buffer {
    /// A buffer of `len` zeros.
    ///
    /// # Panics
    /// If the allocator has no room for them; the message says how many bytes were needed.
    #[track_caller]
    pub fn zeros(len: usize) -> Self {
        let count = len.div_ceil(LINE);
        let mut lines = Vec::new();
        if lines.try_reserve_exact(count).is_err() {
            no_room(len);
        }
        lines.resize(count, wide::f32x16::ZERO);
        Self { lines, len }
    }

    /// Changes the length to `len`. Keeps the values that stay, fills new ones with zeros, and
    /// allocates only to grow beyond the largest length so far.
    ///
    /// # Panics
    /// As [`Buffer::zeros`]; the buffer is then as it was.
    #[track_caller]
    pub fn resize(&mut self, len: usize) {
        let (old, lines) = (self.len, len.div_ceil(LINE));
        if lines > self.lines.capacity()
            && self.lines.try_reserve(lines - self.lines.len()).is_err()
        {
            no_room(len);
        }
        self.lines.resize(lines, wide::f32x16::ZERO);
        self.len = len;
        if len > old {
            self[old..].fill(0.0);
        }
    }

    /// The first `len` values, to be overwritten: what they hold is what was last written
    /// there, or zero. Grows if there never were as many, and never shrinks.
    pub(crate) fn first(&mut self, len: usize) -> &mut [f32] {
        if len > self.len {
            self.resize(len);
        }
        &mut self[..len]
    }
}

#[cold]
#[track_caller]
fn no_room(len: usize) -> ! {
    let bytes = len as u128 * size_of::<f32>() as u128;
    panic!("no memory for a buffer of {len} values, {bytes} bytes")
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &bytemuck::cast_slice(&self.lines)[..self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut bytemuck::cast_slice_mut(&mut self.lines)[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_aligned_zeroed_and_keeps_its_contents() {
        for len in [0, 1, 15, 16, 17, 100] {
            let mut buffer = Buffer::zeros(len);
            assert_eq!(buffer.as_ptr() as usize % 64, 0);
            assert_eq!(&*buffer, vec![0.0; len]);
            buffer.fill(1.0);
            buffer.resize(len / 2);
            buffer.resize(len + 20);
            let ones = len / 2;
            assert!(buffer[..ones].iter().all(|&v| v == 1.0));
            assert!(buffer[ones..].iter().all(|&v| v == 0.0), "what is new must be zero");
        }
    }
}
