//! The second mode of the checker: the same certificates, with exact arithmetic.
//!
//! It shares the reading of JSON with the first mode, and nothing else: sets, weights and
//! activations are read and computed here anew. Every number is a whole number of a power of 2, of
//! any length; where one is shortened, or an activation enclosed, it is with a direction, outwards.
//! Floating point appears where nothing depends on its rounding: to choose a slope or a matrix
//! that any other could stand for, and to show the margin.
//!
//! It is some hundred times slower than the first mode, and has none of its slack.

mod dyadic;
mod gated;
mod machine;
mod network;
mod set;
mod sigmoid;
mod unit;

use crate::cell::Cell;
use crate::certificate::Certificate;
use crate::check::Verified;
use crate::error::Error;
use crate::machine::Machine;
use crate::work::Work;
use dyadic::{FINE, approximate};
use machine::{Key, numbers};
use network::Network;
use num_bigint::BigInt;
use set::{Region, Set};
use std::collections::{BTreeSet, HashMap};

/// From a sum that is 2⁻¹⁶ from 0 on, the f32 sigmoid is on the side of ½ where σ is; from one
/// that is so far above all others on, it is the largest of the f32 softmax.
const DECISION: i64 = 16;

/// A unit's bounds take as long as so many multiplications.
const UNIT: usize = 256;

/// No more multiplications are made than this, an hour of them or so.
const MOST: u64 = 1 << 36;

/// Checks in exact arithmetic that `certificate` (JSON) proves the network in `model`
/// (safetensors) right.
///
/// # Errors
/// If it does not, with what fails, and where.
pub fn check_exact(model: &[u8], certificate: &[u8]) -> Result<Verified, Error> {
    let bytes = model.len() + certificate.len();
    let certificate = Certificate::read(model, certificate)?;
    let (machine, cell) = (certificate.machine(), certificate.cell());
    let network = Network::read(model, cell, &machine).map_err(Error::Network)?;
    let names = numbers(&machine);
    let mut nodes = Vec::new();
    let mut by_key = HashMap::new();
    for node in &certificate.nodes {
        let bad = |reason: String| Error::Node { key: node.key.clone(), reason };
        let Key { whole, before, history, now } =
            Key::read(&machine, &names, &node.key).map_err(bad)?;
        let region = Region::read(node, network.hidden, &network.domain).map_err(bad)?;
        if by_key.insert((whole, before, history.clone()), nodes.len()).is_some() {
            return Err(bad("is there twice".to_owned()));
        }
        nodes.push(Known { name: &node.key, before, history, now, region });
    }
    let start = by_key.get(&(true, 0, Vec::new())).ok_or(Error::NoStart)?;
    if !nodes[*start].region.has_origin() {
        return Err(Error::Start);
    }
    let lengths = by_key.keys().map(|(_, _, history)| history.len()).collect();
    let steps = certificate.steps;
    let mut walk = Walk {
        machine: &machine,
        network: &network,
        nodes: &nodes,
        by_key: &by_key,
        lengths,
        steps,
        margin: None,
        cell_bound: BigInt::ZERO,
        work: Work::new(bytes, network.hidden, MOST),
    };
    let size = network.domain.len();
    for node in &nodes {
        let mut trace = Trace { states: vec![node.before], symbols: Vec::new() };
        for &symbol in &node.history {
            trace.push(&machine, symbol);
        }
        for piece in node.region.pieces() {
            let cubes = if piece.is_box() { 0 } else { 3 };
            let walked = walk.work.spend(cubes * size, size * size);
            walked
                .and_then(|()| walk.from(&piece.set(), steps, &mut trace))
                .map_err(|reason| Error::Unproved { key: node.name.to_owned(), reason })?;
        }
    }
    Ok(Verified {
        hidden: network.hidden,
        bias: network.bias,
        nodes: nodes.len(),
        pieces: nodes.iter().map(|node| node.region.pieces().len()).sum(),
        history: nodes.iter().map(|node| node.history.len()).max().unwrap_or(0),
        steps,
        boxes: certificate.nodes.iter().all(|node| node.axes.is_none()),
        margin: walk.margin.as_ref().map_or(f64::MAX, approximate),
        // up, where it was rounded to be shown
        cell_bound: (cell == Cell::Lstm).then(|| approximate(&walk.cell_bound).next_up()),
        cell,
        machine: machine.clone(),
    })
}

/// A node as this mode reads it.
struct Known<'a> {
    name: &'a str,
    before: usize,
    history: Vec<usize>,
    /// The machine's state after the history.
    now: usize,
    region: Region<'a>,
}

