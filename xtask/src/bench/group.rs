//! The Criterion groups of `cargo xtask bench`, and the names of what they measure.

use model::{Architecture, Cell, Config, Nonlinearity};
use serde::{Deserialize, Serialize};

/// The groups, each a bench target of the same name in the package `benches`.
#[derive(clap::ValueEnum, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Group {
    /// exp, sigmoid, tanh, softmax and vector helpers over slices
    Activation,
    /// Products of matrices
    Matmul,
    /// The lab: whole steps of the small network
    Lab,
    /// Recurrent layers: training, inference and streams
    Model,
}

impl Group {
    pub const ALL: [Self; 4] = [Self::Activation, Self::Matmul, Self::Lab, Self::Model];

    pub fn name(self) -> &'static str {
        match self {
            Self::Activation => "activation",
            Self::Matmul => "matmul",
            Self::Lab => "lab",
            Self::Model => "model",
        }
    }

    /// What Criterion's "elements" are in this group.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Activation => "values",
            Self::Matmul | Self::Model => "FLOP",
            Self::Lab => "examples",
        }
    }
}

/// `16x64x256` as m, k, n of a product; none if it is no such size.
pub fn product_shape(size: &str) -> Option<[usize; 3]> {
    numbers(size)
}

/// `64x128x64x32` as I, H, T, B of a recurrent layer; none if it is no such size.
pub fn layer_shape(size: &str) -> Option<[usize; 4]> {
    numbers(size)
}

/// The layer that the benches call `rnn`, `gru`, `lstm`, or `lstm_bidirectional` and so on; none
/// by another name.
pub fn layer_config(name: &str, inputs: usize, hidden: usize) -> Option<Config> {
    let (cell, bidirectional) = match name.strip_suffix("_bidirectional") {
        Some(cell) => (cell, true),
        None => (name, false),
    };
    let cell = match cell {
        "rnn" => Cell::Elman(Nonlinearity::Tanh),
        "gru" => Cell::Gru,
        "lstm" => Cell::Lstm,
        _ => return None,
    };
    Config::new(Architecture { bidirectional, ..Architecture::new(cell, inputs, hidden) }).ok()
}

fn numbers<const N: usize>(size: &str) -> Option<[usize; N]> {
    let numbers: Vec<usize> = size.split('x').map(str::parse).collect::<Result<_, _>>().ok()?;
    numbers.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn group_names_are_those_of_the_command_line() {
        for group in Group::ALL {
            let value = clap::ValueEnum::to_possible_value(&group).unwrap();
            assert_eq!(value.get_name(), group.name());
        }
    }

    #[test]
    fn layers_are_known_by_their_cell_and_directions() {
        let config = layer_config("lstm_bidirectional", 24, 32).unwrap();
        assert_eq!((config.cell(), config.directions(), config.inputs()), (Cell::Lstm, 2, 24));
        assert_eq!(layer_config("gru", 24, 32).unwrap().directions(), 1);
        assert_eq!(layer_config("elman", 24, 32), None);
        assert_eq!(layer_config("gru", 0, 32), None);
    }

    #[test]
    fn sizes_are_as_many_numbers_as_there_should_be() {
        assert_eq!(product_shape("16x64x256"), Some([16, 64, 256]));
        assert_eq!(layer_shape("64x128x64x32"), Some([64, 128, 64, 32]));
        for size in ["", "64", "1x2", "1x2x3x4", "axbxc", "1x2x", "1x2x-3"] {
            assert_eq!(product_shape(size), None, "{size}");
        }
        assert_eq!(layer_shape("16x16"), None);
    }
}
