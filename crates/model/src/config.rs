//! What a network is: its cell, its sizes, its head.
//!
//! An [`Architecture`] says it in plain fields; a [`Config`] is one that makes sense,
//! checked when made, so that nothing behind it has to check again. No weights and no
//! arithmetic here; where each weight lies is `layout`'s.

use crate::{Error, Tensor, layout};
use kernels::cell::elman;
use kernels::recurrent::{Sizes, row_stride};
use serde::{Deserialize, Serialize};

/// The most parameters, padding included, that a network may have: 4 GiB of them.
pub(crate) const MOST_PARAMETERS: usize = 1 << 30;

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

/// A network in plain fields, to be checked by [`Config::new`].
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
}

impl Architecture {
    /// One layer with biases, forward only, without dropout and head.
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
        }
    }
}

/// An [`Architecture`] that makes sense and whose parameters fit in memory.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Architecture", into = "Architecture")]
pub struct Config(Architecture);

impl TryFrom<Architecture> for Config {
    type Error = Error;

    fn try_from(architecture: Architecture) -> Result<Self, Error> {
        Self::new(architecture)
    }
}

impl From<Config> for Architecture {
    fn from(config: Config) -> Self {
        config.0
    }
}

impl Config {
    /// Checks an architecture.
    ///
    /// # Errors
    /// If a size is 0, the dropout is not in [0, 1), or the parameters would not fit
    /// in memory.
    pub fn new(architecture: Architecture) -> Result<Self, Error> {
        let Architecture { inputs, hidden, layers, dropout, head, .. } = architecture;
        let outputs = head.map_or(1, |head| head.outputs);
        for (name, size) in
            [("input", inputs), ("hidden unit", hidden), ("layer", layers), ("output", outputs)]
        {
            if size == 0 {
                return Err(Error::Zero(name));
            }
        }
        if !(0.0..1.0).contains(&dropout) {
            return Err(Error::Dropout(dropout));
        }
        match layout::arena_len(&architecture) {
            Some(count) if count <= MOST_PARAMETERS => Ok(Self(architecture)),
            _ => Err(Error::TooLarge { inputs, hidden, layers, outputs }),
        }
    }

    /// The lab's network: I inputs, one layer of H sigmoid units, O sigmoid outputs at
    /// every step, no biases. One sequence after the other, it runs fused.
    ///
    /// # Errors
    /// If one of them is 0, or the parameters would not fit in memory.
    pub fn lab(inputs: usize, hidden: usize, outputs: usize) -> Result<Self, Error> {
        let (steps, activation) = (HeadSteps::Every, HeadActivation::Sigmoid);
        Self::new(Architecture {
            bias: false,
            head: Some(Head { outputs, bias: false, steps, activation }),
            ..Architecture::new(Cell::Elman(Nonlinearity::Sigmoid), inputs, hidden)
        })
    }

    /// Whether this is [`Config::lab`] for some sizes.
    pub(crate) fn is_lab(&self) -> bool {
        Self::lab(self.inputs(), self.hidden(), self.outputs()).is_ok_and(|lab| lab == *self)
    }

    /// PyTorch's tensors and where their values lie in the arena of such a network.
    pub fn tensors(&self) -> Vec<Tensor> {
        layout::tensors(*self)
    }

    /// The values of the arena of parameters, padding included.
    pub fn arena_len(&self) -> usize {
        layout::arena_len(&self.0).expect("checked when made")
    }

    /// All of it, in plain fields.
    pub fn architecture(&self) -> Architecture {
        self.0
    }

    /// The cell of all layers.
    pub fn cell(&self) -> Cell {
        self.0.cell
    }

    /// I, the inputs of a step.
    pub fn inputs(&self) -> usize {
        self.0.inputs
    }

    /// H, the hidden units of a layer and direction.
    pub fn hidden(&self) -> usize {
        self.0.hidden
    }

    /// How many layers there are.
    pub fn layers(&self) -> usize {
        self.0.layers
    }

