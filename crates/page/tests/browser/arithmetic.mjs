// The page computes what the program computes: outputs, digits, gradients, a whole training.
import assert from "node:assert/strict";
import { test } from "node:test";
import { generator, trace } from "./world.mjs";

/** Of a single output: a few roundings in the last place of an f32 near 1. */
const OUTPUT = 2e-6;
const GRADIENT = 1e-5;
const ERROR = 1e-4;
/** More cases, for who has time. */
const TIMES = Number(process.env.CARRY_TIMES ?? 1);

/** Numbers of at most so many bits, all lengths alike. */
function numbers(random, most) {
  const bits = 1 + Math.floor(random() * most);
  let number = 0n;
  for (let n = 0; n < bits; n++) number = 2n * number + BigInt(random() < 0.5 ? 0 : 1);
  return number;
}

export default function (world) {
  for (const [name, seed] of [["lab", 1], ["biased", 2], ["proved", 3]]) {
    test(`${name}: the outputs of 200 pairs are the program's within 2e-6, and every digit`, async () => {
      const random = generator(seed);
      const most = 2n ** 64n - 1n;
      const pairs = [[0n, 0n], [most, 1n], [most, most], [0n, 1n]];
      while (pairs.length < 200 * TIMES) pairs.push([numbers(random, 64), numbers(random, 64)]);
      const { run, file } = world.page(name);
      const expected = await world.sums(run, pairs);
      await world.open(file, async (page) => {
        const found = await page.evaluate(
          (pairs) =>
            pairs.map(([a, b]) => {
              const steps = carry.adder.run(carry.app.trained, BigInt(a), BigInt(b));
              const said = carry.adder.spell(steps).toString();
              return { outputs: steps.map(({ output }) => output), said };
            }),
          pairs.map((pair) => pair.map(String)),
        );
        let largest = 0;
        found.forEach(({ outputs, said }, n) => {
          const sum = `${pairs[n].join(" + ")} of ${name}`;
          assert.equal(said, expected[n].sum, sum);
          assert.equal(outputs.length, expected[n].outputs.length, sum);
          outputs.forEach((output, t) => {
            const distance = Math.abs(output - expected[n].outputs[t]);
            largest = Math.max(largest, distance);
            assert.ok(distance <= OUTPUT, `${sum}, step ${t}: ${output} and ${expected[n].outputs[t]}`);
          });
        });
        assert.ok(largest > 0, "two programs that round differently agree in every bit?");
      });
    });
  }

  test("what is read off the page is what the program says", async () => {
    const { run, file } = world.page("lab");
    const pairs = [[77n, 22n], [255n, 1n], [123456789n, 987654321n]];
    const expected = await world.sums(run, pairs);
    await world.open(file, async (page) => {
      for (const [n, [a, b]] of pairs.entries()) {
        await page.locator("[data-test=a]").fill(String(a));
        await page.locator("[data-test=b]").fill(String(b));
        const { outputs, sum } = expected[n];
        const shown = await page.locator("[data-test=sum]").textContent();
        assert.equal(shown.replaceAll(",", ""), sum);
        for (const [t, output] of outputs.entries()) {
          const value = await page.locator(`[data-test=output-${t}]`).getAttribute("data-value");
          assert.ok(Math.abs(Number(value) - output) <= OUTPUT, `${a} + ${b}, step ${t}: ${value}`);
          const digit = await page.locator(`[data-test=digit-${t}]`).textContent();
          assert.equal(Number(digit), output > 0.5 ? 1 : 0);
        }
      }
    });
  });

  for (const [name, bits] of [["lab", 8], ["biased", 12]]) {
    test(`${name}: the sums of updates are minus the gradients of \`model\`, within 1e-5`, async () => {
      const random = generator(bits);
      const pairs = Array.from({ length: 50 * TIMES }, () => [numbers(random, bits - 1), numbers(random, bits - 1)]);
      const { run, file } = world.page(name);
      const expected = world.gradients(run, pairs);
      await world.open(file, async (page) => {
        const found = await page.evaluate(
          ({ pairs, bits }) =>
            pairs.map(([a, b]) => {
              const { updates } = carry.app.trained.gradients(BigInt(a), BigInt(b), bits);
              return Object.fromEntries(
                Object.entries(updates).map(([name, values]) => [name, [...values]]));
            }),
          { pairs: pairs.map((pair) => pair.map(String)), bits },
        );
        let sum = 0;
        expected.forEach((tensors, n) => {
          assert.deepEqual(Object.keys(found[n]).sort(), Object.keys(tensors).sort());
          for (const [tensor, values] of Object.entries(tensors)) {
            assert.equal(found[n][tensor].length, values.length);
            values.forEach((value, at) => {
              const page = found[n][tensor][at];
              assert.ok(Math.abs(page - value) <= GRADIENT, `${tensor}[${at}]: ${page} and ${value}`);
              sum += Math.abs(value);
            });
          }
        });
        assert.ok(sum > 0.1, "gradients of nothing");
      });
    });
  }

  test("a training from a recorded trace stays within 1e-4 of its 10,000 errors", async () => {
    const recorded = trace();
    const { file } = world.page("lab");
    await world.open(file, async (page) => {
      const { errors, w_out } = await page.evaluate(async (trace) => {
        const { errors, tensors } = await carry.replay(trace);
        return { errors, w_out: [...tensors["head.weight"]] };
      }, recorded);
      assert.equal(errors.length, 10_000);
      errors.forEach((error, n) => {
        const expected = recorded.errors[n];
        assert.ok(Math.abs(error - expected) <= ERROR, `example ${n}: ${error} and ${expected}`);
      });
      w_out.forEach((weight, n) => assert.ok(Math.abs(weight - recorded.final.w_out[n].valueOf()) <= ERROR));
    });
  });

  test("a recorded error that is not the training's is noticed", async () => {
    const recorded = trace();
    recorded.pairs = recorded.pairs.slice(0, 50).map(([a, b]) => [b, a ^ 1]);
    const { file } = world.page("lab");
    await world.open(file, async (page) => {
      const { errors } = await page.evaluate((trace) => carry.replay(trace), recorded);
      assert.ok(errors.some((error, n) => Math.abs(error - recorded.errors[n]) > ERROR));
    });
  });
}
