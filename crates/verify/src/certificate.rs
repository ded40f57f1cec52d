//! A certificate as it is read: nodes, and the abstract states that they stand for.
//!
//! A node's abstract state is the union of its pieces. It holds another one if the intervals
//! `[low₀, high₀]` of the pieces that this meets cover the range of its a₀·h without a gap,
//! and each of these pieces holds all of it along the other rows.

use crate::abstract_state::{AbstractState, REACH, SLACK};
use crate::cell::Cell;
use crate::error::Error;
use crate::machine::Machine;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// The format of the certificates that are checked …
pub const FORMAT: &str = "carry-certificate-4";
/// … and the one before it, of sigmoid units and addition alone, which holds neither a cell nor a
/// machine.
const ADDITION_FORMAT: &str = "carry-certificate-3";
/// With so many steps there are fewer than the 2·10⁵ generators of [`SLACK`].
const MOST_STEPS: usize = 12;
/// So many sequences are taken from a piece at most: symbols^steps.
pub const MOST_SEQUENCES: usize = 1 << 24;

/// The file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Certificate {
    format: String,
    /// The digest of the network's file.
    model: String,
    cell: Option<Cell>,
    machine: Option<Machine>,
    /// The most steps from node to node.
    pub steps: usize,
    /// The digest of the steps and nodes; see [`Certificate::digest`].
    #[serde(rename = "seal")]
    digest: String,
    pub nodes: Vec<Node>,
}

/// A history and an abstract state.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Node {
    /// `start`, or the machine's state before the history, then its symbols, oldest first.
    pub key: String,
    /// A, by rows; a box without.
    pub axes: Option<Vec<Vec<f64>>>,
    /// In the order of `low[0]`.
    #[serde(rename = "cells")]
    pub pieces: Vec<Piece>,
}

/// A part of a node's abstract state, convex.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Piece {
    pub low: Vec<f64>,
    pub high: Vec<f64>,
    /// s; 0 without.
    pub slopes: Option<Vec<f64>>,
}

impl Certificate {
    /// Reads a certificate for the network in the file `model`.
    pub(crate) fn read(model: &[u8], json: &[u8]) -> Result<Self, Error> {
        let new: Self = serde_json::from_slice(json).map_err(Error::NotACertificate)?;
        let parts = (&new.cell, &new.machine);
        match (&*new.format, parts) {
            (FORMAT, (Some(_), Some(_))) | (ADDITION_FORMAT, (None, None)) => {}
            (FORMAT | ADDITION_FORMAT, _) => return Err(Error::Parts { format: new.format }),
            _ => return Err(Error::Format { found: new.format, expected: FORMAT }),
        }
        let found = hexadecimal(&Sha256::digest(model));
        if new.model != found {
            return Err(Error::OtherNetwork { named: new.model, found });
        }
        if !(1..=MOST_STEPS).contains(&new.steps) {
            return Err(Error::Steps { found: new.steps, most: MOST_STEPS });
        }
        let symbols = new.machine().symbols().len();
        if symbols.checked_pow(new.steps as u32).is_none_or(|count| count > MOST_SEQUENCES) {
            return Err(Error::Sequences { steps: new.steps, symbols, most: MOST_SEQUENCES });
        }
        let found = new.digest();
        if new.digest != found {
            return Err(Error::Changed { named: new.digest, found });
        }
        Ok(new)
    }

    /// What the network is compared with.
    pub(crate) fn machine(&self) -> Machine {
        self.machine.clone().unwrap_or_else(Machine::addition)
    }

    /// The network's cell.
    pub(crate) fn cell(&self) -> Cell {
        self.cell.unwrap_or(Cell::Sigmoid)
    }

    /// What tells a file that was changed from one that is wrong: SHA-256 over the cell and the
    /// machine, the steps, and every node's key, axes and pieces, each list with its length before
    /// it, all numbers as their 64 bits, little-endian.
    fn digest(&self) -> String {
        let mut hash = Sha256::new();
        let list = |hash: &mut Sha256, values: &[f64]| {
            hash.update((values.len() as u64).to_le_bytes());
            values.iter().for_each(|value| hash.update(value.to_le_bytes()));
        };
        if let (Some(cell), Some(machine)) = (&self.cell, &self.machine) {
            hash.update((cell.name().len() as u64).to_le_bytes());
            hash.update(cell.name());
            hash.update(machine.bytes());
        }
        hash.update((self.steps as u64).to_le_bytes());
        for node in &self.nodes {
            hash.update((node.key.len() as u64).to_le_bytes());
            hash.update(&node.key);
            let rows = node.axes.as_deref().unwrap_or(&[]);
            hash.update((rows.len() as u64).to_le_bytes());
            rows.iter().for_each(|row| list(&mut hash, row));
            hash.update((node.pieces.len() as u64).to_le_bytes());
            for piece in &node.pieces {
                list(&mut hash, &piece.low);
                list(&mut hash, &piece.high);
                list(&mut hash, piece.slopes.as_deref().unwrap_or(&[]));
            }
        }
        hexadecimal(&hash.finalize())
    }

