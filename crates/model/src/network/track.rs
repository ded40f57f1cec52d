//! One layer in one direction: what it keeps from segment to segment, the weights made
//! ready for a pass, and what a segment of it is fed with.
//!
//! Which layer, direction and segment comes when is `layers`'; nothing here computes.

use super::dropout::Mask;
use super::forward::FEW;
use super::product::Recurrent;
use super::segment::{Fed, Segment, Shape, Slot, part};
use crate::sequences::Packing;
use crate::{Cell, Config, Inputs, Parameters, State};
use kernels::buffer::Buffer;
use kernels::matmul::PackedMatrix;
use kernels::matrix::{MatRef, Operand};

/// What a forward pass keeps for the backward pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Keep {
    /// Every step.
    #[default]
    All,
    /// The states before each segment.
    Starts,
    /// Nothing: no backward pass follows.
    Nothing,
}

/// One layer in one direction.
#[derive(Debug, Default)]
pub(super) struct Track {
    /// One a segment, or one for all in turn.
    pub slots: Vec<Slot>,
    /// The segment in the only slot.
    pub held: Option<usize>,
    /// `[B, S]`, the states so far.
    pub h: Buffer,
    pub c: Buffer,
    /// `[segments, B, S]`, the states before each, if only they are kept.
    pub h_starts: Buffer,
    pub c_starts: Buffer,
    /// `[rows, S]`: the states of all steps, where the slots do not keep them and the other
    /// direction or the layer above needs them.
    pub states: Buffer,
    pub weights: Weights,
    /// `[rows, S]` of a segment (one direction) or of all: ∂L/∂h from above.
    pub down: Buffer,
    /// `[B, S]`: ∂L/∂ the states so far.
    pub dh: Buffer,
    pub dc: Buffer,
}

/// Weights made ready once a pass.
#[derive(Debug, Default)]
pub(super) struct Weights {
    pub w_in: Vec<PackedMatrix>,
    pub w_rec: Recurrent,
    pub w_in_t: Vec<PackedMatrix>,
    pub w_rec_t: Recurrent,
    /// b_in + b_rec
    pub bias: Buffer,
}

/// What does not change within a pass over the layers.
#[derive(Clone, Copy)]
pub(super) struct Pass<'a> {
    pub parameters: &'a Parameters,
    pub config: Config,
    /// `[rows, I]` or `[rows]`, packed.
    pub inputs: Inputs<'a>,
}

impl<'a> Pass<'a> {
    pub fn new(parameters: &'a Parameters, inputs: Inputs<'a>) -> Self {
        Self { parameters, config: parameters.config(), inputs }
    }

    /// Whether a layer is fed with symbols.
    pub fn is_symbols(&self, layer: usize) -> bool {
        layer == 0 && matches!(self.inputs, Inputs::Symbols(_))
    }

    /// W_in of a layer in parts, one for each direction of the layer below.
    pub fn w_in_parts(
        &self,
        layer: usize,
        direction: usize,
    ) -> impl ExactSizeIterator<Item = MatRef<'a>> {
        let shape = Shape::new(self.config, direction);
        let w_in = self.parameters.layer(layer, direction).w_in;
        let rows = if layer == 0 { self.config.inputs() } else { shape.hidden };
        w_in.chunks_exact(rows * shape.row()).map(move |w| MatRef::new(w, rows, shape.row()))
    }

    /// W_in `[I_l, G·S]`
    pub fn w_in(&self, layer: usize, direction: usize) -> MatRef<'a> {
        let shape = Shape::new(self.config, direction);
        let w_in = self.parameters.layer(layer, direction).w_in;
        MatRef::new(w_in, self.config.layer_inputs(layer), shape.row())
    }

    /// W_rec `[H, G·S]`
    pub fn w_rec(&self, layer: usize, direction: usize) -> MatRef<'a> {
        let shape = Shape::new(self.config, direction);
        let w_rec = self.parameters.layer(layer, direction).w_rec;
        MatRef::new(w_rec, shape.hidden, shape.row())
    }
}

impl Weights {
    /// Makes ready what the forward pass multiplies with.
    pub fn prepare(&mut self, pass: &Pass<'_>, layer: usize, direction: usize, packing: &Packing) {
        let of_layer = pass.parameters.layer(layer, direction);
        let parts = pass.w_in_parts(layer, direction).map(Operand::from);
        let pays = packing.segments.len() > 1 && !pass.is_symbols(layer);
        assign_parts(&mut self.w_in, parts, pays);
        if is_many(packing) {
            self.w_rec.assign(pass.w_rec(layer, direction));
        }
        if !of_layer.b_in.is_empty() && pass.config.cell() != Cell::Gru {
            self.bias.resize(of_layer.b_in.len());
            let biases = of_layer.b_in.iter().zip(of_layer.b_rec);
            self.bias.iter_mut().zip(biases).for_each(|(sum, (a, b))| *sum = a + b);
        }
    }

    /// Makes ready what the backward pass multiplies with; `to_inputs` if it goes on below.
    pub fn prepare_back(
        &mut self,
        pass: &Pass<'_>,
        layer: usize,
        direction: usize,
        packing: &Packing,
        to_inputs: bool,
    ) {
        let parts = pass.w_in_parts(layer, direction).map(MatRef::t);
        assign_parts(&mut self.w_in_t, parts, to_inputs && packing.segments.len() > 1);
        if is_many(packing) {
            self.w_rec_t.assign(pass.w_rec(layer, direction).t());
        }
    }
}

