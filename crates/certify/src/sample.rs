//! Hidden states sampled from runs over random words.

use crate::machine::Transitions;
use crate::network::Net;
use rand::{Rng, RngExt};

/// Sampled states, by the state of the machine.
pub(crate) struct Sample {
    pub states: Vec<Vec<Vec<f64>>>,
}

impl Sample {
    /// `count` hidden states of each state of the machine, and the one at the start.
    pub fn new(net: &Net, machine: &Transitions, count: usize, generator: &mut impl Rng) -> Self {
        let mut states = vec![Vec::new(); machine.states];
        let mut next = vec![0.0; net.hidden];
        // Some states are seldom reached, or a few times only in all words.
        let mut left = 8 * count * machine.states;
        while states.iter().any(|states| states.len() < count) && left > 0 {
            left -= 1;
            let mut shares = machine.mix(generator);
            let (mut hidden, mut state) = (vec![0.0; net.hidden], 0);
            let keep = generator.random_range(0..40);
            for t in 0..60 {
                if generator.random_range(0..20) == 0 {
                    shares = machine.mix(generator);
                }
                let Some(symbol) = machine.draw(state, &shares, generator) else { break };
                net.step(&hidden, symbol, &mut next);
                std::mem::swap(&mut hidden, &mut next);
                state = machine.step(state, symbol).expect("a legal symbol was drawn").0;
                if (t == keep || t == 59) && states[state].len() < count {
                    states[state].push(hidden.clone());
                }
            }
        }
        for state in machine.reachable() {
            while states[state].len() < count {
                let length = generator.random_range(0..40);
                let word = machine.random_word_to(state, length, generator);
                states[state].push(net.follow(&vec![0.0; net.hidden], &word));
            }
        }
        states[0].push(vec![0.0; net.hidden]);
        Self { states }
    }

    /// The hidden states after `word` from each that belongs to the state `before`.
    pub fn after(&self, net: &Net, before: usize, word: &[u8]) -> Vec<Vec<f64>> {
        self.states[before].iter().map(|state| net.follow(state, word)).collect()
    }
}
