//! A batch: the sequences of one update with what is asked of them, as a task draws it.
//!
//! ```text
//! inputs    [T, B, I] values, or [T, B] symbols
//! targets   values or classes, in the shape of the outputs or as the task likes
//! ```
//!
//! A batch owns its buffers, which grow to the largest batch so far and are then used again.
//! For several threads it is cut along B: see [`Batch::columns`].

use kernels::buffer::Buffer;
use model::{Config, Error, HeadSteps, Sequences, State};
use std::ops::Range;

/// What the network is shown.
#[derive(Clone, Debug)]
pub enum Inputs {
    /// `[T, B, I]`
    Values(Buffer),
    /// `[T, B]`: indices of rows of the first layer's weights, or of the embedding.
    Symbols(Vec<u32>),
}

/// What it should answer.
#[derive(Clone, Debug)]
pub enum Targets {
    /// `[T, B, ·]` or `[B, ·]`
    Values(Buffer),
    /// `[T, B]` or `[B]`
    Classes(Vec<u32>),
}

/// Sequences side by side.
#[derive(Clone, Debug)]
pub struct Batch {
    /// T
    pub steps: usize,
    /// B
    pub count: usize,
    /// What the network is shown.
    pub inputs: Inputs,
    /// What it should answer.
    pub targets: Targets,
    /// Whether there is a target for each step, or one for each sequence.
    pub target_steps: HeadSteps,
    /// `[B]`: the steps of each sequence; all have T without.
    pub lengths: Option<Vec<usize>>,
    /// Whether each sequence goes on where the one of the same place in the batch before ended:
    /// truncated BPTT. The states are carried over; no gradient is.
    pub is_carried: bool,
    /// Those of a batch that is carried which begin anew: from states of zero.
    pub restarts: Vec<usize>,
}

impl Default for Batch {
    /// Nothing: to be filled by a task.
    fn default() -> Self {
        Self {
            steps: 0,
            count: 0,
            inputs: Inputs::Values(Buffer::default()),
            targets: Targets::Values(Buffer::default()),
            target_steps: HeadSteps::Every,
            lengths: None,
            is_carried: false,
            restarts: Vec::new(),
        }
    }
}

impl Inputs {
    /// For a [`model::Network`].
    #[inline]
    pub fn view(&self) -> model::Inputs<'_> {
        match self {
            Self::Values(x) => model::Inputs::Values(x),
            Self::Symbols(symbols) => model::Inputs::Symbols(symbols),
        }
    }
}

impl Batch {
    /// Room for `count` (B) sequences of `steps` (T) steps, with `inputs` (I) values and
    /// `targets` values a step: what to write to. Allocates only to grow.
    #[inline]
    pub fn values(
        &mut self,
        (steps, count): (usize, usize),
        inputs: usize,
        targets: usize,
    ) -> (&mut [f32], &mut [f32]) {
        let is_new = (steps, count) != (self.steps, self.count);
        (self.steps, self.count) = (steps, count);
        if !matches!(self.inputs, Inputs::Values(_)) {
            self.inputs = Inputs::Values(Buffer::default());
        }
        if !matches!(self.targets, Targets::Values(_)) {
            self.targets = Targets::Values(Buffer::default());
        }
        let (Inputs::Values(x), Targets::Values(y)) = (&mut self.inputs, &mut self.targets) else {
            unreachable!("both were just made values");
        };
        if is_new || x.len() != steps * count * inputs || y.len() != steps * count * targets {
            x.resize(steps * count * inputs);
            y.resize(steps * count * targets);
        }
        (x, y)
    }

    /// `count` (B) sequences of `steps` (T) steps with the inputs `x` `[T, B, I]` and no targets: for
    /// a loss that has its own, or outputs alone.
    ///
    /// # Panics
    /// If `x` does not hold as many values for each step of each sequence.
    pub fn of_values(x: &[f32], steps: usize, count: usize) -> Self {
        let mut batch = Self::default();
        let inputs = steps.checked_mul(count).map_or(0, |rows| x.len() / rows.max(1));
        batch.values((steps, count), inputs, 0).0.copy_from_slice(x);
        batch
    }

    /// Room for `count` (B) sequences of `steps` (T) symbols, with a class for each: what to
    /// write to, `[T, B]` both. Allocates only to grow.
    pub fn symbols(&mut self, (steps, count): (usize, usize)) -> (&mut [u32], &mut [u32]) {
        (self.steps, self.count) = (steps, count);
        if !matches!(self.inputs, Inputs::Symbols(_)) {
            self.inputs = Inputs::Symbols(Vec::new());
        }
        if !matches!(self.targets, Targets::Classes(_)) {
            self.targets = Targets::Classes(Vec::new());
        }
        let (Inputs::Symbols(symbols), Targets::Classes(classes)) =
            (&mut self.inputs, &mut self.targets)
        else {
            unreachable!("both were just made symbols");
        };
        symbols.resize(steps * count, 0);
        classes.resize(steps * count, 0);
        (symbols, classes)
    }

