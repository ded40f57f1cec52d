//! Optimizers: single loops over the arenas of parameters and gradients.

use crate::Error;
use model::Parameters;

/// Stochastic gradient descent: `w ← w − η·g`.
#[derive(Clone, Copy, Debug)]
pub struct Sgd {
    learning_rate: f32,
}

impl Sgd {
    /// Steps of `learning_rate` (η), positive and finite.
    ///
    /// # Errors
    /// If it is not.
    pub fn new(learning_rate: f32) -> Result<Self, Error> {
        if learning_rate.is_finite() && learning_rate > 0.0 {
            Ok(Self { learning_rate })
        } else {
            Err(Error::LearningRate(learning_rate))
        }
    }

    /// η
    pub fn learning_rate(&self) -> f32 {
        self.learning_rate
    }

    /// One step along `gradient`, a sum over `examples` examples, which is averaged.
    ///
    /// # Panics
    /// If the two are of networks of different sizes.
    #[inline]
    pub fn step(&self, parameters: &mut Parameters, gradient: &Parameters, examples: usize) {
        let rate = self.learning_rate / examples as f32;
        kernels::vector::axpy(-rate, gradient.arena(), parameters.arena_mut());
    }
}
