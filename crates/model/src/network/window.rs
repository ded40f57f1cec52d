//! The windows of a network that remembers its last n inputs.
//!
//! ```text
//! row (t, b)     x[t − n + 1, b], …, x[t − 1, b], x[t, b]     n·I values, in the order of time
//! remembered     x[−n + 1, b], …, x[−1, b]                    (n − 1)·I values
//! ```
//!
//! A pass writes the inputs of each step to the end of its row; here they are copied to the rows
//! of the n − 1 steps behind it, and the gradients of these copies are added up again.

/// The sizes of rows of windows `[T, B, n·I]`, and of what is remembered before them,
/// `[B, (n − 1)·I]`; the same of their gradients.
#[derive(Clone, Copy)]
pub(super) struct Windows {
    /// n
    pub length: usize,
    /// I
    pub inputs: usize,
    /// B
    pub batch: usize,
}

/// Where I values of a window come from.
enum Source {
    /// From this place of the rows on.
    Row(usize),
    /// From this place of what is remembered on.
    Before(usize),
}

impl Windows {
    /// The inputs at `time` − (n − 1) of a sequence.
    fn source(self, time: usize, sequence: usize) -> Source {
        let Self { length, inputs, batch } = self;
        match time.checked_sub(length - 1) {
            Some(step) => Source::Row(((step * batch + sequence + 1) * length - 1) * inputs),
            None => Source::Before((sequence * (length - 1) + time) * inputs),
        }
    }

    /// For all but the last I values of row `row`, I at a time: their place, and their source.
    fn copies(self, row: usize) -> impl Iterator<Item = (usize, Source)> {
        let (step, sequence) = (row / self.batch, row % self.batch);
        (0..self.length - 1)
            .map(move |n| ((row * self.length + n) * self.inputs, self.source(step + n, sequence)))
    }

    /// Completes row `row`, whose last I values, and those of the rows before it, are there.
    pub fn fill(self, row: usize, rows: &mut [f32], before: &[f32]) {
        let inputs = self.inputs;
        for (place, source) in self.copies(row) {
            match source {
                Source::Row(from) => rows.copy_within(from..from + inputs, place),
                Source::Before(from) => {
                    rows[place..place + inputs].copy_from_slice(&before[from..from + inputs]);
                }
            }
        }
    }

    /// The reverse for gradients: adds what the copies in row `row` got to their sources.
    pub fn fold(self, row: usize, rows: &mut [f32], before: &mut [f32]) {
        for (place, source) in self.copies(row) {
            for n in 0..self.inputs {
                let value = rows[place + n];
                match source {
                    Source::Row(from) => rows[from + n] += value,
                    Source::Before(from) => before[from + n] += value,
                }
            }
        }
    }

    /// Writes what is remembered behind the first `steps` steps of a sequence to `last`,
    /// `[(n − 1)·I]`.
    pub fn remember(
        self,
        (sequence, steps): (usize, usize),
        rows: &[f32],
        before: &[f32],
        last: &mut [f32],
    ) {
        for (n, values) in last.chunks_exact_mut(self.inputs).enumerate() {
            values.copy_from_slice(match self.source(steps + n, sequence) {
                Source::Row(from) => &rows[from..from + self.inputs],
                Source::Before(from) => &before[from..from + self.inputs],
            });
        }
    }
}
