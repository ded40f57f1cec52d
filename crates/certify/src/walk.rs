//! The propagation of abstract states, step by step, depth first.

use crate::abstract_state::{AbstractState, Sums};
use crate::leaf::{Leaf, Segment};
use crate::machine::Transitions;
use crate::network::Net;

/// A propagation over all legal words of up to `steps` symbols, in place.
pub(crate) struct Walk<'a> {
    pub net: &'a Net,
    pub machine: &'a Transitions,
    pub steps: usize,
    /// `[steps + 1]`
    states: Vec<AbstractState>,
    /// `[steps + 1]`
    sums: Vec<Sums>,
    /// The history of the leaf, and the symbols since.
    word: Vec<u8>,
    /// Abstract states that may still be propagated a step.
    pub budget: &'a mut u64,
}

impl<'a> Walk<'a> {
    pub fn new(net: &'a Net, machine: &'a Transitions, steps: usize, budget: &'a mut u64) -> Self {
        let h = net.hidden;
        let states = vec![AbstractState::new(h, steps); steps + 1];
        let sums = vec![Sums::new(net.rows(), h, steps); steps + 1];
        Self { net, machine, steps, states, sums, word: Vec::new(), budget }
    }

    /// Propagates a segment of a leaf over all legal words of `steps` symbols, each until `arrived`
    /// (of the state, the symbols and the depth) says that it need go no further.
    ///
    /// # Errors
    /// The symbols up to the first output whose margin is not above `least`, or up to where the
    /// budget ended.
    pub fn propagate(
        &mut self,
        leaf: &Leaf,
        segment: &Segment,
        least: f64,
        arrived: &mut impl FnMut(&AbstractState, &[u8], usize) -> bool,
    ) -> Result<(), Vec<u8>> {
        leaf.write_state(segment, self.net.domain, &mut self.states[0]);
        self.word.clone_from(&leaf.word);
        self.step(0, leaf.after, leaf.axes_error, least, arrived)
    }

    fn step(
        &mut self,
        depth: usize,
        state: usize,
        error: f64,
        least: f64,
        arrived: &mut impl FnMut(&AbstractState, &[u8], usize) -> bool,
    ) -> Result<(), Vec<u8>> {
        if depth > 0 && arrived(&self.states[depth], &self.word, depth) || depth == self.steps {
            return Ok(());
        }
        let Some(left) = self.budget.checked_sub(1) else { return Err(self.word.clone()) };
        *self.budget = left;
        self.net.sums(&self.states[depth], error, &mut self.sums[depth]);
        for symbol in self.machine.all() {
            let Some((next, output)) = self.machine.step(state, symbol) else { continue };
            self.net.activate(&self.sums[depth], symbol, &mut self.states[depth + 1]);
            self.word.push(symbol);
            if self.net.margin(&self.states[depth + 1], output) <= least {
                return Err(self.word.clone());
            }
            self.step(depth + 1, next, 0.0, least, arrived)?;
            self.word.pop();
        }
        Ok(())
    }

    /// The linearisation error of the next step from a leaf, for its worst segment and the
    /// worst symbol.
    pub fn linearisation_error(&mut self, leaf: &Leaf) -> f64 {
        let mut most = 0.0_f64;
        for segment in leaf.segments.values() {
            leaf.write_state(segment, self.net.domain, &mut self.states[0]);
            self.net.sums(&self.states[0], leaf.axes_error, &mut self.sums[0]);
            most = most.max(self.net.linearisation_error(&self.sums[0]));
        }
        most
    }
}
