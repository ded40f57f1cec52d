//! All parameters of a network in one flat, aligned arena with named views.
//!
//! Gradients and optimizer state have the same type, so that an optimizer, a
//! checkpoint or a copy is one loop over [`Parameters::arena`]. Where each value lies
//! is `layout`'s; by PyTorch's names, [`Parameters::tensors`] tells.

use crate::layout::{self, Role, Tensor};
use crate::{Config, Error, size};
use kernels::buffer::Buffer;
use kernels::recurrent::Weights;
use rand::{Rng, RngExt};
use std::ops::Range;

/// The weights and biases (or their gradients) of one network, in rows padded with
/// zeros: for each layer and direction `W_in` `[I_l, G·S]`, `W_rec` `[H, G·S]` (row:
/// from), `b_in` and `b_rec` `[G·S]`; then the head's `W_out` `[O, D·S]` and `b_out`.
/// The gates of 16 units stand side by side in such a row.
#[derive(Clone, Debug)]
pub struct Parameters {
    config: Config,
    arena: Buffer,
}

/// Where the rows that a symbol selects (or that one input is multiplied by) lie in the arena:
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
    /// All of them.
    pub fn range(&self) -> Range<usize> {
        self.start..self.start + self.rows * self.stride
    }

    /// Row `row`.
    #[inline]
    pub fn row(&self, row: usize) -> Range<usize> {
        let start = self.start + row * self.stride;
        start..start + self.stride
    }
}

/// The padded views of one layer and direction, to read or to write.
#[derive(Debug)]
pub(crate) struct Layer<T> {
    /// `[I_l, G·S]`
    pub w_in: T,
    /// `[H, G·S]`
    pub w_rec: T,
    /// `[G·S]`, empty without biases.
    pub b_in: T,
    /// `[G·S]`, empty without biases.
    pub b_rec: T,
}

impl Parameters {
    /// All zeros.
    ///
    /// # Panics
    /// If memory does not hold them.
    pub fn zeros(config: Config) -> Self {
        let len = layout::arena_len(&config.architecture()).expect("checked with the Config");
        let len = size::room("parameters", [len]);
        Self { config, arena: Buffer::zeros(len) }
    }

    /// Uniform in [−1, 1), as the lab starts, in the order of the arena.
    pub fn uniform(config: Config, generator: &mut impl Rng) -> Self {
        let mut parameters = Self::zeros(config);
        parameters.for_each_row_mut(|row| row.fill_with(|| generator.random_range(-1.0..1.0)));
        parameters
    }

    /// As PyTorch starts: `RNN`, `GRU` and `LSTM` uniform in ±1/√H, weights and biases,
    /// the `Linear` of the head in ±1/√(D·H); tensor by tensor, row by row.
    pub fn initialised(config: Config, generator: &mut impl Rng) -> Self {
        let mut parameters = Self::zeros(config);
        for tensor in parameters.tensors() {
            let fan_in = match tensor.role() {
                Role::Head | Role::HeadBias => config.directions() * config.hidden(),
                _ => config.hidden(),
            };
            let bound = 1.0 / (fan_in as f32).sqrt();
            for index in tensor.indices() {
                parameters.arena[index] = generator.random_range(-bound..bound);
            }
        }
        parameters
    }

    /// The network's configuration.
    pub fn config(&self) -> Config {
        self.config
    }

    /// Everything, padding included; see `layout` for the order.
    pub fn arena(&self) -> &[f32] {
        &self.arena
    }

    /// Everything, padding included. What is written to the padding must be zero.
    pub fn arena_mut(&mut self) -> &mut [f32] {
        &mut self.arena
    }

    /// PyTorch's tensors and where their values lie in the arena.
    ///
    /// ```
    /// # use model::{Architecture, Cell, Config, Parameters};
    /// # let config = Config::new(Architecture::new(Cell::Gru, 3, 5))?;
    /// # let parameters = Parameters::zeros(config);
    /// for tensor in parameters.tensors() {
    ///     let values: Vec<f32> = tensor.indices().map(|i| parameters.arena()[i]).collect();
    ///     println!("{} {:?}: {values:?}", tensor.name(), tensor.shape());
    /// }
    /// # Ok::<(), model::Error>(())
    /// ```
    pub fn tensors(&self) -> Vec<Tensor> {
        layout::tensors(self.config)
    }

