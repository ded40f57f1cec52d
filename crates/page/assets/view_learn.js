// Learn: a slider over the training. The same sum under the weights of each snapshot, beside the
// error curve; one sees the moment when the carry appears.
//
// Three pictures over one axis of examples: the error; the largest swing of a unit with the carry;
// and the outputs for each digit of the sum, crossed out where they are wrong.
(() => {
  const { dom, svg } = carry;
  const [LEFT, RIGHT] = [44, 12];
  const ERROR = { top: 34, height: 130 };
  const SWING = { top: 214, height: 80 };
  const FILM = 346;

  const nameOf = ({ examples }) =>
    examples === 0 ? "before the first example" : `after ${carry.thousands(examples)} examples`;

  const isRight = (steps) => steps.every(({ digit, truth }) => digit === truth);

  /** Round numbers from 0 to `most`, some `count` of them. */
  function ticks(most, count) {
    const raw = most / count;
    const power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].find((n) => n * power >= raw) * power;
    return Array.from({ length: Math.floor(most / step + 1e-9) + 1 }, (_, n) => n * step);
  }

  /** A value [[examples, value]] over the examples. */
  function curve({ top, height }, title, points, most, x) {
    const y = (value) => top + height - (value / most) * height;
    const marks = ticks(most, 3);
    const digits = marks[1] < 1 ? 1 : 0;
    return [
      svg("text.heading", { x: LEFT, y: top - 10 }, title),
      marks.map((mark) => [
        svg("line.rule", { x1: LEFT, x2: x(points.at(-1)[0]), y1: y(mark), y2: y(mark) }),
        svg("text", { x: LEFT - 8, y: y(mark) + 4, "text-anchor": "end" }, mark.toFixed(digits)),
      ]),
      svg("polyline.curve", { points: points.map(([n, value]) => `${x(n)},${y(value)}`).join(" ") }),
    ];
  }

  /** The mark on a curve after `now` examples, between its points. */
  function dot({ top, height }, points, most, x, now) {
    const after = points.findIndex(([examples]) => examples >= now);
    let [, value] = points.at(after);
    if (after > 0) {
      const [[x0, y0], [x1, y1]] = [points[after - 1], points[after]];
      value = y0 + ((y1 - y0) * (now - x0)) / (x1 - x0);
    }
    return svg("circle.dot.now", { cx: x(now), cy: top + height - (value / most) * height, r: 6 });
  }

  /** The outputs under each snapshot: a row a digit, a column a snapshot. */
  function film(snapshots, runs, x, size) {
    const ends = snapshots.map(({ examples }) => x(examples));
    const edges = ends.map((end, n) => (n === 0 ? end : (ends[n - 1] + end) / 2));
    edges.push(ends.at(-1));
    let crosses = "";
    const cells = runs.map((steps, n) =>
      steps.map(({ output, digit, truth }, t) => {
        const y = FILM + (steps.length - 1 - t) * size;
        const width = edges[n + 1] - edges[n];
        if (digit !== truth) {
          const r = Math.min(3.2, width / 2.5, size / 3);
          const [left, top] = [edges[n] + width / 2 - r, y + size / 2 - r];
          crosses += `M${left},${top}l${2 * r},${2 * r}m0,${-2 * r}l${-2 * r},${2 * r}`;
        }
        const shade = { "--v": output.toFixed(3) };
        return svg("rect.output", { x: edges[n], y, width: width + 0.3, height: size - 1, ...shade });
      }),
    );
    // a halo, so that a cross can be seen on every shade
    const halo = svg("path.halo", { "stroke-width": size / 4, d: crosses });
    return [cells, halo, svg("path.cross", { d: crosses })];
  }

  function mount(root, app) {
    const { data } = app;
    const last = data.snapshots.length - 1;
    const snapshots = data.snapshots.map(({ examples, tensors }, n) => {
      return { examples, network: n === last ? app.trained : carry.networkOf(data.network, tensors) };
    });
    const errors = data.curve.map(({ examples, error }) => [examples, error]);
    const mostError = 1.05 * Math.max(...errors.map(([, error]) => error), 1e-9);
    // how well a unit tells the carry does not hang on the sum; found bit by bit, when there is time
    const swings = [];
    const isFound = () => swings.length === snapshots.length;
    const find = () => {
      const { examples, network } = snapshots[swings.length];
      const units = carry.adder.tell(network, data.training.bits);
      swings.push([examples, Math.max(...units.map((unit) => Math.abs(unit.with - unit.without)))]);
      if (isFound()) redraw();
      else setTimeout(find);
    };
    const mostSwing = () => Math.max(1, ...swings.map(([, swing]) => swing));
    let at = last;
    let runs = [];
    let mark = () => {};

    function draw(width) {
      const right = width - RIGHT;
      const x = (examples) => LEFT + (examples / snapshots[last].examples) * (right - LEFT);
      const count = runs[0].length;
      const size = Math.max(8, Math.min(22, 300 / count));
      const bottom = FILM + count * size;
      const hasErrors = errors.length > 1;
      const marks = svg("g");
      const picture = svg(
        "svg.figure",
        { viewBox: `0 0 ${width} ${bottom + 44}`, role: "img" },
        hasErrors && curve(ERROR, "Error of a sum, Σ |y − o|", errors, mostError, x),
        isFound() && curve(SWING, "Largest swing of a unit with the carry", swings, mostSwing(), x),
        svg("text.heading", { x: LEFT, y: FILM - 10 }, "Outputs, a row a digit; ✗ is wrong"),
        film(snapshots, runs, x, size),
        runs[0].map(({ truth }, t) => {
          const y = FILM + (count - 0.5 - t) * size + 4;
          const text = count <= 24 ? `${t}: ${truth}` : t;
          return (count <= 24 || t % 8 === 0) && svg("text", { x: LEFT - 8, y, "text-anchor": "end" }, text);
        }),
        ticks(snapshots[last].examples, width / 160).map((examples) => {
          const anchor = x(examples) > width - 30 ? "end" : "middle";
          const place = anchor === "end" ? width : x(examples);
          return svg("text", { x: place, y: bottom + 20, "text-anchor": anchor }, carry.thousands(examples));
        }),
        svg("text", { x: (LEFT + right) / 2, y: bottom + 38, "text-anchor": "middle" }, "examples seen"),
        marks,
      );
      mark = () => {
        const now = snapshots[at].examples;
        marks.replaceChildren(svg("line.cursor", { x1: x(now), x2: x(now), y1: ERROR.top - 4, y2: bottom + 4 }));
        if (hasErrors) marks.append(dot(ERROR, errors, mostError, x, now));
        if (isFound()) marks.append(dot(SWING, swings, mostSwing(), x, now));
        picture.setAttribute(
          "aria-label",
          "Over the examples: the error of a sum, the largest swing of a unit with the carry, and the " +
            `outputs for each digit of ${app.sum.a} + ${app.sum.b}. The mark stands ${nameOf(snapshots[at])}.`,
        );
      };
      mark();
      return picture;
    }

    /** From when on the sum is right, if it was not always. */
    function since() {
      const first = runs.length - runs.slice().reverse().findIndex((steps) => !isRight(steps));
      if (first >= runs.length) return "";
      return ` From ${carry.thousands(snapshots[first].examples)} examples on, all digits stay right.`;
    }

    function say() {
      const steps = runs[at];
      const wrong = steps.filter(({ digit, truth }) => digit !== truth).length;
      const when = nameOf(snapshots[at]);
      const isOnView = app.network === snapshots[at].network;
      words.replaceChildren(
        dom("strong", when.replace(/^./, (letter) => letter.toUpperCase())),
        `: ${carry.thousands(app.sum.a)} + ${carry.thousands(app.sum.b)} = `,
        dom("strong", { class: wrong ? "wrong" : null }, carry.thousands(carry.adder.spell(steps))),
        wrong ? `, ✗ ${wrong} of ${steps.length} digits are wrong.` : ", ✓ every digit is right.",
        since(),
        isOnView ? "" : " Another network is on view now; move the slider to return.",
      );
    }

    const words = dom("p.moment", { role: "status", "data-test": "moment" });
    const picture = dom("div");
    const redraw = carry.fit(picture, draw);
    const player = carry.player({
      label: "Snapshot of the training",
      max: () => last,
      get: () => at,
      set: (to) => {
        at = to;
        app.setNetwork(snapshots[at].network, at === last ? app.trainedName : nameOf(snapshots[at]));
      },
      delay: () => 220,
      text: () => nameOf(snapshots[at]),
      tests: { play: "learn-play", back: "learn-back", step: "learn-step", range: "snapshot" },
    });
    let shown = null;
    const refresh = () => {
      if (app.network === app.trained) at = last;
      const sum = `${app.sum.a}+${app.sum.b}`;
      if (shown === sum) {
        mark();
      } else {
        runs = snapshots.map(({ network }) => carry.adder.run(network, app.sum.a, app.sum.b));
        redraw();
      }
      shown = sum;
      say();
      player.update();
    };

    root.append(
      dom(
        "p.lead",
        "Drag the slider through the training: the whole page shows the network as it was then. At " +
          "first it says about ½ for every digit. Then the carry appears in a unit, and the error falls.",
      ),
      dom("div.panel", player.element, words, picture),
    );
    app.on("sum", refresh);
    refresh();
    setTimeout(find);
  }

  const applies = ({ task, snapshots }) => task === "addition" && snapshots.length > 1;
  carry.view({ id: "learn", title: "Learn", applies, mount });
})();
