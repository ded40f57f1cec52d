// What a certificate proves of the trained network, as a picture: its states in two axes, the sets
// that hold them all, and the state of the sum that one adds, as it goes from set to set.
(() => {
  const MARGIN = 26;

  const project = ([first, second], state) =>
    [first, second].map((axis) => axis.reduce((sum, a, unit) => sum + a * state[unit], 0));

  /** From places along the axes to a picture of such sizes, in which all of them are. */
  function scales(proof, trail, sizes) {
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
      const room = sizes[n] - 2 * MARGIN;
      return (value) => {
        const place = MARGIN + ((value - low) / span) * room;
        return n === 0 ? place : sizes[n] - place;
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
    if (taken === 0 && known.has("start")) return "start";
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
    const figure = carry.dom("div");
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

    const redraw = carry.fit(figure, (width) => {
      const height = Math.min(460, width * 0.75);
      places = isTrained() ? trail() : [];
      const [x, y] = scales(proof, places, [width, height]);
      const at = ([first, second]) => [x(first), y(second)];
      rects = proof.sets.map((set) => {
        const [left, bottom] = at(set.low);
        const [right, top] = at(set.high);
        const element = carry.svg("rect", {
          class: `set carry-${set.carry}`,
          x: left,
          y: top,
          width: Math.max(right - left, 2),
          height: Math.max(bottom - top, 2),
        });
        return { set, element };
      });
      const states = proof.states.flatMap((all, n) =>
        all.map((state) => mark(at(state), n === 1, 3, { class: `state carry-${n}` })),
      );
      places = places.map(at);
      move();
      return carry.svg(
        "svg",
        { class: "figure proved", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label },
        states,
        rects.map(({ element }) => element),
        moving,
        carry.svg("text", { x: width - 4, y: height - 5, "text-anchor": "end" }, "first axis →"),
        carry.svg("text", { x: 4, y: 12 }, "↑ second axis"),
      );
    });

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
        mark(way[way.length - 1], isCarry, 9, { class: "now" }),
      );
      const state = last
        ? `After ${taken} of ${steps.length} pairs of digits the carry is ${Number(isCarry)}. `
        : "At the start all units are 0, and there is no carry. ";
      where.textContent = state + setOf(history);
    }

    /** Where the state is. A proof that takes several steps at once need not say so at each. */
    function setOf(history) {
      if (!history && proof.omitted) return "The set that holds the state is not among those on this page.";
      if (!history) return "The state is between two sets.";
      const set = `the set of all states ${words(history)}`;
      return proof.steps > 1 ? `Outlined: ${set}.` : `The state is in ${set}: it is outlined.`;
    }

    const sets = carry.thousands(proof.sets.length);
    const many = proof.steps > 1 ? `, within ${proof.steps} steps` : "";
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
        `The proof has ${sets} sets of states. The first state lies in one, and from each of them any ` +
          `pairs of digits lead into one of them again${many}, with the right digits said on the ` +
          "way: so it goes on for ever. Before the output's sigmoid the sum is never nearer to 0, " +
          `where a digit would turn, than ${carry.small(proof.margin)}.${omitted}`,
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
    app.on("sum", redraw);
    app.on("step", move);
    redraw();
  }

  carry.view({
    id: "proved",
    title: "Proved for numbers of any length",
    short: "Proved",
    applies: ({ task, proof }) => task === "addition" && Boolean(proof),
    mount,
  });
})();
