#!/usr/bin/env python3
"""The lab in JAX: the whole training compiled, `jit` over `lax.scan` over the examples.

Two ways to the gradient, both float32 on the CPU:

- `--backward grad`: what one writes, `jax.grad` through an inner `lax.scan` over the digits.
- `--backward hand`: the fastest form found. XLA turns each small matrix product
  into a call of its own, and at 16 units the calls are the cost; so

  1. the digits are unrolled, and the gradient is written out by hand;
  2. a product is a multiply and a sum, which XLA fuses with the sigmoid behind it
     (less than half the time of the same step written with `@`);
  3. the scan over the examples is unrolled four times (8 is slower).

Other forms tried and slower: unrolling under `jax.grad`, `@` for the weight
gradients, the sigmoid by tanh. XLA flags (fast math, vector width, threads) made
no difference, so none is set. Compilation and the transfer of the digits are
outside the clock; `block_until_ready` is inside.
"""

import jax
import jax.numpy as jnp
from jax import lax

import lab

jax.config.update("jax_platforms", "cpu")

sigmoid = jax.nn.sigmoid


def update(weights, gradient):
    return jax.tree.map(lambda w, d: w - lab.LEARNING_RATE * d, weights, gradient)


def step_grad(weights, example):
    """One example with `jax.grad`: the new weights, and the error."""

    def loss(weights):
        w_in, w_rec, w_out = weights
        x, y = example  # [T, 2], [T]

        def cell(h, projected):
            h = sigmoid(projected + h @ w_rec)
            return h, h

        _, states = lax.scan(cell, jnp.zeros(lab.HIDDEN), x @ w_in)
        difference = y - sigmoid(states @ w_out)
        return 0.5 * jnp.sum(difference**2), jnp.sum(jnp.abs(difference))

    gradient, error = jax.grad(loss, has_aux=True)(weights)
    return update(weights, gradient), error


def step_hand(weights, example):
    """One example with the gradient by hand: the new weights, and the error."""
    w_in, w_rec, w_out = weights
    x, y = example  # [T, 2], [T]
    steps = range(lab.BITS)

    # Forward. h[t] is the state after digit t; before the first it is zero.
    projected = [x[t, 0] * w_in[0] + x[t, 1] * w_in[1] for t in steps]
    h = [sigmoid(projected[0])]
    for t in steps[1:]:
        h.append(sigmoid(projected[t] + jnp.sum(h[t - 1][:, None] * w_rec, axis=0)))
    states = jnp.stack(h)
    o = sigmoid(jnp.sum(states * w_out, axis=1))
    difference = y - o
    d_out = -difference * o * (1 - o)

    # Back through time, from the last digit to the first.
    d_hidden = [None] * lab.BITS
    d_hidden[-1] = d_out[-1] * w_out * h[-1] * (1 - h[-1])
    for t in reversed(steps[:-1]):
        pulled = jnp.sum(w_rec * d_hidden[t + 1], axis=1) + d_out[t] * w_out
        d_hidden[t] = pulled * h[t] * (1 - h[t])

    d_w_in = jnp.stack([sum(x[t, i] * d_hidden[t] for t in steps) for i in range(2)])
    d_w_rec = sum(h[t - 1][:, None] * d_hidden[t] for t in steps[1:])
    d_w_out = jnp.sum(d_out[:, None] * states, axis=0)
    return update(weights, (d_w_in, d_w_rec, d_w_out)), jnp.sum(jnp.abs(difference))


# The step, and how often the scan over the examples is unrolled.
VARIANTS = {"hand": (step_hand, 4), "grad": (step_grad, 1)}


def preparer(backward):
    step, unroll = VARIANTS[backward]

    def prepare(weights, pairs):
        w_in, w_rec, w_out = (jnp.asarray(w, jnp.float32) for w in weights)
        start = (w_in, w_rec, w_out[:, 0])
        examples = tuple(map(jnp.asarray, lab.digits(pairs)))
        compiled = jax.jit(lambda w, e: lax.scan(step, w, e, unroll=unroll)).lower(start, examples).compile()

        def run():
            _, errors = jax.block_until_ready(compiled(start, examples))
            return errors

        run()
        return run

    return prepare


if __name__ == "__main__":
    arguments = lab.arguments("Time the lab in JAX.", tuple(VARIANTS))
    lab.compete(f"jax, {arguments.backward}", jax.__version__, arguments, preparer(arguments.backward))
