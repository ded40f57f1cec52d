//! The models in candle: its LSTM and GRU, and an Elman cell of its operations (it has
//! none), on the CPU in f32.

#[path = "../../work.rs"]
mod work;

use candle_core::{Device, Result, Tensor, Var};
use candle_nn::rnn::{GRU, GRUConfig, LSTM, LSTMConfig, RNN};
use candle_nn::{Optimizer, SGD, VarBuilder};
use std::collections::HashMap;
use work::{Cell, SEEDS, Sizes, uniform};

enum Layer {
    Elman { w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor },
    Gru(GRU),
    Lstm(LSTM),
}

struct Network {
    layer: Layer,
    optimizer: SGD,
    /// T of `[B, I]`
    x: Vec<Tensor>,
    zeros: Tensor,
}

impl Network {
    fn new(cell: Cell, Sizes { inputs, hidden, steps, batch }: Sizes) -> Result<Self> {
        let device = &Device::Cpu;
        let gates = match cell {
            Cell::Rnn => 1,
            Cell::Gru => 3,
            Cell::Lstm => 4,
        };
        let bound = 1.0 / (hidden as f32).sqrt();
        let rows = gates * hidden;
        let weight = |seed, shape: &[usize]| {
            Var::from_vec(uniform(seed, shape.iter().product(), bound), shape, device)
        };
        let names = ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"];
        let shapes: [&[usize]; 4] = [&[rows, inputs], &[rows, hidden], &[rows], &[rows]];
        let mut variables = Vec::new();
        for (seed, shape) in SEEDS.into_iter().zip(shapes) {
            variables.push(weight(seed, shape)?);
        }
        // The tensors of the map share the variables' storage and graph.
        let tensors: HashMap<String, Tensor> = names
            .iter()
            .zip(&variables)
            .map(|(n, v)| ((*n).to_owned(), v.as_tensor().clone()))
            .collect();
        let builder = VarBuilder::from_tensors(tensors.clone(), candle_core::DType::F32, device);
        let layer = match cell {
            Cell::Rnn => Layer::Elman {
                w_ih: tensors[names[0]].clone(),
                w_hh: tensors[names[1]].clone(),
                b_ih: tensors[names[2]].clone(),
                b_hh: tensors[names[3]].clone(),
            },
            Cell::Gru => Layer::Gru(GRU::new(inputs, hidden, GRUConfig::default(), builder)?),
            Cell::Lstm => Layer::Lstm(LSTM::new(inputs, hidden, LSTMConfig::default(), builder)?),
        };
        let values = uniform(SEEDS[4], steps * batch * inputs, 1.0);
        let x = values
            .chunks(batch * inputs)
            .map(|step| Tensor::from_slice(step, (batch, inputs), device))
            .collect::<Result<_>>()?;
        let zeros = Tensor::zeros((batch, hidden), candle_core::DType::F32, device)?;
        Ok(Self { layer, optimizer: SGD::new(variables, work::LEARNING_RATE)?, x, zeros })
    }

    /// The states of all steps, `[T, B, H]`.
    fn forward(&self) -> Result<Tensor> {
        let mut states = Vec::with_capacity(self.x.len());
        match &self.layer {
            Layer::Elman { w_ih, w_hh, b_ih, b_hh } => {
                let mut h = self.zeros.clone();
                for x in &self.x {
                    let from_x = x.matmul(&w_ih.t()?)?.broadcast_add(b_ih)?;
                    let from_h = h.matmul(&w_hh.t()?)?.broadcast_add(b_hh)?;
                    h = (from_x + from_h)?.tanh()?;
                    states.push(h.clone());
                }
            }
            Layer::Gru(gru) => {
                let mut state = gru.zero_state(self.zeros.dim(0)?)?;
                for x in &self.x {
                    state = gru.step(x, &state)?;
                    states.push(state.h.clone());
                }
            }
            Layer::Lstm(lstm) => {
                let mut state = lstm.zero_state(self.zeros.dim(0)?)?;
                for x in &self.x {
                    state = lstm.step(x, &state)?;
                    states.push(state.h.clone());
                }
            }
        }
        Tensor::stack(&states, 0)
    }

    fn train(&mut self) -> Result<f64> {
        let loss = self.forward()?.sqr()?.sum_all()?;
        self.optimizer.backward_step(&loss)?;
        Ok(f64::from(loss.to_scalar::<f32>()?))
    }

    /// The states, without a graph to go back through.
    fn infer(&self) -> Result<Tensor> {
        Ok(self.forward()?.detach())
    }
}

fn loss_of(y: &Tensor) -> Result<f64> {
    Ok(f64::from(y.sqr()?.sum_all()?.to_scalar::<f32>()?))
}

fn main() {
    let arguments = work::arguments();
    work::compete(
        "candle-nn",
        "0.11.1",
        &arguments,
        |cell, sizes| Some(Network::new(cell, sizes).expect("a network")),
        |network| network.train().expect("a training step"),
        |network| network.infer().expect("a forward pass"),
        |_, y| loss_of(&y).expect("a sum"),
    );
}
