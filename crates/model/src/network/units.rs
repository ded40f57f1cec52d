//! A network run by several threads at once, each of which computes some units of every layer.
//!
//! ```text
//! S/16 groups of units, N threads: thread k owns the units U_k, whole groups, and all their gates
//! forward     z[U_k] = x·W_in[·, U_k] + b[U_k]                                for all steps at once
//!             for each step: z[U_k] += h_before[U_k]·W_rec[U_k, U_k]
//!                            take h_before of the others;  z[U_k] += h_before[U_j]·W_rec[U_j, U_k]
//!                            h[U_k] = cell(z[U_k]);  publish it
//! backward    for each step: dz[U_k] from dh[U_k] by the cell;  publish it
//!                            dh_before[U_k] += dz[U_k]·W_rec[U_k, U_k]ᵀ
//!                            take dz of the others;  dh_before[U_k] += dz[U_j]·W_rec[U_k, U_j]ᵀ
//!             dW_in[·, U_k] = xᵀ·dz[U_k]    dW_rec[·, U_k] = h_beforeᵀ·dz[U_k]    one product each
//! ```
//!
//! For batches too small to be dealt out by sequences: one sequence is shared, too, and each thread
//! reads only its part of the weights. The threads meet in each step. What that costs is for the
//! most part hidden behind the product with the thread's own states, which comes first for that
//! reason; in the middle of it the thread asks for what the others have published.
//!
//! Each value is summed in an order that depends on N, but not on who is first, and each
//! value of the gradient belongs to one thread: the same N gives the same bits.
//!
//! What is not served shares sequences: two directions, dropout, embeddings, lengths, memories
//! other than states ([`Units::serves`]). Everything is kept for the backward pass, all states in
//! each thread.

use super::backward::{add_last_gates, add_rows};
use super::forward::FEW;
use super::output;
use super::product::{self, Recurrent};
use super::segment::{part, part_mut, parts_mut};
use super::track::Pass;
use crate::parameters::{Columns, Layer};
use crate::sequences::Sequences;
use crate::{Cell, Config, HeadSteps, Inputs, Memory, Parameters, State, size};
use kernels::buffer::Buffer;
use kernels::cell::panels::InitialSum;
use kernels::cell::{GROUP, elman, few, gru, lstm};
use kernels::exchange::{Exchange, Seat};
use kernels::matmul::{Epilogue, gemm};
use kernels::matrix::{MatMut, MatRef};
use std::ops::Range;

/// The activations of one network whose units several threads share.
///
/// This crate starts no threads: a pass is as many jobs as there are [`Units::jobs`], which the
/// caller runs.
///
/// ```
/// use model::{Architecture, Cell, Config, Parameters, Sequences, Units};
/// # use rand::SeedableRng;
/// # let mut generator = rand_xoshiro::Xoshiro256PlusPlus::seed_from_u64(0);
///
/// let config = Config::new(Architecture::new(Cell::Lstm, 3, 32))?;
/// let parameters = Parameters::initialised(config, &mut generator);
/// let mut units = Units::new(config, 2);
/// let x = [0.5; 5 * 3]; // T = 5, B = 1, I = 3
/// let sequences = Sequences::new(config, &x, 5, 1)?;
/// std::thread::scope(|scope| {
///     let jobs = units.forward(&parameters, &sequences);
///     jobs.into_iter().for_each(|job| drop(scope.spawn(job)));
/// });
/// assert_eq!(units.outputs().len(), 5 * 32);
/// # Ok::<(), model::Error>(())
/// ```
#[derive(Debug)]
pub struct Units {
    config: Config,
    exchange: Exchange,
    /// One a thread.
    parts: Vec<Part>,
    /// The units of each.
    bounds: Vec<Range<usize>>,
    /// `[T, B, O]`, or `[B, O]` of a head on the last step.
    y: Buffer,
    /// T and B of the last pass.
    size: (usize, usize),
    has_start: bool,
    /// Whether the last pass can be gone back through.
    is_fresh: bool,
}

