"""What the peers share: the work set, the command line, the clock, and the check.

Every peer trains from the same weights on the same pairs, so that they can only
differ in speed: seed S draws them as the lab does, outside the clock. A peer
hands in `prepare`, which may compile and warm up, untimed, and returns `run`;
one timed repeat is one `run()`, from the starting weights through all examples.

The answer is checked before any figure is printed: the errors of the first
examples are those of the float64 NumPy loop, and a whole run of 10,000 examples
has learned to add. A peer that fails exits 1.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "crates/train/tests/fixtures"))
import make_trace  # the NumPy loop of the golden traces

HIDDEN = 16
BITS = 8
LEARNING_RATE = 0.1

# Examples compared one by one with the float64 loop, and how far float32 may be
# from it: whole runs in float32 stay within 2e-5.
COMPARED = 200
LARGEST_DIFFERENCE = 1e-4

# After 10,000 examples the error of one example, summed over its 8 digits, has
# fallen from 4 (guessing) to about 0.4; 1.0 leaves room for an unlucky seed.
LEARNED_AFTER = 10_000
LAST = 500
LEARNED_ERROR = 1.0


def arguments(description, variants=()):
    """Parses `--examples N --seed S --repeat R`, and `--backward` where there are `variants`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--examples", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--repeat", type=int, default=1, help="timed repeats of the whole training")
    if variants:
        parser.add_argument("--backward", choices=variants, default=variants[0])
    parsed = parser.parse_args()
    if parsed.examples < 1 or parsed.repeat < 1:
        parser.error("--examples and --repeat must be at least 1")
    return parsed


def digits(pairs):
    """The operands' digits [N, T, 2] and the sums' [N, T], lowest first, as float32."""
    places = np.arange(BITS)
    pairs = np.array(pairs)
    x = pairs[:, None, :] >> places[:, None] & 1
    y = pairs.sum(axis=1)[:, None] >> places & 1
    return x.astype(np.float32), y.astype(np.float32)


def compete(peer, version, arguments, prepare):
    """Times `prepare(weights, pairs)()`, which returns the examples' errors [N]; prints one JSON line."""
    weights, pairs = make_trace.draw(arguments.seed, HIDDEN, BITS, arguments.examples)
    run = prepare(weights, pairs)

    microseconds = []
    for _ in range(arguments.repeat):
        start = time.perf_counter()
        errors = run()
        microseconds.append((time.perf_counter() - start) * 1e6 / arguments.examples)

    errors = np.asarray(errors, dtype=np.float64)
    expected, _, _ = make_trace.train(weights, pairs[:COMPARED], BITS, LEARNING_RATE)
    difference = float(np.abs(errors[:COMPARED] - expected).max())
    mean_error_last = float(errors[-LAST:].mean())
    if not difference <= LARGEST_DIFFERENCE:
        sys.exit(f"{peer}: an error differs by {difference:.1e} from the float64 loop's")
    if arguments.examples >= LEARNED_AFTER and not mean_error_last < LEARNED_ERROR:
        sys.exit(f"{peer}: the mean error of the last {LAST} examples is {mean_error_last:.3f}: nothing learned")

    print(
        json.dumps(
            {
                "peer": peer,
                "version": version,
                "examples": arguments.examples,
                "microseconds_per_example": microseconds,
                "mean_error_last": mean_error_last,
                "max_error_difference": difference,
            }
        )
    )
