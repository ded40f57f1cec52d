//! One thread's pass over a batch: forward, loss, backward through time.
//!
//! A [`Pass`] keeps what belongs to the thread and not to the parameters: the activations, the
//! states that are carried to the next batch, the generator of its dropout masks.

use crate::batch::{Batch, Inputs};
use crate::together::together;
use kernels::buffer::Buffer;
use model::{Config, Error, Network, Parameters, State, Units};
use rand_xoshiro::Xoshiro256PlusPlus;
use rayon::ThreadPool;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A network at work on batches.
#[derive(Debug)]
pub struct Pass {
    network: Network,
    /// In the shape of the outputs.
    dy: Buffer,
    /// Where the next batch starts that is carried on; none at the beginning.
    carried: Option<State>,
    /// Where dropout masks come from, for a network that has dropout.
    masks: Option<Xoshiro256PlusPlus>,
    workspace: Buffer,
    /// For batches of few sequences.
    shared: Option<Shared>,
    /// Whether the last pass was one of the shared network.
    is_shared: bool,
}

/// The same network, its units shared by the threads of a pool.
#[derive(Debug)]
struct Shared {
    units: Units,
    pool: Arc<ThreadPool>,
    threads: usize,
}

/// What a [`Pass`] needs to go on with the same bits.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PassState {
    /// The generator of dropout masks.
    pub masks: Option<Xoshiro256PlusPlus>,
    /// The states that are carried on.
    pub carried: Option<Carried>,
}

/// States `[layers·directions, B, H]`, as a checkpoint holds them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Carried {
    batch: usize,
    h: Vec<f32>,
    c: Vec<f32>,
}

impl Pass {
    /// For networks of `config`, which draw their dropout masks from `masks`.
    pub fn new(config: Config, masks: Xoshiro256PlusPlus) -> Self {
        Self {
            network: Network::new(config),
            dy: Buffer::default(),
            carried: None,
            masks: (config.dropout() > 0.0).then_some(masks),
            workspace: Buffer::default(),
            shared: None,
            is_shared: false,
        }
    }

    /// From now on `threads` threads share the units where [`shares_units`] says so: this one and
    /// the others of `pool`, which has no other work meanwhile.
    pub(crate) fn share_units(&mut self, pool: &Arc<ThreadPool>, threads: usize) {
        let config = self.network.config();
        self.shared = Units::serves(config).then(|| Shared {
            units: Units::new(config, threads),
            pool: pool.clone(),
            threads,
        });
    }

    /// Whether all threads share the units for `batch`; `learns` as in [`shares_units`].
    pub(crate) fn is_shared(&self, batch: &Batch, learns: bool) -> bool {
        self.shared.as_ref().is_some_and(|Shared { units, threads, .. }| {
            let size = (batch.steps, batch.count);
            batch.lengths.is_none() && shares_units(units.config(), *threads, size, learns)
        })
    }

    /// The gradient of `loss` over `batch`, summed, in `gradient`; returns what `loss` does.
    ///
    /// `loss(batch, outputs, dy)` judges the outputs `[T, B, O]` (`[B, O]` of a head on the last
    /// step), and writes the gradient to `dy`, in their shape.
    ///
    /// # Errors
    /// If `batch` does not fit the network, or an input makes no sense.
    ///
    /// # Panics
    /// If `parameters` or `gradient` are of another network.
    #[inline]
    pub fn differentiate<L>(
        &mut self,
        parameters: &Parameters,
        batch: &Batch,
        gradient: &mut Parameters,
        loss: impl FnOnce(&Batch, &[f32], &mut [f32]) -> L,
    ) -> Result<L, Error> {
        self.is_shared = self.is_shared(batch, true);
        if self.is_shared {
            return self.differentiate_together(parameters, batch, gradient, loss);
        }
        let outputs = match &batch.inputs {
            // The lab's path: nothing between the task and the kernels.
            Inputs::Values(x)
                if batch.lengths.is_none() && !batch.is_carried && self.masks.is_none() =>
            {
                self.network.forward(parameters, x, batch.steps, batch.count)
            }
            _ => {
                self.run(parameters, batch)?;
                self.network.outputs()
            }
        };
        if self.dy.len() != outputs.len() {
            self.dy.resize(outputs.len());
        }
        let result = loss(batch, outputs, &mut self.dy);
        self.network.backward(parameters, batch.inputs.view(), &self.dy, gradient);
        Ok(result)
    }

    /// A forward pass of a batch that is carried on, padded, of symbols, or with dropout.
    #[inline(never)]
    fn run(&mut self, parameters: &Parameters, batch: &Batch) -> Result<(), Error> {
        let config = self.network.config();
        let start = self.start(batch);
        let sequences = batch.sequences(config, start.as_ref())?;
        match &mut self.masks {
            Some(masks) => self.network.run_training(parameters, &sequences, masks),
            None => self.network.run(parameters, &sequences),
        };
        self.carried = batch.is_carried.then(|| self.network.state());
        Ok(())
    }