/// What one thread keeps, on cache lines that no other writes.
#[derive(Debug)]
#[repr(align(128))]
struct Part {
    /// Its units, padded.
    units: Range<usize>,
    /// One a layer.
    tracks: Vec<Track>,
}

/// What a thread keeps of a layer; W is the width of its units.
#[derive(Debug, Default)]
struct Track {
    /// `[(T + 1)·B, S]`: the states of all units, the start first.
    h: Buffer,
    /// `[(T + 1)·B, W]`: the cell states of an LSTM, the start first.
    c: Buffer,
    /// GRU, LSTM: `[T·B, G·W]`, the gates' values, then the gradients before them.
    gates: Buffer,
    /// GRU: `[T·B, G·W]`, what comes from the state before, then its gradient.
    recurrent: Buffer,
    /// `[T·B, W]`: ∂L/∂h, then (Elman) that before the nonlinearity.
    dh: Buffer,
    /// `[B, W]`: ∂L/∂c so far.
    dc: Buffer,
    /// `[B, G·S]`: the gradients before the gates of a step, of the other threads' units.
    dz: Buffer,
    /// `[T·B, G·S]`, above the first layer: those that the layer below needs, of all units.
    dzx: Buffer,
    /// Own units first, then those before them and behind.
    blocks: Vec<Block>,
}

/// Units whose weights are met together.
#[derive(Debug, Default)]
struct Block {
    units: Range<usize>,
    /// For more than a few sequences: W_rec `[units, G·W]`, packed, and `[G·units, W]`, transposed.
    w_rec: Recurrent,
    w_rec_t: Recurrent,
    /// For a few: W_recᵀ `[G·units, W]`.
    few_t: Buffer,
}

/// What does not change within a pass.
#[derive(Clone, Copy)]
struct Walk<'a> {
    pass: Pass<'a>,
    bounds: &'a [Range<usize>],
    steps: usize,
    batch: usize,
    start: Option<&'a State>,
    has_start: bool,
}

impl Units {
    /// A network whose units are shared by `threads` threads, or by as many as there are groups of
    /// 16 units.
    ///
    /// # Panics
    /// If the network is not one that is served, or there are no threads.
    pub fn new(config: Config, threads: usize) -> Self {
        assert!(Self::serves(config), "the units of {:?} cannot be shared", config.architecture());
        assert!(threads > 0, "no threads");
        let groups = config.stride() / GROUP;
        let count = threads.min(groups);
        let bound = |n: usize| n * groups / count * GROUP;
        let bounds: Vec<_> = (0..count).map(|n| bound(n)..bound(n + 1)).collect();
        let part = |units: &Range<usize>| Part::new(config, units.clone());
        Self {
            config,
            exchange: Exchange::new(count),
            parts: bounds.iter().map(part).collect(),
            bounds,
            y: Buffer::default(),
            size: (0, 0),
            has_start: false,
            is_fresh: false,
        }
    }

    /// Whether the units of such a network can be shared.
    pub fn serves(config: Config) -> bool {
        config.directions() == 1
            && config.dropout() == 0.0
            && config.embedding().is_none()
            && config.memory() == Memory::State
    }

    /// How many threads share the units.
    pub fn jobs(&self) -> usize {
        self.parts.len()
    }

    /// The network's configuration.
    pub fn config(&self) -> Config {
        self.config
    }

