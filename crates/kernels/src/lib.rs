//! Vectorised arithmetic for small recurrent networks.
//!
//! Functions over slices and matrix views: the only crate of the workspace that
//! knows lanes, tiles and `unsafe`. It allocates nothing in a hot path, does no
//! I/O, and does not know what a network is.

pub mod activation;
pub mod lanes;
pub mod matmul;
pub mod matrix;
mod prefix;
pub mod reference;
pub mod vector;
