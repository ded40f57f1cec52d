//! BPTT's sums of updates by `model`, for the test that the page's arithmetic gives the same.
//!
//! ```text
//! cargo run -p page --example gradients -- RUN A B [A B …]
//! ```
//!
//! Prints for each pair a line of JSON: tensors by name, each the sum over the steps of what is
//! added to it before the learning rate, −∂L/∂W with L = ½ Σ (y − o)². RUN is one of the addition
//! of at most 64 bits.

use model::{Network, Parameters, loss};
use std::collections::BTreeMap;
use std::path::Path;
use train::run_folder::RunFolder;
use train::task::Addition;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let run = arguments.next().ok_or("usage: gradients RUN A B [A B …]")?;
    let (config, parameters) = RunFolder::open(Path::new(&run))?.load::<Addition>()?;
    let numbers = arguments.map(|number| number.parse()).collect::<Result<Vec<u64>, _>>()?;
    for pair in numbers.chunks_exact(2) {
        let updates = updates(&parameters, pair[0], pair[1], config.task.bits() as usize);
        println!("{}", serde_json::to_string(&updates)?);
    }
    Ok(())
}

/// The sums of updates of one example of T = `bits` steps.
fn updates(parameters: &Parameters, a: u64, b: u64, bits: usize) -> BTreeMap<String, Vec<f32>> {
    let digit = |number: u64, t: usize| (number >> t & 1) as f32;
    let x: Vec<f32> = (0..bits).flat_map(|t| [digit(a, t), digit(b, t)]).collect();
    let target: Vec<f32> = (0..bits).map(|t| digit(a.wrapping_add(b), t)).collect();
    let mut network = Network::new(parameters.config());
    let mut gradient = Parameters::zeros(parameters.config());
    let mut dy = vec![0.0; bits];
    loss::sigmoid_squared_error(network.forward(parameters, &x, bits, 1), &target, &mut dy);
    network.backward(parameters, &x, &dy, &mut gradient);
    let values = |tensor: &model::Tensor| {
        tensor.indices().map(|at| -gradient.arena()[at]).collect::<Vec<f32>>()
    };
    gradient.tensors().iter().map(|tensor| (tensor.name().to_owned(), values(tensor))).collect()
}