    /// A forward pass over `sequences`, as jobs that must all run at the same time, each on a
    /// thread of its own: each waits for the others in every step. When they are done, there are
    /// [`Units::outputs`].
    ///
    /// # Panics
    /// If `parameters` or `sequences` are for another configuration, the sequences have lengths,
    /// there are none, or they have no steps.
    pub fn forward<'a>(
        &'a mut self,
        parameters: &'a Parameters,
        sequences: &Sequences<'a>,
    ) -> Vec<impl FnOnce() + Send + use<'a>> {
        let config = self.config;
        let Sequences { inputs, steps, batch, lengths, start, .. } = *sequences;
        check(config, parameters.config(), "parameters");
        check(config, sequences.config, "sequences");
        assert!(lengths.is_none(), "sequences with lengths cannot be shared by units");
        let rows = steps.checked_mul(batch).filter(|&rows| rows > 0).expect("rows to compute");
        (self.size, self.has_start, self.is_fresh) = ((steps, batch), start.is_some(), true);
        let is_at_last = is_at_last(config);
        let (rows, outputs) = (if is_at_last { batch } else { rows }, config.outputs());
        let rows = if is_top(config) { 0 } else { rows };
        self.y.resize(rows * outputs);
        let pass = Pass::new(parameters, inputs);
        let has_start = self.has_start;
        let walk = Walk { pass, bounds: &self.bounds, steps, batch, start, has_start };
        let seats = self.exchange.seats(batch * config.stride());
        let count = self.parts.len();
        let mut y = &mut self.y[..];
        let job = |(n, (part, mut seat)): (usize, (&'a mut Part, Seat<'a>))| {
            let rows = n * rows / count..(n + 1) * rows / count;
            let (own, behind) = std::mem::take(&mut y).split_at_mut(rows.len() * outputs);
            y = behind;
            move || {
                part.begin(walk);
                (0..config.layers()).for_each(|layer| part.forward(&mut seat, walk, layer));
                if !rows.is_empty() {
                    part.output(walk, rows, own);
                }
                seat.meet();
            }
        };
        self.parts.iter_mut().zip(seats).enumerate().map(job).collect()
    }

    /// Carries `dy`, the gradient before the head's activation in the shape of the outputs, back
    /// through the last pass, on the same `parameters` and `inputs`, as jobs of the same kind; when
    /// they are done, the gradient, summed over T and B, stands in `gradient`.
    ///
    /// # Panics
    /// If a size is not that of the last pass, or that has been gone back through before.
    pub fn backward<'a>(
        &'a mut self,
        parameters: &'a Parameters,
        inputs: Inputs<'a>,
        dy: &'a [f32],
        gradient: &'a mut Parameters,
    ) -> Vec<impl FnOnce() + Send + use<'a>> {
        let config = self.config;
        check(config, parameters.config(), "parameters");
        check(config, gradient.config(), "gradient");
        let (steps, batch) = self.size;
        assert!(std::mem::take(&mut self.is_fresh), "no forward pass to go back through");
        let (width, symbols) = match inputs {
            Inputs::Values(_) => (config.inputs(), None),
            Inputs::Symbols(symbols) => (1, Some(symbols)),
        };
        for (name, found, expected) in
            [("x", inputs.len(), steps * batch * width), ("dy", dy.len(), self.outputs().len())]
        {
            assert!(found == expected, "{name} holds {found} values, the pass had {expected}");
        }
        gradient.begin_gradient(symbols);
        let columns = gradient.columns_mut(&self.bounds);
        let pass = Pass::new(parameters, inputs);
        let has_start = self.has_start;
        let walk = Walk { pass, bounds: &self.bounds, steps, batch, start: None, has_start };
        // above the first layer of a GRU, both gradients of a gate
        let seats = self.exchange.seats(2 * batch * config.cell().gates() * config.stride());
        let job = |((part, mut seat), columns): ((&'a mut Part, Seat<'a>), Columns<'a>)| {
            move || {
                let Columns { layers, w_out, b_out } = columns;
                part.output_back(walk, dy, w_out, b_out);
                for (layer, columns) in layers.into_iter().enumerate().rev() {
                    part.backward(&mut seat, walk, layer, columns);
                }
                seat.meet();
            }
        };
        self.parts.iter_mut().zip(seats).zip(columns).map(job).collect()
    }

    /// The outputs of the last pass: `[T, B, O]`, or `[B, O]` of a head on the last step.
    pub fn outputs(&self) -> &[f32] {
        match self.parts[0].tracks.last() {
            Some(top) if is_top(self.config) => {
                &top.h[(self.size.1 * self.config.stride()).min(top.h.len())..]
            }
            _ => &self.y,
        }
    }

    /// The states behind the last pass.
    pub fn state(&self) -> State {
        let (config, (steps, batch)) = (self.config, self.size);
        let (hidden, stride) = (config.hidden(), config.stride());
        let mut state = State::zeros(config, batch);
        for layer in 0..config.layers() {
            for sequence in 0..batch {
                let row = steps * batch + sequence;
                let (to_h, to_c) = state.row_mut(layer, sequence);
                to_h.copy_from_slice(&self.parts[0].tracks[layer].h[row * stride..][..hidden]);
                for Part { units, tracks } in &self.parts {
                    let own = units.start..units.end.min(to_c.len());
                    if !own.is_empty() {
                        let c = &tracks[layer].c[row * units.len()..][..own.len()];
                        to_c[own].copy_from_slice(c);
                    }
                }
            }
        }
        state
    }

    /// Bytes that the last pass keeps, in all threads.
    pub fn activation_bytes(&self) -> usize {
        let tracks = self.parts.iter().flat_map(|part| &part.tracks);
        let of_track = |track: &Track| {
            let Track { h, c, gates, recurrent, dh, dz, dzx, .. } = track;
            [h, c, gates, recurrent, dh, dz, dzx]
                .map(|buffer| size_of_val(&buffer[..]))
                .iter()
                .sum::<usize>()
        };
        tracks.map(of_track).sum::<usize>() + self.exchange.bytes()
    }
}

