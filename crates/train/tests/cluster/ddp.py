#!/usr/bin/env python3
"""A text by PyTorch's DistributedDataParallel on Gloo: the rival of `cargo xtask cluster`.

    ddp.py TEXT --ranks 2 --hidden 256 --batch 32 --loss 2.0

As many processes on this machine, one thread each; the network, streams, optimizer and validation
part of `cargo xtask train text` with a constant rate: an LSTM on one-hot rows and a linear layer,
chunks of 64, states carried, Adam (fused) at 4e-3, gradients clipped to a length of 1. Prints a line
of JSON: seconds of training, without validation, until the loss on the last tenth of the text falls
below --loss.
"""

import argparse
import json
import os
import pathlib
import time

import torch
import torch.distributed as dist
import torch.multiprocessing as processes
from torch import nn
from torch.nn.parallel import DistributedDataParallel

CHUNK, VALID_STREAMS, VALID_STEPS = 64, 32, 3_484


class Text(nn.Module):
    def __init__(self, symbols, hidden):
        super().__init__()
        self.layer = nn.LSTM(symbols, hidden)
        self.head = nn.Linear(hidden, symbols)
        self.register_buffer("one_hot", torch.eye(symbols))

    def forward(self, x, state=None):
        y, state = self.layer(self.one_hot[x], state)
        return self.head(y), state


@torch.inference_mode()
def validate(model, text):
    apart = (len(text) - 1) // VALID_STREAMS
    steps, starts = min(apart, VALID_STEPS), torch.arange(VALID_STREAMS) * apart
    state, loss = None, 0.0
    for first in range(0, steps, 128):
        places = torch.arange(first, min(first + 128, steps))[:, None] + starts
        y, state = model(text[places], state)
        loss += nn.functional.cross_entropy(y.flatten(0, 1), text[places + 1].flatten(), reduction="sum").item()
    return loss / (VALID_STREAMS * steps)


def rank(number, args):
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(args.port)}
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=number, world_size=args.ranks)
    torch.manual_seed(args.seed)
    text = pathlib.Path(args.text).read_text()
    symbols = {symbol: n for n, symbol in enumerate(sorted(set(text)))}
    text = torch.tensor([symbols[symbol] for symbol in text])
    cut = len(text) * 9 // 10
    train, valid = text[:cut], text[cut:]
    plain = Text(len(symbols), args.hidden)
    model = DistributedDataParallel(plain)
    adam = torch.optim.Adam(model.parameters(), lr=4e-3, betas=(0.9, 0.99), fused=True)
    streams = args.ranks * args.batch
    begins = torch.tensor([n * cut // streams for n in range(number * args.batch, (number + 1) * args.batch)])
    rows = torch.arange(CHUNK)[:, None]
    state, seconds, update, loss = None, 0.0, 0, float("inf")
    while loss >= args.loss and update < args.updates:
        start = time.perf_counter()
        for _ in range(args.every):
            places = (begins + update * CHUNK + rows) % cut
            adam.zero_grad()
            y, state = model(train[places], state)
            nn.functional.cross_entropy(y.flatten(0, 1), train[(places + 1) % cut].flatten()).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            adam.step()
            state = tuple(part.detach() for part in state)
            update += 1
        seconds += time.perf_counter() - start
        told = torch.tensor([validate(plain, valid) if number == 0 else 0.0])
        dist.broadcast(told, 0)
        loss = told.item()
    if number == 0:
        found = {"seconds": seconds, "updates": update, "loss": loss, "symbols_per_second": update * streams * CHUNK / seconds}
        print(json.dumps({"ranks": args.ranks, "batch": args.batch, "hidden": args.hidden} | found))
    dist.destroy_process_group()


def main():
    parser = argparse.ArgumentParser(description="Train a text with DistributedDataParallel.")
    parser.add_argument("text")
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--batch", type=int, default=32, help="of a process")
    parser.add_argument("--loss", type=float, default=2.0)
    parser.add_argument("--every", type=int, default=20, help="updates between two validations")
    parser.add_argument("--updates", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--port", type=int, default=29_577)
    args = parser.parse_args()
    processes.spawn(rank, (args,), nprocs=args.ranks)


if __name__ == "__main__":
    main()
