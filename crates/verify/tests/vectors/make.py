#!/usr/bin/env python3
"""Writes the test vectors of FORMAT.md beside itself, from the committed certificate of two units, and
from networks written by hand for other cells, heads and machines.

It computes digests as the page says, independently of the crate. `index.json` lists every vector:
the files, and the words of its refusal, or null where the certificate holds.
"""
import copy
import hashlib
import json
import math
import pathlib
import struct

HERE = pathlib.Path(__file__).parent
FIXTURE = HERE.parent / "fixtures" / "certified" / "two-units-with-biases"
BASE = json.loads(FIXTURE.with_suffix(".json").read_text())
MODEL = FIXTURE.with_suffix(".safetensors").read_bytes()
ADDITION = {
    "name": "addition",
    "symbols": ["00", "01", "10", "11"],
    "shown": [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]],
    "outputs": ["0", "1"],
    "states": ["carry 0", "carry 1"],
    "transitions": [[[0, 0], [0, 1], [0, 1], [1, 0]], [[0, 1], [1, 0], [1, 0], [1, 1]]],
}
index = []


def whole(n):
    return struct.pack("<Q", n)


def text(value):
    return whole(len(value.encode())) + value.encode()


def numbers(values):
    return whole(len(values)) + b"".join(struct.pack("<d", value) for value in values)


def seal(c):
    out = b""
    if "machine" in c:
        machine = c["machine"]
        out += text(c["cell"]) + text(machine["name"])
        for names in ("symbols", "outputs", "states"):
            out += whole(len(machine[names])) + b"".join(map(text, machine[names]))
        out += b"".join(map(numbers, machine["shown"]))
        for to in sum(machine["transitions"], []):
            out += whole(2**64 - 1) if to is None else whole(to[0]) + whole(to[1])
    out += whole(c["steps"])
    for node in c["nodes"]:
        out += text(node["key"]) + whole(len(node.get("axes", [])))
        out += b"".join(map(numbers, node.get("axes", [])))
        out += whole(len(node["cells"]))
        for piece in node["cells"]:
            out += numbers(piece["low"]) + numbers(piece["high"]) + numbers(piece.get("slopes", []))
    return hashlib.sha256(out).hexdigest()


def tensors(model):
    length = struct.unpack("<Q", model[:8])[0]
    header, data = json.loads(model[8 : 8 + length]), model[8 + length :]
    return {
        name: [entry["dtype"], entry["shape"], data[slice(*entry["data_offsets"])]]
        for name, entry in header.items()
    }


def safetensors(named):
    header, data = {}, b""
    for name, (dtype, shape, values) in named.items():
        offsets = [len(data), len(data) + len(values)]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": offsets}
        data += values
    header = json.dumps(header).encode()
    header += b" " * (-len(header) % 8)
    return whole(len(header)) + header + data


def vector(name, error, certificate=lambda c: None, model=None, raw=None, reseal=True, format4=False):
    """One vector: the base, changed, and the words of its refusal (none: it holds)."""
    c, bytes_of_model, files = copy.deepcopy(BASE), MODEL, {}
    if format4:
        c["format"], c["cell"], c["machine"] = "carry-certificate-4", "elman-sigmoid", copy.deepcopy(ADDITION)
    if model:
        named = tensors(MODEL)
        model(named)
        bytes_of_model = safetensors(named)
        (HERE / f"{name}.safetensors").write_bytes(bytes_of_model)
    c["model"] = hashlib.sha256(bytes_of_model).hexdigest()
    certificate(c)
    if reseal:
        c["seal"] = seal(c)
    written = raw(json.dumps(c)) if raw else json.dumps(c)
    (HERE / f"{name}.json").write_text(written + "\n")
    index.append({"name": name, "model": bool(model), "error": error})


def node(c, key):
    return next(node for node in c["nodes"] if node["key"] == key)


def piece(c, key):
    return node(c, key)["cells"][0]


def put(target, name, value):
    target[name] = value


def split(c, gap=0.0, swap=False):
    """Node `1 11` in two pieces along the first unit."""
    cells = node(c, "1 11")["cells"]
    first, second = cells[0], copy.deepcopy(cells[0])
    first["high"][0], second["low"][0] = 0.9999999, 0.9999999 + gap
    cells.append(second)
    if swap:
        cells.reverse()