fn check(config: Config, found: Config, name: &str) {
    assert!(
        found == config,
        "the {name} are of another network than this: {}",
        found.differences(config)
    );
}

/// Whether the outputs are the states of the last layer as they stand.
fn is_top(config: Config) -> bool {
    config.head().is_none() && config.hidden() == config.stride()
}

fn is_at_last(config: Config) -> bool {
    config.head().is_some_and(|head| head.steps == HeadSteps::Last)
}

impl Part {
    fn new(config: Config, units: Range<usize>) -> Self {
        let blocks = [units.clone(), 0..units.start, units.end..config.stride()];
        let block = |units: Range<usize>| Block { units, ..Block::default() };
        let track = |_| {
            let blocks = blocks.iter().filter(|units| !units.is_empty()).cloned().map(block);
            Track { blocks: blocks.collect(), ..Track::default() }
        };
        Self { tracks: (0..config.layers()).map(track).collect(), units }
    }

    /// W, and how many of the units are not padding.
    fn width(&self, config: Config) -> (usize, usize) {
        (self.units.len(), config.hidden().min(self.units.end) - self.units.start)
    }

    /// Makes room for a pass, and writes what it starts from.
    fn begin(&mut self, walk: Walk<'_>) {
        let Walk { pass: Pass { config, .. }, steps, batch, start, .. } = walk;
        let (hidden, stride, row) = (config.hidden(), config.stride(), config.cell().gates());
        let ((width, own), rows) = (self.width(config), steps * batch);
        for (layer, track) in self.tracks.iter_mut().enumerate() {
            track.h.resize(size::room("states", [rows + batch, stride]));
            track.h[..batch * stride].fill(0.0);
            match config.cell() {
                Cell::Elman(_) => {}
                Cell::Gru => {
                    track.gates.resize(size::room("gates", [rows, row * width]));
                    track.recurrent.resize(rows * row * width);
                }
                Cell::Lstm => {
                    track.gates.resize(size::room("gates", [rows, row * width]));
                    track.c.resize((rows + batch) * width);
                    track.c[..batch * width].fill(0.0);
                }
            }
            for sequence in 0..if start.is_some() { batch } else { 0 } {
                let Some((h, c)) = start.map(|start| start.row(layer, sequence)) else { continue };
                track.h[sequence * stride..][..hidden].copy_from_slice(h);
                if !c.is_empty() {
                    let c = &c[self.units.start..][..own];
                    track.c[sequence * width..][..own].copy_from_slice(c);
                }
            }
        }
    }

