// What the tests share: runs made by the program in a temporary folder, their pages, and a browser
// in which nothing may go wrong unseen.
//
// A page fails its test by a line in the console, an error, a violation of its policy, a dialog, or
// a request for anything but itself, a blob or data.
import assert from "node:assert/strict";
import { execFile, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

export const SCREENS = join(process.env.CARRY_TARGET, "page-screenshots");

/** Text that would be markup, code or the end of a block, were it not text. */
export const HOSTILE = `</script><img src=x onerror=alert(1)>"'&<!--<script>alert(2)</script>]]>{{data}}`;

export class World {
  #pages = new Map();

  async start() {
    this.folder = mkdtempSync(join(tmpdir(), "carry-page-"));
    mkdirSync(SCREENS, { recursive: true });
    // A fresh profile in a folder of its own, which goes with the browser.
    const executablePath = process.env.CARRY_CHROMIUM;
    this.browser = await chromium.launch({ executablePath, args: FLAGS });
  }

  async end() {
    await this.browser?.close();
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** Runs the program in the temporary folder; its standard output. */
  xtask(arguments_, { codes = [0] } = {}) {
    const program = join(process.env.CARRY_TARGET, "debug", "xtask");
    return this.#program(program, arguments_, codes);
  }

  /** Lines of JSON by `examples/gradients.rs`. */
  gradients(run, pairs) {
    const program = join(process.env.CARRY_TARGET, "debug", "examples", "gradients");
    const lines = this.#program(program, [run, ...pairs.flat().map(String)], [0]);
    return lines.trim().split("\n").map((line) => JSON.parse(line));
  }

  #program(program, arguments_, codes) {
    const { status, stdout, stderr, error } = spawnSync(program, arguments_, {
      cwd: this.folder,
      encoding: "utf8",
      maxBuffer: 1 << 26,
    });
    if (error) throw error;
    assert.ok(codes.includes(status), `${arguments_.join(" ")}: exit code ${status}\n${stderr}`);
    return stdout;
  }

  /** The objects of `cargo xtask add A B --json` for each pair, a few at a time. */
  async sums(run, pairs) {
    const program = join(process.env.CARRY_TARGET, "debug", "xtask");
    const results = new Array(pairs.length);
    let next = 0;
    const worker = async () => {
      while (next < pairs.length) {
        const at = next++;
        const [a, b] = pairs[at].map(String);
        results[at] = await new Promise((resolve, reject) => {
          const asked = ["add", a, b, "--run", run, "--json"];
          execFile(program, asked, { cwd: this.folder }, (error, stdout, stderr) => {
            // A wrong sum is exit code 1.
            if (error && error.code !== 1) reject(new Error(`${asked.join(" ")}: ${stderr}`));
            else resolve(JSON.parse(stdout));
          });
        });
      }
    };
    await Promise.all([worker(), worker(), worker()]);
    return results;
  }

  write(name, content) {
    writeFileSync(join(this.folder, name), content);
    return name;
  }

  /** The page of a run of this name, trained when it is first asked for. */
  page(name) {
    if (!this.#pages.has(name)) {
      const run = RUNS[name](this);
      const file = `${name}.html`;
      this.xtask(["page", run, "--out", file]);
      this.#pages.set(name, { run, file });
    }
    return this.#pages.get(name);
  }

  /** Opens a file of the temporary folder, runs `use`, and fails if anything went wrong. */
  async open(file, use, options = {}) {
    const { scheme = "light", width = 1280, height = 900, still = true, scripts = [], ...rest } = options;
    const context = await this.browser.newContext({
      colorScheme: scheme,
      viewport: { width, height },
      reducedMotion: still ? "reduce" : "no-preference",
      ...rest,
    });
    const faults = [];
    const address = pathToFileURL(join(this.folder, file)).href;
    try {
      const page = await context.newPage();
      page.on("console", (message) => faults.push(`console ${message.type()}: ${message.text()}`));
      page.on("pageerror", (error) => faults.push(`error: ${error.stack}`));
      page.on("dialog", (dialog) => {
        faults.push(`dialog: ${dialog.message()}`);
        dialog.dismiss();
      });
      page.on("request", (request) => {
        const asked = request.url();
        const isOwn = asked === address || asked.startsWith(`${address}#`);
        if (!isOwn && !/^(blob|data):/.test(asked)) faults.push(`request: ${asked}`);
      });
      page.on("popup", () => faults.push("a window was opened"));
      await page.addInitScript(() => {
        document.addEventListener("securitypolicyviolation", (event) =>
          console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`));
      });
      for (const content of scripts) await page.addInitScript({ content });
      await page.goto(address);
      await use(page);
      // What was begun may still fail.
      await new Promise((done) => setTimeout(done, 50));
    } finally {
      await context.close();
    }
    assert.deepEqual(faults, [], `${file}: what went wrong in the browser`);
  }
}

/** Pseudo-random numbers in [0, 1), the same in every test run (mulberry32). */
export function generator(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let word = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    word = (word + Math.imul(word ^ (word >>> 7), 61 | word)) ^ word;
    return ((word ^ (word >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Every run: what makes it, and its folder's name. */
const RUNS = {
  // The lab's, as it is.
  lab: (world) => train(world, "lab", []),
  // Few units with biases, which learn longer sums.
  biased: (world) =>
    train(world, "biased", ["--hidden", "5", "--bias", "--seed", "3", "--bits", "12", "--examples", "30000"]),
  // A network with a certificate.
  proved: (world) => {
    const run = train(world, "proved", ["--certifiable"]);
    world.xtask(["certify", "--run", run]);
    return run;
  },
  // Neither of the lab's kind nor of one layer.
  gru: (world) => train(world, "gru", ["--cell", "gru", "--layers", "2", "--hidden", "6"]),
  text: (world) => {
    const line = `He said "what {a} (fine) day" and left.\n<b>bold</b> & ${HOSTILE}\n`;
    const file = world.write("words.txt", line.repeat(120));
    return of(world, "text", ["text", file, "--hidden", "24", "--examples", "400"]);
  },
  series: (world) => {
    const name = `<b>"kW" & ${"</script>"}`;
    const quoted = `"${name.replaceAll('"', '""')}"`;
    const value = (hour) => (2 + Math.sin((hour * Math.PI) / 12) + 0.1 * Math.sin(hour * 1.7)).toFixed(4);
    const row = (hour) => `${new Date(Date.UTC(2024, 0, 1, hour)).toISOString().slice(0, 19)},${value(hour)}`;
    const rows = Array.from({ length: 900 }, (_, hour) => row(hour));
    const file = world.write("hours.csv", [`time,${quoted}`, ...rows, ""].join("\n"));
    const asked = ["series", file, "--target", name, "--horizon", "6", "--examples", "2000"];
    return of(world, "series", asked);
  },
  // A run whose name is markup.
  hostile: (world) => {
    const [above, name] = ["x<", `script><img src=x onerror=alert(1)>"'&{{data}}`];
    mkdirSync(join(world.folder, above), { recursive: true });
    return train(world, join(above, name), ["--hidden", "3", "--examples", "1000"]);
  },
};

function train(world, name, options) {
  world.xtask(["train", "--quiet", "--out", name, ...options]);
  return name;
}

function of(world, name, [task, file, ...options]) {
  world.xtask(["train", task, file, "--quiet", "--out", name, ...options]);
  return name;
}

/** A recorded training of the lab in float64. */
export function trace() {
  const path = new URL("../../../train/tests/fixtures/lab-seed-0.json", import.meta.url);
  return JSON.parse(readFileSync(path, "utf8"));
}
