//! The update rules against their f64 reference, at every length across a vector's edge,
//! at other alignments, with any scalars.

use kernels::lanes::LANES;
use kernels::optimizer::{Adam, Change, Momentum, adam_step, momentum_step, sgd_step};
use kernels::reference::{self, gamma};
use proptest::prelude::*;

const NO_CHANGE: Change = Change { scale: 1.0, limit: f32::INFINITY, decay: 0.0 };
const ADAM: Adam = Adam {
    rate: 1e-2,
    blend1: 0.1,
    blend2: 1e-3,
    root_scale: 1.5,
    epsilon: 1e-8,
    keep: 1.0,
    change: NO_CHANGE,
};
/// What lies around a slice and must stay.
const GUARD: f32 = 77.0;
/// More roundings than any value of a rule goes through.
const ROUNDINGS: usize = 16;

/// Numbers in [−1, 1) that differ between places and between seeds.
fn values(seed: u32, length: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(747_796_405).wrapping_add(1);
    let next = move |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..length).map(next).collect()
}

/// Gradient, two states (the second not negative) and parameters of a length.
struct Case {
    gradient: Vec<f32>,
    state: [Vec<f32>; 2],
    parameters: Vec<f32>,
}

impl Case {
    fn new(length: usize) -> Self {
        Self {
            gradient: values(1, length),
            state: [values(2, length), values(3, length).iter().map(|v| v * v).collect()],
            parameters: values(4, length),
        }
    }

    /// `values` inside a larger buffer, from `offset` on.
    fn guarded(values: &[f32], offset: usize) -> Vec<f32> {
        let mut buffer = vec![GUARD; offset + values.len() + LANES];
        buffer[offset..][..values.len()].copy_from_slice(values);
        buffer
    }

    /// The state and the parameters after `step`, made at `offset`.
    fn after(
        &self,
        offset: usize,
        step: impl Fn(&[f32], [&mut [f32]; 2], &mut [f32]),
    ) -> ([Vec<f32>; 2], Vec<f32>) {
        let length = self.parameters.len();
        let gradient = Self::guarded(&self.gradient, offset);
        let mut state = self.state.each_ref().map(|state| Self::guarded(state, offset));
        let mut parameters = Self::guarded(&self.parameters, offset);
        let inside = offset..offset + length;
        step(
            &gradient[inside.clone()],
            state.each_mut().map(|state| &mut state[inside.clone()]),
            &mut parameters[inside.clone()],
        );
        let unwrap = |buffer: Vec<f32>| {
            assert!(buffer[..offset].iter().chain(&buffer[inside.end..]).all(|&v| v == GUARD));
            buffer[inside.clone()].to_vec()
        };
        (state.map(unwrap), unwrap(parameters))
    }
}

/// `|scale·g| + |decay·p|`: what the rounding error of a changed gradient is proportional to.
fn magnitude(change: Change, g: f32, p: f32) -> f64 {
    let limited = (f64::from(change.scale) * f64::from(g)).abs().min(f64::from(change.limit));
    limited + (f64::from(change.decay) * f64::from(p)).abs()
}

fn check(name: &str, found: f32, expected: f64, magnitude: f64) {
    let error = (f64::from(found) - expected).abs();
    let bound = gamma(ROUNDINGS) * magnitude + f64::from(f32::MIN_POSITIVE);
    assert!(error <= bound, "{name}: {found} is {error:e} off {expected}, allowed {bound:e}");
}

fn check_momentum(rule: Momentum, case: &Case, offset: usize) {
    let ([velocity, untouched], parameters) =
        case.after(offset, |g, [u, _], p| momentum_step(rule, g, u, p));
    assert_eq!(untouched, case.state[1]);
    for k in 0..parameters.len() {
        let (g, u, p) = (case.gradient[k], case.state[0][k], case.parameters[k]);
        let (expected_p, expected_u) =
            reference::momentum_step(rule, f64::from(g), f64::from(u), f64::from(p));
        let of_g = magnitude(rule.change, g, p);
        let of_u = f64::from((rule.momentum * u).abs()) + of_g;
        check("velocity", velocity[k], expected_u, of_u);
        check(
            "p",
            parameters[k],
            expected_p,
            f64::from(p.abs()) + f64::from(rule.rate) * 2.0 * of_u,
        );
    }
}

