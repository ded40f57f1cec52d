//! Whether a network is right at any length, as cheaply as can be told: what adds a long chain
//! wrongly needs no search, and is most of what cannot be proved.

use crate::chain::Chains;
use certify::{Certificate, Machine, prove};
use model::{Parameters, weights};
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;

/// The longest chains that are tried before a proof is looked for.
const LENGTHS: [usize; 4] = [10, 30, 100, 1_000];

/// What a search for a proof may do: an eightieth of what `cargo xtask certify` does.
const BUDGET: u64 = 25_000;

/// Is the network with this number among the `examined` of `all` that a proof is looked for? They are
/// spread evenly, so that a study takes its time as evenly.
pub(crate) fn is_examined(number: usize, (all, examined): (usize, usize)) -> bool {
    let every = all / examined;
    number.is_multiple_of(every) && number / every < examined
}

/// A checked proof that the network adds numbers of any length; none if it does not, or if none
/// was found.
///
/// # Panics
/// If it is not a network of one layer of sigmoid units with two inputs and one output.
pub fn proof(parameters: &Parameters) -> Option<Certificate> {
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(0);
    let mut is_right = |length| {
        const COUNT: usize = 32;
        Chains::new(length, COUNT, &mut generator).right(parameters) == COUNT
    };
    if !LENGTHS.into_iter().all(&mut is_right) {
        return None;
    }
    let proved = prove(parameters, &Machine::addition(), &weights::to_bytes(parameters), BUDGET);
    proved.map(|(certificate, _)| certificate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_are_examined_as_were_asked_for() {
        for (all, examined) in [(200, 5), (200, 10), (10, 1), (12, 1), (7, 7), (7, 5)] {
            let count = (0..all).filter(|&number| is_examined(number, (all, examined))).count();
            assert_eq!(count, examined, "of {all}");
        }
    }
}
