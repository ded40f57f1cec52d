//! All parameters of a network in one flat, aligned arena with named views.
//!
//! Gradients and optimizer state have the same type, so that an optimizer, a
//! checkpoint or a copy is one loop over [`Parameters::arena`]. Where each value lies
//! is `layout`'s; by PyTorch's names, [`Parameters::tensors`] tells.

use crate::finite::all_finite;
use crate::layout::{self, InputRows, Role, Tensor};
use crate::used::UsedRows;
use crate::{Config, Error, Memory, size};
use kernels::buffer::Buffer;
use kernels::matrix::MatMut;
use kernels::recurrent::Weights;
use rand::{Rng, RngExt};
use std::ops::Range;

/// The weights and biases (or their gradients) of one network, in rows padded with zeros: the
/// embedding `[V, I]`, if there is one; for each layer and direction `W_in` `[I_l, G·S]`, `W_rec`
/// `[H, G·S]` (row: from), `b_in` and `b_rec` `[G·S]`; then the head's `W_out` `[O, D·S]` and
/// `b_out`. The gates of 16 units stand side by side in such a row.
#[derive(Clone, Debug)]
pub struct Parameters {
    config: Config,
    arena: Buffer,
    /// Of a gradient; all other input rows are zero.
    used: UsedRows,
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

/// The padded view of an embedding, to read or to write.
#[derive(Debug)]
pub(crate) struct Embedding<T> {
    values: T,
    /// I
    width: usize,
    rows: InputRows,
}

/// The columns of all layers that belong to some units, to write.
#[derive(Debug, Default)]
pub(crate) struct Columns<'a> {
    /// A bias is one row; no rows without biases.
    pub layers: Vec<Layer<MatMut<'a>>>,
    pub w_out: Option<MatMut<'a>>,
    /// Of the first units: all of `b_out`, empty without a bias.
    pub b_out: Option<&'a mut [f32]>,
}

/// Rows of `row` values cut into blocks of columns of these widths.
fn split(view: &mut [f32], row: usize, widths: impl Iterator<Item = usize>) -> Vec<MatMut<'_>> {
    let mut rest = MatMut::new(view, view.len() / row, row);
    let mut blocks = Vec::new();
    for width in widths {
        let (block, behind) = rest.split_at_column(width);
        blocks.push(block);
        rest = behind;
    }
    blocks
}

impl<'a> Embedding<&'a [f32]> {
    /// `[I]`: the row of `symbol`.
    pub fn row(&self, symbol: u32) -> &'a [f32] {
        &self.values[self.rows.range(symbol as usize)][..self.width]
    }
}

impl Embedding<&mut [f32]> {
    /// Adds to the row of `symbol`.
    pub fn add(&mut self, symbol: u32, values: &[f32]) {
        let row = &mut self.values[self.rows.range(symbol as usize)][..self.width];
        row.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
    }
}

impl Parameters {
    /// All zeros.
    ///
    /// # Panics
    /// If memory does not hold them.
    pub fn zeros(config: Config) -> Self {
        let len = layout::arena_len(&config.architecture()).expect("checked with the Config");
        let len = size::room("parameters", [len]);
        Self { config, arena: Buffer::zeros(len), used: UsedRows::default() }
    }

    /// Uniform in [−1, 1), as the lab starts, in the order of the arena.
    pub fn uniform(config: Config, generator: &mut impl Rng) -> Self {
        let mut parameters = Self::zeros(config);
        parameters.for_each_row_mut(|row| row.fill_with(|| generator.random_range(-1.0..1.0)));
        parameters
    }