    /// D, the directions: 1, or 2 if bidirectional.
    pub fn directions(&self) -> usize {
        1 + usize::from(self.0.bidirectional)
    }

    /// Whether the cells have biases.
    pub fn bias(&self) -> bool {
        self.0.bias
    }

    /// The share of outputs between layers that a training pass drops.
    pub fn dropout(&self) -> f32 {
        self.0.dropout
    }

    /// The head, if there is one.
    pub fn head(&self) -> Option<Head> {
        self.0.head
    }

    /// The values of an output row: O of the head, or else D·H, the states of the last
    /// layer.
    pub fn outputs(&self) -> usize {
        self.0.head.map_or(self.directions() * self.hidden(), |head| head.outputs)
    }

    /// The inputs of a layer: I for the first, D·H for those above.
    pub fn layer_inputs(&self, layer: usize) -> usize {
        if layer == 0 { self.inputs() } else { self.directions() * self.hidden() }
    }

    /// V, the symbols that a network can be shown ([`crate::Sequences::of_symbols`]): each
    /// selects one of the inputs, as a one-hot row does.
    pub fn symbols(&self) -> usize {
        self.inputs()
    }

    /// S, the length of a padded row of hidden units.
    pub(crate) fn stride(&self) -> usize {
        row_stride(self.hidden())
    }

    /// These sizes, for `steps` (T) steps of `batch` (B) sequences of the lab's network.
    pub(crate) fn sizes(&self, steps: usize, batch: usize) -> Sizes {
        Sizes {
            steps,
            batch,
            inputs: self.inputs(),
            hidden: self.hidden(),
            outputs: self.outputs(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_that_make_no_sense_are_refused_by_name() {
        for (inputs, hidden, outputs, name) in
            [(0, 1, 1, "one input"), (1, 0, 1, "one hidden unit"), (1, 1, 0, "one output")]
        {
            let text = Config::lab(inputs, hidden, outputs).unwrap_err().to_string();
            assert!(text.contains(name), "{text}");
        }
        for hidden in [40_000, usize::MAX - 3, usize::MAX] {
            let text = Config::lab(2, hidden, 1).unwrap_err().to_string();
            assert!(text.contains(&hidden.to_string()) && text.contains("memory"), "{text}");
        }
        assert!(Config::lab(usize::MAX, 1, usize::MAX).is_err());
        assert!(Config::lab(1, 1, 1).is_ok());
    }

    #[test]
    fn layers_dropout_and_heads_that_make_no_sense_are_refused_by_value() {
        let lstm = Architecture::new(Cell::Lstm, 3, 5);
        let text = |architecture| Config::new(architecture).unwrap_err().to_string();
        assert!(text(Architecture { layers: 0, ..lstm }).contains("one layer"));
        assert!(text(Architecture { head: Some(Head::linear(0)), ..lstm }).contains("one output"));
        for layers in [1 << 40, usize::MAX] {
            let text = text(Architecture { layers, bidirectional: true, ..lstm });
            assert!(text.contains(&layers.to_string()) && text.contains("memory"), "{text}");
        }
        for dropout in [1.0, -0.1, 1.5, f32::NAN, f32::INFINITY] {
            let text = text(Architecture { dropout, ..lstm });
            assert!(text.contains(&format!("{dropout}")) && text.contains("[0, 1)"), "{text}");
        }
        assert!(Config::new(Architecture { dropout: 0.99, ..lstm }).is_ok());
    }

    #[test]
    fn the_lab_is_one_configuration() {
        let lab = Config::lab(2, 16, 1).unwrap();
        assert!(lab.is_lab() && lab.outputs() == 1 && lab.directions() == 1);
        let other = Architecture { bias: true, ..lab.architecture() };
        assert!(!Config::new(other).unwrap().is_lab());
        assert!(!Config::new(Architecture::new(Cell::Gru, 2, 16)).unwrap().is_lab());
    }
}