    /// The rows of `W_in` `[I, H]`, without padding, of a network of one gate (in the
    /// first layer, forward).
    ///
    /// # Panics
    /// If the cell has several gates, which have no plain rows; see
    /// [`Parameters::tensors`]. So do the next two.
    pub fn w_in(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.rows_of(self.layer(0, 0).w_in)
    }

    /// The rows of `W_rec` `[H, H]` (row: from unit), without padding.
    ///
    /// # Panics
    /// As [`Parameters::w_in`].
    pub fn w_rec(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.rows_of(self.layer(0, 0).w_rec)
    }

    /// The rows of `W_out` `[O, H]` (row: to output), without padding; none without a
    /// head. With two directions, the halves of a row one after the other.
    ///
    /// # Panics
    /// As [`Parameters::w_in`].
    pub fn w_out(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.rows_of(self.head().map_or(&[], |(w_out, _)| w_out))
    }

    /// Calls `visit` with each stretch of values between paddings, in the order of the
    /// arena. With one gate these are the rows of `W_in`, `W_rec`, …, without padding;
    /// with more, up to 16 values of one gate.
    pub fn for_each_row_mut(&mut self, mut visit: impl FnMut(&mut [f32])) {
        let mut rest = &mut self.arena[..];
        for (used, padded) in layout::stretches(self.config) {
            let (stretch, behind) = rest.split_at_mut(padded);
            visit(&mut stretch[..used]);
            rest = behind;
        }
    }

    /// Is every value finite? One pass over the arena.
    pub fn is_finite(&self) -> bool {
        crate::all_finite(&self.arena)
    }

    /// Refuses a value that is not finite by its tensor and place.
    ///
    /// # Errors
    /// If there is one.
    pub fn check_finite(&self) -> Result<(), Error> {
        if self.is_finite() {
            return Ok(());
        }
        for tensor in self.tensors() {
            let mut values = tensor.indices().map(|index| self.arena[index]).enumerate();
            if let Some((index, value)) = values.find(|(_, value)| !value.is_finite()) {
                return Err(Error::NotFinite { name: tensor.name().to_owned(), index, value });
            }
        }
        Ok(()) // in the padding, which no result meets
    }

    /// The padded views of layer `layer`, direction `direction`.
    pub(crate) fn layer(&self, layer: usize, direction: usize) -> Layer<&[f32]> {
        let places = layout::layer(self.config, layer, direction);
        Layer {
            w_in: &self.arena[places.w_in],
            w_rec: &self.arena[places.w_rec],
            b_in: &self.arena[places.b_in],
            b_rec: &self.arena[places.b_rec],
        }
    }

    /// The padded views of layer `layer`, direction `direction`, to write.
    pub(crate) fn layer_mut(&mut self, layer: usize, direction: usize) -> Layer<&mut [f32]> {
        let places = layout::layer(self.config, layer, direction);
        let all = &mut self.arena[places.w_in.start..places.b_rec.end];
        let (w_in, rest) = all.split_at_mut(places.w_in.len());
        let (w_rec, rest) = rest.split_at_mut(places.w_rec.len());
        let (b_in, b_rec) = rest.split_at_mut(places.b_in.len());
        Layer { w_in, w_rec, b_in, b_rec }
    }

    /// Where the rows of `W_in` `[I, G·S]` of the first layer, forward, lie in the arena, one
    /// an input.
    pub fn input_rows(&self) -> InputRows {
        let places = layout::layer(self.config, 0, 0);
        let rows = self.config.symbols();
        InputRows { start: places.w_in.start, stride: places.w_in.len() / rows, rows }
    }

    /// What stands in the arena behind the last recurrent weights: the biases of the last layer
    /// and direction, and the head. Whole cache lines, and the end of it.
    pub fn tail_range(&self) -> Range<usize> {
        let config = self.config;
        let places = layout::layer(config, config.layers() - 1, config.directions() - 1);
        places.w_rec.end..self.arena.len()
    }

    /// Where the head stands in the arena, `W_out` and `b_out`: whole cache lines, and the end of
    /// it. Empty without a head.
    pub fn head_range(&self) -> Range<usize> {
        let end = self.arena.len();
        layout::head(self.config).map_or(end..end, |places| places.w_out.start..end)
    }

    /// The padded `W_out` `[O, D·S]` and `b_out`, which is empty without a bias.
    pub(crate) fn head(&self) -> Option<(&[f32], &[f32])> {
        let places = layout::head(self.config)?;
        Some((&self.arena[places.w_out], &self.arena[places.b_out]))
    }

