//! The states of all layers between two steps: what a pass starts from and ends with.

use crate::finite::check_finite;
use crate::{Architecture, Cell, Config, Error, size};
use std::ops::Range;

/// The states `h` (and, of an LSTM, `c`) `[layers·directions, B, H]` of B sequences, in
/// PyTorch's order: layer 0 forward, layer 0 backward, layer 1 forward, …
///
/// Of a network that remembers something else ([`crate::Memory`]), `h` is that: its outputs
/// `[1, B, O]` at the step before, or its last inputs `[1, B, (n − 1)·I]`, in the order of time.
/// So H below stands for [`Config::state_width`].
///
/// As the end of a pass, each sequence's states behind its own last step (for the backward
/// direction: behind its first). As the gradient of a start, `∂L/∂h₀` and `∂L/∂c₀`.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    config: Config,
    batch: usize,
    h: Vec<f32>,
    c: Vec<f32>,
}

impl State {
    /// All zeros, where a pass starts by itself.
    ///
    /// # Panics
    /// If so many states do not fit in memory.
    pub fn zeros(config: Config, batch: usize) -> Self {
        let len = size::room(
            "states",
            [config.layers() * config.directions(), batch, config.state_width()],
        );
        let c = if config.cell() == Cell::Lstm { len } else { 0 };
        Self { config, batch, h: vec![0.0; len], c: vec![0.0; c] }
    }

    /// The states `h` and `c` `[layers·directions, B, H]` of `batch` (B) sequences; `c` is
    /// empty but for an LSTM.
    ///
    /// # Errors
    /// If they do not hold as many values, or one is not finite.
    pub fn new(config: Config, batch: usize, h: Vec<f32>, c: Vec<f32>) -> Result<Self, Error> {
        let expected = Self::len(config, batch);
        let of_c = if config.cell() == Cell::Lstm { expected } else { Some(0) };
        for (name, values, expected) in [("h", &h, expected), ("c", &c, of_c)] {
            if expected != Some(values.len()) {
                let layers = config.layers() * config.directions();
                let (found, hidden) = (values.len(), config.state_width());
                return Err(Error::StateSize { name, found, layers, batch, hidden });
            }
            check_finite(if name == "h" { "states h" } else { "states c" }, values)?;
        }
        Ok(Self { config, batch, h, c })
    }

    fn len(config: Config, batch: usize) -> Option<usize> {
        size::product([config.layers() * config.directions(), batch, config.state_width()])
    }

    /// The states of the sequences `range` alone.
    ///
    /// # Panics
    /// If there are no such sequences.
    pub fn columns(&self, range: Range<usize>) -> Self {
        assert!(
            range.start <= range.end && range.end <= self.batch,
            "there are no sequences {range:?} among {}",
            self.batch
        );
        let (width, batch) = (self.config.state_width(), self.batch);
        let part = |all: &[f32]| -> Vec<f32> {
            let layers = all.chunks_exact((batch * width).max(1));
            layers
                .flat_map(|layer| &layer[range.start * width..range.end * width])
                .copied()
                .collect()
        };
        let (h, c) = (part(&self.h), part(&self.c));
        Self { config: self.config, batch: range.len(), h, c }
    }

    /// Writes `columns` over the states of as many sequences from `first` on: the reverse of
    /// [`State::columns`].
    ///
    /// # Panics
    /// If there are no such sequences, or `columns` are of another network.
    pub fn set_columns(&mut self, first: usize, columns: &Self) {
        let range = first..first.saturating_add(columns.batch);
        assert!(
            range.end <= self.batch && columns.check(self.config, columns.batch).is_ok(),
            "{} sequences of {:?} are no columns {range:?} of {} of {:?}",
            columns.batch,
            columns.config,
            self.batch,
            self.config
        );
        let (hidden, batch) = (self.config.state_width(), self.batch);
        for (all, part) in [(&mut self.h, &columns.h), (&mut self.c, &columns.c)] {
            let parts = part.chunks_exact((columns.batch * hidden).max(1));
            for (all, part) in all.chunks_exact_mut((batch * hidden).max(1)).zip(parts) {
                all[range.start * hidden..range.end * hidden].copy_from_slice(part);
            }
        }
    }

    /// Sets the states of `sequence` to zero: it begins anew.
    ///
    /// # Panics
    /// If there is no such sequence.
    pub fn clear(&mut self, sequence: usize) {
        assert!(sequence < self.batch, "there is no sequence {sequence} among {}", self.batch);
        for index in 0..self.config.layers() * self.config.directions() {
            let (h, c) = self.row_mut(index, sequence);
            h.fill(0.0);
            c.fill(0.0);
        }
    }

    /// B
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// `[layers·directions, B, H]`
    pub fn h(&self) -> &[f32] {
        &self.h
    }

    /// `[layers·directions, B, H]`; empty but for an LSTM.
    pub fn c(&self) -> &[f32] {
        &self.c
    }

    /// Is it of `batch` sequences of a network of `config`?
    pub(crate) fn check(&self, config: Config, batch: usize) -> Result<(), Error> {
        let sizes = |config: Config| {
            let Architecture { cell, layers, bidirectional, memory, .. } = config.architecture();
            (cell, layers, bidirectional, memory, config.state_width())
        };
        let mut differences = vec![];
        if self.batch != batch {
            differences.push(format!("{} sequences, not {batch}", self.batch));
        }
        if sizes(self.config) != sizes(config) {
            differences.push(self.config.differences(config));
        }
        if differences.is_empty() { Ok(()) } else { Err(Error::State(differences.join("; "))) }
    }

    /// `[H]`: the states h and c (empty but for an LSTM) of `sequence` in layer·directions +
    /// direction `index`.
    pub(crate) fn row(&self, index: usize, sequence: usize) -> (&[f32], &[f32]) {
        let (start, hidden) = self.place(index, sequence);
        let c = if self.c.is_empty() { &[] } else { &self.c[start..start + hidden] };
        (&self.h[start..start + hidden], c)
    }

    pub(crate) fn row_mut(&mut self, index: usize, sequence: usize) -> (&mut [f32], &mut [f32]) {
        let (start, hidden) = self.place(index, sequence);
        let c = if self.c.is_empty() { &mut [] } else { &mut self.c[start..start + hidden] };
        (&mut self.h[start..start + hidden], c)
    }

    fn place(&self, index: usize, sequence: usize) -> (usize, usize) {
        let hidden = self.config.state_width();
        ((index * self.batch + sequence) * hidden, hidden)
    }
}
