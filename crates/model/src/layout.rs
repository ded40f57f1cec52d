//! Where each parameter lies in the arena, and what PyTorch calls it.
//!
//! ```text
//! for each layer, for each direction     I_l: I, or D·H above the first layer
//!   W_in   [I_l, G·S]    row: from input
//!   W_rec  [H, G·S]      row: from unit
//!   b_in   [G·S]         if there are biases
//!   b_rec  [G·S]
//! the head, if there is one
//!   W_out  [O, D·S]      row: to output; the directions side by side
//!   b_out  [O rounded up to 16]
//! ```
//!
//! A row of G·S values is *grouped*: for each 16 units, G blocks of 16, one a gate, so
//! that the gates of 16 units are neighbouring cache lines. With one gate that is the
//! plain row. All padding is zero.
//!
//! [`Tensor`] maps PyTorch's row-major index to a place in the arena. Weight files, the
//! f64 reference and the drawing of first weights all go through it: the layout is
//! written here once and nowhere else.

use crate::{Architecture, Config};
use kernels::recurrent::{ROW, row_stride};
use std::ops::Range;

/// Values of the arena of such a network, unless they are more than a `usize` can say.
pub(crate) fn arena_len(architecture: &Architecture) -> Option<usize> {
    let Architecture { cell, inputs, hidden, layers, bidirectional, bias, head, .. } =
        *architecture;
    let directions = 1 + usize::from(bidirectional);
    let stride = hidden.checked_next_multiple_of(ROW)?;
    let row = stride.checked_mul(cell.gates())?;
    let layer = |inputs: usize| {
        let rows = inputs.checked_add(hidden)?.checked_add(2 * usize::from(bias))?;
        rows.checked_mul(row)?.checked_mul(directions)
    };
    let above = layer(hidden.checked_mul(directions)?)?.checked_mul(layers.checked_sub(1)?)?;
    let head = match head {
        None => 0,
        Some(head) => {
            let weights = stride.checked_mul(directions)?.checked_mul(head.outputs)?;
            let bias = if head.bias { head.outputs.checked_next_multiple_of(ROW)? } else { 0 };
            weights.checked_add(bias)?
        }
    };
    layer(inputs)?.checked_add(above)?.checked_add(head)
}

/// The places of one layer and direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LayerPlaces {
    /// `[I_l, G·S]`
    pub w_in: Range<usize>,
    /// `[H, G·S]`
    pub w_rec: Range<usize>,
    /// `[G·S]`, empty without biases.
    pub b_in: Range<usize>,
    /// `[G·S]`, empty without biases.
    pub b_rec: Range<usize>,
}

/// The places of the head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HeadPlaces {
    /// `[O, D·S]`
    pub w_out: Range<usize>,
    /// `[O rounded up to 16]`, empty without a bias.
    pub b_out: Range<usize>,
}

/// The places of layer `layer`, direction `direction`.
pub(crate) fn layer(config: Config, layer: usize, direction: usize) -> LayerPlaces {
    let row = config.cell().gates() * config.stride();
    let biases = 2 * usize::from(config.bias());
    let len = |layer| (config.layer_inputs(layer) + config.hidden() + biases) * row;
    let before = match layer {
        0 => direction * len(0),
        _ => {
            let above = (layer - 1) * config.directions() + direction;
            config.directions() * len(0) + above * len(1)
        }
    };
    let bias = if config.bias() { row } else { 0 };
    let w_in = before..before + config.layer_inputs(layer) * row;
    let w_rec = w_in.end..w_in.end + config.hidden() * row;
    let b_in = w_rec.end..w_rec.end + bias;
    let b_rec = b_in.end..b_in.end + bias;
    LayerPlaces { w_in, w_rec, b_in, b_rec }
}

/// The places of the head, if there is one.
pub(crate) fn head(config: Config) -> Option<HeadPlaces> {
    let head = config.head()?;
    let start = layer(config, config.layers() - 1, config.directions() - 1).b_rec.end;
    let w_out = start..start + head.outputs * config.directions() * config.stride();
    let bias = if head.bias { row_stride(head.outputs) } else { 0 };
    let b_out = w_out.end..w_out.end + bias;
    Some(HeadPlaces { w_out, b_out })
}

/// Where rows that a symbol selects (or that one input is multiplied by) lie in the arena:
/// row n is the `stride` values from `start + n·stride` on, padding included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InputRows {
    /// The first value of the first row.
    pub start: usize,
    /// From one row to the next: whole cache lines.
    pub stride: usize,
    /// V, how many rows there are.
    pub rows: usize,
}

