//! What becomes of an average: the parameters themselves, or a direction for a second optimizer.
//!
//! ```text
//! sgd        w ← a                                              the average itself
//! nesterov   g = w − a;  v ← μ·v + g;  w ← w − η·(g + μ·v)
//! ```
//!
//! Source: Douillard et al., *DiLoCo: Distributed Low-Communication Training of Language Models*,
//! 2023, which takes η = 0.7 and μ = 0.9.

use crate::config::OuterRule;

const RATE: f32 = 0.7;
const MOMENTUM: f32 = 0.9;

/// Nesterov's, over averages.
#[derive(Debug)]
pub(crate) struct Outer {
    /// v
    pub velocity: Vec<f32>,
    /// w, as it was before the average.
    before: Vec<f32>,
}

impl Outer {
    /// For arenas of so many values; `velocity` as it was, or empty at the beginning. None where
    /// the average itself is taken.
    pub fn new(rule: OuterRule, mut velocity: Vec<f32>, values: usize) -> Option<Self> {
        velocity.resize(values, 0.0);
        (rule == OuterRule::Nesterov).then(|| Self { velocity, before: vec![0.0; values] })
    }

    /// `parameters` are to be averaged next.
    pub fn keep(&mut self, parameters: &[f32]) {
        self.before.copy_from_slice(parameters);
    }

    /// From the average to the parameters that follow.
    pub fn step(&mut self, average: &mut [f32]) {
        let values = average.iter_mut().zip(&mut self.velocity).zip(&self.before);
        for ((value, velocity), before) in values {
            let gradient = before - *value;
            *velocity = MOMENTUM * *velocity + gradient;
            *value = before - RATE * (gradient + MOMENTUM * *velocity);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_steps_are_those_of_the_formula() {
        let mut outer = Outer::new(OuterRule::Nesterov, Vec::new(), 2).unwrap();
        outer.keep(&[1.0, -2.0]);
        let mut values = [0.5, -2.0];
        outer.step(&mut values);
        // g = 0.5, v = 0.5: 1 − 0.7·(0.5 + 0.45)
        assert!((values[0] - 0.335).abs() < 1e-6 && values[1] == -2.0, "{values:?}");
        outer.keep(&values);
        outer.step(&mut values);
        // g = 0, v = 0.45: 0.335 − 0.7·0.9·0.45
        assert!((values[0] - 0.0515).abs() < 1e-6 && values[1] == -2.0, "{values:?}");
        assert!(Outer::new(OuterRule::Sgd, Vec::new(), 2).is_none());
    }
}
