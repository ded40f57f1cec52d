//! All layers and directions of one pass, segment by segment.
//!
//! ```text
//! one direction      for each segment: for each layer: forward; outputs
//!                    for each segment, the last first: outputs back; for each layer, the
//!                    top first: backward
//! two directions     for each layer: for each direction: for each segment: forward
//!                    and the reverse of it: a layer needs all steps of the one below
//! ```
//!
//! What a pass keeps is one of three ([`Keep`]): everything; where each segment starts
//! from, the rest being computed again by the backward pass; or nothing. The arithmetic and its
//! order are the same in all three, so the bits are, too.
//!
//! Where the outputs are just the states of one direction, without gaps, the top layer
//! writes its states there and keeps none of its own ([`Layers::top_in_y`]).

use super::backward::{self, Backward, Down};
use super::dropout::Mask;
use super::forward::{self, Forward};
use super::output;
use super::packed::Packed;
use super::segment::{Segment, Shape, Slot, part, part_mut};
use super::track::{Keep, Pass, Track, from_zeros, inputs, is_many, states};
use crate::sequences::{Packing, Sequences};
use crate::{Cell, Config, HeadSteps, Inputs, Parameters, State, size};
use kernels::buffer::Buffer;
use kernels::matmul::Right;
use kernels::matrix::MatMut;
use rand::Rng;
use std::ops::Range;

/// The activations of one pass over all layers.
#[derive(Debug, Default)]
pub(super) struct Layers {
    keep: Keep,
    packing: Packing,
    /// T of the caller.
    steps: usize,
    /// Whether the pass began from states of the caller's.
    has_start: bool,
    /// Whether there is a pass to go back through.
    is_fresh: bool,
    /// `[layers·directions]`
    tracks: Vec<Track>,
    /// `[layers − 1]`, or none if nothing is dropped.
    masks: Vec<Mask>,
    /// `[rows, S]` of a segment, a direction: inputs of a layer after dropout.
    dropped: [Buffer; 2],
    /// `[B, S]` a direction: the states at each sequence's last step, for a head there.
    last: [Buffer; 2],
    packed: Packed,
    /// `[rows, outputs]` packed, if sequences moved.
    packed_y: Buffer,
    /// `[T, B, outputs]`, or `[B, outputs]` for a head on the last step; before them B rows
    /// that the top layer starts from, if it keeps its states here.
    y: Buffer,
    /// Whether it does.
    top_in_y: bool,
    /// The values of the largest pass so far, for which memory was found.
    largest: usize,
    scratch: Buffer,
}

