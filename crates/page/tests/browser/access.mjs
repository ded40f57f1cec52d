// Whether everybody can use it: axe-core's rules, the keyboard alone, little motion; and pictures of
// the pages, light and dark, wide and narrow, for people to look at.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { test } from "node:test";
import { SCREENS } from "./world.mjs";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const NAMES = ["lab", "proved", "gru", "text", "series"];
const LOOKS = ["light", "dark"].flatMap((scheme) => [1280, 390].map((width) => ({ scheme, width })));

/** What axe finds: of all faults those that are serious or critical; the rest is told. */
export async function faults(page, note) {
  const { violations } = await page.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
  const lines = violations.map(({ id, impact, nodes }) => {
    const [first] = nodes;
    return `${impact} ${id} (${nodes.length}): ${first.target.join(" ")}: ${first.failureSummary}`;
  });
  const isGrave = (line) => /^(serious|critical) /.test(line);
  for (const line of lines.filter((line) => !isGrave(line))) note(line);
  return lines.filter(isGrave);
}

export { AXE, LOOKS };

/** Every element that the keyboard reaches from the top, in order, as text. */
async function tabs(page) {
  const reached = [];
  for (;;) {
    await page.keyboard.press("Tab");
    const now = await page.evaluate(() => {
      const element = document.activeElement;
      if (!element || element === document.body) return null;
      element.dataset.reached = "";
      const style = getComputedStyle(element);
      const isSeen = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
      return { name: element.dataset.test ?? element.textContent.slice(0, 30), isSeen };
    });
    if (!now || reached.length > 400) return reached;
    reached.push(now);
  }
}