fn check_adam(rule: Adam, case: &Case, offset: usize) {
    let ([first, second], parameters) =
        case.after(offset, |g, state, p| adam_step(rule, g, state, p));
    for k in 0..parameters.len() {
        let (g, p) = (case.gradient[k], case.parameters[k]);
        let [m, v] = [case.state[0][k], case.state[1][k]].map(f64::from);
        let (expected_p, expected) = reference::adam_step(rule, f64::from(g), [m, v], f64::from(p));
        let of_g = magnitude(rule.change, g, p);
        let of_m = m.abs() + f64::from(rule.blend1) * (of_g + m.abs());
        let of_v = v + f64::from(rule.blend2) * (of_g * of_g + v);
        check("m", first[k], expected[0], of_m);
        check("v", second[k], expected[1], of_v);
        // The root's error, relative to the root, is that of v, relative to v.
        let root = expected[1].sqrt() * f64::from(rule.root_scale);
        let of_direction = of_m / (root + f64::from(rule.epsilon)) * (1.0 + of_v / expected[1]);
        let of_p = f64::from(p.abs()) + f64::from(rule.rate) * of_direction;
        check("p", parameters[k], expected_p, of_p);
    }
}

#[test]
fn valgrind_every_length_and_alignment() {
    let change = Change { scale: 0.5, limit: 0.3, decay: 0.1 };
    for length in (0..=3 * LANES + 1).chain([16 * LANES - 1, 1009]) {
        for offset in [0, 1, LANES - 1] {
            let case = Case::new(length);
            for change in [NO_CHANGE, change] {
                let (state, parameters) = case.after(offset, |g, _, p| sgd_step(0.1, change, g, p));
                assert_eq!(state, case.state);
                // Plain descent is momentum that keeps nothing.
                let rule = Momentum { rate: 0.1, momentum: 0.0, nesterov: false, change };
                let (_, same) = case.after(offset, |g, [u, _], p| momentum_step(rule, g, u, p));
                assert_eq!(parameters, same);
                for nesterov in [false, true] {
                    check_momentum(Momentum { momentum: 0.9, nesterov, ..rule }, &case, offset);
                }
                check_adam(Adam { change, ..ADAM }, &case, offset);
            }
        }
    }
}

#[test]
fn zeros_stay_zeros() {
    let change = Change { scale: 0.5, limit: 0.3, decay: 0.1 };
    let zeros = || vec![0.0; LANES + 3];
    let case = Case { gradient: zeros(), state: [zeros(), zeros()], parameters: zeros() };
    let all_zero = |(state, parameters): ([Vec<f32>; 2], Vec<f32>)| {
        state.iter().flatten().chain(&parameters).all(|&v| v == 0.0)
    };
    assert!(all_zero(case.after(0, |g, _, p| sgd_step(0.1, change, g, p))));
    let momentum = Momentum { rate: 0.1, momentum: 0.9, nesterov: true, change };
    assert!(all_zero(case.after(0, |g, [u, _], p| momentum_step(momentum, g, u, p))));
    let adam = Adam { change, keep: 0.99, ..ADAM };
    assert!(all_zero(case.after(0, |g, state, p| adam_step(adam, g, state, p))));
}

const SUBNORMAL: f32 = f32::MIN_POSITIVE / 4.0;

#[test]
fn state_that_decays_ends_at_zero_and_keeps_every_normal_bit_on_its_way() {
    // A vector and a rest, of both signs.
    let start: Vec<f32> = values(5, LANES + 3).iter().map(|v| v * 1e-30).collect();
    let zeros = vec![0.0; start.len()];
    let (mut p, mut u, mut m) = (zeros.clone(), start.clone(), start.clone());
    let mut v: Vec<f32> = start.iter().map(|v| v.abs()).collect();
    let rule = Momentum { rate: 0.1, momentum: 0.9, nesterov: false, change: NO_CHANGE };
    let flushed = |x: f32| if x.is_subnormal() { 0.0 * x } else { x };
    for _ in 0..400 {
        let expected_u: Vec<f32> = u.iter().map(|u| flushed(0.9 * u)).collect();
        momentum_step(rule, &zeros, &mut u, &mut p);
        assert_eq!(u, expected_u);
        let expected_m: Vec<f32> =
            m.iter().map(|&m| flushed(ADAM.blend1.mul_add(0.0 - m, m))).collect();
        adam_step(ADAM, &zeros, [&mut m, &mut v], &mut p);
        if cfg!(target_feature = "fma") {
            assert_eq!(m, expected_m);
        }
    }
    assert!(u.iter().chain(&m).all(|&x| x == 0.0));
    assert!(v.iter().all(|&v| v.is_normal()), "it has far to go");
    v.fill(SUBNORMAL);
    adam_step(ADAM, &zeros, [&mut m, &mut v], &mut p);
    assert!(v.iter().all(|&v| v == 0.0));
}

#[test]
fn a_second_moment_that_is_subnormal_stays_while_the_first_needs_it() {
    // m / √v is about 1, however small they are, if ε is smaller.
    let (mut p, mut m, mut v) = ([0.0], [1e-20], [1e-40]);
    let rule = Adam { rate: 1.0, root_scale: 1.0, epsilon: 1e-30, ..ADAM };
    adam_step(rule, &[1e-20], [&mut m, &mut v], &mut p);
    assert!((p[0] + 1.0_f32).abs() < 1e-3, "{p:?} {v:?}");
}

