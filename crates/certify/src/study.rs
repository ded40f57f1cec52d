//! How often networks can be proved right, by machine, cell, size, biases and training.

mod run;
mod studied;
mod summary;
mod trial;
mod trials;

pub use run::{SIZES, follow_study, kinds, kinds_of, lead_study, study, train};
pub use studied::Studied;
pub use summary::{Quartiles, Summary};
pub use trial::{Ending, Kind, Recipe, Trial, WORKERS};
pub use trials::{TrialsFile, TrialsFound};
