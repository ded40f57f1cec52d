//! The check: from every node, over every legal sequence of symbols, until a node holds what
//! arrives.

use crate::abstract_state::{AbstractState, REACH};
use crate::cell::Cell;
use crate::certificate::{Certificate, Piece, Place};
use crate::error::Error;
use crate::machine::Machine;
use crate::network::Network;
use crate::work::Work;
use std::collections::{BTreeSet, HashMap};

/// On which side of ½ an output is, is decided in f32. From a sum this far from 0 on, the
/// sigmoid is more than 3.8e-6 from ½, and its error, 3 units of 2⁻²⁴, cannot reach it. Of a
/// softmax the largest is decided in f32: where all other sums are this far below one, their
/// differences from it are, rounded, not above −2⁻¹⁶, and their exponentials below 1 − 1.5e-5;
/// the error of the exponential, 1 unit of 2⁻²⁴ of each, cannot reach that, nor can the rounding
/// of the products with the common factor.
const DECISION: f64 = 1.0 / 65_536.0;

/// A unit's bounds take as long as so many multiplications.
const UNIT: usize = 256;

/// No more multiplications are made than this, some minutes of them.
const MOST: u64 = 1 << 40;

/// What was proved.
#[derive(Clone, Debug, PartialEq)]
pub struct Verified {
    /// H
    pub hidden: usize,
    /// Whether the network has biases.
    pub bias: bool,
    /// How many nodes the certificate has.
    pub nodes: usize,
    /// How many pieces their abstract states have, all together.
    pub pieces: usize,
    /// What the network does the same as.
    pub machine: Machine,
    /// The network's cell.
    pub cell: Cell,
    /// The symbols in the longest history of a node (k).
    pub history: usize,
    /// Steps from node to node, at most.
    pub steps: usize,
    /// Whether all abstract states are boxes.
    pub boxes: bool,
    /// The least distance from 0 of the sum before an output's sigmoid, on the right side, or by
    /// which the right one of the sums before a softmax is above all others.
    pub margin: f64,
    /// Of an LSTM: no |c| in any run is larger.
    pub cell_bound: Option<f64>,
}

impl Verified {
    /// What was proved, in a sentence.
    pub fn statement(&self) -> String {
        let with_or_without = if self.bias { "with" } else { "without" };
        let hidden = self.hidden;
        if self.machine.is_addition() && self.cell == Cell::Sigmoid {
            return format!(
                "Proved: this network of {hidden} hidden units {with_or_without} biases, run digit \
                 by digit in f32, adds any two whole numbers of any length, every binary digit \
                 right."
            );
        }
        let mut network = format!("this {} {with_or_without} biases", self.cell.network(hidden));
        if let Some(bound) = self.cell_bound {
            let bound = (100.0 * bound).ceil() / 100.0;
            network += &format!(", whose cell states stay between −{bound:.2} and {bound:.2}");
        }
        if self.machine.is_addition() {
            return format!(
                "Proved: {network}, run digit by digit in f32, adds any two whole numbers of any \
                 length, every binary digit right."
            );
        }
        let count = |count: usize, name: &str| match count {
            1 => format!("1 {name}"),
            _ => format!("{count} {name}s"),
        };
        format!(
            "Proved: {network}, run symbol by symbol in f32, gives the output of the machine \
             {:?} ({}, {}, {}) after every symbol of every {} of any length.",
            self.machine.name(),
            count(self.machine.states().len(), "state"),
            count(self.machine.symbols().len(), "symbol"),
            count(self.machine.outputs().len(), "output"),
            if self.machine.is_complete() { "input" } else { "legal input" }
        )
    }
}

/// Checks that `certificate` (JSON) proves the network in `model` (safetensors) right.
///
/// # Errors
/// If it does not, with what fails, and where.
pub fn check(model: &[u8], certificate: &[u8]) -> Result<Verified, Error> {
    let bytes = model.len() + certificate.len();
    let certificate = Certificate::read(model, certificate)?;
    let machine = certificate.machine();
    let network = Network::read(model, certificate.cell(), &machine)?;
    let places = certificate.places(network.hidden(), &machine)?;
    let start = places.get("start").ok_or(Error::NoStart)?;
    let origin = |piece: &Piece| {
        piece.slopes.is_none()
            && piece.low.iter().all(|&low| low <= 0.0)
            && piece.high.iter().all(|&high| high >= 0.0)
    };
    if start.node.axes.is_some() || !start.node.pieces.iter().any(origin) {
        return Err(Error::Start);
    }
    let steps = certificate.steps;
    let mut walk = Walk {
        network: &network,
        machine: &machine,
        places: &places,
        lengths: places.values().map(|place| place.symbols.len()).collect(),
        steps,
        margin: f64::MAX,
        cell_bound: 0.0,
        work: Work::new(bytes, network.hidden(), MOST),
    };
    let size = network.state_size();
    for node in &certificate.nodes {
        let place = &places[&*node.key];
        let states = &mut place.states.clone();
        let symbols = &mut place.symbols.clone();
        for piece in &node.pieces {
            let cubes = if node.axes.is_none() && piece.slopes.is_none() { 0 } else { 2 };
            walk.work
                .spend(cubes * size, size * size)
                .map_err(|reason| Error::Unproved { key: node.key.clone(), reason })?;
            let state = place.state(piece);
            if !state.is_bounded() {
                let reason = format!("has an abstract state that reaches beyond {REACH}");
                return Err(Error::Node { key: node.key.clone(), reason });
            }
            walk.from(&state, steps, states, symbols)
                .map_err(|reason| Error::Unproved { key: node.key.clone(), reason })?;
        }
    }
    Ok(Verified {
        hidden: network.hidden(),
        bias: network.bias(),
        nodes: certificate.nodes.len(),
        pieces: certificate.nodes.iter().map(|node| node.pieces.len()).sum(),
        history: places.values().map(|place| place.symbols.len()).max().unwrap_or(0),
        steps,
        boxes: certificate.nodes.iter().all(|node| node.axes.is_none()),
        margin: walk.margin,
        cell_bound: (certificate.cell() == Cell::Lstm).then_some(walk.cell_bound),
        cell: certificate.cell(),
        machine,
    })
}

