//! Recurrent networks and exact backpropagation through time.
//!
//! Elman, GRU and LSTM cells as PyTorch has them, any number of layers, one direction or
//! two, a linear head; parameters in one flat arena, forward and backward passes over the
//! kernels, losses, streams, and weights to and from safetensors bytes. The crate opens no
//! file, spawns no thread, and draws random numbers only from a generator that it is
//! handed.
//!
//! Legend: T steps, B batch, I inputs, H hidden units, O outputs, G gates of a cell, D
//! directions; S is H rounded up to 16. A sequence is `[T, B, I]`, row-major.
//!
//! ```
//! use model::{Config, Network, Parameters, loss};
//! use rand::SeedableRng;
//!
//! let config = Config::lab(1, 4, 1)?; // I, H, O
//! let mut generator = rand_xoshiro::Xoshiro256PlusPlus::seed_from_u64(0);
//! let mut parameters = Parameters::uniform(config, &mut generator);
//! let mut gradient = Parameters::zeros(config);
//! let mut network = Network::new(config);
//!
//! let (x, target) = ([1.0, 0.0, 1.0], [0.0, 1.0, 0.0]); // T = 3, B = 1
//! let mut errors = Vec::new();
//! for _ in 0..500 {
//!     let y = network.forward(&parameters, &x, 3, 1);
//!     let mut dy = [0.0; 3];
//!     errors.push(loss::sigmoid_squared_error(y, &target, &mut dy));
//!     network.backward(&parameters, &x, &dy, &mut gradient);
//!     for (p, g) in parameters.arena_mut().iter_mut().zip(gradient.arena()) {
//!         *p -= 0.5 * g;
//!     }
//! }
//! assert!(errors[499] < 0.1 * errors[0]);
//! # Ok::<(), model::Error>(())
//! ```
#![forbid(unsafe_code)]

mod config;
mod error;
pub mod flops;
mod inputs;
mod layout;
pub mod loss;
mod network;
mod parameters;
pub mod reference;
mod sequences;
mod size;
mod state;
mod stream;
mod used;
pub mod weights;

pub use config::{
    Architecture, Cell, Config, Head, HeadActivation, HeadSteps, Memory, Nonlinearity,
};
pub use error::Error;
pub use inputs::Inputs;
pub use layout::{InputRows, Role, Tensor};
pub use network::Network;
pub use parameters::Parameters;
pub use sequences::{Sequences, ShareBuffer};
pub use state::State;
pub use stream::Stream;

use sequences::check_finite;

/// Is there neither a NaN nor an infinity among them? Their exponents alone are all ones.
fn all_finite(values: &[f32]) -> bool {
    let magnitude = |value: &f32| value.to_bits() & 0x7fff_ffff;
    let largest = |chunk: &[f32]| chunk.iter().map(magnitude).fold(0, u32::max);
    values.chunks(1024).all(|chunk| largest(chunk) < f32::INFINITY.to_bits())
}