def turned(c, key):
    """The node's box as a parallelepiped along the same axes, a little wider."""
    n = node(c, key)
    n["axes"] = [[1.0, 0.0], [0.0, 1.0]]
    for p in n["cells"]:
        p["low"], p["high"] = [x - 1e-6 for x in p["low"]], [x + 1e-6 for x in p["high"]]
        p["slopes"] = [0.0, 0.0]


def floats(*values):
    return struct.pack(f"<{len(values)}f", *values)


# Certificates that hold.
vector("holds-format-3", None)
vector("holds-format-4", None, format4=True)
vector("holds-two-pieces", None, split)
vector("holds-axes-and-slopes", None, lambda c: turned(c, "1 11"))
vector("holds-more-steps", None, lambda c: put(c, "steps", 2))
vector("holds-nodes-in-another-order", None, lambda c: c["nodes"].reverse())

# The form of the file.
vector("not-json", "is not one", raw=lambda text: text[:-1])
vector("unknown-field", "unknown field", lambda c: put(c, "more", 1))
vector("field-twice", "duplicate field", raw=lambda text: text.replace('"steps"', '"steps": 1, "steps"', 1))
vector("infinite-number", "out of range", raw=lambda text: text.replace("0.0", "1e999", 1))
vector("nested-deeply", "is not one", raw=lambda text: text.replace("0.0", "[" * 10_000 + "]" * 10_000, 1))
vector("format", "its format is", lambda c: put(c, "format", "carry-certificate-2"))
vector("format-4-without-machine", "", lambda c: c.pop("machine"), format4=True)
vector("format-3-with-machine", "", lambda c: put(c, "format", "carry-certificate-3"), format4=True)
vector("other-network", "network with the digest", lambda c: put(c, "model", "0" * 64))
vector("no-steps", "takes 0 steps", lambda c: put(c, "steps", 0))
vector("many-steps", "takes 13 steps", lambda c: put(c, "steps", 13))
vector("seal", "it was changed", lambda c: put(c, "steps", 2), reseal=False)

# The machine.
for name, field, value in [
    ("machine-symbol-with-a-space", "symbols", ["0 0", "01", "10", "11"]),
    ("machine-symbol-twice", "symbols", ["00", "01", "01", "11"]),
    ("machine-shown-above-1", "shown", [[0.0, 0.0], [0.0, 2.0], [1.0, 0.0], [1.0, 1.0]]),
    ("machine-one-output", "outputs", ["0"]),
    ("machine-state-without-a-row", "states", ["carry 0", "carry 1", "carry 2"]),
    ("machine-transition-to-no-state", "transitions", [ADDITION["transitions"][0], [[2, 1]] * 4]),
]:
    vector(name, "is not one", lambda c: put(c["machine"], field, value), format4=True)
vector("cell", "is not one", lambda c: put(c, "cell", "step"), format4=True)
vector(
    "machine-of-another-task",
    "after 11 the output may be on the wrong side",
    lambda c: put(c["machine"], "transitions", [[[0, 0], [0, 1], [0, 1], [1, 1]], ADDITION["transitions"][1]]),
    format4=True,
)

# The network.
vector("weight-not-a-number", "above 2^100", model=lambda t: put(t["bias_hh_l0"], 2, floats(0, float("nan"))))
vector("weight-infinite", "above 2^100", model=lambda t: put(t["bias_hh_l0"], 2, floats(0, float("inf"))))
vector("weight-huge", "above 2^100", model=lambda t: put(t["bias_hh_l0"], 2, floats(0, 2.0**101)))
vector("tensor-missing", "has no `bias_hh_l0`", model=lambda t: t.pop("bias_hh_l0"))
vector("tensor-unknown", "the network has", model=lambda t: put(t, "more", ["F32", [1], floats(0)]))
vector("tensor-of-halves", "not F32", model=lambda t: put(t["bias_hh_l0"], 0, "F16") or put(t["bias_hh_l0"], 2, bytes(4)))
vector("tensor-shape", "`weight_ih_l0`", model=lambda t: put(t["weight_ih_l0"], 1, [1, 4]))

