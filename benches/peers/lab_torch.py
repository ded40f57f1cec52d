#!/usr/bin/env python3
"""The lab in PyTorch, eager, float32, one thread.

`nn.RNN` knows tanh and relu only, so the sigmoid cell is a loop over the digits,
as its users write it. (The sigmoid can be had from `nn.RNN`'s tanh by
sigmoid(a) = (1 + tanh(a / 2)) / 2 and weights scaled to suit; with the gradient
back through the scaling that was tried and is slower than the loop.)

- `--backward grad`: autograd, with the step applied to the weights in place
  (`torch.optim.SGD`, `backward` and a state of [1, H] were slower).
- `--backward hand`: the fastest eager form found: the gradient by hand in inference
  mode, every result written into memory allocated once, each operation on views
  made once. What remains is the dispatch of some fifty operations an example.
"""

import torch

import lab

torch.set_num_threads(1)


def train_grad(weights, x, y):
    """Trains by autograd; x [N][T, 2], y [N][T]; the errors [N]."""
    weights = w_in, w_rec, w_out = [w.clone().requires_grad_() for w in weights]
    errors = []
    for x_n, y_n in zip(x, y):
        projected = torch.mm(x_n, w_in).unbind()
        h = [torch.sigmoid(projected[0])]
        for p in projected[1:]:
            h.append(torch.sigmoid(torch.addmv(p, w_rec.t(), h[-1])))
        difference = y_n - torch.sigmoid(torch.mv(torch.stack(h), w_out))
        loss = 0.5 * torch.dot(difference, difference)
        gradient = torch.autograd.grad(loss, weights)
        with torch.no_grad():
            for w, d in zip(weights, gradient):
                w.sub_(d, alpha=lab.LEARNING_RATE)
            errors.append(difference.abs().sum())
    return torch.stack(errors)


@torch.inference_mode()
def train_hand(weights, x, y):
    """Trains with the gradient by hand; x [N][T, 2], y [N][T]; the errors [N]."""
    w_in, w_rec, w_out = [w.clone() for w in weights]
    w_rec_t = w_rec.t()
    steps = lab.BITS
    history = torch.zeros(steps + 1, lab.HIDDEN)  # h_0 = 0, then the state after each digit
    states = history[1:]
    previous_t, states_t = history[:-1].t(), states.t()
    projected, slope, pulled, d_hidden = (torch.empty(steps, lab.HIDDEN) for _ in range(4))
    h, p, s, q, d = (list(rows.unbind()) for rows in (history, projected, slope, pulled, d_hidden))
    errors = torch.empty(len(x))

    for n, (x_n, y_n) in enumerate(zip(x, y)):
        torch.mm(x_n, w_in, out=projected)
        for t in range(steps):
            torch.addmv(p[t], w_rec_t, h[t], out=h[t + 1]).sigmoid_()
        o = torch.mv(states, w_out).sigmoid_()
        difference = y_n - o
        errors[n] = difference.abs().sum()

        # The step is added: d_out is the output's pull, minus the loss's gradient.
        d_out = difference * o * (1 - o)
        torch.addcmul(states, states, states, value=-1, out=slope)  # h (1 - h)
        torch.outer(d_out, w_out, out=pulled)
        torch.mul(q[-1], s[-1], out=d[-1])
        for t in range(steps - 2, -1, -1):
            torch.addmv(q[t], w_rec, d[t + 1], out=d[t]).mul_(s[t])

        w_out.addmv_(states_t, d_out, alpha=lab.LEARNING_RATE)
        w_rec.addmm_(previous_t, d_hidden, alpha=lab.LEARNING_RATE)
        w_in.addmm_(x_n.t(), d_hidden, alpha=lab.LEARNING_RATE)
    return errors


VARIANTS = {"hand": train_hand, "grad": train_grad}


def preparer(backward):
    train = VARIANTS[backward]

    def prepare(weights, pairs):
        w_in, w_rec, w_out = (torch.tensor(w, dtype=torch.float32) for w in weights)
        start = (w_in, w_rec, w_out[:, 0].contiguous())
        x, y = (torch.from_numpy(rows).unbind() for rows in lab.digits(pairs))
        train(start, x[:50], y[:50])  # warm
        return lambda: train(start, x, y)

    return prepare


if __name__ == "__main__":
    arguments = lab.arguments("Time the lab in PyTorch.", tuple(VARIANTS))
    lab.compete(f"torch, {arguments.backward}", torch.__version__, arguments, preparer(arguments.backward))
