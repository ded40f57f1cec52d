//! What a network is, in plain fields: its cell, its sizes, its head, what it remembers.
//!
//! Nothing here is checked; that is `config`'s. No weights and no arithmetic; where each weight
//! lies is `layout`'s.

use kernels::cell::elman;
use kernels::recurrent::row_stride;
use serde::{Deserialize, Serialize};

/// What an Elman cell does to its sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Nonlinearity {
    /// tanh(z)
    Tanh,
    /// max(z, 0)
    Relu,
    /// 1 / (1 + e^−z)
    Sigmoid,
}

impl From<Nonlinearity> for elman::Nonlinearity {
    fn from(nonlinearity: Nonlinearity) -> Self {
        match nonlinearity {
            Nonlinearity::Tanh => Self::Tanh,
            Nonlinearity::Relu => Self::Relu,
            Nonlinearity::Sigmoid => Self::Sigmoid,
        }
    }
}

/// The recurrent cell, with the equations, gate order and two biases of PyTorch's
/// `RNN`, `GRU` and `LSTM`; with `a = W_ih x + b_ih` and `r = W_hh h + b_hh`:
///
/// ```text
/// Elman   h' = f(a + r)
/// GRU     r, z = σ(a + r)   n = tanh(a_n + r ⊙ r_n)   h' = (1 − z) ⊙ n + z ⊙ h
/// LSTM    i, f, o = σ(a + r)   g = tanh(a_g + r_g)    c' = f ⊙ c + i ⊙ g   h' = o ⊙ tanh(c')
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cell {
    /// One sum, one nonlinearity.
    Elman(Nonlinearity),
    /// Gates r (reset), z (update), n (new), in this order.
    Gru,
    /// Gates i (input), f (forget), g (cell), o (output), in this order.
    Lstm,
}

impl Cell {
    /// G, the sums of a unit: 1, 3 or 4.
    pub const fn gates(self) -> usize {
        match self {
            Self::Elman(_) => 1,
            Self::Gru => 3,
            Self::Lstm => 4,
        }
    }
}

/// What a network remembers from step to step.
///
/// The two others than [`Memory::State`] are small networks to compare with: one layer of an
/// Elman cell, one direction, a head on every step, no dropout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Memory {
    /// The states of its layers, as a recurrent network does.
    #[default]
    State,
    /// Its outputs, behind the head's activation (M. I. Jordan, Serial order, 1986):
    ///
    /// ```text
    /// h_t = f(W_ih x_t + b_ih + W_hh y_{t−1} + b_hh)    y_t = head(h_t)    y_{−1} = 0
    /// ```
    Output,
    /// Its last n inputs, side by side in the order of time, zeros before the first: a
    /// feed-forward network. It has no W_hh and no b_hh.
    ///
    /// ```text
    /// h_t = f(W_ih [x_{t−n+1}, …, x_t] + b_ih)          y_t = head(h_t)
    /// ```
    Window(usize),
}

impl Memory {
    fn is_state(&self) -> bool {
        *self == Self::State
    }
}

/// The steps at which the head is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HeadSteps {
    /// At each: outputs `[T, B, O]`.
    Every,
    /// At each sequence's own last step: outputs `[B, O]`. As with `output[-1]` in
    /// PyTorch, the backward direction has seen only that step by then.
    Last,
}

/// What the head does to its sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HeadActivation {
    /// Nothing: the outputs are logits, or plain numbers.
    Identity,
    /// 1 / (1 + e^−z), as in the lab. Losses still give the gradient before it.
    Sigmoid,
}

/// A linear layer on the last layer's states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// O
    pub outputs: usize,
    /// Whether it adds a bias.
    pub bias: bool,
    /// Where it is applied.
    pub steps: HeadSteps,
    /// What it does to its sums.
    pub activation: HeadActivation,
}

impl Head {
    /// PyTorch's `Linear` with a bias, on every step.
    pub const fn linear(outputs: usize) -> Self {
        Self { outputs, bias: true, steps: HeadSteps::Every, activation: HeadActivation::Identity }
    }
}

