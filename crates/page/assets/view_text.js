// A network that writes: a text coloured by one of its units, the units that are most alike with
// what a reader keeps in mind, and what the network expects behind each symbol.
(() => {
  const bytes = (base64) => Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));

  /** A symbol as people name it. */
  function name(symbol) {
    const names = { "\n": "line end", " ": "space", "\t": "tab", "\r": "carriage return", "": "nothing" };
    return names[symbol] ?? symbol.trim();
  }

  /** A symbol in running text: a line end is seen, too. */
  const written = (symbol) => (symbol.includes("\n") ? symbol.replace("\n", "↵\n") : symbol);

  const signed = (value) => (value < 0 ? "" : "+") + carry.fixed(value);

  function mount(root, app) {
    const { text, network } = app.data;
    const { symbols, units, ranges } = text;
    const activations = bytes(text.activations);
    const count = text.text.length;
    const valueOf = (place, unit) => {
      const [low, high] = ranges[unit];
      return low + (activations[place * units + unit] / 255) * (high - low);
    };
    const unitName = (unit) => {
      // of the top layers, where there are more units than are measured
      const number = unit + network.layers * network.hidden - units;
      const layer = Math.floor(number / network.hidden);
      return network.layers > 1 ? `unit ${number % network.hidden} of layer ${layer}` : `unit ${number}`;
    };
    const best = text.features.flatMap(({ units: alike }) => alike.slice(0, 1));
    best.sort((a, b) => Math.abs(b.correlation) - Math.abs(a.correlation));
    let unit = best[0]?.unit ?? 0;
    let place = Math.min(60, count - 1);

    const spans = text.text.map((symbol, n) =>
      carry.dom("span", { class: "symbol", "data-place": n }, written(symbols[symbol])),
    );
    const running = carry.dom(
      "div",
      { class: "running scroll", tabindex: "0", role: "region", "aria-label": "The text", "data-test": "text" },
      spans,
    );
    const unitInput = carry.dom("input", {
      type: "number",
      min: 0,
      max: units - 1,
      "data-test": "text-unit",
      oninput: () => {
        const chosen = Number(unitInput.value);
        if (unitInput.value !== "" && Number.isInteger(chosen) && chosen >= 0 && chosen < units) {
          choose(chosen, false);
        }
      },
    });
    const range = carry.dom("input", {
      type: "range",
      min: 0,
      max: count - 1,
      "data-test": "text-place",
      oninput: () => go(Number(range.value)),
    });
    const shown = carry.dom("p", { class: "note", role: "status", "data-test": "text-shown" });
    const scale = carry.dom("p", { class: "note scale" });
    const expected = carry.dom("tbody");
    const caption = carry.dom("h3", { "data-test": "text-caption" });

    function choose(next, writes = true) {
      unit = next;
      if (writes) unitInput.value = unit;
      const [low, high] = ranges[unit];
      const most = Math.max(Math.abs(low), Math.abs(high)) || 1;
      spans.forEach((span, n) => {
        const value = valueOf(n, unit);
        span.classList.toggle("above", value >= 0);
        span.classList.toggle("below", value < 0);
        span.style.setProperty("--v", (Math.abs(value) / most).toFixed(3));
      });
      shown.textContent = `The text is coloured by ${unitName(unit)}.`;
      scale.replaceChildren(
        "From ",
        carry.dom("span", { class: "symbol below sample" }, signed(Math.min(low, 0))),
        " to ",
        carry.dom("span", { class: "symbol above sample" }, signed(Math.max(high, 0))),
        `: ${text.values} behind each symbol. Below zero the line under it is dotted.`,
      );
      scale.querySelectorAll(".sample").forEach((sample, n) => {
        sample.style.setProperty("--v", (Math.abs(n ? Math.max(high, 0) : Math.min(low, 0)) / most).toFixed(3));
      });
      for (const button of root.querySelectorAll(".alike button")) {
        button.setAttribute("aria-pressed", String(Number(button.dataset.unit) === unit));
      }
      tell();
    }

    /** What stands at the chosen place, and what is expected behind it. */
    function tell() {
      const symbol = symbols[text.text[place]];
      const came = place + 1 < count ? text.text[place + 1] : null;
      caption.textContent =
        `Behind “${name(symbol)}”, symbol ${carry.thousands(place + 1)} of ${carry.thousands(count)}: ` +
        `${unitName(unit)} is ${signed(valueOf(place, unit))}`;
      range.setAttribute("aria-valuetext", `symbol ${place + 1}: ${name(symbol)}`);
      expected.replaceChildren(
        ...text.likeliest[place].map((next, n) => {
          const chance = text.chances[place][n] / 10_000;
          const bar = carry.dom("span", { class: "chance" });
          bar.style.setProperty("--v", chance);
          const isRight = next === came;
          return carry.dom(
            "tr",
            isRight ? { class: "came" } : null,
            carry.dom("th", { scope: "row" }, name(symbols[next])),
            carry.dom("td", null, bar),
            carry.dom("td", { class: "number" }, `${(100 * chance).toFixed(1)} %`),
            carry.dom("td", null, isRight ? "← it came" : ""),
          );
        }),
      );
      const isAmong = came === null || text.likeliest[place].includes(came);
      const other = isAmong ? "" : `What came is another: “${name(symbols[came])}”.`;
      after.textContent = came === null ? "Here the text on this page ends." : other;
    }
    const after = carry.dom("p", { class: "note" });

    function go(next, scrolls = true) {
      spans[place].classList.remove("now");
      place = Math.max(0, Math.min(count - 1, next));
      spans[place].classList.add("now");
      range.value = place;
      if (scrolls) {
        // their place in the text, which is positioned
        const { offsetTop, offsetHeight } = spans[place];
        const bottom = offsetTop + offsetHeight;
        if (offsetTop < running.scrollTop || bottom > running.scrollTop + running.clientHeight) {
          running.scrollTop = offsetTop - running.clientHeight / 3;
        }
      }
      tell();
    }

    running.addEventListener("click", ({ target }) => {
      const chosen = target.closest?.("[data-place]");
      if (chosen) go(Number(chosen.dataset.place), false);
    });
    running.addEventListener("pointerover", ({ target, pointerType }) => {
      const chosen = target.closest?.("[data-place]");
      if (chosen && pointerType === "mouse") go(Number(chosen.dataset.place), false);
    });
    running.addEventListener("keydown", (event) => {
      const steps = { ArrowRight: 1, ArrowLeft: -1, PageDown: 50, PageUp: -50 };
      if (!(event.key in steps) || event.altKey || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      go(place + steps[event.key]);
    });

    const features = text.features.filter(({ units: alike }) => alike.length);
    const absent = text.features.filter(({ units: alike }) => !alike.length).map((feature) => feature.name);
    const rows = features.map((feature) =>
      carry.dom(
        "tr",
        null,
        carry.dom("th", { scope: "row" }, feature.name),
        carry.dom(
          "td",
          null,
          feature.units.slice(0, 3).map((alike) =>
            carry.dom(
              "button",
              {
                type: "button",
                class: "button small",
                "data-unit": alike.unit,
                "data-test": "alike",
                onclick: () => choose(alike.unit),
              },
              `${unitName(alike.unit)}: ${signed(alike.correlation)}`,
            ),
          ),
        ),
      ),
    );
    root.append(
      carry.dom(
        "p",
        { class: "lead" },
        `A text ${text.source}. What the network keeps in mind while it reads is in its units: ` +
          "choose one, and see where in the text it is high and where it is low.",
      ),
      carry.dom(
        "div",
        { class: "grid reading" },
        carry.dom(
          "div",
          { class: "panel" },
          carry.dom(
            "div",
            { class: "controls" },
            carry.dom("label", { class: "field" }, `Unit, 0 to ${units - 1}`, unitInput),
            carry.dom("label", { class: "field wide-field" }, "Place in the text", range),
          ),
          shown,
          running,
          scale,
        ),
        carry.dom(
          "div",
          { class: "panel" },
          caption,
          carry.dom("p", { class: "note" }, "The five symbols that it takes for the likeliest to follow:"),
          carry.dom("table", { class: "expected", "data-test": "expected" }, expected),
          after,
        ),
      ),
      carry.dom("h3", { class: "apart" }, "Which units are alike with what?"),
      carry.dom(
        "p",
        null,
        `The correlation of each of the ${units} units with what a reader may keep in mind, over ` +
          `${carry.thousands(text.measured)} symbols: +1 is a unit that follows it exactly, −1 one that ` +
          "does the opposite, 0 one that has nothing to do with it.",
      ),
      carry.dom(
        "div",
        { class: "panel scroll", tabindex: "0", role: "region", "aria-label": "Units and features" },
        carry.dom(
          "table",
          { class: "alike" },
          carry.dom(
            "thead",
            null,
            carry.dom(
              "tr",
              null,
              carry.dom("th", { scope: "col" }, "The reader keeps in mind"),
              carry.dom("th", { scope: "col" }, "The units that are most alike"),
            ),
          ),
          carry.dom("tbody", null, rows),
        ),
      ),
      absent.length === 0
        ? ""
        : carry.dom("p", { class: "note" }, `Not measured, for it never changes in this text: ${absent.join(", ")}.`),
    );
    choose(unit);
    go(place, false);
  }

  carry.view({
    id: "text",
    title: "What it reads, unit by unit",
    short: "Text",
    applies: ({ task, text }) => task === "text" && Boolean(text),
    mount,
  });
})();