impl InputRows {
    /// The values of row `row`, padding included.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn range(&self, row: usize) -> Range<usize> {
        assert!(row < self.rows, "no row {row} among {}", self.rows);
        let start = self.start + row * self.stride;
        start..start + self.stride
    }

    /// The values of all rows.
    pub fn all(&self) -> Range<usize> {
        self.start..self.start + self.rows * self.stride
    }
}

/// The rows that a symbol selects, in the order of the arena: of W_in of the first layer, one
/// a direction.
pub(crate) fn input_rows(config: Config) -> impl Iterator<Item = InputRows> {
    let rows = config.symbols();
    (0..config.directions()).map(move |direction| {
        let w_in = layer(config, 0, direction).w_in;
        InputRows { start: w_in.start, stride: w_in.len() / rows, rows }
    })
}

/// Where gate `gate` of unit `unit` stands in a row of G·S grouped values.
pub(crate) fn grouped(gates: usize, gate: usize, unit: usize) -> usize {
    unit / ROW * gates * ROW + gate * ROW + unit % ROW
}

/// What a tensor is to the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// `weight_ih` `[G·H, I_l]`
    Input,
    /// `weight_hh` `[G·H, H]`
    Recurrent,
    /// `bias_ih` `[G·H]`
    InputBias,
    /// `bias_hh` `[G·H]`
    RecurrentBias,
    /// `head.weight` `[O, D·H]`
    Head,
    /// `head.bias` `[O]`
    HeadBias,
}

/// One of PyTorch's tensors: its name, its shape, and where its values lie in the arena.
#[derive(Clone, Debug)]
pub struct Tensor {
    name: String,
    role: Role,
    /// Layer and direction; (0, 0) for the head.
    place: (usize, usize),
    start: usize,
    config: Config,
}

impl Tensor {
    /// PyTorch's name in the `state_dict`, such as `weight_ih_l0_reverse`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is to the network.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The layer it belongs to; 0 for the head.
    pub fn layer(&self) -> usize {
        self.place.0
    }

    /// The direction it belongs to: 0 forward, 1 backward; 0 for the head.
    pub fn direction(&self) -> usize {
        self.place.1
    }

    /// Rows: G·H, gate by gate, or O.
    pub fn rows(&self) -> usize {
        match self.role {
            Role::Head | Role::HeadBias => self.config.outputs(),
            _ => self.config.cell().gates() * self.config.hidden(),
        }
    }

    /// Values of a row; 1 for a bias.
    pub fn columns(&self) -> usize {
        match self.role {
            Role::Input => self.config.layer_inputs(self.layer()),
            Role::Recurrent => self.config.hidden(),
            Role::InputBias | Role::RecurrentBias | Role::HeadBias => 1,
            Role::Head => self.config.directions() * self.config.hidden(),
        }
    }

    /// PyTorch's shape: two dimensions for a weight, one for a bias.
    pub fn shape(&self) -> Vec<usize> {
        match self.role {
            Role::InputBias | Role::RecurrentBias | Role::HeadBias => vec![self.rows()],
            _ => vec![self.rows(), self.columns()],
        }
    }

    /// Where element (`row`, `column`) lies in [`crate::Parameters::arena`].
    ///
    /// # Panics
    /// If there is no such element.
    pub fn index(&self, row: usize, column: usize) -> usize {
        assert!(row < self.rows() && column < self.columns(), "no ({row}, {column}) in {self:?}");
        let (hidden, stride) = (self.config.hidden(), self.config.stride());
        let gates = self.config.cell().gates();
        self.start
            + match self.role {
                Role::Head => {
                    let (direction, unit) = (column / hidden, column % hidden);
                    (row * self.config.directions() + direction) * stride + unit
                }
                Role::HeadBias => row,
                _ => column * gates * stride + grouped(gates, row / hidden, row % hidden),
            }
    }

    /// The arena's place of each element, row by row.
    pub fn indices(&self) -> impl Iterator<Item = usize> {
        let place = move |row| (0..self.columns()).map(move |column| self.index(row, column));
        (0..self.rows()).flat_map(place)
    }
}

