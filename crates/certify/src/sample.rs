//! Hidden states sampled from runs over random sequences of pairs.

use crate::network::Net;
use crate::pairs::{add, draw, mix};
use rand::{Rng, RngExt};

/// Sampled states, by their carry.
pub(crate) struct Sample {
    pub states: [Vec<Vec<f64>>; 2],
}

impl Sample {
    /// `count` states of each carry, and the state at the start.
    pub fn new(net: &Net, count: usize, generator: &mut impl Rng) -> Self {
        let mut states = [Vec::new(), vec![]];
        let mut next = vec![0.0; net.hidden];
        while states.iter().any(|states| states.len() < count) {
            let mut shares = mix(generator);
            let (mut state, mut carry) = (vec![0.0; net.hidden], false);
            let keep = generator.random_range(0..40);
            for t in 0..60 {
                if generator.random_range(0..20) == 0 {
                    shares = mix(generator);
                }
                let pair = draw(&shares, generator);
                net.step(&state, pair, &mut next);
                std::mem::swap(&mut state, &mut next);
                carry = add(pair, carry).1;
                if (t == keep || t == 59) && states[usize::from(carry)].len() < count {
                    states[usize::from(carry)].push(state.clone());
                }
            }
        }
        states[0].push(vec![0.0; net.hidden]);
        Self { states }
    }

    /// The states after `pairs` from each that has the carry `before`.
    pub fn after(&self, net: &Net, before: bool, pairs: &[u8]) -> Vec<Vec<f64>> {
        let mut next = vec![0.0; net.hidden];
        let follow = |state: &Vec<f64>| {
            let mut state = state.clone();
            for &pair in pairs {
                net.step(&state, pair, &mut next);
                std::mem::swap(&mut state, &mut next);
            }
            state
        };
        self.states[usize::from(before)].iter().map(follow).collect()
    }
}
