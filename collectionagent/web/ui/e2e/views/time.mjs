// SPDX-License-Identifier: Apache-2.0
// Drives the views of time, the heatmap and the tracks, on a running server.
//   STROBE_URL=http://127.0.0.1:7070/ STROBE_SHOTS=dir [STROBE_FROM=ms STROBE_TO=ms] node e2e/views/time.mjs
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { launch, settled } from "../browser.mjs";

const url = process.env.STROBE_URL ?? "http://127.0.0.1:7070/";
const shots = process.env.STROBE_SHOTS ?? "shots";
const range = process.env.STROBE_FROM ? { from: process.env.STROBE_FROM, to: process.env.STROBE_TO } : { from: "now-5m", to: "now" };
mkdirSync(shots, { recursive: true });

const browser = await launch();
const problems = [];
const open = async (more, { scheme = "light", width = 1440, height = 900 } = {}) => {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: scheme });
  const page = await context.newPage();
  page.on("pageerror", (e) => problems.push(`error in the page: ${e}`));
  page.on("console", (m) => m.type() === "error" && problems.push(`console: ${m.text()}`));
  page.on("request", (r) => !r.url().startsWith(new URL(url).origin) && problems.push(`request to another host: ${r.url()}`));
  await page.goto(`${url}?${new URLSearchParams({ ...range, refresh: "0", ...more })}`);
  return page;
};
const answered = (page, view) => page.waitForFunction((v) => Number(document.querySelector(`[data-view="${v}"]`)?.dataset.total) > 0 && document.querySelector(`[data-view="${v}"]`).dataset.waiting === "false", view);
// Of the page itself: page.url() hears of a change a moment later.
const parameter = (page, name) => page.evaluate((n) => new URLSearchParams(location.search).get(n), name);

