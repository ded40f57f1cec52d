//! The training: its batches, how ε grows, and the loop over the updates.

use crate::ibp::batch::Batch;
use crate::ibp::gradient::{Ibp, fill};
use model::{Config, Parameters};
use rand::{Rng, RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use train::shared::{BLOCK, Shared};
use train::task::Addition;

/// T, the digits of a sequence.
pub const STEPS: usize = 12;
/// B, the sequences of an update.
pub const BATCH: usize = 64;
/// The step of Adam.
pub const LEARNING_RATE: f32 = 0.01;

/// What a certifiable training is asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Certifiable {
    /// H
    pub hidden: usize,
    /// Whether the network has biases.
    pub bias: bool,
    /// What all randomness comes from.
    pub seed: u64,
    /// Updates of Adam.
    pub updates: u64,
    /// ε at the end; see [`Certifiable::epsilon`].
    pub epsilon: f32,
}

impl Default for Certifiable {
    fn default() -> Self {
        Self { hidden: 16, bias: false, seed: 0, updates: 6_000, epsilon: 0.05 }
    }
}

impl Certifiable {
    /// ε after `done` updates: 0 for the first 20 % of them, then rising in a straight line to
    /// its full value, which it has from 70 % on.
    pub fn epsilon(&self, done: u64) -> f32 {
        let share = done as f32 / self.updates as f32;
        self.epsilon * ((share - 0.2) / 0.5).clamp(0.0, 1.0)
    }
}

/// A certifiable training at work.
#[derive(Clone, Debug)]
pub struct Training {
    asked: Certifiable,
    generator: Xoshiro256PlusPlus,
    done: u64,
    parameters: Parameters,
    batch: Batch,
    ibp: Ibp,
    gradient: Parameters,
    first_moment: Parameters,
    second_moment: Parameters,
}

impl Training {
    /// A network with weights uniform in [−1, 1).
    ///
    /// # Errors
    /// If the network has no hidden units or too many.
    pub fn new(asked: Certifiable) -> Result<Self, model::Error> {
        let config = Addition::network(asked.hidden, asked.bias)?;
        let mut generator = Xoshiro256PlusPlus::seed_from_u64(asked.seed);
        let parameters = first_weights(config, &mut generator);
        let zeros = Parameters::zeros(config);
        Ok(Self {
            asked,
            generator,
            done: 0,
            parameters,
            batch: Batch::zeros(STEPS, BATCH),
            ibp: Ibp::new(config),
            gradient: zeros.clone(),
            first_moment: zeros.clone(),
            second_moment: zeros,
        })
    }

    /// `updates` more updates; returns the mean loss.
    ///
    /// # Errors
    /// [`train::Error::Diverged`] if the loss or a weight is no longer finite.
    pub fn train(&mut self, updates: u64) -> Result<f64, train::Error> {
        let loss = self.update(updates);
        self.check_finite(loss)
    }

    fn update(&mut self, updates: u64) -> f64 {
        let mut total = 0.0;
        for _ in 0..updates {
            let epsilon = self.asked.epsilon(self.done);
            self.batch.draw(&mut self.generator);
            total += self.ibp.gradient(&self.parameters, &self.batch, epsilon, &mut self.gradient);
            self.done += 1;
            self.adam();
        }
        total / updates as f64
    }

    fn check_finite(&self, loss: f64) -> Result<f64, train::Error> {
        if loss.is_finite() && self.parameters.is_finite() {
            return Ok(loss);
        }
        let square = |g: &f32| f64::from(*g) * f64::from(*g);
        Err(train::Error::Diverged {
            examples: self.done * BATCH as u64,
            loss,
            norm: self.gradient.arena().iter().map(square).sum::<f64>().sqrt(),
            learning_rate: LEARNING_RATE,
            checkpoint: None,
        })
    }

    /// D. Kingma and J. Ba, *Adam: A Method for Stochastic Optimization*, 2015.
    fn adam(&mut self) {
        const MEAN: f32 = 0.9;
        const SQUARE: f32 = 0.999;
        let step = self.done.min(100_000) as i32;
        let rate = LEARNING_RATE * (1.0 - SQUARE.powi(step)).sqrt() / (1.0 - MEAN.powi(step));
        let parameters = self.parameters.arena_mut().iter_mut().zip(self.gradient.arena());
        let moments = self.first_moment.arena_mut().iter_mut();
        let moments = moments.zip(self.second_moment.arena_mut());
        for ((w, &g), (m, v)) in parameters.zip(moments) {
            *m = MEAN * *m + (1.0 - MEAN) * g;
            *v = SQUARE * *v + (1.0 - SQUARE) * g * g;
            *w -= rate * *m / (v.sqrt() + 1e-8);
        }
    }

