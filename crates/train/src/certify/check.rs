//! The checker: does this certificate prove that this network adds numbers of any length?
//!
//! Trust needs to read this file and no other: it shares no code with the search. It
//! reads the two files itself, and either returns what is proved or says what fails.
//! It looks for nothing and repairs nothing.
//!
//! ```text
//! network   z[t] = x[t]·W_in + h[t−1]·W_rec + b      h[t] = σ(z[t]) in [0, 1]^H, h[−1] = 0
//!           o[t] = σ(h[t]·w_out + b_out)             the digit is 1 where o[t] > ½, in f32
//! node      a carry and a set, the union of cells, one at least
//! cell      { h in [0, 1]^H : low ≤ (A − s·a₀ᵀ)·h ≤ high }    a₀ the first row of A, s₀ = 0
//!           with A = I and s = 0 a box
//! proved    (1) the node `start` holds h = 0, with no carry
//!           (2) for every node, and every sequence of pairs of digits from any h of its set:
//!               after 1 to `steps` pairs the state is in the set of a node whose carry is
//!               the true one, and each output until then is on its right side
//! ```
//!
//! By induction every run comes, again and again, and never more than `steps` digits later,
//! into a set with the true carry, so every digit of every sum is right.
//!
//! A set of states on its way is in a union of cells if the intervals [low₀, high₀] of those
//! that it meets cover the range of its a₀·h without a gap, and each of these cells holds all
//! of it along the other rows.
//!
//! **What the machine computes** differs from the formulas, and every difference is
//! enclosed:
//!
//! 1. A sum of n products in f32, in any order, with or without fused multiply-add, is
//!    within `γₙ·Σ|wᵢ·hᵢ|` of the exact one, `γₙ = n·u/(1 − n·u)`, u = 2⁻²⁴ (N. Higham,
//!    Accuracy and Stability of Numerical Algorithms, section 3.1 and 4.2); a product that
//!    is subnormal may lose 2⁻¹⁵⁰ more. The inputs are 0 or 1 and the states in [0, 1],
//!    so `Σ|wᵢ|` bounds the sum. Zero padding adds nothing: it adds zeros, exactly.
//! 2. The f32 sigmoid is within [`ULP`] units in the last place of σ, or, below 2⁻¹²⁶,
//!    within 2⁻¹²⁶ of it. The error table of the kernels (`tests/table`) claims 2.5 for
//!    both of its forms in any build, and `tests/exhaustive.rs` proves it on all f32. It
//!    is not assumed to be monotone.
//! 3. This file computes in f64; see [`SLACK`] and [`sigmoid`].
//!
//! **Sets on their way** are zonotopes, `c + Σ_g e_g·g + Σ_j e_j·d_j·u_j` with all e in
//! [−1, 1] (u_j the unit vectors), and a box beside. On [l, u] a line of slope λ follows
//! σ up to an error that is enclosed, and that becomes a new d_j.

