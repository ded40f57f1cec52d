//! Judging a network beside its machine: all words of a length, and long ones.
//!
//! A word is right if each of its outputs is. Where all words of a length are right, all shorter ones
//! are, as each begins one of them.

use super::Words;
use crate::batch::Batch;
use crate::batch::Targets;
use crate::task::Score;
use crate::text::thousands;
use model::{Network, Parameters};
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};
use std::fmt::{Display, Formatter};

/// All words are tried of the greatest length that has no more words than this …
pub const MOST_WORDS: u64 = 20_000;
/// … and is not greater than this.
pub const MOST_STEPS: usize = 64;
/// So many words, drawn as those of a training …
pub const LONG_WORDS: usize = 100;
/// … but of so many symbols.
pub const LONG_STEPS: usize = 1_000;

/// How many words a network answered rightly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WordsRight {
    /// The length of which all words were tried.
    pub words_length: usize,
    /// Those right in every output.
    pub words_correct: u64,
    /// All there are.
    pub words_total: u64,
    /// Long random words right in every output.
    pub long_words_correct: u64,
    /// Those tried.
    pub long_words_total: u64,
    /// The length of each.
    pub long_words_length: usize,
}

impl Display for WordsRight {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let (correct, total) = (thousands(self.words_correct), thousands(self.words_total));
        let length = self.words_length;
        if self.words_correct == self.words_total {
            write!(f, "All words of up to {length} symbols are right ({total} of {length}); ")?;
        } else {
            let percent = 100.0 * self.words_correct as f64 / self.words_total as f64;
            write!(
                f,
                "{correct} of all {total} words of {length} symbols are right ({percent:.2} %); "
            )?;
        }
        let (correct, total) = (self.long_words_correct, self.long_words_total);
        write!(f, "{correct} of {total} of {} symbols.", thousands(self.long_words_length as u64))
    }
}

impl Score for WordsRight {
    fn is_perfect(&self) -> bool {
        self.words_correct == self.words_total && self.long_words_correct == self.long_words_total
    }

    fn brief(&self) -> String {
        format!(
            "{} of {}, {} of {} long ones",
            thousands(self.words_correct),
            thousands(self.words_total),
            self.long_words_correct,
            self.long_words_total
        )
    }

    fn heading() -> &'static str {
        "words right"
    }

    fn figure(&self) -> (&'static str, f64) {
        let wrong = |correct: u64, total: u64| (total - correct) as f64 / total as f64;
        let short = wrong(self.words_correct, self.words_total);
        ("words_wrong", short + wrong(self.long_words_correct, self.long_words_total))
    }

    fn summary(&self, perfect: usize, count: usize) -> String {
        format!("{perfect} of {count} seeds answer every word that was tried rightly")
    }
}

/// Tries all words of a length, and long ones that are drawn from `seed`, far from the numbers that
/// training draws from it.
///
/// # Panics
/// If `parameters` are not of a network with the task's inputs and outputs.
pub fn evaluate(task: &Words, parameters: &Parameters, seed: u64) -> WordsRight {
    let (length, all) = all_words(task);
    let mut network = Network::new(parameters.config());
    let mut right = |words: &[Vec<usize>]| {
        words.chunks(BATCH).map(|words| right(task, parameters, &mut network, words)).sum()
    };
    let words_correct = right(&all);
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(seed);
    generator.long_jump();
    let mut long = vec![vec![0; LONG_STEPS]; LONG_WORDS];
    long.iter_mut().for_each(|word| task.sample(&mut generator, word));
    WordsRight {
        words_length: length,
        words_correct,
        words_total: all.len() as u64,
        long_words_correct: right(&long),
        long_words_total: LONG_WORDS as u64,
        long_words_length: LONG_STEPS,
    }
}

const BATCH: usize = 128;

/// All words of the greatest length that has few enough.
fn all_words(task: &Words) -> (usize, Vec<Vec<usize>>) {
    let machine = task.machine();
    let inputs = machine.inputs().len();
    let longer = |(word, state): &(Vec<usize>, usize)| {
        let step = |input: usize| {
            let (next, _) = machine.step(*state, input)?;
            Some(([&word[..], &[input]].concat(), next))
        };
        (0..inputs).filter_map(step).collect::<Vec<_>>()
    };
    let mut words: Vec<_> = longer(&(Vec::new(), 0));
    let mut length = 1;
    while length < MOST_STEPS {
        let can = |state| (0..inputs).filter(|&i| machine.step(state, i).is_some()).count() as u64;
        if words.iter().map(|&(_, state)| can(state)).sum::<u64>() > MOST_WORDS {
            break;
        }
        words = words.iter().flat_map(longer).collect();
        length += 1;
    }
    (length, words.into_iter().map(|(word, _)| word).collect())
}

/// How many of `words`, all of one length, are right.
fn right(
    task: &Words,
    parameters: &Parameters,
    network: &mut Network,
    words: &[Vec<usize>],
) -> u64 {
    let mut batch = Batch::default();
    task.encode(words, &mut batch);
    let config = parameters.config();
    let sequences = batch.sequences(config, None).expect("values as the network takes them");
    let y = network.infer(parameters, &sequences);
    let Targets::Values(targets) = &batch.targets else {
        unreachable!("words are encoded with values");
    };
    let mut is_right = vec![true; words.len()];
    for (row, (y, target)) in y.chunks_exact(config.outputs()).zip(&**targets).enumerate() {
        is_right[row % words.len()] &= task.said(y) == *target as usize;
    }
    is_right.into_iter().filter(|&right| right).count() as u64
}
