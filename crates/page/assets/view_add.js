// Add: the digits of two numbers walk in, lowest first, and one sees what the network holds.
//
// On the left the sum as one writes it on paper; on the right a row for each step: the pair of
// digits, the true carry, the hidden units, the output against ½, the digit.
(() => {
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
  function field(name, value, onNumber) {
    const problem = carry.dom("p", { class: "problem", id: `problem-${name}`, role: "alert" });
    const input = carry.dom("input", {
      type: "text",
      inputmode: "numeric",
      autocomplete: "off",
      spellcheck: "false",
      maxlength: 40,
      id: `number-${name}`,
      "data-test": name,
      "aria-describedby": problem.id,
      oninput: () => {
        const { number, problem: reason } = parse(input.value);
        problem.textContent = reason ?? "";
        input.setAttribute("aria-invalid", reason ? "true" : "false");
        if (!reason) onNumber(number);
      },
    });
    input.value = value;
    const label = carry.dom("label", { class: "field", for: input.id }, `Number ${name}`, input);
    const clear = () => {
      problem.textContent = "";
      input.setAttribute("aria-invalid", "false");
    };
    return { input, label, problem, clear };
  }

  /** The sum on paper: a column for each step, the lowest on the right. */
  function paper(app) {
    const columns = carry.dom("div", { class: "columns" });
    const labels = ["carry", "a", "b", "sum"].map((name) => carry.dom("span", null, name));
    const element = carry.dom(
      "div",
      { class: "paper", role: "img" },
      carry.dom("div", { class: "labels" }, labels),
      columns,
    );
    const build = () => {
      const digit = (name, value) => carry.dom("span", { class: name }, value);
      columns.replaceChildren(
        ...app.sum.steps.map(({ a, b, carryIn, digit: said, truth }) =>
          carry.dom(
            "div",
            { class: said === truth ? "column" : "column off" },
            digit("carried", carryIn ? "1" : ""), digit("digit", a), digit("digit", b),
            digit("digit said", said),
          ),
        ),
      );
    };
    const update = () => {
      const { step, sum } = app;
      [...columns.children].forEach((column, t) => {
        column.classList.toggle("waiting", t >= step);
        column.classList.toggle("unknown", t > step);
        column.classList.toggle("now", t === step - 1);
      });
      const binary = (number) => number.toString(2);
      const said = binary(carry.adder.spell(sum.steps, "digit", step));
      element.setAttribute(
        "aria-label",
        `On paper, in binary: ${binary(sum.a)} plus ${binary(sum.b)}; ` +
          `after ${step} of ${sum.steps.length} columns the network's sum is ${said}`,
      );
      follow(columns, columns.children[Math.max(0, step - 1)], "inline");
    };
    return { element, build, update };
  }

  /** Scrolls `box` alone, so that `child` is in view. */
  function follow(box, child, axis) {
    const [outer, inner] = [box.getBoundingClientRect(), child.getBoundingClientRect()];
    if (axis === "inline") {
      const room = inner.width * 2;
      if (inner.left < outer.left + room) box.scrollLeft += inner.left - outer.left - room;
      if (inner.right > outer.right - room) box.scrollLeft += inner.right - outer.right + room;
    } else {
      const head = inner.height * 1.5;
      if (inner.top < outer.top + head) box.scrollTop += inner.top - outer.top - head;
      if (inner.bottom > outer.bottom - head) box.scrollTop += inner.bottom - outer.bottom + head;
    }
  }

  /** The table: a row for each step. */
  function table(app, isSorted) {
    const body = carry.dom("tbody");
    const heads = [
      ["place", "n", "Place of the digit, 0 is the lowest"],
      ["pair", "a b", "The pair of digits that the network sees"],
      ["truth", "carry", "The carry out of this step"],
      ["state", "hidden units", ""],
      ["output", "output", "A 1 if it is above one half"],
      ["answer", "digit", ""],
    ];
    const element = carry.dom(
      "div",
      { class: "scroll steps", tabindex: 0, role: "region", "aria-label": "The steps of the sum" },
      carry.dom(
        "table",
        null,
        carry.dom("caption", { class: "unseen" }, "What the network sees, holds and says at each step"),
        carry.dom(
          "thead",
          null,
          carry.dom("tr", null, heads.map(([name, text, title]) =>
            carry.dom("th", { scope: "col", class: name, title: title || null }, text))),
        ),
        body,
      ),
    );

    const row = ({ a, b, carry: carried, truth, output, digit, hidden }, t) => {
      const { description } = app.network;
      const units = isSorted() ? app.units.map(({ unit }) => unit) : [...hidden.keys()];
      const cells = units.map((unit, place) => {
        const cell = carry.cell(hidden[unit], description);
        cell.title = `unit ${unit}: ${carry.fixed(hidden[unit], 3)}`;
        cell.style.setProperty("--k", place);
        return cell;
      });
      const meter = carry.dom("span", { class: "meter" });
      meter.style.setProperty("--v", output);
      const isRight = digit === truth;
      const remark = isRight
        ? carry.dom("span", { class: "remark" }, carry.dom("span", { class: "unseen" }, "right"))
        : carry.dom("span", { class: "remark" }, `✗ should be ${truth}`);
      return carry.dom(
        "tr",
        { class: isRight ? null : "off" },
        carry.dom("th", { scope: "row", class: "place" }, t),
        carry.dom("td", { class: "pair" }, carry.dom("span", null, a), " ", carry.dom("span", null, b)),
        carry.dom("td", { class: "truth" }, carry.dom("span", { class: `bit is-${carried}` }, carried)),
        carry.dom("td", { class: "state" }, carry.dom("span", { class: "cells" }, cells)),
        carry.dom(
          "td",
          { class: "output", "data-test": `output-${t}`, "data-value": output },
          meter, carry.dom("span", { class: "number" }, output.toFixed(2)),
        ),
        carry.dom(
          "td",
          { class: "answer" },
          carry.dom("span", { class: "said", "data-test": `digit-${t}` }, digit), remark,
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
      follow(element, body.children[Math.max(0, app.step - 1)], "block");
    };
    return { element, build, update };
  }

  /** What came out, in a sentence. */
  function verdict({ sum, step, training }) {
    const { a, b, steps } = sum;
    const number = (value) => carry.thousands(value);
    if (step < steps.length) {
      const wrong = steps.slice(0, step).filter(({ digit, truth }) => digit !== truth).length;
      const so = wrong === 0 ? "" : ` ✗ ${wrong} wrong so far.`;
      return { isRight: wrong === 0, text: `Step ${step} of ${steps.length}.${so}` };
    }
    const wrong = steps.filter(({ digit, truth }) => digit !== truth).length;
    const { bits } = training;
    const beyond =
      steps.length > bits ? ` The network was trained on ${bits} digits, and this has more.` : "";
    const text =
      wrong === 0
        ? `✓ Right in all ${steps.length} binary digits.`
        : `✗ Wrong in ${wrong} of ${steps.length} binary digits: ` +
          `${number(a)} + ${number(b)} is ${number(a + b)}.`;
    return { isRight: wrong === 0, text: text + beyond };
  }

  /** Sums to try: what they show, and the two numbers. */
  function examples(bits) {
    const most = 2n ** BigInt(bits - 1);
    return [
      ["one long carry", most - 1n, 1n],
      ["no carry at all", (most - 1n) / 3n, ((most - 1n) / 3n) * 2n],
      ["longer than it was trained on", 123456789012345678n, 987654321098765432n],
    ];
  }

  function mount(root, app) {
    const fields = [
      field("a", app.sum.a, (number) => app.setSum(number, app.sum.b)),
      field("b", app.sum.b, (number) => app.setSum(app.sum.a, number)),
    ];
    const tries = examples(app.data.training.bits).map(([name, a, b]) =>
      carry.dom(
        "button",
        {
          type: "button",
          class: "button small",
          onclick: () => {
            fields.forEach(({ clear }) => clear());
            app.setSum(a, b);
          },
        },
        name,
      ),
    );
    const result = carry.dom("output", { class: "result", "data-test": "sum" });
    const words = carry.dom("p", { class: "verdict", role: "status", "data-test": "verdict" });
    const sorted = carry.dom("input", {
      type: "checkbox",
      checked: true,
      "data-test": "sorted",
      onchange: () => refresh(),
    });
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
      parts.forEach((part) => part.update());
      player.update();
      result.textContent = carry.thousands(carry.adder.spell(app.sum.steps, "digit", app.step));
      const { isRight, text } = verdict(app);
      words.textContent = text;
      [words, result].forEach(({ classList }) => classList.toggle("wrong", !isRight));
    };
    const refresh = () => {
      parts.forEach((part) => part.build());
      legend.replaceChildren("A cell is a unit, shaded by its value: ", carry.legend(app.network.description));
      update();
    };
    const legend = carry.dom("p", { class: "note" });

    root.append(
      carry.dom(
        "p",
        { class: "lead" },
        "As on paper, the network adds column after column, from the lowest digit up. It sees only " +
          "the two digits of a column. Whether there is a carry it has to remember by itself, in " +
          "its hidden units: look for cells that go with the carry beside them.",
      ),
      carry.dom(
        "div",
        { class: "grid add" },
        carry.dom(
          "div",
          { class: "panel" },
          carry.dom("div", { class: "numbers" }, fields[0].label, carry.dom("span", null, "+"), fields[1].label),
          fields.map(({ problem }) => problem),
          carry.dom("p", { class: "tries" }, carry.dom("span", { class: "soft" }, "Try "), tries),
          parts[0].element,
          player.element,
          carry.dom("p", { class: "equals" }, carry.dom("span", { class: "soft" }, "The network says "), result),
          words,
        ),
        carry.dom(
          "div",
          { class: "panel" },
          parts[1].element,
          carry.dom(
            "div",
            { class: "under" },
            legend,
            carry.dom("label", { class: "check" }, sorted, "Units that tell the carry best come first"),
          ),
        ),
      ),
    );
    app.on("sum", () => {
      // who types keeps what was typed
      [app.sum.a, app.sum.b].forEach((number, n) => {
        const { input } = fields[n];
        if (document.activeElement !== input) input.value = number;
      });
      refresh();
    });
    app.on("step", update);
    refresh();
  }

  carry.view({ id: "add", title: "Add", applies: ({ task }) => task === "addition", mount });
})();
