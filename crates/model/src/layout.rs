//! Where each parameter lies in the arena, and what PyTorch calls it.
//!
//! ```text
//! the embedding, if there is one
//!   E      [V, I rounded up to 16]         row: of symbol
//! for each layer, for each direction     I_l: I (of a window, n·I), or D·H above the first layer
//!   W_in   [I_l, G·S]    row: from input
//!   W_rec  [R, G·S]      row: from unit (R = H), or from output (R = O; of a window R = 0)
//!   b_in   [G·S]         if there are biases
//!   b_rec  [G·S]         the same, but not of a window
//! the head, if there is one
//!   W_out  [O, D·S]      row: to output; the directions side by side
//!   b_out  [O rounded up to 16]
//! ```
//!
//! A row of G·S values is *grouped*, as the kernels want it ([`cell::column`]): for each 16
//! units, G blocks of 16, one a gate, so that the gates of 16 units are neighbouring cache
//! lines. With one gate that is the plain row. All padding is zero.
//!
//! [`Tensor`] maps PyTorch's row-major index to a place in the arena. Weight files, the f64
//! reference and the drawing of first weights all go through it, and who needs a range of the
//! arena asks here. The passes know the shapes of these ranges; the fused path of the lab's
//! network knows their order, too (`Parameters::lab_weights`), and a test holds it to this one.

use crate::{Architecture, Memory};
use kernels::cell;
use kernels::recurrent::{ROW, row_stride};
use std::ops::Range;

/// Values of the arena of such a network, unless they are more than a `usize` can say.
pub(crate) fn arena_len(architecture: &Architecture) -> Option<usize> {
    let Architecture {
        cell,
        inputs,
        hidden,
        layers,
        bidirectional,
        bias,
        head,
        embedding,
        memory,
        ..
    } = *architecture;
    let directions = 1 + usize::from(bidirectional);
    let stride = hidden.checked_next_multiple_of(ROW)?;
    let row = stride.checked_mul(cell.gates())?;
    // rows of W_in of the first layer, of W_rec and of the biases
    let (first, recurrent, biases) = match memory {
        Memory::State => (inputs, hidden, 2),
        Memory::Output => (inputs, head.map_or(0, |head| head.outputs), 2),
        Memory::Window(length) => (inputs.checked_mul(length)?, 0, 1),
    };
    let biases = if bias { biases } else { 0 };
    let layer = |inputs: usize| {
        let rows = inputs.checked_add(recurrent)?.checked_add(biases)?;
        rows.checked_mul(row)?.checked_mul(directions)
    };
    let embedding = inputs.checked_next_multiple_of(ROW)?.checked_mul(embedding.unwrap_or(0))?;
    let above = layer(hidden.checked_mul(directions)?)?.checked_mul(layers.checked_sub(1)?)?;
    let head = match head {
        None => 0,
        Some(head) => {
            let weights = stride.checked_mul(directions)?.checked_mul(head.outputs)?;
            let bias = if head.bias { head.outputs.checked_next_multiple_of(ROW)? } else { 0 };
            weights.checked_add(bias)?
        }
    };
    layer(first)?.checked_add(above)?.checked_add(head)?.checked_add(embedding)
}

/// The places of one layer and direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LayerPlaces {
    /// `[I_l, G·S]`
    pub w_in: Range<usize>,
    /// `[R, G·S]`
    pub w_rec: Range<usize>,
    /// `[G·S]`, empty without biases.
    pub b_in: Range<usize>,
    /// `[G·S]`, empty without biases, and of a window.
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

/// Rows of b_in and b_rec: 1 each, if there are such.
fn biases(config: Architecture) -> [usize; 2] {
    let bias = usize::from(config.bias);
    [bias, if let Memory::Window(_) = config.memory { 0 } else { bias }]
}

/// The rows of the embedding, if there is one.
pub(crate) fn embedding(config: Architecture) -> Option<InputRows> {
    let rows = config.embedding?;
    Some(InputRows { start: 0, stride: row_stride(config.inputs), rows })
}

