//! The trainings on which strategies are compared, and the defaults for each.

use serde::Serialize;
use train::config::{Extent, RunConfig};
use train::task::Addition;
use train::time_to_target::Goal;

/// A network and a task, and how learning rates are chosen.
#[derive(clap::ValueEnum, Serialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Size {
    /// The lab: 16 hidden units, 8 bits, all at the rate of the recipe, 0.1
    Lab,
    /// The lab, each strategy at the learning rate that is best for it
    Tuned,
    /// 128 hidden units, 64 bits
    Wide,
}

impl Size {
    pub const ALL: [Self; 3] = [Self::Lab, Self::Tuned, Self::Wide];

    pub fn name(self) -> &'static str {
        match self {
            Self::Lab => "lab",
            Self::Tuned => "tuned",
            Self::Wide => "wide",
        }
    }

    /// What the bench `hogwild` calls the same network and task.
    pub fn bench_name(self) -> &'static str {
        match self {
            Self::Lab | Self::Tuned => "lab",
            Self::Wide => "wide",
        }
    }

    pub fn config(self) -> RunConfig<Addition> {
        let (bits, hidden, examples) = match self {
            Self::Lab | Self::Tuned => (8, 16, 40_000),
            Self::Wide => (64, 128, 5_000),
        };
        let recipe = Addition::recipe(bits, hidden).expect("1 to 64 bits");
        RunConfig { run: Extent { examples, ..recipe.run }, ..recipe }
    }

    /// From about half of the loss of a network that always answers ½, where it begins to carry,
    /// down to a twentieth of it.
    pub fn goal(self) -> Goal {
        match self {
            Self::Lab | Self::Tuned => {
                Goal { targets: vec![0.5, 0.2, 0.05], every: 64, stretch: 20_000 }
            }
            Self::Wide => Goal { targets: vec![4.0, 1.0, 0.5], every: 32, stretch: 500 },
        }
    }

    /// Learning rates that are tried for one worker at batch 1.
    pub fn rates(self) -> &'static [f32] {
        match self {
            Self::Lab => &[0.1],
            Self::Tuned => &[0.4, 0.57, 0.8, 1.1, 1.6, 2.3, 3.2],
            Self::Wide => &[0.024, 0.028, 0.034, 0.04, 0.048],
        }
    }

    /// Trainings of milliseconds vary more, and are soon made.
    pub fn seeds(self) -> u64 {
        match self {
            Self::Lab | Self::Tuned => 61,
            Self::Wide => 9,
        }
    }

    pub fn push_every(self) -> &'static [u64] {
        match self {
            Self::Lab | Self::Tuned => &[1, 2, 4, 8, 16, 32, 64, 128, 256],
            Self::Wide => &[1, 2, 4, 8, 16],
        }
    }
}