    /// The nodes by their keys, each fit for a network of `hidden` (H) units.
    pub(crate) fn places(
        &self,
        hidden: usize,
        machine: &Machine,
    ) -> Result<HashMap<&str, Place<'_>>, Error> {
        let symbols: HashMap<&str, usize> =
            machine.names.iter().enumerate().map(|(n, name)| (&**name, n)).collect();
        let mut places = HashMap::new();
        for node in &self.nodes {
            let bad = |reason: String| Error::Node { key: node.key.clone(), reason };
            let place = Place::read(node, hidden, self.cell(), machine, &symbols).map_err(bad)?;
            if places.insert(&*node.key, place).is_some() {
                return Err(bad("is there twice".to_owned()));
            }
        }
        Ok(places)
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A node with its key spelled out: `states[n]` is the machine's state before `symbols[n]`, the
/// last one its state now.
pub(crate) struct Place<'a> {
    pub node: &'a Node,
    pub states: Vec<usize>,
    pub symbols: Vec<usize>,
    /// `[N]`, of each number of a state the least and the largest that there is.
    domain: Vec<(f64, f64)>,
}

impl<'a> Place<'a> {
    /// Reads the key of `node`, and refuses bounds that make no set.
    fn read(
        node: &'a Node,
        hidden: usize,
        cell: Cell,
        machine: &Machine,
        names: &HashMap<&str, usize>,
    ) -> Result<Self, String> {
        let mut words = node.key.split(' ');
        let first = match words.next() {
            Some("start") => Some(0),
            // as it is looked up: 01 is no other way to say 1
            Some(word) => word.parse().ok().filter(|state: &usize| state.to_string() == word),
            None => None,
        };
        let states = machine.next.len();
        let Some(mut state) = first.filter(|&state| state < states) else {
            let last = states - 1;
            return Err(format!("has a key that does not begin with start, or 0 to {last}"));
        };
        let (mut states, mut symbols) = (vec![state], Vec::new());
        for word in words {
            let Some(&symbol) = names.get(word) else {
                return Err(format!("has a key with {word:?}, which is no symbol"));
            };
            let Some(next) = machine.next[state][symbol] else {
                return Err(format!("has a key with {word:?} where that is not legal"));
            };
            state = next;
            states.push(state);
            symbols.push(symbol);
        }
        let size = cell.state_size(hidden);
        let square =
            |axes: &Vec<Vec<f64>>| axes.len() == size && axes.iter().all(|row| row.len() == size);
        let fits = |piece: &Piece| {
            [Some(&piece.low), Some(&piece.high), piece.slopes.as_ref()]
                .into_iter()
                .flatten()
                .all(|values| values.len() == size)
        };
        if !node.pieces.iter().all(fits) || !node.axes.as_ref().is_none_or(square) {
            return Err(format!("is not of a network of {hidden} hidden units"));
        }
        let bounded = |value: &f64| value.abs() <= REACH;
        let is_set = |piece: &Piece| {
            let values = piece.low.iter().chain(&piece.high).chain(piece.slopes.iter().flatten());
            values.copied().all(|value| bounded(&value))
                && piece.low.iter().zip(&piece.high).all(|(low, high)| low <= high)
                && piece.slopes.as_ref().is_none_or(|slopes| slopes[0] == 0.0)
        };
        if node.pieces.is_empty()
            || !node.pieces.iter().all(is_set)
            || !node.axes.iter().flatten().flatten().all(bounded)
        {
            return Err("has bounds that make no set".to_owned());
        }
        if !node.pieces.is_sorted_by(|a, b| a.low[0] <= b.low[0]) {
            return Err("has pieces that are not in order".to_owned());
        }
        Ok(Self { node, states, symbols, domain: cell.domain(hidden) })
    }
}

