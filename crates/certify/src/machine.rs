//! A machine as the search sees it: symbols numbered by a byte, which are legal where, what comes
//! before, and random words.

use rand::{Rng, RngExt};
use train::task::machine::Machine as Task;
use verify::{Machine, Table};

/// The machine of a task as a certificate holds it.
///
/// # Errors
/// What is in the way, as the rest of a sentence: a single output, or a name with spaces.
pub fn machine_of(task: &Task) -> Result<Machine, String> {
    let (symbols, states) = (task.inputs().len(), task.states().len());
    let wide = |values: &[f32]| values.iter().copied().map(f64::from).collect();
    let step = |state, symbol| task.step(state, symbol).map(|(next, output)| [next, output]);
    let row = |state| (0..symbols).map(|symbol| step(state, symbol)).collect();
    Machine::try_from(Table {
        name: task.name().to_owned(),
        symbols: task.inputs().to_vec(),
        shown: (0..symbols).map(|symbol| wide(task.values(symbol))).collect(),
        outputs: task.outputs().to_vec(),
        states: task.states().to_vec(),
        transitions: (0..states).map(row).collect(),
    })
}

/// The transitions of a [`Machine`], and what the search asks of them again and again.
#[derive(Clone, Debug)]
pub(crate) struct Transitions {
    /// How many states there are.
    pub states: usize,
    /// The last symbol.
    last: u8,
    /// `[states · symbols]`, the next state and the output.
    steps: Vec<Option<(u16, u16)>>,
    /// `[states]`: what leads there, by symbol, then by the state before.
    before: Vec<Vec<(u8, usize)>>,
    /// `[states]`: the shortest word that leads there from the first state.
    words: Vec<Option<Vec<u8>>>,
    /// Is every symbol legal in every state?
    pub is_complete: bool,
}

/// The most symbols and states that are searched.
pub(crate) const MOST: (usize, usize) = (256, 1 << 12);

impl Transitions {
    /// # Panics
    /// If there are more than [`MOST`] symbols or states.
    pub fn new(machine: &Machine) -> Self {
        let (symbols, states) = (machine.symbols().len(), machine.states().len());
        assert!(symbols <= MOST.0 && states <= MOST.1, "{symbols} symbols, {states} states");
        let mut steps = Vec::with_capacity(states * symbols);
        let mut before = vec![Vec::new(); states];
        for state in 0..states {
            for symbol in 0..symbols {
                let step = machine.step(state, symbol);
                steps.push(step.map(|(next, output)| (next as u16, output as u16)));
                if let Some((next, _)) = step {
                    before[next].push((symbol as u8, state));
                }
            }
        }
        before.iter_mut().for_each(|before| before.sort_unstable());
        let mut words = vec![None; states];
        words[0] = Some(Vec::new());
        let mut queue = std::collections::VecDeque::from([(0, Vec::new())]);
        while let Some((state, word)) = queue.pop_front() {
            for symbol in 0..symbols {
                if let Some((next, _)) = machine.step(state, symbol)
                    && words[next].is_none()
                {
                    let longer = [&*word, &[symbol as u8]].concat();
                    words[next] = Some(longer.clone());
                    queue.push_back((next, longer));
                }
            }
        }
        let last = (symbols - 1) as u8;
        let is_complete = machine.is_complete();
        Self { states, last, steps, before, words, is_complete }
    }

    /// All symbols.
    pub fn all(&self) -> impl DoubleEndedIterator<Item = u8> + use<> {
        0..=self.last
    }

    /// How many symbols there are.
    pub fn width(&self) -> usize {
        usize::from(self.last) + 1
    }

    /// The next state and the output, if `symbol` is legal.
    pub fn step(&self, state: usize, symbol: u8) -> Option<(usize, usize)> {
        let step = self.steps[state * self.width() + usize::from(symbol)]?;
        Some((usize::from(step.0), usize::from(step.1)))
    }

    /// The state after `word`; none if it is not legal.
    pub fn follow(&self, state: usize, word: &[u8]) -> Option<usize> {
        word.iter().try_fold(state, |state, &symbol| self.step(state, symbol).map(|step| step.0))
    }

    /// The shortest word that leads to `state` from the first; none if none does.
    pub fn word_to(&self, state: usize) -> Option<&[u8]> {
        self.words[state].as_deref()
    }

    /// The states that some word leads to.
    pub fn reachable(&self) -> impl Iterator<Item = usize> {
        (0..self.states).filter(|&state| self.words[state].is_some())
    }

    /// The histories one symbol longer than that of `word` with the state `before`: each the state
    /// before it, and its symbols.
    pub fn earlier(&self, before: usize, word: &[u8]) -> impl Iterator<Item = (usize, Vec<u8>)> {
        self.before[before]
            .iter()
            .filter(|(_, earlier)| self.words[*earlier].is_some())
            .map(move |&(symbol, earlier)| (earlier, [&[symbol], word].concat()))
    }

    /// Symbols that forget nothing: each takes every state to another one. All symbols, if there
    /// are no such.
    pub fn remembering(&self) -> Vec<u8> {
        let permutes = |&symbol: &u8| {
            let mut seen = vec![false; self.states];
            (0..self.states).all(|state| {
                self.step(state, symbol)
                    .is_some_and(|(next, _)| !std::mem::replace(&mut seen[next], true))
            })
        };
        let found: Vec<u8> = self.all().filter(permutes).collect();
        if found.is_empty() { self.all().collect() } else { found }
    }

