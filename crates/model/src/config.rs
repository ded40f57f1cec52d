//! An [`Architecture`] that makes sense, checked when made, so that nothing behind it has to
//! check again.

use crate::{
    Architecture, Cell, Error, Head, HeadActivation, HeadSteps, Memory, Nonlinearity, Tensor,
    layout, size,
};
use kernels::recurrent::Sizes;
use serde::{Deserialize, Serialize};

/// An [`Architecture`] that makes sense and whose parameters fit in memory.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Architecture")]
pub struct Config(Architecture);

/// An architecture as it was written, by an older version perhaps.
#[derive(Deserialize)]
#[serde(transparent)]
struct Stored(Architecture);

impl TryFrom<Stored> for Config {
    type Error = Error;

    fn try_from(Stored(architecture): Stored) -> Result<Self, Error> {
        // a dropout that did nothing was let in once, and is read as what it did
        let dropout = if architecture.layers == 1 { 0.0 } else { architecture.dropout };
        Self::new(Architecture { dropout, ..architecture })
    }
}

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
    /// If a size is 0, the dropout is not in [0, 1), or there is one and but one layer, the
    /// parameters would not fit in memory, or the [`Memory`] is not for such a network.
    pub fn new(architecture: Architecture) -> Result<Self, Error> {
        let Architecture { inputs, hidden, layers, dropout, head, embedding, memory, .. } =
            architecture;
        let outputs = head.map_or(1, |head| head.outputs);
        for (name, size) in [
            ("input", inputs),
            ("hidden unit", hidden),
            ("layer", layers),
            ("output", outputs),
            ("symbol", embedding.unwrap_or(1)),
            ("input in its window", if let Memory::Window(length) = memory { length } else { 1 }),
        ] {
            if size == 0 {
                return Err(Error::Zero(name));
            }
        }
        if !(0.0..1.0).contains(&dropout) {
            return Err(Error::Dropout(dropout));
        }
        if dropout > 0.0 && layers == 1 {
            return Err(Error::DropoutOfOneLayer(dropout));
        }
        if memory != Memory::State {
            check_memory(&architecture)?;
        }
        match layout::arena_len(&architecture) {
            Some(count) if count <= size::MOST_PARAMETERS => Ok(Self(architecture)),
            _ => {
                let symbols = embedding.unwrap_or(0);
                Err(Error::TooLarge { inputs, hidden, layers, outputs, symbols })
            }
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

    /// What is different in `self` from `expected`, name by name.
    pub(crate) fn differences(self, expected: Self) -> String {
        self.0.differences(expected.0)
    }

    /// Whether this is [`Config::lab`] for some sizes.
    pub(crate) fn is_lab(&self) -> bool {
        Self::lab(self.inputs(), self.hidden(), self.outputs()).is_ok_and(|lab| lab == *self)
    }

    /// PyTorch's tensors and where their values lie in the arena of such a network.
    pub fn tensors(&self) -> Vec<Tensor> {
        layout::tensors(self.0)
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
        self.0.directions()
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
        self.0.outputs()
    }

    /// The inputs of a layer: I for the first (of a window of n, n·I), D·H for those above.
    pub fn layer_inputs(&self, layer: usize) -> usize {
        self.0.layer_inputs(layer)
    }

    /// V, the rows of the embedding, if there is one.
    pub fn embedding(&self) -> Option<usize> {
        self.0.embedding
    }

    /// V, the symbols that a network can be shown ([`crate::Sequences::of_symbols`]): each
    /// selects a row of the embedding, or, without one, one of the inputs, as a one-hot row
    /// does.
    pub fn symbols(&self) -> usize {
        self.0.symbols()
    }

    /// What it remembers from step to step.
    pub fn memory(&self) -> Memory {
        self.0.memory
    }

    /// The values of a [`crate::State`] for each layer, direction and sequence: H; of a network
    /// that remembers its outputs O; of one that remembers n inputs (n − 1)·I.
    pub fn state_width(&self) -> usize {
        match self.0.memory {
            Memory::State => self.hidden(),
            Memory::Output => self.outputs(),
            Memory::Window(length) => (length - 1) * self.inputs(),
        }
    }

    /// The rows of W_rec: H, or what else comes from the step before through weights.
    pub(crate) fn recurrent_inputs(&self) -> usize {
        self.0.recurrent_inputs()
    }

    /// S, the length of a padded row of hidden units.
    pub(crate) fn stride(&self) -> usize {
        self.0.stride()
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

/// Refuses a memory other than the states of a network that is not one small layer.
fn check_memory(architecture: &Architecture) -> Result<(), Error> {
    let Architecture { cell, layers, bidirectional, dropout, head, memory, .. } = *architecture;
    let found = match (cell, head) {
        (Cell::Gru | Cell::Lstm, _) => format!("a cell of {} gates", cell.gates()),
        _ if layers > 1 => format!("{layers} layers"),
        _ if bidirectional => "two directions".to_owned(),
        _ if dropout > 0.0 => format!("a dropout of {dropout}"),
        (_, None) => "no head".to_owned(),
        (_, Some(Head { steps: HeadSteps::Last, .. })) => "a head on the last step".to_owned(),
        (Cell::Elman(_), Some(_)) => return Ok(()),
    };
    let remembered = if memory == Memory::Output { "outputs" } else { "last inputs" };
    Err(Error::Memory { remembered, found })
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
        assert!(Config::new(Architecture { dropout: 0.99, layers: 2, ..lstm }).is_ok());
        let text = text(Architecture { dropout: 0.25, ..lstm });
        assert!(text.contains("0.25") && text.contains("there is one"), "{text}");
    }

    #[test]
    fn configurations_of_older_versions_are_read() {
        // without embedding and memory, and with a dropout that did nothing
        let written = r#"{"cell":"lstm","inputs":3,"hidden":5,"layers":1,"bidirectional":false,
            "bias":true,"dropout":0.25,"head":null}"#;
        let lstm = Architecture::new(Cell::Lstm, 3, 5);
        let config: Config = serde_json::from_str(written).unwrap();
        assert_eq!(config.architecture(), lstm);
        // and what is written now has no more than it needs
        assert!(!serde_json::to_string(&config).unwrap().contains("memory"));
        let head = Some(Head::linear(2));
        let elman =
            Architecture { head, ..Architecture::new(Cell::Elman(Nonlinearity::Relu), 3, 5) };
        for architecture in [
            Architecture { embedding: Some(7), ..lstm },
            Architecture { memory: Memory::Output, ..elman },
            Architecture { memory: Memory::Window(4), ..elman },
        ] {
            let config = Config::new(architecture).unwrap();
            let text = serde_json::to_string(&config).unwrap();
            assert_eq!(serde_json::from_str::<Config>(&text).unwrap(), config, "{text}");
        }
        let zero = written.replace("\"hidden\":5", "\"hidden\":0");
        assert!(serde_json::from_str::<Config>(&zero).is_err());
    }

    #[test]
    fn what_differs_is_named_and_nothing_else() {
        let one = Architecture::new(Cell::Gru, 2, 3);
        let other = Architecture { hidden: 4, head: Some(Head::linear(5)), ..one };
        let [one, other] = [one, other].map(|architecture| Config::new(architecture).unwrap());
        assert_eq!(one.differences(one), "");
        let text = other.differences(one);
        assert!(text.starts_with("hidden units: 4, not 3; the head: 5 outputs"), "{text}");
        assert!(text.ends_with("not none") && !text.contains("inputs"), "{text}");
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
