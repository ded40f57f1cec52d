//! What the first layer is fed with: the caller's inputs as they stand, or copied, where
//! sequences moved or symbols stand for rows of an embedding.

use crate::sequences::Packing;
use crate::{Inputs, Parameters};
use kernels::buffer::Buffer;

/// The inputs of one pass, as far as they had to be copied.
#[derive(Debug, Default)]
pub(super) struct Packed {
    /// `[rows, I]`: values in packed order, or rows of the embedding.
    x: Buffer,
    /// `[rows]`: symbols in packed order.
    symbols: Vec<u32>,
}

impl Packed {
    /// Takes the inputs of another pass.
    pub fn assign(&mut self, parameters: &Parameters, packing: &Packing, inputs: Inputs<'_>) {
        let (rows, width) = (packing.rows(), parameters.config().inputs());
        let (is_even, embedding) = (packing.is_even(), parameters.embedding());
        let (copies_x, copies_symbols) = match inputs {
            Inputs::Values(_) => (!is_even, false),
            Inputs::Symbols(_) => (embedding.is_some(), !is_even),
        };
        self.x.resize(if copies_x { rows * width } else { 0 });
        self.symbols.resize(if copies_symbols { rows } else { 0 }, 0);
        match inputs {
            Inputs::Values(x) if copies_x => packing.pack(width, x, &mut self.x),
            Inputs::Symbols(symbols) if copies_symbols => {
                packing.pack(1, symbols, &mut self.symbols);
            }
            Inputs::Values(_) | Inputs::Symbols(_) => {}
        }
        if let (Some(embedding), Inputs::Symbols(all)) = (embedding, inputs) {
            let symbols = if is_even { &all[..rows] } else { &self.symbols };
            for (x, &symbol) in self.x.chunks_exact_mut(width).zip(symbols) {
                x.copy_from_slice(embedding.row(symbol));
            }
        }
    }

    /// What the first layer is fed with, in packed order.
    pub fn inputs<'x>(
        &'x self,
        parameters: &Parameters,
        packing: &Packing,
        inputs: Inputs<'x>,
    ) -> Inputs<'x> {
        match inputs {
            Inputs::Values(x) if packing.is_even() => {
                Inputs::Values(&x[..packing.rows() * parameters.config().inputs()])
            }
            Inputs::Symbols(_) if parameters.config().embedding().is_none() => {
                Inputs::Symbols(self.symbols(packing, inputs))
            }
            Inputs::Values(_) | Inputs::Symbols(_) => Inputs::Values(&self.x),
        }
    }

    /// `[rows]`: the symbols in packed order; none of values.
    pub fn symbols<'x>(&'x self, packing: &Packing, inputs: Inputs<'x>) -> &'x [u32] {
        match inputs {
            Inputs::Values(_) => &[],
            Inputs::Symbols(symbols) if packing.is_even() => &symbols[..packing.rows()],
            Inputs::Symbols(_) => &self.symbols,
        }
    }

    /// Bytes of the copies.
    pub fn bytes(&self) -> usize {
        size_of_val(&self.x[..]) + size_of_val(&self.symbols[..])
    }
}
