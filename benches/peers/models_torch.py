#!/usr/bin/env python3
"""The recurrent layers of PyTorch, eager, float32: training steps and inference.

    models_torch.py --threads N --repeat R [--cell rnn|gru|lstm]

The cases, the weights and the answer's form are those of `models/work.rs`, which see:
a training step is zero gradients, forward from zero states, loss sum(y^2) over the
states of all steps, backward, SGD; inference is the forward pass without autograd.
Prints one line of JSON with the milliseconds of each step and the first loss.

The layers are `nn.RNN`, `nn.GRU` and `nn.LSTM` as they are, which choose their own
implementation (oneDNN for the LSTM). Gradients are set to None, which is PyTorch's default and its
fastest; `torch.compile` does not reach into these layers.
"""

import argparse
import json
import time

import numpy as np
import torch

SIZES = [(64, 128, 64, 32), (128, 512, 64, 32), (64, 256, 128, 16), (64, 128, 64, 1)]  # I, H, T, B
CELLS = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}
LEARNING_RATE = 1e-6


def uniform(seed, shape, bound):
    """Numbers in [-bound, bound) by place, as in `models/work.rs`."""
    bits = np.arange(np.prod(shape), dtype=np.uint32) * np.uint32(2_654_435_761)
    bits += np.uint32(seed * 40_503)
    bits ^= bits >> np.uint32(15)
    bits *= np.uint32(2_246_822_519)
    bits ^= bits >> np.uint32(13)
    values = ((bits >> np.uint32(8)).astype(np.float32) / np.float32(8_388_608) - 1) * np.float32(bound)
    return torch.from_numpy(values.reshape(shape))


def network(cell, inputs, hidden, steps, batch):
    layer = CELLS[cell](inputs, hidden)
    bound = np.float32(1) / np.sqrt(np.float32(hidden))
    names = ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"]
    with torch.no_grad():
        for seed, name in enumerate(names, start=1):
            parameter = getattr(layer, name)
            parameter.copy_(uniform(seed, tuple(parameter.shape), bound))
    return layer, uniform(5, (steps, batch, inputs), 1.0)


def trainer(layer, x):
    optimizer = torch.optim.SGD(layer.parameters(), lr=LEARNING_RATE)

    def step():
        optimizer.zero_grad()
        y, _ = layer(x)
        loss = y.square().sum()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def inferrer(layer, x):
    layer.eval()

    @torch.inference_mode()
    def step():
        y, _ = layer(x)
        return y

    return step


def timed(step, repeat):
    """The first result and the milliseconds of `repeat` more calls, after three to warm up."""
    first = step()
    for _ in range(2):
        step()
    milliseconds = []
    for _ in range(repeat):
        start = time.perf_counter()
        last = step()
        milliseconds.append((time.perf_counter() - start) * 1e3)
    assert np.isfinite(float(torch.as_tensor(last).square().sum()))
    return first, milliseconds


def main():
    parser = argparse.ArgumentParser(description="Time PyTorch's recurrent layers.")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--cell", choices=CELLS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    results = []
    for cell in CELLS if arguments.cell is None else [arguments.cell]:
        for sizes in SIZES:
            for mode in ["training", "inference"]:
                layer, x = network(cell, *sizes)
                first, milliseconds = timed((trainer if mode == "training" else inferrer)(layer, x), arguments.repeat)
                loss = first if mode == "training" else float(first.double().square().sum())
                results.append(
                    {"cell": cell, "sizes": sizes, "mode": mode, "loss": loss, "milliseconds": milliseconds}
                )
    print(json.dumps({"peer": "torch", "version": torch.__version__, "threads": arguments.threads, "results": results}))


if __name__ == "__main__":
    main()