# Nodes.
vector("key-state", "does not begin with start", lambda c: put(node(c, "0 00"), "key", "2 00"))
vector("key-with-a-zero", "does not begin with start", lambda c: put(node(c, "0 00"), "key", "00 00"))
vector("key-symbol", "no symbol", lambda c: put(node(c, "0 00"), "key", "0 02"))
vector("key-twice", "is there twice", lambda c: c["nodes"].append(copy.deepcopy(node(c, "0 00"))))
vector("low-too-short", "is not of a network", lambda c: piece(c, "0 00")["low"].pop())
vector("slopes-too-long", "is not of a network", lambda c: put(piece(c, "0 00"), "slopes", [0.0] * 3))
vector("axes-not-square", "is not of a network", lambda c: put(node(c, "0 00"), "axes", [[1.0, 0.0]]))
vector("no-pieces", "make no set", lambda c: put(node(c, "0 00"), "cells", []))
vector("low-above-high", "make no set", lambda c: put(piece(c, "0 00")["low"], 0, 0.5))
vector("bound-above-8", "make no set", lambda c: put(piece(c, "0 00")["high"], 0, 8.5))
vector("first-slope", "make no set", lambda c: put(piece(c, "0 00"), "slopes", [0.5, 0.0]))
vector("pieces-out-of-order", "not in order", lambda c: split(c, swap=True))

# The proof.
vector("no-start", "no node `start`", lambda c: c["nodes"].pop())
vector("start-beside-the-origin", "is not a box", lambda c: put(piece(c, "start")["low"], 0, 1e-9) or put(piece(c, "start")["high"], 0, 1e-9))
vector("start-along-axes", "is not a box", lambda c: put(node(c, "start"), "axes", [[1.0, 0.0], [0.0, 1.0]]))
vector("start-with-slopes", "is not a box", lambda c: put(piece(c, "start"), "slopes", [0.0, 0.0]))
vector("output", "wrong side of ½", model=lambda t: put(t["head.bias"], 2, floats(-95)))
vector("no-node", "leads to no node", lambda c: c["nodes"].remove(node(c, "1 11")))
vector("node-too-small", "leads out of node `1 11`", lambda c: put(piece(c, "1 11")["high"], 1, 0.5744))
vector("node-too-small-along-the-first-row", "leads out of node `0 01`", lambda c: put(piece(c, "0 01")["high"], 0, 1e-6))
vector("gap-between-pieces", "leads out of node `1 11`", lambda c: split(c, gap=1e-8))



# Other cells, heads and machines: counters modulo n, in networks written by hand. Units are steps
# in q + x, where q, the count, is a sum of the units' states.
def counter(n):
    return {
        "name": f"modulo {n}",
        "symbols": ["zero", "one"],
        "shown": [[0.0], [1.0]],
        "outputs": [str(k) for k in range(n)],
        "states": [f"count {k}" for k in range(n)],
        "transitions": [[[k, k], [(k + 1) % n, (k + 1) % n]] for k in range(n)],
    }


FUNCTIONS = {
    "elman-sigmoid": lambda z: 1 / (1 + math.exp(-z)),
    "elman-tanh": math.tanh,
    "elman-relu": lambda z: max(z, 0.0),
}


