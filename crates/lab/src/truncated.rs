//! Additions whose gradients are cut: from each output they go back k steps and no further.
//!
//! ```text
//! forward   h[t] = σ(x[t]·W_in + h[t−1]·W_rec)   y[t] = σ(h[t]·w_out)
//! backward  dz⁰[t] = 0
//!           dzʲ[t] = (dy[t]·w_out + dzʲ⁻¹[t+1]·W_recᵀ) ⊙ h[t] ⊙ (1 − h[t])      j = 1 … k
//!           dW_in = Σ x[t]ᵀ dzᵏ[t]   dW_rec = Σ h[t−1]ᵀ dzᵏ[t]   dw_out = Σ dy[t] h[t]
//! ```
//!
//! `dzʲ[t]` is what the outputs of the steps t … t + j − 1 make of step t. So every output's gradient
//! is that of BPTT over the last k steps, the state before them taken for a constant. With k = T it is
//! BPTT, and then the engine's own.

use kernels::activation::sigmoid;
use kernels::recurrent::ROW;
use model::{Head, Parameters};
use serde::{Deserialize, Serialize};
use train::batch::{Batch, Inputs};
use train::metrics::Totals;
use train::pass::Pass;
use train::task::{Addition, Progress, Source, Sums, Task};

/// The additions, and k.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Truncated {
    addition: Addition,
    steps: usize,
}

impl Truncated {
    /// Gradients go back `steps` (k ≥ 1) steps.
    pub fn new(addition: Addition, steps: usize) -> Self {
        assert!(steps > 0, "a gradient sees the step of its output at least");
        Self { addition, steps }
    }
}

impl Task for Truncated {
    const NAME: &'static str = "addition-truncated";
    const IS_BPTT: bool = false;

    type Score = Sums;

    fn io(&self) -> (usize, Head) {
        self.addition.io()
    }

    fn steps(&self) -> usize {
        self.addition.steps()
    }

    fn draw(&self, source: Source<'_>, batch: &mut Batch) {
        self.addition.draw(source, batch);
    }

    fn loss(&self, batch: &Batch, y: &[f32], dy: &mut [f32]) -> Totals {
        self.addition.loss(batch, y, dy)
    }

    /// # Panics
    /// If the batch is no single example, or the network is not the lab's with at most 16 units.
    fn differentiate(
        &self,
        pass: &mut Pass,
        parameters: &Parameters,
        batch: &Batch,
        progress: Progress,
        gradient: &mut Parameters,
    ) -> Totals {
        if self.steps >= self.addition.steps() {
            return self.addition.differentiate(pass, parameters, batch, progress, gradient);
        }
        self.cut(parameters, batch, gradient)
    }

    fn evaluate(&self, parameters: &Parameters, seed: u64) -> Sums {
        self.addition.evaluate(parameters, seed)
    }

    fn aim(&self) -> String {
        format!("{} by gradients of {} steps", self.addition.aim(), self.steps)
    }
}

/// The values of the units, those beyond H being zero.
type Row = [f32; ROW];

fn row(values: &[f32]) -> Row {
    let mut row = [0.0; ROW];
    row[..values.len()].copy_from_slice(values);
    row
}

/// `sum += factor · row`
fn add(sum: &mut Row, factor: f32, row: &Row) {
    sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += factor * value);
}

