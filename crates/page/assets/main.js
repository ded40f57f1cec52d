// The page put together: what all views share, and the sections in which they stand.
//
//   carry.networkOf        a network of the tensors in the data
//   carry.thousands, fixed, small   numbers as text
//   carry.cell, legend     a unit as a shaded cell
//   carry.fit, follow      pictures as wide as their place; what one looks at stays in view
//   carry.dom, carry.svg   elements; text becomes text nodes, never markup
//   carry.view             registers a view: {id, title, short, applies(data), mount(root, app)};
//                          `short` is for the link to it, if the title is long
//   carry.player           buttons and a slider that walk through the steps of something
//   carry.app              the data, the network on view, the sum, the step; `on` tells of changes
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const views = [];

  /**
   * `tag` may end with classes, "p.note"; attributes may be left out. A name on… with a function
   * listens, --… is a variable of the style; true stands for an attribute without a value, false and
   * null for none.
   */
  function assemble(create, tag, [first, ...rest]) {
    const [name, ...classes] = tag.split(".");
    const element = create(name);
    const isPlain = first === null || first?.constructor === Object;
    const [attributes, children] = isPlain ? [first ?? {}, rest] : [{}, [first, ...rest]];
    element.classList.add(...classes);
    for (const [name, value] of Object.entries(attributes)) {
      if (typeof value === "function") element.addEventListener(name.slice(2), value);
      else if (name.startsWith("--")) element.style.setProperty(name, value);
      else if (value === true) element.setAttribute(name, "");
      else if (value !== false && value != null) element.setAttribute(name, value);
    }
    element.append(...children.flat(Infinity).filter((child) => child != null && child !== false));
    return element;
  }

  carry.dom = (tag, ...rest) => assemble((name) => document.createElement(name), tag, rest);

  carry.svg = (tag, ...rest) => assemble((name) => document.createElementNS(SVG, name), tag, rest);

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
   * controls. The first play begins at 0. Returns {element, update}; call `update` when the position
   * changed.
   */
  carry.player = ({ label, max, get, set, delay, text, tests }) => {
    let [timer, isFresh] = [null, true];
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
      if (isFresh || get() >= max()) set(0);
      isFresh = false;
      timer = setTimeout(tick, delay() / 2);
      update();
    };
    const move = (to) => {
      isFresh = false;
      pause();
      set(Math.max(0, Math.min(max(), to)));
    };
    const button = (test, name, onclick) =>
      carry.dom("button.button", { type: "button", "data-test": test, onclick }, name);
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
      // not `disabled`, which would take the focus from who steps by keyboard
      back.setAttribute("aria-disabled", get() <= 0);
      step.setAttribute("aria-disabled", get() >= max());
    }
    const element = carry.dom("div.player", { role: "group", "aria-label": label }, play, back, step, range);
    return { element, update };
  };

  const isSigned = ({ cell, activation }) => cell !== "elman" || activation === "tanh";

  /** A cell shaded by the value of a unit of such a network. Below 0 it is hatched, too. */
  carry.cell = (value, description) => {
    if (isSigned(description)) {
      return carry.dom(value < 0 ? "span.cell.below" : "span.cell.above", { "--v": Math.abs(value).toFixed(3) });
    }
    // relu has no upper end
    const size = description.activation === "relu" ? value / (1 + value) : value;
    return carry.dom("span.cell", { "--v": size.toFixed(3) });
  };

  /** What the shades of `carry.cell` mean. */
  carry.legend = (description) => {
    const relu = !isSigned(description) && description.activation === "relu";
    const values = isSigned(description) ? [-1, -0.5, 0, 0.5, 1] : relu ? [0, 0.3, 1, 3, 50] : [0, 0.25, 0.5, 0.75, 1];
    const cells = values.map((value) => carry.cell(value, description));
    return carry.dom("span.legend", carry.fixed(values[0], 0), cells, relu ? "large" : "1");
  };

  /** Scrolls `box` alone, so that `child` stands well within it, at the next frame. */
  carry.follow = (box, child) =>
    requestAnimationFrame(() => {
      const [outer, inner] = [box.getBoundingClientRect(), child.getBoundingClientRect()];
      const over = (low, high, from, to, room) =>
        Math.min(0, low - from - room) + Math.max(0, high - to + room);
      box.scrollLeft += over(inner.left, inner.right, outer.left, outer.right, inner.width * 1.5);
      box.scrollTop += over(inner.top, inner.bottom, outer.top, outer.bottom, inner.height * 1.5);
    });

  /** Draws into `box` by `draw(width)`, now and whenever the width changes. Returns what draws anew. */
  carry.fit = (box, draw) => {
    let width = 0; // known from the observer: asking for it would lay out the page
    const again = () => {
      width ||= box.clientWidth;
      box.replaceChildren(draw(Math.max(280, width)));
    };
    new ResizeObserver(([entry]) => {
      const now = Math.floor(entry.contentRect.width);
      if (now === width) return;
      width = now;
      again();
    }).observe(box);
    return again;
  };

  /** The network of encoded tensors: base64, or {shape, data: base64}. */
  carry.networkOf = (description, encoded) => {
    const decoded = Object.entries(encoded).map(([name, tensor]) => [name, carry.decode(tensor.data ?? tensor)]);
    return carry.Network.fromTensors(description, Object.fromEntries(decoded));
  };

  function makeApp(data) {
    const listeners = { network: [], sum: [], step: [] };
    const tell = (event) => listeners[event].forEach((listener) => listener());
    const ranked = { network: null, units: [] };
    const app = {
      data,
      network: null,
      trained: null,
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
    const seen = `A recurrent network with ${units} (${run}). It has seen ${carry.thousands(training.examples)}`;
    return task === "addition"
      ? `${seen} sums of ${training.bits} binary digits, a pair of digits at a time, and was told the digits ` +
          "of the sum: never what a carry is."
      : `${seen} examples.`;
  }

  /** The links to the sections; and which network is on view, where it is not the trained one. */
  function bar(shown, app) {
    const links = shown.map(({ id, title, short }) =>
      carry.dom("li", carry.dom("a", { href: `#view-${id}` }, short ?? title)),
    );
    const name = carry.dom("p", { role: "status", "data-test": "on-view" });
    const onclick = () => app.setNetwork(app.trained, app.trainedName);
    const words = ["Show trained", carry.dom("span.unseen", " network")];
    const reset = carry.dom("button.button.small", { type: "button", "data-test": "reset", onclick }, words);
    const pill = carry.dom("div.on-view", name, reset);
    const update = () => {
      const isTrained = !app.network || app.network === app.trained;
      name.textContent = isTrained ? "" : `On view: ${app.name}`;
      pill.classList.toggle("none", isTrained);
      reset.hidden = isTrained;
    };
    app.on("network", update);
    update();
    const element = document.getElementById("bar");
    element.append(carry.dom("ul", links), pill);
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
