//! The sizes of a network.

use crate::Error;
use kernels::recurrent::{Sizes, row_stride};

/// The most parameters, padding included, that a network may have: 4 GiB of them.
pub(crate) const MOST_PARAMETERS: usize = 1 << 30;

/// The sizes of the lab's network: I inputs, H hidden sigmoid units, O sigmoid
/// outputs, no biases. Checked when made: no size is 0 and the parameters fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    inputs: usize,
    hidden: usize,
    outputs: usize,
}

impl Config {
    /// A network of `inputs` (I), `hidden` (H) and `outputs` (O) units.
    ///
    /// # Errors
    /// If one of them is 0, or the parameters would not fit in memory.
    pub fn new(inputs: usize, hidden: usize, outputs: usize) -> Result<Self, Error> {
        for (name, size) in [("input", inputs), ("hidden unit", hidden), ("output", outputs)] {
            if size == 0 {
                return Err(Error::Zero(name));
            }
        }
        let fits = hidden <= MOST_PARAMETERS
            && inputs
                .checked_add(hidden)
                .and_then(|rows| rows.checked_add(outputs))
                .and_then(|rows| rows.checked_mul(row_stride(hidden)))
                .is_some_and(|count| count <= MOST_PARAMETERS);
        if !fits {
            return Err(Error::TooLarge { inputs, hidden, outputs });
        }
        Ok(Self { inputs, hidden, outputs })
    }

    /// I, the inputs of a step.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// H, the hidden units.
    pub fn hidden(&self) -> usize {
        self.hidden
    }

    /// O, the outputs of a step.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// S, the length of a padded row of hidden units.
    pub(crate) fn stride(&self) -> usize {
        row_stride(self.hidden)
    }

    /// These sizes, for `steps` (T) steps of `batch` (B) sequences.
    pub(crate) fn sizes(&self, steps: usize, batch: usize) -> Sizes {
        Sizes { steps, batch, inputs: self.inputs, hidden: self.hidden, outputs: self.outputs }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_that_make_no_sense_are_refused_by_name() {
        for (inputs, hidden, outputs, name) in
            [(0, 1, 1, "one input"), (1, 0, 1, "one hidden unit"), (1, 1, 0, "one output")]
        {
            let text = Config::new(inputs, hidden, outputs).unwrap_err().to_string();
            assert!(text.contains(name), "{text}");
        }
        for hidden in [40_000, usize::MAX - 3, usize::MAX] {
            let text = Config::new(2, hidden, 1).unwrap_err().to_string();
            assert!(text.contains(&hidden.to_string()) && text.contains("memory"), "{text}");
        }
        assert!(Config::new(usize::MAX, 1, usize::MAX).is_err());
        assert!(Config::new(1, 1, 1).is_ok());
    }
}
