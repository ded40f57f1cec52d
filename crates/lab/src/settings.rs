//! What a study is asked, and how it tells how far it has come.

use serde::Serialize;
use train::transport::Transport;

/// How much is tried, and from which seed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Settings {
    /// What all randomness comes from: the same seed gives the same findings.
    pub seed: u64,
    /// Fewer networks: enough to see the picture, too few for its edges.
    pub quick: bool,
}

impl Settings {
    /// The seed of network `number` of a study: with seed 0 it is the number itself, so that
    /// `cargo xtask train --seed` makes that network again.
    pub fn seed_of(&self, number: u64) -> u64 {
        self.seed.rotate_left(32).wrapping_add(number)
    }

    /// `whole` or, of a quick study, `quick`.
    pub(crate) fn count(&self, whole: usize, quick: usize) -> usize {
        if self.quick { quick } else { whole }
    }
}

/// Who watches a study: told of each network that is done, asked whether to stop, from any thread;
/// and who helps.
#[derive(Clone, Copy)]
pub struct Watch<'a> {
    /// One more network is done.
    pub done: &'a (dyn Fn() + Sync),
    /// Should no other be begun?
    pub is_stopped: &'a (dyn Fn() -> bool + Sync),
    /// The ranks that share the networks, all of which make the same studies. Rank 0 alone finds
    /// something, and is told.
    pub ranks: Option<&'a dyn Transport>,
}

impl Watch<'static> {
    /// Nobody: it is not told, and never stops.
    pub const NOBODY: Self = Self { done: &|| (), is_stopped: &|| false, ranks: None };
}

impl Watch<'_> {
    /// Is it on another rank that something is found?
    pub(crate) fn is_helper(&self) -> bool {
        self.ranks.is_some_and(|transport| transport.rank() > 0)
    }
}

impl std::fmt::Debug for Watch<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watch")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_of_one_study_are_not_those_of_another() {
        let of = |seed, number| Settings { seed, quick: false }.seed_of(number);
        assert_eq!([of(0, 0), of(0, 199)], [0, 199]);
        assert_ne!(of(1, 0), of(0, 1));
        assert!((0..1_000).all(|n| of(1, n) > 1_000_000));
        assert_eq!(of(u64::MAX, 1), 0); // and nothing overflows
    }
}
