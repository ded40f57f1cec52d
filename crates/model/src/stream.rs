//! A network that is shown one step at a time, as it comes.
//!
//! The state is held inside; a step computes all layers and the head for one sequence and
//! allocates nothing, nor do reset and restore. The sums run in another order than those of
//! [`crate::Network`], so the outputs are the same within rounding (`tests/stream.rs` holds them
//! to 1e-6, relative).
//! A backward direction begins at the last step, which a stream does not have.

mod plain;

use crate::finite::check_finite;
use crate::{Cell, Config, Error, HeadActivation, Inputs, Memory, Parameters, State};
use kernels::activation::sigmoid;
use kernels::buffer::Buffer;
use kernels::cell::{CellWeights, elman, gru, lstm};
use kernels::matrix::{MatMut, MatRef};
use kernels::vector::dot;
use plain::Plain;

/// A network at work on one sequence, step by step.
///
/// ```
/// use model::{Architecture, Cell, Config, Head, Parameters, Stream};
/// # use rand::SeedableRng;
/// # let mut generator = rand_xoshiro::Xoshiro256PlusPlus::seed_from_u64(0);
///
/// let gru = Architecture::new(Cell::Gru, 2, 16);
/// let config = Config::new(Architecture { head: Some(Head::linear(1)), ..gru })?;
/// let mut stream = Stream::new(Parameters::initialised(config, &mut generator))?;
/// let mut y = [0.0];
/// stream.step(&[0.5, -0.5], &mut y)?;
/// let before = stream.snapshot();
/// stream.step(&[0.1, 0.2], &mut y)?;
/// stream.restore(&before)?; // and the second step is as if it had not been
/// # Ok::<(), model::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Stream {
    parameters: Parameters,
    layers: Vec<LayerState>,
    /// Of a network that remembers something else than its states.
    plain: Option<Plain>,
}

/// The state of one layer.
#[derive(Clone, Debug)]
struct LayerState {
    /// `[S]`
    h: Buffer,
    /// `[S]`: the state before, and room for the next.
    h_before: Buffer,
    /// `[S]`, empty but for an LSTM.
    c: Buffer,
}

impl Stream {
    /// A stream that has seen nothing yet: its states are zero.
    ///
    /// # Errors
    /// If the network is bidirectional, a weight is not finite, or the padding between them not
    /// zero.
    pub fn new(parameters: Parameters) -> Result<Self, Error> {
        let config = parameters.config();
        if config.directions() > 1 {
            return Err(Error::BidirectionalStream);
        }
        parameters.check_finite()?;
        let stride = config.stride();
        let zeros = LayerState {
            h: Buffer::zeros(stride),
            h_before: Buffer::zeros(stride),
            c: Buffer::zeros(if config.cell() == Cell::Lstm { stride } else { 0 }),
        };
        let plain = (config.memory() != Memory::State).then(|| Plain::new(config));
        Ok(Self { layers: vec![zeros; config.layers()], plain, parameters })
    }

    /// The network's configuration.
    pub fn config(&self) -> Config {
        self.parameters.config()
    }

    /// One step: the inputs `x` `[I]`, the outputs `y` `[O]` (`[H]` without a head; a head on
    /// the last step answers as if this were it).
    ///
    /// # Errors
    /// If `x` or `y` do not have these sizes, an input is not finite, or the network has an
    /// embedding, which takes symbols; then nothing has changed.
    pub fn step(&mut self, x: &[f32], y: &mut [f32]) -> Result<(), Error> {
        let config = self.parameters.config();
        if config.embedding().is_some() {
            return Err(Error::ValuesForEmbedding { symbols: config.symbols() });
        }
        check_step_size("inputs", x.len(), config.inputs())?;
        check_step_size("outputs", y.len(), config.outputs())?;
        check_finite("inputs", x)?;
        if let Some(plain) = &mut self.plain {
            plain.step(&self.parameters, x.into(), &mut self.layers[0].h);
        } else {
            let w_in = w_in(&self.parameters, 0);
            advance(&self.parameters, 0, MatRef::from_row(x), w_in, &mut self.layers[0]);
        }
        self.finish(y);
        Ok(())
    }

    /// One step whose inputs are 0 but for that of `symbol`, which is 1: what
    /// [`Stream::step`] says of such a row, without the product. Or, if there is an embedding,
    /// one step whose inputs are the row of `symbol`.
    ///
    /// # Errors
    /// If `y` does not have its size, or the symbol is not below [`Config::symbols`]; then
    /// nothing has changed.
    pub fn step_symbol(&mut self, symbol: u32, y: &mut [f32]) -> Result<(), Error> {
        let config = self.parameters.config();
        check_step_size("outputs", y.len(), config.outputs())?;
        let symbols = config.symbols();
        if symbol as usize >= symbols {
            return Err(Error::StepSymbol { symbol, symbols });
        }
        if let Some(plain) = &mut self.plain {
            plain.step(&self.parameters, Inputs::Symbols(&[symbol]), &mut self.layers[0].h);
        } else {
            let w_in = w_in(&self.parameters, 0);
            let (x, w_in) = match self.parameters.embedding() {
                Some(embedding) => (embedding.row(symbol), w_in),
                // one input, 1, that meets the row of the symbol
                None => (&[1.0][..], w_in.part(symbol as usize, 0, 1, w_in.columns())),
            };
            advance(&self.parameters, 0, MatRef::from_row(x), w_in, &mut self.layers[0]);
        }
        self.finish(y);
        Ok(())
    }

