//! The steps of a network that remembers its outputs, which come back in place of the states
//! (M. I. Jordan, Serial order: a parallel distributed processing approach, 1986).
//!
//! ```text
//! forward     z[t] = x[t]·W_in + b + y[t−1]·W_rec    h[t] = f(z[t])    y[t] = g(u[t])
//!             u[t] = h[t]·W_outᵀ + b_out
//! backward    du[t] = dy[t] + (dz[t+1]·W_recᵀ) ⊙ g′(u[t])             dy: before g, too
//!             dz[t] = (du[t]·W_out) ⊙ f′(z[t])
//! ```
//!
//! A step is B rows, those behind the end of a sequence among them: there dy is zero, so that
//! du and dz are.

use super::output;
use super::segment::{part, part_mut};
use crate::{HeadActivation, Parameters};
use kernels::cell::elman;
use kernels::matmul::gemm;
use kernels::matrix::MatRef;

/// What the steps need to know of the network.
pub(super) struct Steps<'a> {
    pub parameters: &'a Parameters,
    pub nonlinearity: elman::Nonlinearity,
    /// T and B
    pub size: (usize, usize),
}

impl Steps<'_> {
    /// `[O, S]`
    fn w_rec(&self) -> MatRef<'_> {
        let config = self.parameters.config();
        let w_rec = self.parameters.layer(0, 0).w_rec;
        MatRef::new(w_rec, config.outputs(), config.stride())
    }

    /// `h` `[T, B, S]` holds `x·W_in + b` and becomes the states; `y` `[T + 1, B, O]` holds the
    /// outputs before the first step and becomes all.
    pub fn forward(&self, h: &mut [f32], y: &mut [f32]) {
        let config = self.parameters.config();
        let ((steps, batch), outputs) = (self.size, config.outputs());
        for t in 0..steps {
            let (before, now) = y[t * batch * outputs..].split_at_mut(batch * outputs);
            let mut h = part_mut(h, t * batch, batch, config.stride());
            gemm(1.0, part(before, 0, batch, outputs), self.w_rec(), 1.0, h.reborrow());
            elman::forward(self.nonlinearity, config.hidden(), h.reborrow());
            output::forward(self.parameters, &[h.as_ref()], &mut now[..batch * outputs]);
        }
    }

    /// `du` `[T, B, O]` holds dy and becomes du; `dz` `[T, B, S]` is written; `dbefore` `[B, O]`
    /// becomes ∂L/∂ the outputs before the first step.
    pub fn backward(
        &self,
        h: &[f32],
        y: &[f32],
        du: &mut [f32],
        dz: &mut [f32],
        dbefore: &mut [f32],
    ) {
        let config = self.parameters.config();
        let ((steps, batch), outputs, stride) = (self.size, config.outputs(), config.stride());
        let is_sigmoid =
            config.head().is_some_and(|head| head.activation == HeadActivation::Sigmoid);
        dbefore.fill(0.0); // ∂L/∂y[t] through the step behind
        for t in (0..steps).rev() {
            let of_step = t * batch * outputs..(t + 1) * batch * outputs;
            let y = &y[of_step.end..of_step.end + batch * outputs]; // behind those remembered
            let du = &mut du[of_step];
            for ((du, y), dy) in du.iter_mut().zip(y).zip(&*dbefore) {
                *du += dy * if is_sigmoid { y * (1.0 - y) } else { 1.0 };
            }
            let dz = &mut dz[t * batch * stride..(t + 1) * batch * stride];
            output::backward(self.parameters, part(du, 0, batch, outputs), 0, dz);
            let h = part(h, t * batch, batch, stride);
            elman::backward(self.nonlinearity, h, part_mut(dz, 0, batch, stride));
            let dz = part(dz, 0, batch, stride);
            gemm(1.0, dz, self.w_rec().t(), 0.0, part_mut(dbefore, 0, batch, outputs));
        }
    }
}
