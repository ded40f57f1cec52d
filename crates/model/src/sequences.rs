//! What a network is shown: sequences side by side, checked at the door, and the order
//! in which it takes them.
//!
//! ```text
//! the caller's     x [T, B, I], each sequence from step 0, padded behind its end
//! packed           the same rows without the padding: sequences sorted by length, the
//!                  longest first (n is the place after sorting), so that step t is the
//!                  rows offsets[t]..offsets[t + 1], one for each sequence not yet ended
//! ```
//!
//! So the work of a step is a product with just the rows that there are, and sequences
//! of equal length are packed as they stand. Nothing here computes.

use crate::finite::{check_finite, check_finite_from};
use crate::{Config, Error, Inputs, State, size};
use std::ops::Range;

/// Sequences for a network, values `[T, B, I]` or symbols `[T, B]`: their lengths, and the
/// states they start from.
///
/// Made once from data that may be wrong, then used without further checks.
#[derive(Clone, Copy, Debug)]
pub struct Sequences<'a> {
    pub(crate) config: Config,
    pub(crate) inputs: Inputs<'a>,
    pub(crate) steps: usize,
    pub(crate) batch: usize,
    pub(crate) lengths: Option<&'a [usize]>,
    pub(crate) start: Option<&'a State>,
}

impl<'a> Sequences<'a> {
    /// `x` `[T, B, I]` as `steps` (T) steps of `batch` (B) sequences of full length, for a
    /// network of `config`, which starts from zero states. Reads all of x once.
    ///
    /// # Errors
    /// If `x` does not hold T·B·I values, or one of them is not finite, or the network has an
    /// embedding, which takes symbols.
    pub fn new(config: Config, x: &'a [f32], steps: usize, batch: usize) -> Result<Self, Error> {
        let sequences = Self::of_size(config, x.into(), steps, batch)?;
        check_finite("inputs", x)?;
        Ok(sequences)
    }

    /// `symbols` `[T, B]`, each of which selects one input (or one row of the embedding), as
    /// `steps` (T) steps of `batch` (B) sequences of full length, for a network of `config`,
    /// which starts from zero states. What a one-hot row of values would say, in one number.
    ///
    /// # Errors
    /// If there are not T·B symbols, or one is not below [`Config::symbols`].
    pub fn of_symbols(
        config: Config,
        symbols: &'a [u32],
        steps: usize,
        batch: usize,
    ) -> Result<Self, Error> {
        let sequences = Self::of_size(config, symbols.into(), steps, batch)?;
        for step in 0..sequences.walked_steps() {
            sequences.check_row(step, 0..batch)?;
        }
        Ok(sequences)
    }

    /// Either kind of inputs, of sequences of which b ends after `lengths[b]` steps. Unlike in
    /// [`Sequences::with_lengths`], what stands behind the end may be anything, NaN too:
    /// nobody looks at it.
    ///
    /// # Errors
    /// As [`Sequences::new`] and [`Sequences::of_symbols`], up to the ends, and as
    /// [`Sequences::with_lengths`].
    pub fn padded(
        config: Config,
        inputs: impl Into<Inputs<'a>>,
        steps: usize,
        batch: usize,
        lengths: &'a [usize],
    ) -> Result<Self, Error> {
        let sequences =
            Self::of_size(config, inputs.into(), steps, batch)?.with_lengths(lengths)?;
        for step in 0..sequences.walked_steps() {
            for sequence in (0..batch).filter(|&sequence| step < lengths[sequence]) {
                sequences.check_row(step, sequence..sequence + 1)?;
            }
        }
        Ok(sequences)
    }

    /// Looks at the sizes alone.
    fn of_size(
        config: Config,
        inputs: Inputs<'a>,
        steps: usize,
        batch: usize,
    ) -> Result<Self, Error> {
        let found = inputs.len();
        let (expected, error) = match inputs {
            Inputs::Values(_) if config.embedding().is_some() => {
                return Err(Error::ValuesForEmbedding { symbols: config.symbols() });
            }
            Inputs::Values(_) => {
                let inputs = config.inputs();
                let error = Error::Inputs { found, steps, batch, inputs };
                (size::product([steps, batch, inputs]), error)
            }
            Inputs::Symbols(_) => {
                (size::product([steps, batch]), Error::SymbolCount { found, steps, batch })
            }
        };
        if expected != Some(found) {
            return Err(error);
        }
        let tracks = config.layers() * config.directions();
        let states = size::product([tracks, batch, config.state_width()]);
        if steps > size::MOST_STEPS || !states.is_some_and(size::has_room) {
            return Err(Error::PassTooLarge { steps, batch });
        }
        Ok(Self::trusted(config, inputs, steps, batch))
    }