impl Place<'_> {
    /// An abstract state that holds a piece of the node.
    pub(crate) fn state(&self, piece: &Piece) -> AbstractState {
        let size = piece.low.len();
        let middle: Vec<f64> =
            piece.low.iter().zip(&piece.high).map(|(low, high)| 0.5 * (low + high)).collect();
        let radius: Vec<f64> = (0..size)
            .map(|i| {
                (piece.high[i] - middle[i]).next_up().max((middle[i] - piece.low[i]).next_up())
            })
            .collect();
        let slope = |i: usize| piece.slopes.as_ref().map_or(0.0, |slopes| slopes[i]);
        let axis = |i: usize, j: usize| match &self.node.axes {
            Some(axes) => axes[i][j],
            None if i == j => 1.0,
            None => 0.0,
        };
        if self.node.axes.is_none() && piece.slopes.is_none() {
            let (low, high) = (piece.low.clone(), piece.high.clone());
            return AbstractState {
                center: middle,
                generators: Vec::new(),
                own: radius,
                low,
                high,
            };
        }
        // h = Aᵀ·(A·h) + (I − Aᵀ·A)·h, whatever A is, with h in the domain. Of A·h the first
        // value is in its bounds, and any other is that times its slope and what is in its
        // bounds.
        let mut center = vec![0.0; size];
        let mut own = vec![0.0_f64; size];
        let mut generators = vec![vec![0.0; size]; size];
        for j in 0..size {
            let magnitude: f64 = (0..size).map(|i| axis(i, j).abs() * (1.0 + slope(i).abs())).sum();
            own[j] = SLACK * (1.0 + magnitude);
            for i in 0..size {
                center[j] += axis(i, j) * (middle[i] + slope(i) * middle[0]);
                generators[i][j] += axis(i, j) * radius[i];
                generators[0][j] += axis(i, j) * slope(i) * radius[0];
            }
            for (k, &(least, most)) in self.domain.iter().enumerate() {
                let largest = most.max(-least);
                let product: f64 = (0..size).map(|i| axis(i, j) * axis(i, k)).sum();
                let identity = if j == k { 1.0 } else { 0.0 };
                let rest = (identity - product).abs() + SLACK * (1.0 + magnitude);
                own[j] = (own[j] + largest * rest).next_up();
            }
        }
        AbstractState {
            center,
            generators,
            own,
            low: self.domain.iter().map(|&(least, _)| least).collect(),
            high: self.domain.iter().map(|&(_, most)| most).collect(),
        }
    }

    /// How many matrices the node has along whose rows its pieces have bounds, other than the
    /// identity.
    pub(crate) fn matrices(&self) -> usize {
        let sloped = self.node.pieces.iter().filter(|piece| piece.slopes.is_some()).count();
        sloped + usize::from(self.node.axes.is_some())
    }

    /// Does the node's abstract state hold all of `state`, which is within the domain?
    pub(crate) fn holds(&self, state: &AbstractState) -> bool {
        let size = state.center.len();
        let (least, most) = self.range(None, 0, state);
        // The ranges along the rows of A are those of every piece without slopes.
        let mut shared: Option<Vec<(f64, f64)>> = None;
        // up to where pieces hold all of it
        let mut reached = least;
        for piece in &self.node.pieces {
            if piece.high[0] < least || piece.low[0] > most {
                continue;
            }
            let has = |i: usize, (least, most): (f64, f64)| {
                piece.low[i] <= least && most <= piece.high[i]
            };
            let inside = match &piece.slopes {
                Some(slopes) => (1..size).all(|i| has(i, self.range(Some(slopes), i, state))),
                None => {
                    let range = |i| self.range(None, i, state);
                    let ranges = shared.get_or_insert_with(|| (1..size).map(range).collect());
                    (1..size).zip(&*ranges).all(|(i, &range)| has(i, range))
                }
            };
            if piece.low[0] > reached || !inside {
                return false;
            }
            reached = reached.max(piece.high[0]);
        }
        reached >= most
    }

    /// The range of `(aᵢ − sᵢ·a₀)·h` over an abstract state.
    fn range(&self, slopes: Option<&[f64]>, i: usize, state: &AbstractState) -> (f64, f64) {
        let size = state.center.len();
        let unit = |i: usize| (0..size).map(|j| if i == j { 1.0 } else { 0.0 }).collect();
        let axis =
            |i: usize| self.node.axes.as_ref().map_or_else(|| unit(i), |axes| axes[i].clone());
        let Some(slopes) = slopes else {
            return match &self.node.axes {
                Some(axes) => state.range(&axes[i]),
                None => state.number(i),
            };
        };
        let (mut row, first): (Vec<f64>, Vec<f64>) = (axis(i), axis(0));
        // The row is rounded: SLACK times all that is in it, and not only what is left of it.
        let mut slack = 0.0;
        for (value, first) in row.iter_mut().zip(&first) {
            slack += SLACK * (value.abs() + (slopes[i] * first).abs());
            *value -= slopes[i] * first;
        }
        let (least, most) = state.range(&row);
        ((least - slack).next_down(), (most + slack).next_up())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A node of two units that has these pieces along axes that are nearly orthogonal.
    fn node(pieces: Vec<Piece>) -> Node {
        Node { key: "0".to_owned(), axes: Some(vec![vec![0.6, 0.8], vec![-0.79, 0.61]]), pieces }
    }

    fn place(node: &Node) -> Place<'_> {
        Place { node, states: vec![0], symbols: vec![], domain: vec![(0.0, 1.0); 2] }
    }

    fn is_in(node: &Node, h: [f64; 2]) -> bool {
        let along: Vec<f64> =
            node.axes.iter().flatten().map(|row| row[0] * h[0] + row[1] * h[1]).collect();
        node.pieces.iter().any(|piece| {
            let slope = |i: usize| piece.slopes.as_ref().map_or(0.0, |slopes| slopes[i]);
            (0..2).all(|i| {
                let value = along[i] - slope(i) * along[0];
                piece.low[i] <= value && value <= piece.high[i]
            })
        })
    }

    #[test]
    fn the_abstract_state_of_a_piece_holds_the_piece() {
        for slopes in [None, Some(vec![0.0, 0.7]), Some(vec![0.0, -2.0])] {
            let node = node(vec![Piece { low: vec![0.1, -0.2], high: vec![0.9, 0.3], slopes }]);
            let state = place(&node).state(&node.pieces[0]);
            let mut inside = 0;
            for n in 0..10_000 {
                let h = [f64::from(n % 100) / 99.0, f64::from(n / 100) / 99.0];
                if is_in(&node, h) {
                    inside += 1;
                    for w in [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, -2.0], [0.6, 0.8]] {
                        let (low, high) = state.range(&w);
                        let value = w[0] * h[0] + w[1] * h[1];
                        assert!(low <= value && value <= high, "{h:?}");
                    }
                }
            }
            assert!(inside > 300, "{inside}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// What a union of pieces is said to hold, it holds, point by point.
        #[test]
        fn a_union_of_pieces_holds_every_point_of_a_state_that_it_holds(
            edges in prop::collection::vec((-0.3..1.3_f64, 0.0..0.5_f64), 1..6),
            bounds in prop::collection::vec((-0.9..0.1_f64, 0.1..0.9_f64, -0.5..0.5_f64, any::<bool>()), 6),
            center in prop::array::uniform2(0.2..0.8_f64),
            generators in prop::collection::vec(prop::array::uniform2(-0.1..0.1_f64), 0..4),
            shares in prop::collection::vec(prop::array::uniform4(-1.0..1.0_f64), 64),
        ) {
            let mut pieces: Vec<Piece> = edges.iter().zip(&bounds).map(|((low, width), (least, most, slope, has))| Piece {
                low: vec![*low, *least],
                high: vec![low + width, *most],
                slopes: has.then(|| vec![0.0, *slope]),
            }).collect();
            pieces.sort_by(|a, b| a.low[0].total_cmp(&b.low[0]));
            let node = node(pieces);
            let state = AbstractState {
                center: center.to_vec(),
                generators: generators.iter().map(|g| g.to_vec()).collect(),
                own: vec![0.0; 2],
                low: vec![0.0; 2],
                high: vec![1.0; 2],
            };
            let points = shares.iter().map(|shares| {
                let at = |j: usize| center[j] + generators.iter().zip(shares).map(|(g, e)| g[j] * e.signum().mul_add(0.5, 0.5 * e)).sum::<f64>();
                [at(0), at(1)]
            });
            if place(&node).holds(&state) {
                for h in points.filter(|h| h.iter().all(|h| (0.0..=1.0).contains(h))) {
                    prop_assert!(is_in(&node, h), "{:?}", h);
                }
            }
        }
    }

    #[test]
    fn a_gap_between_pieces_is_seen() {
        let piece = |low: f64, high: f64| Piece {
            low: vec![low, -0.5],
            high: vec![high, 0.5],
            slopes: None,
        };
        let state = AbstractState {
            center: vec![0.3, 0.4],
            generators: vec![vec![0.06, 0.08]],
            own: vec![0.0; 2],
            low: vec![0.0; 2],
            high: vec![1.0; 2],
        };
        // along the first axis from 0.4 to 0.6
        for (pieces, held) in [
            (vec![piece(0.3, 0.7)], true),
            (vec![piece(0.3, 0.5), piece(0.5, 0.7)], true),
            (vec![piece(0.3, 0.5), piece(0.45, 0.7)], true),
            (vec![piece(0.3, 0.5), piece(0.5 + 1e-9, 0.7)], false),
            (vec![piece(0.3, 0.5)], false),
            (vec![piece(0.5, 0.7)], false),
            (vec![piece(0.0, 0.1), piece(0.3, 0.7)], true),
            (vec![piece(0.0, 0.1), piece(0.8, 0.9)], false),
            (vec![piece(0.3, 0.6), piece(0.35, 0.4), piece(0.55, 0.7)], true),
        ] {
            let node = node(pieces);
            assert_eq!(place(&node).holds(&state), held);
        }
    }
}
