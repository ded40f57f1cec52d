// Train it here: the lab's training in the page, in a worker, with its error as it falls.
//
// The lab's recipe: one layer of sigmoid units, weights uniform in [−1, 1), one example an update.
// `carry.replay(trace)` trains as a recorded trace did (crates/train/tests/fixtures).
(() => {
  const { dom, svg } = carry;
  /** Points of a curve. */
  const MOST_POINTS = 200;
  /** Milliseconds between two drawings, and where little motion is wanted. */
  const DRAWN_EVERY = { moving: 60, still: 1000 };

  /** The fields: label, first value, what is allowed. */
  const FIELDS = {
    hidden: { label: "Hidden units, H", least: 1, most: 32 },
    bits: { label: "Bits of a sum, T", least: 2, most: 32 },
    rate: { label: "Learning rate", least: 0.0001, most: 10, isReal: true },
    seed: { label: "Seed", least: 0, most: 4294967295 },
    examples: { label: "Examples", least: 1, most: 1000000 },
  };

  /** A worker that runs network.js and worker.js. `hear` gets its messages. */
  function worker(app, hear, fail) {
    const source = new Blob([app.data.worker], { type: "text/javascript" });
    const url = URL.createObjectURL(source);
    const made = new Worker(url);
    made.onmessage = ({ data }) => (data.failed ? fail(data.failed) : hear(data));
    made.onerror = (event) => fail(event.message ?? "the browser starts no worker");
    return {
      send: (message) => made.postMessage(message),
      end() {
        made.terminate();
        URL.revokeObjectURL(url);
      },
    };
  }

  /** The lab's network of H units. */
  const labs = (hidden, bias = false) => ({
    cell: "elman", activation: "sigmoid", inputs: 2, hidden, layers: 1, outputs: 1,
    bias, head_bias: bias, output: "sigmoid",
  });

  /** What is wrong with a field's text, or null. */
  function wrong({ label, least, most, isReal }, text) {
    const number = text.trim() === "" ? NaN : Number(text);
    const isFine = number >= least && number <= most && (isReal || Number.isInteger(number));
    if (isFine) return null;
    const kind = isReal ? "a number" : "a whole number";
    const range = isReal ? `${least} to ${most}` : `${least} to ${carry.thousands(most)}`;
    const typed = text.length > 24 ? `${text.slice(0, 24)}…` : text;
    return `${label}: “${typed}” is not ${kind} from ${range}.`;
  }

  /** The curve: its picture, and `draw(points, examples, chance)`. */
  function curve() {
    const [height, left, bottom, top, right] = [280, 52, 40, 14, 16];
    const element = dom("div");
    let shown = null;
    const y = (error, most) => height - bottom - (error / most) * (height - bottom - top);
    const text = (x, at, anchor, content) =>
      svg("text", { x, y: at, "text-anchor": anchor }, content);

    function picture(width) {
      const { points, examples, chance } = shown;
      const most = points.reduce((most, { error }) => Math.max(most, error), chance) * 1.1;
      const x = (count) => left + (count / examples) * (width - left - right);
      const line = (from, to, kind) =>
        svg("line", { x1: from[0], y1: from[1], x2: to[0], y2: to[1], class: kind });
      const zero = y(0, most);
      const ticks = [0, 0.5, 1].map((share) =>
        text(x(share * examples), zero + 18, share === 1 ? "end" : "middle",
          carry.thousands(Math.round(share * examples))));
      const level = y(chance, most);
      const last = points.at(-1);
      const words = last
        ? `The error of an example over ${carry.thousands(examples)} examples: ` +
          `${carry.fixed(last.error)} after ${carry.thousands(last.examples)}`
        : "The error of an example over the examples: no training yet";
      return svg("svg", { class: "figure", viewBox: `0 0 ${width} ${height}`, role: "img" },
        svg("title", null, words),
        line([left, zero], [width - right, zero], "rule"),
        line([left, top], [left, zero], "rule"),
        ...ticks,
        text(left - 6, zero, "end", "0"),
        text(left - 6, level + 4, "end", carry.fixed(chance, chance % 1 ? 1 : 0)),
        line([left, level], [width - right, level], "chance"),
        text(width - right, level - 5, "end", "as good as guessing"),
        text((left + width - right) / 2, height - 5, "middle", "examples"),
        svg("text", { transform: `translate(12 ${(top + zero) / 2}) rotate(-90)`,
          "text-anchor": "middle" }, "error of an example, Σ|y − o|"),
        svg("polyline", { class: "curve", "data-test": "curve",
          points: points.map((at) => `${x(at.examples)},${y(at.error, most)}`).join(" ") }),
        last && svg("circle", { class: "dot now", cx: x(last.examples), cy: y(last.error, most), r: 5 }),
      );
    }

    const again = carry.fit(element, picture);
    const draw = (points, examples, chance) => {
      shown = { points, examples, chance };
      again();
    };
    return { element, draw };
  }

  function mount(root, app) {
    const { training } = app.data;
    const first = {
      hidden: Math.min(32, app.data.network.hidden),
      bits: Math.min(32, Math.max(2, training.bits)),
      rate: 0.1,
      seed: 0,
      examples: 10000,
    };
    const inputs = {};
    const fields = Object.entries(FIELDS).map(([name, field]) => {
      const input = dom("input", {
        id: `train-${name}`, type: "text", "data-test": name, value: first[name], autocomplete: "off",
        inputmode: field.isReal ? "decimal" : "numeric", size: 8, "aria-describedby": "train-wrong",
      });
      inputs[name] = input;
      return dom("label", { class: "field", for: input.id }, dom("span", null, field.label), input);
    });
    const bias = dom("input", { id: "train-bias", type: "checkbox", "data-test": "bias" });
    const fault = dom("p", { id: "train-wrong", class: "problem", role: "alert", "data-test": "wrong" });
    const button = (test, name, kind, onclick) =>
      dom("button", { type: onclick ? "button" : "submit", class: kind, "data-test": test, onclick }, name);
    const start = button("start", "Train", "button main");
    const stop = button("stop", "Stop", "button", () => trainer?.send({ stop: true }));
    const show = button("show", "Show it now", "button", () => trainer?.send({ show: true }));
    const progress = dom("progress", { max: 1, value: 0, "aria-label": "Examples trained" });
    const count = dom("p", { class: "note", "data-test": "count" });
    const status = dom("p", { role: "status", "data-test": "status" }, "Not begun yet.");
    const picture = curve();
    let [trainer, run] = [null, null];

    function rest() {
      stop.disabled = show.disabled = trainer === null;
      start.textContent = trainer ? "Start again" : "Train";
    }

    function finish() {
      trainer?.end();
      trainer = null;
      rest();
    }

    /** The values of the fields; null, and a message, if one is wrong. */
    function values() {
      const faults = Object.entries(FIELDS).map(([name, field]) => [name, wrong(field, inputs[name].value)]);
      for (const [name, message] of faults) inputs[name].setAttribute("aria-invalid", message !== null);
      const found = faults.filter(([, message]) => message !== null);
      fault.textContent = found.map(([, message]) => message).join(" ");
      if (found.length > 0) {
        inputs[found[0][0]].focus();
        return null;
      }
      const numbers = Object.keys(FIELDS).map((name) => [name, Number(inputs[name].value)]);
      return { ...Object.fromEntries(numbers), bias: bias.checked };
    }

    function begin(event) {
      event.preventDefault();
      const asked = values();
      if (!asked) return;
      finish();
      const { hidden, bits, rate, seed, examples } = asked;
      const description = labs(hidden, asked.bias);
      const every = Math.ceil(examples / MOST_POINTS);
      run = { asked, description, points: [], drawn: -Infinity, told: 0, began: performance.now() };
      const name = `H = ${hidden}${asked.bias ? " with biases" : ""}, ${bits} bits, seed ${seed}`;
      run.name = name;
      picture.draw([], examples, bits / 2);
      status.textContent = `Training: ${name}.`;
      try {
        trainer = worker(app, hear, fail);
        trainer.send({ start: { description, seed, bits, rate, examples, every } });
      } catch (error) {
        fail(error.message);
      }
      rest();
    }

    function hear(message) {
      if (message.points) move(message);
      else arrive(message);
    }

    /** The curve grows. Quarters are said aloud, what is between them is only shown. */
    function move({ points, examples }) {
      run.points.push(...points);
      const [now, total] = [performance.now(), run.asked.examples];
      const error = run.points.at(-1)?.error;
      const isLast = examples === total;
      const pause = carry.isStill() ? DRAWN_EVERY.still : DRAWN_EVERY.moving;
      if (!isLast && now - run.drawn < pause) return;
      run.drawn = now;
      picture.draw(run.points, total, run.asked.bits / 2);
      progress.value = examples / total;
      const errors = error === undefined ? "" : `, error ${carry.fixed(error)}`;
      count.textContent = `${carry.thousands(examples)} of ${carry.thousands(total)} examples${errors}`;
      const quarter = Math.floor((4 * examples) / total);
      if (quarter > run.told && !isLast) {
        run.told = quarter;
        status.textContent = `${25 * quarter} % of the examples${errors}.`;
      }
    }

    /** A network: the last one, or one that was asked for. */
    function arrive({ network, examples, ended, right, of }) {
      const after = `after ${carry.thousands(examples)} examples`;
      app.setNetwork(
        carry.Network.fromTensors(run.description, network),
        `trained here, ${run.name}, ${after}`,
        { bits: run.asked.bits, learning_rate: run.asked.rate, seed: run.asked.seed, examples },
      );
      if (!ended) {
        status.textContent = `The network ${after} is on view; it goes on learning.`;
        return;
      }
      const total = run.asked.examples;
      picture.draw(run.points, total, run.asked.bits / 2);
      progress.value = examples / total;
      const seconds = carry.fixed((performance.now() - run.began) / 1000, 1);
      const how = examples < total ? "Stopped" : "Trained";
      const error = run.points.at(-1)?.error;
      const last = error === undefined ? "" : ` The last error is ${carry.fixed(error)}.`;
      count.textContent = `${carry.thousands(examples)} of ${carry.thousands(total)} examples`;
      status.textContent =
        `${how} ${after}, in ${seconds} s.${last} Of ${of} sums that were drawn anew, ${right} are ` +
        "right. This network is on view now.";
      finish();
    }

    function fail(message) {
      status.textContent = `The training failed: ${message}`;
      finish();
    }

    root.append(
      dom("p", { class: "lead" },
        "Train a network yourself, in this page: one hidden layer of sigmoid units, as in the lab. ",
        "Sums are drawn at random; after each one the weights change a little. When it has ended, ",
        "the new network is on view in all other sections."),
      dom("form", { class: "panel training", novalidate: true, onsubmit: begin, "aria-label": "Train it here" },
        dom("div", { class: "controls" }, fields,
          dom("label", { class: "check", for: bias.id }, bias, dom("span", null, "Biases"))),
        fault,
        dom("div", { class: "controls" }, start, stop, show),
        progress, count, picture.element, status),
    );
    picture.draw([], first.examples, first.bits / 2);
    rest();
  }

  /** The tensors of weights that a trace writes as [from][to]. */
  function tensors({ w_in, w_rec, w_out }) {
    const turned = (matrix) => Float32Array.from(matrix[0].flatMap((_, to) => matrix.map((row) => row[to])));
    return {
      weight_ih_l0: turned(w_in),
      weight_hh_l0: turned(w_rec),
      "head.weight": Float32Array.from(w_out),
    };
  }

  /** Trains from a trace's first weights on its pairs: the error of each example, and the tensors. */
  carry.replay = (trace) =>
    new Promise((resolve, reject) => {
      const errors = [];
      const hear = ({ points, network }) => {
        errors.push(...(points ?? []).map(({ error }) => error));
        if (!network) return;
        trainer.end();
        resolve({ errors, tensors: network });
      };
      const fail = (message) => {
        trainer.end();
        reject(new Error(message));
      };
      const trainer = worker(carry.app, hear, fail);
      const { bits, hidden, learning_rate: rate, pairs } = trace;
      const start = {
        description: labs(hidden), tensors: tensors(trace), pairs,
        seed: 0, bits, rate, examples: pairs.length, every: 1,
      };
      trainer.send({ start });
    });

  carry.view({
    id: "train",
    title: "Train it here",
    applies: ({ task }) => task === "addition",
    mount,
  });
})();
