//! The models in burn with its Flex backend, the one it recommends for the CPU: its RNN,
//! GRU and LSTM modules, in f32, with its AVX-512 products.

#[path = "../../work.rs"]
mod work;

use burn::module::{Module, Param};
use burn::nn::gru::{Gru, GruConfig};
use burn::nn::{GateController, Lstm, LstmConfig, Rnn, RnnConfig};
use burn::optim::{GradientsParams, ModuleOptimizer, SgdConfig};
use burn::tensor::{Device, Tensor, TensorData};
use work::{Cell, SEEDS, Sizes, uniform};

#[derive(Module, Debug)]
enum Layer {
    Rnn(Rnn),
    Gru(Gru),
    Lstm(Lstm),
}

/// The same network with and without gradients.
struct Network {
    plain: Layer,
    plain_x: Tensor<3>,
    /// Taken out during a step.
    learning: Option<Layer>,
    learning_x: Tensor<3>,
    optimizer: ModuleOptimizer,
}

impl Network {
    fn new(cell: Cell, sizes: Sizes) -> Self {
        let (plain, learning) = (Device::flex(), Device::flex().autodiff());
        Self {
            plain: Layer::new(cell, sizes, &plain),
            plain_x: inputs(sizes, &plain),
            learning: Some(Layer::new(cell, sizes, &learning)),
            learning_x: inputs(sizes, &learning),
            optimizer: SgdConfig::new().init(),
        }
    }

    fn train(&mut self) -> f64 {
        let layer = self.learning.take().expect("a layer between steps");
        let loss = loss_of(layer.forward(self.learning_x.clone()));
        let gradients = GradientsParams::from_grads(loss.backward(), &layer);
        self.learning = Some(self.optimizer.step(work::LEARNING_RATE, layer, gradients));
        scalar(loss)
    }

    fn infer(&mut self) -> Tensor<3> {
        self.plain.forward(self.plain_x.clone())
    }
}

impl Layer {
    fn new(cell: Cell, Sizes { inputs, hidden, .. }: Sizes, device: &Device) -> Self {
        let set =
            |gate: &mut GateController, number| set_gate(gate, number, inputs, hidden, device);
        match cell {
            Cell::Rnn => {
                let mut layer = RnnConfig::new(inputs, hidden, true).init(device);
                set(&mut layer.gate, 0);
                Self::Rnn(layer)
            }
            Cell::Gru => {
                let mut layer = GruConfig::new(inputs, hidden, true).init(device);
                set(&mut layer.reset_gate, 0);
                set(&mut layer.update_gate, 1);
                set(&mut layer.new_gate, 2);
                Self::Gru(layer)
            }
            Cell::Lstm => {
                let mut layer = LstmConfig::new(inputs, hidden, true).init(device);
                set(&mut layer.input_gate, 0);
                set(layer.forget_gate.as_mut().expect("a forget gate"), 1);
                set(&mut layer.cell_gate, 2);
                set(&mut layer.output_gate, 3);
                Self::Lstm(layer)
            }
        }
    }

    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        match self {
            Self::Rnn(layer) => layer.forward(x, None).0,
            Self::Gru(layer) => layer.forward(x, None),
            Self::Lstm(layer) => layer.forward(x, None).0,
        }
    }
}

/// Gate `number` of PyTorch's stacked weights.
fn set_gate(
    gate: &mut GateController,
    number: usize,
    inputs: usize,
    hidden: usize,
    device: &Device,
) {
    let bound = 1.0 / (hidden as f32).sqrt();
    let weight = |seed, from: usize| {
        let stacked = uniform(seed, (number + 1) * hidden * from, bound);
        let rows = &stacked[number * hidden * from..];
        // [hidden, from] there, [from, hidden] here
        let values: Vec<f32> =
            (0..from * hidden).map(|k| rows[k % hidden * from + k / hidden]).collect();
        Param::from_data(TensorData::new(values, [from, hidden]), device)
    };
    let bias = |seed| {
        let values = uniform(seed, (number + 1) * hidden, bound)[number * hidden..].to_vec();
        Param::from_data(TensorData::new(values, [hidden]), device)
    };
    gate.input_transform.weight = weight(SEEDS[0], inputs);
    gate.hidden_transform.weight = weight(SEEDS[1], hidden);
    gate.input_transform.bias = Some(bias(SEEDS[2]));
    gate.hidden_transform.bias = Some(bias(SEEDS[3]));
}

/// x as `[B, T, I]`, the order that burn's layers loop over.
fn inputs(Sizes { inputs, steps, batch, .. }: Sizes, device: &Device) -> Tensor<3> {
    let values = uniform(SEEDS[4], steps * batch * inputs, 1.0);
    let at = |k: usize| {
        let (sequence, step, input) = (k / inputs / steps, k / inputs % steps, k % inputs);
        values[(step * batch + sequence) * inputs + input]
    };
    let swapped: Vec<f32> = (0..values.len()).map(at).collect();
    Tensor::from_data(TensorData::new(swapped, [batch, steps, inputs]), device)
}

fn loss_of(y: Tensor<3>) -> Tensor<1> {
    (y.clone() * y).sum()
}

fn scalar(loss: Tensor<1>) -> f64 {
    loss.into_data().iter::<f64>().next().expect("one value")
}

fn main() {
    let arguments = work::arguments();
    work::compete(
        "burn, Flex",
        "0.22.1",
        &arguments,
        |cell, sizes| Some(Network::new(cell, sizes)),
        Network::train,
        Network::infer,
        |_, y| scalar(loss_of(y)),
    );
}
