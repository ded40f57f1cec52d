//! The floating-point operations (FLOP) that a pass is counted as, in benchmarks and reports.
//!
//! ```text
//! a product [m, k]·[k, n]     2·m·k·n                  a multiplication and an addition each
//! a layer, forward            D·2·T·B·G·H·(H + I)      x·W_in and h·W_rec of each step (of one
//!                                                      that remembers outputs O, of a window 0
//!                                                      instead of H)
//! a training step             3 × forward              BPTT has two such products for each one
//! ```
//!
//! This is the usual convention, the same for every program that is compared: matrix products
//! alone. What the activations, biases, the loss and the optimizer take is not counted. A training
//! step is counted a little high: nobody needs the gradient of the first layer's inputs.

use crate::{Config, HeadSteps};

/// FLOP of the product of `[m, k]` and `[k, n]` matrices.
pub fn product(m: usize, k: usize, n: usize) -> f64 {
    2.0 * m as f64 * k as f64 * n as f64
}

/// FLOP of a forward pass over `[T, B, I]` inputs: all layers, both directions, the head.
pub fn forward(config: Config, steps: usize, batch: usize) -> f64 {
    let (hidden, directions) = (config.hidden(), config.directions());
    let sums = config.cell().gates() * hidden; // G·H
    // Not `product(steps * batch, …)`: T·B may exceed a usize where only a count is asked for.
    let per_row =
        |layer| product(directions, config.layer_inputs(layer) + config.recurrent_inputs(), sums);
    let rows = steps as f64 * batch as f64;
    let layers: f64 = (0..config.layers()).map(|layer| rows * per_row(layer)).sum();
    let head = config.head().map_or(0.0, |head| {
        let rows = match head.steps {
            HeadSteps::Every => rows,
            HeadSteps::Last => batch as f64,
        };
        rows * product(1, directions * hidden, head.outputs)
    });
    layers + head
}

/// FLOP of a training step on `[T, B, I]` inputs: forward, BPTT, and the gradients of the weights.
pub fn training_step(config: Config, steps: usize, batch: usize) -> f64 {
    3.0 * forward(config, steps, batch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Architecture, Cell, Head, Memory, Nonlinearity};

    #[test]
    fn a_layer_is_counted_as_its_two_products() {
        for (cell, gates) in [(Cell::Gru, 3.0), (Cell::Lstm, 4.0)] {
            let config = Config::new(Architecture::new(cell, 64, 128)).unwrap();
            let expected = 2.0 * 64.0 * 32.0 * gates * 128.0 * 192.0;
            assert_eq!(forward(config, 64, 32), expected);
            assert_eq!(training_step(config, 64, 32), 3.0 * expected);
        }
    }

    #[test]
    fn layers_directions_and_the_head_are_counted_as_the_products_that_they_are() {
        let (inputs, hidden, outputs, steps, batch) = (3, 5, 7, 11, 2);
        let bidirectional = Architecture {
            layers: 2,
            bidirectional: true,
            head: Some(Head::linear(outputs)),
            ..Architecture::new(Cell::Gru, inputs, hidden)
        };
        let rows = steps * batch;
        let direction =
            |inputs| product(rows, inputs, 3 * hidden) + product(rows, hidden, 3 * hidden);
        let layers = 2.0 * direction(inputs) + 2.0 * direction(2 * hidden);
        let every = Config::new(bidirectional).unwrap();
        assert_eq!(forward(every, steps, batch), layers + product(rows, 2 * hidden, outputs));

        let head = Head { steps: HeadSteps::Last, ..Head::linear(outputs) };
        let last = Config::new(Architecture { head: Some(head), ..bidirectional }).unwrap();
        assert_eq!(forward(last, steps, batch), layers + product(batch, 2 * hidden, outputs));
    }

    #[test]
    fn a_window_meets_its_inputs_and_a_jordan_network_its_outputs_instead_of_the_states() {
        let elman = Architecture::new(Cell::Elman(Nonlinearity::Tanh), 3, 5);
        let elman = Architecture { head: Some(Head::linear(2)), ..elman };
        for (memory, inputs) in
            [(Memory::State, 3 + 5), (Memory::Output, 3 + 2), (Memory::Window(4), 4 * 3)]
        {
            let config = Config::new(Architecture { memory, ..elman }).unwrap();
            let expected = product(7, inputs, 5) + product(7, 5, 2);
            assert_eq!(forward(config, 7, 1), expected, "{memory:?}");
        }
    }

    #[test]
    fn sizes_beyond_any_memory_are_counted_without_overflow() {
        let config = Config::new(Architecture::new(Cell::Lstm, 1 << 10, 1 << 10)).unwrap();
        assert!(forward(config, usize::MAX, usize::MAX).is_finite());
        assert_eq!(product(usize::MAX, 1, 1), 2.0 * usize::MAX as f64);
    }
}