impl Truncated {
    /// The gradient of the one example in `batch`, for any k.
    fn cut(&self, parameters: &Parameters, batch: &Batch, gradient: &mut Parameters) -> Totals {
        let config = parameters.config();
        let hidden = config.hidden();
        assert!(
            batch.count == 1 && hidden <= ROW && !config.bias() && config.inputs() == 2,
            "one example, and a lab's network of at most {ROW} units"
        );
        let Inputs::Values(x) = &batch.inputs else {
            unreachable!("digits are encoded as values");
        };
        let steps = batch.steps;
        let (x, _) = x.as_chunks::<2>();
        let w_in: Vec<Row> = parameters.w_in().map(row).collect();
        let w_rec: Vec<Row> = parameters.w_rec().map(row).collect();
        let w_out = row(parameters.w_out().next().expect("one output"));

        // before the first step, and of each
        let mut h = vec![[0.0; ROW]; steps + 1];
        let mut y = vec![0.0; steps];
        for t in 0..steps {
            let mut z = [0.0; ROW];
            w_in.iter().zip(x[t]).for_each(|(w, x)| add(&mut z, x, w));
            w_rec.iter().zip(h[t]).for_each(|(w, h)| add(&mut z, h, w));
            sigmoid(&mut z);
            y[t] = z[..hidden].iter().zip(&w_out).map(|(h, w)| h * w).sum();
            h[t + 1][..hidden].copy_from_slice(&z[..hidden]);
        }
        sigmoid(&mut y);
        let mut dy = vec![0.0; steps];
        let totals = self.loss(batch, &y, &mut dy);

        let mut w_rec_t = [[0.0; ROW]; ROW];
        for (from, row) in w_rec.iter().enumerate() {
            row.iter().enumerate().for_each(|(to, &w)| w_rec_t[to][from] = w);
        }
        // dzʲ over dzʲ⁻¹, from the first step on: each needs that behind it as it was.
        let mut dz = vec![[0.0; ROW]; steps + 1];
        for j in 1..=self.steps {
            // Behind these no more outputs are seen than by dzʲ⁻¹.
            for t in 0..(steps + 1).saturating_sub(j) {
                let mut dh = [0.0; ROW];
                add(&mut dh, dy[t], &w_out);
                if j > 1 {
                    w_rec_t.iter().zip(dz[t + 1]).for_each(|(w, dz)| add(&mut dh, dz, w));
                }
                for ((dz, dh), h) in dz[t].iter_mut().zip(dh).zip(&h[t + 1]) {
                    *dz = dh * (h * (1.0 - h));
                }
            }
        }

        let mut number = 0;
        gradient.for_each_row_mut(|row| {
            let mut sum = [0.0; ROW];
            for t in 0..steps {
                match number {
                    0..2 => add(&mut sum, x[t][number], &dz[t]),
                    _ if number < 2 + hidden => add(&mut sum, h[t][number - 2], &dz[t]),
                    _ => add(&mut sum, dy[t], &h[t + 1]),
                }
            }
            row.copy_from_slice(&sum[..hidden]);
            number += 1;
        });
        totals
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand_xoshiro::Xoshiro256PlusPlus;
    use train::batch::Targets;
    use train::config::NetworkConfig;

    /// A network of `hidden` units, and an example of `bits` digits.
    fn sample(bits: u32, hidden: usize, seed: u64) -> (Addition, Parameters, Batch) {
        let task = Addition::new(bits).unwrap();
        let config = NetworkConfig::lab(hidden).config(&task).unwrap();
        let mut generator = Xoshiro256PlusPlus::seed_from_u64(seed);
        let parameters = Parameters::uniform(config, &mut generator);
        let mut batch = Batch::default();
        task.encode(&[task.sample(&mut generator)], &mut batch);
        (task, parameters, batch)
    }

    fn gradient(task: &impl Task, parameters: &Parameters, batch: &Batch) -> (Totals, Vec<f32>) {
        let generator = Xoshiro256PlusPlus::seed_from_u64(0);
        let mut pass = Pass::new(parameters.config(), generator);
        let mut gradient = Parameters::zeros(parameters.config());
        let progress = Progress { examples: 0, of: 1, batch: 1, worker: 0, workers: 1 };
        let totals = task.differentiate(&mut pass, parameters, batch, progress, &mut gradient);
        (totals, gradient.arena().to_vec())
    }

    /// By the definition, in f64: output by output, each with the k steps before it.
    fn by_definition(parameters: &Parameters, batch: &Batch, k: usize) -> Vec<f64> {
        let wide = |row: &[f32]| row.iter().map(|&w| f64::from(w)).collect::<Vec<f64>>();
        let w_in: Vec<_> = parameters.w_in().map(wide).collect();
        let w_rec: Vec<_> = parameters.w_rec().map(wide).collect();
        let w_out = wide(parameters.w_out().next().unwrap());
        let (Inputs::Values(x), Targets::Values(targets)) = (&batch.inputs, &batch.targets) else {
            unreachable!()
        };
        let (x, targets) = (wide(x), wide(targets));
        let hidden = w_out.len();
        let sigmoid = kernels::reference::sigmoid;
        let mut h = vec![vec![0.0; hidden]];
        for t in 0..batch.steps {
            let z = |j: usize| {
                let input = x[2 * t] * w_in[0][j] + x[2 * t + 1] * w_in[1][j];
                input + (0..hidden).map(|i| h[t][i] * w_rec[i][j]).sum::<f64>()
            };
            h.push((0..hidden).map(|j| sigmoid(z(j))).collect());
        }
        let mut rows = vec![vec![0.0; hidden]; 2 + hidden + 1];
        for t in 0..batch.steps {
            let y = sigmoid((0..hidden).map(|j| h[t + 1][j] * w_out[j]).sum());
            let dy = (y - targets[t]) * y * (1.0 - y);
            (0..hidden).for_each(|j| rows[2 + hidden][j] += dy * h[t + 1][j]);
            let mut dh: Vec<f64> = w_out.iter().map(|w| dy * w).collect();
            for s in (0..=t).rev().take(k) {
                let dz: Vec<f64> =
                    (0..hidden).map(|j| dh[j] * h[s + 1][j] * (1.0 - h[s + 1][j])).collect();
                for j in 0..hidden {
                    (0..2).for_each(|i| rows[i][j] += x[2 * s + i] * dz[j]);
                    (0..hidden).for_each(|i| rows[2 + i][j] += h[s][i] * dz[j]);
                }
                dh = (0..hidden).map(|i| (0..hidden).map(|j| dz[j] * w_rec[i][j]).sum()).collect();
            }
        }
        let stride = ROW;
        rows.iter_mut().for_each(|row| row.resize(stride, 0.0));
        rows.concat()
    }

    fn assert_near(found: &[f32], expected: &[f64]) -> Result<(), TestCaseError> {
        let largest = expected.iter().fold(0.0_f64, |most, g| most.max(g.abs()));
        for (&found, expected) in found.iter().zip(expected) {
            let off = (f64::from(found) - expected).abs();
            // states and outputs are rounded at 6e-8, however small their gradients
            prop_assert!(off <= 2e-6 * largest + 5e-7, "{found} {expected}");
        }
        prop_assert_eq!(found.len(), expected.len());
        Ok(())
    }

    proptest! {
        #[test]
        fn the_gradient_is_that_of_its_definition(
            bits in 1_u32..=12, hidden in 1_usize..=16, k in 1_usize..=14, seed: u64,
        ) {
            let (task, parameters, batch) = sample(bits, hidden, seed);
            let expected = by_definition(&parameters, &batch, k);
            let truncated = Truncated::new(task, k);
            let (_, found) = gradient(&truncated, &parameters, &batch);
            assert_near(&found, &expected)?;
            // as written here, too, where the engine's own would be taken
            let mut found = Parameters::zeros(parameters.config());
            truncated.cut(&parameters, &batch, &mut found);
            assert_near(found.arena(), &expected)?;
        }

        #[test]
        fn with_all_steps_it_is_bptt_bit_for_bit(
            bits in 1_u32..=12, hidden in 1_usize..=16, more in 0_usize..3, seed: u64,
        ) {
            let (task, parameters, batch) = sample(bits, hidden, seed);
            let all = Truncated::new(task, bits as usize + more);
            prop_assert_eq!(
                gradient(&all, &parameters, &batch), gradient(&task, &parameters, &batch)
            );
            // and more steps than there are change nothing of what is written here
            let cut = |k| {
                let mut found = Parameters::zeros(parameters.config());
                Truncated::new(task, k).cut(&parameters, &batch, &mut found);
                found.arena().to_vec()
            };
            prop_assert_eq!(cut(bits as usize), cut(bits as usize + more));
        }
    }
}