    /// The padded `W_out` `[O, D·S]` and `b_out`, to write.
    pub(crate) fn head_mut(&mut self) -> Option<(&mut [f32], &mut [f32])> {
        let places = layout::head(self.config)?;
        Some(self.arena[places.w_out.start..places.b_out.end].split_at_mut(places.w_out.len()))
    }

    /// What the fused kernels take; of the lab's network.
    pub(crate) fn lab_weights(&self) -> Weights<&[f32]> {
        let (inputs, hidden) = (self.config.inputs(), self.config.hidden());
        let (w_in, rest) = self.arena.split_at(inputs * self.config.stride());
        let (w_rec, w_out) = rest.split_at(hidden * self.config.stride());
        Weights { w_in, w_rec, w_out }
    }

    /// What the fused kernels write; of the lab's network.
    pub(crate) fn lab_weights_mut(&mut self) -> Weights<&mut [f32]> {
        let (inputs, hidden) = (self.config.inputs(), self.config.hidden());
        let stride = self.config.stride();
        let (w_in, rest) = self.arena.split_at_mut(inputs * stride);
        let (w_rec, w_out) = rest.split_at_mut(hidden * stride);
        Weights { w_in, w_rec, w_out }
    }

    fn rows_of<'a>(&self, view: &'a [f32]) -> impl ExactSizeIterator<Item = &'a [f32]> + use<'a> {
        assert!(
            self.config.cell().gates() == 1,
            "{:?} has several gates, and no plain rows",
            self.config.cell()
        );
        let hidden = self.config.hidden();
        view.chunks_exact(self.config.stride()).map(move |row| &row[..hidden])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Architecture, Cell, Head};
    use rand::SeedableRng;
    use rand_xoshiro::Xoshiro256PlusPlus;

    #[test]
    fn views_do_not_overlap_and_cover_the_arena() {
        for (bias, layers, bidirectional) in [(true, 3, true), (false, 2, false), (true, 1, true)] {
            let config = Config::new(Architecture {
                bias,
                layers,
                bidirectional,
                head: Some(Head { bias, ..Head::linear(3) }),
                ..Architecture::new(Cell::Gru, 5, 18)
            })
            .unwrap();
            let mut parameters = Parameters::zeros(config);
            let mut mark = 1.0;
            for layer in 0..layers {
                for direction in 0..config.directions() {
                    let Layer { w_in, w_rec, b_in, b_rec } = parameters.layer_mut(layer, direction);
                    for view in [w_in, w_rec, b_in, b_rec] {
                        view.iter_mut().for_each(|v| *v += mark);
                        mark += 1.0;
                    }
                }
            }
            let (w_out, b_out) = parameters.head_mut().unwrap();
            w_out.iter_mut().chain(b_out).for_each(|v| *v += mark);
            assert!(parameters.arena().is_sorted(), "a gap or an overlap");
            assert_eq!(parameters.arena()[0], 1.0);
            assert_eq!(parameters.layer(0, 0).w_rec[0], 2.0);
        }
    }

    #[test]
    fn first_weights_are_as_wide_as_pytorch_s_and_the_padding_is_zero() {
        let config = Config::new(Architecture {
            layers: 2,
            bidirectional: true,
            head: Some(Head::linear(7)),
            ..Architecture::new(Cell::Lstm, 3, 25)
        })
        .unwrap();
        let mut generator = Xoshiro256PlusPlus::seed_from_u64(1);
        let mut parameters = Parameters::initialised(config, &mut generator);
        for tensor in parameters.tensors() {
            let bound = if tensor.name().starts_with("head") { 50.0_f32 } else { 25.0 };
            let bound = 1.0 / bound.sqrt();
            let values: Vec<f32> = tensor.indices().map(|i| parameters.arena()[i]).collect();
            let largest = values.iter().fold(0.0_f32, |most, v| most.max(v.abs()));
            assert!(largest <= bound, "{}: {largest}", tensor.name());
            if values.len() >= 50 {
                assert!(largest > 0.8 * bound, "{}: {largest}", tensor.name());
                let mean = values.iter().sum::<f32>() / values.len() as f32;
                assert!(mean.abs() < 0.3 * bound, "{}: {mean}", tensor.name());
            }
            for index in tensor.indices() {
                parameters.arena_mut()[index] = 0.0;
            }
        }
        assert!(parameters.arena().iter().all(|&v| v == 0.0), "padding must be zero");
    }
}