    /// The whole training by `threads` workers on shared parameters (Hogwild!), each with its
    /// own generator, Adam and equal part of the updates, after each of which it exchanges
    /// its parameters; see [`train::shared`]. Returns the mean loss.
    ///
    /// # Errors
    /// As [`Training::train`].
    ///
    /// # Panics
    /// If it has begun already, or there are no threads.
    pub fn train_hogwild(&mut self, threads: usize) -> Result<f64, train::Error> {
        assert!(self.done == 0 && threads > 0, "{threads} workers, {} updates done", self.done);
        let updates = self.asked.updates.div_ceil(threads as u64);
        let mut generator = self.generator.clone();
        let mut workers: Vec<Self> = (0..threads)
            .map(|_| {
                let mut worker = self.clone();
                worker.asked.updates = updates;
                worker.generator = generator.clone();
                generator.jump();
                worker
            })
            .collect();
        let shared = Shared::new(self.parameters.arena());
        let losses = std::thread::scope(|scope| {
            let start = |worker| scope.spawn(|| Self::update_shared(worker, updates, &shared));
            let started: Vec<_> = workers.iter_mut().map(start).collect();
            let losses = started.into_iter().map(|worker| worker.join().expect("a worker"));
            losses.collect::<Vec<f64>>()
        });
        shared.read(self.parameters.arena_mut());
        self.gradient = workers.swap_remove(0).gradient;
        self.done = self.asked.updates;
        self.check_finite(losses.iter().sum::<f64>() / threads as f64)
    }

    /// One worker's part.
    fn update_shared(&mut self, updates: u64, shared: &Shared) -> f64 {
        let mut seen = self.parameters.arena().as_chunks::<BLOCK>().0.to_vec();
        let mut total = 0.0;
        for _ in 0..updates {
            total += self.update(1);
            let (own, rest) = self.parameters.arena_mut().as_chunks_mut::<BLOCK>();
            assert!(rest.is_empty(), "an arena is whole blocks");
            for (block, (own, seen)) in own.iter_mut().zip(&mut seen).enumerate() {
                shared.exchange(block, own, seen);
            }
        }
        total / updates as f64
    }

    /// The network as it is.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }
}

/// Weights uniform in [−1, 1).
fn first_weights(config: Config, generator: &mut impl Rng) -> Parameters {
    fill(config, || generator.random_range(-1.0..1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_hogwild_worker_trains_as_the_serial_one() {
        for bias in [false, true] {
            let asked = Certifiable { hidden: 5, bias, updates: 30, ..Certifiable::default() };
            let [mut serial, mut hogwild] = [(); 2].map(|()| Training::new(asked).unwrap());
            serial.train(30).unwrap();
            hogwild.train_hogwild(1).unwrap();
            assert_eq!(serial.parameters().arena(), hogwild.parameters().arena());
            let mut two = Training::new(asked).unwrap();
            two.train_hogwild(2).unwrap();
            assert_ne!(two.parameters().arena(), serial.parameters().arena());
            assert!(two.parameters().is_finite());
        }
    }

    #[test]
    fn epsilon_rises_between_a_fifth_and_seven_tenths_of_the_updates() {
        let asked = Certifiable { updates: 1_000, epsilon: 0.5, ..Certifiable::default() };
        let at = |done| asked.epsilon(done);
        assert_eq!([at(0), at(200), at(700), at(1_000)], [0.0, 0.0, 0.5, 0.5]);
        assert!((at(450) - 0.25).abs() < 1e-6);
    }

    #[test]
    fn a_training_that_diverges_is_an_error() {
        let asked = Certifiable { hidden: 3, ..Certifiable::default() };
        let mut training = Training::new(asked).unwrap();
        training.parameters.arena_mut()[0] = f32::NAN;
        let error = training.train(2).unwrap_err();
        assert!(matches!(error, train::Error::Diverged { examples: 128, .. }), "{error}");
    }
}
