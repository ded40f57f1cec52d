// What a certificate proves of the trained network, as a picture: its states in two axes, the sets
// that hold them all, and the state of the sum that one adds, as it goes from set to set.
(() => {
  const SIZE = { width: 720, height: 460, margin: 24 };

  const project = ([first, second], state) =>
    [first, second].map((axis) => axis.reduce((sum, a, unit) => sum + a * state[unit], 0));

  /** From places along the axes to the picture: wide enough for all of them. */
  function scales(proof, trail) {
    const points = [
      ...proof.states.flat(),
      ...proof.sets.flatMap(({ low, high }) => [low, high]),
      ...trail,
    ];
    return [0, 1].map((n) => {
      const values = points.map((point) => point[n]);
      const low = values.reduce((a, b) => Math.min(a, b), Infinity);
      const high = values.reduce((a, b) => Math.max(a, b), -Infinity);
      const span = high - low || 1;
      const size = n === 0 ? SIZE.width : SIZE.height;
      const room = size - 2 * SIZE.margin;
      return (value) => {
        const place = SIZE.margin + ((value - low) / span) * room;
        return n === 0 ? place : size - place;
      };
    });
  }

  /** A state: a circle without a carry, a triangle with one. */
  function mark([x, y], isCarry, size, attributes) {
    return isCarry
      ? carry.svg("path", {
          d: `M${x} ${y - size * 1.15} l${size} ${size * 1.9} h${-2 * size} z`,
          ...attributes,
        })
      : carry.svg("circle", { cx: x, cy: y, r: size * 0.9, ...attributes });
  }

  /**
   * The set in which a proof finds the state after `taken` steps: by its true carry and its last
   * pairs of digits, the shortest history that the certificate has.
   */
  function historyOf(steps, taken, known) {
    const pairs = steps.slice(0, taken).map(({ a, b }) => `${a}${b}`);
    for (let length = 0; length <= taken; length++) {
      const from = taken - length;
      const before = from < steps.length ? steps[from].carryIn : steps[from - 1].carry;
      const key = [String(Number(before)), ...pairs.slice(from)].join(" ");
      if (known.has(key)) return key;
    }
    const whole = ["start", ...pairs].join(" ");
    return known.has(whole) ? whole : null;
  }

  /** `1 01 11` in words. */
  function words(history) {
    const [carryBefore, ...pairs] = history.split(" ");
    const before = carryBefore === "start" ? "the start" : `a carry of ${carryBefore}`;
    const list = pairs.map(([a, b]) => `${a}+${b}`).join(", ");
    return pairs.length ? `after ${before} and then ${list}` : `after ${before}`;
  }

  function mount(root, app) {
    const { proof } = app.data;
    const known = new Set(proof.sets.map(({ history }) => history));
    const hidden = app.data.network.hidden;
    const statement = carry.dom("p", { class: "lead", "data-test": "statement" });
    const where = carry.dom("p", { class: "moment", "data-test": "place" });
    const label = "The states of the network in two axes, with the sets that hold all of them";
    const figure = carry.svg("svg", {
      class: "figure proved",
      viewBox: `0 0 ${SIZE.width} ${SIZE.height}`,
      role: "img",
      "aria-label": label,
    });
    const player = carry.player({
      label: "Steps of the sum",
      max: () => app.sum.steps.length,
      get: () => app.step,
      set: (step) => app.setStep(step),
      delay: () => 700,
      text: () => `${app.step} of ${app.sum.steps.length} steps`,
      tests: { play: "proved-play", back: "proved-back", step: "proved-step", range: "proved-scrub" },
    });
    const isTrained = () => app.network === app.trained;
    const trail = () => {
      const start = project(proof.axes, new Array(hidden).fill(0));
      return [start, ...app.sum.steps.map((step) => project(proof.axes, step.hidden))];
    };
    // What moves stands before what stays: sets and states, then the way of the sum.
    const moving = carry.svg("g", { class: "way" });
    let rects = [];
    let places = [];

    function draw() {
      places = isTrained() ? trail() : [];
      const [x, y] = scales(proof, places);
      const at = ([first, second]) => [x(first), y(second)];
      rects = proof.sets.map((set) => {
        const [left, bottom] = at(set.low);
        const [right, top] = at(set.high);
        const element = carry.svg("rect", {
          class: `set carry-${set.carry}`,
          x: left,
          y: top,
          width: Math.max(right - left, 1),
          height: Math.max(bottom - top, 1),
        });
        return { set, element };
      });
      const states = proof.states.flatMap((all, n) =>
        all.map((state) => mark(at(state), n === 1, 3, { class: `state carry-${n}` })),
      );
      places = places.map(at);
      figure.replaceChildren(
        carry.svg("rect", { class: "back", width: SIZE.width, height: SIZE.height, rx: 8 }),
        ...rects.map(({ element }) => element),
        ...states,
        moving,
        carry.svg("text", { x: SIZE.width - 8, y: SIZE.height - 7, "text-anchor": "end" }, "first axis →"),
        carry.svg("text", { x: 8, y: 16 }, "↑ second axis"),
      );
    }

    function move() {
      const { steps } = app.sum;
      player.update();
      moving.replaceChildren();
      for (const { element } of rects) element.classList.remove("now");
      if (!isTrained()) {
        statement.textContent =
          "The network on view is another one, and nothing is proved of it. What follows is of the " +
          "trained network.";
        where.textContent = "";
        return;
      }
      statement.textContent = proof.statement;
      const taken = app.step;
      const last = taken > 0 ? steps[taken - 1] : null;
      const isCarry = Boolean(last?.carry);
      const history = historyOf(steps, taken, known);
      for (const { set, element } of rects) element.classList.toggle("now", set.history === history);
      const way = places.slice(0, taken + 1);
      moving.replaceChildren(
        carry.svg("polyline", { points: way.map((place) => place.join(",")).join(" ") }),
        mark(way[way.length - 1], isCarry, 8, { class: "now" }),
      );
      const state = last
        ? `After ${taken} of ${steps.length} pairs of digits the carry is ${Number(isCarry)}. `
        : "At the start all units are 0, and there is no carry. ";
      const set = history
        ? `The state is in the set of all states ${words(history)}: it is outlined.`
        : "The set that holds the state is not among those on this page.";
      where.textContent = state + set;
    }

    const sets = carry.thousands(proof.sets.length);
    const omitted = proof.omitted
      ? ` ${carry.thousands(proof.omitted)} more of them are left out of the page.`
      : "";
    const key = (shape, text) => carry.dom("li", null, shape, text);
    const sign = (isCarry) =>
      carry.svg(
        "svg",
        { viewBox: "0 0 16 16", width: 16, height: 16, "aria-hidden": "true", class: "proved" },
        mark([8, 8.5], isCarry, 5, { class: `state carry-${Number(isCarry)}` }),
      );
    const box = (n) =>
      carry.svg(
        "svg",
        { viewBox: "0 0 22 16", width: 22, height: 16, "aria-hidden": "true", class: "proved" },
        carry.svg("rect", { class: `set carry-${n}`, x: 2, y: 2, width: 18, height: 12 }),
      );
    root.append(
      statement,
      carry.dom(
        "p",
        null,
        `Every state that any sum can lead to lies in one of these ${sets} sets, and from each of ` +
          "them every pair of digits leads into one of them again, with the right digit said on the " +
          "way. Before the output's sigmoid the sum is never nearer to 0, where a digit would turn, " +
          `than ${carry.small(proof.margin)}.${omitted}`,
      ),
      carry.dom(
        "div",
        { class: "panel" },
        figure,
        carry.dom(
          "ul",
          { class: "proved-key" },
          key(sign(false), "a state without a carry"),
          key(sign(true), "with a carry"),
          key(box(0), "a set without a carry"),
          key(box(1), "with a carry"),
        ),
        where,
        player.element,
      ),
      carry.dom(
        "p",
        { class: "note" },
        `${hidden} units are ${hidden} axes; of these the picture has the two along which the states ` +
          "differ most. Sets that overlap here may lie apart in the others.",
      ),
    );
    app.on("network", player.pause);
    app.on("sum", () => {
      draw();
      move();
    });
    app.on("step", move);
    draw();
    move();
  }

  carry.view({
    id: "proved",
    title: "Proved for numbers of any length",
    applies: ({ task, proof }) => task === "addition" && Boolean(proof),
    mount,
  });
})();
