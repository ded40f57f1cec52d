// BPTT: the unrolled network over one example, moment by moment: forward, the errors in the
// outputs, the deltas from the last step to the first with the sums of updates, the update.
//
// Moments, for T steps: 0 nothing yet; 1 … T forward; T + 1 the errors; T + 2 … 2T + 1 back; 2T + 2
// the update. All numbers are `Network.gradients` of the network on view.
(() => {
  const { dom, svg } = carry;
  const CELL = 15; // of a unit
  const TOP = 92; // above the units: the output and its target
  const GAP = 42; // between two steps

  /** A formula as HTML: "h_{t}" has an index, "W^{⊤}_{rec}" something above it, too. */
  const formula = (text) =>
    text.split(/(\p{L}(?:\^\{[^}]+\})?_\{[^}]+\})/u).map((part) => {
      const [, name, up, index] = part.match(/^(\p{L})(?:\^\{(.+?)\})?_\{(.+?)\}$/u) ?? [];
      if (!name) return part;
      const low = dom("sub", index);
      return [dom("var", name), up ? dom("span.stack", dom("sup", up), low) : low];
    });

  /** The lab's formulas: title, the kind of moment in which they work, what they say. */
  const formulas = ({ bias, head_bias }) => [
    ["Forward, t = 1 … T, from h_{0} = 0", "forward", [
      `h_{t} = σ(x_{t}·W_{in} + h_{t−1}·W_{rec}${bias ? " + b_{in} + b_{rec}" : ""})`,
      `o_{t} = σ(h_{t}·w_{out}${head_bias ? " + b_{out}" : ""})`,
    ]],
    ["Errors in the outputs", "errors", ["δ^{out}_{t} = (y_{t} − o_{t}) · o_{t} (1 − o_{t})"]],
    ["Back, t = T … 1, from δ_{T+1} = 0", "back", [
      "δ_{t} = (δ_{t+1}·W^{⊤}_{rec} + δ^{out}_{t}·w_{out}) · h_{t} (1 − h_{t})",
      "ΔW_{in} += x^{⊤}_{t}·δ_{t}",
      "ΔW_{rec} += h^{⊤}_{t−1}·δ_{t}",
      "Δw_{out} += h_{t}·δ^{out}_{t}",
      bias ? "Δb_{in} += δ_{t},  Δb_{rec} += δ_{t}" : [],
      head_bias ? "Δb_{out} += δ^{out}_{t}" : [],
    ].flat()],
    ["Update, once for all steps", "update", ["W += rate · ΔW"]],
  ];

  /** Squares where values are above 0, circles where below; their area grows with the size. */
  function signs(values, columns, size, most) {
    const paths = { plus: "", minus: "" };
    values.forEach((value, n) => {
      const r = (size / 2 - 0.5) * Math.sqrt(Math.abs(value) / most);
      if (!(r > 0.15)) return;
      const [x, y] = [((n % columns) + 0.5) * size, (Math.floor(n / columns) + 0.5) * size];
      const f = (number) => number.toFixed(2);
      if (value > 0) paths.plus += `M${f(x - r)},${f(y - r)}h${f(2 * r)}v${f(2 * r)}h${f(-2 * r)}z`;
      else paths.minus += `M${f(x - r)},${f(y)}a${f(r)},${f(r)} 0 1 0 ${f(2 * r)},0a${f(r)},${f(r)} 0 1 0 ${f(-2 * r)},0`;
    });
    return paths;
  }

  const largest = (values) => values.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-30);

  /** The kind of moment, and the step (from 0) at which it works. */
  function momentOf(moment, T) {
    if (moment === 0) return { kind: "start", t: -1 };
    if (moment <= T) return { kind: "forward", t: moment - 1 };
    if (moment === T + 1) return { kind: "errors", t: T - 1 };
    if (moment <= 2 * T + 1) return { kind: "back", t: 2 * T + 1 - moment };
    return { kind: "update", t: 0 };
  }

  /** The unrolled network: built once for an example; `light` shows a moment, and returns its step. */
  function unrolled(steps, hidden) {
    const columns = Math.ceil(hidden / 8);
    const [wide, high] = [columns * CELL, Math.ceil(hidden / columns) * CELL];
    const pitch = Math.max(wide, 40) + GAP;
    const [width, height] = [pitch * steps.length + GAP, TOP + high + 84];
    const [bottom, centre] = [TOP + high, TOP + high / 2];
    const most = largest(steps.flatMap(({ delta }) => [...delta]));
    const mostOut = largest(steps.map(({ outputDelta }) => outputDelta));
    const arrow = (name, from, to) => svg(`path.arrow.${name}`, { d: `M${from}L${to}`, "marker-end": "url(#tip)" });
    const glyphs = ({ plus, minus }) => [svg("path.plus", { d: plus }), svg("path.minus", { d: minus })];

    const groups = steps.map(({ x, hidden: h, output, target, outputDelta, delta }, t) => {
      const middle = GAP + t * pitch + (pitch - GAP) / 2;
      const left = middle - wide / 2;
      const before = left - (pitch - wide); // the end of the block before
      const text = (name, y, words) => svg(name, { x: middle, y, "text-anchor": "middle" }, words);
      const cells = [...h].map((value, k) => {
        const [x, y] = [left + (k % columns) * CELL + 0.5, TOP + Math.floor(k / columns) * CELL + 0.5];
        const words = `unit ${k}, step ${t + 1}: h = ${carry.fixed(value, 3)}, δ = ${carry.small(delta[k])}`;
        const size = { width: CELL - 1, height: CELL - 1 };
        return svg("rect.unit-cell", { x, y, ...size, "--v": value.toFixed(3) }, svg("title", words));
      });
      return svg(
        "g",
        text("text.pair", bottom + 50, `${x[0]} ${x[1]}`),
        text("text", height - 4, `t = ${t + 1}`),
        arrow("in.forth", [middle, bottom + 32], [middle, bottom + 6]),
        t > 0 && arrow("rec.forth", [before + 2, centre - 7], [left - 6, centre - 7]),
        t > 0 && arrow("rec.return", [left - 3, centre + 7], [before + 6, centre + 7]),
        arrow("out.forth", [middle, TOP - 4], [middle, 66]),
        arrow("out.return", [middle + 9, 63], [middle + 9, TOP - 7]),
        svg("rect.block", { x: left - 2, y: TOP - 2, width: wide + 4, height: high + 4, rx: 3 }),
        svg("g.values", cells),
        svg("g.deltas", { transform: `translate(${left} ${TOP})` }, glyphs(signs(delta, columns, CELL, most))),
        svg(
          "g.answer",
          svg("rect.scale", { x: middle - 20, y: 18, width: 40, height: 40 }),
          svg("rect.level", { x: middle - 20, y: 58 - 40 * output, width: 40, height: 40 * output }),
          svg("line.half", { x1: middle - 23, x2: middle + 23, y1: 38, y2: 38 }),
          text("text.number", 12, `${carry.fixed(output)} → ${target}`),
        ),
        svg("g.error", { transform: `translate(${middle - 13} 25)` }, glyphs(signs([outputDelta], 1, 26, mostOut))),
      );
    });
    const tip = svg(
      "marker",
      { id: "tip", viewBox: "0 0 8 8", refX: 6, refY: 4, markerWidth: 5, markerHeight: 5, orient: "auto" },
      svg("path", { d: "M0,0L8,4L0,8z" }),
    );
    const element = svg(
      "svg.unrolled",
      { width, height, viewBox: `0 0 ${width} ${height}`, role: "img" },
      svg("defs", tip), groups,
    );
    const light = (moment) => {
      const { kind, t: now } = momentOf(moment, steps.length);
      groups.forEach((group, t) => {
        const is = {
          waiting: kind === "start" || (kind === "forward" && t > now),
          erred: ["errors", "back", "update"].includes(kind),
          returned: (kind === "back" && t >= now) || kind === "update",
          "now-forward": kind === "forward" && t === now,
          "now-back": kind === "back" && t === now,
          sends: kind === "back" && t === now + 1,
        };
        group.setAttribute("class", ["step", ...Object.keys(is).filter((name) => is[name])].join(" "));
      });
      return groups[Math.max(0, now)];
    };
    return { element, light };
  }

  /** The sums of updates, which grow: after each step that went back, none, T, T and T − 1, … */
  function sums(network, steps) {
    const { hidden, inputs } = network.description;
    const after = [network.zeros()];
    for (const step of steps.slice().reverse()) {
      const next = network.zeros();
      Object.entries(after.at(-1)).forEach(([name, values]) => next[name].set(values));
      network.addUpdates(next, step);
      after.push(next);
    }
    // the lab's matrices have a row for each unit that sends: PyTorch's, turned
    const turned = (rows, columns) => (values) =>
      Array.from(values, (_, n) => values[(n % rows) * columns + Math.floor(n / rows)]);
    const plain = (values) => [...values];
    const drawn = [
      ["W", "in", "from a, b (rows) to each unit", "weight_ih_l0", turned(hidden, inputs)],
      ["w", "out", "from each unit to the output", "head.weight", plain],
      ["b", "in", "of each unit; Δb rec is the same", "bias_ih_l0", plain],
      ["b", "out", "of the output", "head.bias", plain],
      ["W", "rec", "from each unit (rows) to each", "weight_hh_l0", turned(hidden, hidden)],
    ]
      .filter(([, , , name]) => network.tensors[name])
      .map(([letter, index, what, name, arrange]) => {
        const size = Math.max(3, Math.min(12, Math.floor(200 / hidden)));
        const most = largest(after.map((sums) => largest(sums[name])));
        const columns = Math.min(hidden, after[0][name].length);
        const [width, height] = [columns * size, (after[0][name].length / columns) * size];
        const [plus, minus, words] = [svg("path.plus"), svg("path.minus"), dom("span.soft")];
        const figure = svg(
          "svg.matrix",
          { width, height, viewBox: `0 0 ${width} ${height}`, role: "img" },
          svg("rect.scale", { width, height }), plus, minus,
        );
        const caption = dom("figcaption", formula(`Δ${letter}_{${index}} `), dom("span.soft", what));
        const update = (count) => {
          const values = arrange(after[count][name]);
          const paths = signs(values, columns, size, most);
          plus.setAttribute("d", paths.plus);
          minus.setAttribute("d", paths.minus);
          words.textContent = `largest ${count === 0 ? 0 : carry.small(largest(values))}`;
          figure.setAttribute("aria-label", `Sum of updates of ${letter} ${index}; ${words.textContent}`);
        };
        return { element: dom("figure", caption, figure, words), update };
      });
    const elements = drawn.map(({ element }) => element);
    return {
      elements: [dom("div", elements.slice(0, -1)), elements.at(-1)],
      update: (count) => drawn.forEach(({ update }) => update(count)),
    };
  }

  /** What happens at a moment, with its numbers. */
  function sentence(moment, { steps, error }, updated, rate) {
    const T = steps.length;
    const { kind, t } = momentOf(moment, T);
    const n = t + 1;
    const step = steps[t];
    if (kind === "start") return `An example of T = ${T} steps. The state before the first is 0.`;
    if (kind === "forward") {
      return (
        `Forward, step ${n} of ${T}: the pair ${step.x[0]}, ${step.x[1]} and the state before make h${n}; ` +
        `the output is ${carry.fixed(step.output, 3)}, the digit is ${step.target}.`
      );
    }
    if (kind === "errors") {
      return `The errors of the outputs: ■ where an output should rise, ● where it should fall. Σ |y − o| = ${error.toFixed(4)}.`;
    }
    if (kind === "back") {
      const from = n === T ? "its output alone" : `its output and step ${n + 1}`;
      return (
        `Back, step ${n} of ${T}: its deltas come from ${from}; the largest is ` +
        `${carry.small(largest(step.delta))} in size. What it says is added to the sums.`
      );
    }
    return `The update: each weight gets ${rate} times its sum, once. The error of this example goes from ${error.toFixed(4)} to ${updated.toFixed(4)}.`;
  }

  function mount(root, app) {
    // first one sees all at once: errors, deltas, and how they go back
    let moment = Math.ceil(1.5 * app.training.bits) + 1;
    let [found, picture, growth, updated] = [null, null, null, 0];
    const steps = () => found.steps.length;
    const stage = dom("div.scroll", { tabindex: 0, role: "region", "aria-label": "The network, unrolled" });
    const [matrices, list] = [dom("div.sums"), dom("div.formulas")];
    const words = dom("p.moment", { role: "status", "data-test": "moment-bptt" });
    const about = dom("p.note");
    const player = carry.player({
      label: "Moments of backpropagation through time",
      max: () => (found ? 2 * steps() + 2 : 0),
      get: () => moment,
      set: (to) => {
        moment = to;
        update();
      },
      delay: () => Math.max(150, Math.min(900, 20_000 / (2 * steps() + 2))),
      text: () => `Moment ${moment} of ${2 * steps() + 2}`,
      tests: { play: "forward", back: "back", step: "next", range: "phase" },
    });
    const onclick = () => updateNetwork();
    const apply = dom("button.button", { type: "button", "data-test": "apply", onclick }, "Make this update");

    /** The example: the lowest digits of the sum, as many as an operand had in the training. */
    function exampleOf() {
      const { bits } = app.training;
      const mask = 2n ** BigInt(bits - 1) - 1n;
      return { a: app.sum.a & mask, b: app.sum.b & mask, bits };
    }
    function updateNetwork() {
      const next = app.network.copy();
      next.train(exampleOf(), app.training.learning_rate);
      const [, name, count] = app.name.match(/^(.*?)(?:, with (\d+) updates? more)?$/);
      const more = Number(count ?? 0) + 1;
      app.setNetwork(next, `${name}, with ${more} update${more > 1 ? "s" : ""} more`, app.training);
    }
    function build() {
      const { a, b, bits } = exampleOf();
      found = app.network.gradients(a, b, bits);
      const copy = app.network.copy();
      copy.train({ a, b, bits }, app.training.learning_rate);
      updated = copy.gradients(a, b, bits).error;
      moment = Math.min(moment, 2 * bits + 2);
      picture = unrolled(found.steps, app.network.description.hidden);
      growth = sums(app.network, found.steps);
      stage.replaceChildren(picture.element);
      matrices.replaceChildren(...growth.elements);
      const groups = formulas(app.network.description).map(([title, kind, lines]) => {
        const shown = lines.map((line) => dom("p.formula", { "data-kind": kind }, formula(line)));
        return dom("div.formula-group", dom("h3", formula(title)), shown);
      });
      list.replaceChildren(...groups);
      const isCut = a !== app.sum.a || b !== app.sum.b;
      about.textContent =
        `The example: ${a} + ${b} in the ${bits} steps of the training` +
        `${isCut ? ", the lowest digits of your sum" : ", your sum"}. A shade is a value h; ■ blue is a ` +
        "delta above 0, ● orange one below, larger for larger ones.";
    }
    function update() {
      const { kind } = momentOf(moment, steps());
      carry.follow(stage, picture.light(moment));
      growth.update(Math.max(0, Math.min(steps(), moment - steps() - 1)));
      words.textContent = sentence(moment, found, updated, app.training.learning_rate);
      picture.element.setAttribute("aria-label", words.textContent);
      for (const formula of list.querySelectorAll(".formula")) {
        const isNow = formula.dataset.kind === kind;
        formula.classList.toggle("now", isNow);
        formula.setAttribute("aria-current", isNow ? "step" : "false");
      }
      apply.disabled = kind !== "update";
      player.update();
    }

    const panel = dom("div.panel", player.element, words,
      dom("div.unroll", dom("div.stage-and-sums", stage, matrices), list),
      dom("div.under", about, apply));
    const other = dom("p.note",
      "This view follows the lab's formulas: one layer of sigmoid units, a sigmoid output. The network " +
        "on view is of another kind.");
    root.append(
      dom(
        "p.lead",
        "How does the network learn to carry? An error in one digit may be the fault of a state many steps " +
          "before. So the errors travel back through time, step by step, and every step says how the same " +
          "weights should change.",
      ),
      other, panel,
    );
    const refresh = () => {
      panel.hidden = !app.network.isLabs;
      other.hidden = app.network.isLabs;
      if (panel.hidden) return;
      build();
      update();
    };
    app.on("sum", refresh);
    refresh();
  }

  const title = "Backpropagation through time";
  carry.view({ id: "bptt", title, short: "BPTT", applies: ({ task }) => task === "addition", mount });
})();
