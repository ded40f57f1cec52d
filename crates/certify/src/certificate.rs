//! A certificate as it is written; the checker reads the file by types of its own.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use verify::FORMAT;

/// A proof that one network adds numbers of any length; see [`verify::check`] for what it says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    /// [`verify::FORMAT`]
    pub format: String,
    /// The SHA-256 digest of the network's file, in hexadecimal digits.
    pub model: String,
    /// Steps from node to node, at most.
    pub steps: usize,
    /// What tells a file that was damaged; see [`Certificate::update_digest`].
    #[serde(rename = "seal")]
    pub digest: String,
    /// The abstract states, each with its history.
    pub nodes: Vec<Node>,
}

/// An abstract state, and the history after which it holds the hidden state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// `start`, or the carry (0 or 1) before the history, then its pairs of digits, oldest
    /// first: `1 01 11`.
    pub key: String,
    /// The directions of the bounds, by rows; those of the units (a box) without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub axes: Option<Vec<Vec<f64>>>,
    /// The pieces of the abstract state, in their order along the first axis.
    #[serde(rename = "cells")]
    pub pieces: Vec<Piece>,
}

/// A convex piece of an abstract state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Piece {
    /// The least values along the axes.
    pub low: Vec<f64>,
    /// The largest values along the axes.
    pub high: Vec<f64>,
    /// How much of the value along the first axis is taken from that along each axis before
    /// it is bounded; 0 for the first, and for all without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slopes: Option<Vec<f64>>,
}

impl Node {
    /// The carry after the node's history.
    pub(crate) fn carry(&self) -> bool {
        let (first, pairs) = self.key.split_once(' ').unwrap_or((&self.key, ""));
        pairs.split(' ').fold(first == "1", |carry, pair| match pair {
            "00" => false,
            "11" => true,
            _ => carry,
        })
    }
}

impl Certificate {
    /// A certificate of `nodes` for the network in the file `model`.
    pub(crate) fn new(model: &[u8], steps: usize, nodes: Vec<Node>) -> Self {
        let format = FORMAT.to_owned();
        let mut new = Self { format, model: digest(model), steps, digest: String::new(), nodes };
        new.update_digest();
        new
    }

    /// Takes the digest of the nodes as they are: SHA-256 over the steps and every node's key,
    /// axes by rows, and pieces, each list with its length before it, all in 64 bits.
    pub fn update_digest(&mut self) {
        let mut bytes = (self.steps as u64).to_le_bytes().to_vec();
        let list = |bytes: &mut Vec<u8>, values: &mut dyn ExactSizeIterator<Item = f64>| {
            bytes.extend((values.len() as u64).to_le_bytes());
            values.for_each(|value| bytes.extend(value.to_le_bytes()));
        };
        for node in &self.nodes {
            bytes.extend((node.key.len() as u64).to_le_bytes());
            bytes.extend(node.key.bytes());
            let axes = node.axes.iter().flatten();
            bytes.extend((node.axes.as_ref().map_or(0, Vec::len) as u64).to_le_bytes());
            axes.for_each(|row| list(&mut bytes, &mut row.iter().copied()));
            bytes.extend((node.pieces.len() as u64).to_le_bytes());
            for piece in &node.pieces {
                for values in
                    [&piece.low, &piece.high, piece.slopes.as_ref().unwrap_or(&Vec::new())]
                {
                    list(&mut bytes, &mut values.iter().copied());
                }
            }
        }
        self.digest = digest(&bytes);
    }

    /// As a file: JSON, a node a line.
    pub fn to_json(&self) -> String {
        let node = |node| serde_json::to_string(node).expect("finite numbers and a name");
        let nodes: Vec<String> = self.nodes.iter().map(node).collect();
        format!(
            "{{\"format\":{:?},\"model\":{:?},\"steps\":{},\"seal\":{:?},\"nodes\":[\n{}\n]}}\n",
            self.format,
            self.model,
            self.steps,
            self.digest,
            nodes.join(",\n")
        )
    }
}

/// The SHA-256 digest in hexadecimal digits.
fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
