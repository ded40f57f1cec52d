"""What a text costs a network that `cargo xtask train text` trained, by PyTorch: nats a character.

    python loss_of_a_text.py RUN FILE           needs torch and safetensors
"""

import sys
import tomllib

import torch
from safetensors.torch import load_file

run, file = sys.argv[1:]
config = tomllib.load(open(f"{run}/config.toml", "rb"))
symbols, hidden = config["task"]["vocabulary"]["symbols"], config["network"]["hidden"]
weights = load_file(f"{run}/model.safetensors")

# A symbol is a row of the embedding; without one, it is a row of the identity.
rows = weights.pop("embedding.weight", torch.eye(len(symbols)))
head = torch.nn.Linear(hidden, len(symbols))
head.load_state_dict({name: weights.pop(f"head.{name}") for name in ["weight", "bias"]})
lstm = torch.nn.LSTM(rows.shape[1], hidden)
lstm.load_state_dict(weights)

text = torch.tensor([symbols.index(c) for c in open(file, newline="").read() if c in symbols])
with torch.no_grad():
    y, _ = lstm(rows[text[:-1]])
    print(torch.nn.functional.cross_entropy(head(y), text[1:]).item())
