// SPDX-License-Identifier: Apache-2.0
// Drives comparisons on a running server.
//   STROBE_URL=http://127.0.0.1:7070/ STROBE_SHOTS=dir [STROBE_FROM=ms STROBE_TO=ms] node e2e/views/compare.mjs
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { launch, settled } from "../browser.mjs";

const url = process.env.STROBE_URL ?? "http://127.0.0.1:7070/";
const shots = process.env.STROBE_SHOTS ?? "shots";
// The second half of what was recorded is compared with the first.
const end = process.env.STROBE_TO ? Number(process.env.STROBE_TO) : Date.now();
const start = process.env.STROBE_FROM ? Number(process.env.STROBE_FROM) : end - 300e3;
const range = { from: String(Math.round((start + end) / 2)), to: String(end) };
mkdirSync(shots, { recursive: true });

const browser = await launch();
const problems = [];
const open = async (more, { scheme = "light", width = 1440, height = 900 } = {}) => {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: scheme });
  const page = await context.newPage();
  page.on("pageerror", (e) => problems.push(`error in the page: ${e}`));
  page.on("console", (m) => m.type() === "error" && problems.push(`console: ${m.text()}`));
  page.on("request", (r) => !r.url().startsWith(new URL(url).origin) && problems.push(`request to another host: ${r.url()}`));
  await page.goto(`${url}?${new URLSearchParams({ view: "diff", ...range, refresh: "0", ...more })}`);
  return page;
};
const compared = (page) => page.waitForFunction(() => Number(document.querySelector('[data-view="diff"]')?.dataset.total) >= 0 && document.querySelector('[data-view="diff"]').dataset.total !== "" && document.querySelector('[data-view="diff"]').dataset.waiting === "false");
// Of the page itself: page.url() hears of a change a moment later.
const parameter = (page, name) => page.evaluate((n) => new URLSearchParams(location.search).get(n), name);

