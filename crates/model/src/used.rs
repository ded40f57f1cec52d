//! Which input rows of a gradient may be other than zero.
//!
//! A pass over symbols gives a gradient to the rows that its symbols select, and to no other.
//! Written over a gradient of another such pass, it has to clear the rows of that one alone:
//! so the cost of V symbols is that of those that occur, and an optimizer can leave out the
//! others. Whoever may write anywhere makes it all rows again.

/// Rows that may be other than zero.
#[derive(Clone, Debug, Default)]
pub(crate) struct UsedRows {
    /// Each once, rising; of no meaning if it may be any.
    rows: Vec<u32>,
    /// A bit a row, all zero between two calls.
    marks: Vec<u64>,
    is_any: bool,
}

impl UsedRows {
    /// The rows, each once, rising; none if it may be any.
    pub fn rows(&self) -> Option<&[u32]> {
        (!self.is_any).then_some(&self.rows)
    }

    /// From now on it may be any row.
    #[inline]
    pub fn set_any(&mut self) {
        self.is_any = true;
    }

    /// From now on it is those among `symbols`.
    pub fn assign(&mut self, symbols: &[u32]) {
        self.is_any = false;
        self.rows.clear();
        for &symbol in symbols {
            let (word, bit) = (symbol as usize / 64, symbol % 64);
            if word >= self.marks.len() {
                self.marks.resize(word + 1, 0);
            }
            self.marks[word] |= 1 << bit;
        }
        for (word, marks) in (0_u32..).zip(&mut self.marks) {
            while *marks != 0 {
                self.rows.push(word * 64 + marks.trailing_zeros());
                *marks &= *marks - 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_symbol_is_one_row_and_rows_rise() {
        let mut used = UsedRows::default();
        assert_eq!(used.rows(), Some(&[][..]));
        used.assign(&[700, 3, 64, 63, 3, 700, 0]);
        assert_eq!(used.rows(), Some(&[0, 3, 63, 64, 700][..]));
        used.set_any();
        assert_eq!(used.rows(), None);
        used.assign(&[5]);
        assert_eq!(used.rows(), Some(&[5][..]));
    }
}
