//! The check: from every node, over every sequence of pairs, until a node holds what arrives.

use crate::abstract_state::{AbstractState, REACH};
use crate::addition::{add, spell};
use crate::certificate::{Certificate, Piece, Place};
use crate::error::Error;
use crate::network::Network;
use std::collections::HashMap;

/// On which side of ½ an output is, is decided in f32. From a sum this far from 0 on, the
/// sigmoid is more than 3.8e-6 from ½, and its error, 3 units of 2⁻²⁴, cannot reach it.
const DECISION: f64 = 1.0 / 65_536.0;

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
    /// The pairs of digits in the longest history of a node (k).
    pub history: usize,
    /// Steps from node to node, at most.
    pub steps: usize,
    /// Whether all abstract states are boxes.
    pub boxes: bool,
    /// The least distance from 0 of the sum before an output's sigmoid, on the right side.
    pub margin: f64,
}

impl Verified {
    /// What was proved, in a sentence.
    pub fn statement(&self) -> String {
        format!(
            "Proved: this network of {} hidden units {} biases, run digit by digit in f32, adds any \
             two whole numbers of any length, every binary digit right.",
            self.hidden,
            if self.bias { "with" } else { "without" }
        )
    }
}

/// Checks that `certificate` (JSON) proves the network in `model` (safetensors) right.
///
/// # Errors
/// If it does not, with what fails, and where.
pub fn check(model: &[u8], certificate: &[u8]) -> Result<Verified, Error> {
    let certificate = Certificate::read(model, certificate)?;
    let network = Network::read(model)?;
    let places = certificate.places(network.hidden())?;
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
    let mut walk = Walk { network: &network, places: &places, steps, margin: f64::MAX };
    for node in &certificate.nodes {
        let place = &places[&*node.key];
        for piece in &node.pieces {
            let state = place.state(piece);
            if !state.is_bounded() {
                let reason = format!("has an abstract state that reaches beyond {REACH}");
                return Err(Error::Node { key: node.key.clone(), reason });
            }
            let carries = &mut place.carries.clone();
            let pairs = &mut place.pairs.clone();
            walk.from(&state, steps, carries, pairs)
                .map_err(|reason| Error::Unproved { key: node.key.clone(), reason })?;
        }
    }
    Ok(Verified {
        hidden: network.hidden(),
        bias: network.bias(),
        nodes: certificate.nodes.len(),
        pieces: certificate.nodes.iter().map(|node| node.pieces.len()).sum(),
        history: places.values().map(|place| place.pairs.len()).max().unwrap_or(0),
        steps,
        boxes: certificate.nodes.iter().all(|node| node.axes.is_none()),
        margin: walk.margin,
    })
}

/// Abstract states taken further, depth first.
struct Walk<'a> {
    network: &'a Network,
    places: &'a HashMap<&'a str, Place<'a>>,
    steps: usize,
    margin: f64,
}

impl Walk<'_> {
    /// Checks all sequences of up to `left` pairs, one at least, from `state`, whose history is
    /// `carries` and `pairs`.
    fn from(
        &mut self,
        state: &AbstractState,
        left: usize,
        carries: &mut Vec<bool>,
        pairs: &mut Vec<usize>,
    ) -> Result<(), String> {
        let sums = self.network.sums(state);
        for pair in 0..4 {
            let (digit, carry) = add(pair, carries[carries.len() - 1]);
            let next = self.network.activate(&sums, pair);
            if !next.is_bounded() {
                return Err(format!("the states may reach beyond {REACH}"));
            }
            let (least, most) = self.network.output(&next);
            let margin = if digit { least } else { -most };
            carries.push(carry);
            pairs.push(pair);
            // NaN is not above it either.
            if !matches!(margin.partial_cmp(&DECISION), Some(std::cmp::Ordering::Greater)) {
                let since = spell(&pairs[pairs.len() - (self.steps - left + 1)..]);
                return Err(format!("after {since} the output may be on the wrong side of ½"));
            }
            self.margin = self.margin.min(margin);
            match self.arrive(&next, carries, pairs) {
                Ok(()) => {}
                Err(_) if left > 1 => self.from(&next, left - 1, carries, pairs)?,
                Err(reason) => return Err(reason),
            }
            carries.pop();
            pairs.pop();
        }
        Ok(())
    }

    /// Is there a node that holds `state`? By the true carry and the last pairs it is looked
    /// up, for the shortest history first; `start` knows all pairs.
    fn arrive(
        &self,
        state: &AbstractState,
        carries: &[bool],
        pairs: &[usize],
    ) -> Result<(), String> {
        let mut keys = (0..=pairs.len()).map(|known| {
            let carry = if carries[pairs.len() - known] { "1" } else { "0" };
            let last = &pairs[pairs.len() - known..];
            format!("{carry}{}{}", if known == 0 { "" } else { " " }, spell(last))
        });
        let whole = format!("start {}", spell(pairs));
        let place =
            keys.find_map(|key| self.places.get(&*key)).or_else(|| self.places.get(&*whole));
        let last = || spell(&pairs[pairs.len().saturating_sub(self.steps)..]);
        match place {
            Some(place) if place.carries.last() != carries.last() => {
                Err(format!("{} leads to node `{}`, of the other carry", last(), place.node.key))
            }
            Some(place) if place.holds(state) => Ok(()),
            Some(place) => Err(format!("{} leads out of node `{}`", last(), place.node.key)),
            None => Err(format!("{} leads to no node", last())),
        }
    }
}