impl Layers {
    /// Runs all layers over `sequences`; see [`Layers::outputs`].
    pub fn forward(
        &mut self,
        parameters: &Parameters,
        sequences: &Sequences<'_>,
        dropout: Option<&mut dyn Rng>,
        keep: Keep,
    ) {
        let config = parameters.config();
        let (layers, directions) = (config.layers(), config.directions());
        self.packing.assign(sequences);
        (self.keep, self.steps) = (keep, sequences.steps);
        (self.has_start, self.is_fresh) = (sequences.start.is_some(), keep != Keep::Nothing);
        self.tracks.resize_with(layers * directions, Track::default);
        let (rows, batch) = (self.packing.rows(), self.packing.batch);
        self.check_room(config);
        self.packed.assign(parameters, &self.packing, sequences.inputs);
        match dropout {
            Some(generator) if config.dropout() > 0.0 => {
                self.masks.resize_with(layers - 1, Mask::default);
                for mask in &mut self.masks {
                    let size = (rows, directions, config.hidden());
                    mask.draw(generator, config.dropout(), size);
                }
            }
            _ => self.masks.clear(),
        }
        let outputs = config.outputs();
        let at_last = self.is_at_last(config);
        self.top_in_y = config.head().is_none()
            && directions == 1
            && config.hidden() == config.stride()
            && self.packing.is_even();
        let output_rows = if at_last { batch } else { sequences.steps * batch };
        let before = if self.top_in_y { batch } else { 0 };
        self.y.resize((before + output_rows) * outputs);
        if at_last {
            self.last.iter_mut().for_each(|last| last.resize(batch * config.stride()));
        } else if !self.packing.is_even() {
            self.packed_y.resize(rows * outputs);
        }

        let packed = std::mem::take(&mut self.packed);
        let inputs = packed.inputs(parameters, &self.packing, sequences.inputs);
        let pass = Pass::new(parameters, inputs);
        for (index, track) in self.tracks.iter_mut().enumerate() {
            track.begin(config, &self.packing, sequences.start, index);
            track.make_room(config, &self.packing, keep);
            track.weights.prepare(&pass, index / directions, index % directions, &self.packing);
        }
        let segments = self.packing.segments.len();
        if directions == 1 {
            for segment in 0..segments {
                (0..layers).for_each(|layer| self.run(&pass, layer, 0, segment, true));
                self.output(&pass, segment);
            }
        } else {
            for layer in 0..layers {
                (0..segments).for_each(|segment| self.run(&pass, layer, 0, segment, true));
                (0..segments).rev().for_each(|segment| self.run(&pass, layer, 1, segment, true));
            }
            (0..segments).for_each(|segment| self.output(&pass, segment));
        }
        self.packed = packed;
        self.finish_outputs(parameters);
    }

    /// Whether memory holds what the pass keeps; all sizes below are parts of this.
    ///
    /// # Panics
    /// If it does not.
    fn check_room(&mut self, config: Config) {
        let Packing { batch, .. } = self.packing;
        let rows = match self.keep {
            Keep::All => self.packing.rows(),
            Keep::Starts | Keep::Nothing => self.packing.most_rows(),
        };
        let kept = match config.cell() {
            Cell::Elman(_) => 1,
            Cell::Gru => 7,
            Cell::Lstm => 6,
        };
        let values = batch
            .checked_add(rows)
            .and_then(|rows| size::product([self.tracks.len(), rows, config.stride(), kept]));
        let outputs = if self.is_at_last(config) { 1 } else { self.steps };
        let outputs = size::product([outputs, batch, config.outputs()]);
        let all = values.zip(outputs).and_then(|(values, outputs)| values.checked_add(outputs));
        if all.is_none_or(|values| values > self.largest && !size::has_room(values)) {
            panic!(
                "a pass of {} steps of {batch} sequences through {:?} does not fit in memory",
                self.steps,
                config.architecture()
            );
        }
        self.largest = self.largest.max(all.unwrap_or(0));
    }

    /// Whether the outputs are those of the last steps only.
    fn is_at_last(&self, config: Config) -> bool {
        config.head().is_some_and(|head| head.steps == HeadSteps::Last)
    }

