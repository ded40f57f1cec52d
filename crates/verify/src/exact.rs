//! The second mode of the checker: the same certificates, with exact arithmetic.
//!
//! It shares the reading of JSON with the first mode, and nothing else: sets, weights and the
//! sigmoid are read and computed here anew. Every number is a whole number of a power of 2, of
//! any length; where one is shortened, or a sigmoid enclosed, it is with a direction, outwards.
//! Floating point appears where nothing depends on its rounding: to choose a slope or a matrix
//! that any other could stand for, and to show the margin.
//!
//! It is some hundred times slower than the first mode, and has none of its slack.

mod dyadic;
mod machine;
mod network;
mod set;
mod sigmoid;

use crate::cell::Cell;
use crate::certificate::Certificate;
use crate::check::Verified;
use crate::error::Error;
use crate::machine::Machine;
use crate::work::Work;
use dyadic::{FINE, approximate};
use machine::Key;
use network::Network;
use num_bigint::BigInt;
use set::{Region, Set};
use std::collections::{BTreeSet, HashMap};

/// From a sum that is 2⁻¹⁶ from 0 on, the f32 sigmoid is on the side of ½ where σ is; from one
/// that is so far above all others on, it is the largest of the f32 softmax.
const DECISION: i64 = 16;

/// Checks in exact arithmetic that `certificate` (JSON) proves the network in `model`
/// (safetensors) right.
///
/// # Errors
/// If it does not, with what fails, and where.
pub fn check_exact(model: &[u8], certificate: &[u8]) -> Result<Verified, Error> {
    let work = Work::new(model, certificate);
    let certificate = Certificate::read(model, certificate)?;
    let (machine, cell) = (certificate.machine(), certificate.cell());
    if cell != Cell::Sigmoid {
        let reason = format!("of {} units is not checked in exact arithmetic", cell.units());
        return Err(Error::Network(reason));
    }
    let network = Network::read(model, &machine).map_err(Error::Network)?;
    let mut nodes = Vec::new();
    let mut by_key = HashMap::new();
    for node in &certificate.nodes {
        let bad = |reason: String| Error::Node { key: node.key.clone(), reason };
        let Key { whole, before, history, now } = Key::read(&machine, &node.key).map_err(bad)?;
        let region = Region::read(node, network.hidden).map_err(bad)?;
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
        work,
    };
    for node in &nodes {
        for piece in node.region.pieces() {
            let mut trace = Trace { states: vec![node.before], symbols: Vec::new() };
            for &symbol in &node.history {
                trace.push(&machine, symbol);
            }
            walk.from(&piece.set(), steps, &mut trace)
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
        cell_bound: None,
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
    region: Region,
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
    work: Work,
}

impl Walk<'_> {
    /// Checks all legal sequences of up to `left` symbols, one at least, from `set`.
    fn from(&mut self, set: &Set, left: usize, trace: &mut Trace) -> Result<(), String> {
        let machine = self.machine;
        let hidden = self.network.hidden;
        self.work.spend(set.generators.len() + 2 * hidden, hidden * hidden)?;
        let sums = self.network.sums(set);
        for symbol in 0..machine.symbols().len() {
            let Some(output) = trace.push(machine, symbol) else { continue };
            let next = self.network.activate(&sums, symbol);
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
            self.work.spend(next.generators.len() + hidden, hidden * hidden)?;
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
    fn arrive(&self, set: &Set, trace: &Trace) -> Result<(), String> {
        let (machine, symbols) = (self.machine, &trace.symbols);
        let number = self
            .lengths
            .iter()
            .take_while(|known| **known <= symbols.len())
            .find_map(|&known| {
                let from = symbols.len() - known;
                self.by_key.get(&(false, trace.states[from], symbols[from..].to_vec()))
            })
            .or_else(|| self.by_key.get(&(true, 0, symbols.clone())));
        let last = || machine.spell(&symbols[symbols.len().saturating_sub(self.steps)..]);
        match number.map(|&number| &self.nodes[number]) {
            Some(node) if node.now != trace.now() => Err(format!(
                "{} leads to node `{}`, of another state of the machine",
                last(),
                node.name
            )),
            Some(node) if node.region.holds(set) => Ok(()),
            Some(node) => Err(format!("{} leads out of node `{}`", last(), node.name)),
            None => Err(format!("{} leads to no node", last())),
        }
    }
}
