// Learn: a slider over the training. The same sum under the weights of each snapshot, beside the
// error curve; one sees the moment when the carry appears.
//
// Three pictures over one axis of examples: the error, the largest swing of a unit with the carry,
// and the outputs for each digit of the sum, right or wrong.
(() => {
  const [WIDTH, LEFT, RIGHT] = [900, 58, 14];
  const { svg } = carry;

  /** Ticks at round numbers. */
  function ticks(most, count) {
    const raw = most / count;
    const power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].find((n) => n * power >= raw) * power;
    return Array.from({ length: Math.floor(most / step + 1e-9) + 1 }, (_, n) => n * step);
  }

  /** A picture of a value over the examples. */
  function curve({ title, points, most, x, top, height, digits }) {
    const y = (value) => top + height - (value / most) * height;
    return [
      svg("text", { class: "heading", x: LEFT, y: top - 8 }, title),
      ticks(most, 3).map((value) => [
        svg("line", { class: "rule", x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value) }),
        svg("text", { x: LEFT - 8, y: y(value) + 4, "text-anchor": "end" }, value.toFixed(digits)),
      ]),
      svg("polyline", {
        class: "curve",
        points: points.map(([examples, value]) => `${x(examples)},${y(value)}`).join(" "),
      }),
    ];
  }

  /** The value of a curve at a number of examples, between its points. */
  function valueAt(points, examples) {
    const after = points.findIndex(([at]) => at >= examples);
    if (after <= 0) return points.at(after)[1];
    const [[x0, y0], [x1, y1]] = [points[after - 1], points[after]];
    return y0 + ((y1 - y0) * (examples - x0)) / (x1 - x0);
  }

  function mount(root, app) {
    const { data } = app;
    const snapshots = data.snapshots.map(({ examples, tensors }) => {
      return { examples, network: carry.networkOf(data.network, tensors) };
    });
    const last = snapshots.length - 1;
    const name = ({ examples }) =>
      examples === 0 ? "before the first example" : `after ${carry.thousands(examples)} examples`;
    // where another view put its own network on view, the slider keeps its place
    let at = last;
    let swings = null;
    const errors = data.curve.map(({ examples, error }) => [examples, error]);
    const x = (examples) => LEFT + (examples / snapshots[last].examples) * (WIDTH - LEFT - RIGHT);

    const words = carry.dom("p", { class: "moment", role: "status", "data-test": "moment" });
    const picture = carry.dom("div", { class: "scroll wide", tabindex: 0, role: "region", "aria-label": "Pictures of the training" });
    const cursor = svg("line", { class: "cursor" });
    const dots = [svg("circle", { class: "dot now", r: 6 }), svg("circle", { class: "dot now", r: 6 })];
    let place = () => {};

    const choose = (to) => {
      at = to;
      app.setNetwork(snapshots[at].network, at === last ? app.trainedName : name(snapshots[at]));
    };
    const player = carry.player({
      label: "Snapshot of the training",
      max: () => last,
      get: () => at,
      set: choose,
      delay: () => 220,
      text: () => name(snapshots[at]),
      tests: { play: "learn-play", back: "learn-back", step: "learn-step", range: "snapshot" },
    });

    /** The outputs of the sum under each snapshot: a row a digit, a column a snapshot. */
    function film(runs, top, size) {
      const edges = snapshots.map(({ examples }, n) => {
        const before = n === 0 ? examples : (snapshots[n - 1].examples + examples) / 2;
        return x(before);
      });
      edges.push(x(snapshots[last].examples));
      return runs.map((steps, n) =>
        steps.map(({ output, digit, truth }, t) => {
          const y = top + (steps.length - 1 - t) * size;
          const [left, width] = [edges[n], Math.max(edges[n + 1] - edges[n], 1)];
          const middle = [left + width / 2, y + size / 2];
          const r = Math.min(3.2, width / 3, size / 3);
          const cell = svg("rect", { class: "output", x: left, y, width: width + 0.3, height: size - 1 });
          cell.style.setProperty("--v", output.toFixed(3));
          if (digit === truth) return cell;
          const [cx, cy] = middle;
          const cross = `M${cx - r},${cy - r}L${cx + r},${cy + r}M${cx - r},${cy + r}L${cx + r},${cy - r}`;
          return [cell, svg("path", { class: "cross", d: cross })];
        }),
      );
    }

    /** From when on the sum is right. */
    function since(runs) {
      const isWrong = (steps) => steps.some(({ digit, truth }) => digit !== truth);
      const first = runs.length - runs.slice().reverse().findIndex(isWrong);
      if (first === runs.length || first > runs.length) return "";
      return `; right ${name(snapshots[first])}`;
    }

    function draw() {
      // how the carry appears does not hang on the sum
      swings ??= snapshots.map(({ examples, network }) => {
        const units = carry.adder.tell(network, data.training.bits);
        return [examples, Math.max(...units.map((unit) => Math.abs(unit.with - unit.without)))];
      });
      const runs = snapshots.map(({ network }) => carry.adder.run(network, app.sum.a, app.sum.b));
      const count = runs[0].length;
      const size = Math.max(8, Math.min(22, 300 / count));
      const [top, height] = [34, 130];
      const [second, tall] = [top + height + 52, 80];
      const third = second + tall + 52;
      const bottom = third + count * size;
      const mostError = Math.max(...errors.map(([, error]) => error), 1e-9) * 1.05;
      const mostSwing = Math.max(1, ...swings.map(([, swing]) => swing));
      const labels = runs[0].map(({ truth }, t) => [
        (count <= 24 || t % 8 === 0) &&
          svg("text", { x: LEFT - 8, y: third + (count - 0.5 - t) * size + 4, "text-anchor": "end" },
            count <= 24 ? `${t}: ${truth}` : t),
      ]);
      Object.entries({ y1: top - 4, y2: bottom + 4 }).forEach(([key, value]) => cursor.setAttribute(key, value));
      place = () => {
        const { examples } = snapshots[at];
        const across = x(examples);
        cursor.setAttribute("x1", across);
        cursor.setAttribute("x2", across);
        const marks = [
          [errors.length > 0 ? valueAt(errors, examples) / mostError : 0, top, height],
          [swings[at][1] / mostSwing, second, tall],
        ];
        marks.forEach(([share, from, size], n) => {
          dots[n].setAttribute("cx", across);
          dots[n].setAttribute("cy", from + size * (1 - share));
        });
      };
      picture.replaceChildren(
        svg(
          "svg",
          { class: "figure", viewBox: `0 0 ${WIDTH} ${bottom + 44}`, role: "img", "aria-label":
            "Over the examples: the error of a sum, the largest swing of a unit with the carry, and the " +
            "network's output for each digit of the sum, crosses where it is wrong" },
          errors.length > 0 &&
            curve({ title: "Error of a sum: Σ |y − o|, summed over its digits", points: errors, most: mostError, x, top, height, digits: 0 }),
          curve({ title: "The carry: largest swing of a unit with it", points: swings, most: mostSwing, x, top: second, height: tall, digits: 1 }),
          svg("text", { class: "heading", x: LEFT, y: third - 8 },
            `Outputs for ${app.sum.a} + ${app.sum.b}, a row a digit (place: truth); ✗ wrong${since(runs)}`),
          labels,
          film(runs, third, size),
          ticks(snapshots[last].examples, 5).map((examples) =>
            svg("text", { x: x(examples), y: bottom + 20, "text-anchor": x(examples) > WIDTH - 30 ? "end" : "middle" }, carry.thousands(examples)),
          ),
          svg("text", { x: (LEFT + WIDTH - RIGHT) / 2, y: bottom + 38, "text-anchor": "middle" }, "examples seen"),
          cursor, dots[1], errors.length > 0 && dots[0],
        ),
      );
    }

    const update = () => {
      const own = snapshots[at].network === app.network || (at === last && app.network === app.trained);
      const steps = carry.adder.run(snapshots[at].network, app.sum.a, app.sum.b);
      const wrong = steps.filter(({ digit, truth }) => digit !== truth).length;
      const when = name(snapshots[at]);
      const so = wrong === 0 ? "✓ every digit is right" : `✗ ${wrong} of ${steps.length} digits are wrong`;
      words.replaceChildren(
        carry.dom("strong", null, when.replace(/^./, (letter) => letter.toUpperCase())), ": ",
        `${carry.thousands(app.sum.a)} + ${carry.thousands(app.sum.b)} = `,
        carry.dom("strong", { class: wrong ? "wrong" : null }, carry.thousands(carry.adder.spell(steps))),
        `; ${so}.`,
        own ? "" : " (Another network is on view now.)",
      );
      place();
      player.update();
    };

    root.append(
      carry.dom(
        "p",
        { class: "lead" },
        "Drag the slider through the training: the whole page shows the network as it was then. At " +
          "first it says about ½ for every digit. Then the carry appears in a unit, and the error falls.",
      ),
      carry.dom("div", { class: "panel" }, player.element, words, picture),
    );
    app.on("network", () => {
      if (app.network === app.trained) at = last;
    });
    let drawn = null;
    app.on("sum", () => {
      if (drawn !== `${app.sum.a}+${app.sum.b}`) draw();
      drawn = `${app.sum.a}+${app.sum.b}`;
      update();
    });
    drawn = `${app.sum.a}+${app.sum.b}`;
    draw();
    update();
  }

  carry.view({
    id: "learn",
    title: "Learn",
    applies: ({ task, snapshots }) => task === "addition" && snapshots.length > 1,
    mount,
  });
})();
