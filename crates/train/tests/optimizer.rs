//! The optimizers against recorded trajectories of `torch.optim`, their state saved and
//! restored, and numbers that make no sense.

use model::{Config, Parameters};
use serde::Deserialize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use train::Error;
use train::optimizer::{
    Clip, Descent, Moments, Optimizer, OptimizerConfig, Rule, Schedule, Sgd, State, norm,
};

/// Made by `fixtures/optimizer/make_trajectories.py`, in float64.
#[derive(Deserialize)]
struct Trajectories {
    start: Vec<f32>,
    gradients: Vec<Vec<f32>>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    config: OptimizerConfig,
    rates: Vec<f64>,
    parameters: Vec<Vec<f64>>,
}

fn trajectories() -> Trajectories {
    serde_json::from_str(include_str!("fixtures/optimizer/trajectories.json")).unwrap()
}

/// Networks of eight parameters: I = 1, H = 2, O = 1.
fn model() -> Config {
    Config::lab(1, 2, 1).unwrap()
}

fn parameters(values: &[f32]) -> Parameters {
    let mut parameters = Parameters::zeros(model());
    let mut values = values.iter();
    parameters.for_each_row_mut(|row| row.fill_with(|| *values.next().expect("eight values")));
    assert!(values.next().is_none());
    parameters
}

fn values(parameters: &Parameters) -> Vec<f32> {
    let rows = parameters.w_in().chain(parameters.w_rec()).chain(parameters.w_out());
    rows.flatten().copied().collect()
}

/// In f32 each of at most fifty steps rounds a parameter, and what it goes by, a few times
/// by 2⁻²⁴: 2e-6 of the parameter's size and of the way it went. The gradients are
/// summed over four examples, which the optimizer has to undo.
#[test]
fn every_rule_clip_and_schedule_goes_where_pytorch_goes() {
    let Trajectories { start, gradients, cases } = trajectories();
    assert!(cases.len() == 19 && gradients.len() == 50);
    for Case { name, config, rates, parameters: expected } in cases {
        let mut optimizer = Optimizer::new(config, model()).unwrap();
        let mut w = parameters(&start);
        let mut last: Vec<f64> = start.iter().map(|&v| f64::from(v)).collect();
        let mut ways = vec![0.0; last.len()];
        for (step, (gradient, expected)) in gradients.iter().zip(&expected).enumerate() {
            let rate = f64::from(optimizer.learning_rate());
            assert!((rate - rates[step]).abs() <= 1e-7 * rates[step], "{name}, step {step}");
            let summed: Vec<f32> = gradient.iter().map(|g| 4.0 * g).collect();
            optimizer.step(&mut w, &parameters(&summed), 4);
            for (k, (&found, expected)) in values(&w).iter().zip(expected).enumerate() {
                ways[k] += (expected - last[k]).abs();
                let error = (f64::from(found) - expected).abs();
                let bound = 2e-6 * (expected.abs() + ways[k]);
                assert!(error <= bound, "{name}, step {step}, {k}: {found} for {expected}");
            }
            last.clone_from(expected);
        }
        assert_eq!(optimizer.state().steps, 50);
        let padding = w.arena().iter().filter(|&&v| v == 0.0).count();
        assert_eq!(padding, w.arena().len() - 8, "{name}: the padding stays zero");
    }
}

#[test]
fn plain_descent_is_the_labs_bit_for_bit() {
    let Trajectories { start, gradients, .. } = trajectories();
    let sgd = Sgd::new(0.1).unwrap();
    let mut optimizer = Optimizer::new(OptimizerConfig::new(0.1, Rule::SGD), model()).unwrap();
    let (mut labs, mut w) = (parameters(&start), parameters(&start));
    for (step, gradient) in gradients.iter().enumerate() {
        sgd.step(&mut labs, &parameters(gradient), 1 + step % 3);
        optimizer.step(&mut w, &parameters(gradient), 1 + step % 3);
        assert_eq!(labs.arena(), w.arena());
    }
}

#[test]
fn a_restored_optimizer_goes_on_with_the_same_bits() {
    let Trajectories { start, gradients, cases } = trajectories();
    for Case { name, config, .. } in cases {
        let mut optimizer = Optimizer::new(config, model()).unwrap();
        let mut w = parameters(&start);
        for gradient in &gradients[..20] {
            optimizer.step(&mut w, &parameters(gradient), 1);
        }
        let (saved, mut resumed_w) = (optimizer.state().clone(), w.clone());
        let mut resumed = Optimizer::new(config, model()).unwrap();
        resumed.restore(saved).unwrap();
        for gradient in &gradients[20..] {
            optimizer.step(&mut w, &parameters(gradient), 1);
            resumed.step(&mut resumed_w, &parameters(gradient), 1);
        }
        assert_eq!(w.arena(), resumed_w.arena(), "{name}");
    }
}