    /// The steps that hold anything.
    fn walked_steps(&self) -> usize {
        if self.batch == 0 { 0 } else { self.steps }
    }

    /// Refuses what is wrong in the inputs of step `step` of some sequences.
    fn check_row(&self, step: usize, sequences: Range<usize>) -> Result<(), Error> {
        let rows = step * self.batch + sequences.start..step * self.batch + sequences.end;
        match self.inputs {
            Inputs::Values(x) => {
                let width = self.config.inputs();
                check_finite_from("inputs", &x[..rows.end * width], rows.start * width)
            }
            Inputs::Symbols(all) => {
                let symbols = self.config.symbols();
                let is_wrong = |&symbol: &u32| symbol as usize >= symbols;
                let Some(place) = all[rows.clone()].iter().position(is_wrong) else {
                    return Ok(());
                };
                let (sequence, symbol) = (sequences.start + place, all[rows.start + place]);
                Err(Error::Symbol { step, sequence, symbol, symbols })
            }
        }
    }

    /// As the others, unchecked: wrong sizes are for the caller to refuse.
    pub(crate) fn trusted(config: Config, inputs: Inputs<'a>, steps: usize, batch: usize) -> Self {
        Self { config, inputs, steps, batch, lengths: None, start: None }
    }

    /// The same, where sequence b ends after `lengths[b]` steps. What stands in the inputs
    /// behind its end is not looked at again; its outputs there are zero.
    ///
    /// # Errors
    /// If there is not one length for each sequence, or one is not in 1..=T.
    pub fn with_lengths(self, lengths: &'a [usize]) -> Result<Self, Error> {
        if lengths.len() != self.batch {
            return Err(Error::LengthCount { found: lengths.len(), batch: self.batch });
        }
        if let Some(sequence) = lengths.iter().position(|&l| l == 0 || l > self.steps) {
            let (length, steps) = (lengths[sequence], self.steps);
            return Err(Error::Length { sequence, length, steps });
        }
        Ok(Self { lengths: Some(lengths), ..self })
    }

    /// The same, starting from `state`: that of another pass, for truncated BPTT, or one
    /// of the caller's.
    ///
    /// # Errors
    /// If it is of another network or another number of sequences.
    pub fn starting_from(self, state: &'a State) -> Result<Self, Error> {
        state.check(self.config, self.batch)?;
        Ok(Self { start: Some(state), ..self })
    }

    /// The network's configuration.
    pub fn config(&self) -> Config {
        self.config
    }

    /// The values `[T, B, I]` or the symbols `[T, B]`, as [`crate::Network::backward`] takes
    /// them.
    pub fn inputs(&self) -> Inputs<'a> {
        self.inputs
    }

    /// T
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// B
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// `[B]`; none if all sequences have T steps.
    pub fn lengths(&self) -> Option<&'a [usize]> {
        self.lengths
    }

    /// The states that they start from; none for zeros.
    pub fn start(&self) -> Option<&'a State> {
        self.start
    }
}

/// The least rows of a segment, so that products over one have depth enough.
const SEGMENT_ROWS: usize = 256;

/// The order of the rows of one pass.
#[derive(Debug, Default)]
pub(crate) struct Packing {
    /// B
    pub batch: usize,
    /// `[B]`: the sequence at each place; empty if all lengths are equal, and nothing moves.
    order: Vec<usize>,
    /// `[B]`: the length at each place, falling; empty if all are equal.
    lengths: Vec<usize>,
    /// `[T + 1]`: the first row of each step, and behind the last the number of rows.
    offsets: Vec<usize>,
    /// The steps of each segment.
    pub segments: Vec<Range<usize>>,
}

