//! The inputs of a pass: values, or symbols that stand for rows of them; and columns of what is
//! `[rows, B, width]`.
//!
//! No sizes and no checks here: those are the doors' (`sequences`).

use kernels::buffer::Buffer;

/// The inputs of T steps of B sequences, time-major.
///
/// A pass takes either kind; what has a gradient is a value, so a symbol has none.
#[derive(Clone, Copy, Debug)]
pub enum Inputs<'a> {
    /// `[T, B, I]`: all inputs of each step.
    Values(&'a [f32]),
    /// `[T, B]`: of each step the one input that is 1, the others being 0; or, where there is an
    /// embedding, the row of it that is the input.
    Symbols(&'a [u32]),
}

impl<'a> Inputs<'a> {
    /// How many numbers there are: T·B·I values or T·B symbols.
    pub fn len(self) -> usize {
        match self {
            Self::Values(values) => values.len(),
            Self::Symbols(symbols) => symbols.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}

impl<'a> From<&'a [f32]> for Inputs<'a> {
    fn from(values: &'a [f32]) -> Self {
        Self::Values(values)
    }
}

impl<'a, const N: usize> From<&'a [f32; N]> for Inputs<'a> {
    fn from(values: &'a [f32; N]) -> Self {
        Self::Values(values)
    }
}

impl<'a> From<&'a Vec<f32>> for Inputs<'a> {
    fn from(values: &'a Vec<f32>) -> Self {
        Self::Values(values)
    }
}

impl<'a> From<&'a Buffer> for Inputs<'a> {
    fn from(values: &'a Buffer) -> Self {
        Self::Values(values)
    }
}

impl<'a> From<&'a [u32]> for Inputs<'a> {
    fn from(symbols: &'a [u32]) -> Self {
        Self::Symbols(symbols)
    }
}

impl<'a> From<&'a Vec<u32>> for Inputs<'a> {
    fn from(symbols: &'a Vec<u32>) -> Self {
        Self::Symbols(symbols)
    }
}