class Handmade:
    """A cell, a machine, the units' slopes and thresholds in q + x, q and the outputs of h."""

    def __init__(self, cell, n, units, q, head, steps=1):
        self.cell, self.machine, self.units, self.q, self.head = cell, counter(n), units, q, head
        self.steps = steps

    def step(self, h, x):
        s = sum(a * b for a, b in zip(self.q, h)) + x
        return [FUNCTIONS[self.cell](slope * (s - threshold)) for slope, threshold in self.units]

    def numbers(self):
        return len(self.units)

    def model(self):
        hidden = len(self.units)
        rows, biases = [row for row, _ in self.head], [bias for _, bias in self.head]
        return safetensors(
            {
                "weight_ih_l0": ["F32", [hidden, 1], floats(*(slope for slope, _ in self.units))],
                "weight_hh_l0": ["F32", [hidden, hidden], floats(*(slope * q for slope, _ in self.units for q in self.q))],
                "bias_ih_l0": ["F32", [hidden], floats(*(-slope * threshold for slope, threshold in self.units))],
                "bias_hh_l0": ["F32", [hidden], floats(*[0.0] * hidden)],
                "head.weight": ["F32", [len(rows), hidden], floats(*sum(rows, []))],
                "head.bias": ["F32", [len(rows)], floats(*biases)],
            }
        )

    def certificate(self):
        """Boxes around the states that come, one for each state of the machine and last symbol."""
        found = {}
        zeros = [0.0] * self.numbers()
        now = [(0, zeros)]
        for _ in range(8):
            after = []
            for state, h in now:
                for symbol in range(2):
                    to = self.step(h, symbol)
                    found.setdefault((state, symbol), []).append(to)
                    after.append((self.machine["transitions"][state][symbol][0], to))
            now = after
        nodes = [{"key": "start", "cells": [{"low": zeros, "high": list(zeros)}]}]
        for (state, symbol), hs in sorted(found.items()):
            low = [round(min(h) - 1e-3, 6) for h in zip(*hs)]
            high = [round(max(h) + 1e-3, 6) for h in zip(*hs)]
            nodes.append({"key": f"{state} {self.machine['symbols'][symbol]}", "cells": [{"low": low, "high": high}]})
        return {
            "format": "carry-certificate-4",
            "model": "",
            "cell": self.cell,
            "machine": copy.deepcopy(self.machine),
            "steps": self.steps,
            "seal": "",
            "nodes": nodes,
        }


class Gated(Handmade):
    """The same of GRU or LSTM units, whose gates are nearly open or shut: what an Elman unit of tanh
    would be is n or g. A unit of slope 0 has the gate r shut, and behind it a bias of 100."""

    def rows(self):
        """For each unit, of each gate: the weight of x, q times this for h, and both biases."""
        zero = lambda bias: (0.0, 0.0, bias, 0.0)
        for slope, threshold in self.units:
            candidate = (slope, slope, -slope * threshold, 0.0 if slope else 100.0)
            if self.cell == "gru":
                yield zero(20.0 if slope else -20.0), zero(-20.0), candidate
            else:
                yield zero(20.0), zero(-20.0), candidate, zero(20.0)

    def step(self, state, x):
        sigmoid = FUNCTIONS["elman-sigmoid"]
        hidden = len(self.units)
        s = sum(a * b for a, b in zip(self.q, state))
        hs, cs = [], []
        for j, gates in enumerate(self.rows()):
            of_x, of_h = [w * x + b for w, _, b, _ in gates], [w * s + b for _, w, _, b in gates]
            if self.cell == "gru":
                r, z = sigmoid(of_x[0] + of_h[0]), sigmoid(of_x[1] + of_h[1])
                hs.append((1 - z) * math.tanh(of_x[2] + r * of_h[2]) + z * state[j])
            else:
                i, f, g, o = (a + b for a, b in zip(of_x, of_h))
                cs.append(sigmoid(f) * state[hidden + j] + sigmoid(i) * math.tanh(g))
                hs.append(sigmoid(o) * math.tanh(cs[-1]))
        return hs + cs

    def numbers(self):
        return len(self.units) * (2 if self.cell == "lstm" else 1)

    def model(self):
        hidden, gates = len(self.units), list(zip(*self.rows()))
        sums = [unit for gate in gates for unit in gate]
        named = tensors(super().model())
        named["weight_ih_l0"] = ["F32", [len(sums), 1], floats(*(w for w, _, _, _ in sums))]
        named["weight_hh_l0"] = ["F32", [len(sums), hidden], floats(*(w * q for _, w, _, _ in sums for q in self.q))]
        named["bias_ih_l0"] = ["F32", [len(sums)], floats(*(b for _, _, b, _ in sums))]
        named["bias_hh_l0"] = ["F32", [len(sums)], floats(*(b for _, _, _, b in sums))]
        return safetensors(named)