/// A network in plain fields, to be checked by [`crate::Config::new`].
///
/// ```
/// use model::{Architecture, Cell, Config, Head};
///
/// let lstm = Architecture::new(Cell::Lstm, 28, 128); // I, H; one layer, biases, no head
/// let config = Config::new(Architecture { layers: 2, head: Some(Head::linear(10)), ..lstm })?;
/// assert_eq!(config.outputs(), 10);
/// # Ok::<(), model::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Architecture {
    /// The cell of all layers.
    pub cell: Cell,
    /// I, the inputs of a step.
    pub inputs: usize,
    /// H, the hidden units of a layer and direction.
    pub hidden: usize,
    /// Layers, each fed with the states of the one below.
    pub layers: usize,
    /// Whether each layer also runs from the last step to the first.
    pub bidirectional: bool,
    /// Whether the cells have biases (two vectors each, as in PyTorch).
    pub bias: bool,
    /// The share of each layer's outputs, but the last's, that a training pass drops.
    pub dropout: f32,
    /// Without one, the outputs are the last layer's states.
    pub head: Option<Head>,
    /// V, the rows of an embedding `[V, I]` before the first layer (PyTorch's `Embedding`): the
    /// network is then shown symbols, each of which selects a row of I values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedding: Option<usize>,
    /// What it remembers from step to step.
    #[serde(default, skip_serializing_if = "Memory::is_state")]
    pub memory: Memory,
}

impl Architecture {
    /// One layer with biases, forward only, without dropout, head and embedding.
    pub const fn new(cell: Cell, inputs: usize, hidden: usize) -> Self {
        Self {
            cell,
            inputs,
            hidden,
            layers: 1,
            bidirectional: false,
            bias: true,
            dropout: 0.0,
            head: None,
            embedding: None,
            memory: Memory::State,
        }
    }

    /// D
    pub(crate) fn directions(&self) -> usize {
        1 + usize::from(self.bidirectional)
    }

    /// S
    pub(crate) fn stride(&self) -> usize {
        row_stride(self.hidden)
    }

    /// O, or D·H without a head.
    pub(crate) fn outputs(&self) -> usize {
        self.head.map_or(self.directions() * self.hidden, |head| head.outputs)
    }

    /// I_l
    pub(crate) fn layer_inputs(&self, layer: usize) -> usize {
        match (layer, self.memory) {
            (0, Memory::Window(length)) => length * self.inputs,
            (0, _) => self.inputs,
            _ => self.directions() * self.hidden,
        }
    }

    /// V
    pub(crate) fn symbols(&self) -> usize {
        self.embedding.unwrap_or(self.inputs)
    }

    /// The rows of W_rec: H, or what else comes from the step before through weights.
    pub(crate) fn recurrent_inputs(&self) -> usize {
        match self.memory {
            Memory::State => self.hidden,
            Memory::Output => self.outputs(),
            Memory::Window(_) => 0,
        }
    }

    /// What is different in `self` from `expected`, name by name.
    pub(crate) fn differences(self, expected: Self) -> String {
        let head = |architecture: Self| {
            architecture.head.map_or("none".to_owned(), |head| {
                let Head { outputs, bias, steps, activation } = head;
                let bias = if bias { "a bias" } else { "no bias" };
                format!("{outputs} outputs, {bias}, {steps:?} step, {activation:?}")
            })
        };
        let texts = |a: Self| {
            [
                ("the cell", format!("{:?}", a.cell)),
                ("inputs", a.inputs.to_string()),
                ("hidden units", a.hidden.to_string()),
                ("layers", a.layers.to_string()),
                ("bidirectional", a.bidirectional.to_string()),
                ("biases", a.bias.to_string()),
                ("dropout", a.dropout.to_string()),
                ("the head", head(a)),
                (
                    "the embedding",
                    a.embedding.map_or("none".to_owned(), |v| format!("{v} symbols")),
                ),
                ("the memory", format!("{:?}", a.memory)),
            ]
        };
        let pairs = texts(self).into_iter().zip(texts(expected));
        let different = pairs.filter(|((_, found), (_, expected))| found != expected);
        let named = different
            .map(|((name, found), (_, expected))| format!("{name}: {found}, not {expected}"));
        named.collect::<Vec<_>>().join("; ")
    }
}
