//! A network at work: forward, and backward through time, over buffers it keeps.
//!
//! One door; which path serves a pass is decided behind it: the lab's network runs fused
//! (`lab`), every other recurrent one layer by layer and segment by segment (`layers`), and those
//! that remember something else than their states in `plain`.
//!
//! # Memory
//!
//! What a forward pass keeps for the backward pass, in bytes for each of the T·B·S places of a
//! layer and direction (S is H rounded up to 16):
//!
//! | cell | bytes | kept |
//! | --- | ---: | --- |
//! | Elman | 4 | h |
//! | GRU | 28 | h, three gates, what comes from the state before (three) |
//! | LSTM | 24 | h, c, four gates |
//!
//! and the states h (and c) that each segment starts from, 4 (LSTM: 8) bytes for each of
//! B·S; a segment is the √T steps, rounded up, or as many more as have 256 rows. Dropout
//! adds 2 bytes for 16 units. [`Network::recompute`] keeps these starts alone, and the
//! rest for one segment at a time: of the order of √T instead of T. With two directions it
//! keeps h of all steps, too, since the layer above needs both at once (so it saves an
//! Elman network nothing). Inputs count where they had to be copied: of sequences of unequal
//! length, and rows of an embedding. [`Network::activation_bytes`] tells what is in use.
//!
//! The backward pass adds 4 bytes for each of the places of a segment (two directions: of all).
//! Nothing is allocated for all these until a longer pass.

mod backward;
mod dropout;
mod forward;
mod jordan;
mod lab;
mod layers;
mod output;
mod packed;
mod plain;
mod product;
mod segment;
mod track;
mod units;
mod window;

use crate::sequences::Sequences;
use crate::{Config, Inputs, Memory, Parameters, State, size};
use lab::Lab;
use layers::Layers;
use plain::Plain;
use rand::Rng;
use track::Keep;
pub use units::Units;

/// The activations of one network. The parameters are passed in, so that many
/// workers can run their own `Network` on shared or copied parameters.
///
/// Truncated BPTT is a walk over a long sequence in chunks, each starting from the state
/// behind the one before; the gradient stays within a chunk:
///
/// ```
/// use model::{Architecture, Cell, Config, Head, Network, Parameters, Sequences, State};
/// # use rand::SeedableRng;
/// # let mut generator = rand_xoshiro::Xoshiro256PlusPlus::seed_from_u64(0);
///
/// let lstm = Architecture::new(Cell::Lstm, 1, 8);
/// let config = Config::new(Architecture { head: Some(Head::linear(1)), ..lstm })?;
/// let parameters = Parameters::initialised(config, &mut generator);
/// let mut gradient = Parameters::zeros(config);
/// let mut network = Network::new(config);
/// let long: Vec<f32> = (0..1_000).map(|t| (t as f32 * 0.1).sin()).collect();
///
/// let mut state = State::zeros(config, 1);
/// for x in long.chunks(50) {
///     let chunk = Sequences::new(config, x, x.len(), 1)?.starting_from(&state)?;
///     let y = network.run(&parameters, &chunk).to_vec();
///     network.backward(&parameters, x, &y, &mut gradient); // of ½ Σ y²
///     state = network.state();
/// }
/// # Ok::<(), model::Error>(())
/// ```
#[derive(Debug)]
pub struct Network {
    config: Config,
    keep: Keep,
    lab: Option<Lab>,
    layers: Layers,
    /// Of a network that remembers something else than its states, which takes no other path.
    plain: Option<Plain>,
    /// Whether the last pass took the lab's path.
    is_lab: bool,
    /// Whether the last pass was shown symbols, on the other path.
    had_symbols: bool,
    /// T and B of the last pass.
    size: (usize, usize),
}