SIGMOID = Handmade("elman-sigmoid", 2, [(20, 0.5), (20, 1.5)], [1, -1], [([40, -40], -20)])
TANH = Handmade("elman-tanh", 2, [(8, 0.5), (8, 1.5)], [0.5, -0.5], [([20, -20], -20)])
# What q is off by stays in each unit for a step, and is gone from q after it.
RELU = Handmade("elman-relu", 2, [(2, 0.25), (2, 0.75), (2, 1.25), (2, 1.75)], [1, -1, -1, 1], [([8, -8, -8, 8], -4)], steps=2)
# r = h₁ + h₂ − 2·h₃ is the count, and k the nearest to it where 2·k·r − k² is largest.
SOFTMAX = Handmade(
    "elman-sigmoid", 3, [(20, 0.5), (20, 1.5), (20, 2.5)], [1, 1, -2],
    [([10 * k, 10 * k, -20 * k], -5 * k * k) for k in range(3)],
)  # fmt: skip
GRU = Gated("gru", 2, [(8, 0.5), (8, 1.5), (0, 0)], [0.5, -0.5, 0], [([20, -20, 0], -20)])
# h is tanh 1 where c is 1.
LSTM = Gated("lstm", 2, [(8, 0.5), (8, 1.5)], [0.656518, -0.656518], [([26, -26], -20)])


def handmade(name, error, of, certificate=lambda c: None, model=None):
    """One vector: the network written by hand and its certificate, changed."""
    c, named = of.certificate(), tensors(of.model())
    if model:
        model(named)
    bytes_of_model = safetensors(named)
    (HERE / f"{name}.safetensors").write_bytes(bytes_of_model)
    c["model"] = hashlib.sha256(bytes_of_model).hexdigest()
    certificate(c)
    c["seal"] = seal(c)
    (HERE / f"{name}.json").write_text(json.dumps(c) + "\n")
    index.append({"name": name, "model": True, "error": error})


def widened(c, key):
    """The node's box as a parallelepiped along the same axes, a little wider."""
    n, hidden = node(c, key), len(node(c, key)["cells"][0]["low"])
    n["axes"] = [[float(i == j) for j in range(hidden)] for i in range(hidden)]
    for p in n["cells"]:
        p["low"], p["high"] = [x - 1e-6 for x in p["low"]], [x + 1e-6 for x in p["high"]]


def one_symbol_less(c):
    """Of state 1, the symbol `one` is not legal; the node behind it goes."""
    c["machine"]["transitions"][1][1] = None
    c["nodes"].remove(node(c, "1 one"))


def five_symbols(c):
    for n in range(3):
        c["machine"]["symbols"].append(f"more {n}".replace(" ", "-"))
        c["machine"]["shown"].append([0.0])
        for row in c["machine"]["transitions"]:
            row.append(row[0])
    c["steps"] = 12


# Parity by each cell, and a counter modulo 3 by a softmax.
handmade("holds-parity", None, SIGMOID)
handmade("holds-tanh", None, TANH)
handmade("holds-relu", None, RELU)
handmade("holds-softmax", None, SOFTMAX)
handmade("holds-tanh-along-axes", None, TANH, lambda c: widened(c, "0 one"))
handmade("holds-relu-along-axes", None, RELU, lambda c: widened(c, "0 one"))
handmade("holds-gru", None, GRU)
handmade("holds-lstm", None, LSTM)
handmade("holds-gru-along-axes", None, GRU, lambda c: widened(c, "0 one"))
handmade("holds-lstm-along-axes", None, LSTM, lambda c: widened(c, "0 one"))
handmade("holds-legal-symbols", None, SIGMOID, one_symbol_less)
handmade("key-not-legal", "where that is not legal", SIGMOID, lambda c: put(c["machine"]["transitions"][1], 1, None))
handmade("many-sequences", "12 steps at a time of 5 symbols", SIGMOID, five_symbols)

# A cell: what another function makes of the same weights.
for name, of, cell in [
    ("tanh-for-sigmoid", SIGMOID, "elman-tanh"),
    ("relu-for-sigmoid", SIGMOID, "elman-relu"),
    ("sigmoid-for-tanh", TANH, "elman-sigmoid"),
    ("relu-for-tanh", TANH, "elman-relu"),
    ("sigmoid-for-relu", RELU, "elman-sigmoid"),
    ("tanh-for-relu", RELU, "elman-tanh"),
]:
    handmade(name, "from node `", of, lambda c: put(c, "cell", cell))
