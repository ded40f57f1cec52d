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

  /** A name with an index, as HTML: h_t is sub("h", "t"). */
  const sub = (name, index, up) =>
    [
      dom("var", null, name),
      up
        ? dom("span", { class: "stack" }, dom("sup", null, up), dom("sub", null, index))
        : dom("sub", null, index),
    ];

  /** The lab's formulas: the kind of moment in which each works, what it makes, how. */
  function formulas({ bias, head_bias }) {
    const [x, h, o, y, d] = ["x", "h", "o", "y", "δ"].map((name) => sub(name, "t"));
    const w = (index) => sub("W", index);
    const e = () => sub("δ", "t", "out");
    const clone = (parts) => parts.map((part) => part.cloneNode?.(true) ?? part);
    const line = (kind, ...parts) => ({ kind, parts: parts.map((p) => (Array.isArray(p) ? clone(p) : p)) });
    return [
      [["Forward, t = 1 … T, from ", sub("h", "0"), " = 0"], [
        line("forward", h, " = σ(", x, "·", w("in"), " + ", sub("h", "t−1"), "·", w("rec"),
          bias ? [" + ", ...sub("b", "in"), " + ", ...sub("b", "rec")] : "", ")"),
        line("forward", o, " = σ(", h, "·", sub("w", "out"), head_bias ? [" + ", ...sub("b", "out")] : "", ")"),
      ]],
      ["Errors in the outputs", [
        line("errors", e(), " = (", y, " − ", o, ") · ", o, " (1 − ", o, ")"),
      ]],
      [["Back, t = T … 1, from ", sub("δ", "T+1"), " = 0"], [
        line("back", d, " = (", sub("δ", "t+1"), "·", sub("W", "rec", "⊤"), " + ", e(), "·", sub("w", "out"),
          ") · ", h, " (1 − ", h, ")"),
        line("back", "Δ", w("in"), " += ", sub("x", "t", "⊤"), "·", d),
        line("back", "Δ", w("rec"), " += ", sub("h", "t−1", "⊤"), "·", d),
        line("back", "Δ", sub("w", "out"), " += ", h, "·", e()),
        bias && line("back", "Δ", sub("b", "in"), " += ", d, ",  Δ", sub("b", "rec"), " += ", d),
        head_bias && line("back", "Δ", sub("b", "out"), " += ", e()),
      ]],
      ["Update, once for all steps", [
        line("update", dom("var", null, "W"), " += rate · Δ", dom("var", null, "W")),
      ]],
    ];
  }

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

  /** The unrolled network: built once for an example, then lit moment by moment. */
  function unrolled(steps, hidden) {
    const columns = Math.max(1, Math.min(hidden, Math.ceil(hidden / 8)));
    const rows = Math.ceil(hidden / columns);
    const [blockWidth, blockHeight] = [columns * CELL, rows * CELL];
    const pitch = Math.max(blockWidth, 40) + GAP;
    const [width, height] = [pitch * steps.length + GAP, TOP + blockHeight + 84];
    const most = largest(steps.flatMap(({ delta }) => [...delta]));
    const mostOut = largest(steps.map(({ outputDelta }) => outputDelta));
    const arrow = (name, from, to) =>
      svg("path", { class: `arrow ${name}`, d: `M${from}L${to}`, "marker-end": "url(#tip)" });
    const groups = steps.map((step, t) => {
      const middle = GAP + t * pitch + (pitch - GAP) / 2;
      const [left, right] = [middle - blockWidth / 2, middle + blockWidth / 2];
      const [y, bottom] = [TOP, TOP + blockHeight];
      const centre = y + blockHeight / 2;
      const place = (k) => [left + (k % columns) * CELL, y + Math.floor(k / columns) * CELL];
      const cells = [...step.hidden].map((value, k) => {
        const [cx, cy] = place(k);
        const cell = svg("rect", { class: "unit-cell", x: cx + 0.5, y: cy + 0.5, width: CELL - 1, height: CELL - 1 },
          svg("title", null, `unit ${k}, step ${t + 1}: h = ${carry.fixed(value, 3)}, δ = ${carry.small(step.delta[k])}`));
        cell.style.setProperty("--v", value.toFixed(3));
        return cell;
      });
      const paths = signs(step.delta, columns, CELL, most);
      const outPaths = signs([step.outputDelta], 1, 26, mostOut);
      const meter = svg("rect", { class: "level", x: middle - 20, width: 40, y: 58 - 40 * step.output + 0, height: 40 * step.output });
      const before = left - (pitch - blockWidth) + 2;
      return svg(
        "g",
        { class: "step" },
        svg("text", { x: middle, y: height - 4, "text-anchor": "middle" }, `t = ${t + 1}`),
        svg("text", { class: "pair", x: middle, y: bottom + 50, "text-anchor": "middle" }, `${step.x[0]} ${step.x[1]}`),
        arrow("in forth", [middle, bottom + 32], [middle, bottom + 6]),
        t > 0 && arrow("rec forth", [before, centre - 7], [left - 6, centre - 7]),
        arrow("out forth", [middle, y - 4], [middle, 66]),
        arrow("out return", [middle + 9, 63], [middle + 9, y - 7]),
        t > 0 && arrow("rec return", [left - 3, centre + 7], [before + 4, centre + 7]),
        svg("rect", { class: "block", x: left - 2, y: y - 2, width: blockWidth + 4, height: blockHeight + 4, rx: 3 }),
        svg("g", { class: "values" }, cells),
        svg("g", { class: "deltas", transform: `translate(${left} ${y})` },
          svg("path", { class: "plus", d: paths.plus }), svg("path", { class: "minus", d: paths.minus })),
        svg("g", { class: "answer" },
          svg("rect", { class: "scale", x: middle - 20, y: 18, width: 40, height: 40 }), meter,
          svg("line", { class: "half", x1: middle - 23, x2: middle + 23, y1: 38, y2: 38 }),
          svg("text", { class: "number", x: middle, y: 12, "text-anchor": "middle" },
            `${carry.fixed(step.output)} → ${step.target}`)),
        svg("g", { class: "error", transform: `translate(${middle - 13} 25)` },
          svg("rect", { class: "clear", x: -7, y: -7, width: 40, height: 40 }),
          svg("path", { class: "plus", d: outPaths.plus }), svg("path", { class: "minus", d: outPaths.minus })),
      );
    });
    const tip = svg("marker", { id: "tip", viewBox: "0 0 8 8", refX: 6, refY: 4, markerWidth: 5, markerHeight: 5, orient: "auto" },
      svg("path", { d: "M0,0L8,4L0,8z" }));
    const element = svg("svg", { class: "unrolled", width, height, viewBox: `0 0 ${width} ${height}`, role: "img" },
      svg("defs", null, tip), groups);
    const light = (moment) => {
      const { kind, t: now } = momentOf(moment, steps.length);
      groups.forEach((group, t) => {
        const isBack = (kind === "back" && t >= now) || kind === "update";
        const names = ["step"];
        if (kind === "start" || (kind === "forward" && t > now)) names.push("waiting");
        if (["errors", "back", "update"].includes(kind)) names.push("erred");
        if (isBack) names.push("returned");
        if (t === now && kind === "forward") names.push("now-forward");
        if (t === now && kind === "back") names.push("now-back");
        if (kind === "back" && t === now + 1) names.push("sends");
        group.setAttribute("class", names.join(" "));
      });
      return { centre: GAP + Math.max(0, now) * pitch + pitch / 2 };
    };
    return { element, light };
  }

  /** The sums of updates, which grow. Their scale is that of the last. */
  function sums(network, steps, total) {
    const { hidden, inputs, bias, head_bias } = network.description;
    const size = Math.max(3, Math.min(12, Math.floor(200 / hidden)));
    const turned = (values, rows, columns) =>
      Array.from({ length: rows * columns }, (_, n) => values[(n % rows) * columns + Math.floor(n / rows)]);
    const shapes = [
      ["W", "in", "from a, b (rows) to each unit", "weight_ih_l0", hidden, (v) => turned(v, hidden, inputs)],
      ["W", "rec", "from each unit (rows) to each", "weight_hh_l0", hidden, (v) => turned(v, hidden, hidden)],
      ["w", "out", "from each unit to the output", "head.weight", hidden, (v) => [...v]],
      bias && ["b", "in", "and b rec, the same", "bias_ih_l0", hidden, (v) => [...v]],
      head_bias && ["b", "out", "of the output", "head.bias", 1, (v) => [...v]],
    ].filter(Boolean);
    // the sums after each step that went back: none, T, T and T − 1, …
    const after = [network.zeros()];
    for (const step of steps.slice().reverse()) {
      const sum = Object.entries(after.at(-1)).map(([name, values]) => [name, values.slice()]);
      after.push(Object.fromEntries(sum));
      network.addUpdates(after.at(-1), step);
    }
    const drawn = shapes.map(([letter, index, what, name, columns, arrange]) => {
      const most = largest(total[name]);
      const rows = total[name].length / columns;
      const paths = [svg("path", { class: "plus" }), svg("path", { class: "minus" })];
      const figure = svg(
        "svg",
        {
          class: "matrix",
          width: columns * size,
          height: rows * size,
          viewBox: `0 0 ${columns * size} ${rows * size}`,
          role: "img",
        },
        svg("rect", { class: "scale", width: columns * size, height: rows * size }), paths,
      );
      const words = dom("span", { class: "soft" });
      const element = dom("figure", null, dom("figcaption", null, "Δ", sub(letter, index), " ", dom("span", { class: "soft" }, what)),
        figure, words);
      const update = (count) => {
        const values = arrange(after[count][name]);
        const { plus, minus } = signs(values, columns, size, most);
        paths[0].setAttribute("d", plus);
        paths[1].setAttribute("d", minus);
        const largestNow = count === 0 ? "0" : carry.small(largest(values));
        words.textContent = `largest ${largestNow}`;
        figure.setAttribute("aria-label", `Sum of updates of ${letter} ${index}; its largest value is ${largestNow}`);
      };
      return { element, update };
    });
    const [w_in, w_rec, ...others] = drawn.map(({ element }) => element);
    return { elements: [dom("div", null, w_in, others), w_rec], update: (count) => drawn.forEach(({ update }) => update(count)) };
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
    let moment = 0;
    let [found, picture, growth, updated] = [null, null, null, 0];
    const steps = () => found.steps.length;
    const stage = dom("div", {
      class: "scroll",
      tabindex: 0,
      role: "region",
      "aria-label": "The network, unrolled over the steps",
    });
    const [matrices, list] = [dom("div", { class: "sums" }), dom("div", { class: "formulas" })];
    const words = dom("p", { class: "moment", role: "status", "data-test": "moment-bptt" });
    const about = dom("p", { class: "note" });
    const player = carry.player({
      label: "Moments of backpropagation through time",
      max: () => (found ? 2 * steps() + 2 : 0),
      get: () => moment,
      set: (to) => {
        moment = to;
        update();
      },
      delay: () => Math.max(150, Math.min(900, 20_000 / (2 * steps() + 2))),
      text: () => words.textContent,
      tests: { play: "forward", back: "back", step: "next", range: "phase" },
    });
    const apply = dom(
      "button",
      { type: "button", class: "button", "data-test": "apply", onclick: () => updateNetwork() },
      "Make this update",
    );

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
      growth = sums(app.network, found.steps, found.updates);
      stage.replaceChildren(picture.element);
      matrices.replaceChildren(...growth.elements);
      list.replaceChildren(
        ...formulas(app.network.description).map(([title, lines]) =>
          dom("div", { class: "formula-group" }, dom("h3", null, title),
            lines.filter(Boolean).map(({ kind, parts }) => dom("p", { class: "formula", "data-kind": kind }, parts))),
        ),
      );
      const isCut = a !== app.sum.a || b !== app.sum.b;
      about.textContent =
        `The example: ${a} + ${b} in the ${bits} steps of the training` +
        `${isCut ? ", the lowest digits of your sum" : ", your sum"}. A shade is a value h; ■ blue is a ` +
        "delta above 0, ● orange one below, larger for larger ones.";
    }
    function update() {
      const { kind } = momentOf(moment, steps());
      const { centre } = picture.light(moment);
      stage.scrollLeft = centre - stage.clientWidth / 2;
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

    const panel = dom("div", { class: "panel" }, player.element, words,
      dom("div", { class: "unroll" }, dom("div", { class: "stage-and-sums" }, stage, matrices), list),
      dom("div", { class: "under" }, about, apply));
    const other = dom("p", { class: "note" },
      "This view follows the lab's formulas: one layer of sigmoid units, a sigmoid output. The network " +
        "on view is of another kind.");
    root.append(
      dom("p", { class: "lead" },
        "How does the network learn to carry? An error in one digit may be the fault of a state many " +
          "steps before. So the errors travel back through time, step by step, and every step says how " +
          "the same weights should change."),
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

  carry.view({
    id: "bptt",
    title: "Backpropagation through time",
    short: "BPTT",
    applies: ({ task }) => task === "addition",
    mount,
  });
})();
