//! One step of each cell in f64, from the two sums of its gates: forward, and back
//! beside it. The equations, the order of the gates and the two biases are PyTorch's
//! (`torch.nn.RNN`, `GRU`, `LSTM`).
//!
//! Legend: H hidden units, G gates. `a = W_ih x + b_ih` and `r = W_hh h + b_hh` are
//! `[G·H]`, gate by gate; a gradient is `d` and the name.

use crate::{Cell, Nonlinearity};

/// What a step saw and what it made of it.
#[derive(Clone, Debug)]
pub struct Step {
    /// `W_ih x + b_ih`, `[G·H]`
    pub a: Vec<f64>,
    /// `W_hh h_before + b_hh`, `[G·H]`
    pub r: Vec<f64>,
    /// `[H]`
    pub h_before: Vec<f64>,
    /// `[H]`; zeros but in an LSTM.
    pub c_before: Vec<f64>,
    /// `[H]`
    pub h: Vec<f64>,
    /// `[H]`; zeros but in an LSTM.
    pub c: Vec<f64>,
}

/// The gradients of what a step saw.
#[derive(Clone, Debug)]
pub(super) struct StepGradient {
    /// `[G·H]`
    pub da: Vec<f64>,
    /// `[G·H]`
    pub dr: Vec<f64>,
    /// `[H]`, without the share that reaches it through `r`.
    pub dh_before: Vec<f64>,
    /// `[H]`
    pub dc_before: Vec<f64>,
}

pub(super) fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn nonlinearity(f: Nonlinearity, z: f64) -> f64 {
    match f {
        Nonlinearity::Tanh => z.tanh(),
        Nonlinearity::Relu => z.max(0.0),
        Nonlinearity::Sigmoid => sigmoid(z),
    }
}

/// f′(z), from `h = f(z)`.
fn slope(f: Nonlinearity, h: f64) -> f64 {
    match f {
        Nonlinearity::Tanh => 1.0 - h * h,
        Nonlinearity::Relu => f64::from(h > 0.0),
        Nonlinearity::Sigmoid => h * (1.0 - h),
    }
}

/// The step from the state before and the sums of the gates.
pub(super) fn forward(
    cell: Cell,
    a: Vec<f64>,
    r: Vec<f64>,
    h_before: Vec<f64>,
    c_before: Vec<f64>,
) -> Step {
    let hidden = h_before.len();
    let (mut h, mut c) = (vec![0.0; hidden], vec![0.0; hidden]);
    for k in 0..hidden {
        let gate = |gate: usize| (a[gate * hidden + k], r[gate * hidden + k]);
        match cell {
            // h = f(a + r)
            Cell::Elman(f) => {
                let (a, r) = gate(0);
                h[k] = nonlinearity(f, a + r);
            }
            // h = (1 − z) ⊙ n + z ⊙ h_before
            Cell::Gru => {
                let Gru { z, n, .. } = Gru::new(gate);
                h[k] = (1.0 - z) * n + z * h_before[k];
            }
            // c = f ⊙ c_before + i ⊙ g,  h = o ⊙ tanh(c)
            Cell::Lstm => {
                let Lstm { i, f, g, o } = Lstm::new(gate);
                c[k] = f * c_before[k] + i * g;
                h[k] = o * c[k].tanh();
            }
        }
    }
    Step { a, r, h_before, c_before, h, c }
}

/// From `dh` and `dc` `[H]`, the gradients of a step's new state, those of all it saw.
pub(super) fn backward(cell: Cell, step: &Step, dh: &[f64], dc: &[f64]) -> StepGradient {
    let hidden = dh.len();
    let mut gradient = StepGradient {
        da: vec![0.0; step.a.len()],
        dr: vec![0.0; step.r.len()],
        dh_before: vec![0.0; hidden],
        dc_before: vec![0.0; hidden],
    };
    let StepGradient { da, dr, dh_before, dc_before } = &mut gradient;
    for k in 0..hidden {
        let gate = |gate: usize| (step.a[gate * hidden + k], step.r[gate * hidden + k]);
        match cell {
            // dz = dh ⊙ f′(z), and z = a + r
            Cell::Elman(f) => {
                let dz = dh[k] * slope(f, step.h[k]);
                (da[k], dr[k]) = (dz, dz);
            }
            Cell::Gru => {
                let Gru { r, z, n, r_n } = Gru::new(gate);
                // h = (1 − z) ⊙ n + z ⊙ h_before
                let dn = dh[k] * (1.0 - z);
                let dz = dh[k] * (step.h_before[k] - n);
                dh_before[k] = dh[k] * z;
                // n = tanh(a_n + r ⊙ r_n); so r_n, alone, has not the gradient of a_n
                let dsum_n = dn * (1.0 - n * n);
                let dsum_r = dsum_n * r_n * r * (1.0 - r);
                let dsum_z = dz * z * (1.0 - z);
                let sums = [(dsum_r, dsum_r), (dsum_z, dsum_z), (dsum_n, dsum_n * r)];
                for (gate, sum) in sums.into_iter().enumerate() {
                    (da[gate * hidden + k], dr[gate * hidden + k]) = sum;
                }
            }
            Cell::Lstm => {
                let Lstm { i, f, g, o } = Lstm::new(gate);
                // h = o ⊙ tanh(c)
                let tanh_c = step.c[k].tanh();
                let d_o = dh[k] * tanh_c;
                let dc = dc[k] + dh[k] * o * (1.0 - tanh_c * tanh_c);
                // c = f ⊙ c_before + i ⊙ g
                let (di, df, dg) = (dc * g, dc * step.c_before[k], dc * i);
                dc_before[k] = dc * f;
                let sums = [
                    di * i * (1.0 - i),
                    df * f * (1.0 - f),
                    dg * (1.0 - g * g),
                    d_o * o * (1.0 - o),
                ];
                for (gate, sum) in sums.into_iter().enumerate() {
                    (da[gate * hidden + k], dr[gate * hidden + k]) = (sum, sum);
                }
            }
        }
    }
    gradient
}

/// The gates of one unit of a GRU.
struct Gru {
    /// How much of `r_n` the new gate sees.
    r: f64,
    /// How much of the state before stays.
    z: f64,
    /// What comes in its place.
    n: f64,
    /// `W_hn h_before + b_hn`
    r_n: f64,
}

impl Gru {
    /// From (a, r) of each gate.
    fn new(gate: impl Fn(usize) -> (f64, f64)) -> Self {
        let sum = |index| {
            let (a, r) = gate(index);
            sigmoid(a + r)
        };
        let (r, z, (a_n, r_n)) = (sum(0), sum(1), gate(2));
        Self { r, z, n: (a_n + r * r_n).tanh(), r_n }
    }
}

/// The gates of one unit of an LSTM.
struct Lstm {
    /// How much of `g` comes in.
    i: f64,
    /// How much of the cell state before stays.
    f: f64,
    /// What may come in.
    g: f64,
    /// How much of the cell state is shown.
    o: f64,
}

impl Lstm {
    /// From (a, r) of each gate.
    fn new(gate: impl Fn(usize) -> (f64, f64)) -> Self {
        let sum = |index| {
            let (a, r) = gate(index);
            a + r
        };
        Self { i: sigmoid(sum(0)), f: sigmoid(sum(1)), g: sum(2).tanh(), o: sigmoid(sum(3)) }
    }
}
