//! The models in rust-lstm: LSTM and GRU, in f64 and on one thread, which is what it has.
//!
//! Its GRU applies the reset gate before the product and reverses z; the work is the same,
//! the loss is not.

#[path = "../../work.rs"]
mod work;

use ndarray::Array2;
use rust_lstm::models::{gru_network::GRUNetwork, lstm_network::LSTMNetwork};
use rust_lstm::optimizers::SGD;
use work::{Cell, SEEDS, Sizes, uniform};

enum Layer {
    Gru(GRUNetwork),
    Lstm(LSTMNetwork),
}

struct Network {
    layer: Layer,
    optimizer: SGD,
    /// T of `[I, B]`
    x: Vec<Array2<f64>>,
}

/// `[rows, columns]` as the others have it, in f64.
fn matrix(seed: u32, rows: usize, columns: usize, bound: f32) -> Array2<f64> {
    let values = uniform(seed, rows * columns, bound).into_iter().map(f64::from).collect();
    Array2::from_shape_vec((rows, columns), values).expect("rows times columns values")
}

impl Network {
    fn new(cell: Cell, Sizes { inputs, hidden, steps, batch }: Sizes) -> Option<Self> {
        let bound = 1.0 / (hidden as f32).sqrt();
        let layer = match cell {
            Cell::Rnn => return None,
            Cell::Gru => Layer::Gru(GRUNetwork::new(inputs, hidden, 1)),
            Cell::Lstm => {
                let mut network = LSTMNetwork::new(inputs, hidden, 1);
                let cell = &mut network.get_cells_mut()[0];
                cell.w_ih = matrix(SEEDS[0], 4 * hidden, inputs, bound);
                cell.w_hh = matrix(SEEDS[1], 4 * hidden, hidden, bound);
                cell.b_ih = matrix(SEEDS[2], 4 * hidden, 1, bound);
                cell.b_hh = matrix(SEEDS[3], 4 * hidden, 1, bound);
                Layer::Lstm(network)
            }
        };
        let values = uniform(SEEDS[4], steps * batch * inputs, 1.0);
        let step = |values: &[f32]| {
            Array2::from_shape_fn((inputs, batch), |(i, b)| f64::from(values[b * inputs + i]))
        };
        let x = values.chunks(batch * inputs).map(step).collect();
        Some(Self { layer, optimizer: SGD::new(work::LEARNING_RATE), x })
    }

    fn train(&mut self) -> f64 {
        match &mut self.layer {
            Layer::Gru(network) => {
                let (outputs, caches) = network.forward_sequence_with_cache(&self.x);
                let y: Vec<Array2<f64>> = outputs.into_iter().map(|(y, _)| y).collect();
                let (gradients, _) = network.backward_sequence(&gradient_of(&y), &caches);
                network.update_parameters(&gradients, &mut self.optimizer);
                loss_of(&y)
            }
            Layer::Lstm(network) => {
                let (outputs, caches) = network.forward_sequence_with_cache(&self.x);
                let y: Vec<Array2<f64>> = outputs.into_iter().map(|(y, _)| y).collect();
                let (gradients, _) = network.backward_sequence(&gradient_of(&y), &caches);
                network.update_parameters(&gradients, &mut self.optimizer);
                loss_of(&y)
            }
        }
    }

    fn infer(&mut self) -> Vec<Array2<f64>> {
        match &mut self.layer {
            Layer::Gru(network) => {
                let (outputs, _) = network.forward_sequence_with_cache(&self.x);
                outputs.into_iter().map(|(y, _)| y).collect()
            }
            Layer::Lstm(network) => network.forward_sequence(&self.x),
        }
    }
}

fn loss_of(y: &[Array2<f64>]) -> f64 {
    y.iter().map(|y| y.iter().map(|y| y * y).sum::<f64>()).sum()
}

fn gradient_of(y: &[Array2<f64>]) -> Vec<Array2<f64>> {
    y.iter().map(|y| y * 2.0).collect()
}

fn main() {
    let arguments = work::arguments();
    assert!(arguments.threads == 1, "rust-lstm knows one thread");
    work::compete(
        "rust-lstm, f64",
        "0.10.0",
        &arguments,
        Network::new,
        Network::train,
        Network::infer,
        |_, y| loss_of(&y),
    );
}
