//! Dropout between layers: which values a training pass keeps.
//!
//! Each output of a layer is dropped with probability p; the others are scaled by
//! 1/(1 − p), so that the expectation is what evaluation, which drops none, computes.
//! The backward pass drops and scales the same values. Source: N. Srivastava et al., Dropout,
//! 2014, in the scaling of PyTorch.
//!
//! A mask is drawn once a pass, in the order of the packed rows, and kept as a bit a
//! value, so that computing a segment again meets the same one.

use kernels::recurrent::ROW;
use rand::Rng;

/// The values of one layer's outputs that are kept: `[rows, D·S]` bits.
#[derive(Debug, Default)]
pub(super) struct Mask {
    /// A word a group of 16 units.
    words: Vec<u16>,
    /// 1/(1 − p)
    scale: f32,
    /// D·S/16, the words of a row.
    row: usize,
}

impl Mask {
    /// Draws a mask for `rows` rows of `directions` times `hidden` units.
    pub fn draw(
        &mut self,
        generator: &mut dyn Rng,
        dropout: f32,
        (rows, directions, hidden): (usize, usize, usize),
    ) {
        // P(u < p·2³²) = p for u uniform in 0..2³²
        let limit = (f64::from(dropout) * 2_f64.powi(32)) as u32;
        let groups = hidden.div_ceil(ROW);
        self.scale = 1.0 / (1.0 - dropout);
        self.row = directions * groups;
        self.words.clear();
        self.words.extend((0..rows * self.row).map(|index| {
            let units = ROW.min(hidden - index % groups * ROW);
            let mut word = 0;
            for unit in (0..units).step_by(2) {
                let draw = generator.next_u64();
                word |= u16::from(draw as u32 >= limit) << unit;
                word |= u16::from((draw >> 32) as u32 >= limit) << (unit + 1);
            }
            word
        }));
    }

    /// Drops and scales `values` `[rows, S]`, from row `first` on, of a direction.
    pub fn apply(&self, first: usize, direction: usize, stride: usize, values: &mut [f32]) {
        let (groups, scale) = (stride / ROW, self.scale);
        for (row, values) in values.chunks_exact_mut(stride).enumerate() {
            let words = &self.words[(first + row) * self.row + direction * groups..][..groups];
            for (values, &word) in values.as_chunks_mut::<ROW>().0.iter_mut().zip(words) {
                for (unit, value) in values.iter_mut().enumerate() {
                    *value *= if word >> unit & 1 == 1 { scale } else { 0.0 };
                }
            }
        }
    }

    /// Whether unit `unit` of a direction is kept in row `row`.
    pub fn keeps(&self, row: usize, direction: usize, stride: usize, unit: usize) -> bool {
        let word = row * self.row + direction * (stride / ROW) + unit / ROW;
        self.words[word] >> (unit % ROW) & 1 == 1
    }

    /// Bytes of the mask.
    pub fn bytes(&self) -> usize {
        size_of_val(&self.words[..])
    }
}
