//! What can go wrong: a configuration that makes no sense, weights that do not fit.

/// An error of this crate; the text names the thing, the value and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A size of the network is zero.
    #[error("a network needs at least one {0}, and 0 were asked for")]
    Zero(&'static str),

    /// The share to drop is not in [0, 1).
    #[error("a dropout of {0} makes no sense; give a share in [0, 1)")]
    Dropout(f32),

    /// The parameters would not fit in memory.
    #[error(
        "a network of {inputs} inputs, {layers} layers of {hidden} hidden units and {outputs} \
         outputs does not fit in memory; at most {} parameters do",
        crate::config::MOST_PARAMETERS
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
    },

    /// The bytes are not a safetensors file.
    #[error("the weights are not a whole safetensors file ({0}); train the network again")]
    NotSafetensors(#[from] safetensors::SafeTensorError),

    /// A tensor that the network has is not among the weights.
    #[error("the weights hold no tensor `{expected}`; they hold {found:?}")]
    MissingTensor {
        /// The name looked for.
        expected: String,
        /// The names there are.
        found: Vec<String>,
    },

    /// A tensor that the network does not have is among the weights.
    #[error("the weights hold a tensor `{0}`, which this network does not have")]
    ForeignTensor(String),

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
}