/// Packs parts where there were others before, or leaves none.
fn assign_parts<'a>(
    packed: &mut Vec<PackedMatrix>,
    parts: impl ExactSizeIterator<Item = Operand<'a>>,
    pays: bool,
) {
    packed.resize_with(if pays { parts.len() } else { 0 }, PackedMatrix::default);
    packed.iter_mut().zip(parts).for_each(|(packed, part)| packed.assign(part));
}

/// Whether packing the recurrent weights pays.
pub(super) fn is_many(packing: &Packing) -> bool {
    packing.batch > FEW || !packing.is_even()
}

impl Track {
    /// Makes room for what a pass keeps.
    pub fn make_room(&mut self, config: Config, packing: &Packing, keep: Keep) {
        let segments = packing.segments.len();
        self.slots.resize_with(if keep == Keep::All { segments } else { 1 }, Slot::default);
        self.held = None;
        let starts = if keep == Keep::Starts { segments } else { 0 };
        self.h_starts.resize(starts * self.h.len());
        self.c_starts.resize(starts * self.c.len());
        let apart = config.directions() > 1 && keep != Keep::All;
        self.states.resize(if apart { packing.rows() * config.stride() } else { 0 });
    }

    /// Sets the states before the pass.
    pub fn begin(
        &mut self,
        config: Config,
        packing: &Packing,
        start: Option<&State>,
        index: usize,
    ) {
        let (hidden, stride) = (config.hidden(), config.stride());
        let len = packing.batch * stride;
        let c_len = if config.cell() == Cell::Lstm { len } else { 0 };
        self.h.resize(len);
        self.c.resize(c_len);
        self.h.fill(0.0);
        self.c.fill(0.0);
        if let Some(start) = start {
            for place in 0..packing.batch {
                let (h, c) = start.row(index, packing.sequence(place));
                self.h[place * stride..][..hidden].copy_from_slice(h);
                if !c.is_empty() {
                    self.c[place * stride..][..hidden].copy_from_slice(c);
                }
            }
        }
    }

    /// Makes room for the backward pass, and sets ∂L/∂ the states behind the pass to zero.
    pub fn begin_back(&mut self, len: usize, down: usize) {
        self.dh.resize(len);
        self.dc.resize(if self.c.is_empty() { 0 } else { len });
        self.dh.fill(0.0);
        self.dc.fill(0.0);
        self.down.resize(down);
    }

    /// `[rows, S]`: the states in a segment.
    pub fn states(
        &self,
        config: Config,
        packing: &Packing,
        direction: usize,
        index: usize,
    ) -> MatRef<'_> {
        if !self.states.is_empty() {
            let rows = packing.rows_of(&packing.segments[index]);
            return part(&self.states, rows.start, rows.len(), config.stride());
        }
        let slot = if self.slots.len() > 1 { &self.slots[index] } else { &self.slots[0] };
        Segment::new(packing, index, Shape::new(config, direction)).states(&slot.h)
    }
}

/// Whether a segment starts from zeros: the first in its direction, without a start.
pub(super) fn from_zeros(
    packing: &Packing,
    has_start: bool,
    direction: usize,
    index: usize,
) -> bool {
    let first = if direction == 0 { 0 } else { packing.segments.len() - 1 };
    !has_start && index == first
}

/// The states of the tracks of a layer in a segment, one a direction, each `[rows, S]`.
pub(super) fn states<'a>(
    layer: &'a [Track],
    config: Config,
    packing: &Packing,
    index: usize,
) -> Vec<MatRef<'a>> {
    let tracks = layer.iter().take(config.directions()).enumerate();
    tracks.map(|(direction, track)| track.states(config, packing, direction, index)).collect()
}

/// The inputs of layer `layer` in a segment: those of the pass, or the states of the layer
/// below (the last of `below`), some of them dropped.
pub(super) fn inputs<'a>(
    pass: &Pass<'a>,
    below: &'a [Track],
    masks: &[Mask],
    dropped: &'a mut [Buffer; 2],
    packing: &Packing,
    layer: usize,
    index: usize,
) -> Fed<'a> {
    let config = pass.config;
    let rows = packing.rows_of(&packing.segments[index]);
    if layer == 0 {
        return match pass.inputs {
            Inputs::Values(x) => Fed::Parts(vec![part(x, rows.start, rows.len(), config.inputs())]),
            Inputs::Symbols(symbols) => Fed::Symbols(&symbols[rows]),
        };
    }
    let h = states(&below[(layer - 1) * config.directions()..], config, packing, index);
    let (hidden, stride) = (config.hidden(), config.stride());
    let Some(mask) = masks.get(layer - 1) else {
        return Fed::Parts(h.into_iter().map(|h| h.part(0, 0, rows.len(), hidden)).collect());
    };
    let parts = h.iter().zip(dropped).enumerate().map(|(direction, (h, dropped))| {
        dropped.resize(rows.len() * stride);
        let copies = dropped.chunks_exact_mut(stride).zip(h.iter_rows());
        copies.for_each(|(target, h)| target.copy_from_slice(h));
        mask.apply(rows.start, direction, stride, dropped);
        part(dropped, 0, rows.len(), stride).part(0, 0, rows.len(), hidden)
    });
    Fed::Parts(parts.collect())
}
