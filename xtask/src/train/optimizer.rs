//! The options of `cargo xtask train` that say how weights follow gradients.

use crate::Usage;
use crate::numbers::whole;
use clap::ValueEnum;
use train::config::Extent;
use train::optimizer::{Clip, Descent, Moments, OptimizerConfig, Rule, Schedule};

/// As typed; [`OptimizerArgs::choose`] puts them together.
#[derive(clap::Args)]
#[group(id = "optimizing", multiple = true)]
#[command(next_help_heading = "Optimizer (the rules of torch.optim)")]
pub(super) struct OptimizerArgs {
    /// Learning rate: the length of a step, above 0 [default: 0.1 for sgd, 0.01 for the others]
    #[arg(long, value_parser = learning_rate, allow_negative_numbers = true)]
    lr: Option<f32>,

    /// How weights follow gradients; every worker of hogwild and averaging has one of its own
    /// [default: sgd]
    #[arg(long, value_enum, value_name = "NAME")]
    optimizer: Option<Name>,

    /// μ of momentum and nesterov, 0 to below 1 [default: 0.9]
    #[arg(long, value_name = "MU", allow_negative_numbers = true)]
    momentum: Option<f64>,

    /// β₁ of adam and adamw, 0 to below 1 [default: 0.9]
    #[arg(long, allow_negative_numbers = true)]
    beta1: Option<f64>,

    /// β₂ of adam and adamw, 0 to below 1 [default: 0.999]
    #[arg(long, allow_negative_numbers = true)]
    beta2: Option<f64>,

    /// ε of adam and adamw, above 0 [default: 1e-8]
    #[arg(long, allow_negative_numbers = true)]
    epsilon: Option<f64>,

    /// λ, by which weights shrink at each step [default: 0, for adamw 0.01]
    #[arg(long, value_name = "LAMBDA", allow_negative_numbers = true)]
    weight_decay: Option<f64>,

    /// Shorten gradients to this length
    #[arg(
        long,
        value_name = "LENGTH",
        conflicts_with = "clip_value",
        allow_negative_numbers = true
    )]
    clip_norm: Option<f32>,

    /// Hold each value of a gradient within plus and minus this
    #[arg(long, value_name = "LIMIT", allow_negative_numbers = true)]
    clip_value: Option<f32>,

    /// How the learning rate changes: constant, step (multiplied by --decay every --decay-every
    /// examples) or cosine (down to --floor at the last example) [default: constant]
    #[arg(long, value_enum, value_name = "NAME")]
    schedule: Option<ScheduleName>,

    /// Examples between two steps of the step schedule
    #[arg(long, value_name = "EXAMPLES", value_parser = whole::<u64>(1..=u64::MAX),
          allow_negative_numbers = true)]
    decay_every: Option<u64>,

    /// What a step of the step schedule multiplies by [default: 0.1]
    #[arg(long, value_name = "FACTOR", allow_negative_numbers = true)]
    decay: Option<f64>,

    /// Examples over which the cosine schedule rises to the learning rate first [default: 0]
    #[arg(long, value_name = "EXAMPLES", value_parser = whole::<u64>(0..=u64::MAX),
          allow_negative_numbers = true)]
    warm_up: Option<u64>,

    /// The share of the learning rate at which the cosine schedule ends, 0 to 1 [default: 0]
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true)]
    floor: Option<f64>,
}

#[derive(Clone, Copy, ValueEnum, PartialEq)]
enum Name {
    /// Plain descent
    Sgd,
    /// Descent with momentum
    Momentum,
    /// Nesterov's momentum
    Nesterov,
    /// Adam; --weight-decay is added to the gradient
    Adam,
    /// Adam with the decay of the weights apart
    Adamw,
}

#[derive(Clone, Copy, ValueEnum, PartialEq)]
enum ScheduleName {
    Constant,
    Step,
    Cosine,
}

