// What one does on the page: type, play, pause, step, scrub, look at units and at the training, walk
// back through time, train; and what one reads then.
import assert from "node:assert/strict";
import { test } from "node:test";

const at = (page, view, name) => page.locator(`#view-${view} [data-test=${name}]`);

/** Waits until a function of a locator's text is true. */
async function until(locator, isSo, what) {
  const deadline = Date.now() + 60_000;
  for (;;) {
    const text = await locator.textContent();
    if (isSo(text)) return text;
    assert.ok(Date.now() < deadline, `${what}: still “${text}”`);
    await new Promise((again) => setTimeout(again, 20));
  }
}

const step = (page) => page.evaluate(() => carry.app.step);

export default function (world) {
  test("add: one types, plays, pauses, steps, goes back and scrubs", async () => {
    const { file } = world.page("lab");
    await world.open(file, async (page) => {
      await at(page, "add", "a").fill("100");
      await at(page, "add", "b").fill("27");
      assert.equal(await at(page, "add", "sum").textContent(), "127");
      const scrub = at(page, "add", "scrub");
      await scrub.fill("0");
      assert.equal(await step(page), 0);
      await at(page, "add", "step").click();
      await at(page, "add", "step").click();
      assert.equal(await step(page), 2);
      assert.equal(await at(page, "add", "sum").textContent(), "3");
      await at(page, "add", "back").click();
      assert.equal(await step(page), 1);
      await scrub.fill("5");
      assert.equal(await step(page), 5);
      assert.equal(await at(page, "add", "sum").textContent(), "31");
      await scrub.fill("0");
      const play = at(page, "add", "play");
      await play.click();
      await page.waitForFunction(() => carry.app.step >= 2);
      await play.click();
      const paused = await step(page);
      assert.ok(paused < 8, "it was paused before the end");
      await page.waitForTimeout(1000);
      assert.equal(await step(page), paused, "it stays where it was paused");
      await play.click();
      await page.waitForFunction(() => carry.app.step === carry.app.sum.steps.length);
      assert.equal(await at(page, "add", "sum").textContent(), "127");
    }, { still: false });
  });

  test("add: what is no number is named, and the sum stays", async () => {
    const { file } = world.page("lab");
    await world.open(file, async (page) => {
      await at(page, "add", "a").fill("12");
      await at(page, "add", "b").fill("34");
      for (const text of ["-1", "1.5", "one", "18446744073709551616", "1e3"]) {
        await at(page, "add", "a").fill(text);
        assert.equal(await at(page, "add", "a").getAttribute("aria-invalid"), "true", text);
        assert.notEqual(await page.locator("#problem-a").textContent(), "", text);
        assert.equal(await at(page, "add", "sum").textContent(), "46");
      }
      await at(page, "add", "a").fill("18446744073709551615");
      assert.equal(await at(page, "add", "a").getAttribute("aria-invalid"), "false");
    });
  });

  test("add: a wrong digit is red, is said in words, and stays", async () => {
    // Three units that have seen a thousand sums.
    const { file } = world.page("hostile");
    await world.open(file, async (page) => {
      const wrong = await page.evaluate(() => {
        for (let a = 1n; a < 128n; a++) {
          const steps = carry.adder.run(carry.app.network, a, 85n);
          const n = steps.findIndex(({ digit, truth }) => digit !== truth);
          if (n >= 0) return { a: Number(a), n, truth: steps[n].truth };
        }
      });
      assert.ok(wrong, "so small a network errs");
      await at(page, "add", "a").fill(String(wrong.a));
      await at(page, "add", "b").fill("85");
      const row = page.locator("#view-add tr", { has: page.locator(`[data-test=digit-${wrong.n}]`) });
      assert.match(await row.textContent(), new RegExp(`should be ${wrong.truth}`));
      const colour = () =>
        at(page, "add", `digit-${wrong.n}`).evaluate((digit) => getComputedStyle(digit).color);
      const right = await page.evaluate(() => getComputedStyle(document.body).color);
      assert.notEqual(await colour(), right);
      assert.match(await at(page, "add", "verdict").textContent(), /Wrong in/);
    });
  });

  test("units: they are sorted by how well they tell the carry, and one sees each of them", async () => {
    const { file } = world.page("lab");
    await world.open(file, async (page) => {
      const swings = await page.evaluate(() => carry.app.units.map(({ swing }) => Math.abs(swing)));
      assert.equal(swings.length, 16);
      assert.deepEqual(swings, [...swings].sort((a, b) => b - a));
      assert.ok(swings[0] > 0.5, "a network that adds has a unit that tells the carry");
      const units = page.locator("#view-units [data-test^=unit-]");
      assert.equal(await units.count(), 16);
      const detail = at(page, "units", "unit");
      await units.nth(0).hover();
      const first = await detail.textContent();
      await units.nth(5).focus();
      await page.keyboard.press("Enter");
      assert.notEqual(await detail.textContent(), first);
    });
  });

  test("learn: the slider puts the network of that moment on view, and the last is the trained one", async () => {
    const { file } = world.page("lab");
    await world.open(file, async (page) => {
      const slider = at(page, "learn", "snapshot");
      await at(page, "add", "a").fill("77");
      await at(page, "add", "b").fill("22");
      await slider.focus();
      await page.keyboard.press("Home");
      const { shown, first, steps } = await page.evaluate(() => ({
        shown: [...carry.app.network.tensors.weight_hh_l0],
        first: [...carry.decode(carry.app.data.snapshots[0].tensors.weight_hh_l0)],
        steps: carry.app.sum.steps.map(({ output }) => output),
      }));
      assert.deepEqual(shown, first);
      assert.match(await page.locator("[data-test=on-view]").textContent(), /before the first example/);
      const output = await at(page, "add", "output-0").getAttribute("data-value");
      assert.equal(Number(output), steps[0]);
      await page.keyboard.press("End");
      const isTrained = await page.evaluate(() => {
        const { tensors } = carry.app.network;
        return Object.keys(tensors).every((name) =>
          tensors[name].every((value, n) => value === carry.app.trained.tensors[name][n]));
      });
      assert.ok(isTrained, "the last snapshot is the trained network");
    });
  });

  test("bptt: one walks through the moments, forward and back, and the update changes the network", async () => {
    const { file } = world.page("lab");
    await world.open(file, async (page) => {
      const moment = page.locator("[data-test=moment-bptt]");
      const phase = at(page, "bptt", "phase");
      const most = Number(await phase.getAttribute("max"));
      assert.equal(most, 2 * 8 + 2);
      await phase.fill("0");
      const seen = new Set([await moment.textContent()]);
      for (let n = 0; n < most; n++) {
        await at(page, "bptt", "next").click();
        seen.add(await moment.textContent());
      }
      assert.equal(seen.size, most + 1, "every moment says what it is");
      assert.ok(await at(page, "bptt", "next").isDisabled());
      await at(page, "bptt", "back").click();
      assert.equal(Number(await phase.inputValue()), most - 1);
      await at(page, "bptt", "next").click();
      const before = await page.evaluate(() => [...carry.app.network.tensors["head.weight"]]);
      await page.locator("[data-test=apply]").click();
      const after = await page.evaluate(() => [...carry.app.network.tensors["head.weight"]]);
      assert.ok(after.some((weight, n) => weight !== before[n]), "the update was made");
      await page.locator("[data-test=reset]").click();
      const reset = await page.evaluate(() => [...carry.app.network.tensors["head.weight"]]);
      assert.deepEqual(reset, before);
    });
  });

  test("bptt and learn say what they are for where the network is of another kind", async () => {
    const { file } = world.page("gru");
    await world.open(file, async (page) => {
      assert.equal(await page.locator("#view-add [data-test=sum]").count(), 1);
      assert.match(await page.locator("#view-bptt").textContent(), /one layer|lab/i);
    });
  });

  async function train(page, values) {
    for (const [name, value] of Object.entries(values)) await at(page, "train", name).fill(String(value));
    await at(page, "train", "start").click();
    return until(at(page, "train", "status"), (text) => /on view now|failed/.test(text), "the training");
  }

  test("train: a network is trained in the page, is put on view, and adds", async () => {
    const { file } = world.page("gru");
    await world.open(file, async (page) => {
      const asked = { hidden: 12, bits: 6, rate: 0.5, seed: 3, examples: 6000 };
      const status = await train(page, asked);
      assert.match(status, /^Trained after 6,000 examples/);
      const right = Number(/Of 200 sums that were drawn anew, (\d+) are right/.exec(status)[1]);
      assert.ok(right >= 190, status);
      const { hidden, bits, name } = await page.evaluate(() => ({
        hidden: carry.app.network.description.hidden,
        bits: carry.app.training.bits,
        name: carry.app.name,
      }));
      assert.deepEqual([hidden, bits], [12, 6]);
      assert.match(name, /trained here, H = 12, 6 bits, seed 3, after 6,000 examples/);
      await at(page, "add", "a").fill("21");
      await at(page, "add", "b").fill("10");
      assert.equal(await at(page, "add", "sum").textContent(), "31");
      assert.equal(await page.locator("#view-units [data-test^=unit-]").count(), 12);
      const points = await at(page, "train", "curve").getAttribute("points");
      const errors = points.trim().split(" ").map((point) => Number(point.split(",")[1]));
      assert.equal(errors.length, 200);
      assert.ok(errors.at(-1) > errors[0] + 50, "the curve goes down, as y goes up");
    });
  });

  test("train: the same seed gives the same network, another seed another", async () => {
    const { file } = world.page("lab");
    await world.open(file, async (page) => {
      const weights = async (seed) => {
        await train(page, { hidden: 4, bits: 4, seed, examples: 200 });
        return page.evaluate(() => [...carry.app.network.tensors.weight_hh_l0].join());
      };
      const [one, again, other] = [await weights(5), await weights(5), await weights(6)];
      assert.equal(one, again);
      assert.notEqual(one, other);
    });
  });

  test("train: it never freezes the page, shows the network on the way, and stops when asked", async () => {
    const { file } = world.page("lab");
    await world.open(file, async (page) => {
      await page.evaluate(() => {
        let last = performance.now();
        globalThis.longest = 0;
        const frame = (now) => {
          globalThis.longest = Math.max(globalThis.longest, now - last);
          last = now;
          requestAnimationFrame(frame);
        };
        requestAnimationFrame(frame);
      });
      const status = at(page, "train", "status");
      await at(page, "train", "hidden").fill("32");
      await at(page, "train", "bits").fill("32");
      await at(page, "train", "examples").fill("1000000");
      await at(page, "train", "start").click();
      const count = page.locator("[data-test=count]");
      const first = await until(count, (text) => /^[1-9][\d,]* of 1,000,000/.test(text), "the count");
      await until(count, (text) => text !== first, "the count goes on");
      await page.locator("[data-test=show]").click();
      await until(status, (text) => /is on view; it goes on learning/.test(text), "the network on the way");
      assert.equal(await page.evaluate(() => carry.app.network.description.hidden), 32);
      // The page is at hand meanwhile.
      await at(page, "add", "a").fill("3");
      await at(page, "add", "b").fill("4");
      await page.waitForTimeout(500);
      await at(page, "train", "stop").click();
      await until(status, (text) => /^Stopped after /.test(text), "the stop");
      assert.ok(await at(page, "train", "stop").isDisabled());
      const longest = await page.evaluate(() => globalThis.longest);
      assert.ok(longest < 1000, `the page stood still for ${longest} ms`);
    }, { still: false });
  });

  test("train: what is no such number is named, with what would be one, and nothing begins", async () => {
    const { file } = world.page("lab");
    await world.open(file, async (page) => {
      for (const [name, value, message] of [
        ["hidden", "0", /Hidden units.*“0”.*1 to 32/],
        ["hidden", "2.5", /Hidden units.*“2.5”/],
        ["bits", "33", /Bits.*“33”.*2 to 32/],
        ["rate", "fast", /Learning rate.*“fast”.*0.0001 to 10/],
        ["seed", "-1", /Seed.*“-1”.*0 to 4,294,967,295/],
        ["examples", "", /Examples.*“”.*1 to 1,000,000/],
      ]) {
        const field = at(page, "train", name);
        const before = await field.inputValue();
        await field.fill(value);
        await field.press("Enter");
        assert.match(await page.locator("[data-test=wrong]").textContent(), message);
        assert.equal(await field.getAttribute("aria-invalid"), "true");
        assert.ok(await field.evaluate((field) => field === document.activeElement));
        await field.fill(before);
      }
      assert.equal(await at(page, "train", "status").textContent(), "Not begun yet.");
    });
  });

  test("proved: the statement of the certificate stands on the page of a run that has one", async () => {
    const { file } = world.page("proved");
    await world.open(file, async (page) => {
      const { statement } = await page.evaluate(() => carry.app.data.proof);
      assert.ok((await page.locator("#view-proved").textContent()).includes(statement));
      await page.locator("#view-add [data-test=scrub]").fill("1");
      await page.locator("#view-add [data-test=scrub]").fill("2");
    });
  });

  test("no page shows what only a program says, and none offers a network that there is not", async () => {
    for (const name of ["lab", "biased", "proved", "gru", "text", "series"]) {
      const { file } = world.page(name);
      await world.open(file, async (page) => {
        const words = await page.evaluate(() => document.querySelector("main").innerText);
        assert.doesNotMatch(words, /\b(false|undefined|null|NaN|Infinity)\b|\[object/, name);
        assert.equal(await page.locator("[data-test=reset]").isVisible(), false, name);
      });
    }
  });

  test("text and series: their pages have their own views, and none of those that add", async () => {
    for (const name of ["text", "series"]) {
      const { file } = world.page(name);
      await world.open(file, async (page) => {
        assert.equal(await page.locator(`#view-${name}`).count(), 1);
        assert.equal(await page.locator("#view-add").count(), 0);
        assert.ok((await page.locator(`#view-${name}`).textContent()).length > 100);
      });
    }
  });
}
