// The arithmetic of the page: a network one step at a time, and the lab's BPTT.
//
// Single precision: every intermediate result is rounded (Math.fround), as the program's is. The
// tensors have PyTorch's names and shapes, row-major, a row for each unit that receives:
//
//   weight_ih_l0 [G·H, I]   weight_hh_l0 [G·H, H]   bias_ih_l0, bias_hh_l0 [G·H]   head.weight [O, H]
//
// G gates of H units: one in an Elman cell; r, z, n in a GRU; i, f, g, o in an LSTM.
// No document here: the worker that trains runs this file, too.
"use strict";

globalThis.carry = {};

(() => {
const { fround } = Math;

const GATES = { elman: 1, gru: 3, lstm: 4 };

const sigmoid = (x) => fround(1 / fround(1 + fround(Math.exp(-x))));
const tanh = (x) => fround(Math.tanh(x));
const ACTIVATIONS = { sigmoid, tanh, relu: (x) => (x > 0 ? x : 0) };

/** Σ_j matrix[row, j]·vector[j], from `sum` on. */
function product(matrix, row, vector, sum) {
  const width = vector.length;
  for (let j = 0, at = row * width; j < width; j++, at++) {
    sum = fround(sum + fround(matrix[at] * vector[j]));
  }
  return sum;
}

/** The numbers in a base64 string of little-endian floats. */
carry.decode = (base64) => {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  return Float32Array.from({ length: bytes.length / 4 }, (_, n) => view.getFloat32(4 * n, true));
};

/** The lowest `count` binary digits of a BigInt, or of a Number below 2^53; lowest first. */
carry.digits = (number, count) => {
  const digits = new Uint8Array(count);
  for (let t = 0; t < count; t++) {
    digits[t] = typeof number === "bigint" ? Number((number >> BigInt(t)) & 1n) : number % 2;
    if (typeof number === "number") number = Math.floor(number / 2);
  }
  return digits;
};

/**
 * A generator of uniform numbers in [0, 1), multiples of 2^−24, so that each is a float. Mulberry32
 * by Tommy Ettinger (public domain): 32 bits of state. The same seed gives the same numbers.
 */
carry.generator = (seed) => {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let word = Math.imul(state ^ (state >>> 15), 1 | state);
    word = (word + Math.imul(word ^ (word >>> 7), 61 | word)) ^ word;
    return ((word ^ (word >>> 14)) >>> 8) / 2 ** 24;
  };
};

/** A network of one direction. `description` is the data's `network`; `tensors`: name → floats. */
carry.Network = class Network {
  constructor(description, tensors) {
    this.description = description;
    this.tensors = tensors;
    for (const [name, rows, columns] of Network.shapes(description)) {
      const { length } = tensors[name] ?? [];
      if (length !== rows * columns) {
        throw new Error(`the tensor ${name} has ${length} values; [${rows}, ${columns}] are needed`);
      }
    }
    this.layers = Array.from({ length: description.layers }, (_, layer) => ({
      w_in: tensors[`weight_ih_l${layer}`],
      w_rec: tensors[`weight_hh_l${layer}`],
      b_in: tensors[`bias_ih_l${layer}`],
      b_rec: tensors[`bias_hh_l${layer}`],
    }));
    this.w_out = tensors["head.weight"];
    this.b_out = tensors["head.bias"];
  }

  /** A network with copies of these tensors. */
  static fromTensors(description, tensors) {
    const shapes = Network.shapes(description);
    const copies = shapes.map(([name]) => [name, Float32Array.from(tensors[name] ?? [])]);
    return new Network(description, Object.fromEntries(copies));
  }

  /** First weights: uniform in [−1, 1), tensor after tensor, row by row. */
  static random(description, seed) {
    const uniform = carry.generator(seed);
    const draw = ([name, rows, columns]) => {
      const values = Float32Array.from({ length: rows * columns }, () => 2 * uniform() - 1);
      return [name, values];
    };
    return new Network(description, Object.fromEntries(Network.shapes(description).map(draw)));
  }

  /** Name, rows and columns of each tensor, in PyTorch's order. */
  static shapes({ cell, inputs, hidden, layers, outputs, bias, head_bias }) {
    const rows = GATES[cell] * hidden;
    const shapes = [];
    for (let layer = 0; layer < layers; layer++) {
      shapes.push([`weight_ih_l${layer}`, rows, layer === 0 ? inputs : hidden]);
      shapes.push([`weight_hh_l${layer}`, rows, hidden]);
      if (bias) shapes.push([`bias_ih_l${layer}`, rows, 1], [`bias_hh_l${layer}`, rows, 1]);
    }
    shapes.push(["head.weight", outputs, hidden]);
    if (head_bias) shapes.push(["head.bias", outputs, 1]);
    return shapes;
  }

  /** Whether this is the lab's kind: one layer of sigmoid units, sigmoid outputs. */
  get isLabs() {
    const { cell, activation, layers, output } = this.description;
    return cell === "elman" && activation === "sigmoid" && layers === 1 && output === "sigmoid";
  }

  copy() {
    return Network.fromTensors(this.description, this.tensors);
  }

  /** The state before the first step: for each layer h, and c of an LSTM, `[H]` of zeros. */
  start() {
    const { hidden } = this.description;
    return this.layers.map(() => ({ h: new Float32Array(hidden), c: new Float32Array(hidden) }));
  }

  /**
   * One step from `state`, which stays as it is. `hidden` is h of all layers, in order.
   * @returns {{state: Array, hidden: Float32Array, outputs: Float32Array}}
   */
  step(state, x) {
    const next = [];
    let below = x;
    for (const [layer, weights] of this.layers.entries()) {
      next.push(this.cell(weights, below, state[layer]));
      below = next[layer].h;
    }
    const size = this.description.hidden;
    const hidden = new Float32Array(next.length * size);
    next.forEach(({ h }, layer) => hidden.set(h, layer * size));
    return { state: next, hidden, outputs: this.head(below) };
  }

  /** The state after one step of a layer. */
  cell({ w_in, w_rec, b_in, b_rec }, x, before) {
    const { cell, activation, hidden } = this.description;
    const h = new Float32Array(hidden);
    const c = new Float32Array(hidden);
    const ofInput = (row) => product(w_in, row, x, b_in ? b_in[row] : 0);
    const ofState = (row) => product(w_rec, row, before.h, b_rec ? b_rec[row] : 0);
    for (let k = 0; k < hidden; k++) {
      const sum = (gate) => fround(ofInput(gate * hidden + k) + ofState(gate * hidden + k));
      if (cell === "elman") {
        h[k] = ACTIVATIONS[activation](sum(0));
      } else if (cell === "gru") {
        const [r, z] = [sigmoid(sum(0)), sigmoid(sum(1))];
        const row = 2 * hidden + k;
        const n = tanh(fround(ofInput(row) + fround(r * ofState(row))));
        h[k] = fround(fround(fround(1 - z) * n) + fround(z * before.h[k]));
      } else {
        const [i, f, g, o] = [sigmoid(sum(0)), sigmoid(sum(1)), tanh(sum(2)), sigmoid(sum(3))];
        c[k] = fround(fround(f * before.c[k]) + fround(i * g));
        h[k] = fround(o * tanh(c[k]));
      }
    }
    return { h, c };
  }

  /** The outputs of a state of the last layer. */
  head(h) {
    const { outputs, output } = this.description;
    return Float32Array.from({ length: outputs }, (_, row) => {
      const sum = product(this.w_out, row, h, this.b_out ? this.b_out[row] : 0);
      return output === "sigmoid" ? sigmoid(sum) : sum;
    });
  }

  /**
   * The lab's BPTT over one example, a + b in `bits` steps; of the lab's kind only.
   *
   *   output_delta_t = (y_t − o_t) o_t (1 − o_t)
   *   delta_t        = (delta_{t+1}·W_recᵀ + output_delta_t·w_out) h_t (1 − h_t)
   *
   * `updates` are the sums over t of what is added to each tensor, before the learning rate: minus
   * the gradient of ½ Σ_t (y_t − o_t)².
   */
  gradients(a, b, bits) {
    const steps = this.forward(a, b, bits);
    const updates = this.zeros();
    let next = null;
    for (const step of steps.slice().reverse()) {
      step.delta = this.delta(step, next);
      this.addUpdates(updates, step);
      next = step.delta;
    }
    const error = steps.reduce((sum, { error }) => fround(sum + Math.abs(error)), 0);
    return { steps, updates, error };
  }

  /** One example: forward, BPTT, update. `example`: {a, b, bits}. Returns {error: Σ|y − o|, outputs}. */
  train({ a, b, bits }, rate) {
    const { steps, updates, error } = this.gradients(a, b, bits);
    rate = fround(rate);
    for (const [name, update] of Object.entries(updates)) {
      const tensor = this.tensors[name];
      for (let n = 0; n < tensor.length; n++) {
        tensor[n] = fround(tensor[n] + fround(rate * update[n]));
      }
    }
    return { error, outputs: Float32Array.from(steps, ({ output }) => output) };
  }

  /** The steps of a + b: inputs, states, outputs, and the outputs' errors and deltas. */
  forward(a, b, bits) {
    let before = this.start()[0].h;
    return carry.adder.walk(this, carry.digits(a, bits), carry.digits(b, bits)).map((step) => {
      const { hidden, output, truth: target } = step;
      const error = fround(target - output);
      const outputDelta = fround(error * fround(output * fround(1 - output)));
      const x = [step.a, step.b];
      const values = { x, before, hidden, output, target, error, outputDelta, delta: null };
      before = hidden;
      return values;
    });
  }

  /** The deltas `[H]` of a step, from those of the next one (null after the last). */
  delta({ hidden, outputDelta }, next) {
    const size = hidden.length;
    const { w_rec } = this.layers[0];
    const delta = new Float32Array(size);
    for (let k = 0; k < size; k++) {
      let sum = fround(outputDelta * this.w_out[k]);
      if (next) {
        for (let j = 0; j < size; j++) sum = fround(sum + fround(next[j] * w_rec[j * size + k]));
      }
      delta[k] = fround(sum * fround(hidden[k] * fround(1 - hidden[k])));
    }
    return delta;
  }

  /** Zeros in the shape of the tensors. */
  zeros() {
    const zeros = ([name, { length }]) => [name, new Float32Array(length)];
    return Object.fromEntries(Object.entries(this.tensors).map(zeros));
  }

  /** Adds what one step, with its delta, says to `updates`. Both biases of a unit get its delta. */
  addUpdates(updates, { x, before, hidden, outputDelta, delta }) {
    const add = (tensor, rows, columns) => {
      for (let k = 0, at = 0; k < rows.length; k++) {
        for (let j = 0; j < columns.length; j++, at++) {
          tensor[at] = fround(tensor[at] + fround(rows[k] * columns[j]));
        }
      }
    };
    add(updates.weight_ih_l0, delta, x);
    add(updates.weight_hh_l0, delta, before);
    add(updates["head.weight"], [outputDelta], hidden);
    if (updates.bias_ih_l0) {
      add(updates.bias_ih_l0, delta, [1]);
      add(updates.bias_hh_l0, delta, [1]);
    }
    if (updates["head.bias"]) add(updates["head.bias"], [outputDelta], [1]);
  }
};

carry.adder = {
  /** The steps of two rows of digits, lowest first. */
  walk(network, as, bs) {
    const steps = [];
    let [state, carryIn] = [network.start(), 0];
    for (let t = 0; t < as.length; t++) {
      const [a, b] = [as[t], bs[t]];
      const { state: next, hidden, outputs } = network.step(state, Float32Array.of(a, b));
      const [output] = outputs;
      const sum = a + b + carryIn;
      const carried = sum > 1 ? 1 : 0;
      steps.push({ a, b, carryIn, carry: carried, truth: sum % 2, output, digit: output > 0.5 ? 1 : 0, hidden });
      [state, carryIn] = [next, carried];
    }
    return steps;
  },

  /** The steps of a + b (BigInt): one more than the longer has binary digits. */
  run(network, a, b) {
    const longer = a > b ? a : b;
    const count = longer === 0n ? 1 : longer.toString(2).length + 1;
    return carry.adder.walk(network, carry.digits(a, count), carry.digits(b, count));
  },

  /**
   * How well each unit tells the carry: its mean value at steps with a carry and at those without,
   * and `chance`, that its value is higher at one with than at one without (the area under the ROC
   * curve; 0 tells as well as 1, and ½ is a guess). Only steps count whose two digits differ: there
   * the digits alone do not say the carry, and who knows it remembers. Over a fixed sample of sums
   * of `bits` digits, but the last.
   */
  tell(network, bits) {
    const uniform = carry.generator(1);
    const draw = () => Array.from({ length: Math.max(bits, 4) - 1 }, () => (uniform() < 0.5 ? 0 : 1));
    const sides = [[], []];
    for (let n = 0; n < 64; n++) {
      for (const step of carry.adder.walk(network, draw(), draw())) {
        if (step.a !== step.b) sides[step.carry].push(step.hidden);
      }
    }
    const units = [...sides[0][0].keys()];
    return units.map((unit) => {
      const [without, withCarry] = sides.map((side) => new Float32Array(side.map((h) => h[unit])).sort());
      const mean = (values) => values.reduce((sum, v) => sum + v, 0) / values.length;
      let [wins, below] = [0, 0];
      for (const value of withCarry) {
        while (without[below] < value) below++;
        let upTo = below;
        while (without[upTo] === value) upTo++;
        wins += (below + upTo) / 2; // what is equal counts half
      }
      return {
        unit,
        without: mean(without),
        with: mean(withCarry),
        chance: wins / without.length / withCarry.length,
      };
    });
  },

  /** The number that the first `count` digits of the steps spell; `key`: "digit" or "truth". */
  spell(steps, key = "digit", count = steps.length) {
    return steps.slice(0, count).reduce((sum, step, t) => sum | (BigInt(step[key]) << BigInt(t)), 0n);
  },
};
})();
