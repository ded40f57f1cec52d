//! Optimizers: what becomes of a gradient, by the rules of `torch.optim`.
//!
//! ```text
//! mean         g ← g / examples
//! clip         g ← g·min(1, limit/(‖g‖ + 1e-6))   or   g ← min(max(g, −limit), limit)
//! schedule     η ← learning_rate · factor(step)
//! rule         w, state ← rule(η, g, w, state)
//! ```
//!
//! All but the norm happens in one pass over the arenas of parameters, gradient and state
//! ([`kernels::optimizer`]); the norm is a pass of its own over the gradient, and is taken
//! only where it is asked for.
//!
//! [`Sgd`] is one rule without state. [`Optimizer`] has all of them, that one at the same
//! cost. An [`OptimizerConfig`] says which, and can be written to a file; a [`State`] is what
//! a checkpoint has to hold beside the parameters. No learning rate per tensor, and no
//! AMSGrad.

mod schedule;

pub use schedule::Schedule;

use crate::Error;
use kernels::optimizer::{Adam, Change, Momentum, adam_step, momentum_step, sgd_step};
use kernels::vector;
use model::{Config, Parameters};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Stochastic gradient descent: `w ← w − η·g`.
#[derive(Clone, Copy, Debug)]
pub struct Sgd {
    learning_rate: f32,
}

impl Sgd {
    /// Steps of `learning_rate` (η), positive and finite.
    ///
    /// # Errors
    /// If it is not.
    pub fn new(learning_rate: f32) -> Result<Self, Error> {
        if learning_rate.is_finite() && learning_rate > 0.0 {
            Ok(Self { learning_rate })
        } else {
            Err(Error::LearningRate(learning_rate))
        }
    }

    /// η
    pub fn learning_rate(&self) -> f32 {
        self.learning_rate
    }

    /// One step along `gradient`, a sum over `examples` examples, which is averaged.
    ///
    /// # Panics
    /// If the two are of networks of different sizes, or there are 0 examples.
    #[inline]
    pub fn step(&self, parameters: &mut Parameters, gradient: &Parameters, examples: usize) {
        let rate = self.learning_rate / divisor(examples);
        vector::axpy(-rate, gradient.arena(), parameters.arena_mut());
    }
}

/// Which optimizer, and all its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimizerConfig {
    /// η before the schedule; positive.
    pub learning_rate: f32,
    /// How parameters follow gradients.
    pub rule: Rule,
    /// What is cut off a gradient first.
    #[serde(default)]
    pub clip: Clip,
    /// How η changes from step to step.
    #[serde(default)]
    pub schedule: Schedule,
}

impl OptimizerConfig {
    /// A rule by itself: no clipping, a constant learning rate.
    pub fn new(learning_rate: f32, rule: Rule) -> Self {
        Self { learning_rate, rule, clip: Clip::None, schedule: Schedule::Constant }
    }

    /// Does a parameter's step depend on its own gradient alone? Then a step may be made in
    /// parts. Clipping by the norm needs all of the gradient.
    pub fn has_parts(&self) -> bool {
        !matches!(self.clip, Clip::Norm(_))
    }
}

/// How parameters w follow gradients g; λ is `weight_decay`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase")]
pub enum Rule {
    /// `g ← g + λ·w`, `u ← μ·u + g`, `w ← w − η·u`, or by Nesterov `w ← w − η·(g + μ·u)`.
    Sgd(Descent),
    /// `g ← g + λ·w`, and then as [`Rule::AdamW`] without λ.
    Adam(Moments),
    /// `m ← β₁·m + (1 − β₁)·g`, `v ← β₂·v + (1 − β₂)·g²`,
    /// `w ← (1 − η·λ)·w − η·m/(1 − β₁ᵗ) / (√(v/(1 − β₂ᵗ)) + ε)` at step t = 1, 2, …
    AdamW(Moments),
}

impl Rule {
    /// Plain descent.
    pub const SGD: Self = Self::Sgd(Descent { momentum: 0.0, nesterov: false, weight_decay: 0.0 });
    /// Adam with the numbers of its paper, without weight decay.
    pub const ADAM: Self =
        Self::Adam(Moments { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0 });
    /// AdamW with PyTorch's defaults.
    pub const ADAM_W: Self =
        Self::AdamW(Moments { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.01 });

