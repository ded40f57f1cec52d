// A network on a table: its forecasts over the test rows, by the row at which they begin, beside what
// came; or which class it took for which.
(() => {
  const [LEFT, RIGHT, TOP, BOTTOM] = [52, 10, 8, 40];

  /** About five round numbers between two values, as texts with equally many digits. */
  function ticks(low, high) {
    const raw = (high - low) / 5 || 1;
    const power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= raw);
    const all = [];
    for (let n = Math.ceil(low / step); n * step <= high + step * 1e-9; n++) all.push(n * step);
    const digits = Math.max(0, -Math.floor(Math.log10(step)));
    return all.map((value) => [value, carry.fixed(value, digits)]);
  }

  /** A number with as many digits as tell it apart. */
  function told(value) {
    if (value == null || Number.isNaN(value)) return "–";
    const size = Math.abs(value);
    return carry.fixed(value, size >= 1000 ? 0 : size >= 100 ? 1 : size >= 1 ? 2 : 4);
  }

  /** The line through values that may be missing. */
  function path(values, x, y) {
    let isDrawn = false;
    return values
      .map((value, n) => {
        const part = value == null ? "" : `${isDrawn ? "L" : "M"}${x(n).toFixed(1)} ${y(value).toFixed(1)}`;
        isDrawn = value != null;
        return part;
      })
      .join("");
  }

  function chart(width, label, { before, truth, forecast }) {
    const height = Math.min(340, width * 0.75);
    const values = [...before, ...truth, ...forecast].filter((value) => value != null);
    let low = Math.min(...values);
    let high = Math.max(...values);
    const pad = (high - low) * 0.06 || 1;
    [low, high] = [low - pad, high + pad];
    const count = before.length + truth.length;
    const room = [width - LEFT - RIGHT, height - TOP - BOTTOM];
    const x = (n) => LEFT + (n / Math.max(count - 1, 1)) * room[0];
    const y = (value) => TOP + ((high - value) / (high - low)) * room[1];
    const origin = x(before.length - 0.5);
    const bottom = height - BOTTOM;
    const lines = ticks(low, high).map(([value, name]) => [
      carry.svg("line", { class: "rule", x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value) }),
      carry.svg("text", { x: LEFT - 8, y: y(value) + 4, "text-anchor": "end" }, name),
    ]);
    const every = Math.max(1, Math.ceil((count * 60) / room[0]));
    const rows = [];
    for (let n = 0; n < count; n++) {
      const row = n - before.length;
      if (row % every === 0) {
        const name = row < 0 ? `−${-row}` : `+${row}`;
        rows.push(carry.svg("text", { x: x(n), y: bottom + 16, "text-anchor": "middle" }, row === 0 ? "0" : name));
      }
    }
    return carry.svg(
      "svg",
      { class: "figure series", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label },
      carry.svg("rect", { class: "band", x: origin, y: TOP, width: width - RIGHT - origin, height: room[1] }),
      ...lines.flat(),
      ...rows,
      carry.svg("line", { class: "cursor", x1: origin, x2: origin, y1: TOP, y2: bottom }),
      carry.svg("path", { class: "came", d: path([...before, ...truth], x, y) }),
      carry.svg("path", { class: "said", d: path(forecast, (n) => x(before.length + n), y) }),
      ...forecast.map((value, n) => carry.svg("circle", { class: "said-dot", cx: x(before.length + n), cy: y(value), r: 2.5 })),
      carry.svg("text", { x: width - RIGHT, y: height - 6, "text-anchor": "end" }, "rows from the first that is forecast"),
    );
  }

  /** Mean absolute error, and the root of the mean squared one, over what is not missing. */
  function errors({ truth, forecast }) {
    const all = truth.flatMap((value, n) => (value == null ? [] : [forecast[n] - value]));
    const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
    return { mae: mean(all.map(Math.abs)), rmse: Math.sqrt(mean(all.map((error) => error * error))) };
  }

  function table(score) {
    const rows = [["the network, on these rows", score.test], ["the network, on the validation rows", score.valid]];
    for (const [baseline, measures] of Object.entries(score.baselines)) rows.push([baseline, measures]);
    const head = ["", "mean absolute error", "root mean squared error", "MASE"];
    return carry.dom(
      "table",
      { class: "measures", "data-test": "measures" },
      carry.dom("thead", null, carry.dom("tr", null, head.map((text) => carry.dom(text ? "th" : "td", text ? { scope: "col" } : null, text)))),
      carry.dom(
        "tbody",
        null,
        rows.map(([name, { mae, rmse, mase }]) =>
          carry.dom(
            "tr",
            null,
            carry.dom("th", { scope: "row" }, name),
            [mae, rmse, mase].map((value) => carry.dom("td", { class: "number" }, told(value))),
          ),
        ),
      ),
    );
  }

  function mountForecasts(root, app) {
    const { series } = app.data;
    const { origins, targets, horizon } = series;
    let place = 0;
    let target = 0;
    const figure = carry.dom("div");
    const redraw = carry.fit(figure, (width) => {
      const label = `${targets[target]} before and after ${nameOf(origins[place])}: what came, and the forecast`;
      return chart(width, label, part());
    });
    const column = carry.dom("p", { class: "note" });
    const caption = carry.dom("p", { class: "moment", "data-test": "series-caption" });
    const nameOf = ({ row, time }) => (time ? `${time} (row ${carry.thousands(row)})` : `row ${carry.thousands(row)}`);
    const player = carry.player({
      label: "Where the forecast begins",
      max: () => origins.length - 1,
      get: () => place,
      set: (next) => {
        place = next;
        update();
      },
      delay: () => 500,
      text: () => nameOf(origins[place]),
      tests: { play: "series-play", back: "series-back", step: "series-step", range: "origin" },
    });
    const choice =
      targets.length > 1 &&
      carry.dom(
        "label",
        { class: "field" },
        "Column",
        carry.dom(
          "select",
          {
            "data-test": "series-target",
            onchange: (event) => {
              target = Number(event.target.value);
              update();
            },
          },
          targets.map((name, n) => carry.dom("option", { value: n }, name)),
        ),
      );

    /** What there is of the chosen column, from the chosen origin. */
    function part() {
      const { before, truth, forecast } = origins[place];
      return { before: before[target], truth: truth[target], forecast: forecast[target] };
    }

    function update() {
      column.textContent = `${targets[target]}, in the units of the file`;
      const { mae, rmse } = errors(part());
      caption.textContent =
        `${horizon} rows from ${nameOf(origins[place])}: the forecast is off by ${told(mae)} in the mean ` +
        `(root mean squared: ${told(rmse)}).`;
      redraw();
      player.update();
    }

    const key = (className, text) =>
      carry.dom(
        "li",
        null,
        carry.svg(
          "svg",
          { viewBox: "0 0 28 12", width: 28, height: 12, "aria-hidden": "true", class: "series" },
          carry.svg("path", { class: className, d: "M1 6H27" }),
        ),
        text,
      );
    const some =
      origins.length < series.of
        ? ` ${carry.thousands(origins.length)} of ${carry.thousands(series.of)} forecasts are on this page.`
        : "";
    root.append(
      carry.dom(
        "p",
        { class: "lead" },
        `The test rows of ${series.file} (${carry.thousands(series.rows[0])} to ` +
          `${carry.thousands(series.rows[1])}) were kept from the network. From each of them it looks ` +
          `${horizon} rows ahead: move along, and compare.${some}`,
      ),
      carry.dom(
        "div",
        { class: "panel" },
        choice,
        column,
        figure,
        carry.dom("ul", { class: "proved-key" }, key("came", "what came"), key("said", "what the network said")),
        caption,
        player.element,
      ),
      carry.dom("h3", { class: "apart" }, "How good is that, over all test rows?"),
      carry.dom(
        "div",
        { class: "panel scroll", tabindex: "0", role: "region", "aria-label": "Errors" },
        table(series.score),
      ),
      carry.dom(
        "p",
        { class: "note" },
        "Errors are in the units of the file. MASE is the mean absolute error over that of the forecast " +
          `“as ${carry.thousands(series.season)} rows ago” on the training rows: below 1 it is better than that one.`,
      ),
    );
    update();
  }

  function mountClasses(root, app) {
    const { file, targets, rows, classes, score, of } = app.data.series;
    const percent = (share) => `${(100 * share).toFixed(1)} %`;
    const names = [...classes, "another, never shown in training"];
    root.append(
      carry.dom(
        "p",
        { class: "lead" },
        `The test rows of ${file} (${carry.thousands(rows[0])} to ${carry.thousands(rows[1])}) were kept ` +
          `from the network. Of ${carry.thousands(of)} windows it tells ${percent(score.test.accuracy)} ` +
          `rightly; always telling the class that is the most frequent would be right for ` +
          `${percent(score.baselines["most frequent"].accuracy)}.`,
      ),
      carry.dom(
        "div",
        { class: "panel scroll", tabindex: "0", role: "region", "aria-label": "Which class it took for which" },
        carry.dom(
          "table",
          { class: "measures", "data-test": "confusion" },
          carry.dom("caption", { class: "note" }, `${targets[0]}: a row for what it was, a column for what the network said`),
          carry.dom("thead", null, carry.dom("tr", null, carry.dom("td"), classes.map((name) => carry.dom("th", { scope: "col" }, name)))),
          carry.dom(
            "tbody",
            null,
            score.confusion.map((counts, n) =>
              carry.dom(
                "tr",
                null,
                carry.dom("th", { scope: "row" }, names[n]),
                counts.map((count, told) =>
                  carry.dom("td", { class: n === told ? "number right" : "number" }, carry.thousands(count)),
                ),
              ),
            ),
          ),
        ),
      ),
    );
  }

  carry.view({
    id: "series",
    title: "What it says of rows it never saw",
    short: "Forecasts",
    applies: ({ task, series }) => task === "series" && Boolean(series),
    mount: (root, app) => (app.data.series.horizon > 0 ? mountForecasts : mountClasses)(root, app),
  });
})();