    /// As PyTorch starts: `RNN`, `GRU` and `LSTM` uniform in ±1/√H, weights and biases,
    /// the `Linear` of the head in ±1/√(D·H), an `Embedding` normal with mean 0 and variance 1;
    /// tensor by tensor, row by row. The weights of a network that remembers its last inputs are
    /// those of a `Linear` of n·I inputs, uniform in ±1/√(n·I).
    pub fn initialised(config: Config, generator: &mut impl Rng) -> Self {
        let mut parameters = Self::zeros(config);
        parameters.used.set_any();
        for tensor in parameters.tensors() {
            let fan_in = match (tensor.role(), config.memory()) {
                (Role::Embedding, _) => {
                    let indices = tensor.indices();
                    indices.for_each(|index| parameters.arena[index] = normal(generator));
                    continue;
                }
                (Role::Head | Role::HeadBias, _) => config.directions() * config.hidden(),
                (_, Memory::Window(_)) => config.layer_inputs(0),
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

    /// Everything, padding included. What is written to the padding must be zero: what an
    /// update of values and gradients that are finite makes of zeros. Where that is not sure,
    /// [`Parameters::clear_padding`] restores it.
    #[inline]
    pub fn arena_mut(&mut self) -> &mut [f32] {
        self.used.set_any();
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
        self.config.tensors()
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
        self.used.set_any();
        let mut rest = &mut self.arena[..];
        for (used, padded) in layout::stretches(self.config.architecture()) {
            let (stretch, behind) = rest.split_at_mut(padded);
            visit(&mut stretch[..used]);
            rest = behind;
        }
    }

    /// The parameters in an arena that was [`Parameters::arena`] once.
    ///
    /// # Errors
    /// If it has another length, a value is not finite, or the padding is not zero.
    pub fn from_arena(config: Config, arena: &[f32]) -> Result<Self, Error> {
        let mut parameters = Self::zeros(config);
        let expected = parameters.arena.len();
        if arena.len() != expected {
            return Err(Error::ArenaSize { found: arena.len(), expected });
        }
        parameters.arena_mut().copy_from_slice(arena);
        parameters.check_finite()?;
        Ok(parameters)
    }

    /// Sets the padding to zero, whatever was written there.
    pub fn clear_padding(&mut self) {
        let mut rest = &mut self.arena[..];
        for (used, padded) in layout::stretches(self.config.architecture()) {
            let (stretch, behind) = rest.split_at_mut(padded);
            stretch[used..].fill(0.0);
            rest = behind;
        }
    }

    /// Is every value finite, and the padding zero? What [`Parameters::check_finite`] says, in
    /// one pass over the arena.
    pub fn is_finite(&self) -> bool {
        all_finite(&self.arena) && self.padding().is_none()
    }

    /// Refuses a value that is not finite by its tensor and place, and padding that is not zero.
    ///
    /// # Errors
    /// If there is one.
    pub fn check_finite(&self) -> Result<(), Error> {
        if !all_finite(&self.arena) {
            for tensor in self.tensors() {
                let mut values = tensor.indices().map(|index| self.arena[index]).enumerate();
                if let Some((index, value)) = values.find(|(_, value)| !value.is_finite()) {
                    return Err(Error::NotFinite { name: tensor.name().to_owned(), index, value });
                }
            }
        }
        match self.padding() {
            None => Ok(()),
            Some((place, value)) => Err(Error::Padding { place, value }),
        }
    }

    /// What stands in the padding, if it is not all zero: its first place and value.
    fn padding(&self) -> Option<(usize, f32)> {
        if !layout::has_padding(self.config.architecture()) {
            return None;
        }
        let mut start = 0;
        for (used, padded) in layout::stretches(self.config.architecture()) {
            let padding = &self.arena[start + used..start + padded];
            if let Some(place) = padding.iter().position(|&value| value != 0.0) {
                return Some((start + used + place, padding[place]));
            }
            start += padded;
        }
        None
    }

    /// The padded embedding `[V, I rounded up to 16]`, if there is one.
    pub(crate) fn embedding(&self) -> Option<Embedding<&[f32]>> {
        let rows = layout::embedding(self.config.architecture())?;
        Some(Embedding { values: &self.arena[rows.all()], width: self.config.inputs(), rows })
    }

    /// The same, to write.
    pub(crate) fn embedding_mut(&mut self) -> Option<Embedding<&mut [f32]>> {
        let rows = layout::embedding(self.config.architecture())?;
        Some(Embedding { values: &mut self.arena[rows.all()], width: self.config.inputs(), rows })
    }

    /// The padded views of layer `layer`, direction `direction`.
    pub(crate) fn layer(&self, layer: usize, direction: usize) -> Layer<&[f32]> {
        let places = layout::layer(self.config.architecture(), layer, direction);
        Layer {
            w_in: &self.arena[places.w_in],
            w_rec: &self.arena[places.w_rec],
            b_in: &self.arena[places.b_in],
            b_rec: &self.arena[places.b_rec],
        }
    }

    /// Begins a gradient: of all input rows, which are to be written over; or of those that
    /// `symbols` select, which are to be added to. All input rows are zero then.
    pub(crate) fn begin_gradient(&mut self, symbols: Option<&[u32]>) {
        let Some(symbols) = symbols else { return self.used.set_any() };
        for region in layout::input_rows(self.config.architecture()) {
            match self.used.rows() {
                None => self.arena[region.all()].fill(0.0),
                Some(rows) => {
                    rows.iter().for_each(|&row| self.arena[region.range(row as usize)].fill(0.0));
                }
            }
        }
        self.used.assign(symbols);
    }

    /// The padded views of layer `layer`, direction `direction`, to write; behind
    /// [`Parameters::begin_gradient`].
    pub(crate) fn layer_mut(&mut self, layer: usize, direction: usize) -> Layer<&mut [f32]> {
        let places = layout::layer(self.config.architecture(), layer, direction);
        let all = &mut self.arena[places.w_in.start..places.b_rec.end];
        let (w_in, rest) = all.split_at_mut(places.w_in.len());
        let (w_rec, rest) = rest.split_at_mut(places.w_rec.len());
        let (b_in, b_rec) = rest.split_at_mut(places.b_in.len());
        Layer { w_in, w_rec, b_in, b_rec }
    }

    /// The columns of the padded views that belong to the units `units` of each layer, to write,
    /// behind [`Parameters::begin_gradient`]: for each range of units, which are whole groups of 16
    /// and follow each other from the first to the last, the columns of W_in, W_rec, b_in and b_rec
    /// of each layer, and those of `W_out`. For networks of one direction.
    pub(crate) fn columns_mut(&mut self, units: &[Range<usize>]) -> Vec<Columns<'_>> {
        let config = self.config;
        let gates = config.cell().gates();
        let row = gates * config.stride();
        let mut parts: Vec<_> = units.iter().map(|_| Columns::default()).collect();
        let places = layout::embedding(config.architecture());
        let first = places.map_or(0, |rows| rows.all().end);
        let mut rest = &mut self.arena[first..];
        let mut next = |len: usize| {
            let (view, behind) = std::mem::take(&mut rest).split_at_mut(len);
            rest = behind;
            view
        };
        for layer in 0..config.layers() {
            let places = layout::layer(config.architecture(), layer, 0);
            let [w_in, w_rec, b_in, b_rec] = [places.w_in, places.w_rec, places.b_in, places.b_rec]
                .map(|range| {
                    split(next(range.len()), row, units.iter().map(|units| gates * units.len()))
                });
            let views = w_in.into_iter().zip(w_rec).zip(b_in).zip(b_rec);
            for (part, (((w_in, w_rec), b_in), b_rec)) in parts.iter_mut().zip(views) {
                part.layers.push(Layer { w_in, w_rec, b_in, b_rec });
            }
        }
        if let Some(places) = layout::head(config.architecture()) {
            let w_out = next(places.w_out.len());
            let w_out = split(w_out, config.stride(), units.iter().map(ExactSizeIterator::len));
            for (part, w_out) in parts.iter_mut().zip(w_out) {
                part.w_out = Some(w_out);
            }
            parts[0].b_out = Some(next(places.b_out.len()));
        }
        parts
    }

    /// Where the rows that a symbol selects lie in the arena: those of the embedding `[V, I]`, or
    /// without one those of `W_in` `[I, G·S]` of the first layer, forward, one an input. (Of a
    /// window of n inputs, n·I, of which a symbol selects n, one in each I.)
    pub fn input_rows(&self) -> InputRows {
        layout::input_rows(self.config.architecture()).next().expect("a direction")
    }

    /// Of a gradient that a backward pass over symbols wrote: the input rows (of each direction)
    /// that may be other than zero, each once, rising. None if it may be any row: after a pass
    /// over values, or since [`Parameters::arena_mut`] was called.
    pub fn used_rows(&self) -> Option<&[u32]> {
        self.used.rows()
    }

    /// Calls `visit` with the stretches of the arena that may be other than zero, from the first
    /// to the last, each as long as may be: all of it, but the input rows that are not among
    /// [`Parameters::used_rows`].
    pub fn for_each_used(&self, visit: impl FnMut(Range<usize>)) {
        for_each_used(self.config, &self.used, self.arena.len(), visit);
    }

    /// As [`Parameters::for_each_used`], to write, such as to scale or clip a gradient: unlike
    /// behind [`Parameters::arena_mut`], the other rows are still known to be zero.
    pub fn for_each_used_mut(&mut self, mut visit: impl FnMut(Range<usize>, &mut [f32])) {
        let (len, arena) = (self.arena.len(), &mut self.arena);
        for_each_used(self.config, &self.used, len, |range| {
            visit(range.clone(), &mut arena[range]);
        });
    }

    /// What stands in the arena behind the last recurrent weights: the biases of the last layer
    /// and direction, and the head. Whole cache lines, and the end of it.
    pub fn tail_range(&self) -> Range<usize> {
        let config = self.config;
        let places =
            layout::layer(config.architecture(), config.layers() - 1, config.directions() - 1);
        places.w_rec.end..self.arena.len()
    }

    /// Where the head stands in the arena, `W_out` and `b_out`: whole cache lines, and the end of
    /// it. Empty without a head.
    pub fn head_range(&self) -> Range<usize> {
        let end = self.arena.len();
        layout::head(self.config.architecture()).map_or(end..end, |places| places.w_out.start..end)
    }

    /// The padded `W_out` `[O, D·S]` and `b_out`, which is empty without a bias.
    pub(crate) fn head(&self) -> Option<(&[f32], &[f32])> {
        let places = layout::head(self.config.architecture())?;
        Some((&self.arena[places.w_out], &self.arena[places.b_out]))
    }

    /// The padded `W_out` `[O, D·S]` and `b_out`, to write.
    pub(crate) fn head_mut(&mut self) -> Option<(&mut [f32], &mut [f32])> {
        let places = layout::head(self.config.architecture())?;
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
        self.used.set_any();
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

/// A normal number of mean 0 and variance 1, by G. E. P. Box and M. E. Muller (1958).
fn normal(generator: &mut impl Rng) -> f32 {
    let (u, v): (f64, f64) = (generator.random(), generator.random());
    ((-2.0 * (1.0 - u).ln()).sqrt() * (std::f64::consts::TAU * v).cos()) as f32
}

/// The stretches of an arena of `len` values without the input rows that are not `used`.
fn for_each_used(config: Config, used: &UsedRows, len: usize, mut visit: impl FnMut(Range<usize>)) {
    let (mut open, mut behind) = (0..0, 0);
    // neighbours become one stretch
    let mut push = |range: Range<usize>| {
        if range.start == open.end {
            open.end = range.end;
        } else if open.start < open.end {
            visit(std::mem::replace(&mut open, range));
        } else {
            open = range;
        }
    };
    for region in layout::input_rows(config.architecture()) {
        let Some(rows) = used.rows() else { break };
        push(behind..region.start);
        rows.iter().for_each(|&row| push(region.range(row as usize)));
        behind = region.all().end;
    }
    push(behind..len);
    if open.start < open.end {
        visit(open);
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
    fn the_fused_path_sees_the_weights_where_the_layout_has_them() {
        let config = Config::lab(3, 17, 2).unwrap();
        let mut parameters = Parameters::uniform(config, &mut Xoshiro256PlusPlus::seed_from_u64(1));
        let layer = parameters.layer(0, 0);
        let (w_out, _) = parameters.head().unwrap();
        let lab = parameters.lab_weights();
        assert_eq!((lab.w_in, lab.w_rec, lab.w_out), (layer.w_in, layer.w_rec, w_out));
        let lab = parameters.lab_weights_mut();
        let lens = [lab.w_in.len(), lab.w_rec.len(), lab.w_out.len()];
        lab.w_rec[0] = 9.0;
        assert_eq!(lens, [3 * 32, 17 * 32, 2 * 32]);
        assert_eq!(parameters.layer(0, 0).w_rec[0], 9.0);
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