try {
  // The heatmap: a brush over cells shows what ran then, below.
  let page = await open({ view: "heatmap" });
  await answered(page, "heatmap");
  const heat = page.locator('[data-view="heatmap"]');
  assert.ok(Number(await heat.getAttribute("data-columns")) > 1, "there are columns");
  const plot = page.locator(".heat-plot");
  const box = await plot.locator("canvas").boundingBox();
  await page.mouse.move(box.x + box.width * 0.75, box.y + 40);
  await page.locator(".tooltip").waitFor();
  await page.mouse.move(box.x + box.width * 0.4, box.y + box.height * 0.7);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.95, box.y + box.height * 0.3, { steps: 5 });
  await page.mouse.up();
  const from = Number(await plot.getAttribute("data-from"));
  const to = Number(await plot.getAttribute("data-to"));
  assert.ok(to > from, "a time is selected");
  await page.waitForFunction(() => Number(document.querySelector(".subset")?.dataset.nodes) > 1);
  await settled(page);
  await page.screenshot({ path: join(shots, "heatmap-light.png") });
  // By keyboard: the arrows move, Shift selects, Enter narrows to what is selected and shows its flame graph.
  await page.getByRole("button", { name: "Close", exact: true }).click();
  await plot.focus();
  await page.keyboard.press("End");
  const [last] = (await plot.getAttribute("data-cursor")).split(",");
  await page.keyboard.press("PageUp");
  assert.match(await plot.getAttribute("data-cursor"), /\d\d:\d\d:\d\d/, "the cell is said with its time");
  assert.notEqual((await plot.getAttribute("data-cursor")).split(",")[0], last, "Page Up goes back in time");
  // To a cell that has samples: nothing ran in some columns.
  const columns = Number(await heat.getAttribute("data-columns"));
  for (let i = 0; i < columns && /nothing/.test(await plot.getAttribute("data-cursor")); i++) await page.keyboard.press("ArrowLeft");
  assert.doesNotMatch(await plot.getAttribute("data-cursor"), /nothing/, "some cell of the lowest row has samples");
  for (let i = 0; i < 8; i++) await page.keyboard.press("Shift+ArrowLeft");
  await page.keyboard.press("Shift+ArrowUp");
  const wanted = { from: await plot.getAttribute("data-from"), to: await plot.getAttribute("data-to") };
  assert.ok(wanted.from, "Shift selects");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.querySelector('[data-view="flame"]'));
  assert.equal(await parameter(page, "from"), wanted.from, "Enter narrows the time");
  assert.equal(await parameter(page, "to"), wanted.to);
  await page.goBack();
  await answered(page, "heatmap");
  // The size of samples.
  await page.getByRole("button", { name: "Size of a sample" }).click();
  await page.waitForFunction(() => document.querySelector('[data-view="heatmap"]').dataset.by === "value");
  await answered(page, "heatmap");
  assert.equal(await parameter(page, "heat"), "value");
  await page.context().close();
  page = await open({ view: "heatmap" }, { scheme: "dark" });
  await answered(page, "heatmap");
  await settled(page);
  await page.screenshot({ path: join(shots, "heatmap-dark.png") });
  await page.context().close();

  // Tracks: a click opens the stacks of a thread, which can be zoomed and narrowed to.
  page = await open({ view: "tracks" });
  await answered(page, "tracks");
  const tracks = page.locator('[data-view="tracks"]');
  const count = Number(await tracks.getAttribute("data-tracks"));
  assert.ok(count >= 1, "there are tracks");
  assert.equal(await page.locator(".tracks-name").count(), count, "each has a name");
  await page.locator(".tracks-name").first().click();
  const chart = page.locator(".tracks-chart");
  await page.waitForFunction(() => Number(document.querySelector(".tracks-chart")?.dataset.boxes) > 0);
  assert.ok(await parameter(page, "track"), "the track is in the URL");
  const before = Number(await chart.getAttribute("data-to")) - Number(await chart.getAttribute("data-from"));
  const area = await chart.locator("canvas").boundingBox();
  await page.mouse.move(area.x + area.width / 2, area.y + 40);
  await page.keyboard.down("Control");
  for (let i = 0; i < 3; i++) await page.mouse.wheel(0, -120);
  await page.keyboard.up("Control");
  await page.waitForFunction((b) => Number(document.querySelector(".tracks-chart").dataset.to) - Number(document.querySelector(".tracks-chart").dataset.from) < b / 2, before);
  await page.getByRole("button", { name: "Whole range" }).click();
  // By keyboard: down to a call and into it.
  await chart.focus();
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("ArrowDown");
  assert.ok(await chart.getAttribute("data-focus"), "a call has the focus");
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: "Whole range" }).waitFor();
  await page.keyboard.press("Escape");
  await page.mouse.move(area.x + area.width / 3, area.y + 30);
  await settled(page);
  await page.screenshot({ path: join(shots, "tracks-light.png") });
  // A drag over the bars selects time; narrowing to it is one step that goes back.
  const bars = await page.locator(".tracks-bars canvas").boundingBox();
  await page.mouse.move(bars.x + bars.width * 0.3, bars.y + 30);
  await page.mouse.down();
  await page.mouse.move(bars.x + bars.width * 0.6, bars.y + 30, { steps: 4 });
  await page.mouse.up();
  await page.getByRole("button", { name: "Narrow to it" }).click();
  assert.match(await parameter(page, "from"), /^\d{13}$/, "the time is narrowed");
  await page.goBack();
  await answered(page, "tracks");
  await page.getByRole("button", { name: "Only this thread" }).click();
  assert.match(await parameter(page, "query"), /tid="\d+"/, "the selector has the thread");
  await page.waitForFunction(() => document.querySelector('[data-view="tracks"]').dataset.tracks === "1");
  await page.goBack();
  await answered(page, "tracks");
  // Tracks by keyboard alone.
  await page.locator(".tracks-list").focus();
  await page.keyboard.press("Home");
  await page.keyboard.press("Enter");
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("Shift+ArrowRight");
  await page.getByRole("button", { name: "Narrow to it" }).waitFor();
  await page.keyboard.press("Escape");
  // Samples without a CPU say how to get it.
  await page.getByLabel("Tracks by").selectOption("cpu");
  await page.waitForFunction(() => document.querySelector('[data-view="tracks"]').dataset.by === "cpu");
  await answered(page, "tracks");
  const cpus = await page.locator(".tracks-name b").allInnerTexts();
  if (cpus.length) assert.match(cpus[0], /^CPU \d+|\(no CPU\)/, "CPUs have numbers");
  else assert.match(await tracks.innerText(), /-label-cpus/, "the page says how to get CPUs");
  await page.context().close();
  page = await open({ view: "tracks" }, { scheme: "dark" });
  await answered(page, "tracks");
  await page.locator(".tracks-name").first().click();
  await page.waitForFunction(() => Number(document.querySelector(".tracks-chart")?.dataset.boxes) > 0);
  await settled(page);
  await page.screenshot({ path: join(shots, "tracks-dark.png") });
  await page.context().close();

  for (const view of ["heatmap", "tracks"]) {
    page = await open({ view }, { width: 390, height: 844 });
    await answered(page, view);
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth), `the ${view} is not wider than a phone`);
    await page.screenshot({ path: join(shots, `${view}-phone.png`), fullPage: true });
    await page.context().close();
  }
} finally {
  await browser.close();
}
assert.deepEqual(problems, [], "nothing went wrong in the page");
console.log(`heatmap and tracks work; pictures are in ${shots}`);
