#!/usr/bin/env python3
"""The lab in NumPy: a loop over examples and digits as a student writes it, float64.

The loop itself is in `make_trace.py`, beside the golden traces it makes;
here it is only timed. Its matrices are so small that nearly all of the time is
the interpreter's and NumPy's call overhead, which is what a student pays.
"""

import numpy as np

import lab
import make_trace


def prepare(weights, pairs):
    def run():
        errors, _, _ = make_trace.train(weights, pairs, lab.BITS, lab.LEARNING_RATE)
        return errors

    return run


if __name__ == "__main__":
    lab.compete("numpy", np.__version__, lab.arguments("Time the lab in NumPy."), prepare)