#[test]
fn a_step_in_parts_is_the_whole_step_bit_for_bit() {
    let Trajectories { start, gradients, cases } = trajectories();
    let mut with_parts = 0;
    for Case { name, config, .. } in cases {
        let mut whole = Optimizer::new(config, model()).unwrap();
        assert_eq!(config.has_parts(), !matches!(config.clip, Clip::Norm(_)), "{name}");
        if !config.has_parts() {
            continue;
        }
        with_parts += 1;
        let mut parted = whole.clone();
        let [mut w, mut v] = [parameters(&start), parameters(&start)];
        let head = w.head_range();
        assert_eq!((w.w_out().len(), head.len(), head.end), (1, 16, w.arena().len()));
        for gradient in &gradients {
            let gradient = parameters(gradient);
            whole.step(&mut w, &gradient, 4);
            // The gradient of the other part is not there yet.
            let mut early = gradient.clone();
            early.arena_mut()[..head.start].fill(f32::NAN);
            parted.step_part(head.clone(), &mut v, &early, 4);
            parted.step_part(0..head.start, &mut v, &gradient, 4);
            parted.end_step();
            let [w, v] =
                [&w, &v].map(|w| w.arena().iter().map(|w| w.to_bits()).collect::<Vec<_>>());
            assert_eq!(w, v, "{name}");
        }
        assert_eq!(whole.state().steps, parted.state().steps);
    }
    assert!(with_parts > 10, "{with_parts}");
}

#[test]
fn a_state_that_does_not_fit_is_refused_and_changes_nothing() {
    let mut adam = Optimizer::new(OptimizerConfig::new(0.1, Rule::ADAM), model()).unwrap();
    let text = |error: Result<(), Error>| error.unwrap_err().to_string();
    let one = State { steps: 3, moments: vec![Parameters::zeros(model())] };
    let found = text(adam.restore(one));
    assert!(found.contains("1 moments where its rule keeps 2"), "{found}");
    let wide = Parameters::zeros(Config::lab(3, 2, 1).unwrap());
    let found = text(adam.restore(State { steps: 3, moments: vec![wide.clone(), wide] }));
    assert!(found.contains("inputs: 3") && found.contains("inputs: 1"), "{found}");
    assert_eq!(adam.state().steps, 0);
}

#[test]
fn a_gradient_whose_square_overflows_is_clipped_to_its_limit() {
    let config = OptimizerConfig { clip: Clip::Norm(2.0), ..OptimizerConfig::new(1.0, Rule::SGD) };
    let gradient = parameters(&[3e30, 0.0, 0.0, -4e30, 0.0, 0.0, 0.0, 0.0]);
    assert!((norm(&gradient) / 5e30 - 1.0).abs() < 1e-6);
    let mut w = parameters(&[0.0; 8]);
    Optimizer::new(config, model()).unwrap().step(&mut w, &gradient, 1);
    for (found, expected) in values(&w).iter().zip([-1.2, 0.0, 0.0, 1.6]) {
        assert!((found - expected).abs() < 1e-6, "{found} {expected}");
    }
}

#[test]
fn nan_is_not_clipped_away() {
    for clip in [Clip::Norm(1.0), Clip::Value(1.0)] {
        let config = OptimizerConfig { clip, ..OptimizerConfig::new(1.0, Rule::SGD) };
        let mut w = parameters(&[1.0; 8]);
        let mut gradient = [0.5; 8];
        gradient[3] = f32::NAN;
        Optimizer::new(config, model()).unwrap().step(&mut w, &parameters(&gradient), 1);
        assert!(values(&w)[3].is_nan());
    }
}

/// The message of the panic that `step` ends with.
fn refusal(step: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(step)).expect_err("it was let in");
    panic.downcast_ref::<&str>().map(|&text| text.to_owned()).expect("a panic with a message")
}