    /// [`Pass::differentiate`] by all threads of the pool.
    #[inline(never)]
    fn differentiate_together<L>(
        &mut self,
        parameters: &Parameters,
        batch: &Batch,
        gradient: &mut Parameters,
        loss: impl FnOnce(&Batch, &[f32], &mut [f32]) -> L,
    ) -> Result<L, Error> {
        let start = self.start(batch);
        let Shared { units, pool, .. } =
            self.shared.as_mut().expect("what `shares_units` has asked");
        let sequences = batch.sequences(units.config(), start.as_ref())?;
        together(pool, units.forward(parameters, &sequences));
        self.carried = batch.is_carried.then(|| units.state());
        if self.dy.len() != units.outputs().len() {
            self.dy.resize(units.outputs().len());
        }
        let result = loss(batch, units.outputs(), &mut self.dy);
        together(pool, units.backward(parameters, batch.inputs.view(), &self.dy, gradient));
        Ok(result)
    }

    /// The states that `batch` goes on from, if it does.
    fn start(&mut self, batch: &Batch) -> Option<State> {
        let is_next = |carried: &State| batch.is_carried && carried.batch() == batch.count;
        let mut start = self.carried.take().filter(is_next);
        if let Some(start) = &mut start {
            batch.restarts.iter().for_each(|&sequence| start.clear(sequence));
        }
        start
    }

    /// The outputs alone; no state is carried, and nothing dropped.
    ///
    /// # Errors
    /// As [`Pass::differentiate`].
    pub fn infer(&mut self, parameters: &Parameters, batch: &Batch) -> Result<&[f32], Error> {
        let sequences = batch.sequences(self.network.config(), None)?;
        self.is_shared = self.is_shared(batch, false);
        match &mut self.shared {
            Some(Shared { units, pool, .. }) if self.is_shared => {
                together(pool, units.forward(parameters, &sequences));
                Ok(units.outputs())
            }
            _ => Ok(self.network.infer(parameters, &sequences)),
        }
    }

    /// The outputs of the last pass.
    pub fn outputs(&self) -> &[f32] {
        match &self.shared {
            Some(shared) if self.is_shared => shared.units.outputs(),
            _ => self.network.outputs(),
        }
    }

    /// The network and the gradient of its outputs, for those who make a pass in parts.
    #[inline]
    pub(crate) fn parts(&mut self, outputs: usize) -> (&mut Network, &mut [f32]) {
        if self.dy.len() != outputs {
            self.dy.resize(outputs);
        }
        (&mut self.network, &mut self.dy)
    }

    /// Room for `len` values, for a task with a pass of its own. What stands there is what was
    /// left there.
    pub fn workspace(&mut self, len: usize) -> &mut [f32] {
        if self.workspace.len() < len {
            self.workspace.resize(len);
        }
        &mut self.workspace[..len]
    }

    /// For a checkpoint.
    pub fn state(&self) -> PassState {
        let carried = self.carried.as_ref().map(|state| Carried {
            batch: state.batch(),
            h: state.h().to_vec(),
            c: state.c().to_vec(),
        });
        PassState { masks: self.masks.clone(), carried }
    }

    /// Goes on from `state`.
    ///
    /// # Errors
    /// If it is of another network.
    pub fn restore(&mut self, state: PassState) -> Result<(), Error> {
        let PassState { masks, carried } = state;
        let config = self.network.config();
        let new = |Carried { batch, h, c }| State::new(config, batch, h, c);
        self.carried = carried.map(new).transpose()?;
        if self.masks.is_some() && masks.is_some() {
            self.masks = masks;
        }
        Ok(())
    }
}

/// Whether `threads` threads share the units of a network for a batch of T steps of `count`
/// sequences, instead of dealing out the sequences; `learns` if the parameters are another's update
/// in each pass.
///
/// In each step the threads wait for each other, about as long as one takes for ten thousand
/// multiply-adds, half of which is hidden behind its work. That pays where threads would have no
/// sequence; or up to three each, if a step is longer: then each weight that is read serves one or
/// two rows, and all rows of the batch where units are shared. From four rows on, shares of
/// sequences do as well without waiting.
///
/// Where one thread would do alone, it has all parameters in its cache. If they are updated in each
/// pass, the others must fetch them, and the one that updates must fetch their gradient: so many
/// rows make up for that. `benches/README.md` has the measurements.
pub(crate) fn shares_units(
    config: Config,
    threads: usize,
    (steps, count): (usize, usize),
    learns: bool,
) -> bool {
    /// The multiply-adds of a row in a step by each thread, from which sharing one sequence pays.
    const ONE: usize = 1 << 13;
    /// And sharing several, or learning.
    const SEVERAL: usize = 3 << 13;
    /// The rows of a pass that make up for another's update.
    const ROWS: usize = 256;
    if threads < 2 || steps == 0 || count == 0 || count > 3 * threads || !Units::serves(config) {
        return false;
    }
    let row = config.cell().gates() * config.hidden() * config.hidden() / threads;
    match (count < threads, learns) {
        (true, false) => row >= ONE,
        (true, true) => row >= SEVERAL && steps.saturating_mul(count) >= ROWS,
        (false, _) => row >= SEVERAL,
    }
}