/// All tensors of a network, in the order in which PyTorch makes them: by layer, by
/// direction, then the head's.
pub(crate) fn tensors(config: Config) -> Vec<Tensor> {
    let mut tensors = Vec::new();
    for index in 0..config.layers() * config.directions() {
        let (of_layer, direction) = (index / config.directions(), index % config.directions());
        let places = layer(config, of_layer, direction);
        let suffix = if direction == 0 { "" } else { "_reverse" };
        for (prefix, role, range) in [
            ("weight_ih", Role::Input, places.w_in),
            ("weight_hh", Role::Recurrent, places.w_rec),
            ("bias_ih", Role::InputBias, places.b_in),
            ("bias_hh", Role::RecurrentBias, places.b_rec),
        ] {
            let name = format!("{prefix}_l{of_layer}{suffix}");
            if !range.is_empty() {
                let (place, start) = ((of_layer, direction), range.start);
                tensors.push(Tensor { name, role, place, start, config });
            }
        }
    }
    if let Some(places) = head(config) {
        for (name, role, range) in
            [("head.weight", Role::Head, places.w_out), ("head.bias", Role::HeadBias, places.b_out)]
        {
            if !range.is_empty() {
                let (name, start) = (name.to_owned(), range.start);
                tensors.push(Tensor { name, role, place: (0, 0), start, config });
            }
        }
    }
    tensors
}

/// The arena as stretches of values with padding behind: (values, values and padding),
/// from the first to the last.
pub(crate) fn stretches(config: Config) -> impl Iterator<Item = (usize, usize)> {
    let (hidden, stride) = (config.hidden(), config.stride());
    let gates = config.cell().gates();
    let biases = 2 * usize::from(config.bias());
    let layers = (0..config.layers()).map(|layer| config.layer_inputs(layer) + hidden + biases);
    let rows = config.directions() * layers.sum::<usize>();
    // one gate: a plain row; more: a block of 16 for each gate of each group
    let blocks = if gates == 1 { 1 } else { gates * stride / ROW };
    let row = move |_| {
        (0..blocks).map(move |block| match blocks {
            1 => (hidden, stride),
            _ => (ROW.min(hidden - block / gates * ROW), ROW),
        })
    };
    let head_rows = config.head().map_or(0, |head| head.outputs * config.directions());
    let head_bias = config.head().filter(|head| head.bias);
    (0..rows)
        .flat_map(row)
        .chain((0..head_rows).map(move |_| (hidden, stride)))
        .chain(head_bias.map(|head| (head.outputs, row_stride(head.outputs))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cell, Head, Nonlinearity};
    use std::collections::BTreeSet;

    fn configs() -> impl Iterator<Item = Config> {
        let cells = [Cell::Elman(Nonlinearity::Tanh), Cell::Gru, Cell::Lstm];
        cells.into_iter().flat_map(|cell| {
            [(1, false, true, None), (3, true, true, Some(17)), (2, true, false, Some(16))]
                .into_iter()
                .flat_map(move |(layers, bidirectional, bias, outputs)| {
                    [1, 15, 16, 17, 35].map(|hidden| {
                        let head = outputs.map(|outputs| Head { bias, ..Head::linear(outputs) });
                        let architecture = Architecture::new(cell, 5, hidden);
                        let architecture =
                            Architecture { layers, bidirectional, bias, head, ..architecture };
                        Config::new(architecture).unwrap()
                    })
                })
        })
    }

    #[test]
    fn every_value_has_a_place_of_its_own_and_the_rest_is_padding() {
        for config in configs() {
            let len = arena_len(&config.architecture()).unwrap();
            let places: Vec<_> =
                tensors(config).iter().flat_map(|t| t.indices().collect::<Vec<_>>()).collect();
            let distinct: BTreeSet<_> = places.iter().copied().collect();
            assert_eq!(distinct.len(), places.len(), "{config:?}: a place used twice");
            let mut start = 0;
            let mut values = BTreeSet::new();
            for (used, padded) in stretches(config) {
                values.extend(start..start + used);
                start += padded;
            }
            assert_eq!(start, len, "{config:?}");
            assert_eq!(values, distinct, "{config:?}");
        }
    }

    #[test]
    fn the_gates_of_sixteen_units_are_neighbours() {
        let config = Config::new(Architecture::new(Cell::Lstm, 1, 20)).unwrap();
        let weight = &tensors(config)[0];
        assert_eq!((weight.name(), weight.shape()), ("weight_ih_l0", vec![80, 1]));
        let place = |gate: usize, unit: usize| weight.index(gate * 20 + unit, 0);
        assert_eq!([place(0, 0), place(0, 15), place(1, 0), place(3, 2)], [0, 15, 16, 50]);
        assert_eq!([place(0, 16), place(2, 19)], [64, 64 + 32 + 3]);
    }
}