/// What is known of a run: the symbols, and the machine's states before and after each.
struct Trace {
    states: Vec<usize>,
    symbols: Vec<usize>,
}

impl Trace {
    fn now(&self) -> usize {
        self.states[self.symbols.len()]
    }

    /// Takes a step, and returns the right output; none where `symbol` is not legal.
    fn push(&mut self, machine: &Machine, symbol: usize) -> Option<usize> {
        let (next, output) = machine.step(self.now(), symbol)?;
        self.states.push(next);
        self.symbols.push(symbol);
        Some(output)
    }

    fn pop(&mut self) {
        self.states.pop();
        self.symbols.pop();
    }
}

/// Sets taken further, depth first.
struct Walk<'a> {
    machine: &'a Machine,
    network: &'a Network,
    nodes: &'a [Known<'a>],
    /// By whether the history is all there was, the state before it, and the history.
    by_key: &'a HashMap<(bool, usize, Vec<usize>), usize>,
    /// The lengths of histories that there are.
    lengths: BTreeSet<usize>,
    steps: usize,
    margin: Option<BigInt>,
    /// The largest |c| of an LSTM so far.
    cell_bound: BigInt,
    work: Work,
}

impl Walk<'_> {
    /// Checks all legal sequences of up to `left` symbols, one at least, from `set`.
    fn from(&mut self, set: &Set, left: usize, trace: &mut Trace) -> Result<(), String> {
        let machine = self.machine;
        let hidden = self.network.hidden;
        let gates = self.network.gates();
        self.work.spend(2 * set.generators.len() + 4, gates * hidden * hidden)?;
        let sums = self.network.sums(set);
        let activations = sums.generators() + UNIT;
        for symbol in 0..machine.symbols().len() {
            let Some(output) = trace.push(machine, symbol) else { continue };
            let (outputs, inputs) = (machine.head_outputs(), machine.width());
            self.work.spend(activations * (gates * gates + outputs) + gates * inputs, hidden)?;
            let next = self.network.activate(&sums, symbol);
            if !self.network.is_bounded(&next) {
                return Err(format!("the states may reach beyond {}", self.network.reach()));
            }
            let margin = self.network.margin(&next, output);
            if margin <= BigInt::from(1) << (FINE - DECISION) {
                let walked = self.steps - left + 1;
                let since = machine.spell(&trace.symbols[trace.symbols.len() - walked..]);
                let wrong = match machine.head_outputs() {
                    1 => "the output may be on the wrong side of ½",
                    _ => "another output may be the largest",
                };
                return Err(format!("after {since} {wrong}"));
            }
            if self.margin.as_ref().is_none_or(|least| margin < *least) {
                self.margin = Some(margin);
            }
            for (low, high) in next.low.iter().zip(&next.high).skip(hidden) {
                self.cell_bound = (-low).max(high.clone()).max(self.cell_bound.clone());
            }
            match self.arrive(&next, trace) {
                Ok(()) => {}
                Err(_) if left > 1 => self.from(&next, left - 1, trace)?,
                Err(reason) => return Err(reason),
            }
            trace.pop();
        }
        Ok(())
    }

    /// Is there a node that holds `set`? The shortest history that fits is the node's; one that
    /// begins with the run is looked up last.
    fn arrive(&mut self, set: &Set, trace: &Trace) -> Result<(), String> {
        let (machine, symbols) = (self.machine, &trace.symbols);
        let size = self.network.domain.len();
        let known = self.lengths.iter().take_while(|known| **known <= symbols.len());
        self.work.spend(1, known.clone().sum::<usize>() + symbols.len())?;
        let number = known
            .copied()
            .find_map(|known| {
                let from = symbols.len() - known;
                self.by_key.get(&(false, trace.states[from], symbols[from..].to_vec()))
            })
            .or_else(|| self.by_key.get(&(true, 0, symbols.clone())));
        let last = || machine.spell(&symbols[symbols.len().saturating_sub(self.steps)..]);
        let Some(node) = number.map(|&number| &self.nodes[number]) else {
            return Err(format!("{} leads to no node", last()));
        };
        if node.now != trace.now() {
            return Err(format!(
                "{} leads to node `{}`, of another state of the machine",
                last(),
                node.name
            ));
        }
        self.work.spend(set.generators.len() + 2, size * (1 + size * node.region.matrices()))?;
        if node.region.holds(set) {
            Ok(())
        } else {
            Err(format!("{} leads out of node `{}`", last(), node.name))
        }
    }
}