# A state of tanh is as low as −1: a set for [0, 1] does not hold it.
handmade("tanh-below-0", "leads out of node", TANH, lambda c: put(piece(c, "0 zero"), "low", [0.0, 0.0]) or put(piece(c, "0 zero"), "high", [1.0, 1.0]))
# The third unit grows with the symbol to 8.25, and nothing depends on it.
handmade(
    "relu-above-8", "beyond 8",
    Handmade("elman-relu", 2, [*RELU.units, (8.5, 0.0)], [*RELU.q, 0], [([8, -8, -8, 8, 0], -4)]),
    lambda c: [put(n["cells"][0]["low"], 4, 0.0) or put(n["cells"][0]["high"], 4, 8.0) for n in c["nodes"]],
    lambda t: put(t["weight_hh_l0"], 2, t["weight_hh_l0"][2][:-20] + floats(0, 0, 0, 0, 0)),
)  # fmt: skip
# Gates: another order, biases at another place, a state of h alone, one that may be too large.
handmade("gru-gates-exchanged", "from node `", GRU, model=lambda t: [put(t[n], 2, t[n][2][12:24] + t[n][2][:12] + t[n][2][24:]) for n in ("bias_ih_l0",)])
handmade("gru-bias-of-the-candidate-outside", "from node `", GRU, model=lambda t: put(t["bias_ih_l0"], 2, t["bias_ih_l0"][2][:-4] + floats(100)))
handmade("lstm-gates-exchanged", "from node `", LSTM, model=lambda t: put(t["bias_ih_l0"], 2, t["bias_ih_l0"][2][8:16] + t["bias_ih_l0"][2][:8] + t["bias_ih_l0"][2][16:]))
handmade("lstm-of-h-alone", "is not of a network", LSTM, lambda c: [put(n["cells"][0], side, n["cells"][0][side][:2]) for n in c["nodes"] for side in ("low", "high")])
handmade("lstm-c-too-small", "leads out of node", LSTM, lambda c: put(piece(c, "0 one")["high"], 2, 0.5) or put(piece(c, "0 one")["low"], 2, 0.4))
handmade("gru-for-lstm", "`weight_ih_l0`", LSTM, lambda c: put(c, "cell", "gru"))
handmade("gru-above-2", "beyond 2", GRU, lambda c: put(piece(c, "start")["high"], 0, 3.0), lambda t: put(t["bias_ih_l0"], 2, t["bias_ih_l0"][2][:12] + floats(20, 20, 20) + t["bias_ih_l0"][2][24:]))
handmade("lstm-c-above-8", "beyond 8", LSTM, lambda c: put(piece(c, "start")["low"], 2, -8.0), lambda t: put(t["bias_ih_l0"], 2, t["bias_ih_l0"][2][:8] + floats(20, 20) + t["bias_ih_l0"][2][16:]))
# The sum of another output is the largest, or as large as the right one.
handmade("softmax-another-output", "another output may be the largest", SOFTMAX, lambda c: put(c["machine"]["transitions"][0], 0, [0, 2]))
handmade("softmax-a-tie", "another output may be the largest", SOFTMAX, model=lambda t: put(t["head.weight"], 2, floats(*[0.0] * 9)) or put(t["head.bias"], 2, floats(1, 1, 1)))
handmade("softmax-of-one", "the network", SOFTMAX, model=lambda t: put(t["head.weight"], 1, [1, 3]) or put(t["head.weight"], 2, t["head.weight"][2][:12]) or put(t["head.bias"], 1, [1]) or put(t["head.bias"], 2, floats(0)))
handmade("softmax-for-sigmoid", "the network", SIGMOID, model=lambda t: put(t["head.weight"], 1, [2, 2]) or put(t["head.weight"], 2, 2 * t["head.weight"][2]) or put(t["head.bias"], 1, [2]) or put(t["head.bias"], 2, 2 * t["head.bias"][2]))

(HERE / "index.json").write_text("[\n" + ",\n".join(json.dumps(line, ensure_ascii=False) for line in index) + "\n]\n")
