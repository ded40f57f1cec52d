//! The update rules of optimizers: each one pass over parameters, gradient and state.
//!
//! ```text
//! change          g ← min(max(scale·g, −limit), limit) + decay·p
//!
//! sgd_step        p ← p − rate·g
//!
//! momentum_step   u ← momentum·u + g
//!                 p ← p − rate·u          or, by Nesterov,  p ← p − rate·(g + momentum·u)
//!
//! adam_step       m ← m + blend1·(g − m)                    blend1 = 1 − β₁
//!                 v ← v + blend2·(g² − v)                   blend2 = 1 − β₂
//!                 p ← keep·p − rate·m / (root_scale·√v + ε)
//! ```
//!
//! These are the rules of `torch.optim`. What depends on the number of the step alone
//! (Adam's bias corrections, the schedule) is in the scalars: `rate = η/(1 − β₁ᵗ)` and
//! `root_scale = 1/√(1 − β₂ᵗ)`. AdamW decays by `keep = 1 − η·λ`, Adam by `decay = λ`.
//!
//! 1. The change to the gradient (the mean over a batch, clipping, weight decay) is made
//!    in the register: a pass of its own would cost as much as the rule, since memory
//!    bounds both. So the gradient is only read.
//! 2. Whole vectors and a masked rest. Where parameters, gradient and state are zero,
//!    they stay zero, as long as the scalars are finite: the padding of an arena.
//! 3. Where gradients have become 0, the state decays: to 0 from 2⁻¹²⁶ on. Rounding would
//!    keep it at a few units of 2⁻¹⁴⁹ for ever, and arithmetic on subnormal numbers is
//!    slow. The memory bounds momentum and the division Adam, so the two operations are
//!    free. Adam's v goes to 0 only where m has gone: beside an m that counts, a
//!    subnormal v may be what the step is divided by. A parameter that only decays, by
//!    weight decay, ends at 0 in the same way.
//!
//! Any length, any alignment; nothing here allocates. Sources: `torch.optim.SGD`; D.
//! Kingma and J. Ba, Adam, 2015; I. Loshchilov and F. Hutter, Decoupled weight decay
//! regularization, 2019.

use crate::lanes::{LANES, Lanes, zero_where_subnormal};
use crate::tail_mask::{load_partial, store_partial};

/// What is made of a gradient before a rule sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change {
    /// The gradient is multiplied by this,
    pub scale: f32,
    /// then held within [−limit, limit], where ∞ is no limit; NaN stays NaN;
    pub limit: f32,
    /// then this much of the parameter is added.
    pub decay: f32,
}

/// The scalars of [`momentum_step`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Momentum {
    /// η
    pub rate: f32,
    /// How much of the velocity stays.
    pub momentum: f32,
    /// Is the step the one that the next velocity would take?
    pub nesterov: bool,
    /// Before the rule.
    pub change: Change,
}

/// The scalars of [`adam_step`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adam {
    /// `η/(1 − β₁ᵗ)`
    pub rate: f32,
    /// `1 − β₁`
    pub blend1: f32,
    /// `1 − β₂`
    pub blend2: f32,
    /// `1/√(1 − β₂ᵗ)`
    pub root_scale: f32,
    /// ε, positive: it keeps the padding from becoming 0/0.
    pub epsilon: f32,
    /// What a step leaves of a parameter before the gradient: `1 − η·λ` or 1.
    pub keep: f32,
    /// Before the rule.
    pub change: Change,
}

/// One step of plain gradient descent.
///
/// # Panics
/// If the slices differ in length.
#[track_caller]
pub fn sgd_step(rate: f32, change: Change, gradient: &[f32], parameters: &mut [f32]) {
    let (rate, scale) = (Lanes::splat(rate), Lanes::splat(change.scale));
    // Of a network whose parameters are in L1, what there is no limit and no decay for would take
    // longer than the memory.
    if change.limit == f32::INFINITY && change.decay == 0.0 {
        return pass(gradient, [], parameters, |g, [], p| (rate.mul_neg_add(g * scale, p), []));
    }
    let prepared = change.prepare();
    pass(gradient, [], parameters, |g, [], p| (rate.mul_neg_add(prepared(g, p), p), []));
}

