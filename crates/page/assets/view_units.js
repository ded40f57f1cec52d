// Which unit holds the carry? The units by how far they swing with it; of one its weights and values.
(() => {
  /** What the rows of a layer's weights are called, one a gate. */
  const GATES = { elman: [""], gru: ["reset", "update", "new"], lstm: ["input", "forget", "cell", "output"] };

  /** What a unit is called: its place in its layer, and the layer if there are several. */
  function nameOf(unit, { hidden, layers }) {
    const layer = Math.floor(unit / hidden);
    return layers > 1 ? `unit ${unit % hidden} of layer ${layer}` : `unit ${unit}`;
  }

  /** Whether a step's digits differ, so that they do not say the carry. */
  const tells = ({ a, b }) => a !== b;

  /** A strip of cells, one a step; those of steps that tell stand tall. */
  function strip(steps, cell) {
    const cells = steps.map((step) => {
      const element = cell(step);
      element.classList.toggle("short", !tells(step));
      return element;
    });
    return carry.dom("span", { class: "strip" }, cells);
  }

  /** A row of the list: the unit's name, its values over the sum, and how far it swings. */
  function row(app, { unit, swing }, most, choose) {
    const { description } = app.network;
    const bar = carry.dom("span", { class: `swing ${swing < 0 ? "down" : "up"}` });
    bar.style.setProperty("--v", most > 0 ? Math.abs(swing) / most : 0);
    const select = () => choose(unit);
    return carry.dom(
      "button",
      {
        type: "button",
        class: "unit",
        "data-test": `unit-${unit}`,
        "data-unit": unit,
        onmouseenter: select,
        onfocus: select,
        onclick: select,
      },
      carry.dom("span", { class: "name" }, nameOf(unit, description)),
      strip(app.sum.steps, ({ hidden }) => carry.cell(hidden[unit], description)),
      carry.dom(
        "span",
        { class: "much" },
        bar,
        carry.dom("span", null, `${swing < 0 ? "▾" : "▴"} ${carry.fixed(Math.abs(swing))}`),
      ),
    );
  }

  /** Weights with bars to both sides of zero. */
  function weights(title, entries) {
    const most = Math.max(...entries.map(([, value]) => Math.abs(value)), 1e-9);
    return carry.dom(
      "div",
      { class: "weights" },
      carry.dom("h4", null, title),
      carry.dom(
        "dl",
        null,
        entries.map(([name, value]) => {
          const bar = carry.dom("span", { class: `weight ${value < 0 ? "minus" : "plus"}` });
          bar.style.setProperty("--v", Math.abs(value) / most);
          return carry.dom(
            "div",
            null,
            carry.dom("dt", null, name),
            carry.dom("dd", null, bar, carry.dom("span", null, `${value < 0 ? "" : "+"}${carry.fixed(value)}`)),
          );
        }),
      ),
    );
  }

  /** The weights into a unit's gate, and out of it. */
  function weightsOf(app, unit, gate) {
    const { description, tensors } = app.network;
    const { hidden, layers, inputs, outputs } = description;
    const [layer, k] = [Math.floor(unit / hidden), unit % hidden];
    const row = gate * hidden + k;
    const below = layer === 0 ? inputs : hidden;
    const nameBelow = (j) => (layer === 0 ? ["a", "b"][j] : nameOf(j + (layer - 1) * hidden, description));
    const into = Array.from({ length: below }, (_, j) => [
      nameBelow(j),
      tensors[`weight_ih_l${layer}`][row * below + j],
    ]);
    if (description.bias) {
      const bias = tensors[`bias_ih_l${layer}`][row] + tensors[`bias_hh_l${layer}`][row];
      into.push(["bias", bias]);
    }
    const rank = new Map(app.units.map(({ unit }, place) => [unit, place]));
    const others = Array.from({ length: hidden }, (_, j) => j + layer * hidden)
      .sort((one, two) => rank.get(one) - rank.get(two))
      .map((other) => [
        other === unit ? "itself" : nameOf(other, { ...description, layers: 1 }).replace(/\d+/, other % hidden),
        tensors[`weight_hh_l${layer}`][row * hidden + (other % hidden)],
      ]);
    const out = Array.from({ length: layer === layers - 1 ? outputs : 0 }, (_, o) => [
      outputs > 1 ? `output ${o}` : "output",
      tensors["head.weight"][o * hidden + k],
    ]);
    return [
      carry.dom(
        "div",
        null,
        weights(layer === 0 ? "From the digits" : "From the layer below", into),
        out.length > 0 && weights("To the sum", out),
      ),
      weights("From the step before", others),
    ];
  }

  /** The values of a unit over the steps of the sum, steps with a carry shaded. */
  function chart(app, unit, width) {
    const { steps } = app.sum;
    const values = steps.map(({ hidden }) => hidden[unit]);
    const { cell, activation } = app.network.description;
    const low = cell !== "elman" || activation === "tanh" ? -1 : 0;
    const high = Math.max(1, ...values);
    const [height, left, top] = [190, 34, 22];
    const [w, h] = [width - left - 8, height - top - 34];
    const x = (t) => left + ((t + 0.5) / steps.length) * w;
    const y = (v) => top + (1 - (v - low) / (high - low)) * h;
    const wide = w / steps.length;
    const isWide = wide > 32;
    const every = Math.ceil(24 / wide);
    const svg = carry.svg;
    return svg(
      "svg",
      {
        class: "figure",
        viewBox: `0 0 ${width} ${height}`,
        role: "img",
        "aria-label":
          `Values of ${nameOf(unit, app.network.description)} over the steps: ` +
          values.map((v, t) => `${carry.fixed(v)}${steps[t].carry ? " (carry)" : ""}`).join(", "),
      },
      steps.map(({ carry: carried }, t) =>
        carried
          ? [
              svg("rect", { class: "band", x: x(t) - wide / 2, y: top, width: wide, height: h }),
              svg("text", { x: x(t), y: top - 6, "text-anchor": "middle" }, isWide ? "carry" : "·"),
            ]
          : [],
      ),
      [low, (low + high) / 2, high].map((v) => [
        svg("line", { class: "rule", x1: left, x2: width - 8, y1: y(v), y2: y(v) }),
        svg("text", { x: left - 6, y: y(v) + 4, "text-anchor": "end" }, carry.fixed(v, Number.isInteger(v) ? 0 : 1)),
      ]),
      svg("polyline", { class: "curve", points: values.map((v, t) => `${x(t)},${y(v)}`).join(" ") }),
      values.map((v, t) =>
        svg("circle", {
          class: `dot${tells(steps[t]) ? "" : " hollow"}${t === app.step - 1 ? " now" : ""}`,
          cx: x(t),
          cy: y(v),
          r: t === app.step - 1 ? 6.5 : 4.5,
        }),
      ),
      steps.map(({ a, b }, t) =>
        t % every === 0
          ? svg("text", { x: x(t), y: height - 18, "text-anchor": "middle" }, isWide ? `${a}+${b}` : t)
          : [],
      ),
      svg("text", { x: left + w / 2, y: height - 2, "text-anchor": "middle" },
        isWide ? "the pair of digits at each step" : "step"),
    );
  }

  /** What is to say of a unit. */
  function sentence(app, unit) {
    const { with: high, without, chance, swing } = app.units.find((entry) => entry.unit === unit);
    const share = Math.round(100 * Math.max(chance, 1 - chance));
    return (
      `Its mean is ${carry.fixed(high)} with a carry and ${carry.fixed(without)} without: it goes ` +
      `${swing < 0 ? "down" : "up"} by ${carry.fixed(Math.abs(swing))}. Of two steps, one with a carry ` +
      `and one without, its value alone tells which is which in ${share} % (50 % is a guess).`
    );
  }

  function mount(root, app) {
    let [unit, gate] = [app.units[0].unit, 0];
    const list = carry.dom("div", { class: "scroll units" });
    const detail = carry.dom("div", { class: "panel detail", "data-test": "unit" });
    const values = carry.dom("div");
    const drawValues = carry.fit(values, (width) => chart(app, unit, width));

    /** Which gate's weights to show, where there are several. */
    const field = () => {
      const gates = GATES[app.network.description.cell];
      if (gates.length === 1) return "";
      const select = carry.dom(
        "select",
        { "data-test": "gate", onchange: () => { gate = Number(select.value); showWeights(); } },
        gates.map((name, n) => carry.dom("option", { value: n, selected: n === gate }, name)),
      );
      return carry.dom("label", { class: "field gate" }, "Weights of the gate", select);
    };
    const columns = carry.dom("div", { class: "columns-of-weights" });
    const showWeights = () => {
      const parts = weightsOf(app, unit, gate).map((part, n) =>
        carry.dom("div", { class: "scroll", tabindex: n ? 0 : null, role: n ? "region" : null, "aria-label": n ? "Weights from the step before" : null }, part));
      columns.replaceChildren(...parts);
    };
    const show = () => {
      for (const button of list.querySelectorAll("button")) {
        button.setAttribute("aria-pressed", Number(button.dataset.unit) === unit);
      }
      detail.replaceChildren(
        carry.dom("h3", null, nameOf(unit, app.network.description).replace("unit", "Unit")),
        carry.dom("p", null, sentence(app, unit)),
        values,
        field(),
        columns,
      );
      drawValues();
      showWeights();
    };
    const choose = (chosen) => {
      if (chosen === unit) return;
      unit = chosen;
      show();
    };
    const refresh = () => {
      const { units, sum } = app;
      if (unit >= units.length) unit = units[0].unit;
      const focused = document.activeElement?.dataset.unit;
      const most = Math.abs(units[0].swing);
      list.replaceChildren(
        carry.dom(
          "div",
          { class: "unit truth" },
          carry.dom("span", { class: "name" }, "the carry"),
          strip(sum.steps, ({ carry: carried }) => carry.dom("span", { class: `cell bit is-${carried}` }, carried)),
          carry.dom("span", { class: "much soft" }, "swing"),
        ),
        ...units.map((entry) => row(app, entry, most, choose)),
      );
      list.classList.toggle("many", sum.steps.length > 24);
      if (focused !== undefined && list.contains(document.activeElement) === false) {
        list.querySelector(`[data-unit="${focused}"]`)?.focus({ preventScroll: true });
      }
      show();
    };

    root.append(
      carry.dom(
        "p",
        { class: "lead" },
        "Nobody told the network to keep a carry, nor where. Each strip is a unit over the steps of " +
          "your sum, under the true carry. Look at the tall cells, where one digit is 1 and the other " +
          "0: the carry decides there, and only who remembers it can know it.",
      ),
      carry.dom(
        "div",
        { class: "grid pair" },
        carry.dom(
          "div",
          { class: "panel" },
          list,
          carry.dom(
            "p",
            { class: "note" },
            "Swing: a unit's mean with a carry, less its mean without (▴ up, ▾ down), at the steps " +
              "that tell, over a fixed sample of sums. The units with the largest swing come first.",
          ),
        ),
        detail,
      ),
    );
    app.on("sum", refresh);
    app.on("step", drawValues);
    refresh();
  }

  carry.view({
    id: "units",
    title: "Which unit holds the carry?",
    short: "Units",
    applies: ({ task }) => task === "addition",
    mount,
  });
})();
