// The page put together: what all views share, and the sections in which they stand.
//
//   carry.dom, carry.svg   elements; text becomes text nodes, never markup
//   carry.view             registers a view: {id, title, short, applies(data), mount(root, app)};
//                          `short` is for the link to it, if the title is long
//   carry.player           buttons and a slider that walk through the steps of something
//   carry.app              the data, the network on view, the sum, the step; `on` tells of changes
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const views = [];

  /** Sets attributes: on… listeners, true and false for those without a value, null for none. */
  function assemble(element, attributes, children) {
    for (const [name, value] of Object.entries(attributes ?? {})) {
      if (typeof value === "function") element.addEventListener(name.slice(2), value);
      else if (value === true) element.setAttribute(name, "");
      else if (value !== false && value != null) element.setAttribute(name, value);
    }
    element.append(...children.flat(Infinity).filter((child) => child != null && child !== false));
    return element;
  }

  carry.dom = (tag, attributes, ...children) =>
    assemble(document.createElement(tag), attributes, children);

  carry.svg = (tag, attributes, ...children) =>
    assemble(document.createElementNS(SVG, tag), attributes, children);

  carry.view = (view) => views.push(view);

  /** Whether the reader asked for little motion. */
  carry.isStill = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

  /** 10000 as "10,000". */
  carry.thousands = (number) => String(number).replace(/\B(?=(\d{3})+$)/g, ",");

  /** A number with a proper minus sign. */
  carry.fixed = (number, digits = 2) => {
    const text = Math.abs(number).toFixed(digits);
    return number < 0 && Number(text) !== 0 ? `−${text}` : text;
  };

  /** A number that may be very small: "0.0027", "2.7·10⁻⁵". */
  carry.small = (number) => {
    if (number === 0 || Math.abs(number) >= 0.001) return carry.fixed(number, 4);
    const [digits, power] = number.toExponential(1).split("e-");
    const raised = [...power].map((digit) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[digit]).join("");
    return `${digits.replace("-", "−")}·10⁻${raised}`;
  };

  /**
   * Play, back, one step on, and a slider from 0 to `max()`. `get` and `set` hold the position,
   * `delay()` is the time in ms that a step stays, `text()` what the slider says. `tests` names the
   * controls. Returns {element, update}; call `update` when the position changed.
   */
  carry.player = ({ label, max, get, set, delay, text, tests }) => {
    let timer = null;
    const pause = () => {
      clearTimeout(timer);
      timer = null;
      update();
    };
    const tick = () => {
      set(get() + 1);
      timer = get() < max() ? setTimeout(tick, delay()) : null;
      update();
    };
    const start = () => {
      if (get() >= max()) set(0);
      timer = setTimeout(tick, delay() / 2);
      update();
    };
    const move = (to) => {
      pause();
      set(Math.max(0, Math.min(max(), to)));
    };
    const button = (test, name, on) =>
      carry.dom("button", { type: "button", class: "button", "data-test": test, onclick: on }, name);
    const play = button(tests.play, "▶ Play", () => (timer ? pause() : start()));
    play.classList.add("main");
    const back = button(tests.back, "◂ Back", () => move(get() - 1));
    const step = button(tests.step, "Step ▸", () => move(get() + 1));
    const range = carry.dom("input", {
      type: "range",
      min: 0,
      "aria-label": label,
      "data-test": tests.range,
      oninput: () => move(Number(range.value)),
    });
    function update() {
      range.max = max();
      range.value = get();
      range.setAttribute("aria-valuetext", text());
      play.textContent = timer ? "❚❚ Pause" : "▶ Play";
      back.disabled = get() <= 0;
      step.disabled = get() >= max();
    }
    const element = carry.dom(
      "div",
      { class: "player", role: "group", "aria-label": label },
      play, back, step, range,
    );
    return { element, update, pause };
  };

  /** A cell shaded by the value of a unit of such a network. Below 0 it is hatched, too. */
  carry.cell = (value, { cell, activation }) => {
    const element = carry.dom("span", { class: "cell" });
    const isSigned = cell !== "elman" || activation === "tanh";
    // relu has no upper end
    const size = activation === "relu" && !isSigned ? value / (1 + value) : Math.abs(value);
    if (isSigned) element.classList.add(value < 0 ? "below" : "above");
    element.style.setProperty("--v", size.toFixed(3));
    return element;
  };

  /** What the shades of [`carry.cell`] mean. */
  carry.legend = (description) => {
    const { cell, activation } = description;
    const isSigned = cell !== "elman" || activation === "tanh";
    const values = isSigned ? [-1, -0.5, 0, 0.5, 1] : [0, 0.25, 0.5, 0.75, 1];
    const relu = activation === "relu" && cell === "elman";
    return carry.dom(
      "span",
      { class: "legend" },
      isSigned ? "−1" : "0",
      values.map((v) => carry.cell(relu ? v / (1.05 - v) : v, description)),
      relu ? "large" : "1",
    );
  };

  /** Draws into `box` by `draw(width)`, now and whenever the width changes. Returns what draws anew. */
  carry.fit = (box, draw) => {
    let width = 0;
    const again = () => box.replaceChildren(draw(Math.max(280, width)));
    new ResizeObserver(() => {
      if (box.clientWidth === width) return;
      width = box.clientWidth;
      again();
    }).observe(box);
    return () => {
      width = box.clientWidth;
      again();
    };
  };

  /** The network of encoded tensors: base64, or {shape, data: base64}. */
  carry.networkOf = (description, encoded) => {
    const decoded = Object.entries(encoded).map(([name, tensor]) => [
      name,
      carry.decode(tensor.data ?? tensor),
    ]);
    return carry.Network.fromTensors(description, Object.fromEntries(decoded));
  };

  function makeApp(data) {
    const listeners = { network: [], sum: [], step: [] };
    const tell = (event) => listeners[event].forEach((listener) => listener());
    const ranked = { network: null, units: [] };
    const app = {
      data,
      network: null,
      name: "",
      training: data.training,
      sum: { a: 0n, b: 0n, steps: [] },
      step: 0,

      /** The units of `carry.adder.tell`, with their `swing`; the largest first. */
      get units() {
        if (ranked.network !== app.network) {
          ranked.network = app.network;
          ranked.units = carry.adder
            .tell(app.network, app.training.bits)
            .map((unit) => ({ ...unit, swing: unit.with - unit.without }))
            .sort((one, two) => Math.abs(two.swing) - Math.abs(one.swing));
        }
        return ranked.units;
      },

      /** Calls `listener` after each change of "network", "sum" or "step". */
      on: (event, listener) => listeners[event].push(listener),

      /**
       * Puts another network on view; the same sum is added again, and the step stays. `training`:
       * in what its training differs from that of the data, such as {bits: 6}.
       */
      setNetwork(network, name, training = {}) {
        [app.network, app.name] = [network, name];
        app.training = { ...data.training, ...training };
        app.sum.steps = carry.adder.run(network, app.sum.a, app.sum.b);
        tell("network");
        tell("sum");
      },

      /** Adds two BigInts; all steps are taken. */
      setSum(a, b) {
        app.sum = { a, b, steps: carry.adder.run(app.network, a, b) };
        app.step = app.sum.steps.length;
        tell("sum");
        tell("step");
      },

      /** Steps that have been taken: 0 to T. */
      setStep(step) {
        app.step = Math.max(0, Math.min(app.sum.steps.length, step));
        tell("step");
      },
    };
    if (data.task === "addition") {
      const { bits, examples } = data.training;
      app.trained = carry.networkOf(data.network, data.tensors);
      app.trainedName = `the trained network, after ${carry.thousands(examples)} examples`;
      [app.network, app.name] = [app.trained, app.trainedName];
      const most = 2n ** BigInt(bits - 1);
      // has steps with and without a carry of each kind
      app.setSum(77n % most, 22n % most);
    }
    return app;
  }

  /** One sentence about the network. */
  function about({ task, run, network, training }) {
    const { cell, activation, hidden, layers } = network;
    const kind = cell === "elman" ? `${activation} units` : `${cell.toUpperCase()} units`;
    const units = layers > 1 ? `${layers} layers of ${hidden} ${kind}` : `${hidden} ${kind}`;
    const examples = carry.thousands(training.examples);
    const learned =
      task === "addition"
        ? `It has seen ${examples} sums of ${training.bits} binary digits, a pair of digits at a ` +
          "time, and was told the digits of the sum: never what a carry is."
        : `It has seen ${examples} examples.`;
    return `A recurrent network with ${units} (${run}). ${learned}`;
  }

  /** The links to the sections; and which network is on view, where it is not the trained one. */
  function bar(shown, app) {
    const links = shown.map(({ id, title, short }) =>
      carry.dom("li", null, carry.dom("a", { href: `#view-${id}` }, short ?? title)),
    );
    const name = carry.dom("p", { role: "status", "data-test": "on-view" });
    const reset = carry.dom(
      "button",
      {
        type: "button",
        class: "button small",
        "data-test": "reset",
        onclick: () => app.setNetwork(app.trained, app.trainedName),
      },
      "Show trained",
      carry.dom("span", { class: "unseen" }, " network"),
    );
    const pill = carry.dom("div", { class: "on-view" }, name, reset);
    const update = () => {
      const isTrained = app.network === app.trained;
      name.textContent = isTrained ? "" : `On view: ${app.name}`;
      pill.classList.toggle("none", isTrained);
      reset.hidden = isTrained;
    };
    app.on("network", update);
    update();
    const element = document.getElementById("bar");
    element.append(carry.dom("ul", null, links), pill);
    element.hidden = false;
  }

  function start() {
    const data = JSON.parse(document.getElementById("data").textContent);
    if (!data?.network) return;
    const app = makeApp(data);
    carry.app = app;
    document.getElementById("about").textContent = about(data);
    const shown = views.filter(({ applies }) => applies(data));
    bar(shown, app);
    for (const { id, title, mount } of shown) {
      const heading = carry.dom("h2", { id: `title-${id}` }, title);
      const root = carry.dom("section", { id: `view-${id}`, "aria-labelledby": heading.id }, heading);
      document.getElementById("network").append(root);
      mount(root, app);
    }
  }

  document.addEventListener("DOMContentLoaded", start);
})();
