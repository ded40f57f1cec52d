//! A trained network at work: adding two integers of any length, digit by digit.

use model::{Network, Parameters};
use num_bigint::BigUint;

/// One step: the digits shown, the state that the network then held, its answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Digit {
    /// This digit of the first operand.
    pub a: bool,
    /// This digit of the second operand.
    pub b: bool,
    /// `[H]`, each in [0, 1].
    pub hidden: Vec<f32>,
    /// The output, in [0, 1]; the digit is 1 where it is above ½.
    pub output: f32,
    /// This digit of the true sum.
    pub expected: bool,
}

impl Digit {
    /// The digit that the network says.
    pub fn predicted(&self) -> bool {
        self.output > 0.5
    }

    /// Whether the network said the right digit.
    pub fn is_right(&self) -> bool {
        self.predicted() == self.expected
    }
}

/// What the network made of `a + b`.
#[derive(Clone, Debug, PartialEq)]
pub struct Sum {
    /// The sum that the network spelled.
    pub sum: BigUint,
    /// The true sum.
    pub expected: BigUint,
    /// Step by step, lowest digit first: one more than the longer operand has.
    pub digits: Vec<Digit>,
}

impl Sum {
    /// How many digits the network got wrong.
    pub fn wrong_bits(&self) -> usize {
        self.digits.iter().filter(|digit| !digit.is_right()).count()
    }
}

/// Lets the network add `a` and `b`, over one step more than the longer has digits.
///
/// # Panics
/// If `parameters` are not of a network with two inputs and one output.
pub fn add(parameters: &Parameters, a: &BigUint, b: &BigUint) -> Sum {
    let steps = a.bits().max(b.bits()) + 1;
    let expected = a + b;
    let float = |bit: bool| f32::from(u8::from(bit));
    let x: Vec<f32> = (0..steps).flat_map(|t| [float(a.bit(t)), float(b.bit(t))]).collect();
    let mut network = Network::new(parameters.config());
    let outputs = network.forward(parameters, &x, steps as usize, 1).to_vec();
    let mut sum = BigUint::ZERO;
    let digits = (0..steps).zip(outputs).map(|(t, output)| {
        sum.set_bit(t, output > 0.5);
        let hidden = network.hidden(t as usize, 0).to_vec();
        Digit { a: a.bit(t), b: b.bit(t), hidden, output, expected: expected.bit(t) }
    });
    let digits = digits.collect();
    Sum { sum, expected, digits }
}
