//! A trained network at work: adding two integers of any length, digit by digit.
//!
//! [`add`] keeps what the network held at each digit; [`sum`] keeps the digits of the sum alone,
//! and so adds millions.

use model::{Network, Parameters, Sequences, Stream};
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

/// The sum that the network spells for `a` and `b`, over one step more than the longer has digits:
/// that of [`add`], but for rounding, as the sums of a stream run in another order.
///
/// # Errors
/// If the numbers are too long for a network that runs backward, too, and has to see all of them at
/// once; or if a weight is not finite.
///
/// # Panics
/// If `parameters` are not of a network with two inputs and one output.
pub fn sum(parameters: &Parameters, a: &BigUint, b: &BigUint) -> Result<BigUint, model::Error> {
    sum_watched(parameters, a, b, |_| ())
}

/// [`sum`]; `watch` is called with each output, that of the lowest digit first.
///
/// # Errors
/// As [`sum`].
///
/// # Panics
/// As [`sum`].
pub fn sum_watched(
    parameters: &Parameters,
    a: &BigUint,
    b: &BigUint,
    mut watch: impl FnMut(f32),
) -> Result<BigUint, model::Error> {
    let steps = (a.bits().max(b.bits()) + 1) as usize;
    let pairs = bits(a).zip(bits(b)).take(steps).map(|(a, b)| [a, b].map(f32::from));
    let mut sum = vec![0_u32; steps.div_ceil(32)];
    let mut set = |t: usize, output: f32| {
        watch(output);
        sum[t / 32] |= u32::from(output > 0.5) << (t % 32);
    };
    let config = parameters.config();
    if config.directions() > 1 {
        let x: Vec<f32> = pairs.flatten().collect();
        let sequences = Sequences::new(config, &x, steps, 1)?;
        let mut network = Network::new(config);
        let outputs = network.infer(parameters, &sequences);
        outputs.iter().enumerate().for_each(|(t, &output)| set(t, output));
    } else {
        let mut stream = Stream::new(parameters.clone())?;
        for (t, x) in pairs.enumerate() {
            let mut y = [0.0];
            stream.step(&x, &mut y)?;
            set(t, y[0]);
        }
    }
    Ok(BigUint::new(sum))
}

/// The binary digits of a number, lowest first, and zeros behind them.
fn bits(number: &BigUint) -> impl Iterator<Item = u8> {
    let words = number.iter_u64_digits().chain(std::iter::repeat(0));
    words.flat_map(|word| (0..64).map(move |n| (word >> n & 1) as u8))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RunConfig;
    use crate::strategy::Serial;
    use crate::task::Addition;

    fn network(bidirectional: bool) -> Parameters {
        let mut config: RunConfig<Addition> = Addition::lab();
        config.network.bidirectional = bidirectional;
        let mut serial = Serial::new(&config).unwrap();
        serial.train(3_000);
        serial.parameters().clone()
    }

    #[test]
    fn the_sum_alone_is_that_of_the_digits() {
        for bidirectional in [false, true] {
            let parameters = network(bidirectional);
            let number = |text: &str| text.parse::<BigUint>().unwrap();
            let large = BigUint::from(7_u32).pow(500);
            for (a, b) in [
                (BigUint::ZERO, BigUint::ZERO),
                (number("53"), number("74")),
                (number("18446744073709551615"), number("1")),
                (BigUint::from(1_u32) << 64, number("18446744073709551615")),
                (large.clone(), number("3")),
                (large.clone(), large.clone() * 5_u32),
            ] {
                let digits = add(&parameters, &a, &b);
                // A digit near 1/2 may fall to either side by rounding: none does here.
                assert_eq!(sum(&parameters, &a, &b).unwrap(), digits.sum, "{a} {b}");
            }
        }
    }

    #[test]
    fn the_bits_of_a_number_are_followed_by_zeros() {
        let number = (BigUint::from(1_u32) << 70) + 5_u32;
        let found: Vec<u8> = bits(&number).take(200).collect();
        let expected: Vec<u8> = (0..200).map(|t| u8::from(number.bit(t))).collect();
        assert_eq!(found, expected);
    }
}