use crate::Error;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// The largest error of the f32 sigmoid in units in the last place, rounded up from 2.5.
const ULP: f64 = 3.0;
/// A zonotope that reaches further than this is refused, so that [`SLACK`] holds.
const REACH: f64 = 8.0;
/// Relative slack for the sums in f64: each has below 10⁵ terms, of magnitudes that add up
/// to less than `REACH·Σ|w|`, so it is off by less than `10⁵·2⁻⁵³·8·Σ|w| < 1e-10·Σ|w|`.
const SLACK: f64 = 1e-9;
/// With so many steps there are fewer than the 10⁵ generators of [`SLACK`].
const MOST_STEPS: usize = 12;
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
    /// How many cells their sets have, all together.
    pub cells: usize,
    /// The pairs of digits in the longest history of a node (k).
    pub history: usize,
    /// Steps from node to node, at most.
    pub steps: usize,
    /// Whether all sets are boxes.
    pub boxes: bool,
    /// The least distance from 0 of the sum before an output's sigmoid, on the right side.
    pub margin: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: String,
    model: String,
    steps: usize,
    /// SHA-256 of the nodes, one after the other as they stand in memory; see [`seal`].
    seal: String,
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Node {
    /// `start`, or the carry `0` or `1` before the history, then the pairs, oldest first.
    key: String,
    /// A, by rows; a box without.
    axes: Option<Vec<Vec<f64>>>,
    /// In the order of `low[0]`.
    cells: Vec<Cell>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cell {
    low: Vec<f64>,
    high: Vec<f64>,
    /// s; 0 without.
    slopes: Option<Vec<f64>>,
}

/// The four pairs of digits, as they stand in keys.
const PAIRS: [&str; 4] = ["00", "01", "10", "11"];

/// The sum digit and the next carry of a pair and a carry.
fn add(pair: usize, carry: bool) -> (bool, bool) {
    let sum = pair / 2 + pair % 2 + usize::from(carry);
    (sum % 2 == 1, sum >= 2)
}

/// Verifies that the certificate (JSON) proves the network (safetensors) right.
///
/// # Errors
/// [`Error::Certificate`], with the reason, if it does not.
pub fn check(model: &[u8], certificate: &[u8]) -> Result<Verified, Error> {
    verify(model, certificate).map_err(Error::Certificate)
}

fn verify(model: &[u8], certificate: &[u8]) -> Result<Verified, String> {
    let file: File =
        serde_json::from_slice(certificate).map_err(|error| format!("it is not one: {error}"))?;
    if file.format != super::FORMAT {
        return Err(format!("its format is {:?}, not {:?}", file.format, super::FORMAT));
    }
    let hash: String = Sha256::digest(model).iter().map(|byte| format!("{byte:02x}")).collect();
    if file.model != hash {
        return Err(format!(
            "it is for a network with the hash {:?}; this network has {hash}",
            file.model
        ));
    }
    if !(1..=MOST_STEPS).contains(&file.steps) {
        return Err(format!("it takes {} steps at a time, not 1 to {MOST_STEPS}", file.steps));
    }
    let found = seal(&file);
    if file.seal != found {
        return Err(format!(
            "it was changed: its seal is {:?}, and its nodes have {found}",
            file.seal
        ));
    }
    let network = Network::read(model)?;
    let nodes = read_nodes(&network, &file.nodes)?;
    let Some(start) = nodes.get("start") else {
        return Err("it has no node `start`".to_owned());
    };
    let origin = |cell: &Cell| {
        cell.slopes.is_none()
            && cell.low.iter().all(|&low| low <= 0.0)
            && cell.high.iter().all(|&high| high >= 0.0)
    };
    if start.node.axes.is_some() || !start.node.cells.iter().any(origin) {
        return Err("the set of the node `start` is not a box that holds h = 0".to_owned());
    }
    let mut walk = Walk { network: &network, nodes: &nodes, steps: file.steps, margin: f64::MAX };
    for node in &file.nodes {
        let place = &nodes[&*node.key];
        for cell in &node.cells {
            let set = place.set(cell);
            if !set.is_bounded() {
                return Err(format!("the set of node `{}` reaches beyond {REACH}", node.key));
            }
            let carries = &mut place.carries.clone();
            let pairs = &mut place.pairs.clone();
            walk.from(&set, file.steps, carries, pairs)
                .map_err(|reason| format!("from node `{}`: {reason}", node.key))?;
        }
    }
    Ok(Verified {
        hidden: network.hidden,
        bias: network.bias,
        nodes: file.nodes.len(),
        cells: file.nodes.iter().map(|node| node.cells.len()).sum(),
        history: nodes.values().map(|place| place.pairs.len()).max().unwrap_or(0),
        steps: file.steps,
        boxes: file.nodes.iter().all(|node| node.axes.is_none()),
        margin: walk.margin,
    })
}

/// A node with its key spelled out: `carries[n]` is the carry before `pairs[n]`, the last
/// one the carry now.
struct Place<'a> {
    node: &'a Node,
    carries: Vec<bool>,
    pairs: Vec<usize>,
}

fn read_nodes<'a>(
    network: &Network,
    nodes: &'a [Node],
) -> Result<HashMap<&'a str, Place<'a>>, String> {
    let mut places = HashMap::new();
    for node in nodes {
        let bad = |what: &str| format!("node `{}` {what}", node.key);
        let mut words = node.key.split(' ');
        let mut carry = match words.next() {
            Some("start" | "0") => false,
            Some("1") => true,
            _ => return Err(bad("has a key that does not begin with start, 0 or 1")),
        };
        let (mut carries, mut pairs) = (vec![carry], Vec::new());
        for word in words {
            let pair = PAIRS.iter().position(|&pair| pair == word);
            let pair = pair.ok_or_else(|| bad("has a key with something else than pairs"))?;
            carry = add(pair, carry).1;
            carries.push(carry);
            pairs.push(pair);
        }
        let hidden = network.hidden;
        let square = |axes: &Vec<Vec<f64>>| {
            axes.len() == hidden && axes.iter().all(|row| row.len() == hidden)
        };
        let fits = |cell: &Cell| {
            [Some(&cell.low), Some(&cell.high), cell.slopes.as_ref()]
                .into_iter()
                .flatten()
                .all(|values| values.len() == hidden)
        };
        if !node.cells.iter().all(fits) || !node.axes.as_ref().is_none_or(square) {
            return Err(bad(&format!("is not of a network of {hidden} hidden units")));
        }
        let bounded = |value: &f64| value.abs() <= REACH;
        let is_set = |cell: &Cell| {
            let values = cell.low.iter().chain(&cell.high).chain(cell.slopes.iter().flatten());
            values.copied().all(|value| bounded(&value))
                && cell.low.iter().zip(&cell.high).all(|(low, high)| low <= high)
                && cell.slopes.as_ref().is_none_or(|slopes| slopes[0] == 0.0)
        };
        if node.cells.is_empty()
            || !node.cells.iter().all(is_set)
            || !node.axes.iter().flatten().flatten().all(bounded)
        {
            return Err(bad("has bounds that make no set"));
        }
        if !node.cells.is_sorted_by(|a, b| a.low[0] <= b.low[0]) {
            return Err(bad("has cells that are not in order"));
        }
        if places.insert(&*node.key, Place { node, carries, pairs }).is_some() {
            return Err(bad("is there twice"));
        }
    }
    Ok(places)
}

