//! Every network that a [`Config`] can say, as plain f64 loops that read like the
//! formulas, and its gradient.
//!
//! Central differences prove this gradient, PyTorch agrees with it, and it proves the
//! fast path. It allocates as it likes and is not fast. It runs one sequence at a time,
//! so that sequences of unequal length are nothing special here.
//!
//! Legend: T steps, I inputs, H hidden units, O outputs, G gates, D directions, L
//! layers; I_l is I for the first layer and D·H above. A gradient is `d` and the name.

mod cell;
mod plain;
mod weights;

pub use cell::Step;
pub use weights::{Layer, Linear, Matrix};

use crate::{Config, HeadActivation, HeadSteps, Memory, Parameters};
use kernels::reference::sigmoid;
use plain::Plain;
use weights::{add, add_outer, add_to_column, add_transposed, affine, selected};

/// Weights, or gradients, in f64, without padding.
#[derive(Clone, Debug, PartialEq)]
pub struct Reference {
    config: Config,
    /// `[V][I]`, if there is one.
    pub embedding: Option<Matrix>,
    /// `[L·D]`: layer by layer, its directions one after the other.
    pub layers: Vec<Layer>,
    /// The head, if there is one.
    pub head: Option<Linear>,
}

/// The inputs of one sequence.
#[derive(Clone, Copy, Debug)]
pub enum Sequence<'a> {
    /// `[T][I]`
    Values(&'a [Vec<f64>]),
    /// `[T]`: each selects the column of W_ih that a one-hot row of values would; or, where there
    /// is an embedding, its row.
    Symbols(&'a [u32]),
}

impl<'a> From<&'a [Vec<f64>]> for Sequence<'a> {
    fn from(values: &'a [Vec<f64>]) -> Self {
        Self::Values(values)
    }
}

impl<'a> From<&'a Matrix> for Sequence<'a> {
    fn from(values: &'a Matrix) -> Self {
        Self::Values(values)
    }
}

impl<'a> From<&'a [u32]> for Sequence<'a> {
    fn from(symbols: &'a [u32]) -> Self {
        Self::Symbols(symbols)
    }
}

/// The states, or their gradients, of one sequence between two steps; or what else the network
/// remembers ([`crate::Memory`]), of [`Config::state_width`] instead of H.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// `[L·D][H]`
    pub h: Matrix,
    /// `[L·D][H]`; zeros but in an LSTM.
    pub c: Matrix,
}

impl State {
    /// All zeros.
    pub fn zeros(config: Config) -> Self {
        let zeros = vec![vec![0.0; config.state_width()]; config.layers() * config.directions()];
        Self { h: zeros.clone(), c: zeros }
    }
}

/// What one sequence made of the network, for the backward pass.
#[derive(Clone, Debug)]
pub struct Pass {
    /// The outputs: `[T][O]`, or `[1][O]` for a head on the last step (none if T is 0),
    /// or `[T][D·H]` without a head.
    pub y: Matrix,
    /// The states `[T][D·H]` of the last layer.
    pub states: Matrix,
    /// The state behind the last step of each layer and direction.
    pub last: State,
    /// `[L·D][T]`: every step of every layer and direction, by its time.
    pub steps: Vec<Vec<Step>>,
    /// `[L][T][I_l]`: what each layer saw, behind the dropout; nothing of the first layer if it
    /// saw symbols.
    inputs: Vec<Matrix>,
    /// `[T]`, or empty.
    symbols: Vec<u32>,
    /// `[L − 1][T][D·H]`, or empty.
    masks: Vec<Matrix>,
    /// The state before the first step.
    first: State,
}

impl Reference {
    /// All zeros.
    pub fn zeros(config: Config) -> Self {
        let (hidden, rows) = (config.hidden(), config.cell().gates() * config.hidden());
        let matrix = |rows, columns| vec![vec![0.0; columns]; rows];
        let bias = vec![0.0; if config.bias() { rows } else { 0 }];
        let layer = |index| Layer {
            w_ih: matrix(rows, config.layer_inputs(index / config.directions())),
            w_hh: matrix(rows, config.recurrent_inputs()),
            b_ih: bias.clone(),
            b_hh: if config.recurrent_inputs() == 0 { vec![] } else { bias.clone() },
        };
        Self {
            config,
            embedding: config.embedding().map(|symbols| matrix(symbols, config.inputs())),
            layers: (0..config.layers() * config.directions()).map(layer).collect(),
            head: config.head().map(|head| Linear {
                weight: matrix(head.outputs, config.directions() * hidden),
                bias: vec![0.0; if head.bias { head.outputs } else { 0 }],
            }),
        }
    }

