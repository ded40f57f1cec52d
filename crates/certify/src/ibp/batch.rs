//! Sequences to train on.

use crate::pairs::{add, draw, mix};
use rand::Rng;

/// Sequences of pairs of digits and the digits of their sums.
#[derive(Clone, Debug)]
pub struct Batch {
    /// T
    pub steps: usize,
    /// B
    pub batch: usize,
    /// `[T, B, 2]`, each 0 or 1.
    pub inputs: Vec<f32>,
    /// `[T, B]`, each 0 or 1.
    pub targets: Vec<f32>,
}

impl Batch {
    /// Sequences of zeros.
    pub fn zeros(steps: usize, batch: usize) -> Self {
        let rows = steps * batch;
        Self { steps, batch, inputs: vec![0.0; rows * 2], targets: vec![0.0; rows] }
    }

    /// New sequences, each with a mix of pairs of its own, so that long carries occur.
    pub fn draw(&mut self, generator: &mut impl Rng) {
        for n in 0..self.batch {
            let mix = mix(generator);
            let mut carry = false;
            for t in 0..self.steps {
                let pair = draw(&mix, generator);
                let (digit, next) = add(pair, carry);
                carry = next;
                let row = t * self.batch + n;
                self.inputs[row * 2] = f32::from(pair >> 1);
                self.inputs[row * 2 + 1] = f32::from(pair & 1);
                self.targets[row] = f32::from(u8::from(digit));
            }
        }
    }
}