impl Place<'_> {
    /// A zonotope that holds a cell of the node.
    fn set(&self, cell: &Cell) -> Zonotope {
        let hidden = cell.low.len();
        let middle: Vec<f64> =
            cell.low.iter().zip(&cell.high).map(|(low, high)| 0.5 * (low + high)).collect();
        let radius: Vec<f64> = (0..hidden)
            .map(|i| (cell.high[i] - middle[i]).next_up().max((middle[i] - cell.low[i]).next_up()))
            .collect();
        let slope = |i: usize| cell.slopes.as_ref().map_or(0.0, |slopes| slopes[i]);
        let axis = |i: usize, j: usize| match &self.node.axes {
            Some(axes) => axes[i][j],
            None if i == j => 1.0,
            None => 0.0,
        };
        if self.node.axes.is_none() && cell.slopes.is_none() {
            let (low, high) = (cell.low.clone(), cell.high.clone());
            return Zonotope { center: middle, generators: Vec::new(), own: radius, low, high };
        }
        // h = Aᵀ·(A·h) + (I − Aᵀ·A)·h, whatever A is, with h in [0, 1]. Of A·h the first
        // value is in its bounds, and any other is that times its slope and what is in its
        // bounds.
        let mut center = vec![0.0; hidden];
        let mut own = vec![0.0_f64; hidden];
        let mut generators = vec![vec![0.0; hidden]; hidden];
        for j in 0..hidden {
            let magnitude: f64 =
                (0..hidden).map(|i| axis(i, j).abs() * (1.0 + slope(i).abs())).sum();
            own[j] = SLACK * (1.0 + magnitude);
            for i in 0..hidden {
                center[j] += axis(i, j) * (middle[i] + slope(i) * middle[0]);
                generators[i][j] += axis(i, j) * radius[i];
                generators[0][j] += axis(i, j) * slope(i) * radius[0];
            }
            for k in 0..hidden {
                let product: f64 = (0..hidden).map(|i| axis(i, j) * axis(i, k)).sum();
                let identity = if j == k { 1.0 } else { 0.0 };
                own[j] =
                    (own[j] + ((identity - product).abs() + SLACK * (1.0 + magnitude))).next_up();
            }
        }
        Zonotope { center, generators, own, low: vec![0.0; hidden], high: vec![1.0; hidden] }
    }

    /// Does the node's set hold all of `set`, which is within [0, 1]^H?
    fn holds(&self, set: &Zonotope) -> bool {
        let (least, most) = self.range(None, 0, set);
        // up to where cells hold all of it
        let mut reached = least;
        for cell in &self.node.cells {
            if cell.high[0] < least || cell.low[0] > most {
                continue;
            }
            let holds = |i: usize| {
                let (least, most) = self.range(cell.slopes.as_deref(), i, set);
                cell.low[i] <= least && most <= cell.high[i]
            };
            if cell.low[0] > reached || !(1..cell.low.len()).all(holds) {
                return false;
            }
            reached = reached.max(cell.high[0]);
        }
        reached >= most
    }

    /// The range of `(aᵢ − sᵢ·a₀)·h` over a set.
    fn range(&self, slopes: Option<&[f64]>, i: usize, set: &Zonotope) -> (f64, f64) {
        let hidden = set.center.len();
        let unit = |i: usize| (0..hidden).map(|j| if i == j { 1.0 } else { 0.0 }).collect();
        let axis =
            |i: usize| self.node.axes.as_ref().map_or_else(|| unit(i), |axes| axes[i].clone());
        let Some(slopes) = slopes else {
            let (least, most) = set.range(&axis(i));
            return match self.node.axes {
                Some(_) => (least, most),
                None => (least.max(set.low[i]), most.min(set.high[i])),
            };
        };
        let (mut row, first): (Vec<f64>, Vec<f64>) = (axis(i), axis(0));
        // The row is rounded: SLACK times all that is in it, and not only what is left of it.
        let mut slack = 0.0;
        for (value, first) in row.iter_mut().zip(&first) {
            slack += SLACK * (value.abs() + (slopes[i] * first).abs());
            *value -= slopes[i] * first;
        }
        let (least, most) = set.range(&row);
        ((least - slack).next_down(), (most + slack).next_up())
    }
}

