//! Which terms of a loss count, and whether they are summed or averaged.

use crate::{Error, size};
use std::ops::Range;

/// What a loss over outputs `[T, B, O]` adds up.
///
/// A head on the last step alone has T = 1.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// T
    pub steps: usize,
    /// B
    pub batch: usize,
    /// O, the classes of a softmax.
    pub outputs: usize,
    /// Which steps count; the gradient of the others is zero, and their targets are
    /// not looked at.
    pub mask: Mask<'a>,
    /// Sum or mean.
    pub reduction: Reduction,
}

/// Which steps of a batch count.
#[derive(Clone, Copy, Debug)]
pub enum Mask<'a> {
    /// All of them.
    All,
    /// `[B]`: of each sequence, so many of its first steps.
    Lengths(&'a [usize]),
    /// `[T, B]`: those that are marked.
    Steps(&'a [bool]),
}

/// What is made of the terms of a loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    /// Their sum.
    Sum,
    /// Their mean over all that count: values `[T, B, O]`, for a softmax steps `[T, B]`.
    /// The mean of nothing is 0.
    Mean,
}

impl Terms<'_> {
    /// All steps of `[T, B, O]`, summed.
    pub fn all(steps: usize, batch: usize, outputs: usize) -> Self {
        Self { steps, batch, outputs, mask: Mask::All, reduction: Reduction::Sum }
    }

    /// A loss with a term a value, by the kernel `f(scale, outputs, targets, gradient)`.
    pub(super) fn by_value(
        &self,
        outputs: &[f32],
        targets: &[f32],
        gradient: &mut [f32],
        f: impl Fn(f32, &[f32], &[f32], &mut [f32]) -> f64,
    ) -> Result<f32, Error> {
        let values = size::product([self.steps, self.batch, self.outputs]);
        assert!(
            [outputs.len(), targets.len(), gradient.len()].map(Some) == [values; 3],
            "{} outputs, {} targets and room for {} gradients; T·B·O = {}·{}·{} asks for {}",
            outputs.len(),
            targets.len(),
            gradient.len(),
            self.steps,
            self.batch,
            self.outputs,
            size::text(values)
        );
        let scale = self.scale(self.counted_rows()? * self.outputs);
        let mut sum = 0.0;
        self.for_each_run(|rows, counts| {
            let run = rows.start * self.outputs..rows.end * self.outputs;
            if counts {
                let gradient = &mut gradient[run.clone()];
                sum += f(scale as f32, &outputs[run.clone()], &targets[run], gradient);
            } else {
                gradient[run].fill(0.0);
            }
        });
        Ok((sum * scale) as f32)
    }

    /// What each term is multiplied by, if there are `count`.
    pub(super) fn scale(&self, count: usize) -> f64 {
        match self.reduction {
            Reduction::Sum => 1.0,
            Reduction::Mean => 1.0 / count.max(1) as f64,
        }
    }

    /// How many rows `[O]` of the `[T, B, O]` count; fails if the mask does not fit.
    pub(super) fn counted_rows(&self) -> Result<usize, Error> {
        let (steps, batch) = (self.steps, self.batch);
        match self.mask {
            Mask::All => Ok(steps * batch),
            Mask::Lengths(lengths) => {
                if lengths.len() != batch {
                    return Err(Error::LengthCount { found: lengths.len(), batch });
                }
                if let Some(sequence) = lengths.iter().position(|&length| length > steps) {
                    return Err(Error::Length { sequence, length: lengths[sequence], steps });
                }
                Ok(lengths.iter().sum())
            }
            Mask::Steps(marks) => {
                if marks.len() != steps * batch {
                    let expected = steps * batch;
                    return Err(Error::MarkCount { found: marks.len(), expected });
                }
                Ok(marks.iter().filter(|&&counts| counts).count())
            }
        }
    }

    /// Calls `visit` with the longest stretches of rows that count, or do not: a kernel
    /// runs over many short rows at once.
    pub(super) fn for_each_run(&self, mut visit: impl FnMut(Range<usize>, bool)) {
        let mut run = 0..0;
        let mut counted = true;
        let mut push = |counts: bool| {
            if counts != counted {
                if !run.is_empty() {
                    visit(run.clone(), counted);
                }
                (run.start, counted) = (run.end, counts);
            }
            run.end += 1;
        };
        match self.mask {
            Mask::All => run.end = self.steps * self.batch,
            Mask::Lengths(lengths) => {
                let steps = if self.batch == 0 { 0 } else { self.steps }; // any number
                for step in 0..steps {
                    lengths.iter().for_each(|&length| push(step < length));
                }
            }
            Mask::Steps(marks) => marks.iter().for_each(|&counts| push(counts)),
        }
        if !run.is_empty() {
            visit(run, counted);
        }
    }
}