impl Packing {
    /// Arranges other sequences.
    pub fn assign(&mut self, sequences: &Sequences<'_>) {
        let Sequences { steps, batch, lengths, .. } = *sequences;
        self.batch = batch;
        self.order.clear();
        self.lengths.clear();
        self.offsets.clear();
        self.segments.clear();
        match lengths {
            Some(lengths) if lengths.iter().any(|&length| length != lengths[0]) => {
                self.order.extend(0..batch);
                self.order.sort_by_key(|&b| std::cmp::Reverse(lengths[b]));
                self.lengths.extend(self.order.iter().map(|&b| lengths[b]));
                let (mut row, mut active) = (0, batch);
                for t in 0..self.lengths[0] {
                    while self.lengths[active - 1] <= t {
                        active -= 1;
                    }
                    self.offsets.push(row);
                    row += active;
                }
                self.offsets.push(row);
            }
            _ => {
                let steps = lengths.and_then(|lengths| lengths.first()).map_or(steps, |&l| l);
                let steps = if batch == 0 { 0 } else { steps }; // which may be any number
                self.offsets.extend((0..=steps).map(|t| t * batch));
            }
        }
        // √T steps, but of at least so many rows
        let steps = self.steps();
        let root = steps.isqrt() + usize::from(steps.isqrt().pow(2) < steps);
        let length = root.max(SEGMENT_ROWS.div_ceil(batch.max(1))).max(1);
        let segments = (0..steps).step_by(length).map(|t| t..(t + length).min(steps));
        self.segments.extend(segments);
    }

    /// The steps of the longest sequence.
    pub fn steps(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// All rows.
    pub fn rows(&self) -> usize {
        self.offsets.last().copied().unwrap_or(0)
    }

    /// Whether all sequences have the same length: then nothing moves.
    pub fn is_even(&self) -> bool {
        self.order.is_empty()
    }

    /// B_t, the sequences that have a step `t`.
    pub fn count(&self, t: usize) -> usize {
        if t < self.steps() { self.offsets[t + 1] - self.offsets[t] } else { 0 }
    }

    /// The rows of the steps `steps`.
    pub fn rows_of(&self, steps: &Range<usize>) -> Range<usize> {
        self.offsets[steps.start]..self.offsets[steps.end]
    }

    /// The rows of the longest segment.
    pub fn most_rows(&self) -> usize {
        self.segments.iter().map(|steps| self.rows_of(steps).len()).max().unwrap_or(0)
    }

    /// The length of the sequence at place `place`.
    pub fn length(&self, place: usize) -> usize {
        self.lengths.get(place).copied().unwrap_or(self.steps())
    }

    /// The row, counted from the first of `steps`, of the last step of the sequence at place
    /// `place`, if that is one of them.
    pub fn last_row(&self, place: usize, steps: &Range<usize>) -> Option<usize> {
        let last = self.length(place).checked_sub(1).filter(|last| steps.contains(last))?;
        Some(self.rows_of(&(steps.start..last)).len() + place)
    }

    /// The caller's sequence at place `place`.
    pub fn sequence(&self, place: usize) -> usize {
        self.order.get(place).copied().unwrap_or(place)
    }

    /// For each row, in order: its row in the caller's `[T, B, ·]`.
    fn callers_rows(&self) -> impl Iterator<Item = usize> {
        let step = move |t| (0..self.count(t)).map(move |n| t * self.batch + self.sequence(n));
        (0..self.steps()).flat_map(step)
    }

    /// Copies rows of `width` values from the caller's order to packed order.
    pub fn pack<T: Copy>(&self, width: usize, source: &[T], packed: &mut [T]) {
        for (target, row) in packed.chunks_exact_mut(width).zip(self.callers_rows()) {
            target.copy_from_slice(&source[row * width..][..width]);
        }
    }

    /// Copies rows of `width` values back to the caller's order; zeros are the rest.
    pub fn unpack(&self, width: usize, packed: &[f32], target: &mut [f32]) {
        target.fill(0.0);
        for (source, row) in packed.chunks_exact(width).zip(self.callers_rows()) {
            target[row * width..][..width].copy_from_slice(source);
        }
    }
}