    /// One layer forward.
    fn forward(&mut self, seat: &mut Seat<'_>, walk: Walk<'_>, layer: usize) {
        let Walk { pass, bounds, steps, batch, has_start, .. } = walk;
        let (config, cell) = (pass.config, pass.config.cell());
        let (gates, hidden, stride) = (cell.gates(), config.hidden(), config.stride());
        let (width, own) = self.width(config);
        let (first, row, rows) = (self.units.start, gates * width, steps * batch);
        let (below, tracks) = self.tracks.split_at_mut(layer);
        let track = &mut tracks[0];
        let of_layer = pass.parameters.layer(layer, 0);
        let own_gates = |bias: &'_ [f32]| -> Option<Vec<f32>> {
            (!bias.is_empty()).then(|| bias[gates * first..][..row].to_vec())
        };
        let (b_in, b_rec) = (own_gates(of_layer.b_in), own_gates(of_layer.b_rec));
        let bias = b_in.map(|mut bias| {
            if cell != Cell::Gru {
                bias.iter_mut().zip(b_rec.iter().flatten()).for_each(|(sum, b)| *sum += b);
            }
            bias
        });
        let recurrent_bias = b_rec.filter(|_| cell == Cell::Gru);

        let inputs = config.layer_inputs(layer);
        let w_in = pass.w_in(layer, 0).part(0, gates * first, inputs, row);
        let z = match cell {
            Cell::Elman(_) => {
                part_mut(&mut track.h, batch, rows, stride).into_part(0, first, rows, width)
            }
            Cell::Gru | Cell::Lstm => part_mut(&mut track.gates, 0, rows, row),
        };
        let of_values = |x: MatRef<'_>, z: MatMut<'_>| {
            let epilogue = Epilogue { bias: bias.as_deref(), ..Epilogue::default() };
            product::of_parts(&[x], &[w_in.into()], epilogue, z);
        };
        match (below.last(), pass.inputs) {
            (Some(below), _) => {
                of_values(part(&below.h, batch, rows, stride).part(0, 0, rows, hidden), z);
            }
            (None, Inputs::Values(x)) => of_values(part(x, 0, rows, inputs), z),
            (None, Inputs::Symbols(symbols)) => {
                product::select(symbols, w_in, bias.as_deref(), z);
            }
        }