    /// As the command line writes it: `sgd`, `momentum`, `nesterov`, `adam` or `adamw`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Sgd(Descent { nesterov: true, .. }) => "nesterov",
            Self::Sgd(Descent { momentum: 0.0, .. }) => "sgd",
            Self::Sgd(_) => "momentum",
            Self::Adam(_) => "adam",
            Self::AdamW(_) => "adamw",
        }
    }

    /// λ where each step multiplies the weights by 1 − η·λ; 0 for Adam, which scales it away.
    pub(crate) fn shrinking(&self) -> f64 {
        match self {
            Self::Sgd(Descent { weight_decay, .. }) | Self::AdamW(Moments { weight_decay, .. }) => {
                *weight_decay
            }
            Self::Adam(_) => 0.0,
        }
    }
}

impl Default for Rule {
    fn default() -> Self {
        Self::SGD
    }
}

/// The numbers of gradient descent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Descent {
    /// μ in [0, 1); 0 keeps no velocity.
    #[serde(default)]
    pub momentum: f64,
    /// Is the step the one that the next velocity would take? Needs a momentum.
    #[serde(default)]
    pub nesterov: bool,
    /// λ, not negative.
    #[serde(default)]
    pub weight_decay: f64,
}

/// The numbers of Adam. They are f64 since `1 − β₂` counts: in f32, 1 − 0.999 is 5e-5 off.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Moments {
    /// β₁ in [0, 1)
    pub beta1: f64,
    /// β₂ in [0, 1)
    pub beta2: f64,
    /// ε, positive, also as f32.
    pub epsilon: f64,
    /// λ, not negative.
    #[serde(default)]
    pub weight_decay: f64,
}

/// What is cut off a gradient, after averaging.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Clip {
    /// Nothing.
    #[default]
    None,
    /// All of it is shortened to this length: `torch.nn.utils.clip_grad_norm_`.
    Norm(f32),
    /// Each value is held within plus and minus this: `clip_grad_value_`.
    Value(f32),
}

/// An optimizer at work on the parameters of one network.
#[derive(Clone, Debug)]
pub struct Optimizer {
    config: OptimizerConfig,
    state: State,
    /// What one step counts for in the schedule.
    pace: u64,
    /// Plain descent at a constant rate, which needs no more than one multiply-add a value.
    is_plain: bool,
}

/// What an optimizer remembers between steps.
#[derive(Clone, Debug)]
pub struct State {
    /// The steps made.
    pub steps: u64,
    /// Arenas as long as the parameters: none for plain descent, the velocity for
    /// momentum, m and v for Adam.
    pub moments: Vec<Parameters>,
}

impl Optimizer {
    /// An optimizer for networks of the configuration `model`, before its first step.
    ///
    /// # Errors
    /// If a number of `config` makes no sense: [`Error::LearningRate`],
    /// [`Error::Optimizer`].
    pub fn new(config: OptimizerConfig, model: Config) -> Result<Self, Error> {
        check(&config)?;
        let moments = vec![Parameters::zeros(model); config.rule.moments()];
        let OptimizerConfig { rule, clip, schedule, .. } = config;
        let is_plain = rule == Rule::SGD && clip == Clip::None && schedule == Schedule::Constant;
        Ok(Self { config, state: State { steps: 0, moments }, pace: 1, is_plain })
    }

    /// The same, for one of `workers` that share a training: while it makes a step the others
    /// make theirs, so the schedule moves by as many.
    pub fn among(self, workers: usize) -> Self {
        Self { pace: workers as u64, ..self }
    }

    /// What it was asked to be.
    pub fn config(&self) -> OptimizerConfig {
        self.config
    }

    /// What it remembers, for a checkpoint.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Goes on from a state that [`Optimizer::state`] gave.
    ///
    /// # Errors
    /// [`Error::OptimizerState`] if the state is not one of this rule and network; then
    /// nothing has changed.
    pub fn restore(&mut self, state: State) -> Result<(), Error> {
        let (found, expected) = (state.moments.len(), self.config.rule.moments());
        if found != expected {
            return Err(Error::OptimizerState(format!(
                "{found} moments where its rule keeps {expected}"
            )));
        }
        for (new, old) in state.moments.iter().zip(&self.state.moments) {
            if new.config() != old.config() {
                return Err(Error::OptimizerState(format!(
                    "moments of {:?} where the network is {:?}",
                    new.config(),
                    old.config()
                )));
            }
        }
        self.state = state;
        Ok(())
    }

