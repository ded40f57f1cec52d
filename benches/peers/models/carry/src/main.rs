//! The models in Carry: `model::Network` on one thread, `train::parallel` on several.

#[path = "../../../../sum_of_squares.rs"]
mod sum_of_squares;
#[path = "../../work.rs"]
mod work;

use model::{Architecture, Config, Network, Nonlinearity, Parameters, Sequences};
use sum_of_squares::sum_of_squares;
use train::batch::Batch;
use train::optimizer::Sgd;
use train::parallel::Parallel;
use work::{Cell, SEEDS, Sizes, uniform};

struct Peer {
    config: Config,
    sizes: Sizes,
    parameters: Parameters,
    gradient: Parameters,
    network: Network,
    /// With more than one thread.
    parallel: Option<Parallel>,
    optimizer: Sgd,
    /// `[T, B, I]`
    x: Vec<f32>,
    /// The same, to be dealt out.
    whole: Batch,
    dy: Vec<f32>,
}

impl Peer {
    fn new(cell: Cell, sizes: Sizes, threads: usize) -> Self {
        let cell = match cell {
            Cell::Rnn => model::Cell::Elman(Nonlinearity::Tanh),
            Cell::Gru => model::Cell::Gru,
            Cell::Lstm => model::Cell::Lstm,
        };
        let Sizes { inputs, hidden, steps, batch } = sizes;
        let config = Config::new(Architecture::new(cell, inputs, hidden)).expect("a network");
        let mut parameters = Parameters::zeros(config);
        let bound = 1.0 / (hidden as f32).sqrt();
        for (seed, name) in
            SEEDS.into_iter().zip(["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"])
        {
            let tensors = parameters.tensors();
            let tensor = tensors.iter().find(|tensor| tensor.name() == name).expect("a tensor");
            let values = uniform(seed, tensor.shape().iter().product(), bound);
            for (index, value) in tensor.indices().zip(values) {
                parameters.arena_mut()[index] = value;
            }
        }
        let x = uniform(SEEDS[4], steps * batch * inputs, 1.0);
        Self {
            config,
            sizes,
            gradient: Parameters::zeros(config),
            network: Network::new(config),
            parallel: (threads > 1).then(|| Parallel::new(config, threads).expect("threads")),
            optimizer: Sgd::new(work::LEARNING_RATE as f32).expect("a learning rate"),
            whole: Batch::of_values(&x, steps, batch),
            x,
            dy: vec![0.0; steps * batch * hidden],
            parameters,
        }
    }

    fn train(&mut self) -> f64 {
        let Sizes { steps, batch, .. } = self.sizes;
        if let Some(parallel) = &mut self.parallel {
            let loss = parallel
                .differentiate(&self.parameters, &self.whole, |_, y, dy| sum_of_squares(y, dy))
                .expect("a batch that fits");
            self.optimizer.step(&mut self.parameters, parallel.gradient(), 1);
            return loss;
        }
        let y = self.network.forward(&self.parameters, &self.x, steps, batch);
        let loss = sum_of_squares(y, &mut self.dy);
        self.network.backward(&self.parameters, &self.x, &self.dy, &mut self.gradient);
        self.optimizer.step(&mut self.parameters, &self.gradient, 1);
        loss
    }

    fn infer(&mut self) {
        let Sizes { steps, batch, .. } = self.sizes;
        if let Some(parallel) = &mut self.parallel {
            parallel.infer(&self.parameters, &self.whole).expect("a batch that fits");
        } else {
            let sequences = Sequences::new(self.config, &self.x, steps, batch).expect("numbers");
            self.network.infer(&self.parameters, &sequences);
        }
    }

    fn loss(&mut self) -> f64 {
        let outputs: Vec<&[f32]> = match &self.parallel {
            Some(parallel) => parallel.outputs().map(|(_, y)| y).collect(),
            None => vec![self.network.outputs()],
        };
        outputs.into_iter().flatten().map(|&y| f64::from(y) * f64::from(y)).sum()
    }
}

fn main() {
    let arguments = work::arguments();
    work::compete(
        "Carry",
        env!("CARGO_PKG_VERSION"),
        &arguments,
        |cell, sizes| Some(Peer::new(cell, sizes, arguments.threads)),
        Peer::train,
        Peer::infer,
        |peer, ()| peer.loss(),
    );
}
