// Names, texts and what someone types are text, whatever they hold: no element, no dialog, no load.
import assert from "node:assert/strict";
import { test } from "node:test";
import { HOSTILE } from "./world.mjs";

/** The elements that hostile text would make if it were markup. */
const made = (page) =>
  page.evaluate(() => ({
    images: document.querySelectorAll("img, iframe, object, embed, base, b").length,
    scripts: document.scripts.length,
    listeners: [...document.querySelectorAll("*")].filter((element) =>
      [...element.attributes].some(({ name }) => name.startsWith("on"))).length,
  }));
const NOTHING = { images: 0, scripts: 2, listeners: 0 };

export default function (world) {
  test("a run whose name is markup is named by it on its page", async () => {
    const { run, file } = world.page("hostile");
    await world.open(file, async (page) => {
      assert.ok((await page.title()).includes(run), await page.title());
      assert.ok((await page.locator("#about").textContent()).includes(run));
      assert.ok((await page.locator("h1").textContent()).includes(run));
      assert.deepEqual(await made(page), NOTHING);
    });
  });

  test("a text and a column that hold markup are shown as they are", async () => {
    for (const [name, text] of [["text", "<b>"], ["series", "<b>"]]) {
      const { file } = world.page(name);
      await world.open(file, async (page) => {
        const shown = await page.locator("main").textContent();
        assert.ok(shown.replaceAll("\u200b", "").includes(text), `${name}: ${text}`);
        assert.deepEqual(await made(page), NOTHING, name);
      });
    }
  });

  test("what someone types is text, in every field", async () => {
    for (const name of ["lab", "text", "series"]) {
      const { file } = world.page(name);
      await world.open(file, async (page) => {
        const fields = page.locator("input[type=text], input[type=search], textarea, input:not([type])");
        for (let n = 0; n < (await fields.count()); n++) {
          await fields.nth(n).fill(HOSTILE);
          await fields.nth(n).press("Enter");
        }
        assert.deepEqual(await made(page), NOTHING, name);
      });
    }
  });

  test("a page behind whose address something is written does nothing else", async () => {
    const { file } = world.page("lab");
    await world.open(file, async (page) => {
      await page.evaluate((text) => { location.hash = text; }, HOSTILE);
      assert.deepEqual(await made(page), NOTHING);
    });
  });

  test("the policy forbids every load, and lets no other script run", async () => {
    const { file } = world.page("lab");
    await assert.rejects(
      world.open(file, async (page) => {
        await page.evaluate(() => {
          const script = document.createElement("script");
          script.textContent = "globalThis.ran = true";
          document.body.append(script);
        });
        assert.equal(await page.evaluate(() => globalThis.ran), undefined);
      }),
      /policy|Content Security Policy/,
    );
    await assert.rejects(
      world.open(file, (page) => page.evaluate(() => fetch("https://example.org/").catch(() => {}))),
      /policy|Content Security Policy/,
    );
    await assert.rejects(
      world.open(file, (page) =>
        page.evaluate(() => { document.body.append(Object.assign(new Image(), { src: "https://example.org/a.png" })); })),
      /policy|Content Security Policy/,
    );
  });
}