/// Abstract states taken further, depth first.
struct Walk<'a> {
    network: &'a Network,
    machine: &'a Machine,
    places: &'a HashMap<&'a str, Place<'a>>,
    /// The lengths of histories that there are; no other is looked up.
    lengths: BTreeSet<usize>,
    steps: usize,
    margin: f64,
    /// The largest |c| of an LSTM so far.
    cell_bound: f64,
    work: Work,
}

impl Walk<'_> {
    /// Checks all legal sequences of up to `left` symbols, one at least, from `state`, whose
    /// history is `states` (of the machine) and `symbols`.
    fn from(
        &mut self,
        state: &AbstractState,
        left: usize,
        states: &mut Vec<usize>,
        symbols: &mut Vec<usize>,
    ) -> Result<(), String> {
        self.work.spend(2 * state.generators.len() + 4, self.network.work())?;
        let sums = self.network.sums(state);
        let (outputs, inputs) = (self.machine.head_outputs(), self.machine.width());
        let (hidden, gates) = (self.network.hidden(), self.network.cell.gates());
        let activations = (sums.generators() + UNIT) * (gates * gates + outputs) + gates * inputs;
        for symbol in 0..self.machine.symbols().len() {
            let before = states[states.len() - 1];
            let Some((after, output)) = self.machine.step(before, symbol) else { continue };
            self.work.spend(activations, hidden)?;
            let next = self.network.activate(&sums, symbol);
            if !self.network.is_bounded(&next) {
                return Err(format!("the states may reach beyond {}", self.network.reach()));
            }
            let margin = self.network.margin(&next, output);
            states.push(after);
            symbols.push(symbol);
            // NaN is not above it either.
            if !matches!(margin.partial_cmp(&DECISION), Some(std::cmp::Ordering::Greater)) {
                let since = self.machine.spell(&symbols[symbols.len() - (self.steps - left + 1)..]);
                let wrong = match self.machine.head_outputs() {
                    1 => "the output may be on the wrong side of ½",
                    _ => "another output may be the largest",
                };
                return Err(format!("after {since} {wrong}"));
            }
            self.margin = self.margin.min(margin);
            for (low, high) in next.low.iter().zip(&next.high).skip(self.network.hidden()) {
                self.cell_bound = self.cell_bound.max(-low).max(*high);
            }
            match self.arrive(&next, states, symbols) {
                Ok(()) => {}
                Err(_) if left > 1 => self.from(&next, left - 1, states, symbols)?,
                Err(reason) => return Err(reason),
            }
            states.pop();
            symbols.pop();
        }
        Ok(())
    }

    /// Is there a node that holds `state`? By the machine's state and the last symbols it is
    /// looked up, for the shortest history first; `start` knows all symbols.
    fn arrive(
        &mut self,
        state: &AbstractState,
        states: &[usize],
        symbols: &[usize],
    ) -> Result<(), String> {
        let spell = |symbols: &[usize]| self.machine.spell(symbols);
        let lengths = self.lengths.iter().take_while(|known| **known <= symbols.len());
        self.work.spend(1, lengths.clone().sum::<usize>() + symbols.len())?;
        let mut keys = lengths.map(|&known| {
            let first = states[symbols.len() - known];
            let last = &symbols[symbols.len() - known..];
            format!("{first}{}{}", if known == 0 { "" } else { " " }, spell(last))
        });
        let whole = format!("start {}", spell(symbols));
        let place =
            keys.find_map(|key| self.places.get(&*key)).or_else(|| self.places.get(&*whole));
        let last = || spell(&symbols[symbols.len().saturating_sub(self.steps)..]);
        let Some(place) = place else { return Err(format!("{} leads to no node", last())) };
        if place.states.last() != states.last() {
            return Err(format!(
                "{} leads to node `{}`, of another state of the machine",
                last(),
                place.node.key
            ));
        }
        let size = self.network.state_size();
        self.work.spend(state.generators.len() + 2, size * (1 + size * place.matrices()))?;
        if place.holds(state) {
            Ok(())
        } else {
            Err(format!("{} leads out of node `{}`", last(), place.node.key))
        }
    }
}