    /// Random probabilities of the symbols, from nearly equal ones to nearly one symbol alone.
    pub fn mix(&self, generator: &mut impl Rng) -> Vec<f64> {
        let mut mix = vec![0.0; self.width()];
        let power = generator.random_range(0.0..6.0);
        for share in &mut mix {
            *share = generator.random_range(0.0..1.0_f64).powf(power) + 1e-3;
        }
        let sum: f64 = mix.iter().sum();
        mix.iter_mut().for_each(|share| *share /= sum);
        mix
    }

    /// A symbol that is legal in `state`, drawn with the probabilities `mix`; none if no symbol is.
    pub fn draw(&self, state: usize, mix: &[f64], generator: &mut impl Rng) -> Option<u8> {
        if self.is_complete {
            return Some(draw(mix.iter().copied(), 1.0, generator));
        }
        let legal = |(symbol, share): (u8, &f64)| match self.step(state, symbol) {
            Some(_) => *share,
            None => 0.0,
        };
        let shares = || (0..=self.last).zip(mix).map(legal);
        let sum: f64 = shares().sum();
        if sum == 0.0 {
            return None;
        }
        // Rounding may lead past the last.
        let drawn = draw(shares(), sum, generator);
        let is_legal = |&symbol: &u8| self.step(state, symbol).is_some();
        Some(drawn).filter(is_legal).or_else(|| self.all().rev().find(is_legal))
    }

    /// A random legal word of up to `length` symbols, all of `mix`, and the state after it.
    pub fn random_word(
        &self,
        length: usize,
        mix: &[f64],
        generator: &mut impl Rng,
    ) -> (Vec<u8>, usize) {
        let (mut word, mut state) = (Vec::new(), 0);
        for _ in 0..length {
            let Some(symbol) = self.draw(state, mix, generator) else { break };
            state = self.step(state, symbol).expect("a legal symbol was drawn").0;
            word.push(symbol);
        }
        (word, state)
    }

    /// From which states can `to` be reached?
    fn sources(&self, to: usize) -> Vec<bool> {
        let mut is_source = vec![false; self.states];
        is_source[to] = true;
        let mut open = vec![to];
        while let Some(state) = open.pop() {
            for &(_, earlier) in &self.before[state] {
                if !std::mem::replace(&mut is_source[earlier], true) {
                    open.push(earlier);
                }
            }
        }
        is_source
    }

    /// The shortest word from `from` to `to`; none if none leads there.
    fn path(&self, from: usize, to: usize) -> Option<Vec<u8>> {
        let mut seen = vec![false; self.states];
        seen[from] = true;
        let mut queue = std::collections::VecDeque::from([(from, Vec::new())]);
        while let Some((state, word)) = queue.pop_front() {
            if state == to {
                return Some(word);
            }
            for symbol in self.all() {
                if let Some((next, _)) = self.step(state, symbol)
                    && !std::mem::replace(&mut seen[next], true)
                {
                    queue.push_back((next, [&*word, &[symbol]].concat()));
                }
            }
        }
        None
    }

    /// A random word that ends in `to`: some symbols from which it is still reached, and then the
    /// shortest way.
    pub fn random_word_to(&self, to: usize, length: usize, generator: &mut impl Rng) -> Vec<u8> {
        let is_source = self.sources(to);
        let (mut word, mut state) = (Vec::new(), 0);
        for _ in 0..length {
            let open: Vec<(u8, usize)> = self
                .all()
                .filter_map(|symbol| self.step(state, symbol).map(|(next, _)| (symbol, next)))
                .filter(|&(_, next)| is_source[next])
                .collect();
            if open.is_empty() {
                break;
            }
            let (symbol, next) = open[generator.random_range(0..open.len())];
            word.push(symbol);
            state = next;
        }
        word.extend(self.path(state, to).unwrap_or_default());
        word
    }
}

/// A number drawn by its share of `sum`, the last where rounding leads past it.
fn draw(shares: impl Iterator<Item = f64>, sum: f64, generator: &mut impl Rng) -> u8 {
    let mut rest = generator.random_range(0.0..1.0_f64) * sum;
    let mut last = 0;
    for (symbol, share) in (0..=u8::MAX).zip(shares) {
        rest -= share;
        last = symbol;
        if rest < 0.0 {
            break;
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_xoshiro::Xoshiro256PlusPlus;

    #[test]
    fn of_addition_the_pairs_of_one_digit_forget_nothing() {
        let addition = Transitions::new(&Machine::addition());
        assert_eq!(addition.remembering(), [1, 2]);
        assert_eq!([0, 1].map(|carry| addition.word_to(carry).unwrap()), [&[][..], &[3]]);
        let earlier: Vec<_> = addition.earlier(1, &[0]).collect();
        let expected = [(1, 1), (2, 1), (3, 0), (3, 1)];
        assert_eq!(earlier, expected.map(|(pair, carry)| (carry, vec![pair, 0])));
    }

    #[test]
    fn random_words_are_legal_and_end_where_they_should() {
        // from 0 a, once, to 1; there b, and c to 2, where nothing is legal
        let table = serde_json::json!({
            "name": "abc", "symbols": ["a", "b", "c"], "shown": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
            "outputs": ["no", "yes"], "states": ["0", "1", "2"],
            "transitions": [[[1, 0], null, null], [null, [1, 1], [2, 0]], [null, null, null]],
        });
        let machine = Transitions::new(&serde_json::from_value(table).unwrap());
        let mut generator = Xoshiro256PlusPlus::seed_from_u64(0);
        for length in 0..20 {
            let mix = machine.mix(&mut generator);
            let (word, state) = machine.random_word(length, &mix, &mut generator);
            assert_eq!(machine.follow(0, &word), Some(state));
            for to in 0..3 {
                let word = machine.random_word_to(to, length, &mut generator);
                assert_eq!(machine.follow(0, &word), Some(to));
            }
        }
        assert_eq!(machine.earlier(0, &[0]).count(), 0);
    }
}