#[test]
fn the_mean_of_no_examples_is_refused_and_changes_nothing() {
    let gradient = parameters(&[0.0; 8]);
    let start = [0.5; 8];
    let mut w = parameters(&start);
    let text = refusal(|| Sgd::new(0.1).unwrap().step(&mut w, &gradient, 0));
    assert!(text.contains("0 examples"), "{text}");
    let momentum = Descent { momentum: 0.9, nesterov: true, weight_decay: 0.1 };
    for rule in [Rule::SGD, Rule::Sgd(momentum), Rule::ADAM, Rule::ADAM_W] {
        for clip in [Clip::None, Clip::Norm(1.0), Clip::Value(1.0)] {
            let config = OptimizerConfig { clip, ..OptimizerConfig::new(0.1, rule) };
            let mut optimizer = Optimizer::new(config, model()).unwrap();
            let text = refusal(|| optimizer.step(&mut w, &gradient, 0));
            assert!(text.contains("0 examples"), "{text}");
            assert_eq!(optimizer.state().steps, 0);
        }
    }
    assert_eq!(values(&w), start);
}

/// Are the values that are no weights what they were in [`Parameters::zeros`]?
fn has_zero_padding(parameters: &Parameters) -> bool {
    let mut padding = parameters.clone();
    padding.for_each_row_mut(|row| row.fill(0.0));
    padding.arena().iter().all(|&value| value == 0.0)
}

