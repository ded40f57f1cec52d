// The lab's report: it opens without a fault, and is read without JavaScript, too.
import assert from "node:assert/strict";
import { statSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { AXE, LOOKS, faults } from "./access.mjs";
import { SCREENS } from "./world.mjs";

const PAGE = join("lab-report", "index.html");

export default function (world) {
  test("cargo xtask lab --quick makes a report below 3 MB", () => {
    world.xtask(["lab", "--quick", "--out", "lab-report"]);
    assert.ok(statSync(join(world.folder, PAGE)).size < 3_000_000);
  });

  for (const { scheme, width } of LOOKS) {
    test(`the report, ${scheme}, ${width} pixels: no fault, nothing serious by axe-core`, async (context) => {
      await world.open(PAGE, async (page) => {
        assert.deepEqual(await faults(page, (line) => context.diagnostic(line)), []);
        const sticksOut = await page.evaluate(
          () => document.documentElement.scrollWidth - document.documentElement.clientWidth);
        assert.ok(sticksOut <= 0, `the page is ${sticksOut} pixels wider than the screen`);
        await page.screenshot({ path: join(SCREENS, `report-${scheme}-${width}.png`), fullPage: true });
      }, { scheme, width, scripts: [AXE] });
    });
  }

  test("the report's network adds", async () => {
    await world.open(PAGE, async (page) => {
      await page.locator("[data-test=a]").fill("5");
      await page.locator("[data-test=b]").fill("6");
      assert.equal(await page.locator("[data-test=sum]").textContent(), "11");
    });
  });

  test("without JavaScript the report is read as it stands, with its pictures", async () => {
    await world.open(PAGE, async (page) => {
      const report = page.locator("#report");
      assert.ok((await report.innerText()).length > 2000);
      assert.ok((await report.locator("svg").count()) >= 8, "a picture of each study");
      assert.ok(await report.locator("svg").first().isVisible());
      await page.screenshot({ path: join(SCREENS, "report-without-javascript.png"), fullPage: true });
    }, { javaScriptEnabled: false });
  });
}