    /// η of the next step.
    pub fn learning_rate(&self) -> f32 {
        match self.config.schedule {
            Schedule::Constant => self.config.learning_rate,
            schedule => {
                let step = self.state.steps.saturating_mul(self.pace);
                (f64::from(self.config.learning_rate) * schedule.factor(step)) as f32
            }
        }
    }

    /// One step along `gradient`, a sum over `examples` examples, which is averaged.
    /// Pass 1 for a gradient that is a mean already.
    ///
    /// # Panics
    /// If the three are not of networks of one size, or there are 0 examples.
    #[inline]
    pub fn step(&mut self, parameters: &mut Parameters, gradient: &Parameters, examples: usize) {
        self.step_part(0..parameters.arena().len(), parameters, gradient, examples);
        self.end_step();
    }

    /// The values `part` of [`Optimizer::step`], each of which is to be in one part until
    /// [`Optimizer::end_step`]. The gradient of the others is looked at only where a step has no
    /// parts.
    ///
    /// # Panics
    /// If the three are not of networks of one size, `part` is not of the arena, or there are 0
    /// examples.
    #[inline]
    pub fn step_part(
        &mut self,
        part: Range<usize>,
        parameters: &mut Parameters,
        gradient: &Parameters,
        examples: usize,
    ) {
        if self.is_plain {
            let rate = self.config.learning_rate / divisor(examples);
            let parameters = &mut parameters.arena_mut()[part.clone()];
            vector::axpy(-rate, &gradient.arena()[part], parameters);
        } else {
            self.step_by_rule(part, parameters, gradient, examples);
        }
    }

    /// All parts of a step have been made: the next one is the next step.
    #[inline]
    pub fn end_step(&mut self) {
        self.state.steps += 1;
    }

    /// [`Optimizer::step_part`] of all that is not plain: out of the lab's way.
    #[inline(never)]
    fn step_by_rule(
        &mut self,
        part: Range<usize>,
        parameters: &mut Parameters,
        gradient: &Parameters,
        examples: usize,
    ) {
        let learning_rate = self.learning_rate();
        let step = self.state.steps + 1;
        let OptimizerConfig { rule, clip, .. } = self.config;
        let change = change(clip, rule, gradient, examples);
        let (w, g) = (&mut parameters.arena_mut()[part.clone()], &gradient.arena()[part.clone()]);
        match (rule, &mut self.state.moments[..]) {
            (Rule::Sgd(_), []) => sgd_step(learning_rate, change, g, w),
            (Rule::Sgd(Descent { momentum, nesterov, .. }), [velocity]) => {
                let rule =
                    Momentum { rate: learning_rate, momentum: momentum as f32, nesterov, change };
                momentum_step(rule, g, &mut velocity.arena_mut()[part], w);
            }
            (Rule::Adam(moments), [m, v]) => {
                let rule = adam(moments, learning_rate, step, change);
                adam_step(rule, g, [m, v].map(|m| &mut m.arena_mut()[part.clone()]), w);
            }
            (Rule::AdamW(moments), [m, v]) => {
                let keep = 1.0 - f64::from(learning_rate) * moments.weight_decay;
                let keep = keep.max(f32::MIN.into()); // not −∞: −∞ · 0 is NaN in the padding
                let rule = adam(moments, learning_rate, step, change);
                let rule = Adam { keep: keep as f32, ..rule };
                adam_step(rule, g, [m, v].map(|m| &mut m.arena_mut()[part.clone()]), w);
            }
            (rule, state) => unreachable!("{rule:?} with {} moments", state.len()),
        }
    }
}

impl Rule {
    /// How many arenas of state it keeps.
    pub(crate) fn moments(&self) -> usize {
        match self {
            Self::Sgd(Descent { momentum: 0.0, .. }) => 0,
            Self::Sgd(_) => 1,
            Self::Adam(_) | Self::AdamW(_) => 2,
        }
    }
}