    /// Every value, in the order of [`Parameters::tensors`].
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut f64> {
        let layers = self.layers.iter_mut().flat_map(|layer| {
            let Layer { w_ih, w_hh, b_ih, b_hh } = layer;
            w_ih.iter_mut().chain(w_hh).flatten().chain(b_ih).chain(b_hh)
        });
        let embedding = self.embedding.iter_mut().flatten().flatten();
        let head = self.head.iter_mut().flat_map(|head| {
            let Linear { weight, bias } = head;
            weight.iter_mut().flatten().chain(bias)
        });
        embedding.chain(layers).chain(head)
    }

    /// Every value, in the order of [`Parameters::tensors`].
    pub fn values(&self) -> impl Iterator<Item = f64> {
        let layers = self.layers.iter().flat_map(|layer| {
            let Layer { w_ih, w_hh, b_ih, b_hh } = layer;
            w_ih.iter().chain(w_hh).flatten().chain(b_ih).chain(b_hh)
        });
        let embedding = self.embedding.iter().flatten().flatten();
        let head = self.head.iter().flat_map(|head| head.weight.iter().flatten().chain(&head.bias));
        embedding.chain(layers).chain(head).copied()
    }

    /// The values by PyTorch's names, each tensor row by row.
    pub fn tensors(&self) -> Vec<(String, Vec<f64>)> {
        let mut values = self.values();
        let tensors = self.config.tensors();
        let named = tensors.iter().map(|tensor| {
            let count = tensor.rows() * tensor.columns();
            (tensor.name().to_owned(), values.by_ref().take(count).collect())
        });
        named.collect()
    }