/// A set of states on its way: the points of a zonotope that are also in a box.
struct Zonotope {
    /// `[H]`
    center: Vec<f64>,
    /// Rows of `[H]`.
    generators: Vec<Vec<f64>>,
    /// `[H]`, the generators along the unit vectors.
    own: Vec<f64>,
    /// `[H]`
    low: Vec<f64>,
    /// `[H]`
    high: Vec<f64>,
}

impl Zonotope {
    /// Does the zonotope keep within [`REACH`]?
    fn is_bounded(&self) -> bool {
        (0..self.center.len()).all(|j| {
            let reach: f64 = self.generators.iter().map(|generator| generator[j].abs()).sum();
            self.center[j].abs() + reach + self.own[j] < REACH
        })
    }

    /// An enclosure of `w·h` over the set: by the zonotope, and by the box.
    fn range(&self, w: &[f64]) -> (f64, f64) {
        let dot = |v: &[f64]| -> f64 { v.iter().zip(w).map(|(v, w)| v * w).sum() };
        let weight: f64 = w.iter().map(|w| w.abs()).sum();
        let mut radius = SLACK * weight;
        for generator in &self.generators {
            radius += dot(generator).abs();
        }
        for (own, w) in self.own.iter().zip(w) {
            radius += (own * w).abs();
        }
        let center = dot(&self.center);
        let (mut least, mut most) = (-SLACK * weight, SLACK * weight);
        for ((&low, &high), &w) in self.low.iter().zip(&self.high).zip(w) {
            least += if w > 0.0 { w * low } else { w * high };
            most += if w > 0.0 { w * high } else { w * low };
        }
        ((center - radius).next_down().max(least), (center + radius).next_up().min(most))
    }
}

struct Network {
    hidden: usize,
    bias: bool,
    /// `[2][H]`
    w_in: Vec<Vec<f64>>,
    /// `[H][H]`, row: to unit
    w_rec: Vec<Vec<f64>>,
    /// `[H]`
    b: Vec<f64>,
    /// `[H]`
    w_out: Vec<f64>,
    b_out: f64,
    /// `[H]`, the sum of the absolute weights and biases of a unit.
    weight: Vec<f64>,
    /// `[H]`, how far the f32 sum before a hidden sigmoid, and ours, may be off.
    error: Vec<f64>,
    out_error: f64,
}

impl Network {
    fn read(bytes: &[u8]) -> Result<Self, String> {
        let file = safetensors::SafeTensors::deserialize(bytes)
            .map_err(|error| format!("the network cannot be read: {error}"))?;
        let mut tensors = HashMap::new();
        for (name, tensor) in file.tensors() {
            if tensor.dtype() != safetensors::Dtype::F32 {
                return Err(format!("the network's `{name}` is not F32"));
            }
            let (values, _) = tensor.data().as_chunks::<4>();
            let values: Vec<f64> =
                values.iter().map(|&bytes| f64::from(f32::from_le_bytes(bytes))).collect();
            // With up to 2²⁰ terms below 2¹⁰⁰ no order of summation overflows.
            if !values.iter().all(|value| value.abs() <= 2.0_f64.powi(100)) {
                return Err(format!("the network's `{name}` holds a value above 2^100"));
            }
            tensors.insert(name, (tensor.shape().to_vec(), values));
        }
        let hidden = tensors.get("head.weight").map_or(0, |(_, values)| values.len());
        if hidden == 0 || hidden > 1 << 12 {
            return Err(format!("a network of {hidden} hidden units cannot be checked"));
        }
        let bias = tensors.len() > 3;
        let mut take = |name: &str, shape: &[usize]| match tensors.remove(name) {
            Some((found, values)) if found == shape => Ok(values),
            Some((found, _)) => Err(format!("the network's `{name}` is {found:?}, not {shape:?}")),
            None => Err(format!("the network has no `{name}`")),
        };
        let rows = |values: Vec<f64>, width: usize| -> Vec<Vec<f64>> {
            values.chunks_exact(width).map(<[f64]>::to_vec).collect()
        };
        let by_unit = rows(take("weight_ih_l0", &[hidden, 2])?, 2);
        let w_rec = rows(take("weight_hh_l0", &[hidden, hidden])?, hidden);
        let w_out = take("head.weight", &[1, hidden])?;
        let (mut b_in, mut b_rec, mut b_out) = (vec![0.0; hidden], vec![0.0; hidden], 0.0);
        if bias {
            b_in = take("bias_ih_l0", &[hidden])?;
            b_rec = take("bias_hh_l0", &[hidden])?;
            b_out = take("head.bias", &[1])?[0];
        }
        if let Some(name) = tensors.keys().next() {
            return Err(format!("the network has a `{name}`, of which nothing is known"));
        }
        // 2 inputs, H states, 2 biases, and some more roundings than there are terms.
        let unit = (hidden + 12) as f64 * (1.0 / 16_777_216.0);
        let gamma = unit / (1.0 - unit);
        let error = |magnitude: f64| (magnitude * (gamma + SLACK) + 2.0_f64.powi(-100)).next_up();
        let sum = |values: &[f64]| -> f64 { values.iter().map(|value| value.abs()).sum() };
        let weight: Vec<f64> = (0..hidden)
            .map(|j| sum(&by_unit[j]) + sum(&w_rec[j]) + b_in[j].abs() + b_rec[j].abs())
            .collect();
        Ok(Self {
            hidden,
            bias,
            error: weight.iter().map(|&weight| error(weight)).collect(),
            weight,
            out_error: error(sum(&w_out) + b_out.abs()),
            w_in: (0..2).map(|i| by_unit.iter().map(|row| row[i]).collect()).collect(),
            w_rec,
            b: b_in.iter().zip(&b_rec).map(|(a, b)| a + b).collect(),
            w_out,
            b_out,
        })
    }

