//! Learning-rate schedules: by what the learning rate is multiplied at each step.

use super::within;
use crate::Error;
use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

/// How the learning rate changes from step to step; steps count from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase", deny_unknown_fields)]
pub enum Schedule {
    /// Not at all.
    #[default]
    Constant,
    /// `factor^⌊step/every⌋`: PyTorch's `StepLR`.
    Step {
        /// Steps between two changes, 1 or more.
        every: u64,
        /// What a change multiplies by; positive.
        factor: f64,
    },
    /// In a straight line from 1/(W + 1) to 1 over the first W = `warmup` steps, then along
    /// half a cosine from 1 to `floor` at step `steps`, and there it stays:
    /// `floor + (1 − floor)·(1 + cos(π·(step − W)/(steps − W)))/2`. PyTorch's `LinearLR`
    /// followed by `CosineAnnealingLR`.
    Cosine {
        /// W, below `steps`.
        warmup: u64,
        /// The step at which the floor is reached.
        steps: u64,
        /// The last factor, from 0 to 1.
        #[serde(default)]
        floor: f64,
    },
}

impl Schedule {
    /// What the learning rate is multiplied by at `step` = 0, 1, …
    pub fn factor(&self, step: u64) -> f64 {
        match *self {
            Self::Constant => 1.0,
            Self::Step { every, factor } => factor.powf((step / every) as f64),
            Self::Cosine { warmup, .. } if step < warmup => (step + 1) as f64 / (warmup + 1) as f64,
            Self::Cosine { warmup, steps, floor } => {
                let way = (step.min(steps) - warmup) as f64 / (steps - warmup) as f64;
                floor + (1.0 - floor) * 0.5 * (1.0 + (PI * way).cos())
            }
        }
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        match *self {
            Self::Constant => Ok(()),
            Self::Step { every, factor } => {
                within("schedule's every", every as f64, every > 0, "1 step or more")?;
                let good = factor.is_finite() && factor > 0.0;
                within("schedule's factor", factor, good, "a positive number")
            }
            Self::Cosine { warmup, steps, floor } => {
                let good = warmup < steps;
                within("schedule's warm-up", warmup as f64, good, "fewer steps than all")?;
                within("schedule's floor", floor, (0.0..=1.0).contains(&floor), "0 to 1")
            }
        }
    }
}