/// The Euclidean length of a gradient, at any size that it can have.
pub fn norm(gradient: &Parameters) -> f32 {
    let squares = vector::squared_norm(gradient.arena());
    if squares.is_finite() {
        return squares.sqrt();
    }
    // Squares beyond f32 are within f64.
    gradient.arena().iter().map(|&g| f64::from(g).powi(2)).sum::<f64>().sqrt() as f32
}

/// What a gradient over so many examples is divided by, for their mean.
#[inline(always)]
#[track_caller]
fn divisor(examples: usize) -> f32 {
    assert!(
        examples > 0,
        "a gradient of 0 examples has no mean: leave the step out, or pass 1 for a mean"
    );
    examples as f32
}

/// The mean over the examples, the clipping and the weight decay as what the kernels do to
/// each value of a gradient.
fn change(clip: Clip, rule: Rule, gradient: &Parameters, examples: usize) -> Change {
    let mean = 1.0 / divisor(examples);
    let (scale, limit) = match clip {
        Clip::None => (mean, f32::INFINITY),
        Clip::Value(limit) => (mean, limit),
        Clip::Norm(limit) => {
            let shrink = limit / (norm(gradient) * mean + 1e-6);
            // Not finite where the gradient is not: then only the parameters of those values
            // become NaN, and neither the others nor the padding, which is to stay 0.
            (if shrink < 1.0 { shrink * mean } else { mean }, f32::INFINITY)
        }
    };
    let decay = match rule {
        Rule::Sgd(Descent { weight_decay, .. }) | Rule::Adam(Moments { weight_decay, .. }) => {
            weight_decay
        }
        Rule::AdamW(_) => 0.0,
    };
    Change { scale, limit, decay: decay as f32 }
}

/// The scalars of Adam at step `step` = 1, 2, …
fn adam(moments: Moments, learning_rate: f32, step: u64, change: Change) -> Adam {
    let Moments { beta1, beta2, epsilon, .. } = moments;
    Adam {
        // Finite, however close β₁ is to 1: ∞ · 0 would be NaN in the padding.
        rate: (f64::from(learning_rate) / (1.0 - beta1.powf(step as f64))).min(f32::MAX.into())
            as f32,
        blend1: (1.0 - beta1) as f32,
        blend2: (1.0 - beta2) as f32,
        root_scale: (1.0 - beta2.powf(step as f64)).sqrt().recip() as f32,
        epsilon: epsilon as f32,
        keep: 1.0,
        change,
    }
}

fn check(config: &OptimizerConfig) -> Result<(), Error> {
    Sgd::new(config.learning_rate)?;
    let share =
        |setting, value| within(setting, value, (0.0..1.0).contains(&value), "0 to below 1");
    // What a step computes with is f32.
    let decay = |value: f64| {
        let good = (value as f32).is_finite() && value >= 0.0;
        within("weight decay", value, good, "0 or more, below 3e38")
    };
    match config.rule {
        Rule::Sgd(Descent { momentum, nesterov, weight_decay }) => {
            let below_one = (0.0..1.0).contains(&momentum) && (momentum as f32) < 1.0;
            within("momentum", momentum, below_one, "0 to below 1, also as f32")?;
            within("momentum by Nesterov", momentum, !nesterov || momentum > 0.0, "more than 0")?;
            decay(weight_decay)?;
        }
        Rule::Adam(moments) | Rule::AdamW(moments) => {
            let Moments { beta1, beta2, epsilon, weight_decay } = moments;
            share("beta1", beta1)?;
            share("beta2", beta2)?;
            let normal = (epsilon as f32).is_normal() && epsilon > 0.0;
            within("epsilon", epsilon, normal, "a number such as 1e-8")?;
            decay(weight_decay)?;
        }
    }
    if let Clip::Norm(limit) | Clip::Value(limit) = config.clip {
        within("clip", f64::from(limit), limit.is_finite() && limit > 0.0, "a positive limit")?;
    }
    config.schedule.check()
}

/// An error unless `good`, which the remedy describes.
fn within(
    setting: &'static str,
    value: f64,
    good: bool,
    remedy: &'static str,
) -> Result<(), Error> {
    if good { Ok(()) } else { Err(Error::Optimizer { setting, value, remedy }) }
}
