//! Binary addition, as a certificate speaks of it: pairs of digits, and the carry.

/// The four pairs of digits, as they stand in keys.
pub(crate) const PAIRS: [&str; 4] = ["00", "01", "10", "11"];

/// The sum digit and the next carry of a pair and a carry.
pub(crate) fn add(pair: usize, carry: bool) -> (bool, bool) {
    let sum = pair / 2 + pair % 2 + usize::from(carry);
    (sum % 2 == 1, sum >= 2)
}

/// Pairs as they stand in keys.
pub(crate) fn spell(pairs: &[usize]) -> String {
    pairs.iter().map(|&pair| PAIRS[pair]).collect::<Vec<_>>().join(" ")
}
