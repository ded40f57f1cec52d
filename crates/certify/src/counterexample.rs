//! A word that a network answers wrongly, and how it is shown.

use model::{Network, Parameters, Stream};
use num_bigint::BigUint;
use verify::Machine;

/// A word that a network answers otherwise than the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counterexample {
    /// The symbols, by number; the answer to the last of them is wrong.
    pub word: Vec<usize>,
    /// No word of up to so many symbols has a wrong answer: all were tried, or abstract states show
    /// it.
    pub right_up_to: usize,
}

impl Counterexample {
    /// Is no shorter word answered wrongly?
    pub fn is_shortest(&self) -> bool {
        self.right_up_to + 1 == self.word.len()
    }

    /// Of an addition: the two numbers, whose pairs of digits the symbols are, lowest first. They
    /// have one more digit on top where the sum would end before the wrong one.
    pub fn operands(&self) -> [BigUint; 2] {
        let number = |bit: usize| {
            let mut number = BigUint::ZERO;
            for (n, pair) in (0..).zip(&self.word) {
                number.set_bit(n, pair >> bit & 1 == 1);
            }
            number
        };
        let [mut a, b] = [number(1), number(0)];
        let digits = self.word.len() as u64;
        if a.bits().max(b.bits()) + 1 < digits {
            a.set_bit(digits, true);
        }
        [a, b]
    }

    /// How long it is: of an addition the binary digits of the longer operand, else the symbols.
    pub fn length(&self, machine: &Machine) -> u64 {
        if machine.is_addition() {
            let [a, b] = self.operands();
            return a.bits().max(b.bits());
        }
        self.word.len() as u64
    }

    /// Its symbols by their names, parted by spaces.
    pub fn spell(&self, machine: &Machine) -> String {
        machine.spell(&self.word)
    }
}

/// Where the network first answers otherwise than the machine: the number of that symbol in `word`.
/// Both as it is run symbol by symbol and as it is run over all of `word` at once, whose sums are
/// rounded in another order. None from where a symbol is not legal.
///
/// # Panics
/// If the network is not one for the machine, or a weight is not finite.
pub(crate) fn first_wrong(
    parameters: &Parameters,
    machine: &Machine,
    word: &[usize],
) -> Option<usize> {
    let (answers, x) = answers(machine, word);
    let mut stream = Stream::new(parameters.clone()).expect("a network of finite weights");
    let (width, outputs) = (machine.width(), machine.head_outputs());
    let mut y = vec![0.0; outputs];
    let wrong = answers.iter().zip(x.chunks_exact(width)).position(|(&right, x)| {
        stream.step(x, &mut y).expect("as many inputs and outputs as the machine has");
        !is_right(&y, right)
    })?;
    let mut network = Network::new(parameters.config());
    let all = network.forward(parameters, &x[..(wrong + 1) * width], wrong + 1, 1);
    let last = &all[wrong * outputs..][..outputs];
    (!is_right(last, answers[wrong])).then_some(wrong)
}

/// Does the network, run symbol by symbol, answer the last symbol of `word` otherwise than the
/// machine does? Not where a symbol is not legal.
///
/// # Panics
/// If the network is not one for the machine, or a weight is not finite.
pub fn answers_wrongly(parameters: &Parameters, machine: &Machine, word: &[usize]) -> bool {
    let (answers, x) = answers(machine, word);
    let mut stream = Stream::new(parameters.clone()).expect("a network of finite weights");
    let mut y = vec![0.0; machine.head_outputs()];
    for x in x.chunks_exact(machine.width()) {
        stream.step(x, &mut y).expect("as many inputs and outputs as the machine has");
    }
    answers.len() == word.len() && answers.last().is_some_and(|&right| !is_right(&y, right))
}

/// The machine's answers to a word, as far as that is legal, and what the network is shown, `[T, I]`.
fn answers(machine: &Machine, word: &[usize]) -> (Vec<usize>, Vec<f32>) {
    let (mut state, mut answers, mut x) = (0, Vec::new(), Vec::new());
    for &symbol in word {
        let Some((next, output)) = machine.step(state, symbol) else { break };
        x.extend(machine.shown(symbol).iter().map(|&value| value as f32));
        answers.push(output);
        state = next;
    }
    (answers, x)
}

fn is_right(y: &[f32], right: usize) -> bool {
    match y {
        [y] => (*y > 0.5) == (right == 1),
        _ => y.iter().enumerate().all(|(n, other)| n == right || *other < y[right]),
    }
}