        let w_rec = pass.w_rec(layer, 0);
        let is_many = batch > FEW;
        if is_many {
            for block in &mut track.blocks {
                let rows = block.units.start..block.units.end.min(hidden);
                block.w_rec.assign(w_rec.part(rows.start, gates * first, rows.len(), row));
            }
        }
        for t in 0..steps {
            let (mut before, mut now) =
                parts_mut(&mut track.h, stride, batch, t * batch, (t + 1) * batch);
            let is_zero = t == 0 && !has_start;
            // z ← z + h_before·W_rec, the others' states last
            let blocks = &track.blocks;
            let mut sum = |seat: &mut Seat<'_>, z: &mut MatMut<'_>| {
                for (n, block) in blocks.iter().enumerate() {
                    if n == 1 && t > 0 {
                        take(seat, bounds, &mut before, 1);
                    }
                    if is_zero {
                        continue;
                    }
                    let depth = block.units.end.min(hidden) - block.units.start;
                    let h = before.as_ref().part(0, block.units.start, batch, depth);
                    if is_many {
                        block.w_rec.ready().multiply(h, row, InitialSum::Old, z.reborrow());
                    } else {
                        let w = w_rec.part(block.units.start, gates * first, depth, row);
                        let ask = || seat.prefetch(batch * width);
                        add_product(h, w, z.reborrow(), Some(ask).filter(|_| n == 0 && t > 0));
                    }
                }
            };
            let mut h = now.reborrow().into_part(0, first, batch, width);
            match cell {
                Cell::Elman(f) => {
                    sum(seat, &mut h);
                    elman::forward(f.into(), own, h.reborrow());
                }
                Cell::Gru => {
                    let mut zh = part_mut(&mut track.recurrent, t * batch, batch, row);
                    let bias = recurrent_bias.as_deref();
                    zh.reborrow().into_rows().for_each(|zh| match bias {
                        Some(bias) => zh.copy_from_slice(bias),
                        None => zh.fill(0.0),
                    });
                    sum(seat, &mut zh);
                    let zx = part_mut(&mut track.gates, t * batch, batch, row);
                    let h_before = before.as_ref().part(0, first, batch, width);
                    gru::forward(zx, zh.as_ref(), h_before, h.reborrow());
                }
                Cell::Lstm => {
                    let mut gates = part_mut(&mut track.gates, t * batch, batch, row);
                    sum(seat, &mut gates);
                    let (c_before, c) =
                        parts_mut(&mut track.c, width, batch, t * batch, (t + 1) * batch);
                    lstm::forward(gates, c_before.as_ref(), c, h.reborrow());
                }
            }
            seat.publish(&[h.as_ref()]);
        }
        take(seat, bounds, &mut part_mut(&mut track.h, rows, batch, stride), 1);
    }

    /// The outputs of some rows of the last layer's states, or of the last step's.
    fn output(&self, walk: Walk<'_>, rows: Range<usize>, y: &mut [f32]) {
        let Walk { pass: Pass { parameters, config, .. }, steps, batch, .. } = walk;
        let top = &self.tracks[config.layers() - 1];
        let first = if is_at_last(config) { steps * batch } else { batch };
        let h = part(&top.h, first + rows.start, rows.len(), config.stride());
        output::forward(parameters, &[h], y);
    }

    /// ∂L/∂h of the last layer, and the gradient of the head.
    fn output_back(
        &mut self,
        walk: Walk<'_>,
        dy: &[f32],
        dw_out: Option<MatMut<'_>>,
        db_out: Option<&mut [f32]>,
    ) {
        let Walk { pass: Pass { parameters, config, .. }, steps, batch, .. } = walk;
        let (width, own) = self.width(config);
        let (units, rows, outputs) = (self.units.clone(), steps * batch, config.outputs());
        for track in &mut self.tracks {
            track.dh.resize(rows * width);
            track.dh.fill(0.0);
        }
        let top = self.tracks.last_mut().expect("a layer");
        let first = if is_at_last(config) { rows - batch } else { 0 };
        let rows = rows - first;
        let dy = part(dy, 0, rows, outputs);
        let mut dh = part_mut(&mut top.dh, first, rows, width);
        let (Some((w_out, _)), Some(mut dw_out)) = (parameters.head(), dw_out) else {
            for (dh, dy) in dh.into_rows().zip(dy.iter_rows()) {
                dh[..own].copy_from_slice(&dy[units.start..][..own]);
            }
            return;
        };
        let w_out = MatRef::new(w_out, outputs, config.stride());
        gemm(1.0, dy, w_out.part(0, units.start, outputs, width), 0.0, dh.reborrow());
        dw_out.reborrow().into_rows().for_each(|row| row.fill(0.0));
        let h = part(&top.h, batch + first, rows, config.stride());
        let h = h.part(0, units.start, rows, own);
        gemm(1.0, dy.t(), h, 0.0, dw_out.into_part(0, 0, outputs, own));
        if let Some(db_out) = db_out {
            db_out.fill(0.0);
            if let Some(db_out) = db_out.get_mut(..outputs) {
                add_rows(dy, db_out);
            }
        }
    }

    /// One layer backward.
    fn backward(
        &mut self,
        seat: &mut Seat<'_>,
        walk: Walk<'_>,
        layer: usize,
        gradient: Layer<MatMut<'_>>,
    ) {
        let Walk { pass, bounds, steps, batch, has_start, .. } = walk;
        let (config, cell) = (pass.config, pass.config.cell());
        let (gates, hidden, stride) = (cell.gates(), config.hidden(), config.stride());
        let (width, own) = self.width(config);
        let (first, row, rows) = (self.units.start, gates * width, steps * batch);
        let (below, tracks) = self.tracks.split_at_mut(layer);
        let track = &mut tracks[0];
        let (to_below, is_gru) = (layer > 0, cell == Cell::Gru);
        let w_rec = pass.w_rec(layer, 0).part(first, 0, own, gates * stride);
        let is_many = batch > FEW;
        for block in &mut track.blocks {
            let columns = (gates * block.units.start, gates * block.units.len());
            let w_rec = w_rec.part(0, columns.0, own, columns.1);
            if is_many {
                block.w_rec_t.assign(w_rec.t());
            } else {
                few::transpose(w_rec, &mut block.few_t);
            }
        }
        track.dc.resize(if cell == Cell::Lstm { batch * width } else { 0 });
        track.dc.fill(0.0);
        track.dz.resize(if to_below && !is_gru { 0 } else { batch * gates * stride });
        track.dzx.resize(if to_below { rows * gates * stride } else { 0 });
        let mut none = Buffer::zeros(if is_gru { batch * width } else { 0 });
        for t in (0..steps).rev() {
            let at = t * batch;
            let h = part(&track.h, at + batch, batch, stride).part(0, first, batch, width);
            let h_before = part(&track.h, at, batch, stride).part(0, first, batch, width);
            let (mut dh, mut dh_before) = match t.checked_sub(1) {
                Some(before) => {
                    let (dh, before) = parts_mut(&mut track.dh, width, batch, at, before * batch);
                    (dh, Some(before))
                }
                None => (part_mut(&mut track.dh, at, batch, width), None),
            };
            let dz = match cell {
                Cell::Elman(f) => {
                    elman::backward(f.into(), h, dh.reborrow());
                    dh.as_ref()
                }
                Cell::Gru => {
                    let dzx = part_mut(&mut track.gates, at, batch, row);
                    let dzh = part_mut(&mut track.recurrent, at, batch, row);
                    let dh_before = match &mut dh_before {
                        Some(dh_before) => dh_before.reborrow(),
                        None => part_mut(&mut none, 0, batch, width),
                    };
                    gru::backward(dzx, dzh, h_before, dh.as_ref(), dh_before);
                    part(&track.recurrent, at, batch, row)
                }
                Cell::Lstm => {
                    let c_before = part(&track.c, at, batch, width);
                    let dc = part_mut(&mut track.dc, 0, batch, width);
                    lstm::backward(
                        part_mut(&mut track.gates, at, batch, row),
                        c_before,
                        h,
                        dh.as_ref(),
                        dc,
                    );
                    part(&track.gates, at, batch, row)
                }
            };
            if t == 0 && !to_below {
                break;
            }
            if to_below && is_gru {
                seat.publish(&[dz, part(&track.gates, at, batch, row)]);
            } else {
                seat.publish(&[dz]);
            }
            for (n, block) in track.blocks.iter().enumerate() {
                if n == 1 {
                    match (to_below, is_gru) {
                        (false, _) => {
                            let mut dz = part_mut(&mut track.dz, 0, batch, gates * stride);
                            take(seat, bounds, &mut dz, gates);
                        }
                        (true, false) => {
                            let mut dz = part_mut(&mut track.dzx, at, batch, gates * stride);
                            take(seat, bounds, &mut dz, gates);
                        }
                        (true, true) => {
                            let mut dz = part_mut(&mut track.dz, 0, batch, gates * stride);
                            let mut dzx = part_mut(&mut track.dzx, at, batch, gates * stride);
                            for other in seat.others() {
                                let both = [&mut dz, &mut dzx].map(|all| {
                                    let of = &bounds[other];
                                    let columns = (gates * of.start, gates * of.len());
                                    all.reborrow().into_part(0, columns.0, batch, columns.1)
                                });
                                seat.take(other, both);
                            }
                        }
                    }
                }
                let Some(dh_before) = &mut dh_before else { continue };
                let columns = (gates * block.units.start, gates * block.units.len());
                let dz = if n == 0 {
                    dz
                } else if to_below && !is_gru {
                    part(&track.dzx, at, batch, gates * stride).part(0, columns.0, batch, columns.1)
                } else {
                    part(&track.dz, 0, batch, gates * stride).part(0, columns.0, batch, columns.1)
                };
                let dh_before = dh_before.reborrow();
                if is_many {
                    block.w_rec_t.ready().multiply(dz, own, InitialSum::Old, dh_before);
                } else {
                    let w = MatRef::new(&block.few_t, dz.columns(), width);
                    let ask = || seat.prefetch(batch * row);
                    add_product(dz, w, dh_before, Some(ask).filter(|_| n == 0));
                }
            }
        }

        let dzx = match cell {
            Cell::Elman(_) => part(&track.dh, 0, rows, row),
            Cell::Gru | Cell::Lstm => part(&track.gates, 0, rows, row),
        };
        let dzh = if is_gru { part(&track.recurrent, 0, rows, row) } else { dzx };
        let biases = gradient.b_in.into_rows().zip(gradient.b_rec.into_rows());
        for (b_in, b_rec) in biases {
            b_in.fill(0.0);
            add_rows(dzx, b_in);
            b_rec.copy_from_slice(b_in);
            if is_gru {
                // r and z meet both biases in one sum
                let last = |n: usize| n % gru::GATES == gru::GATES - 1;
                let blocks = b_rec.chunks_exact_mut(GROUP).enumerate();
                blocks.filter(|(n, _)| last(*n)).for_each(|(_, sums)| sums.fill(0.0));
                add_last_gates(dzh, b_rec);
            }
        }
        let skipped = if has_start { 0 } else { batch };
        let used = rows - skipped;
        let h_before = part(&track.h, skipped, used, stride).part(0, 0, used, hidden);
        gemm(1.0, h_before.t(), dzh.part(skipped, 0, used, row), 0.0, gradient.w_rec);
        match (below.last_mut(), pass.inputs) {
            (None, Inputs::Values(x)) => {
                let x = part(x, 0, rows, config.inputs());
                gemm(1.0, x.t(), dzx, 0.0, gradient.w_in);
            }
            (None, Inputs::Symbols(symbols)) => {
                let mut dw_in = gradient.w_in;
                for (dz, &symbol) in dzx.iter_rows().zip(symbols) {
                    let dw = dw_in.row_mut(symbol as usize);
                    dw.iter_mut().zip(dz).for_each(|(dw, dz)| *dw += dz);
                }
            }
            (Some(below), _) => {
                let x = part(&below.h, batch, rows, stride).part(0, 0, rows, hidden);
                gemm(1.0, x.t(), dzx, 0.0, gradient.w_in);
                let mut all = part_mut(&mut track.dzx, 0, rows, gates * stride);
                let columns = all.reborrow().into_part(0, gates * first, rows, row).into_rows();
                columns.zip(dzx.iter_rows()).for_each(|(all, own)| all.copy_from_slice(own));
                let w_in = pass.w_in(layer, 0).part(first, 0, own, gates * stride);
                let down = part_mut(&mut below.dh, 0, rows, width).into_part(0, 0, rows, own);
                gemm(1.0, all.as_ref(), w_in.t(), 0.0, down);
            }
        }
    }
}

/// `C ← C + A·W` for a few rows; in the middle of it, `ask` asks for what is met next.
fn add_product(a: MatRef<'_>, w: MatRef<'_>, mut c: MatMut<'_>, ask: Option<impl FnOnce()>) {
    let Some(ask) = ask else { return few::add_product(a, w, c) };
    let (rows, depth, columns) = (a.rows(), w.rows(), w.columns());
    let half = depth / 2;
    few::add_product(a.part(0, 0, rows, half), w.part(0, 0, half, columns), c.reborrow());
    ask();
    let rest = depth - half;
    few::add_product(a.part(0, half, rows, rest), w.part(half, 0, rest, columns), c);
}

/// Takes `gates` values of each unit of the others into `all` `[B, gates·S]`.
fn take(seat: &mut Seat<'_>, bounds: &[Range<usize>], all: &mut MatMut<'_>, gates: usize) {
    for other in seat.others() {
        let (first, count) = (gates * bounds[other].start, gates * bounds[other].len());
        let rows = all.rows();
        seat.take(other, [all.reborrow().into_part(0, first, rows, count)]);
    }
}