#[test]
fn no_gradient_and_no_setting_makes_other_than_zero_of_the_padding() {
    let huge = f64::from(f32::MAX);
    let decays = [0.0, 0.1, huge];
    let nesterov = |weight_decay| Descent { momentum: 0.9, nesterov: true, weight_decay };
    let moments = |beta1, weight_decay| Moments {
        beta1,
        beta2: 0.999,
        epsilon: f64::from(f32::MIN_POSITIVE),
        weight_decay,
    };
    let rules = decays.into_iter().flat_map(|decay| {
        [
            Rule::Sgd(Descent { momentum: 0.0, nesterov: false, weight_decay: decay }),
            Rule::Sgd(nesterov(decay)),
            Rule::Adam(moments(0.9, decay)),
            Rule::AdamW(moments(1.0 - 1e-16, decay)),
        ]
    });
    for rule in rules {
        for clip in [Clip::None, Clip::Norm(1.0), Clip::Value(1.0)] {
            for learning_rate in [0.1, f32::MAX] {
                for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, -1e-45, 0.5] {
                    let config =
                        OptimizerConfig { clip, ..OptimizerConfig::new(learning_rate, rule) };
                    let mut optimizer = Optimizer::new(config, model()).unwrap();
                    let mut w = parameters(&[1.0; 8]);
                    let mut gradient = [0.5; 8];
                    gradient[3] = bad;
                    for _ in 0..3 {
                        optimizer.step(&mut w, &parameters(&gradient), 2);
                        let all = [&w].into_iter().chain(&optimizer.state().moments);
                        assert!(all.into_iter().all(has_zero_padding), "{config:?} {bad}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_bad_value_of_a_gradient_spoils_its_own_parameter_only() {
    for clip in [Clip::None, Clip::Norm(1.0), Clip::Value(1.0)] {
        let config = OptimizerConfig { clip, ..OptimizerConfig::new(1.0, Rule::SGD) };
        let mut w = parameters(&[1.0; 8]);
        let mut gradient = [0.5; 8];
        gradient[3] = f32::NAN;
        Optimizer::new(config, model()).unwrap().step(&mut w, &parameters(&gradient), 1);
        let found = values(&w);
        assert!((0..8).all(|k| (k == 3) == found[k].is_nan()), "{found:?}");
    }
}

#[test]
fn moments_of_gradients_that_have_become_zero_become_zero() {
    let momentum = Descent { momentum: 0.9, nesterov: false, weight_decay: 0.0 };
    let fast = Moments { beta1: 0.9, beta2: 0.9, epsilon: 1e-8, weight_decay: 0.0 };
    for rule in [Rule::Sgd(momentum), Rule::Adam(fast), Rule::AdamW(fast)] {
        let mut optimizer = Optimizer::new(OptimizerConfig::new(1e-3, rule), model()).unwrap();
        let mut w = parameters(&[1.0; 8]);
        for k in 0..3_000 {
            let g = if k < 100 { 0.5 } else { 0.0 };
            optimizer.step(&mut w, &parameters(&[g, -g, g, -g, g, -g, g, -g]), 1);
            // A second moment waits for the first.
            let first = optimizer.state().moments[0].arena();
            assert!(first.iter().all(|m| !m.is_subnormal()), "{rule:?}, step {k}");
        }
        let all = optimizer.state().moments.iter().flat_map(Parameters::arena);
        assert!(all.into_iter().all(|&m| m == 0.0), "{rule:?}");
    }
}

#[test]
fn the_cosine_ends_on_its_floor_and_stays() {
    let schedule = Schedule::Cosine { warmup: 3, steps: 10, floor: 0.25 };
    let factors: Vec<f64> = (0..4).map(|step| schedule.factor(step)).collect();
    assert_eq!(factors, [0.25, 0.5, 0.75, 1.0]);
    assert!([10, 11, u64::MAX].iter().all(|&step| schedule.factor(step) == 0.25));
}

#[test]
fn a_configuration_survives_the_way_to_toml_and_back() {
    let moments = Moments { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.02 };
    let config = OptimizerConfig {
        clip: Clip::Norm(0.5),
        schedule: Schedule::Cosine { warmup: 10, steps: 1000, floor: 0.1 },
        ..OptimizerConfig::new(0.003, Rule::AdamW(moments))
    };
    let text = toml::to_string(&config).unwrap();
    assert_eq!(toml::from_str::<OptimizerConfig>(&text).unwrap(), config, "{text}");
    // What is not said is off.
    let text = "learning_rate = 0.1\nrule = { name = \"sgd\" }";
    let plain = OptimizerConfig::new(0.1, Rule::SGD);
    assert_eq!(toml::from_str::<OptimizerConfig>(text).unwrap(), plain);
    assert!(toml::from_str::<OptimizerConfig>(&format!("{text}\nmomentum = 0.9")).is_err());
    let misspelt = "learning_rate = 0.1\nrule = { name = \"sgd\", momentun = 0.9 }";
    assert!(toml::from_str::<OptimizerConfig>(misspelt).is_err());
}

#[test]
fn numbers_that_make_no_sense_are_refused_by_name_and_value() {
    let sgd = Descent { momentum: 0.9, nesterov: false, weight_decay: 0.0 };
    let adam = Moments { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0 };
    let good = OptimizerConfig::new(0.1, Rule::Sgd(sgd));
    let of_sgd = |sgd| OptimizerConfig { rule: Rule::Sgd(sgd), ..good };
    let of_adam = |adam| OptimizerConfig { rule: Rule::AdamW(adam), ..good };
    let of_clip = |clip| OptimizerConfig { clip, ..good };
    let of_schedule = |schedule| OptimizerConfig { schedule, ..good };
    for (config, text) in [
        (OptimizerConfig { learning_rate: 0.0, ..good }, "learning rate of 0"),
        (OptimizerConfig { learning_rate: f32::NAN, ..good }, "learning rate of NaN"),
        (of_sgd(Descent { momentum: 1.0, ..sgd }), "momentum of 1 makes no sense"),
        (of_sgd(Descent { momentum: 1.0 - 1e-16, ..sgd }), "also as f32"),
        (of_sgd(Descent { momentum: -0.1, ..sgd }), "momentum of -0.1"),
        (of_sgd(Descent { momentum: 0.0, nesterov: true, ..sgd }), "momentum by Nesterov of 0"),
        (of_sgd(Descent { weight_decay: -1.0, ..sgd }), "weight decay of -1"),
        (of_adam(Moments { beta1: 1.0, ..adam }), "beta1 of 1"),
        (of_adam(Moments { beta2: f64::NAN, ..adam }), "beta2 of NaN"),
        (of_adam(Moments { epsilon: 0.0, ..adam }), "epsilon of 0"),
        (of_adam(Moments { epsilon: 1e-50, ..adam }), "such as 1e-8"),
        (of_sgd(Descent { weight_decay: 1e300, ..sgd }), "below 3e38"),
        (of_adam(Moments { weight_decay: f64::INFINITY, ..adam }), "weight decay of inf"),
        (of_clip(Clip::Norm(0.0)), "clip of 0"),
        (of_clip(Clip::Value(f32::INFINITY)), "clip of inf"),
        (of_schedule(Schedule::Step { every: 0, factor: 0.5 }), "schedule's every of 0"),
        (of_schedule(Schedule::Step { every: 1, factor: 0.0 }), "schedule's factor of 0"),
        (of_schedule(Schedule::Cosine { warmup: 9, steps: 9, floor: 0.0 }), "warm-up of 9"),
        (of_schedule(Schedule::Cosine { warmup: 1, steps: 9, floor: 1.5 }), "floor of 1.5"),
    ] {
        let found = Optimizer::new(config, model()).unwrap_err().to_string();
        assert!(found.contains(text), "{found}");
    }
    assert!(Optimizer::new(good, model()).is_ok());
}