/// The places of layer `layer`, direction `direction`.
pub(crate) fn layer(config: Architecture, layer: usize, direction: usize) -> LayerPlaces {
    let row = config.cell.gates() * config.stride();
    let [b_in, b_rec] = biases(config);
    let recurrent = config.recurrent_inputs();
    let len = |layer| (config.layer_inputs(layer) + recurrent + b_in + b_rec) * row;
    let before = match layer {
        0 => direction * len(0),
        _ => {
            let above = (layer - 1) * config.directions() + direction;
            config.directions() * len(0) + above * len(1)
        }
    };
    let start = embedding(config).map_or(0, |rows| rows.all().end) + before;
    let w_in = start..start + config.layer_inputs(layer) * row;
    let w_rec = w_in.end..w_in.end + recurrent * row;
    let b_in = w_rec.end..w_rec.end + b_in * row;
    let b_rec = b_in.end..b_in.end + b_rec * row;
    LayerPlaces { w_in, w_rec, b_in, b_rec }
}

/// The places of the head, if there is one.
pub(crate) fn head(config: Architecture) -> Option<HeadPlaces> {
    let head = config.head?;
    let start = layer(config, config.layers - 1, config.directions() - 1).b_rec.end;
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

/// The rows that a symbol selects, in the order of the arena: of the embedding, or of W_in of the
/// first layer, one a direction.
pub(crate) fn input_rows(config: Architecture) -> impl Iterator<Item = InputRows> {
    let embedding = embedding(config);
    let directions = if embedding.is_some() { 0 } else { config.directions() };
    let w_in = (0..directions).map(move |direction| {
        let (w_in, rows) = (layer(config, 0, direction).w_in, config.layer_inputs(0));
        InputRows { start: w_in.start, stride: w_in.len() / rows, rows }
    });
    embedding.into_iter().chain(w_in)
}

/// What a tensor is to the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// `embedding.weight` `[V, I]`
    Embedding,
    /// `weight_ih` `[G·H, I_l]`
    Input,
    /// `weight_hh` `[G·H, H]`; of a network that remembers its outputs `[H, O]`
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
    /// Layer and direction; (0, 0) for the head and the embedding.
    place: (usize, usize),
    start: usize,
    config: Architecture,
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

    /// The layer it belongs to; 0 for the head and the embedding.
    pub fn layer(&self) -> usize {
        self.place.0
    }

    /// The direction it belongs to: 0 forward, 1 backward; 0 for the head and the embedding.
    pub fn direction(&self) -> usize {
        self.place.1
    }

    /// Rows: G·H, gate by gate, or O, or V.
    pub fn rows(&self) -> usize {
        match self.role {
            Role::Embedding => self.config.symbols(),
            Role::Head | Role::HeadBias => self.config.outputs(),
            _ => self.config.cell.gates() * self.config.hidden,
        }
    }

    /// Values of a row; 1 for a bias.
    pub fn columns(&self) -> usize {
        match self.role {
            Role::Embedding => self.config.inputs,
            Role::Input => self.config.layer_inputs(self.layer()),
            Role::Recurrent => self.config.recurrent_inputs(),
            Role::InputBias | Role::RecurrentBias | Role::HeadBias => 1,
            Role::Head => self.config.directions() * self.config.hidden,
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
        let (hidden, stride) = (self.config.hidden, self.config.stride());
        let gates = self.config.cell.gates();
        self.start
            + match self.role {
                Role::Embedding => row * row_stride(self.config.inputs) + column,
                Role::Head => {
                    let (direction, unit) = (column / hidden, column % hidden);
                    (row * self.config.directions() + direction) * stride + unit
                }
                Role::HeadBias => row,
                _ => column * gates * stride + cell::column(gates, row / hidden, row % hidden),
            }
    }

    /// The arena's place of each element, row by row.
    pub fn indices(&self) -> impl Iterator<Item = usize> {
        let place = move |row| (0..self.columns()).map(move |column| self.index(row, column));
        (0..self.rows()).flat_map(place)
    }
}

/// All tensors of a network, in the order in which PyTorch makes them: the embedding, by layer,
/// by direction, then the head's.
pub(crate) fn tensors(config: Architecture) -> Vec<Tensor> {
    let mut tensors = Vec::new();
    if let Some(rows) = embedding(config) {
        let (name, role, start) = ("embedding.weight".to_owned(), Role::Embedding, rows.start);
        tensors.push(Tensor { name, role, place: (0, 0), start, config });
    }
    for index in 0..config.layers * config.directions() {
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
pub(crate) fn stretches(config: Architecture) -> impl Iterator<Item = (usize, usize)> {
    let (hidden, stride) = (config.hidden, config.stride());
    let gates = config.cell.gates();
    let others = config.recurrent_inputs() + biases(config).iter().sum::<usize>();
    let layers = (0..config.layers).map(|layer| config.layer_inputs(layer) + others);
    let rows = config.directions() * layers.sum::<usize>();
    // one gate: a plain row; more: a block of 16 for each gate of each group
    let blocks = if gates == 1 { 1 } else { gates * stride / ROW };
    let row = move |_| {
        (0..blocks).map(move |block| match blocks {
            1 => (hidden, stride),
            _ => (ROW.min(hidden - block / gates * ROW), ROW),
        })
    };
    let head_rows = config.head.map_or(0, |head| head.outputs * config.directions());
    let head_bias = config.head.filter(|head| head.bias);
    let symbols = embedding(config).map_or(0, |embedding| embedding.rows);
    (0..symbols)
        .map(move |_| (config.inputs, row_stride(config.inputs)))
        .chain((0..rows).flat_map(row))
        .chain((0..head_rows).map(move |_| (hidden, stride)))
        .chain(head_bias.map(|head| (head.outputs, row_stride(head.outputs))))
}

/// Whether there is any padding.
pub(crate) fn has_padding(config: Architecture) -> bool {
    let bias = config.head.filter(|head| head.bias).map_or(0, |head| head.outputs);
    let embedded = config.embedding.map_or(0, |_| config.inputs);
    [config.hidden, bias, embedded].iter().any(|width| !width.is_multiple_of(ROW))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cell, Head, Memory, Nonlinearity};
    use std::collections::BTreeSet;

    fn configs() -> impl Iterator<Item = Architecture> {
        let others = [Memory::State, Memory::Output, Memory::Window(1), Memory::Window(3)];
        let others = others.into_iter().flat_map(|memory| {
            [(1, true, None), (16, false, Some(1)), (17, true, Some(40))].map(
                move |(inputs, bias, embedding)| {
                    let head = Some(Head { bias, ..Head::linear(18) });
                    let cell = Cell::Elman(Nonlinearity::Sigmoid);
                    let architecture = Architecture::new(cell, inputs, 20);
                    Architecture { bias, head, embedding, memory, ..architecture }
                },
            )
        });
        others.chain(recurrent_configs())
    }

    fn recurrent_configs() -> impl Iterator<Item = Architecture> {
        let cells = [Cell::Elman(Nonlinearity::Tanh), Cell::Gru, Cell::Lstm];
        cells.into_iter().flat_map(|cell| {
            [(1, false, true, None), (3, true, true, Some(17)), (2, true, false, Some(16))]
                .into_iter()
                .flat_map(move |(layers, bidirectional, bias, outputs)| {
                    [1, 15, 16, 17, 35].map(|hidden| {
                        let head = outputs.map(|outputs| Head { bias, ..Head::linear(outputs) });
                        let architecture = Architecture::new(cell, 5, hidden);
                        let embedding = Some(hidden).filter(|_| layers == 2);
                        let architecture = Architecture { embedding, ..architecture };
                        Architecture { layers, bidirectional, bias, head, ..architecture }
                    })
                })
        })
    }

    #[test]
    fn every_value_has_a_place_of_its_own_and_the_rest_is_padding() {
        for config in configs() {
            let len = arena_len(&config).unwrap();
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
            assert_eq!(has_padding(config), values.len() < len, "{config:?}");
        }
    }

    #[test]
    fn the_gates_of_sixteen_units_are_neighbours() {
        let config = Architecture::new(Cell::Lstm, 1, 20);
        let weight = &tensors(config)[0];
        assert_eq!((weight.name(), weight.shape()), ("weight_ih_l0", vec![80, 1]));
        let place = |gate: usize, unit: usize| weight.index(gate * 20 + unit, 0);
        assert_eq!([place(0, 0), place(0, 15), place(1, 0), place(3, 2)], [0, 15, 16, 50]);
        assert_eq!([place(0, 16), place(2, 19)], [64, 64 + 32 + 3]);
    }
}
