// All tests of the page in a browser, in one process: they share the runs, the pages and a browser.
//
//   node run.mjs          CARRY_TARGET: cargo's target folder; CARRY_CHROMIUM: the browser (see run.sh)
import { after, before } from "node:test";
import { World } from "./world.mjs";
import access from "./access.mjs";
import arithmetic from "./arithmetic.mjs";
import hostile from "./hostile.mjs";
import report from "./report.mjs";
import views from "./views.mjs";

const world = new World();
before(() => world.start());
after(() => world.end());
for (const tests of [arithmetic, views, access, hostile, report]) tests(world);