impl Network {
    /// A network that has seen nothing yet.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            keep: Keep::All,
            lab: config.is_lab().then(|| Lab::new(config)),
            layers: Layers::default(),
            plain: (config.memory() != Memory::State).then(Plain::default),
            is_lab: config.is_lab(),
            had_symbols: false,
            size: (0, 0),
        }
    }

    /// The same, where the backward pass computes again what the forward pass did not keep: for
    /// long sequences. It changes no bit of the results, and costs a second forward pass.
    pub fn recompute(self) -> Self {
        Self { keep: Keep::Starts, ..self }
    }

    /// The network's configuration.
    pub fn config(&self) -> Config {
        self.config
    }

    /// Runs the network from zero states over `x` `[T, B, I]`, for `steps` (T) steps of
    /// `batch` (B) sequences of full length, without dropout; returns the outputs
    /// `[T, B, O]`, or `[B, O]` of a head on the last step. (Without a head, O is D·H.)
    ///
    /// For data that may be wrong there is [`Sequences`], which refuses what is not finite.
    ///
    /// # Panics
    /// If `x` does not hold T·B·I values, `parameters` are of another size, or the network has an
    /// embedding, which takes symbols ([`Sequences::of_symbols`]).
    #[inline]
    pub fn forward(
        &mut self,
        parameters: &Parameters,
        x: &[f32],
        steps: usize,
        batch: usize,
    ) -> &[f32] {
        self.check(parameters.config(), "parameters");
        if let Some(lab) = &mut self.lab {
            // without what the general way needs: every nanosecond counts here
            lab.forward(parameters, x, steps, batch);
            (self.size, self.is_lab) = ((steps, batch), true);
            return self.outputs();
        }
        size::check_values(x, steps, batch, self.config.inputs());
        assert!(self.config.embedding().is_none(), "a network with an embedding takes symbols");
        let sequences = Sequences::trusted(self.config, x.into(), steps, batch);
        self.pass(parameters, &sequences, None, self.keep)
    }

    /// The first part of [`Network::forward`] for a lab's network ([`Config::lab`]): the states,
    /// for which `W_out` is not needed. [`Network::head`] makes the outputs of them.
    ///
    /// # Panics
    /// If the network is another, `x` does not hold T·B·I values, or `parameters` are of another
    /// size.
    #[inline]
    pub fn states(&mut self, parameters: &Parameters, x: &[f32], steps: usize, batch: usize) {
        self.check(parameters.config(), "parameters");
        self.lab_mut().states(parameters, x, steps, batch);
        (self.size, self.is_lab) = ((steps, batch), true);
    }

    /// The second part of [`Network::forward`], behind [`Network::states`]: the outputs
    /// `[T, B, O]`, by the `W_out` of `parameters`. The backward pass takes the same one, even where
    /// `parameters` have another by then; so `W_out` may be changed as soon as its gradient is
    /// there, by [`Network::head_gradient`].
    ///
    /// # Panics
    /// If the network is not a lab's, or `parameters` are of another size.
    #[inline]
    pub fn head(&mut self, parameters: &Parameters) -> &[f32] {
        self.check(parameters.config(), "parameters");
        let lab = self.lab_mut();
        lab.head(parameters);
        lab.outputs()
    }

    /// The gradient of `W_out`, which [`Network::backward`] writes, too, and which does not need
    /// the backward pass: summed over T and B, over its place in `gradient`. `dy` is as there.
    ///
    /// # Panics
    /// If the network is not a lab's, or a size is not that of the last pass.
    #[inline]
    pub fn head_gradient(&mut self, dy: &[f32], gradient: &mut Parameters) {
        self.check(gradient.config(), "gradient");
        self.lab_mut().head_gradient(dy, gradient);
    }

    #[inline]
    fn lab_mut(&mut self) -> &mut Lab {
        self.lab.as_mut().expect("the head by itself is for a lab's network")
    }

    /// Runs the network over `sequences` without dropout; returns the outputs as
    /// [`Network::forward`] does, those behind the end of a sequence being zero.
    ///
    /// # Panics
    /// If `parameters` or `sequences` are for another configuration. The next two, too.
    pub fn run(&mut self, parameters: &Parameters, sequences: &Sequences<'_>) -> &[f32] {
        self.pass(parameters, sequences, None, self.keep)
    }

    /// As [`Network::run`], with dropout between the layers, drawn from `generator`.
    pub fn run_training(
        &mut self,
        parameters: &Parameters,
        sequences: &Sequences<'_>,
        generator: &mut dyn Rng,
    ) -> &[f32] {
        self.pass(parameters, sequences, Some(generator), self.keep)
    }

    /// As [`Network::run`], for the outputs alone: no backward pass follows. It keeps less, and
    /// may be faster.
    pub fn infer(&mut self, parameters: &Parameters, sequences: &Sequences<'_>) -> &[f32] {
        self.pass(parameters, sequences, None, Keep::Nothing)
    }

    #[inline]
    fn pass(
        &mut self,
        parameters: &Parameters,
        sequences: &Sequences<'_>,
        dropout: Option<&mut dyn Rng>,
        keep: Keep,
    ) -> &[f32] {
        self.check(parameters.config(), "parameters");
        self.check(sequences.config, "sequences");
        self.size = (sequences.steps, sequences.batch);
        let is_plain = sequences.lengths.is_none() && sequences.start.is_none();
        match (&mut self.lab, sequences.inputs) {
            (Some(lab), Inputs::Values(x)) if is_plain => {
                self.is_lab = true;
                lab.forward(parameters, x, sequences.steps, sequences.batch);
                lab.outputs()
            }
            _ => {
                self.is_lab = false;
                self.had_symbols = matches!(sequences.inputs, Inputs::Symbols(_));
                if let Some(plain) = &mut self.plain {
                    plain.forward(parameters, sequences, keep != Keep::Nothing);
                    return plain.outputs(self.config);
                }
                self.layers.forward(parameters, sequences, dropout, keep);
                self.layers.outputs()
            }
        }
    }

    /// Carries `dy`, the gradient before the head's activation in the shape of the outputs,
    /// back through the last pass on the same `parameters` and `inputs` (values or symbols, as
    /// that pass had), and writes the gradient, summed over T and B, over `gradient`. What `dy` holds behind the end of a sequence is
    /// not looked at.
    ///
    /// # Panics
    /// If a slice or the parameters do not have the sizes of that pass, or that pass was
    /// [`Network::infer`], or has been gone back through before: that uses up what it kept.
    #[inline]
    pub fn backward<'i>(
        &mut self,
        parameters: &Parameters,
        inputs: impl Into<Inputs<'i>>,
        dy: &[f32],
        gradient: &mut Parameters,
    ) {
        self.back(parameters, inputs.into(), dy, gradient, None);
    }

    /// As [`Network::backward`]; `dx` `[T, B, I]` becomes the gradient of the inputs.
    ///
    /// # Panics
    /// As [`Network::backward`], and if the inputs are symbols, which have no gradient. (An
    /// embedding has; it is among the parameters.)
    pub fn backward_to_inputs<'i>(
        &mut self,
        parameters: &Parameters,
        inputs: impl Into<Inputs<'i>>,
        dy: &[f32],
        gradient: &mut Parameters,
        dx: &mut [f32],
    ) {
        self.back(parameters, inputs.into(), dy, gradient, Some(dx));
    }

    #[inline]
    fn back(
        &mut self,
        parameters: &Parameters,
        inputs: Inputs<'_>,
        dy: &[f32],
        gradient: &mut Parameters,
        dx: Option<&mut [f32]>,
    ) {
        self.check(parameters.config(), "parameters");
        self.check(gradient.config(), "gradient");
        if let (Some(lab), true, Inputs::Values(x), None) =
            (&mut self.lab, self.is_lab, inputs, &dx)
        {
            return lab.backward(parameters, x, dy, gradient);
        }
        let (steps, batch) = self.size;
        let width = self.config.inputs();
        let (had_symbols, has_symbols) =
            (self.had_symbols && !self.is_lab, matches!(inputs, Inputs::Symbols(_)));
        assert!(
            had_symbols == has_symbols,
            "the backward pass is given {}, the forward pass was not",
            if has_symbols { "symbols" } else { "values" }
        );
        assert!(!has_symbols || dx.is_none(), "symbols have no gradient; values have");
        let expected = if has_symbols { steps * batch } else { steps * batch * width };
        for (name, found, expected) in [
            ("x", inputs.len(), expected),
            ("dy", dy.len(), self.outputs().len()),
            ("dx", dx.as_ref().map_or(expected, |dx| dx.len()), expected),
        ] {
            assert!(found == expected, "{name} holds {found} values, the pass had {expected}");
        }
        match (&mut self.lab, inputs) {
            (Some(lab), Inputs::Values(x)) if self.is_lab => {
                lab.backward(parameters, x, dy, gradient);
                if let Some(dx) = dx {
                    let (hidden, stride) = (self.config.hidden(), self.config.stride());
                    for (dx, dz) in dx.chunks_exact_mut(width).zip(lab.dz().chunks_exact(stride)) {
                        for (dx, w) in dx.iter_mut().zip(parameters.w_in()) {
                            *dx = kernels::vector::dot(&dz[..hidden], w);
                        }
                    }
                }
            }
            _ => match &mut self.plain {
                Some(plain) => plain.backward(parameters, inputs, dy, gradient, dx),
                None => self.layers.backward(parameters, inputs, dy, gradient, dx),
            },
        }
    }

    /// The outputs of the last pass.
    #[inline]
    pub fn outputs(&self) -> &[f32] {
        match &self.lab {
            Some(lab) if self.is_lab => lab.outputs(),
            _ => match &self.plain {
                Some(plain) => plain.outputs(self.config),
                None => self.layers.outputs(),
            },
        }
    }

    /// The states behind the last pass: of each sequence, behind its own last step.
    pub fn state(&self) -> State {
        match &self.lab {
            Some(lab) if self.is_lab => {
                let (steps, batch) = self.size;
                let mut state = State::zeros(self.config, batch);
                for sequence in 0..batch {
                    let last = steps.checked_sub(1).and_then(|t| lab.hidden(t, sequence));
                    if let Some(h) = last {
                        state.row_mut(0, sequence).0.copy_from_slice(h);
                    }
                }
                state
            }
            _ => match &self.plain {
                Some(plain) => plain.state(self.config),
                None => self.layers.state(self.config),
            },
        }
    }

    /// The gradient of the states that the last pass started from, once it has been carried
    /// back; none if it started from zeros by itself.
    pub fn start_gradient(&self) -> Option<State> {
        match &self.plain {
            Some(plain) => plain.start_gradient(self.config),
            None if self.is_lab => None,
            None => self.layers.start_gradient(self.config),
        }
    }

    /// The hidden units `[H]` of sequence `sequence` at step `step` in the last pass: of the
    /// last layer, forward.
    ///
    /// # Panics
    /// If there was no such step or sequence, or it was not kept.
    pub fn hidden(&self, step: usize, sequence: usize) -> &[f32] {
        let hidden = match (&self.lab, &self.plain) {
            (Some(lab), _) if self.is_lab => lab.hidden(step, sequence),
            (_, Some(plain)) => plain.hidden(self.config, step, sequence),
            _ => self.layers.hidden(self.config, step, sequence),
        };
        let (steps, batch) = self.size;
        hidden.unwrap_or_else(|| {
            panic!("step {step} of sequence {sequence}, in a pass of {steps} steps and {batch} sequences")
        })
    }

    /// Whether dropout kept unit `unit` of layer `layer`, direction `direction`, at step
    /// `step` of sequence `sequence` in the last pass; none if that pass dropped nothing
    /// there.
    pub fn dropout_keeps(
        &self,
        (layer, direction): (usize, usize),
        (step, sequence): (usize, usize),
        unit: usize,
    ) -> Option<bool> {
        self.layers.keeps(self.config, (layer, direction), (step, sequence), unit)
    }

    /// Bytes that the last forward pass keeps for the backward pass; see the table on the
    /// front page.
    pub fn activation_bytes(&self) -> usize {
        match (&self.lab, &self.plain) {
            (Some(lab), _) if self.is_lab => lab.bytes(),
            (_, Some(plain)) => plain.bytes(),
            _ => self.layers.bytes(),
        }
    }

    #[inline]
    fn check(&self, config: Config, name: &str) {
        assert!(
            config == self.config,
            "the {name} are of another network than this: {}",
            config.differences(self.config)
        );
    }
}