export default function (world) {
  for (const name of NAMES) {
    for (const { scheme, width } of LOOKS) {
      test(`${name}, ${scheme}, ${width} pixels: axe-core finds no serious fault, and nothing sticks out`, async (context) => {
        const { file } = world.page(name);
        await world.open(file, async (page) => {
          assert.deepEqual(await faults(page, (line) => context.diagnostic(line)), []);
          const sticksOut = await page.evaluate(
            () => document.documentElement.scrollWidth - document.documentElement.clientWidth);
          assert.ok(sticksOut <= 0, `the page is ${sticksOut} pixels wider than the screen`);
          await page.waitForTimeout(500); // what is drawn when there is time
          const picture = join(SCREENS, `${name}-${scheme}-${width}.png`);
          await page.screenshot({ path: picture, fullPage: true });
          await page.setViewportSize({ width, height: 1180 }); // the first view, whole
          await page.screenshot({ path: picture.replace(".png", "-top.png") });
        }, { scheme, width, scripts: [AXE] });
      });
    }
  }

  test("axe-core would find a button without a name and text that is hardly seen", async () => {
    const { file } = world.page("gru");
    await world.open(file, async (page) => {
      await page.evaluate(() => {
        const faint = carry.dom("p", null, "hardly seen");
        faint.style.color = "color-mix(in srgb, var(--ink) 20%, var(--paper))";
        document.querySelector("main").append(faint, carry.dom("button", { type: "button" }));
      });
      const found = (await faults(page, () => {})).map((line) => line.split(" ")[1]);
      assert.deepEqual(found.sort(), ["button-name", "color-contrast"]);
    }, { scripts: [AXE] });
  });

  for (const scheme of ["light", "dark"]) {
    test(`${scheme}: axe-core finds no serious fault in faults, wrong sums and trainings either`, async (context) => {
      const { file } = world.page("hostile");
      await world.open(file, async (page) => {
        await page.locator("[data-test=a]").fill("one");
        await page.locator("[data-test=hidden]").fill("none");
        await page.locator("[data-test=start]").click();
        await page.locator("[data-test=b]").fill("85");
        await page.locator("[data-test=phase]").fill("14");
        await page.locator("[data-test=snapshot]").fill("3");
        assert.deepEqual(await faults(page, (line) => context.diagnostic(line)), []);
        await page.locator("[data-test=hidden]").fill("4");
        await page.locator("[data-test=examples]").fill("300");
        await page.locator("[data-test=start]").click();
        await page.waitForFunction(() => /trained here/.test(carry.app.name));
        assert.deepEqual(await faults(page, (line) => context.diagnostic(line)), []);
        await page.screenshot({ path: join(SCREENS, `used-${scheme}-1280.png`), fullPage: true });
      }, { scheme, scripts: [AXE] });
    });
  }

  for (const name of NAMES) {
    test(`${name}: Tab reaches every control, and one sees where one is`, async () => {
      const { file } = world.page(name);
      await world.open(file, async (page) => {
        const reached = await tabs(page);
        assert.ok(reached.length > 3);
        assert.deepEqual(reached.filter(({ isSeen }) => !isSeen), [], "the focus is seen");
        const missed = await page.evaluate(() =>
          [...document.querySelectorAll("button, input, select, textarea, a[href], [tabindex='0']")]
            .filter((element) => !element.disabled && element.checkVisibility() && !("reached" in element.dataset))
            .map((element) => element.outerHTML.slice(0, 120)));
        assert.deepEqual(missed, []);
      });
    });
  }

  test("by the keyboard alone one adds, plays, walks back through time and trains", async () => {
    const { file } = world.page("lab");
    await world.open(file, async (page) => {
      const tabTo = async (view, name) => {
        for (let n = 0; n < 300; n++) {
          await page.keyboard.press("Tab");
          const isThere = await page.evaluate(
            ([view, name]) => document.activeElement.matches(`#view-${view} [data-test=${name}]`), [view, name]);
          if (isThere) return;
        }
        assert.fail(`Tab does not reach ${name} of ${view}`);
      };
      await tabTo("add", "a");
      await page.keyboard.press("Control+A");
      await page.keyboard.type("60");
      await tabTo("add", "b");
      await page.keyboard.press("Control+A");
      await page.keyboard.type("7");
      assert.equal(await page.locator("[data-test=sum]").textContent(), "67");
      await tabTo("add", "play");
      await page.keyboard.press("Space");
      await page.waitForFunction(() => carry.app.step === 3);
      await page.keyboard.press("Space");
      await tabTo("add", "scrub");
      await page.keyboard.press("Home");
      assert.equal(await page.evaluate(() => carry.app.step), 0);
      await page.keyboard.press("ArrowRight");
      assert.equal(await page.evaluate(() => carry.app.step), 1);
      await tabTo("learn", "snapshot");
      await page.keyboard.press("Home");
      assert.match(await page.locator("[data-test=on-view]").textContent(), /before the first example/);
      await tabTo("bptt", "phase");
      await page.keyboard.press("Home");
      await page.keyboard.press("ArrowRight");
      assert.equal(await page.locator("[data-test=phase]").inputValue(), "1");
      await tabTo("train", "examples");
      await page.keyboard.press("Control+A");
      await page.keyboard.type("100");
      await page.keyboard.press("Enter");
      await page.waitForFunction(() => /after 100 examples/.test(carry.app.name));
    }, { still: false });
  });

  test("where little motion is wanted nothing moves by itself, and all is said", async () => {
    const { file } = world.page("lab");
    await world.open(file, async (page) => {
      assert.ok(await page.evaluate(() => carry.isStill()));
      await page.locator("[data-test=scrub]").fill("0");
      await page.locator("[data-test=play]").click();
      for (let n = 0; n < 10; n++) {
        assert.equal(await page.evaluate(() => document.getAnimations().length), 0);
        await page.waitForTimeout(60);
      }
      const behaviour = await page.evaluate(() => getComputedStyle(document.documentElement).scrollBehavior);
      assert.equal(behaviour, "auto");
      await page.locator("[data-test=examples]").fill("3000");
      await page.locator("[data-test=start]").click();
      await page.waitForFunction(() => /after 3,000 examples/.test(carry.app.name));
    }, { still: true });
  });

  test("what is announced is announced politely, and seldom", async () => {
    const { file } = world.page("lab");
    await world.open(file, async (page) => {
      await page.evaluate(() => {
        globalThis.said = 0;
        const status = document.querySelector("#view-train [data-test=status]");
        new MutationObserver(() => globalThis.said++).observe(status, { childList: true, subtree: true, characterData: true });
      });
      await page.locator("[data-test=start]").click();
      await page.waitForFunction(() => /trained here.*after 10,000/.test(carry.app.name));
      const said = await page.evaluate(() => globalThis.said);
      assert.ok(said >= 2 && said <= 6, `${said} announcements of one training`);
      const loud = await page.locator("[aria-live=assertive]").count();
      assert.equal(loud, 0);
    });
  });
}
