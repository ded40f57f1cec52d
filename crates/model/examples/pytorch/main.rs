//! Carry's half of the example: runs an LSTM that PyTorch trained, trains it further, and
//! writes it back for PyTorch. README.md tells the whole way.
//!
//! `cargo run --release -p model --example pytorch -- FOLDER`

use model::{Architecture, Cell, Config, Head, HeadSteps, Network, Parameters, Sequences, weights};
use rand::{Rng, RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

/// T, B, I, H, O: those of `pytorch.py`.
const STEPS: usize = 20;
const BATCH: usize = 64;
const INPUTS: usize = 2;
const HIDDEN: usize = 32;
const OUTPUTS: usize = 1;

/// How far to train on.
const UPDATES: usize = 8000;
const LEARNING_RATE: f32 = 0.05;

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args_os().skip(1).collect();
    let [folder] = &arguments[..] else {
        eprintln!("usage: cargo run --release -p model --example pytorch -- FOLDER");
        return ExitCode::from(2);
    };
    match run(Path::new(folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(folder: &Path) -> Result<(), Box<dyn Error>> {
    // nn.LSTM(2, 32) and nn.Linear(32, 1) on the last step
    let lstm = Architecture::new(Cell::Lstm, INPUTS, HIDDEN);
    let head = Head { steps: HeadSteps::Last, ..Head::linear(OUTPUTS) };
    let config = Config::new(Architecture { head: Some(head), ..lstm })?;
    let mut parameters =
        weights::from_bytes(config, &read(folder.join("from_pytorch.safetensors"))?)?;

    // the same sequences that PyTorch saw: x [T, B, I], the answers and its outputs [B, O]
    let file = read(folder.join("sequences.safetensors"))?;
    let file = SafeTensors::deserialize(&file)?;
    let (x, batch) = tensor(&file, "x", &[STEPS, INPUTS])?;
    let (target, _) = tensor(&file, "target", &[OUTPUTS])?;
    let (of_pytorch, _) = tensor(&file, "y", &[OUTPUTS])?;
    let sequences = Sequences::new(config, &x, STEPS, batch)?;

    let mut network = Network::new(config);
    let y = network.infer(&parameters, &sequences);
    println!("squared error of PyTorch's weights in Carry: {:.6}", squared_error(y, &target));
    let differences = y.iter().zip(&of_pytorch).map(|(carry, pytorch)| (carry - pytorch).abs());
    let difference = differences.fold(0.0, f32::max);
    println!("greatest difference of outputs, Carry and PyTorch: {difference:.1e}");
    if difference.is_nan() || difference >= 1e-5 {
        return Err("the outputs differ by more than rounding".into());
    }

    train(&mut network, &mut parameters)?;
    let y = network.infer(&parameters, &sequences);
    println!("squared error after training on in Carry: {:.6}", squared_error(y, &target));
    write(folder.join("from_carry.safetensors"), &weights::to_bytes(&parameters))?;
    let bytes: Vec<u8> = y.iter().flat_map(|y| y.to_le_bytes()).collect();
    let y = TensorView::new(Dtype::F32, vec![batch, OUTPUTS], &bytes)?;
    write(folder.join("outputs_of_carry.safetensors"), &safetensors::serialize([("y", y)], None)?)?;
    println!(
        "wrote from_carry.safetensors and outputs_of_carry.safetensors into {}",
        folder.display()
    );
    Ok(())
}

/// Trains on fresh sequences by plain gradient descent.
fn train(network: &mut Network, parameters: &mut Parameters) -> Result<(), model::Error> {
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(0);
    let mut gradient = Parameters::zeros(network.config());
    for _ in 0..UPDATES {
        let (x, target) = adding_problem(&mut generator);
        let sequences = Sequences::new(network.config(), &x, STEPS, BATCH)?;
        let y = network.run(parameters, &sequences);
        // L = ½ mean (y − target)², so dy = (y − target) / B
        let errors = y.iter().zip(&target).map(|(y, target)| y - target);
        let dy: Vec<f32> = errors.map(|error| error / BATCH as f32).collect();
        network.backward(parameters, &x, &dy, &mut gradient);
        for (weight, gradient) in parameters.arena_mut().iter_mut().zip(gradient.arena()) {
            *weight -= LEARNING_RATE * gradient;
        }
    }
    Ok(())
}

/// Sequences x `[T, B, 2]` of numbers and marks, and the sums `[B]` of the two marked.
fn adding_problem(generator: &mut impl Rng) -> (Vec<f32>, Vec<f32>) {
    let (mut x, mut sums) = (vec![0.0; STEPS * BATCH * INPUTS], vec![0.0; BATCH]);
    for number in x.iter_mut().step_by(INPUTS) {
        *number = generator.random_range(0.0..1.0);
    }
    for (b, sum) in sums.iter_mut().enumerate() {
        let first = generator.random_range(0..STEPS);
        let second = (first + generator.random_range(1..STEPS)) % STEPS;
        for step in [first, second] {
            let at = (step * BATCH + b) * INPUTS;
            *sum += x[at];
            x[at + 1] = 1.0;
        }
    }
    (x, sums)
}

fn squared_error(y: &[f32], target: &[f32]) -> f32 {
    let squares = y.iter().zip(target).map(|(y, target)| (y - target).powi(2));
    squares.sum::<f32>() / y.len() as f32
}

/// The values of an F32 tensor and its batch size: the only dimension not in `shape`, which
/// is the last but one.
fn tensor(
    file: &SafeTensors<'_>,
    name: &str,
    shape: &[usize],
) -> Result<(Vec<f32>, usize), Box<dyn Error>> {
    let view = file.tensor(name)?;
    let mut found = view.shape().to_vec();
    let batch = if found.len() == shape.len() + 1 { found.remove(shape.len() - 1) } else { 0 };
    if view.dtype() != Dtype::F32 || found != shape {
        return Err(format!("tensor `{name}` is {:?} {:?}", view.dtype(), view.shape()).into());
    }
    let (values, _) = view.data().as_chunks::<4>();
    Ok((values.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect(), batch))
}

fn read(path: PathBuf) -> Result<Vec<u8>, String> {
    fs::read(&path).map_err(|error| format!("{}: {error}; run pytorch.py first", path.display()))
}

fn write(path: PathBuf, bytes: &[u8]) -> Result<(), String> {
    fs::write(&path, bytes).map_err(|error| format!("{}: {error}", path.display()))
}