    /// For a network of `config`, from the states `start` or from zeros.
    ///
    /// # Errors
    /// If the sizes do not fit, or a value, symbol or length makes no sense.
    pub fn sequences<'a>(
        &'a self,
        config: Config,
        start: Option<&'a State>,
    ) -> Result<Sequences<'a>, Error> {
        let (inputs, steps, count) = (self.inputs.view(), self.steps, self.count);
        let mut sequences = match (&self.lengths, inputs) {
            (Some(lengths), _) => Sequences::padded(config, inputs, steps, count, lengths)?,
            (None, model::Inputs::Values(x)) => Sequences::new(config, x, steps, count)?,
            (None, model::Inputs::Symbols(symbols)) => {
                Sequences::of_symbols(config, symbols, steps, count)?
            }
        };
        if let Some(start) = start {
            sequences = sequences.starting_from(start)?;
        }
        Ok(sequences)
    }

    /// Writes the sequences `range` of this batch to `part`, by itself a batch.
    ///
    /// # Panics
    /// If `range` is not of this batch, or its inputs or targets are not as many for each
    /// sequence.
    pub fn columns(&self, range: Range<usize>, part: &mut Self) {
        let Self { steps, count, target_steps, is_carried, .. } = *self;
        (part.steps, part.count) = (steps, range.len());
        (part.target_steps, part.is_carried) = (target_steps, is_carried);
        match (&self.inputs, &mut part.inputs) {
            (Inputs::Values(x), Inputs::Values(own)) => {
                own.resize(x.len() / count * range.len());
                copy_columns(x, steps * count, &range, own);
            }
            (Inputs::Symbols(symbols), Inputs::Symbols(own)) => {
                own.resize(steps * range.len(), 0);
                copy_columns(symbols, steps * count, &range, own);
            }
            (_, own) => {
                *own = self.inputs.clone(); // of the same kind, and then as above
                return self.columns(range, part);
            }
        }
        let rows = if target_steps == HeadSteps::Every { steps * count } else { count };
        match (&self.targets, &mut part.targets) {
            (Targets::Values(y), Targets::Values(own)) => {
                own.resize(y.len() / count * range.len());
                copy_columns(y, rows, &range, own);
            }
            (Targets::Classes(classes), Targets::Classes(own)) => {
                own.resize(rows / count * range.len(), 0);
                copy_columns(classes, rows, &range, own);
            }
            (_, own) => {
                *own = self.targets.clone();
                return self.columns(range, part);
            }
        }
        part.restarts.clear();
        let restarts = self.restarts.iter().filter(|sequence| range.contains(sequence));
        part.restarts.extend(restarts.map(|sequence| sequence - range.start));
        part.lengths = self.lengths.as_ref().map(|lengths| lengths[range].to_vec());
    }
}

/// Copies from `source`, whose `rows` rows are those of whole steps, the rows of the sequences
/// `range` of each step; `own` holds just these.
fn copy_columns<T: Copy>(source: &[T], rows: usize, range: &Range<usize>, own: &mut [T]) {
    assert!(source.len().is_multiple_of(rows), "{} values in {rows} rows", source.len());
    let width = source.len() / rows;
    let part = width * range.len();
    if own.is_empty() {
        return;
    }
    let steps = own.len() / part;
    let step = source.len() / steps;
    for (source, own) in source.chunks_exact(step).zip(own.chunks_exact_mut(part)) {
        own.copy_from_slice(&source[range.start * width..][..part]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// T = 3, B = 4: values count up, so that each tells where it stood.
    fn batch(target_steps: HeadSteps) -> Batch {
        let mut batch = Batch { target_steps, lengths: Some(vec![3, 1, 2, 3]), ..Batch::default() };
        let (x, y) = batch.values((3, 4), 2, 1);
        x.iter_mut().enumerate().for_each(|(n, x)| *x = n as f32);
        y.iter_mut().enumerate().for_each(|(n, y)| *y = n as f32);
        batch
    }

    #[test]
    fn columns_are_the_same_sequences_by_themselves() {
        let mut part = Batch::default();
        batch(HeadSteps::Every).columns(1..3, &mut part);
        let (Inputs::Values(x), Targets::Values(y)) = (&part.inputs, &part.targets) else {
            panic!("values stay values")
        };
        assert_eq!(**x, [2.0, 3.0, 4.0, 5.0, 10.0, 11.0, 12.0, 13.0, 18.0, 19.0, 20.0, 21.0]);
        assert_eq!(**y, [1.0, 2.0, 5.0, 6.0, 9.0, 10.0]);
        assert_eq!((part.steps, part.count, part.lengths), (3, 2, Some(vec![1, 2])));
    }

    #[test]
    fn targets_of_the_last_step_are_a_row_for_each_sequence() {
        let mut part = Batch::default();
        // 12 values of 4 sequences: 3 each, as many as there are steps.
        batch(HeadSteps::Last).columns(3..4, &mut part);
        assert!(matches!(&part.targets, Targets::Values(y) if **y == [9.0, 10.0, 11.0]));
    }

    #[test]
    fn a_part_that_held_values_holds_symbols_next() {
        let mut whole = Batch { is_carried: true, restarts: vec![0, 1], ..Batch::default() };
        let (symbols, classes) = whole.symbols((2, 3));
        symbols.copy_from_slice(&[1, 2, 3, 4, 5, 6]);
        classes.copy_from_slice(&[2, 3, 4, 5, 6, 7]);
        let mut part = batch(HeadSteps::Every);
        whole.columns(1..2, &mut part);
        assert!(matches!(&part.inputs, Inputs::Symbols(symbols) if *symbols == [2, 5]));
        assert!(matches!(&part.targets, Targets::Classes(classes) if *classes == [3, 6]));
        assert!(part.is_carried && part.lengths.is_none());
        assert_eq!(part.restarts, [0], "sequence 1 is the first of the part");
    }
}
