//! The time of a check, bounded by the sizes of its files.
//!
//! A certificate of a few lines may ask for millions of sequences, and each may be long to
//! follow. What a check multiplies is counted; beyond a share of each byte it ends.
//!
//! ```text
//! an honest piece   3·H numbers of 20 bytes; over 4 symbols and 4 steps, longer than any search
//!                   makes them, 340 sequences of 256·H multiplications for activations and, as
//!                   generators grow, 6·H³ for products: 1,500 + 34·H² a byte
//! ```

/// So many multiplications a byte, and …
const A_BYTE: u64 = 1 << 14;
/// … times H².
const A_BYTE_AND_PAIR: u64 = 1 << 7;

/// What is left of the multiplications that a check may make.
pub(crate) struct Work {
    left: u64,
}

impl Work {
    /// For files of so many bytes and a network of `hidden` units, `most` at any size.
    pub(crate) fn new(bytes: usize, hidden: usize, most: u64) -> Self {
        let pairs = (hidden as u64).saturating_mul(hidden as u64);
        let a_byte = A_BYTE.saturating_add(A_BYTE_AND_PAIR.saturating_mul(pairs));
        Self { left: a_byte.saturating_mul(bytes as u64).min(most) }
    }

    /// Takes a·b multiplications, or says that there are not so many left; then there are none.
    pub(crate) fn spend(&mut self, a: usize, b: usize) -> Result<(), String> {
        let left = self.left.checked_sub((a as u64).saturating_mul(b as u64));
        self.left = left.unwrap_or(0);
        left.map(drop).ok_or("it takes more work than files of this size may ask for".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_ends_with_what_the_files_allow() {
        let a_byte = 16_384 + 128 * 9;
        let mut work = Work::new(3, 3, u64::MAX);
        assert!(work.spend(3, a_byte).is_ok());
        assert!(work.spend(0, usize::MAX).is_ok());
        assert!(work.spend(1, 1).is_err());
        assert!(Work::new(1, 1, u64::MAX).spend(usize::MAX, usize::MAX).is_err());
        let mut work = Work::new(3, 3, 10);
        assert!(work.spend(1, 10).is_ok());
        assert!(work.spend(1, 1).is_err());
    }

    #[test]
    fn nothing_is_left_after_more_was_asked_for() {
        let mut work = Work::new(1, 1, 10);
        assert!(work.spend(1, 11).is_err());
        assert!(work.spend(1, 1).is_err());
    }
}
