// Add: the digits of two numbers walk in, lowest first, and one sees what the network holds.
//
// On the left the sum as one writes it on paper; on the right a row for each step: the pair of
// digits, the true carry, the hidden units, the output against ½, the digit.
(() => {
  const { dom } = carry;
  const MOST = 2n ** 64n - 1n;

  /** The number that someone typed, or why it is none. */
  function parse(text) {
    const digits = text.replace(/[\s,_'’]/g, "");
    if (digits === "") return { problem: "Type a whole number, such as 53." };
    if (!/^\d+$/.test(digits)) {
      const shown = text.trim().length > 24 ? `${text.trim().slice(0, 24)}…` : text.trim();
      return { problem: `“${shown}” is no whole number from 0 on; type digits only, such as 53.` };
    }
    // long rows of digits are not worth a BigInt
    const number = digits.replace(/^0+(?=\d)/, "");
    if (number.length > 20 || BigInt(number) > MOST) {
      return { problem: `That is too large: at most ${carry.thousands(MOST)}, which is 64 bits.` };
    }
    return { number: BigInt(number) };
  }

  /** A field for a number, with the place for what is wrong with it. */
  function field(name, onNumber) {
    const problem = dom("p.problem", { id: `problem-${name}`, role: "alert" });
    const tell = (reason) => {
      problem.textContent = reason ?? "";
      input.setAttribute("aria-invalid", reason ? "true" : "false");
    };
    const read = () => {
      const { number, problem: reason } = parse(input.value);
      tell(reason);
      if (!reason) onNumber(number);
    };
    const input = dom("input", {
      id: `number-${name}`, type: "text", inputmode: "numeric", autocomplete: "off", spellcheck: "false",
      maxlength: 40, "data-test": name, "aria-describedby": problem.id, oninput: read,
    });
    return { input, problem, tell, label: dom("label.field", { for: input.id }, `Number ${name}`, input) };
  }

  /** The sum on paper: a column for each step, the lowest on the right. */
  function paper(app) {
    const columns = dom("div.columns", { role: "img", tabindex: 0 }); // long sums scroll
    const labels = ["carry", "a", "b", "sum"].map((name) => dom("span", name));
    const element = dom("div.paper", dom("div.labels", { "aria-hidden": "true" }, labels), columns);
    const column = ({ a, b, carryIn, digit, truth }) =>
      dom(
        digit === truth ? "div.column" : "div.column.off",
        dom("span.carried", carryIn ? "1" : ""),
        dom("span.digit", a), dom("span.digit", b), dom("span.digit.said", digit),
      );
    const build = () => columns.replaceChildren(...app.sum.steps.map(column));
    const update = () => {
      const { step, sum } = app;
      [...columns.children].forEach(({ classList }, t) => {
        classList.toggle("waiting", t >= step);
        classList.toggle("unknown", t > step);
        classList.toggle("now", t === step - 1);
      });
      const [a, b, said] = [sum.a, sum.b, carry.adder.spell(sum.steps, "digit", step)].map((n) => n.toString(2));
      const so = `after ${step} of ${sum.steps.length} columns the network's sum is ${said}`;
      columns.setAttribute("aria-label", `On paper, in binary: ${a} plus ${b}; ${so}`);
      carry.follow(columns, columns.children[Math.max(0, step - 1)]);
    };
    return { element, build, update };
  }

  /** The heads of the table: class, name, what it is. */
  const HEADS = [
    ["place", "n", "Place of the digit, 0 is the lowest"],
    ["pair", "a b", "The pair of digits that the network sees"],
    ["truth", "carry", "The carry out of this step"],
    ["state", "hidden units", "What the network holds after this step"],
    ["output", "output", "The digit is 1 if this is above one half"],
    ["answer", "digit", "The digit that the network says"],
  ];

  /** The table: a row for each step. */
  function table(app, isSorted) {
    const body = dom("tbody");
    const heads = HEADS.map(([name, text, title]) => dom(`th.${name}`, { scope: "col", title }, text));
    const caption = dom("caption.unseen", "What the network sees, holds and says at each step");
    const element = dom(
      "div.scroll.steps",
      { tabindex: 0, role: "region", "aria-label": "The steps of the sum" },
      dom("table", caption, dom("thead", dom("tr", heads)), body),
    );
    const row = ({ a, b, carry: carried, truth, output, digit, hidden }, t) => {
      const units = isSorted() ? app.units.map(({ unit }) => unit) : [...hidden.keys()];
      const cells = units.map((unit, place) => {
        const cell = carry.cell(hidden[unit], app.network.description);
        cell.title = `unit ${unit}: ${carry.fixed(hidden[unit], 3)}`;
        cell.style.setProperty("--k", place);
        return cell;
      });
      const isRight = digit === truth;
      return dom(
        isRight ? "tr" : "tr.off",
        dom("th.place", { scope: "row" }, t),
        dom("td.pair", dom("span", a), " ", dom("span", b)),
        dom("td.truth", dom(`span.bit.is-${carried}`, carried)),
        dom("td.state", dom("span.cells", cells)),
        dom(
          "td.output",
          { "data-test": `output-${t}`, "data-value": output },
          dom("span.meter", { "--v": output }), dom("span.number", output.toFixed(2)),
        ),
        dom(
          "td.answer",
          dom("span.said", { "data-test": `digit-${t}` }, digit),
          dom("span.remark", isRight ? dom("span.unseen", "right") : `✗ should be ${truth}`),
        ),
      );
    };
    const build = () => body.replaceChildren(...app.sum.steps.map(row));
    const update = () => {
      [...body.children].forEach((row, t) => {
        row.classList.toggle("waiting", t >= app.step);
        row.classList.toggle("now", t === app.step - 1);
        row.setAttribute("aria-current", t === app.step - 1 ? "step" : "false");
      });
      carry.follow(element, body.children[Math.max(0, app.step - 1)]);
    };
    return { element, build, update };
  }

  /** What came out, in a sentence. */
  function verdict({ sum: { a, b, steps }, step, training: { bits } }) {
    const wrong = steps.slice(0, step).filter(({ digit, truth }) => digit !== truth).length;
    if (step < steps.length) return `Step ${step} of ${steps.length}.${wrong ? ` ✗ ${wrong} wrong so far.` : ""}`;
    const right = [a, b, a + b].map(carry.thousands);
    return (
      (wrong
        ? `✗ Wrong in ${wrong} of ${steps.length} binary digits: ${right[0]} + ${right[1]} is ${right[2]}.`
        : `✓ Right in all ${steps.length} binary digits.`) +
      (steps.length > bits ? ` The network was trained on ${bits} digits, and this has more.` : "")
    );
  }

  /** Sums to try: what they show, and the two numbers. */
  function examples(bits) {
    const most = 2n ** BigInt(bits - 1);
    return [
      ["one long carry", most - 1n, 1n],
      ["no carry at all", (most - 1n) / 3n, ((most - 1n) / 3n) * 2n],
      ["longer than it was trained on", 123456789012345678n, 987654321098765432n],
    ].slice(0, bits < 60 ? 3 : 2);
  }

  function mount(root, app) {
    const fields = [
      field("a", (number) => app.setSum(number, app.sum.b)),
      field("b", (number) => app.setSum(app.sum.a, number)),
    ];
    const tries = examples(app.data.training.bits).map(([name, ...numbers]) =>
      dom("button.button.small", { type: "button", onclick: () => app.setSum(...numbers) }, name),
    );
    const plus = dom("span", { "aria-hidden": "true" }, "+");
    const numbers = dom("div.numbers", fields[0].label, plus, fields[1].label);
    const result = dom("output.result", { "data-test": "sum" });
    const words = dom("p.verdict", { role: "status", "data-test": "verdict" });
    const legend = dom("p.note");
    const sorted = dom("input", { type: "checkbox", checked: true, "data-test": "sorted", onchange: () => refresh() });
    const parts = [paper(app), table(app, () => sorted.checked)];
    const player = carry.player({
      label: "Steps of the sum",
      max: () => app.sum.steps.length,
      get: () => app.step,
      set: (step) => app.setStep(step),
      delay: () => Math.max(120, Math.min(800, 12_000 / app.sum.steps.length)),
      text: () => `Step ${app.step} of ${app.sum.steps.length}`,
      tests: { play: "play", back: "back", step: "step", range: "scrub" },
    });

    const update = () => {
      const { sum, step } = app;
      parts.forEach((part) => part.update());
      player.update();
      result.textContent = carry.thousands(carry.adder.spell(sum.steps, "digit", step));
      words.textContent = verdict(app);
      const isWrong = sum.steps.slice(0, step).some(({ digit, truth }) => digit !== truth);
      [words, result].forEach(({ classList }) => classList.toggle("wrong", isWrong));
      [numbers, result].forEach(({ classList }) => classList.toggle("long", sum.steps.length > 40));
    };
    const refresh = () => {
      [app.sum.a, app.sum.b].forEach((number, n) => {
        // who types keeps what was typed
        if (document.activeElement === fields[n].input) return;
        fields[n].input.value = number;
        fields[n].tell(null);
      });
      parts.forEach((part) => part.build());
      legend.replaceChildren("A cell is a unit, shaded by its value: ", carry.legend(app.network.description));
      update();
    };

    root.append(
      dom(
        "p.lead",
        "As on paper, the network adds column after column, from the lowest digit up. It sees only the " +
          "two digits of a column. Whether there is a carry it has to remember by itself, in its hidden " +
          "units: look for cells that go with the carry beside them, or against it.",
      ),
      dom(
        "div.grid.add",
        dom(
          "div.panel",
          numbers, fields.map(({ problem }) => problem),
          dom("p.tries", dom("span.soft", "Try "), tries),
          parts[0].element, player.element,
          dom("p.equals", dom("span.soft", "The network says "), result), words,
        ),
        dom(
          "div.panel",
          parts[1].element,
          dom("div.under", legend, dom("label.check", sorted, "Units that tell the carry best come first")),
        ),
      ),
    );
    app.on("sum", refresh);
    app.on("step", update);
    refresh();
  }

  carry.view({ id: "add", title: "Add", applies: ({ task }) => task === "addition", mount });
})();