    /// One layer and direction over one segment; again, if it is not the `first` time.
    fn run(&mut self, pass: &Pass<'_>, layer: usize, direction: usize, index: usize, first: bool) {
        let config = pass.config;
        let shape = Shape::new(config, direction);
        let segment = Segment::new(&self.packing, index, shape);
        let (below, tracks) = self.tracks.split_at_mut(layer * config.directions());
        let track = &mut tracks[direction];
        let x = inputs(pass, below, &self.masks, &mut self.dropped, &self.packing, layer, index);

        let slot = &mut track.slots[if self.keep == Keep::All { index } else { 0 }];
        let len = track.h.len();
        let starts = index * len..(index + 1) * len;
        let c_starts = if track.c.is_empty() { 0..0 } else { starts.clone() };
        if first && self.keep == Keep::Starts {
            track.h_starts[starts.clone()].copy_from_slice(&track.h);
            track.c_starts[c_starts.clone()].copy_from_slice(&track.c);
        }
        let (h_start, c_start) = if first {
            (&track.h[..], &track.c[..])
        } else {
            (&track.h_starts[starts], &track.c_starts[c_starts])
        };
        segment.make_room(slot);
        let mut own = std::mem::take(&mut slot.h);
        let is_top = layer + 1 == config.layers();
        let h = if self.top_in_y && is_top {
            own.resize(0);
            top_states_mut(&mut self.y, &segment)
        } else {
            own.resize(segment.len_of_states());
            &mut own
        };
        segment.start_from(h, h_start);
        segment.start_from(&mut slot.c, c_start);

        let of_layer = pass.parameters.layer(layer, direction);
        let biases = Some(of_layer.b_in).filter(|bias| !bias.is_empty());
        let is_gru = config.cell() == Cell::Gru;
        let w_in: Vec<Right<'_>> = if track.weights.w_in.is_empty() {
            pass.w_in_parts(layer, direction).map(Right::from).collect()
        } else {
            track.weights.w_in.iter().map(Right::from).collect()
        };
        let plain_w_rec = pass.w_rec(layer, direction);
        let weights = Forward {
            w_in: &w_in,
            plain_w_in: pass.w_in(layer, direction),
            w_rec: if is_many(&self.packing) {
                track.weights.w_rec.ready()
            } else {
                plain_w_rec.into()
            },
            plain_w_rec,
            bias: biases.map(|b_in| if is_gru { b_in } else { &track.weights.bias }),
            recurrent_bias: biases.filter(|_| is_gru).map(|_| of_layer.b_rec),
            from_zeros: from_zeros(&self.packing, self.has_start, direction, index),
        };
        forward::forward(&segment, &x, &weights, slot, h);
        track.held = Some(index);
        if first {
            segment.finish(h, &mut track.h);
            segment.finish(&slot.c, &mut track.c);
            if !track.states.is_empty() {
                let rows = self.packing.rows_of(&self.packing.segments[index]);
                let target = &mut track.states[rows.start * shape.stride..rows.end * shape.stride];
                let states = segment.states(h).iter_rows();
                target.chunks_exact_mut(shape.stride).zip(states).for_each(|(target, states)| {
                    target.copy_from_slice(states);
                });
            }
        }
        slot.h = own;
    }

    /// The outputs of a segment.
    fn output(&mut self, pass: &Pass<'_>, index: usize) {
        if self.top_in_y {
            return; // they are there
        }
        let config = pass.config;
        let top = &self.tracks[(config.layers() - 1) * config.directions()..];
        let h = states(top, config, &self.packing, index);
        let steps = self.packing.segments[index].clone();
        let rows = self.packing.rows_of(&steps);
        let outputs = config.outputs();
        if self.is_at_last(config) {
            let stride = config.stride();
            for (h, last) in h.iter().zip(&mut self.last) {
                for place in 0..self.packing.count(steps.start) {
                    if let Some(row) = self.packing.last_row(place, &steps) {
                        last[place * stride..][..stride].copy_from_slice(h.row(row));
                    }
                }
            }
        } else {
            let even = self.packing.is_even();
            let y = if even { &mut self.y } else { &mut self.packed_y };
            let y = &mut y[rows.start * outputs..rows.end * outputs];
            output::forward(pass.parameters, &h, y);
        }
    }

    /// The outputs in the caller's order.
    fn finish_outputs(&mut self, parameters: &Parameters) {
        let config = parameters.config();
        let (outputs, batch) = (config.outputs(), self.packing.batch);
        if self.is_at_last(config) {
            if self.packing.rows() == 0 {
                return self.y.fill(0.0);
            }
            self.packed_y.resize(batch * outputs);
            let last = self.last.iter().take(config.directions());
            let h: Vec<_> = last.map(|last| part(last, 0, batch, config.stride())).collect();
            output::forward(parameters, &h, &mut self.packed_y);
            for place in 0..batch {
                let to = self.packing.sequence(place) * outputs;
                let from = &self.packed_y[place * outputs..][..outputs];
                self.y[to..to + outputs].copy_from_slice(from);
            }
        } else if self.packing.is_even() {
            let before = if self.top_in_y { batch } else { 0 };
            self.y[(before + self.packing.rows()) * outputs..].fill(0.0);
        } else {
            self.packing.unpack(outputs, &self.packed_y, &mut self.y);
        }
    }

    /// `[T, B, outputs]`, or `[B, outputs]` for a head on the last step.
    pub fn outputs(&self) -> &[f32] {
        match self.tracks.last() {
            Some(top) if self.top_in_y => &self.y[top.h.len()..],
            _ => &self.y,
        }
    }

    /// The states behind the pass, in the caller's order.
    pub fn state(&self, config: Config) -> State {
        self.gather(config, |track| (&track.h, &track.c))
    }

    /// ∂L/∂ the states before the pass, if they were the caller's, once the pass was gone back through.
    pub fn start_gradient(&self, config: Config) -> Option<State> {
        let is_back = self.has_start && !self.is_fresh && self.keep != Keep::Nothing;
        is_back.then(|| self.gather(config, |track| (&track.dh, &track.dc)))
    }

    fn gather(&self, config: Config, of: impl Fn(&Track) -> (&Buffer, &Buffer)) -> State {
        let (hidden, stride) = (config.hidden(), config.stride());
        let mut state = State::zeros(config, self.packing.batch);
        for (index, track) in self.tracks.iter().enumerate() {
            let (h, c) = of(track);
            for place in 0..self.packing.batch {
                let (to_h, to_c) = state.row_mut(index, self.packing.sequence(place));
                to_h.copy_from_slice(&h[place * stride..][..hidden]);
                if !to_c.is_empty() {
                    to_c.copy_from_slice(&c[place * stride..][..hidden]);
                }
            }
        }
        state
    }

    /// Bytes kept for the backward pass: the slots, the states before segments, masks, and the
    /// states and inputs of all steps where they are kept apart.
    pub fn bytes(&self) -> usize {
        let of_track = |track: &Track| {
            let buffers = [&track.h_starts, &track.c_starts, &track.states];
            let slots: usize = track.slots.iter().map(Slot::bytes).sum();
            slots + buffers.iter().map(|buffer| size_of_val(&buffer[..])).sum::<usize>()
        };
        let masks: usize = self.masks.iter().map(Mask::bytes).sum();
        let top = if self.top_in_y && self.keep == Keep::All { &self.y[..] } else { &[] };
        size_of_val(top)
            + self.packed.bytes()
            + masks
            + self.tracks.iter().map(of_track).sum::<usize>()
    }

    /// The state `[H]` of `sequence` at `step`, of the last layer, forward.
    pub fn hidden(&self, config: Config, step: usize, sequence: usize) -> Option<&[f32]> {
        let segment = self.packing.segments.iter().position(|steps| steps.contains(&step))?;
        let place =
            (0..self.packing.count(step)).find(|&n| self.packing.sequence(n) == sequence)?;
        let top = self.tracks.get((config.layers() - 1) * config.directions())?;
        if self.top_in_y {
            let row = self.packing.rows_of(&(0..step)).len() + place;
            return self.outputs().get(row * config.hidden()..)?.get(..config.hidden());
        }
        if self.keep != Keep::All && top.states.is_empty() {
            return None;
        }
        let steps = self.packing.segments[segment].start..step;
        let row = self.packing.rows_of(&steps).len() + place;
        let h = top.states(config, &self.packing, 0, segment);
        Some(&h.row(row)[..config.hidden()])
    }

    /// Whether unit `unit` of layer `layer`, direction `direction`, was kept in row (`step`,
    /// `sequence`) of the last pass; none if nothing was dropped, or there is no such row.
    pub fn keeps(
        &self,
        config: Config,
        (layer, direction): (usize, usize),
        (step, sequence): (usize, usize),
        unit: usize,
    ) -> Option<bool> {
        let mask = self.masks.get(layer)?;
        let place =
            (0..self.packing.count(step)).find(|&n| self.packing.sequence(n) == sequence)?;
        let row = self.packing.rows_of(&(0..step)).len() + place;
        Some(mask.keeps(row, direction, config.stride(), unit))
    }

    /// Carries `dy`, the gradient before the head's activation in the shape of the outputs,
    /// back through the last pass, which had these `inputs`, and writes the sums
    /// over `gradient` and, if asked for, ∂L/∂x over `dx` `[T, B, I]`.
    pub fn backward(
        &mut self,
        parameters: &Parameters,
        inputs: Inputs<'_>,
        dy: &[f32],
        gradient: &mut Parameters,
        dx: Option<&mut [f32]>,
    ) {
        assert!(self.is_fresh, "no forward pass to go back through: it was for inference, or gone");
        self.is_fresh = false;
        let config = parameters.config();
        let (layers, directions) = (config.layers(), config.directions());
        let (rows, stride, batch) = (self.packing.rows(), config.stride(), self.packing.batch);
        let (width, even) = (config.inputs(), self.packing.is_even());
        let mut dx = dx;
        if rows == 0 {
            gradient.begin_gradient(Some(&[])); // all input rows are zero
            gradient.for_each_used_mut(|_, values| values.fill(0.0));
            dx.iter_mut().for_each(|dx| dx.fill(0.0));
            self.tracks.iter_mut().for_each(|track| track.begin_back(batch * stride, 0));
            return;
        }

        let packed = std::mem::take(&mut self.packed);
        let pass = Pass::new(parameters, packed.inputs(parameters, &self.packing, inputs));
        let symbols = packed.symbols(&self.packing, inputs);
        gradient.begin_gradient(matches!(inputs, Inputs::Symbols(_)).then_some(symbols));
        let of_down = if directions == 1 { self.packing.most_rows() } else { rows };
        for (index, track) in self.tracks.iter_mut().enumerate() {
            track.begin_back(batch * stride, of_down * stride);
            let (layer, direction) = (index / directions, index % directions);
            let to_inputs = layer > 0 || dx.is_some() || config.embedding().is_some();
            track.weights.prepare_back(&pass, layer, direction, &self.packing, to_inputs);
        }
        let mut packed_dy = Buffer::default();
        let dy = if even || self.is_at_last(config) {
            dy
        } else {
            packed_dy.resize(rows * config.outputs());
            self.packing.pack(config.outputs(), dy, &mut packed_dy);
            &packed_dy
        };
        if self.is_at_last(config) {
            self.output_back_at_last(&pass, dy, gradient);
        }
        let mut packed_dx = Buffer::default();
        let mut to_x: Option<&mut [f32]> = match &mut dx {
            None if config.embedding().is_some() => {
                packed_dx.resize(rows * width);
                Some(&mut packed_dx)
            }
            None => None,
            Some(dx) if even => {
                dx[rows * width..].fill(0.0);
                Some(&mut dx[..rows * width])
            }
            Some(_) => {
                packed_dx.resize(rows * width);
                Some(&mut packed_dx)
            }
        };

        let segments = self.packing.segments.len();
        let to_x = &mut to_x;
        if directions == 1 {
            for segment in (0..segments).rev() {
                for layer in 0..layers {
                    self.again(&pass, layer, 0, segment);
                }
                self.output_back(&pass, dy, segment, gradient);
                for layer in (0..layers).rev() {
                    self.back(&pass, (layer, 0, segment), gradient, to_x.as_deref_mut());
                }
            }
        } else {
            for segment in (0..segments).rev() {
                self.output_back(&pass, dy, segment, gradient);
            }
            for layer in (0..layers).rev() {
                for segment in (0..segments).rev() {
                    self.again(&pass, layer, 0, segment);
                    self.back(&pass, (layer, 0, segment), gradient, to_x.as_deref_mut());
                }
                for segment in 0..segments {
                    self.again(&pass, layer, 1, segment);
                    self.back(&pass, (layer, 1, segment), gradient, to_x.as_deref_mut());
                }
            }
        }
        if let Some(mut embedding) = gradient.embedding_mut() {
            for (dx, &symbol) in packed_dx.chunks_exact(width).zip(symbols) {
                embedding.add(symbol, dx);
            }
        }
        self.packed = packed;
        if let (Some(dx), false) = (dx, even) {
            self.packing.unpack(width, &packed_dx, dx);
        }
    }

    /// Computes a segment again, if it was not kept.
    fn again(&mut self, pass: &Pass<'_>, layer: usize, direction: usize, index: usize) {
        let track = &self.tracks[layer * pass.config.directions() + direction];
        if self.keep == Keep::Starts && track.held != Some(index) {
            self.run(pass, layer, direction, index, false);
        }
    }

    /// Where the rows of a segment begin in `down`.
    fn down_row(&self, config: Config, index: usize) -> usize {
        let start = self.packing.rows_of(&self.packing.segments[index]).start;
        if config.directions() == 1 { 0 } else { start }
    }

    /// ∂L/∂h of the last layer in a segment, and the gradient of the head.
    fn output_back(
        &mut self,
        pass: &Pass<'_>,
        dy: &[f32],
        index: usize,
        gradient: &mut Parameters,
    ) {
        let config = pass.config;
        let (stride, outputs) = (config.stride(), config.outputs());
        let steps = self.packing.segments[index].clone();
        let rows = self.packing.rows_of(&steps);
        let (down_row, at_last) = (self.down_row(config, index), self.is_at_last(config));
        let (packing, last) = (&self.packing, &self.last);
        let top = &mut self.tracks[(config.layers() - 1) * config.directions()..];
        if at_last {
            for (track, last) in top.iter_mut().zip(last) {
                let down = &mut track.down[down_row * stride..][..rows.len() * stride];
                down.fill(0.0);
                for place in 0..packing.count(steps.start) {
                    if let Some(row) = packing.last_row(place, &steps) {
                        let dh = &last[place * stride..][..stride];
                        down[row * stride..][..stride].copy_from_slice(dh);
                    }
                }
            }
            return;
        }
        let dy = part(dy, rows.start, rows.len(), outputs);
        if config.head().is_some() {
            let is_first = index + 1 == packing.segments.len();
            let h = states(top, config, packing, index);
            output::sum_gradient(gradient, &h, dy, is_first);
        }
        for (direction, track) in top.iter_mut().enumerate() {
            let down = &mut track.down[down_row * stride..][..rows.len() * stride];
            output::backward(pass.parameters, dy, direction, down);
        }
    }

    /// The same for a head on the last step: its gradient, and ∂L/∂h over `last`.
    fn output_back_at_last(&mut self, pass: &Pass<'_>, dy: &[f32], gradient: &mut Parameters) {
        let config = pass.config;
        let (stride, outputs, batch) = (config.stride(), config.outputs(), self.packing.batch);
        let mut by_place = vec![0.0; batch * outputs];
        for (place, target) in by_place.chunks_exact_mut(outputs).enumerate() {
            target.copy_from_slice(&dy[self.packing.sequence(place) * outputs..][..outputs]);
        }
        let dy = part(&by_place, 0, batch, outputs);
        let last = &mut self.last[..config.directions()];
        let h: Vec<_> = last.iter().map(|last| part(last, 0, batch, stride)).collect();
        output::sum_gradient(gradient, &h, dy, true);
        for (direction, last) in last.iter_mut().enumerate() {
            output::backward(pass.parameters, dy, direction, last);
        }
    }

    /// One layer and direction back through one segment.
    fn back(
        &mut self,
        pass: &Pass<'_>,
        (layer, direction, index): (usize, usize, usize),
        gradient: &mut Parameters,
        dx: Option<&mut [f32]>,
    ) {
        let config = pass.config;
        let (directions, stride) = (config.directions(), config.stride());
        let segment = Segment::new(&self.packing, index, Shape::new(config, direction));
        let rows = self.packing.rows_of(&self.packing.segments[index]);
        let down_row = self.down_row(config, index);
        let (below, tracks) = self.tracks.split_at_mut(layer * directions);
        let track = &mut tracks[direction];
        let slot = &mut track.slots[if self.keep == Keep::All { index } else { 0 }];
        let down = &mut track.down[down_row * stride..][..rows.len() * stride];
        if let Some(mask) = self.masks.get(layer) {
            mask.apply(rows.start, direction, stride, down);
        }

        // what ∂L/∂ the inputs is written to, apart from the states that the inputs are
        let adds = direction > 0;
        let below_down = (layer - usize::from(layer > 0)) * directions;
        let mut downs: Vec<Buffer> = Vec::new();
        if layer > 0 {
            let of_below = &mut below[below_down..];
            downs.extend(of_below.iter_mut().map(|track| std::mem::take(&mut track.down)));
        }
        let targets: Vec<(MatMut<'_>, bool)> = if layer > 0 {
            let target = |down| part_mut(down, down_row, rows.len(), stride);
            let target = |down| target(down).into_part(0, 0, rows.len(), config.hidden());
            downs.iter_mut().map(|down| (target(down), adds)).collect()
        } else {
            let target = |dx| (part_mut(dx, rows.start, rows.len(), config.inputs()), adds);
            dx.map(target).into_iter().collect()
        };

        let x = inputs(pass, below, &self.masks, &mut self.dropped, &self.packing, layer, index);
        let w_in_t: Vec<Right<'_>> = if targets.is_empty() {
            Vec::new()
        } else if track.weights.w_in_t.is_empty() {
            pass.w_in_parts(layer, direction).map(|part| part.t().into()).collect()
        } else {
            track.weights.w_in_t.iter().map(Right::from).collect()
        };
        let from_zeros = from_zeros(&self.packing, self.has_start, direction, index);
        let last_back = if direction == 0 { 0 } else { self.packing.segments.len() - 1 };
        let own = std::mem::take(&mut slot.h);
        let is_top = layer + 1 == config.layers();
        let with = Backward {
            x: &x,
            h: if self.top_in_y && is_top { top_states(&self.y, &segment) } else { &own },
            w_rec_t: if is_many(&self.packing) {
                track.weights.w_rec_t.ready()
            } else {
                pass.w_rec(layer, direction).t().into()
            },
            w_in_t: &w_in_t,
            is_first: index + last_back + 1 == self.packing.segments.len(),
            to_start: self.has_start || index != last_back,
            from_zeros,
        };
        let down = Down { dh: down, dh_start: &mut track.dh, dc_start: &mut track.dc };
        let of_layer = gradient.layer_mut(layer, direction);
        backward::backward(&segment, &with, slot, down, of_layer, targets, &mut self.scratch);
        slot.h = own;
        for (track, down) in below[below_down..].iter_mut().zip(downs) {
            track.down = down;
        }
    }
}

/// Where a segment of the top layer has its states in y, behind those that it starts from.
fn range_of_top(segment: &Segment<'_>) -> Range<usize> {
    let first = segment.packing.rows_of(&(0..segment.steps.start)).len() * segment.shape.stride;
    first..first + segment.len_of_states()
}

fn top_states<'y>(y: &'y [f32], segment: &Segment<'_>) -> &'y [f32] {
    &y[range_of_top(segment)]
}

fn top_states_mut<'y>(y: &'y mut [f32], segment: &Segment<'_>) -> &'y mut [f32] {
    &mut y[range_of_top(segment)]
}
