#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod data;
mod document;
mod error;
mod proof;
mod run;
mod series;
mod text;

pub use data::Data;
pub use document::{Document, MOST_BYTES, document, escape};
pub use error::Error;
pub use run::{Read, of_run};
