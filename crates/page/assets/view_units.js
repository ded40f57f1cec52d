// Which unit holds the carry? The units by how far they swing with it; of one its weights and values.
(() => {
  const { dom, svg } = carry;

  /** The gates of a cell, in the order of the rows of its weights. */
  const GATES = { elman: [""], gru: ["reset", "update", "new"], lstm: ["input", "forget", "cell", "output"] };

  /** What a unit is called: its place in its layer, behind the layer if there are several. */
  const nameOf = (unit, { hidden, layers }) =>
    layers > 1 ? `unit ${Math.floor(unit / hidden)}.${unit % hidden}` : `unit ${unit}`;

  /** Whether a step's digits differ, so that they do not say the carry. */
  const tells = ({ a, b }) => a !== b;

  const arrow = (swing) => (swing < 0 ? "▾" : "▴");

  /** A strip of cells, one a step; those of steps that tell stand tall. */
  function strip(steps, cell) {
    const cells = steps.map((step) => {
      const element = cell(step);
      element.classList.toggle("short", !tells(step));
      return element;
    });
    return dom("span.strip", cells);
  }

  /** A row of the list: the unit's name, its values over the sum, and how far it swings. */
  function row(app, { unit, swing }, most, choose) {
    const { description } = app.network;
    const select = () => choose(unit);
    return dom(
      "button.unit",
      { type: "button", "data-test": `unit-${unit}`, "data-unit": unit, onmouseenter: select, onfocus: select, onclick: select },
      dom("span", nameOf(unit, description)),
      strip(app.sum.steps, ({ hidden }) => carry.cell(hidden[unit], description)),
      dom(
        "span.much",
        dom(`span.swing.${swing < 0 ? "down" : "up"}`, { "--v": most > 0 ? Math.abs(swing) / most : 0 }),
        dom("span", `${arrow(swing)} ${carry.fixed(Math.abs(swing))}`),
      ),
    );
  }

  /** Weights [[name, value]] with bars to both sides of zero. */
  function bars(title, weights) {
    const most = Math.max(...weights.map(([, value]) => Math.abs(value)), 1e-9);
    const rows = weights.map(([name, value]) =>
      dom(
        "div",
        dom("dt", name),
        dom(
          "dd",
          dom(`span.weight.${value < 0 ? "minus" : "plus"}`, { "--v": Math.abs(value) / most }),
          dom("span", `${value < 0 ? "" : "+"}${carry.fixed(value)}`),
        ),
      ),
    );
    return dom("div.weights", dom("h4", title), dom("dl", rows));
  }

  /** The weights into a gate of a unit, and out of the unit. */
  function weightsOf(app, unit, gate) {
    const { description, tensors } = app.network;
    const { hidden, layers, inputs, bias } = description;
    const [layer, k] = [Math.floor(unit / hidden), unit % hidden];
    const row = gate * hidden + k;
    const nameBelow = (j) => (layer === 0 ? "ab"[j] : nameOf(j + (layer - 1) * hidden, description));
    const below = layer === 0 ? inputs : hidden;
    const into = Array.from({ length: below }, (_, j) => [nameBelow(j), tensors[`weight_ih_l${layer}`][row * below + j]]);
    if (bias) into.push(["bias", tensors[`bias_ih_l${layer}`][row] + tensors[`bias_hh_l${layer}`][row]]);
    const others = app.units
      .filter((other) => Math.floor(other.unit / hidden) === layer)
      .map((other) => [
        other.unit === unit ? "itself" : nameOf(other.unit, description),
        tensors[`weight_hh_l${layer}`][row * hidden + (other.unit % hidden)],
      ]);
    return [
      dom(
        "div",
        bars(layer === 0 ? "From the digits" : "From the layer below", into),
        layer === layers - 1 && bars("To the sum", [["output", tensors["head.weight"][k]]]),
      ),
      dom(
        "div.scroll",
        { tabindex: 0, role: "region", "aria-label": "Weights from the step before" },
        bars("From the step before", others),
      ),
    ];
  }

  /** The values of a unit over the steps of the sum; steps with a carry have a band. */
  function chart(app, unit, width) {
    const { steps } = app.sum;
    const { cell, activation } = app.network.description;
    const values = steps.map(({ hidden }) => hidden[unit]);
    const low = cell !== "elman" || activation === "tanh" ? -1 : 0;
    const high = Math.max(1, ...values);
    const [height, left, top, right] = [190, 34, 22, width - 8];
    const h = height - top - 34;
    const wide = (right - left) / steps.length;
    const isWide = wide > 32;
    const every = Math.ceil(24 / wide);
    const x = (t) => left + (t + 0.5) * wide;
    const y = (value) => top + (1 - (value - low) / (high - low)) * h;
    const text = (x, y, words, anchor = "middle") => svg("text", { x, y, "text-anchor": anchor }, words);
    const said = values.map((value, t) => `${carry.fixed(value)}${steps[t].carry ? " (carry)" : ""}`);
    return svg(
      "svg.figure",
      {
        viewBox: `0 0 ${width} ${height}`,
        role: "img",
        "aria-label": `Values of ${nameOf(unit, app.network.description)} over the steps: ${said.join(", ")}`,
      },
      steps.map(({ carry: carried }, t) => carried > 0 && [
        svg("rect.band", { x: x(t) - wide / 2, y: top, width: wide, height: h }),
        text(x(t), top - 6, isWide ? "carry" : "·"),
      ]),
      [low, (low + high) / 2, high].map((value) => [
        svg("line.rule", { x1: left, x2: right, y1: y(value), y2: y(value) }),
        text(left - 6, y(value) + 4, carry.fixed(value, Number.isInteger(value) ? 0 : 1), "end"),
      ]),
      svg("polyline.curve", { points: values.map((value, t) => `${x(t)},${y(value)}`).join(" ") }),
      values.map((value, t) => {
        const isNow = t === app.step - 1;
        const name = `circle.dot${tells(steps[t]) ? "" : ".hollow"}${isNow ? ".now" : ""}`;
        return svg(name, { cx: x(t), cy: y(value), r: (isNow ? 1.5 : 1) * Math.min(4.5, wide / 3) });
      }),
      steps.map(({ a, b }, t) => t % every === 0 && text(x(t), height - 18, isWide ? `${a}+${b}` : t)),
      text((left + right) / 2, height - 2, isWide ? "the pair of digits at each step" : "step"),
    );
  }

  /** What is to say of a unit. */
  function sentence(app, unit) {
    const { with: mean, without, chance, swing } = app.units.find((entry) => entry.unit === unit);
    return (
      `Its mean is ${carry.fixed(mean)} with a carry and ${carry.fixed(without)} without: it goes ` +
      `${swing < 0 ? "down" : "up"} by ${carry.fixed(Math.abs(swing))}. Of two steps, one with a carry ` +
      "and one without, its value alone tells which is which in " +
      `${Math.round(100 * Math.max(chance, 1 - chance))} % (50 % is a guess).`
    );
  }

  function mount(root, app) {
    let [unit, gate, count] = [app.units[0].unit, 0, app.units.length];
    const list = dom("div.scroll.units");
    const note = dom("p.note");
    const detail = dom("div.panel.detail", { "data-test": "unit" });
    const values = dom("div");
    const drawValues = carry.fit(values, (width) => chart(app, unit, width));
    const columns = dom("div.columns-of-weights");
    const showWeights = () => columns.replaceChildren(...weightsOf(app, unit, gate));

    /** Which gate's weights to show, where there are several. */
    function gates() {
      const names = GATES[app.network.description.cell];
      gate = Math.min(gate, names.length - 1);
      if (names.length === 1) return "";
      const options = names.map((name, n) => dom("option", { value: n, selected: n === gate }, name));
      const onchange = ({ target }) => {
        gate = Number(target.value);
        showWeights();
      };
      return dom("label.field.gate", "Weights of the gate", dom("select", { "data-test": "gate", onchange }, options));
    }
    function show() {
      for (const button of list.querySelectorAll("button")) {
        button.setAttribute("aria-pressed", Number(button.dataset.unit) === unit);
      }
      const name = nameOf(unit, app.network.description).replace("u", "U");
      detail.replaceChildren(dom("h3", name), dom("p", sentence(app, unit)), values, gates(), columns);
      drawValues();
      showWeights();
    }
    function choose(chosen) {
      if (chosen === unit) return;
      unit = chosen;
      show();
    }
    function refresh() {
      const { units, sum, network } = app;
      if (count !== units.length) unit = units[0].unit; // of another network
      count = units.length;
      const focused = list.contains(document.activeElement) && document.activeElement.dataset.unit;
      const truth = strip(sum.steps, ({ carry: carried }) => dom(`span.cell.bit.is-${carried}`, carried));
      list.replaceChildren(
        dom("div.unit.truth", dom("span", "the carry"), truth, dom("span.much.soft", "swing")),
        ...units.map((entry) => row(app, entry, Math.abs(units[0].swing), choose)),
      );
      list.classList.toggle("many", sum.steps.length > 24);
      if (focused) list.querySelector(`[data-unit="${focused}"]`)?.focus({ preventScroll: true });
      note.textContent =
        "Swing: a unit's mean with a carry, less its mean without (▴ up, ▾ down), at the steps that tell, " +
        "over a fixed sample of sums. The units with the largest swing come first." +
        (network.description.layers > 1 ? " Unit 1.3 is unit 3 of layer 1; layers count from 0." : "");
      show();
    }

    root.append(
      dom(
        "p.lead",
        "Nobody told the network to keep a carry, nor where. Each strip is a unit over the steps of your " +
          "sum, under the true carry. Look at the tall cells, where one digit is 1 and the other 0: the " +
          "carry decides there, and only who remembers it can know it.",
      ),
      dom("div.grid.pair", dom("div.panel", list, note), detail),
    );
    app.on("sum", refresh);
    app.on("step", drawValues);
    refresh();
  }

  const title = "Which unit holds the carry?";
  carry.view({ id: "units", title, short: "Units", applies: ({ task }) => task === "addition", mount });
})();
