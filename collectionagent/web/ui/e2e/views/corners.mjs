// SPDX-License-Identifier: Apache-2.0
// Drives what is easily wrong: namesakes, inversion, a slow profile, a phone with a link to a function, a file against live data.
//   STROBE_URL=http://127.0.0.1:7070/ STROBE_SHOTS=dir [STROBE_FROM=ms STROBE_TO=ms] node e2e/views/corners.mjs
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { launch } from "../browser.mjs";

const url = process.env.STROBE_URL ?? "http://127.0.0.1:7070/";
const shots = process.env.STROBE_SHOTS ?? "shots";
const end = process.env.STROBE_TO ? Number(process.env.STROBE_TO) : Date.now();
const start = process.env.STROBE_FROM ? Number(process.env.STROBE_FROM) : end - 300e3;
mkdirSync(shots, { recursive: true });

const browser = await launch();
const problems = [];
const open = async (more, { width = 1440, height = 900, before } = {}) => {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: "light" });
  const page = await context.newPage();
  page.on("pageerror", (e) => problems.push(`error in the page: ${e}`));
  page.on("console", (m) => m.type() === "error" && problems.push(`console: ${m.text()}`));
  page.on("request", (r) => !r.url().startsWith(new URL(url).origin) && !r.url().startsWith("blob:") && problems.push(`request to another host: ${r.url()}`));
  await before?.(page);
  await page.goto(`${url}?${new URLSearchParams({ from: start, to: end, refresh: "0", ...more })}`);
  return page;
};
const ready = (page) => page.locator("main[data-ready=true]").waitFor();
const values = (page) => page.locator("[data-view=table] [role=row][data-name]").evaluateAll((rows) => rows.map((r) => r.innerText.replace(/\s+/g, " ")));

try {
  // Going from match to match comes by every one, though programs share the names above them; a link leads there, too.
  let page = await open({ search: "main" });
  await ready(page);
  const count = Math.min(6, Number(await page.locator(".stackbar").getAttribute("data-matches")));
  assert.ok(count > 1, "there are matches to go to");
  for (let i = 1; i <= count; i++) {
    await page.getByRole("button", { name: "Next match" }).click();
    await page.waitForFunction((at) => document.querySelector(".stackbar output")?.textContent.includes(` ${at}/`), i);
  }
  const width = (p) => p.locator(".flame-bar").innerText();
  const other = await open({});
  await other.goto(page.url());
  await ready(other);
  await other.waitForFunction((at) => document.querySelector(".stackbar output")?.textContent.includes(` ${at}/`), count);
  assert.equal(await width(other), await width(page), "the link shows the same frame");
  await other.context().close();
  await page.context().close();

  // Inverting turns the graph, not the numbers.
  page = await open({ view: "table" });
  await ready(page);
  await page.locator("[data-view=table][data-exact='1'] [role=row][data-name]").first().waitFor();
  const before = await values(page);
  await page.getByRole("button", { name: "Invert", exact: true }).click();
  await page.waitForFunction(() => location.search.includes("invert=1"));
  assert.deepEqual(await values(page), before, "functions take as much as before");
  await page.context().close();

  // The timeline does not wait for a profile that takes long.
  let go = () => {};
  const held = new Promise((done) => (go = done));
  page = await open({}, { before: (p) => p.route(/api\/v1\/flamegraph/, async (r) => (await held, r.continue())) });
  await page.locator(".tl canvas").waitFor();
  assert.equal(await page.locator(".flame").count(), 0, "the profile is not there yet");
  go();
  await page.locator(".flame").waitFor();
  const name = await page.evaluate(async ([from, to]) => (await (await fetch(`api/v1/top?from=${from}&to=${to}&limit=1`)).json()).rows[0].name, [start, end]);
  await page.context().close();

  // A view about a function is not covered by the panel about it.
  for (const view of ["sandwich", "source"]) {
    page = await open({ view, fn: name }, { width: 390, height: 844 });
    await ready(page);
    await page.locator(`[data-view=${view}]`).waitFor();
    assert.equal(await page.locator("[data-view=panel]").count(), 0, `${view}: the panel waits`);
    await page.getByRole("button", { name: "Details", exact: true }).click();
    await page.locator("[data-view=panel]").waitFor();
    const inSight = await page.evaluate((v) => {
      const [list, tab] = [document.querySelector(".viewtabs"), document.getElementById(`tab-${v}`)].map((e) => e.getBoundingClientRect());
      return tab.left >= list.left - 1 && tab.right <= list.right + 1;
    }, view);
    assert.ok(inSight, `${view}: its tab is in sight`);
    await page.context().close();
  }
  // A file that is shown is compared with what the page shows without it.
  page = await open({ view: "diff" });
  await ready(page);
  const same = Buffer.from(await page.evaluate(async ([from, to]) => [...new Uint8Array(await (await fetch(`api/v1/pprof?from=${from}&to=${to}`)).arrayBuffer())], [start, end]));
  const chooser = page.waitForEvent("filechooser");
  await page.getByRole("button", { name: "Open file…" }).click();
  await (await chooser).setFiles({ name: "same.pb.gz", mimeType: "application/octet-stream", buffer: same });
  await page.waitForFunction(() => document.querySelector('[data-view="diff"] [aria-label="Selection"]')?.textContent.includes("same.pb.gz"));
  await page.waitForFunction(() => {
    const side = (name) => Number(document.querySelector(`[data-view="diff"] [aria-label="${name}"]`).dataset.total);
    return side("Base") > 0 && side("Base") === side("Selection");
  });
  await page.context().close();

  // What the timeline shows in a colour has it in the table of labels.
  page = await open({ view: "top" });
  await ready(page);
  await page.locator("[data-view=top] .top-spark svg").first().waitFor();
  const colours = await page.evaluate(() =>
    [...document.querySelectorAll(".tl-legend li")]
      .filter((li) => li.textContent !== "(other)")
      .map((li) => [li.querySelector("i").style.background, document.querySelector(`[data-view=top] [data-value="${CSS.escape(li.textContent)}"] .vl-dot`)?.style.background]),
  );
  assert.ok(colours.length > 0);
  for (const [above, below] of colours) assert.equal(below, above);
  await page.context().close();
} finally {
  await browser.close();
}
assert.deepEqual(problems, [], "nothing went wrong in the page");
console.log("corners are clean");