    /// The sums before the hidden sigmoids, without the inputs: an affine image of `set`.
    fn recur(&self, set: &Zonotope) -> Sums {
        let product =
            |v: &[f64], row: &[f64]| -> f64 { v.iter().zip(row).map(|(v, w)| v * w).sum() };
        let image = |v: &[f64]| self.w_rec.iter().map(|row| product(v, row)).collect::<Vec<f64>>();
        let mut center = image(&set.center);
        for (center, b) in center.iter_mut().zip(&self.b) {
            *center += b;
        }
        let mut generators: Vec<Vec<f64>> = set.generators.iter().map(|g| image(g)).collect();
        for (k, &own) in set.own.iter().enumerate().filter(|(_, own)| **own != 0.0) {
            generators.push(self.w_rec.iter().map(|row| own * row[k]).collect());
        }
        let ranges = self.w_rec.iter().map(|row| set.range(row)).collect();
        Sums { center, generators, ranges }
    }

    /// The states after one more pair of digits.
    fn states(&self, sums: &Sums, pair: usize) -> Zonotope {
        let hidden = self.hidden;
        let mut set = Zonotope {
            center: vec![0.0; hidden],
            generators: vec![vec![0.0; hidden]; sums.generators.len()],
            own: vec![0.0; hidden],
            low: vec![0.0; hidden],
            high: vec![0.0; hidden],
        };
        for j in 0..hidden {
            let input = (pair / 2) as f64 * self.w_in[0][j] + (pair % 2) as f64 * self.w_in[1][j];
            let (least, most) = sums.ranges[j];
            let low = (least + (input + self.b[j]) - self.error[j]).next_down();
            let high = (most + (input + self.b[j]) + self.error[j]).next_up();
            // The f32 sigmoid of any sum in [low, high].
            let ulp = |value: f64| value * (ULP / 8_388_608.0) + 2.0_f64.powi(-126);
            let (bottom, top) = (sigmoid(low) - SIGMOID_ERROR, sigmoid(high) + SIGMOID_ERROR);
            set.low[j] = (bottom - ulp(bottom.max(0.0))).next_down().max(0.0);
            set.high[j] = (top + ulp(top)).next_up().min(1.0);
            // It is λ·z + offset, up to `own`, with z within `error` of the affine image.
            let slope = if high - low > 1e-6 {
                ((sigmoid(high) - sigmoid(low)) / (high - low)).clamp(0.0, 0.25)
            } else {
                sigmoid(low) * (1.0 - sigmoid(low))
            };
            let (below, above) = deviation(slope, low, high);
            let offset = 0.5 * (below + above);
            set.center[j] = slope * (sums.center[j] + input) + offset;
            for (target, generator) in set.generators.iter_mut().zip(&sums.generators) {
                target[j] = slope * generator[j];
            }
            // The last term is for the roundings of these three lines.
            let rounding = SLACK * (1.0 + slope * REACH * self.weight[j]);
            let spread = (0.5 * (above - below)).next_up();
            set.own[j] = (spread + slope * self.error[j] + ulp(top) + rounding).next_up();
        }
        set
    }
}

/// The affine image of a set, and an enclosure of each unit's part of it without biases.
struct Sums {
    center: Vec<f64>,
    generators: Vec<Vec<f64>>,
    ranges: Vec<(f64, f64)>,
}

struct Walk<'a> {
    network: &'a Network,
    nodes: &'a HashMap<&'a str, Place<'a>>,
    steps: usize,
    margin: f64,
}

