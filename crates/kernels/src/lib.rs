//! Vectorised arithmetic for small recurrent networks.
//!
//! Functions over slices and matrix views: the only crate of the workspace that
//! knows lanes, tiles and `unsafe`. It allocates nothing in a hot path, does no
//! I/O, and does not know what a network is.
//!
//! Legend, here and in every crate above: T steps, B batch, I inputs, H hidden
//! units, O outputs. Arrays are row-major and time-major: a sequence is `[T, B, I]`.
//!
//! The lanes are chosen when the crate is built, from the target features: build
//! with `-C target-cpu=native` (the workspace does). On a machine that lacks them,
//! [`cpu::refuse_if_lacking`] ends the program before its `main`, and says why.

pub mod activation;
pub mod buffer;
pub mod cell;
pub mod cpu;
pub mod lanes;
pub mod loss;
pub mod matmul;
pub mod matrix;
pub mod optimizer;
pub mod prefetch;
pub mod recurrent;
pub mod reference;
pub mod relaxed;
mod rows;
mod size;
mod tail_mask;
mod transpose;
pub mod vector;
