//! Two small tasks of another kind than addition: a number for a whole sequence of unequal
//! length, and the next symbol of a text that goes on from batch to batch.

use kernels::buffer::Buffer;
use model::{Head, HeadActivation, HeadSteps, Parameters, loss};
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};
use train::batch::{Batch, Targets};
use train::metrics::Totals;
use train::task::{MeanLoss, Source, Task};

/// Many to one: the mean of the two inputs of a sequence of 3 to 6 steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Average {
    pub steps: usize,
}

impl Task for Average {
    const NAME: &'static str = "average";

    type Score = MeanLoss;

    fn io(&self) -> (usize, Head) {
        let (steps, activation) = (HeadSteps::Last, HeadActivation::Identity);
        (2, Head { outputs: 1, bias: true, steps, activation })
    }

    fn steps(&self) -> usize {
        self.steps
    }

    fn draw(&self, source: Source<'_>, batch: &mut Batch) {
        let Source { generator, count, .. } = source;
        let (x, _) = batch.values((self.steps, count), 2, 0);
        x.fill_with(|| generator.random_range(-1.0..1.0));
        let lengths: Vec<usize> =
            (0..count).map(|_| generator.random_range(self.steps / 2..=self.steps)).collect();
        let mut targets = Buffer::zeros(count);
        for (n, (target, &length)) in targets.iter_mut().zip(&lengths).enumerate() {
            let values = |t: usize| x[(t * count + n) * 2] + x[(t * count + n) * 2 + 1];
            *target = (0..length).map(values).sum::<f32>() / length as f32;
            for t in length..self.steps {
                x[(t * count + n) * 2..][..2].fill(f32::NAN); // which nobody may look at
            }
        }
        batch.targets = Targets::Values(targets);
        batch.target_steps = HeadSteps::Last;
        batch.lengths = Some(lengths);
    }

    fn loss(&self, batch: &Batch, y: &[f32], dy: &mut [f32]) -> Totals {
        let Targets::Values(targets) = &batch.targets else { panic!("values") };
        let mut totals = Totals { examples: batch.count as u64, ..Totals::default() };
        for ((dy, y), target) in dy.iter_mut().zip(y).zip(&**targets) {
            *dy = y - target;
            totals.loss += 0.5 * f64::from(*dy) * f64::from(*dy);
            totals.error += f64::from(dy.abs());
        }
        totals
    }

    fn evaluate(&self, parameters: &Parameters, seed: u64) -> MeanLoss {
        MeanLoss::of(self, parameters, seed, 64)
    }

    fn aim(&self) -> String {
        "find the mean of two inputs".to_owned()
    }

    fn header(&self) -> String {
        "target  output".to_owned()
    }

    fn show(&self, batch: &Batch, y: &[f32]) -> Option<String> {
        let Targets::Values(targets) = &batch.targets else { panic!("values") };
        Some(format!("{:>6.3}  {:>6.3}", targets[0], y[0]))
    }
}

/// A text over five symbols that says the same again and again, each worker and sequence at
/// another place of it, read in chunks of 4.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Refrain {}

impl Refrain {
    const TEXT: &[u32] = &[0, 1, 0, 2, 3, 0, 1, 4, 3, 2, 0];
    const CHUNK: usize = 4;
    pub const SYMBOLS: usize = 5;
}

impl Task for Refrain {
    const NAME: &'static str = "refrain";

    type Score = MeanLoss;

    fn io(&self) -> (usize, Head) {
        (Self::SYMBOLS, Head::linear(Self::SYMBOLS))
    }

    fn steps(&self) -> usize {
        Self::CHUNK
    }

    fn draw(&self, source: Source<'_>, batch: &mut Batch) {
        let Source { generator, count, progress } = source;
        generator.next_u64(); // so that a generator that is not restored is noticed
        let chunk = progress.examples as usize / count;
        batch.is_carried = true;
        let (symbols, classes) = batch.symbols((Self::CHUNK, count));
        for t in 0..Self::CHUNK {
            for n in 0..count {
                let place = 3 * n + 5 * progress.worker + chunk * Self::CHUNK + t;
                symbols[t * count + n] = Self::TEXT[place % Self::TEXT.len()];
                classes[t * count + n] = Self::TEXT[(place + 1) % Self::TEXT.len()];
            }
        }
    }

    fn loss(&self, batch: &Batch, y: &[f32], dy: &mut [f32]) -> Totals {
        let Targets::Classes(classes) = &batch.targets else { panic!("classes") };
        let terms = loss::Terms::all(batch.steps, batch.count, Self::SYMBOLS);
        let loss = loss::softmax_cross_entropy(&terms, y, classes, dy).unwrap();
        Totals { examples: batch.count as u64, loss: f64::from(loss), error: 0.0 }
    }

    fn evaluate(&self, parameters: &Parameters, seed: u64) -> MeanLoss {
        MeanLoss::of(self, parameters, seed, 64)
    }

    fn aim(&self) -> String {
        "say what comes next".to_owned()
    }
}