impl Walk<'_> {
    /// All ways of up to `left` pairs, one at least, from `set`, whose history is `carries`
    /// and `pairs`.
    fn from(
        &mut self,
        set: &Zonotope,
        left: usize,
        carries: &mut Vec<bool>,
        pairs: &mut Vec<usize>,
    ) -> Result<(), String> {
        let sums = self.network.recur(set);
        for pair in 0..4 {
            let (digit, carry) = add(pair, carries[carries.len() - 1]);
            let next = self.network.states(&sums, pair);
            if !next.is_bounded() {
                return Err(format!("the states may reach beyond {REACH}"));
            }
            let (least, most) = next.range(&self.network.w_out);
            let (least, most) = (least + self.network.b_out, most + self.network.b_out);
            let margin = (if digit { least } else { -most } - self.network.out_error).next_down();
            carries.push(carry);
            pairs.push(pair);
            // NaN is not above it either.
            if !matches!(margin.partial_cmp(&DECISION), Some(std::cmp::Ordering::Greater)) {
                let way = spell(&pairs[pairs.len() - (self.steps - left + 1)..]);
                return Err(format!("after {way} the output may be on the wrong side of ½"));
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

    /// Is there a node that holds the set? By the true carry and the last pairs it is looked
    /// up, for the shortest history first; `start` knows all pairs.
    fn arrive(&self, set: &Zonotope, carries: &[bool], pairs: &[usize]) -> Result<(), String> {
        let mut keys = (0..=pairs.len()).map(|known| {
            let carry = if carries[pairs.len() - known] { "1" } else { "0" };
            let last = &pairs[pairs.len() - known..];
            format!("{carry}{}{}", if known == 0 { "" } else { " " }, spell(last))
        });
        let whole = format!("start {}", spell(pairs));
        let place = keys.find_map(|key| self.nodes.get(&*key)).or_else(|| self.nodes.get(&*whole));
        let way = || spell(&pairs[pairs.len().saturating_sub(self.steps)..]);
        match place {
            Some(place) if place.carries.last() != carries.last() => {
                Err(format!("{} leads to node `{}`, of the other carry", way(), place.node.key))
            }
            Some(place) if place.holds(set) => Ok(()),
            Some(place) => Err(format!("{} leads out of node `{}`", way(), place.node.key)),
            None => Err(format!("{} leads to no node", way())),
        }
    }
}

/// What the nodes are sealed with, so that a file that was changed is told from one that is
/// wrong: SHA-256 of each key with its length, and of the bits of each list with its length.
fn seal(file: &File) -> String {
    let mut hash = Sha256::new();
    let list = |hash: &mut Sha256, values: &[f64]| {
        hash.update((values.len() as u64).to_le_bytes());
        values.iter().for_each(|value| hash.update(value.to_le_bytes()));
    };
    hash.update((file.steps as u64).to_le_bytes());
    for node in &file.nodes {
        hash.update((node.key.len() as u64).to_le_bytes());
        hash.update(&node.key);
        let rows = node.axes.as_deref().unwrap_or(&[]);
        hash.update((rows.len() as u64).to_le_bytes());
        rows.iter().for_each(|row| list(&mut hash, row));
        hash.update((node.cells.len() as u64).to_le_bytes());
        for cell in &node.cells {
            list(&mut hash, &cell.low);
            list(&mut hash, &cell.high);
            list(&mut hash, cell.slopes.as_deref().unwrap_or(&[]));
        }
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn spell(pairs: &[usize]) -> String {
    pairs.iter().map(|&pair| PAIRS[pair]).collect::<Vec<_>>().join(" ")
}

/// How far [`sigmoid`] may be from σ, anywhere.
const SIGMOID_ERROR: f64 = 1e-11;

/// σ(x), within [`SIGMOID_ERROR`], by IEEE's four operations alone.
///
/// `e^y = (e^{y/1024})^1024`. For |y| ≤ 40 the series to the tenth power is cut off at
/// `0.04^11/11! < 1e-22` and rounds below 20·2⁻⁵³ relative; ten squarings make that less
/// than 1024·21·2⁻⁵³ < 3e-12, and σ is off by at most a quarter of the relative error of
/// the exponential. Beyond ±40, σ is within 1e-17 of its value there.
fn sigmoid(x: f64) -> f64 {
    let y = -x.clamp(-40.0, 40.0) / 1024.0;
    let mut power = 1.0;
    for n in (1..=10).rev() {
        power = 1.0 + power * y / f64::from(n);
    }
    for _ in 0..10 {
        power *= power;
    }
    1.0 / (1.0 + power)
}

/// The least and the largest `σ(z) − λ·z` on [low, high], for λ in [0, ¼].
///
/// On z ≥ 0, σ is concave: the least value is at an end, and every tangent lies above. By
/// `σ(−z) = 1 − σ(z)` the other side is the same with `1 −` and its ends exchanged.
fn deviation(slope: f64, low: f64, high: f64) -> (f64, f64) {
    let (mut least, mut most) = (f64::MAX, f64::MIN);
    if high >= 0.0 {
        (least, most) = concave(slope, low.max(0.0), high);
    }
    if low < 0.0 {
        let (below, above) = concave(slope, (-high).max(0.0), -low);
        least = least.min(1.0 - above);
        most = most.max(1.0 - below);
    }
    (least.next_down(), most.next_up())
}

/// [`deviation`] on [a, b] with 0 ≤ a.
fn concave(slope: f64, a: f64, b: f64) -> (f64, f64) {
    let value = |z: f64| sigmoid(z) - slope * z;
    // Where σ′ = σ·(1 − σ) = λ, nearly: any other point would be as sound.
    let root = (1.0 - 4.0 * slope).max(0.0).sqrt();
    let touch = ((1.0 + root) / (1.0 - root).max(1e-300)).ln().clamp(a, b);
    let at = sigmoid(touch);
    let gradient = at * (1.0 - at) - slope;
    let above = value(touch) + (gradient * (a - touch)).max(gradient * (b - touch));
    // σ, σ′ and the products, all generously.
    let slack = 1e-10 * (1.0 + b);
    (value(a).min(value(b)) - slack, above + slack)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Addition;
    use model::{Network as Runner, Parameters, weights};
    use proptest::prelude::*;
    use rand::{RngExt, SeedableRng};
    use rand_xoshiro::Xoshiro256PlusPlus;

    fn reference(x: f64) -> f64 {
        kernels::reference::sigmoid(x)
    }

    proptest! {
        #[test]
        fn the_sigmoid_is_as_near_as_it_says(x in prop_oneof![-50.0..50.0_f64, -1e9..1e9_f64]) {
            // The standard library's exponential is good to an ULP or so of f64.
            prop_assert!((sigmoid(x) - reference(x)).abs() < SIGMOID_ERROR / 2.0);
        }

        #[test]
        fn a_line_follows_the_sigmoid_within_its_deviation(
            slope in 0.0..=0.25_f64, a in -30.0..30.0_f64, width in 0.0..20.0_f64, at in 0.0..=1.0_f64,
        ) {
            let (low, high) = (a, a + width);
            let (below, above) = deviation(slope, low, high);
            let z = low + at * (high - low);
            let deviation = reference(z) - slope * z;
            prop_assert!(below <= deviation && deviation <= above);
            // and not by a mile: no wider than what the ends and a step between them show
            let seen = (0..=2_000).map(|n| low + f64::from(n) / 2_000.0 * (high - low));
            let seen = seen.map(|z| reference(z) - slope * z);
            let (least, most) = seen.fold((f64::MAX, f64::MIN), |(a, b), v| (a.min(v), b.max(v)));
            prop_assert!(above - most < 0.01 + 1e-3 * width && least - below < 0.01 + 1e-3 * width);
        }
    }

    /// What the machine computes lies in what the checker encloses, at every step of any
    /// sequence, for random weights of several magnitudes.
    #[test]
    fn the_f32_network_stays_in_the_enclosure() {
        let mut generator = Xoshiro256PlusPlus::seed_from_u64(5);
        for hidden in [1, 2, 3, 8, 9, 16, 17, 33] {
            for (bias, scale) in [(false, 1.0), (true, 1.0), (false, 10.0), (true, 0.01)] {
                let config = Addition::network(hidden, bias).unwrap();
                let mut parameters = Parameters::uniform(config, &mut generator);
                parameters.for_each_row_mut(|row| row.iter_mut().for_each(|w| *w *= scale));
                let network = Network::read(&weights::to_bytes(&parameters)).unwrap();
                assert_eq!((network.hidden, network.bias), (hidden, bias));
                let pairs: Vec<usize> = (0..8).map(|_| generator.random_range(0..4)).collect();
                let digit = |bit: usize| if bit == 0 { 0.0 } else { 1.0_f32 };
                let x: Vec<f32> =
                    pairs.iter().flat_map(|&pair| [digit(pair / 2), digit(pair % 2)]).collect();
                let mut runner = Runner::new(config);
                let outputs = runner.forward(&parameters, &x, pairs.len(), 1).to_vec();
                let zeros = vec![0.0; hidden];
                let mut set = Zonotope {
                    center: zeros.clone(),
                    generators: vec![],
                    own: zeros.clone(),
                    low: zeros.clone(),
                    high: zeros,
                };
                for (t, &pair) in pairs.iter().enumerate() {
                    set = network.states(&network.recur(&set), pair);
                    for (j, &h) in runner.hidden(t, 0).iter().enumerate() {
                        let h = f64::from(h);
                        assert!(set.low[j] <= h && h <= set.high[j], "{hidden} units, step {t}");
                        let unit: Vec<f64> =
                            (0..hidden).map(|k| if k == j { 1.0 } else { 0.0 }).collect();
                        let (low, high) = set.range(&unit);
                        assert!(low <= h && h <= high);
                    }
                    let (low, high) = set.range(&network.w_out);
                    let low = low + network.b_out - network.out_error;
                    let high = high + network.b_out + network.out_error;
                    let output = f64::from(outputs[t]);
                    assert!(reference(low) - 1e-6 <= output && output <= reference(high) + 1e-6);
                }
            }
        }
    }

    /// A node of two units that has these cells along axes that are nearly orthogonal.
    fn node(cells: Vec<Cell>) -> Node {
        Node { key: "0".to_owned(), axes: Some(vec![vec![0.6, 0.8], vec![-0.79, 0.61]]), cells }
    }

    fn place(node: &Node) -> Place<'_> {
        Place { node, carries: vec![false], pairs: vec![] }
    }

    fn is_in(node: &Node, h: [f64; 2]) -> bool {
        let along: Vec<f64> =
            node.axes.iter().flatten().map(|row| row[0] * h[0] + row[1] * h[1]).collect();
        node.cells.iter().any(|cell| {
            let slope = |i: usize| cell.slopes.as_ref().map_or(0.0, |slopes| slopes[i]);
            (0..2).all(|i| {
                let value = along[i] - slope(i) * along[0];
                cell.low[i] <= value && value <= cell.high[i]
            })
        })
    }

    #[test]
    fn the_zonotope_of_a_cell_holds_the_cell() {
        for slopes in [None, Some(vec![0.0, 0.7]), Some(vec![0.0, -2.0])] {
            let node = node(vec![Cell { low: vec![0.1, -0.2], high: vec![0.9, 0.3], slopes }]);
            let set = place(&node).set(&node.cells[0]);
            let mut inside = 0;
            for n in 0..10_000 {
                let h = [f64::from(n % 100) / 99.0, f64::from(n / 100) / 99.0];
                if is_in(&node, h) {
                    inside += 1;
                    for w in [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, -2.0], [0.6, 0.8]] {
                        let (low, high) = set.range(&w);
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

        /// What a union of cells is said to hold, it holds, point by point.
        #[test]
        fn a_union_of_cells_holds_every_point_of_a_set_that_it_holds(
            edges in prop::collection::vec((-0.3..1.3_f64, 0.0..0.5_f64), 1..6),
            bounds in prop::collection::vec((-0.9..0.1_f64, 0.1..0.9_f64, -0.5..0.5_f64, any::<bool>()), 6),
            center in prop::array::uniform2(0.2..0.8_f64),
            generators in prop::collection::vec(prop::array::uniform2(-0.1..0.1_f64), 0..4),
            shares in prop::collection::vec(prop::array::uniform4(-1.0..1.0_f64), 64),
        ) {
            let mut cells: Vec<Cell> = edges.iter().zip(&bounds).map(|((low, width), (least, most, slope, has))| Cell {
                low: vec![*low, *least],
                high: vec![low + width, *most],
                slopes: has.then(|| vec![0.0, *slope]),
            }).collect();
            cells.sort_by(|a, b| a.low[0].total_cmp(&b.low[0]));
            let node = node(cells);
            let set = Zonotope {
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
            if place(&node).holds(&set) {
                for h in points.filter(|h| h.iter().all(|h| (0.0..=1.0).contains(h))) {
                    prop_assert!(is_in(&node, h), "{:?}", h);
                }
            }
        }
    }

    #[test]
    fn a_gap_between_cells_is_seen() {
        let cell = |low: f64, high: f64| Cell {
            low: vec![low, -0.5],
            high: vec![high, 0.5],
            slopes: None,
        };
        let set = Zonotope {
            center: vec![0.3, 0.4],
            generators: vec![vec![0.06, 0.08]],
            own: vec![0.0; 2],
            low: vec![0.0; 2],
            high: vec![1.0; 2],
        };
        // along the first axis from 0.4 to 0.6
        for (cells, held) in [
            (vec![cell(0.3, 0.7)], true),
            (vec![cell(0.3, 0.5), cell(0.5, 0.7)], true),
            (vec![cell(0.3, 0.5), cell(0.45, 0.7)], true),
            (vec![cell(0.3, 0.5), cell(0.5 + 1e-9, 0.7)], false),
            (vec![cell(0.3, 0.5)], false),
            (vec![cell(0.5, 0.7)], false),
            (vec![cell(0.0, 0.1), cell(0.3, 0.7)], true),
            (vec![cell(0.0, 0.1), cell(0.8, 0.9)], false),
            (vec![cell(0.3, 0.6), cell(0.35, 0.4), cell(0.55, 0.7)], true),
        ] {
            let node = node(cells);
            assert_eq!(place(&node).holds(&set), held);
        }
    }
}
