// Trains a network beside the page, so that the page never waits. Runs behind network.js, in a
// worker.
//
//   in    {start: {description, tensors?, seed, bits, rate, examples, pairs?, every}}
//         without `tensors` the first weights are drawn, without `pairs` the operands are
//         {show: true}    asks for the network as it is now
//         {stop: true}    ends after the example in hand
//   out   {points: [{examples, error}], examples}    error: the mean of the `every` examples before
//         {network: tensors, examples, ended, right, of}    ended: true after the last example
//         {failed: message}
"use strict";
(() => {
  /** Milliseconds of training between two looks at what the page has asked for. */
  const TURN = 40;
  /** Sums on which a trained network is asked. */
  const ASKED = 200;

  let run = null;

  /** The lab's operands: uniform in [0, 2^(bits − 1)). */
  function* operands(uniform, bits) {
    const operand = () => {
      let number = 0;
      for (let digit = 1; digit < bits; digit++) number = 2 * number + (uniform() < 0.5 ? 0 : 1);
      return number;
    };
    for (;;) yield [operand(), operand()];
  }

  function begin({ description, tensors, seed, bits, rate, examples, pairs, every }) {
    // The first weights and the operands must not be the same numbers.
    const uniform = carry.generator(seed ^ 0x5bd1e995);
    run = {
      network: tensors
        ? carry.Network.fromTensors(description, tensors)
        : carry.Network.random(description, seed),
      pairs: pairs ? pairs[Symbol.iterator]() : operands(uniform, bits),
      bits, rate, examples, every, seed,
      done: 0, sum: 0, since: 0, points: [], isStopped: false,
    };
    turn(run);
  }

  /** Some examples; then the page has its say. */
  function turn(now) {
    if (now !== run) return;
    const end = performance.now() + TURN;
    while (now.done < now.examples && !now.isStopped && performance.now() < end) {
      const { value: [a, b] } = now.pairs.next();
      now.sum += now.network.train({ a, b, bits: now.bits }, now.rate).error;
      now.done += 1;
      now.since += 1;
      if (now.since === now.every || now.done === now.examples) {
        now.points.push({ examples: now.done, error: now.sum / now.since });
        [now.sum, now.since] = [0, 0];
      }
    }
    postMessage({ points: now.points, examples: now.done });
    now.points = [];
    if (now.done < now.examples && !now.isStopped) {
      setTimeout(turn, 0, now);
    } else {
      tell(now, true);
      run = null;
    }
  }

  /** The network as it is. At the end it is asked for sums that it may never have seen. */
  function tell({ network, done, bits, seed }, ended) {
    let right = 0;
    if (ended) {
      const asked = operands(carry.generator(seed ^ 0x2545f491), bits);
      for (let n = 0; n < ASKED; n++) {
        const steps = network.forward(...asked.next().value, bits);
        right += steps.every(({ output, target }) => output > 0.5 === (target === 1)) ? 1 : 0;
      }
    }
    postMessage({ network: network.copy().tensors, examples: done, ended, right, of: ASKED });
  }

  onmessage = ({ data }) => {
    try {
      if (data.start) begin(data.start);
      else if (data.show && run) tell(run, false);
      else if (data.stop && run) run.isStopped = true;
    } catch (error) {
      postMessage({ failed: String(error.message ?? error) });
    }
  };
})();