    /// The rest of a step, behind the first layer.
    fn finish(&mut self, y: &mut [f32]) {
        let config = self.parameters.config();
        let hidden = config.hidden();
        for layer in 1..self.layers.len() {
            let (below, of_layer) = self.layers.split_at_mut(layer);
            let x = MatRef::from_row(&below[layer - 1].h[..hidden]);
            let w_in = w_in(&self.parameters, layer);
            advance(&self.parameters, layer, x, w_in, &mut of_layer[0]);
        }
        let h = &self.layers[self.layers.len() - 1].h;
        let Some((w_out, b_out)) = self.parameters.head() else {
            return y.copy_from_slice(&h[..hidden]);
        };
        for (n, (y, w)) in y.iter_mut().zip(w_out.chunks_exact(h.len())).enumerate() {
            *y = dot(&h[..hidden], &w[..hidden]) + b_out.get(n).copied().unwrap_or(0.0);
        }
        if config.head().is_some_and(|head| head.activation == HeadActivation::Sigmoid) {
            sigmoid(y);
        }
        if let Some(plain) = &mut self.plain {
            plain.remember(config, y);
        }
    }

    /// Forgets all steps.
    pub fn reset(&mut self) {
        for layer in &mut self.layers {
            layer.h.fill(0.0);
            layer.c.fill(0.0);
        }
        if let Some(plain) = &mut self.plain {
            plain.memory.fill(0.0);
        }
    }

    /// The states, to be restored here or in another stream of the same network, or for a
    /// [`crate::Network`] to start from.
    pub fn snapshot(&self) -> State {
        let mut state = State::zeros(self.config(), 1);
        self.write(&mut state);
        state
    }

    /// As [`Stream::snapshot`], into an older one: allocates nothing.
    ///
    /// # Errors
    /// If `state` is of another network or of several sequences.
    pub fn snapshot_into(&self, state: &mut State) -> Result<(), Error> {
        state.check(self.config(), 1)?;
        self.write(state);
        Ok(())
    }

    /// Writes the states to a `state` that fits.
    fn write(&self, state: &mut State) {
        if let Some(plain) = &self.plain {
            return state.row_mut(0, 0).0.copy_from_slice(&plain.memory);
        }
        let hidden = self.config().hidden();
        for (index, layer) in self.layers.iter().enumerate() {
            let (h, c) = state.row_mut(index, 0);
            h.copy_from_slice(&layer.h[..hidden]);
            if !c.is_empty() {
                c.copy_from_slice(&layer.c[..hidden]);
            }
        }
    }

    /// Goes on from `state`, that of one sequence.
    ///
    /// # Errors
    /// If it is of another network or of several sequences.
    pub fn restore(&mut self, state: &State) -> Result<(), Error> {
        state.check(self.config(), 1)?;
        if let Some(plain) = &mut self.plain {
            plain.memory.copy_from_slice(state.row(0, 0).0);
            return Ok(());
        }
        let hidden = self.config().hidden();
        for (index, layer) in self.layers.iter_mut().enumerate() {
            let (h, c) = state.row(index, 0);
            layer.h[..hidden].copy_from_slice(h);
            if !c.is_empty() {
                layer.c[..hidden].copy_from_slice(c);
            }
        }
        Ok(())
    }
}

/// Refuses a slice of another size.
fn check_step_size(what: &'static str, found: usize, expected: usize) -> Result<(), Error> {
    if found == expected { Ok(()) } else { Err(Error::StepSize { what, found, expected }) }
}

/// W_in `[I_l, G·S]` of layer `layer`.
fn w_in(parameters: &Parameters, layer: usize) -> MatRef<'_> {
    let config = parameters.config();
    let row = config.cell().gates() * config.stride();
    MatRef::new(parameters.layer(layer, 0).w_in, config.layer_inputs(layer), row)
}

/// One step of layer `layer` with inputs `x` `[1, n]`, which meet `w_in` `[n, G·S]`.
#[inline]
fn advance(
    parameters: &Parameters,
    layer: usize,
    x: MatRef<'_>,
    w_in: MatRef<'_>,
    state: &mut LayerState,
) {
    let config = parameters.config();
    let of_layer = parameters.layer(layer, 0);
    let row = config.cell().gates() * config.stride();
    let bias = |values| Some(values).filter(|values: &&[f32]| !values.is_empty());
    let weights = CellWeights {
        w_in,
        w_rec: MatRef::new(of_layer.w_rec, config.hidden(), row),
        b_in: bias(of_layer.b_in),
        b_rec: bias(of_layer.b_rec),
    };
    std::mem::swap(&mut state.h, &mut state.h_before);
    let h_before = MatRef::from_row(&state.h_before);
    let stride = state.h.len();
    let h = MatMut::new(&mut state.h, 1, stride);
    match config.cell() {
        Cell::Elman(f) => elman::step(f.into(), weights, x, h_before, h),
        Cell::Gru => gru::step(weights, x, h_before, h),
        Cell::Lstm => {
            lstm::step(weights, x, h_before, MatMut::new(&mut state.c, 1, stride), h);
        }
    }
}
