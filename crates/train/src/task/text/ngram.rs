//! What a loss on a text is worth: an n-gram model of it, made in a moment.
//!
//! Witten and Bell's estimate, interpolated (Chen and Goodman, *An Empirical Study of Smoothing
//! Techniques for Language Modeling*, 1998, equation 9), of contexts h of up to n − 1 symbols:
//!
//! ```text
//! P(w | h) = (c(h w) + d(h)·P(w | h without its first)) / (c(h) + d(h))
//! ```
//!
//! with c the counts of the text, and d(h) how many different symbols follow h. Below the empty
//! context all symbols are equally likely.

use std::collections::HashMap;

/// The most symbols in a row whose count is kept.
pub const ORDER: usize = 5;

/// Rows that are counted at most: some 150 MB.
const MOST_ROWS: usize = 4 << 20;

/// Symbols that are counted at most: a second or two.
const MOST_SYMBOLS: u64 = 4 << 20;

/// Counts of the rows of up to [`ORDER`] symbols of a text.
#[derive(Clone, Debug)]
pub struct NGrams {
    symbols: usize,
    /// From a row and one symbol more to the longer row; row 0 is the empty one.
    rows: HashMap<(u32, u32), u32>,
    /// Of each row: c of it, d of it, and how often it is followed.
    counts: Vec<[u32; 3]>,
}

impl NGrams {
    /// The counts of `text`, whose symbols are below `symbols`; and how many of its symbols were
    /// counted, from the first on: all, if there is room.
    pub fn of(symbols: usize, text: impl Iterator<Item = u32>) -> (Self, u64) {
        let mut model = Self { symbols, rows: HashMap::new(), counts: vec![[0; 3]] };
        let mut contexts = Contexts::default();
        let mut counted = 0;
        for symbol in text {
            if model.counts.len() + ORDER > MOST_ROWS || counted == MOST_SYMBOLS {
                break;
            }
            for &row in contexts.longest_first() {
                let next = *model.rows.entry((row, symbol)).or_insert_with(|| {
                    model.counts[row as usize][1] += 1;
                    model.counts.push([0; 3]);
                    model.counts.len() as u32 - 1
                });
                model.counts[next as usize][0] += 1;
                model.counts[row as usize][2] += 1;
            }
            contexts.push(symbol, &model.rows);
            counted += 1;
        }
        (model, counted)
    }

    /// `−Σ ln P` of `text`, from the empty context on.
    pub fn loss(&self, text: impl Iterator<Item = u32>) -> f64 {
        let mut contexts = Contexts::default();
        let mut loss = 0.0;
        for symbol in text {
            let mut probability = 1.0 / self.symbols as f64;
            for &row in contexts.longest_first().iter().rev() {
                let [_, different, followed] = self.counts[row as usize].map(f64::from);
                if followed == 0.0 {
                    continue;
                }
                let next = self.rows.get(&(row, symbol));
                let count = next.map_or(0.0, |&next| f64::from(self.counts[next as usize][0]));
                probability = (count + different * probability) / (followed + different);
            }
            loss -= probability.ln();
            contexts.push(symbol, &self.rows);
        }
        loss
    }
}

/// The rows that the last symbols are, the longest of them first; those that never were are left
/// out, and the empty one is always there.
#[derive(Debug)]
struct Contexts {
    rows: Vec<u32>,
}

impl Default for Contexts {
    fn default() -> Self {
        Self { rows: vec![0] }
    }
}

impl Contexts {
    fn longest_first(&self) -> &[u32] {
        &self.rows
    }

    /// The next symbol has come: of the contexts, which may be at most `ORDER − 1` long, each with it.
    fn push(&mut self, symbol: u32, rows: &HashMap<(u32, u32), u32>) {
        let longest = ORDER - 1;
        // A list as long as can be begins with a row of `longest` symbols, which gets no longer.
        let from = self.rows.len().saturating_sub(longest);
        let longer: Vec<u32> =
            self.rows[from..].iter().filter_map(|&row| rows.get(&(row, symbol)).copied()).collect();
        self.rows = longer;
        self.rows.push(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By the formula, from the text itself.
    fn probability(text: &[u32], symbols: usize, context: &[u32], symbol: u32) -> f64 {
        let shorter = if context.is_empty() {
            1.0 / symbols as f64
        } else {
            probability(text, symbols, &context[1..], symbol)
        };
        let windows = text.windows(context.len() + 1);
        let following: Vec<u32> =
            windows.filter(|w| w.starts_with(context)).map(|w| w[context.len()]).collect();
        let mut different = following.clone();
        different.sort_unstable();
        different.dedup();
        let (all, kinds) = (following.len() as f64, different.len() as f64);
        if all == 0.0 {
            return shorter;
        }
        let count = following.iter().filter(|&&next| next == symbol).count() as f64;
        (count + kinds * shorter) / (all + kinds)
    }

    #[test]
    fn the_model_is_the_formula() {
        let mut random = 1_u64;
        let mut draw = || {
            random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (random >> 33) as u32 % 3 + (random >> 60) as u32 / 15
        };
        let text: Vec<u32> = (0..400).map(|_| draw()).collect();
        let other: Vec<u32> = (0..100).map(|_| draw()).collect();
        let (model, counted) = NGrams::of(4, text.iter().copied());
        assert_eq!(counted, 400);
        let expected: f64 = (0..other.len())
            .map(|n| {
                let context = &other[n.saturating_sub(ORDER - 1)..n];
                -probability(&text, 4, context, other[n]).ln()
            })
            .sum();
        let found = model.loss(other.iter().copied());
        assert!((found - expected).abs() < 1e-9 * expected, "{found} {expected}");
    }

    #[test]
    fn probabilities_add_up_to_one() {
        let (model, _) = NGrams::of(5, [0, 1, 2, 0, 1, 3, 0, 1, 2, 2].into_iter());
        for context in [&[][..], &[0], &[0, 1], &[4], &[2, 0, 1]] {
            let of = |symbol: u32| {
                let with = model.loss(context.iter().copied().chain([symbol]));
                (model.loss(context.iter().copied()) - with).exp()
            };
            let sum: f64 = (0..5).map(of).sum();
            assert!((sum - 1.0).abs() < 1e-12, "{context:?}: {sum}");
        }
    }
}
