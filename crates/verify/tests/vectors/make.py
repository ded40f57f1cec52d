#!/usr/bin/env python3
"""Writes the test vectors of FORMAT.md beside itself, from the committed certificate of two units.

It computes digests as the page says, independently of the crate. `index.json` lists every vector:
the files, and the words of its refusal, or null where the certificate holds.
"""
import copy
import hashlib
import json
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

(HERE / "index.json").write_text("[\n" + ",\n".join(json.dumps(line, ensure_ascii=False) for line in index) + "\n]\n")