try {
  let page = await open({});
  await compared(page);
  const facts = (name) =>
    page
      .locator('[data-view="diff"]')
      .getByRole("region", { name, exact: true })
      .evaluate((e) => ({ total: Number(e.dataset.total), from: Number(e.dataset.from), to: Number(e.dataset.to) }));
  const now = await facts("Selection");
  const base = await facts("Base");
  assert.equal(base.to, now.from, "the base is the time right before");
  assert.equal(base.to - base.from, now.to - now.from, "and as long");
  assert.ok(now.total > 0 && base.total > 0, "both sides have samples");
  assert.match(await page.locator(".diff-summary").innerText(), /^Total /, "the summary says what happened to the total");
  assert.match(await page.locator(".diff-legend").innerText(), /less.*same.*more/s, "the colours are explained");
  const changes = await page.locator('.diff-table tbody tr .diff-change span').allInnerTexts();
  assert.ok(changes.length > 1, "functions are listed");
  const firstLess = changes.findIndex((t) => t.startsWith("−"));
  const lastMore = changes.findLastIndex((t) => t.startsWith("+"));
  assert.ok(firstLess < 0 || lastMore < firstLess, "what got worse is above what got better");
  await settled(page);
  await page.screenshot({ path: join(shots, "diff-light.png") });

  // Swapping exchanges the sides exactly, and twice is the same again.
  await page.getByRole("button", { name: "⇄ Swap" }).click();
  await page.waitForFunction((t) => document.querySelector('[data-view="diff"] [aria-label="Base"]').dataset.total === String(t), now.total);
  assert.equal((await facts("Selection")).total, base.total, "the base is the selection now");
  await page.getByRole("button", { name: "⇄ Swap" }).click();
  await page.waitForFunction((t) => document.querySelector('[data-view="diff"] [aria-label="Selection"]').dataset.total === String(t), now.total);

  // The same total.
  await page.getByLabel("same total").check();
  await page.waitForFunction(() => document.querySelector('[data-view="diff"]').dataset.total === String(Math.round(Number(document.querySelector('[data-view="diff"]').dataset.base))));
  assert.equal(await parameter(page, "norm"), "1");
  await page.getByLabel("same total").uncheck();

  // Arrangements, a function, the search, and the zoom of the graph.
  await page.getByRole("button", { name: "Table", exact: true }).last().click();
  await page.waitForFunction(() => document.querySelector('[data-view="diff"]').dataset.arrangement === "table");
  const name = await page.locator(".diff-table tbody td.name button").first().innerText();
  await page.locator(".diff-table tbody td.name button").first().focus();
  await page.keyboard.press("Enter");
  assert.equal(await parameter(page, "fn"), name, "Enter chooses the function");
  await page.keyboard.press("ArrowDown");
  assert.equal(await page.evaluate(() => document.activeElement.closest("tr").previousElementSibling !== null), true, "arrows move through the rows");
  await page.goBack();
  await page.getByRole("button", { name: "Side by side" }).click();
  await page.waitForFunction(() => document.querySelectorAll('.diff-one .flame').length === 2);
  await page.waitForFunction(() => [...document.querySelectorAll(".diff-one .flame")].every((f) => Number(f.dataset.nodes) > 1));
  await settled(page);
  await page.screenshot({ path: join(shots, "diff-sides-light.png") });
  await page.getByRole("button", { name: "Both", exact: true }).last().click();
  await page.locator(".diff .flame").focus();
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => location.search.includes("zoom="));

  // Two values of a label: the same time on both sides.
  const services = await page.evaluate(async ({ from, to }) => (await (await fetch(`api/v1/labels/comm/values?from=${from}&to=${to}`)).json()).values.length, range);
  if (services > 1) {
    await page.getByRole("button", { name: "Two values…" }).click();
    await page.locator(".diff-values").getByLabel("Label").selectOption("comm");
    await page.locator(".diff-values button[type=submit]:enabled").click();
    await page.waitForFunction(() => location.search.includes("bquery="));
    await compared(page);
    assert.match(await parameter(page, "query"), /comm="/);
    const a = await facts("Selection");
    const b = await facts("Base");
    assert.deepEqual([a.from, a.to], [b.from, b.to], "both sides are of the same time");
  }
  // An hour earlier there may be nothing: the page says so and goes on.
  await page.locator(".diff-base-choice").selectOption("hour");
  await page.waitForFunction((from) => new URL(location.href).searchParams.get("bfrom") === String(Number(from) - 3600e3), range.from);
  await compared(page);
  await page.context().close();

  // A file as the base: the profile of the same time, as pprof, has not changed.
  page = await open({});
  await compared(page);
  const same = Buffer.from(await page.evaluate(async ({ from, to }) => [...new Uint8Array(await (await fetch(`api/v1/pprof?from=${from}&to=${to}`)).arrayBuffer())], range));
  await page.locator(".diff-file input").setInputFiles({ name: "same.pb.gz", mimeType: "application/octet-stream", buffer: same });
  await page.waitForFunction(() => document.querySelector('[data-view="diff"] [aria-label="Base"]')?.textContent.includes("same.pb.gz"));
  const [ofFile, ofLive] = [(await facts("Base")).total, (await facts("Selection")).total];
  assert.equal(ofFile, ofLive, "the file has what the server has");
  assert.match(await page.locator(".diff-summary").innerText(), /did not change/);
  await page.getByRole("button", { name: "⇄ Swap" }).click();
  await page.waitForFunction(() => document.querySelector('[data-view="diff"] [aria-label="Selection"]')?.textContent.includes("same.pb.gz"));
  await page.waitForFunction((t) => document.querySelector('[data-view="diff"] [aria-label="Base"]')?.dataset.total === String(t), ofLive);
  await page.context().close();

  page = await open({}, { scheme: "dark" });
  await compared(page);
  await settled(page);
  await page.screenshot({ path: join(shots, "diff-dark.png") });
  await page.context().close();
  page = await open({}, { width: 390, height: 844 });
  await compared(page);
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth), "nothing is wider than a phone");
  await page.screenshot({ path: join(shots, "diff-phone.png"), fullPage: true });
} finally {
  await browser.close();
}
assert.deepEqual(problems, [], "nothing went wrong in the page");
console.log(`comparisons work; pictures are in ${shots}`);
