#!/usr/bin/env python3
"""PyTorch's half of the example: trains an LSTM for Carry, and takes one from Carry.

    pytorch.py train FOLDER   trains, and writes what Carry needs into FOLDER
    pytorch.py check FOLDER   loads what Carry trained further, and compares

README.md tells the whole way. Both halves speak safetensors: a `state_dict` with the
names that PyTorch gives, and beside it the same sequences and outputs for both.

The task is the adding problem (Hochreiter & Schmidhuber, 1997): each step of a sequence
shows a number in [0, 1] and a mark, and two steps are marked; the answer, given behind
the last step, is the sum of the two marked numbers.
"""

import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

STEPS, BATCH, INPUTS, HIDDEN, OUTPUTS = 20, 64, 2, 32, 1


def sequences(batch):
    """Sequences x [T, B, 2] and their answers [B, 1]."""
    numbers = torch.rand(STEPS, batch)
    marks = torch.zeros(STEPS, batch)
    for b in range(batch):
        marks[torch.randperm(STEPS)[:2], b] = 1.0
    return torch.stack([numbers, marks], dim=2), (numbers * marks).sum(dim=0)[:, None]


def network():
    """The LSTM and its head, as Carry knows them: `head` on the last step."""
    return nn.LSTM(INPUTS, HIDDEN), nn.Linear(HIDDEN, OUTPUTS)


def predict(lstm, head, x):
    """The answers [B, 1] to x [T, B, 2]."""
    states, _ = lstm(x)
    return head(states[-1])


def train(folder):
    lstm, head = network()
    optimizer = torch.optim.Adam([*lstm.parameters(), *head.parameters()], lr=1e-2)
    for step in range(1, 601):
        x, target = sequences(BATCH)
        loss = nn.functional.mse_loss(predict(lstm, head, x), target)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(lstm.parameters(), 1.0)
        optimizer.step()
        if step % 150 == 0:
            print(f"step {step}: squared error {loss.item():.6f}")
    x, target = sequences(256)
    y = predict(lstm, head, x).detach()
    print(f"fresh sequences: squared error {nn.functional.mse_loss(y, target).item():.6f}")
    folder.mkdir(parents=True, exist_ok=True)
    weights = {**lstm.state_dict(), **head.state_dict(prefix="head.")}
    save_file(weights, folder / "from_pytorch.safetensors")
    save_file({"x": x, "target": target, "y": y}, folder / "sequences.safetensors")
    print(f"wrote from_pytorch.safetensors and sequences.safetensors into {folder}")


def check(folder):
    weights = load_file(folder / "from_carry.safetensors")
    lstm, head = network()
    # strict: every tensor must be there, of PyTorch's shape, and none beside them
    lstm.load_state_dict({k: v for k, v in weights.items() if not k.startswith("head.")})
    head.load_state_dict({k[5:]: v for k, v in weights.items() if k.startswith("head.")})
    x, target = (load_file(folder / "sequences.safetensors")[name] for name in ("x", "target"))
    carry = load_file(folder / "outputs_of_carry.safetensors")["y"]
    with torch.no_grad():
        y = predict(lstm, head, x)
    print(f"squared error of Carry's weights in PyTorch: {nn.functional.mse_loss(y, target):.6f}")
    difference = (y - carry).abs().max().item()
    print(f"greatest difference of outputs, PyTorch and Carry: {difference:.1e}")
    if not difference < 1e-5:
        sys.exit("error: the outputs differ by more than rounding")


def main():
    commands = {"train": train, "check": check}
    if len(sys.argv) != 3 or sys.argv[1] not in commands:
        print(f"usage: {sys.argv[0]} train|check FOLDER", file=sys.stderr)
        sys.exit(2)
    torch.manual_seed(0)
    commands[sys.argv[1]](Path(sys.argv[2]))


if __name__ == "__main__":
    main()