    /// One sequence `x` `[T][I]`, or of T symbols, from the zero state, without dropout.
    pub fn forward<'x>(&self, x: impl Into<Sequence<'x>>) -> Pass {
        self.forward_from(x, &State::zeros(self.config), &[])
    }

    /// One sequence `x` `[T][I]`, or of T symbols, from the state `first`. `masks` `[L − 1][T][D·H]` holds
    /// what each output between two layers is multiplied by (with dropout p: 0 or
    /// 1/(1 − p)); none means no dropout.
    pub fn forward_from<'x>(
        &self,
        x: impl Into<Sequence<'x>>,
        first: &State,
        masks: &[Matrix],
    ) -> Pass {
        let directions = self.config.directions();
        let (mut last, mut steps, mut inputs) = (first.clone(), Vec::new(), Vec::new());
        let (mut features, symbols) = match (x.into(), &self.embedding) {
            (Sequence::Values(x), None) => (x.to_vec(), &[][..]),
            (Sequence::Values(_), Some(_)) => panic!("an embedding takes symbols"),
            (Sequence::Symbols(symbols), None) => (vec![], symbols),
            (Sequence::Symbols(symbols), Some(embedding)) => {
                let row = |&symbol: &u32| embedding[symbol as usize].clone();
                (symbols.iter().map(row).collect(), symbols)
            }
        };
        if self.config.memory() != Memory::State {
            if self.embedding.is_none() {
                let inputs = self.config.inputs();
                features.extend(symbols.iter().map(|&symbol| one_hot(symbol, inputs)));
            }
            let pass = self.plain().forward(&features, &first.h[0]);
            return Pass {
                y: pass.y,
                states: pass.steps.iter().map(|step| step.h.clone()).collect(),
                last: State { h: vec![pass.last], c: first.c.clone() },
                steps: vec![pass.steps],
                inputs: vec![features],
                symbols: symbols.to_vec(),
                masks: vec![],
                first: first.clone(),
            };
        }
        let length = features.len().max(symbols.len());
        let selects = self.embedding.is_none(); // a column of W_ih
        for layer in 0..self.config.layers() {
            if let (1.., [_, ..]) = (layer, masks) {
                features = multiplied(&features, &masks[layer - 1]);
            }
            for index in layer * directions..(layer + 1) * directions {
                let (mut h, mut c) = (first.h[index].clone(), first.c[index].clone());
                let weights = &self.layers[index];
                let mut visited = Vec::new();
                for t in times(index % directions, length) {
                    let a = match symbols.get(t) {
                        Some(&symbol) if layer == 0 && selects => {
                            selected(&weights.w_ih, &weights.b_ih, symbol as usize)
                        }
                        _ => affine(&weights.w_ih, &weights.b_ih, &features[t]),
                    };
                    let r = affine(&weights.w_hh, &weights.b_hh, &h);
                    let step = cell::forward(self.config.cell(), a, r, h, c);
                    (h, c) = (step.h.clone(), step.c.clone());
                    visited.push(step);
                }
                (last.h[index], last.c[index]) = (h, c);
                if index % directions == 1 {
                    visited.reverse();
                }
                steps.push(visited);
            }
            // the outputs of the directions side by side
            let of_layer = &steps[layer * directions..];
            let row = |t: usize| of_layer.iter().flat_map(|steps| steps[t].h.clone()).collect();
            inputs.push(features);
            features = (0..length).map(row).collect();
        }
        let y = self.outputs(&features);
        let (masks, symbols) = (masks.to_vec(), symbols.to_vec());
        let first = first.clone();
        Pass { y, states: features, last, steps, inputs, symbols, masks, first }
    }

    /// `activation(weight · states[t] + bias)` where the head is applied.
    fn outputs(&self, states: &Matrix) -> Matrix {
        let Some(linear) = &self.head else { return states.clone() };
        let output = |t: usize| {
            let sums = affine(&linear.weight, &linear.bias, &states[t]);
            match self.activation() {
                HeadActivation::Identity => sums,
                HeadActivation::Sigmoid => sums.into_iter().map(sigmoid).collect(),
            }
        };
        self.head_times(states.len()).map(output).collect()
    }

    /// `½ Σ (y − o)²` over a sequence, and its gradient before the head's activation.
    pub fn squared_error(&self, pass: &Pass, targets: &[Vec<f64>]) -> (f64, Matrix) {
        let mut loss = 0.0;
        let gradient = pass.y.iter().zip(targets).map(|(outputs, targets)| {
            let pairs = outputs.iter().zip(targets);
            loss += pairs.clone().map(|(o, y)| 0.5 * (y - o).powi(2)).sum::<f64>();
            let slope = |o: f64| match self.activation() {
                HeadActivation::Identity => 1.0,
                HeadActivation::Sigmoid => o * (1.0 - o),
            };
            pairs.map(|(&o, y)| (o - y) * slope(o)).collect()
        });
        let gradient = gradient.collect();
        (loss, gradient)
    }

    /// Adds the gradient of one sequence to `gradient`; `dy`, like the outputs of `pass`,
    /// is the gradient before the head's activation. Returns `dx` `[T][I]`, of no meaning for
    /// symbols, and the gradient of the first state.
    pub fn backward(&self, pass: &Pass, dy: &[Vec<f64>], gradient: &mut Self) -> (Matrix, State) {
        self.backward_from(pass, dy, &State::zeros(self.config), gradient)
    }

    /// [`Reference::backward`] when the last state has a gradient `dlast` of its own.
    pub fn backward_from(
        &self,
        pass: &Pass,
        dy: &[Vec<f64>],
        dlast: &State,
        gradient: &mut Self,
    ) -> (Matrix, State) {
        let (dx, dfirst) = match self.config.memory() {
            Memory::State => self.recurrent_backward(pass, dy, dlast, gradient),
            Memory::Output | Memory::Window(_) => {
                let of_pass = plain::Seen {
                    x: &pass.inputs[0],
                    first: &pass.first.h[0],
                    y: &pass.y,
                    steps: &pass.steps[0],
                };
                let dlinear = gradient.head.as_mut().expect("checked with the Config");
                let gradient = (&mut gradient.layers[0], dlinear);
                let (dx, dfirst) = self.plain().backward(&of_pass, dy, &dlast.h[0], gradient);
                (dx, State { h: vec![dfirst], c: dlast.c.clone() })
            }
        };
        if let Some(dembedding) = &mut gradient.embedding {
            for (&symbol, dx) in pass.symbols.iter().zip(&dx) {
                add(&mut dembedding[symbol as usize], dx);
            }
        }
        (dx, dfirst)
    }

    fn recurrent_backward(
        &self,
        pass: &Pass,
        dy: &[Vec<f64>],
        dlast: &State,
        gradient: &mut Self,
    ) -> (Matrix, State) {
        let (directions, hidden) = (self.config.directions(), self.config.hidden());
        let steps = pass.states.len();
        let mut dfirst = dlast.clone();

        // y = W·states[t] + b
        let mut dfeatures = vec![vec![0.0; directions * hidden]; steps];
        if let (Some(linear), Some(dlinear)) = (&self.head, &mut gradient.head) {
            for (t, dy) in self.head_times(steps).zip(dy) {
                add_outer(&mut dlinear.weight, dy, &pass.states[t]);
                add(&mut dlinear.bias, dy);
                add_transposed(&mut dfeatures[t], &linear.weight, dy);
            }
        } else {
            dfeatures = dy.to_vec();
        }

        for layer in (0..self.config.layers()).rev() {
            let inputs = &pass.inputs[layer];
            let mut dinputs = vec![vec![0.0; self.config.layer_inputs(layer)]; steps];
            for direction in 0..directions {
                let index = layer * directions + direction;
                let (weights, dweights) = (&self.layers[index], &mut gradient.layers[index]);
                let (mut dh, mut dc) = (dlast.h[index].clone(), dlast.c[index].clone());
                for t in times(direction, steps).rev() {
                    add(&mut dh, &dfeatures[t][direction * hidden..][..hidden]);
                    let step = &pass.steps[index][t];
                    let back = cell::backward(self.config.cell(), step, &dh, &dc);
                    // a = W_ih x + b_ih
                    add(&mut dweights.b_ih, &back.da);
                    match pass.symbols.get(t) {
                        Some(&symbol) if layer == 0 && self.embedding.is_none() => {
                            add_to_column(&mut dweights.w_ih, symbol as usize, &back.da);
                        }
                        _ => {
                            add_outer(&mut dweights.w_ih, &back.da, &inputs[t]);
                            add_transposed(&mut dinputs[t], &weights.w_ih, &back.da);
                        }
                    }
                    // r = W_hh h_before + b_hh
                    add_outer(&mut dweights.w_hh, &back.dr, &step.h_before);
                    add(&mut dweights.b_hh, &back.dr);
                    (dh, dc) = (back.dh_before, back.dc_before);
                    add_transposed(&mut dh, &weights.w_hh, &back.dr);
                }
                (dfirst.h[index], dfirst.c[index]) = (dh, dc);
            }
            dfeatures = dinputs;
            if let (1.., [_, ..]) = (layer, &pass.masks[..]) {
                dfeatures = multiplied(&dfeatures, &pass.masks[layer - 1]);
            }
        }
        (dfeatures, dfirst)
    }

    /// As a network that remembers something else than its states.
    fn plain(&self) -> Plain<'_> {
        Plain {
            cell: self.config.cell(),
            memory: self.config.memory(),
            activation: self.activation(),
            inputs: self.config.inputs(),
            layer: &self.layers[0],
            linear: self.head.as_ref().expect("checked with the Config"),
        }
    }

    fn activation(&self) -> HeadActivation {
        self.config.head().map_or(HeadActivation::Identity, |head| head.activation)
    }

    /// The steps, of `steps`, at which the head is applied.
    fn head_times(&self, steps: usize) -> std::ops::Range<usize> {
        match self.config.head().map(|head| head.steps) {
            Some(HeadSteps::Last) => steps.saturating_sub(1)..steps,
            Some(HeadSteps::Every) | None => 0..steps,
        }
    }
}

/// The steps in the order in which a direction visits them.
fn times(direction: usize, steps: usize) -> impl DoubleEndedIterator<Item = usize> {
    (0..steps).map(move |step| if direction == 0 { step } else { steps - 1 - step })
}

/// A row that is 1 at `place` and 0 elsewhere.
fn one_hot(place: u32, len: usize) -> Vec<f64> {
    let mut row = vec![0.0; len];
    row[place as usize] = 1.0;
    row
}

/// `features ⊙ mask`
fn multiplied(features: &[Vec<f64>], mask: &[Vec<f64>]) -> Matrix {
    let row = |(x, m): (&Vec<f64>, &Vec<f64>)| x.iter().zip(m).map(|(x, m)| x * m).collect();
    features.iter().zip(mask).map(row).collect()
}

impl From<&Parameters> for Reference {
    fn from(parameters: &Parameters) -> Self {
        let mut reference = Self::zeros(parameters.config());
        let tensors = parameters.tensors();
        let places = tensors.iter().flat_map(|tensor| tensor.indices());
        for (value, place) in reference.values_mut().zip(places) {
            *value = f64::from(parameters.arena()[place]);
        }
        reference
    }
}
