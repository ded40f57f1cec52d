//! What can go wrong: a configuration that makes no sense, weights that do not fit.

use crate::size;

/// An error of this crate; the text names the thing, the value and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A size of the network is zero.
    #[error("a network needs at least one {0}, and 0 were asked for")]
    Zero(&'static str),

    /// The share to drop is not in [0, 1).
    #[error("a dropout of {0} makes no sense; give a share in [0, 1)")]
    Dropout(f32),

    /// Dropout stands between layers, and there is one.
    #[error(
        "a dropout of {0} would do nothing: it stands between layers, and there is one; take two \
         layers or more, or a dropout of 0"
    )]
    DropoutOfOneLayer(f32),

    /// The parameters would not fit in memory.
    #[error(
        "a network of {inputs} inputs, {layers} layers of {hidden} hidden units and {outputs} \
         outputs{} does not fit in memory; at most {} parameters do",
        if *symbols > 0 { format!(", with an embedding of {symbols} symbols,") } else { String::new() },
        size::MOST_PARAMETERS
    )]
    TooLarge {
        /// I
        inputs: usize,
        /// H
        hidden: usize,
        /// Layers.
        layers: usize,
        /// O
        outputs: usize,
        /// V of an embedding, 0 without one.
        symbols: usize,
    },

    /// Only a small network remembers its outputs or its inputs.
    #[error(
        "a network that remembers its {remembered} has one layer of an Elman cell in one \
         direction, a head on every step and no dropout; this one has {found}"
    )]
    Memory {
        /// What it is to remember.
        remembered: &'static str,
        /// What it has instead.
        found: String,
    },

    /// A network with an embedding was given values.
    #[error(
        "a network with an embedding takes symbols, each below {symbols}, and was given values; \
         make the sequences with Sequences::of_symbols, a stream's step with step_symbol"
    )]
    ValuesForEmbedding {
        /// V
        symbols: usize,
    },

    /// A mask of a loss has not one mark for each step of each sequence.
    #[error("{found} marks were given for {expected} steps; give one for each of T·B")]
    MarkCount {
        /// How many marks there are.
        found: usize,
        /// T·B
        expected: usize,
    },

    /// A target is no class.
    #[error(
        "the target at step {step} of sequence {sequence} is class {class}, and there are \
         {classes}, counted from 0"
    )]
    Class {
        /// t
        step: usize,
        /// Which of the batch.
        sequence: usize,
        /// The target.
        class: u32,
        /// O
        classes: usize,
    },

    /// A target is no probability.
    #[error(
        "the target for output {output} at step {step} of sequence {sequence} is {value}; a \
         binary cross-entropy takes targets from 0 to 1"
    )]
    Probability {
        /// t
        step: usize,
        /// Which of the batch.
        sequence: usize,
        /// Which of the outputs.
        output: usize,
        /// The target.
        value: f32,
    },

    /// The bytes are not a safetensors file.
    #[error(
        "the weights are not a whole safetensors file ({0}); write them again (in PyTorch by \
         safetensors.torch.save_file(module.state_dict(), path)), or train the network again"
    )]
    NotSafetensors(#[from] safetensors::SafeTensorError),

    /// The tensors are not those of the network.
    #[error(
        "the weights do not fit the network: {}; take the configuration that they were saved \
         with (a prefix such as `lstm.` or `module.` may stand before all names; a Linear behind \
         the cells is called `head`, an Embedding before them `embedding`)",
        differences_of_names(missing, foreign)
    )]
    Tensors {
        /// The tensors that the network has, and the weights do not; sorted.
        missing: Vec<String>,
        /// The tensors that the weights hold, and the network does not have; sorted.
        foreign: Vec<String>,
    },

    /// A tensor has another shape or type than the network's.
    #[error("tensor `{name}` is {found}, the network's configuration asks for {expected}")]
    Mismatch {
        /// The tensor's name.
        name: String,
        /// Its type and shape in the file.
        found: String,
        /// The type and shape that fit.
        expected: String,
    },

    /// A weight is NaN or infinite.
    #[error("tensor `{name}` holds {value} at index {index}; weights must be finite")]
    NotFinite {
        /// The tensor's name.
        name: String,
        /// Where in the tensor, row-major.
        index: usize,
        /// NaN or an infinity.
        value: f32,
    },

    /// The arena of parameters has another length.
    #[error("{found} values are no parameters of the network, whose arena holds {expected}")]
    ArenaSize {
        /// How many there are.
        found: usize,
        /// How many there must be.
        expected: usize,
    },

    /// The padding between parameters is not zero.
    #[error(
        "the padding of the parameters holds {value} at place {place} of the arena; it must be \
         zero: Parameters::clear_padding makes it so"
    )]
    Padding {
        /// Where in the arena.
        place: usize,
        /// What is there.
        value: f32,
    },

    /// An input or a state is NaN or infinite.
    #[error("the {what} hold {value} at index {index}; they must be finite")]
    NotFiniteValue {
        /// What they are.
        what: &'static str,
        /// Where, row-major.
        index: usize,
        /// NaN or an infinity.
        value: f32,
    },

    /// The inputs are not as many as the sequences need.
    #[error(
        "the inputs hold {found} values; {steps} steps of {batch} sequences of {inputs} inputs \
         need as many as their product"
    )]
    Inputs {
        /// How many there are.
        found: usize,
        /// T
        steps: usize,
        /// B
        batch: usize,
        /// I
        inputs: usize,
    },

    /// The symbols are not as many as the sequences need.
    #[error(
        "{found} symbols were given; {steps} steps of {batch} sequences need as many as their \
         product"
    )]
    SymbolCount {
        /// How many there are.
        found: usize,
        /// T
        steps: usize,
        /// B
        batch: usize,
    },

    /// A symbol is none of the network's.
    #[error(
        "the symbol at step {step} of sequence {sequence} is {symbol}; give one below {symbols}, \
         the symbols of the network, counted from 0"
    )]
    Symbol {
        /// t
        step: usize,
        /// Which of the batch.
        sequence: usize,
        /// What was given.
        symbol: u32,
        /// How many there are.
        symbols: usize,
    },

    /// The states of a pass would not fit in memory, or its steps would not end.
    #[error(
        "a pass of {steps} steps of {batch} sequences does not fit in memory; cut it into fewer \
         sequences, or into chunks of fewer steps that start from the state before (at most {} \
         steps)",
        size::MOST_STEPS
    )]
    PassTooLarge {
        /// T
        steps: usize,
        /// B
        batch: usize,
    },

    /// There is not one length for each sequence.
    #[error("{found} lengths were given for {batch} sequences; give each its own")]
    LengthCount {
        /// How many lengths there are.
        found: usize,
        /// B
        batch: usize,
    },

    /// A sequence cannot have this length.
    #[error("sequence {sequence} has a length of {length}; give one of 1 to {steps}, the steps")]
    Length {
        /// Which sequence, from 0.
        sequence: usize,
        /// Its length.
        length: usize,
        /// T
        steps: usize,
    },

    /// States are not as many as the network has.
    #[error(
        "the states {name} hold {found} values; {layers} layers and directions of {hidden} units \
         need their product, for {batch} sequences (c is for an LSTM alone)"
    )]
    StateSize {
        /// `h` or `c`
        name: &'static str,
        /// How many there are.
        found: usize,
        /// Layers times directions.
        layers: usize,
        /// B
        batch: usize,
        /// H
        hidden: usize,
    },

    /// States are of another network or batch.
    #[error("the states are of another network or batch than asked for: {0}")]
    State(String),

    /// A step of a stream was given slices of other sizes.
    #[error("a step was given {found} {what}; the network has {expected}")]
    StepSize {
        /// `inputs` or `outputs`
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many there must be.
        expected: usize,
    },

    /// A step of a stream was given a symbol that is none of the network's.
    #[error(
        "a step was given the symbol {symbol}; give one below {symbols}, the symbols of the \
         network, counted from 0"
    )]
    StepSymbol {
        /// What was given.
        symbol: u32,
        /// How many there are.
        symbols: usize,
    },

    /// A stream cannot run backward.
    #[error(
        "a bidirectional network cannot run as a stream: its backward direction begins at the \
         last step; run whole sequences with Network, or train a network of one direction"
    )]
    BidirectionalStream,
}

/// "they hold no tensor `a`, `b`; they hold `c`, which it does not have"
fn differences_of_names(missing: &[String], foreign: &[String]) -> String {
    let listed = |names: &[String]| {
        const MOST: usize = 100;
        let shown = names.iter().take(MOST).map(|name| format!("`{}`", name.escape_debug()));
        let mut text = shown.collect::<Vec<_>>().join(", ");
        if names.len() > MOST {
            text += &format!(" and {} more", names.len() - MOST);
        }
        text
    };
    let parts = [
        (missing, format!("they hold no tensor {}", listed(missing))),
        (foreign, format!("they hold {}, which it does not have", listed(foreign))),
    ];
    let parts = parts.into_iter().filter(|(names, _)| !names.is_empty());
    parts.map(|(_, text)| text).collect::<Vec<_>>().join("; ")
}
