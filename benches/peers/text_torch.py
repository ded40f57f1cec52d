#!/usr/bin/env python3
"""A text in PyTorch, eager, float32: the training of `cargo xtask train text`, and sampling.

    text_torch.py --work DIR --threads N        trains; prints one line of JSON
    text_torch.py --work DIR --threads N --sample COUNT

DIR holds what `cargo xtask bench peers --text` wrote: `work.json` (sizes, optimizer, schedule, which
stream starts anew at which update), the symbols as little-endian u32 (`train.u32`, `valid.u32`) and
the first weights (`start.safetensors`). So both programs see the same symbols in the same order from
the same weights, make the same updates, and validate on the same streams.

The network is `nn.RNN`, `nn.GRU` or `nn.LSTM` on one-hot rows, and an `nn.Linear`. Adam is the fused
one. Seconds are those of the updates: validation is not in them.
"""

import argparse
import json
import math
import pathlib
import time

import numpy as np
import torch
from torch import nn

CELLS = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
PASS_STEPS = 128


def load_safetensors(path):
    """The tensors of a file of float32 by name, as `safetensors.torch.load_file` gives them."""
    data = path.read_bytes()
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    tensors = {}
    for name, entry in header.items():
        if name != "__metadata__":
            first, last = entry["data_offsets"]
            values = np.frombuffer(data[end + first : end + last], dtype="<f4")
            tensors[name] = torch.from_numpy(values.reshape(entry["shape"]).copy())
    return tensors


class Text(nn.Module):
    """The next symbol's logits [T, B, V] from symbols [T, B]."""

    def __init__(self, cell, symbols, hidden):
        super().__init__()
        self.layer = CELLS[cell](symbols, hidden)
        self.head = nn.Linear(hidden, symbols)
        self.register_buffer("one_hot", torch.eye(symbols))

    def forward(self, x, state=None):
        y, state = self.layer(self.one_hot[x], state)
        return self.head(y), state

    def load(self, path):
        weights = load_safetensors(path)
        named = {name if name.startswith("head.") else "layer." + name: w for name, w in weights.items()}
        self.load_state_dict(named | {"one_hot": self.one_hot})


def symbols(path):
    return torch.from_numpy(np.fromfile(path, dtype="<u4").astype(np.int64))


def each(state, change):
    return tuple(change(part) for part in state) if isinstance(state, tuple) else change(state)


@torch.inference_mode()
def validate(model, text, count, steps, apart):
    starts = torch.arange(count) * apart
    state, loss = None, 0.0
    for first in range(0, steps, PASS_STEPS):
        rows = torch.arange(first, min(first + PASS_STEPS, steps))
        places = rows[:, None] + starts
        y, state = model(text[places], state)
        loss += nn.functional.cross_entropy(y.flatten(0, 1), text[places + 1].flatten(), reduction="sum").item()
    return loss / (count * steps)


def factor(step, warmup, steps, floor):
    """The learning rate's share at `step`, from 0: a line, then half a cosine."""
    if step < warmup:
        return (step + 1) / (warmup + 1)
    share = min((step - warmup) / (steps - warmup), 1.0)
    return floor + (1 - floor) * (1 + math.cos(math.pi * share)) / 2


def train(work, model, folder):
    data = work["data"]
    train_text, valid_text = symbols(folder / "train.u32"), symbols(folder / "valid.u32")
    batch, chunk, length = work["batch"], data["chunk"], len(train_text)
    adam = torch.optim.Adam(
        model.parameters(), lr=work["learning_rate"], betas=(work["beta1"], work["beta2"]), eps=work["epsilon"], fused=True
    )
    begins = torch.tensor([n * length // batch for n in range(batch)])
    rows = torch.arange(chunk)[:, None]
    state, seconds, validations = None, 0.0, []
    for update in range(work["updates"]):
        start = time.perf_counter()
        places = (begins + update * chunk + rows) % length
        x, classes = train_text[places], train_text[(places + 1) % length]
        if state is not None and data["restarts"][update]:
            kept = torch.ones(batch, 1)
            kept[data["restarts"][update]] = 0.0
            state = each(state, lambda part: part * kept)
        adam.zero_grad()
        y, state = model(x, state)
        loss = nn.functional.cross_entropy(y.flatten(0, 1), classes.flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), work["clip"])
        for group in adam.param_groups:
            group["lr"] = work["learning_rate"] * factor(update, work["warmup"], work["updates"], work["floor"])
        adam.step()
        state = each(state, lambda part: part.detach())
        seconds += time.perf_counter() - start
        if (update + 1) % work["validate_every"] == 0:
            valid = validate(model, valid_text, **data["valid"])
            validations.append({"updates": update + 1, "seconds": seconds, "loss": valid})
    return {"validations": validations}


@torch.inference_mode()
def sample(model, count):
    """Seconds for `count` symbols, one step each; the likelihood as it is."""
    symbol, state = torch.zeros(1, 1, dtype=torch.long), None
    for part in [count // 10, count]:  # the first to warm up
        start = time.perf_counter()
        for _ in range(part):
            y, state = model(symbol, state)
            symbol = torch.multinomial(torch.softmax(y[0] / 0.8, dim=-1), 1)
    return {"symbols_per_second": count / (time.perf_counter() - start)}


def main():
    parser = argparse.ArgumentParser(description="Train a text with PyTorch.")
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--sample", type=int)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)

    work = json.loads((arguments.work / "work.json").read_text())
    model = Text(work["cell"], work["data"]["symbols"], work["hidden"])
    model.load(arguments.work / "start.safetensors")
    if arguments.sample is not None:
        result = sample(model, arguments.sample)
    else:
        result = train(work, model, arguments.work)
    print(json.dumps({"version": torch.__version__, **result}))


if __name__ == "__main__":
    main()
