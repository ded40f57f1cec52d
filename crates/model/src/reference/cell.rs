//! One step of each cell in f64, from the two sums of its gates: forward, and back
//! beside it. The equations of a unit are [`kernels::reference`]'s; here is which sums a unit
//! has. The order of the gates and the two biases are PyTorch's (`torch.nn.RNN`, `GRU`, `LSTM`).
//!
//! Legend: H hidden units, G gates. `a = W_ih x + b_ih` and `r = W_hh h + b_hh` are
//! `[G·H]`, gate by gate; a gradient is `d` and the name.

use crate::Cell;
use kernels::reference;

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
            Cell::Elman(f) => {
                let (a, r) = gate(0);
                h[k] = reference::elman(f.into(), a + r);
            }
            Cell::Gru => {
                let [a, r] = sums_of(gate);
                h[k] = reference::gru(a, r, h_before[k]).h;
            }
            Cell::Lstm => {
                let unit = reference::lstm(summed(gate), c_before[k]);
                (c[k], h[k]) = (unit.c, unit.h);
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
            Cell::Elman(f) => {
                let dz = dh[k] * reference::elman_derivative(f.into(), step.h[k]);
                (da[k], dr[k]) = (dz, dz);
            }
            Cell::Gru => {
                let [a, r] = sums_of(gate);
                let unit = reference::gru(a, r, step.h_before[k]);
                // r_n stands within a product, so it has another gradient than a_n
                let (of_a, of_r, of_h) =
                    reference::gru_backward(unit, r[2], step.h_before[k], dh[k]);
                for (gate, (of_a, of_r)) in of_a.into_iter().zip(of_r).enumerate() {
                    (da[gate * hidden + k], dr[gate * hidden + k]) = (of_a, of_r);
                }
                dh_before[k] = of_h;
            }
            Cell::Lstm => {
                let unit = reference::lstm(summed(gate), step.c_before[k]);
                let (dz, of_c) = reference::lstm_backward(unit, step.c_before[k], dh[k], dc[k]);
                for (gate, dz) in dz.into_iter().enumerate() {
                    (da[gate * hidden + k], dr[gate * hidden + k]) = (dz, dz);
                }
                dc_before[k] = of_c;
            }
        }
    }
    gradient
}

/// The three a and the three r of a unit of a GRU, from (a, r) of each gate.
fn sums_of(gate: impl Fn(usize) -> (f64, f64)) -> [[f64; 3]; 2] {
    let gates = [0, 1, 2].map(gate);
    [gates.map(|(a, _)| a), gates.map(|(_, r)| r)]
}

/// The four a + r of a unit of an LSTM.
fn summed(gate: impl Fn(usize) -> (f64, f64)) -> [f64; 4] {
    [0, 1, 2, 3].map(|index| {
        let (a, r) = gate(index);
        a + r
    })
}
