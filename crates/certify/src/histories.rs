//! A suffix tree of histories: from the last pairs of a sequence to the leaf that they belong to.

use crate::pairs::add;

/// Histories by their suffixes: the carry now, then the last pair and the carry before it, then
/// the pair before that, …
#[derive(Clone, Default)]
pub(crate) struct Histories {
    /// For each suffix, the suffixes one pair longer, by `2·pair + carry before`.
    longer: Vec<[u32; 8]>,
    /// The number of the history that is just this suffix.
    number: Vec<u32>,
}

/// No suffix, or no history.
const NONE: u32 = u32::MAX;

impl Histories {
    /// None.
    pub fn new() -> Self {
        // the empty suffix, for either carry now
        Self { longer: vec![[NONE; 8]; 2], number: vec![NONE; 2] }
    }

    /// Adds a history under `number`.
    pub fn insert(&mut self, before: bool, pairs: &[u8], number: usize) {
        let (mut place, steps) = backwards(before, pairs);
        for step in steps {
            if self.longer[place][step] == NONE {
                self.longer[place][step] = self.longer.len() as u32;
                self.longer.push([NONE; 8]);
                self.number.push(NONE);
            }
            place = self.longer[place][step] as usize;
        }
        self.number[place] = number as u32;
    }

    /// The number of the history that is a suffix of `pairs`, before which the carry was
    /// `before`.
    pub fn find(&self, before: bool, pairs: &[u8]) -> Option<usize> {
        let (mut place, mut steps) = backwards(before, pairs);
        loop {
            if self.number[place] != NONE {
                return Some(self.number[place] as usize);
            }
            place = self.longer[place][steps.next()?] as usize;
            if place == NONE as usize {
                return None;
            }
        }
    }
}

/// The carry now, and the branches from the last pair to the first.
fn backwards(before: bool, pairs: &[u8]) -> (usize, impl Iterator<Item = usize>) {
    // bit n: the carry before pair n
    let (mut carries, mut carry) = (u128::from(before), before);
    for (&pair, n) in pairs.iter().zip(1..) {
        carry = add(pair, carry).1;
        carries |= u128::from(carry) << n;
    }
    let back = (0..pairs.len()).rev();
    (usize::from(carry), back.map(move |n| usize::from(pairs[n]) * 2 + (carries >> n & 1) as usize))
}
