//! The time of a check, bounded by the sizes of its files.
//!
//! A certificate of a few lines may ask for millions of sequences, and each may be long to
//! follow. What a check multiplies is counted; beyond a share of each byte it ends.

const A_BYTE: u64 = 1 << 22;

/// What is left of the multiplications that a check may make.
pub(crate) struct Work {
    left: u64,
}

impl Work {
    /// For these two files.
    pub(crate) fn new(model: &[u8], certificate: &[u8]) -> Self {
        Self { left: A_BYTE.saturating_mul((model.len() + certificate.len()) as u64) }
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
        let mut work = Work::new(&[0], &[0, 0]);
        assert!(work.spend(3, 1 << 22).is_ok());
        assert!(work.spend(0, usize::MAX).is_ok());
        assert!(work.spend(1, 1).is_err());
        assert!(Work::new(&[0], &[]).spend(usize::MAX, usize::MAX).is_err());
    }
}
