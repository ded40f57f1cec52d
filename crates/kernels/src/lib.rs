#![doc = include_str!("../README.md")]

pub mod activation;
pub mod buffer;
pub mod cell;
pub mod cpu;
pub mod exchange;
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
