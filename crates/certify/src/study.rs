//! How often networks can be proved right, by size, biases and training.

mod run;
mod summary;
mod trial;
mod trials;

pub use run::{SIZES, follow_study, kinds, lead_study, study, train};
pub use summary::{Quartiles, Summary};
pub use trial::{Ending, Kind, Recipe, Trial, WORKERS};
pub use trials::{TrialsFile, TrialsFound};