#[test]
fn parameters_that_only_decay_pass_through_no_subnormal_number() {
    let zeros = vec![0.0; LANES + 3];
    let decay = Change { decay: 0.5, ..NO_CHANGE };
    let momentum = Momentum { rate: 0.1, momentum: 0.0, nesterov: false, change: decay };
    let adam_w = Adam { keep: 0.95, ..ADAM };
    let mut parameters = [6, 7, 8].map(|seed| values(seed, zeros.len()));
    let [mut u, mut m, mut v] = [(); 3].map(|()| zeros.clone());
    for _ in 0..5_000 {
        let [by_sgd, by_momentum, by_adam] = &mut parameters;
        sgd_step(0.1, decay, &zeros, by_sgd);
        momentum_step(momentum, &zeros, &mut u, by_momentum);
        adam_step(adam_w, &zeros, [&mut m, &mut v], by_adam);
        assert!(!parameters.iter().flatten().any(|p| p.is_subnormal()));
    }
    let [by_sgd, by_momentum, by_adam] = parameters;
    assert!(by_sgd.iter().chain(&by_adam).all(|&p| p == 0.0));
    // There, the velocity is 0 a little earlier, and leaves a normal number.
    assert!(by_momentum.iter().all(|p| p.abs() < 4.0 * f32::MIN_POSITIVE));
    // The smallest normal numbers stay, and so does what is no number.
    let least = f32::MIN_POSITIVE;
    let below = f32::from_bits(least.to_bits() - 1);
    let mut p = [least, -least, below, -below, f32::from_bits(1), f32::MAX, f32::NAN];
    sgd_step(0.1, NO_CHANGE, &[0.0; 7], &mut p);
    assert_eq!(p[..6], [least, -least, 0.0, 0.0, 0.0, f32::MAX]);
    assert!(p[6].is_nan());
}

#[test]
fn what_is_no_number_in_a_state_is_not_flushed_away() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let (mut p, mut u) = ([0.0], [bad]);
        let rule = Momentum { rate: 0.1, momentum: 0.9, nesterov: true, change: NO_CHANGE };
        momentum_step(rule, &[0.0], &mut u, &mut p);
        assert!(!u[0].is_finite() && !p[0].is_finite());
        for (m, v) in [(bad, 0.0), (0.0, bad.abs()), (bad, SUBNORMAL), (SUBNORMAL, bad.abs())] {
            let (mut m, mut v) = ([m], [v]);
            adam_step(ADAM, &[0.0], [&mut m, &mut v], &mut p);
            assert!(!m[0].is_finite() || !v[0].is_finite(), "{m:?} {v:?}");
        }
    }
}

#[test]
fn a_limit_lets_nan_through_and_stops_infinities() {
    let change = Change { limit: 2.0, ..NO_CHANGE };
    let mut parameters = [1.0; 3];
    sgd_step(0.25, change, &[f32::NAN, f32::INFINITY, -7.0], &mut parameters);
    assert!(parameters[0].is_nan());
    assert_eq!(parameters[1..], [0.5, 1.5]);
}

#[test]
#[should_panic(expected = "3 parameters, 2 gradients and a state of []; all must be equal")]
fn lengths_that_differ_are_named() {
    sgd_step(0.1, NO_CHANGE, &[0.0; 2], &mut [0.0; 3]);
}

#[test]
#[should_panic(expected = "3 parameters, 3 gradients and a state of [3, 1]; all must be equal")]
fn a_state_of_another_length_is_named() {
    adam_step(ADAM, &[0.0; 3], [&mut [0.0; 3], &mut [0.0; 1]], &mut [0.0; 3]);
}

fn changes() -> impl Strategy<Value = Change> {
    let limit = prop_oneof![Just(f32::INFINITY), 0.01..2.0_f32];
    (1e-3..3.0_f32, limit, 0.0..0.5_f32).prop_map(|(scale, limit, decay)| Change {
        scale,
        limit,
        decay,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_momentum(
        length in 0..3 * LANES,
        (rate, momentum) in (1e-4..1.0_f32, 0.0..0.999_f32),
        nesterov in any::<bool>(),
        change in changes(),
    ) {
        check_momentum(Momentum { rate, momentum, nesterov, change }, &Case::new(length), 1);
    }

    #[test]
    fn any_adam(
        length in 0..3 * LANES,
        (rate, blend1, blend2) in (1e-5..0.1_f32, 1e-3..1.0_f32, 1e-4..1.0_f32),
        (root_scale, epsilon, keep) in (1.0..32.0_f32, 1e-10..1e-2_f32, 0.9..1.0_f32),
        change in changes(),
    ) {
        let rule = Adam { rate, blend1, blend2, root_scale, epsilon, keep, change };
        check_adam(rule, &Case::new(length), 1);
    }
}
