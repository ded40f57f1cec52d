#!/usr/bin/env python3
"""A forecast in PyTorch, eager, float32: the training of `cargo xtask train series`.

    series_torch.py --work DIR --threads N        trains; prints one line of JSON

DIR holds what `cargo xtask bench peers --series` wrote: `work.json` (sizes, optimizer, schedule), all
batches one behind the other (`x.f32` [updates, T, B, I], `y.f32` [updates, B, O]; NaN where a value is
missing), what is validated (`valid_x.f32`, `valid_y.f32`) and the first weights. So both programs see
the same windows in the same order from the same weights, make the same updates, and validate on the
same windows. PyTorch finds its batches laid out; Carry draws its own inside the clock.

The network is `nn.RNN`, `nn.GRU` or `nn.LSTM` and an `nn.Linear` on the last step; AdamW is the fused
one. Seconds are those of the updates: validation is not in them.
"""

import argparse
import json
import pathlib
import time

import numpy as np
import torch
from torch import nn

from text_torch import CELLS, factor, load_safetensors


class Forecast(nn.Module):
    """The outputs [B, O] from windows [T, B, I]."""

    def __init__(self, cell, inputs, hidden, outputs):
        super().__init__()
        self.layer = CELLS[cell](inputs, hidden)
        self.head = nn.Linear(hidden, outputs)

    def forward(self, x):
        y, _ = self.layer(x)
        return self.head(y[-1])

    def load(self, path):
        weights = load_safetensors(path)
        self.load_state_dict({name if name.startswith("head.") else "layer." + name: w for name, w in weights.items()})


def loss_of(y, truth, delta):
    """Huber's, a mean over all values; a missing one counts as without error."""
    truth = torch.where(truth.isnan(), y.detach(), truth)
    return nn.functional.huber_loss(y, truth, delta=delta)


def main():
    parser = argparse.ArgumentParser(description="Train a forecast with PyTorch.")
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    work = json.loads((arguments.work / "work.json").read_text())
    data, batch = work["data"], work["batch"]

    def values(name, shape):
        return np.fromfile(arguments.work / f"{name}.f32", dtype="<f4").reshape(shape)

    window, inputs, outputs, count = data["window"], data["inputs"], data["outputs"], data["valid"]
    x = torch.from_numpy(values("x", (work["updates"], window, batch, inputs)))
    y = torch.from_numpy(values("y", (work["updates"], batch, outputs)))
    valid_x = torch.from_numpy(values("valid_x", (window, count, inputs)))
    valid_y = torch.from_numpy(values("valid_y", (count, outputs)))

    model = Forecast(work["cell"], inputs, work["hidden"], outputs)
    model.load(arguments.work / "start.safetensors")
    adam = torch.optim.AdamW(
        model.parameters(),
        lr=work["learning_rate"],
        betas=(work["beta1"], work["beta2"]),
        eps=work["epsilon"],
        weight_decay=work["weight_decay"],
        fused=True,
    )
    seconds, validations = 0.0, []
    for update in range(work["updates"]):
        start = time.perf_counter()
        adam.zero_grad()
        loss_of(model(x[update]), y[update], data["huber"]).backward()
        nn.utils.clip_grad_norm_(model.parameters(), work["clip"])
        for group in adam.param_groups:
            group["lr"] = work["learning_rate"] * factor(update, work["warmup"], work["updates"], work["floor"])
        adam.step()
        seconds += time.perf_counter() - start
        if (update + 1) % work["validate_every"] == 0:
            with torch.inference_mode():
                loss = loss_of(model(valid_x), valid_y, data["huber"]).item()
            validations.append({"updates": update + 1, "seconds": seconds, "loss": loss})
    print(json.dumps({"version": torch.__version__, "validations": validations}))


if __name__ == "__main__":
    main()