/// One step with momentum; `velocity` starts as zeros, and becomes 0 where it is subnormal.
///
/// # Panics
/// If the slices differ in length.
#[track_caller]
pub fn momentum_step(
    rule: Momentum,
    gradient: &[f32],
    velocity: &mut [f32],
    parameters: &mut [f32],
) {
    let (rate, momentum) = (Lanes::splat(rule.rate), Lanes::splat(rule.momentum));
    let prepared = rule.change.prepare();
    if rule.nesterov {
        pass(gradient, [velocity], parameters, |g, [u], p| {
            let g = prepared(g, p);
            let u = momentum.mul_add(u, g);
            let u = zero_where_subnormal(u, u);
            (rate.mul_neg_add(momentum.mul_add(u, g), p), [u])
        });
    } else {
        pass(gradient, [velocity], parameters, |g, [u], p| {
            let u = momentum.mul_add(u, prepared(g, p));
            let u = zero_where_subnormal(u, u);
            (rate.mul_neg_add(u, p), [u])
        });
    }
}

/// One step of Adam or AdamW; both moments start as zeros. A first moment that is subnormal
/// becomes 0, and then the second does so as well.
///
/// # Panics
/// If the slices differ in length.
#[track_caller]
pub fn adam_step(
    rule: Adam,
    gradient: &[f32],
    [first, second]: [&mut [f32]; 2],
    parameters: &mut [f32],
) {
    let splat = Lanes::splat;
    let (blend1, blend2) = (splat(rule.blend1), splat(rule.blend2));
    let (rate, keep) = (splat(rule.rate), splat(rule.keep));
    let (root_scale, epsilon) = (splat(rule.root_scale), splat(rule.epsilon));
    let prepared = rule.change.prepare();
    pass(gradient, [first, second], parameters, |g, [m, v], p| {
        let g = prepared(g, p);
        let m = blend1.mul_add(g - m, m);
        let v = blend2.mul_add(g.mul_sub(g, v), v);
        let (m, v) = (zero_where_subnormal(m, m), zero_where_subnormal(m | v, v));
        let direction = m / root_scale.mul_add(v.sqrt(), epsilon);
        (rate.mul_neg_add(direction, p * keep), [m, v])
    });
}

impl Change {
    /// The change of a vector of gradients `g` at the parameters `p`.
    #[inline(always)]
    fn prepare(self) -> impl Fn(Lanes, Lanes) -> Lanes {
        let (scale, decay) = (Lanes::splat(self.scale), Lanes::splat(self.decay));
        let (low, high) = (Lanes::splat(-self.limit), Lanes::splat(self.limit));
        // The order of the operands lets NaN through.
        move |g, p| decay.mul_add(p, high.fast_min(low.fast_max(g * scale)))
    }
}

/// `(p, state) ← rule(g, state, p)`, vector by vector; a p that is subnormal becomes 0.
#[inline(always)]
#[track_caller]
fn pass<const N: usize>(
    gradient: &[f32],
    state: [&mut [f32]; N],
    parameters: &mut [f32],
    rule: impl Fn(Lanes, [Lanes; N], Lanes) -> (Lanes, [Lanes; N]),
) {
    assert!(
        gradient.len() == parameters.len() && state.iter().all(|s| s.len() == parameters.len()),
        "{} parameters, {} gradients and a state of {:?}; all must be equal",
        parameters.len(),
        gradient.len(),
        state.each_ref().map(|s| s.len())
    );
    let (full, rest) = parameters.as_chunks_mut::<LANES>();
    let (full_gradient, rest_gradient) = gradient.as_chunks::<LANES>();
    let mut state = state.map(|s| s.as_chunks_mut::<LANES>());
    for (k, (p, g)) in full.iter_mut().zip(full_gradient).enumerate() {
        let old = state.each_ref().map(|(full, _)| Lanes::new(full[k]));
        let (value, new) = rule(Lanes::new(*g), old, Lanes::new(*p));
        for ((full, _), new) in state.iter_mut().zip(new) {
            full[k] = new.to_array();
        }
        *p = zero_where_subnormal(value, value).to_array();
    }
    if !rest.is_empty() {
        let old = state.each_ref().map(|(_, rest)| load_partial(rest));
        let (value, new) = rule(load_partial(rest_gradient), old, load_partial(rest));
        for ((_, rest), new) in state.iter_mut().zip(new) {
            store_partial(rest, new);
        }
        store_partial(rest, zero_where_subnormal(value, value));
    }
}