impl OptimizerArgs {
    /// The choice for a run of `extent`: `defaults` where no optimizer is named.
    ///
    /// # Errors
    /// [`Usage`], if an option does not belong to the optimizer or schedule that was chosen.
    pub(super) fn choose(
        &self,
        extent: Extent,
        defaults: &OptimizerConfig,
    ) -> Result<OptimizerConfig, Usage> {
        use Name::{Adam, Adamw, Momentum, Nesterov, Sgd};
        let default = match defaults.rule {
            Rule::Sgd(_) => Sgd,
            Rule::Adam(_) => Adam,
            Rule::AdamW(_) => Adamw,
        };
        let name = self.optimizer.unwrap_or(default);
        let adam = &[Adam, Adamw][..];
        for (option, is_given, owners, text) in [
            (
                "--momentum",
                self.momentum.is_some(),
                &[Momentum, Nesterov][..],
                "momentum, nesterov",
            ),
            ("--beta1", self.beta1.is_some(), adam, "adam, adamw"),
            ("--beta2", self.beta2.is_some(), adam, "adam, adamw"),
            ("--epsilon", self.epsilon.is_some(), adam, "adam, adamw"),
        ] {
            if is_given && !owners.contains(&name) {
                return Err(Usage(format!("{option} needs an --optimizer that has it: {text}")));
            }
        }
        let descent = |momentum, nesterov| {
            let weight_decay = self.weight_decay.unwrap_or(0.0);
            Rule::Sgd(Descent { momentum, nesterov, weight_decay })
        };
        let moments = |of_rule: Rule| {
            let base = match (of_rule, defaults.rule) {
                (_, Rule::Adam(moments) | Rule::AdamW(moments)) if name == default => moments,
                (Rule::Adam(moments) | Rule::AdamW(moments), _) => moments,
                (Rule::Sgd(_), _) => unreachable!("descent has no moments"),
            };
            Moments {
                beta1: self.beta1.unwrap_or(base.beta1),
                beta2: self.beta2.unwrap_or(base.beta2),
                epsilon: self.epsilon.unwrap_or(base.epsilon),
                weight_decay: self.weight_decay.unwrap_or(base.weight_decay),
            }
        };
        let of_name = if name == Sgd { 0.1 } else { 0.01 };
        let of_name = if name == default { defaults.learning_rate } else { of_name };
        let learning_rate = self.lr.unwrap_or(of_name);
        let rule = match name {
            Sgd => descent(0.0, false),
            Momentum => descent(self.momentum.unwrap_or(0.9), false),
            Nesterov => descent(self.momentum.unwrap_or(0.9), true),
            Adam => Rule::Adam(moments(Rule::ADAM)),
            Adamw => Rule::AdamW(moments(Rule::ADAM_W)),
        };
        let clip = match (self.clip_norm, self.clip_value) {
            (Some(length), _) => Clip::Norm(length),
            (None, Some(limit)) => Clip::Value(limit),
            (None, None) => defaults.clip,
        };
        let schedule = self.schedule(extent, defaults.schedule)?;
        Ok(OptimizerConfig { learning_rate, rule, clip, schedule })
    }

    /// The schedule, whose steps are updates.
    fn schedule(&self, extent: Extent, default: Schedule) -> Result<Schedule, Usage> {
        use ScheduleName::{Constant, Cosine, Step};
        let (default, default_warm_up, default_floor) = match default {
            Schedule::Cosine { warmup, floor, .. } => (Cosine, warmup, floor),
            Schedule::Constant | Schedule::Step { .. } => (Constant, 0, 0.0),
        };
        let name = self.schedule.unwrap_or(default);
        for (option, is_given, owner, text) in [
            ("--decay-every", self.decay_every.is_some(), Step, "step"),
            ("--decay", self.decay.is_some(), Step, "step"),
            ("--warm-up", self.warm_up.is_some(), Cosine, "cosine"),
            ("--floor", self.floor.is_some(), Cosine, "cosine"),
        ] {
            if is_given && name != owner {
                return Err(Usage(format!("{option} needs --schedule {text}")));
            }
        }
        let updates = |examples: u64| examples.div_ceil(extent.batch as u64);
        Ok(match name {
            Constant => Schedule::Constant,
            Step => {
                let every = self.decay_every;
                let every = every.ok_or_else(|| {
                    Usage("--schedule step needs --decay-every, a number of examples".to_owned())
                })?;
                Schedule::Step { every: updates(every), factor: self.decay.unwrap_or(0.1) }
            }
            Cosine => {
                let steps = updates(extent.examples);
                // Of a short training no more than a tenth.
                let warmup = self.warm_up.map_or(default_warm_up.min(steps / 10), updates);
                Schedule::Cosine { warmup, steps, floor: self.floor.unwrap_or(default_floor) }
            }
        })
    }
}

pub fn learning_rate(text: &str) -> Result<f32, String> {
    let rate: f32 = text.parse().map_err(|_| "a number such as 0.1 is needed".to_owned())?;
    if rate.is_finite() && rate > 0.0 {
        Ok(rate)
    } else {
        Err("a positive, finite number such as 0.1 is needed".to_owned())
    }
}

/// The choice in words, nothing for plain descent at a constant rate.
pub(super) fn words(config: &OptimizerConfig) -> String {
    let mut parts = Vec::new();
    if config.rule != Rule::SGD {
        parts.push(config.rule.name().to_owned());
    }
    match config.clip {
        Clip::None => {}
        Clip::Norm(length) => parts.push(format!("gradients clipped to a length of {length}")),
        Clip::Value(limit) => parts.push(format!("gradients clipped to ±{limit}")),
    }
    match config.schedule {
        Schedule::Constant => {}
        Schedule::Step { .. } => parts.push("a step schedule".to_owned()),
        Schedule::Cosine { .. } => parts.push("a cosine schedule".to_owned()),
    }
    if parts.is_empty() { String::new() } else { format!(" with {}", parts.join(", ")) }
}
