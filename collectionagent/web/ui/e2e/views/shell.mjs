// SPDX-License-Identifier: Apache-2.0
// Drives the frame of the page as a person would: selector, time, timeline, comparison, pages,
// files, links, and all of it by keyboard.
//   STROBE_URL=http://127.0.0.1:7070/ STROBE_SHOTS=dir [STROBE_FROM=ms STROBE_TO=ms] node e2e/views/shell.mjs
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { launch } from "../browser.mjs";

const url = process.env.STROBE_URL ?? "http://127.0.0.1:7070/";
const shots = process.env.STROBE_SHOTS ?? "shots";
const range = process.env.STROBE_FROM ? `from=${process.env.STROBE_FROM}&to=${process.env.STROBE_TO ?? Date.now()}` : "from=now-15m";
mkdirSync(shots, { recursive: true });

const browser = await launch();
const problems = [];
let expected = /^$/; // what the browser may log at the moment: requests that are refused on purpose

async function open(context, query = "") {
  const page = await context.newPage();
  page.on("pageerror", (e) => problems.push(`error in the page: ${e}`));
  page.on("console", (m) => m.type() === "error" && !expected.test(m.text()) && problems.push(`console: ${m.text()}`));
  page.on("request", (r) => !/^blob:/.test(r.url()) && !r.url().startsWith(new URL(url).origin) && problems.push(`request to another host: ${r.url()}`));
  await page.goto(`${url}?${range}${query}`);
  await ready(page);
  return page;
}
const ready = (page) => page.locator("main[data-ready=true]").waitFor();
const urlHas = (page, part) => page.waitForFunction((p) => decodeURIComponent(location.search.replaceAll("+", " ")).includes(p), part);
const urlLacks = (page, part) => page.waitForFunction((p) => !decodeURIComponent(location.search.replaceAll("+", " ")).includes(p), part);
const param = (page, name) => page.evaluate((n) => new URLSearchParams(location.search).get(n), name);
const shot = (page, name) => page.screenshot({ path: join(shots, `${name}.png`) });

try {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, colorScheme: "light", permissions: ["clipboard-read", "clipboard-write"] });
  const page = await open(context);
  const timeline = page.locator(".tl");
  assert.ok(Number(await timeline.getAttribute("data-series")) > 0, "the timeline has series");
  for (const fact of ["range", "samples", "source", "lost", "symbolized"]) await page.locator(`[data-fact=${fact}]`).waitFor();
  await shot(page, "shell-light");

  // The selector: label, operator and value by keyboard, each from a list.
  const selector = page.getByLabel("Selector");
  const option = page.getByRole("listbox", { name: "Completions" }).getByRole("option");
  await page.keyboard.press("a");
  await page.keyboard.type("servic");
  await option.filter({ hasText: "service" }).first().waitFor();
  await page.keyboard.press("Tab");
  await option.filter({ hasText: "is not" }).waitFor();
  await page.keyboard.press("Enter"); // =
  await option.filter({ hasText: "%" }).first().waitFor();
  const service = await option.locator(".sel-text").first().innerText();
  await shot(page, "shell-completion");
  await page.keyboard.press("Enter");
  await page.keyboard.press("Enter");
  await urlHas(page, `{service="${service}"}`);
  await page.keyboard.press("Escape");
  await page.keyboard.press("Escape");
  const chip = page.locator(".sel-chip");
  await chip.filter({ hasText: service }).waitFor();
  await ready(page);
  assert.equal(await timeline.getAttribute("data-series"), "1", "only what was chosen is left");

  // One click takes a condition away, "back" brings it back.
  await page.getByRole("button", { name: /^Remove service/ }).click();
  await urlLacks(page, "query=");
  await page.goBack();
  await urlHas(page, `{service="${service}"}`);
  // What is typed as soon as they are gone stays: a browser is not that fast, so the page presses and types itself.
  assert.equal(
    await page.evaluate(async () => {
      const input = document.querySelector("[aria-label=Selector]");
      document.querySelector("[aria-label='Remove all conditions']").click();
      await new Promise((resolve) => setTimeout(resolve)); // it is drawn, and not seen yet
      input.focus();
      input.value = "typed";
      input.dispatchEvent(new InputEvent("input", { bubbles: true }));
      for (let i = 0; i < 3; i++) await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve))); // what comes after a frame has come
      return input.value;
    }),
    "typed",
  );
  await urlLacks(page, "query=");

  // What was left out is mended: braces and quotes.
  await selector.fill(`service!=${service}`);
  await page.keyboard.press("Escape"); // the list
  await page.keyboard.press("Enter");
  await urlHas(page, `{service!="${service}"}`);
  await page.goBack();
  await urlLacks(page, "query=");

  // The picker: several values make a pattern.
  await page.getByRole("button", { name: "+ Filter" }).click();
  const values = page.getByRole("list", { name: "Values of service" }).locator("label");
  await values.first().waitFor();
  const several = (await values.count()) > 1;
  await values.nth(0).click();
  await urlHas(page, "{service=");
  if (several) {
    await values.nth(1).click();
    await urlHas(page, "{service=~");
  }
  await shot(page, "shell-filter");
  await page.getByRole("button", { name: "Clear", exact: true }).click();
  await urlLacks(page, "query=");
  await page.keyboard.press("Escape");
  assert.equal(await page.getByRole("button", { name: "+ Filter" }).evaluate((e) => e === document.activeElement), true, "the focus returns to the button");

  // Mistakes: what the page knows itself and what the server says, at their place.
  await ready(page);
  expected = /400/;
  for (const [text, at] of [["{service}", 8], ['{service=~"a("}', 10]]) {
    await selector.fill(text);
    await page.keyboard.press("Escape");
    await page.keyboard.press("Enter");
    await page.getByRole("alert").waitFor();
    const lines = (await page.getByRole("alert").innerText()).split("\n");
    assert.equal(lines[1].indexOf("^"), at, `the mistake is shown at its place: ${lines}`);
    assert.ok(await timeline.isVisible(), "what was shown stays");
  }
  await shot(page, "shell-mistake");
  await page.getByRole("button", { name: "Remove all conditions" }).click();
  await page.getByRole("alert").waitFor({ state: "detached" });
  await ready(page);

  // Time: a list, free text, and the way along.
  const whole = [await param(page, "from"), await param(page, "to")];
  await page.getByRole("button", { name: /^Time range/ }).click();
  await page.getByRole("button", { name: "Last 1 h", exact: true }).click();
  await urlHas(page, "from=now-1h");
  await page.getByRole("button", { name: /^Time range/ }).click();
  await page.getByRole("textbox", { name: "From", exact: true }).fill("soon");
  await page.getByRole("button", { name: "Apply" }).click();
  assert.match(await page.getByRole("dialog").getByRole("alert").innerText(), /From: expected a time/);
  await page.getByRole("textbox", { name: "From", exact: true }).fill("2h");
  await shot(page, "shell-time");
  await page.keyboard.press("Enter");
  await urlHas(page, "from=now-2h");
  await page.keyboard.press("[");
  await page.waitForFunction(() => /^\d+$/.test(new URLSearchParams(location.search).get("to") ?? ""));
  await page.keyboard.press("]");
  await urlHas(page, "from=now-2h");
  await page.keyboard.press("-");
  await urlHas(page, "from=now-1h");
  await page.goto(`${url}?${range}`);
  await ready(page);

  // The timeline: a drag narrows, "back" widens.
  const drag = async (from, to, modifier) => {
    const box = await timeline.boundingBox();
    if (modifier) await page.keyboard.down(modifier);
    await page.mouse.move(box.x + box.width * from, box.y + 40);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * ((from + to) / 2), box.y + 40);
    await page.mouse.move(box.x + box.width * to, box.y + 40);
    await page.mouse.up();
    if (modifier) await page.keyboard.up(modifier);
  };
  const span = async () => Number(await timeline.getAttribute("data-to")) - Number(await timeline.getAttribute("data-from"));
  const before = await span();
  await drag(0.5, 0.9);
  await page.waitForFunction(() => /^\d+$/.test(new URLSearchParams(location.search).get("from") ?? ""));
  await page.waitForFunction((b) => { const d = document.querySelector(".tl").dataset; return d.to - d.from < b * 0.6; }, before);
  const narrowed = await param(page, "from");

  // A second drag compares; both ranges are to be seen.
  await page.getByRole("button", { name: "Compare", exact: true }).click();
  await page.waitForFunction(() => { const d = document.querySelector(".tl").dataset; return d.choosing === "true" && new URLSearchParams(location.search).get("from") - d.from > 1000; });
  await drag(0.05, 0.3);
  await urlHas(page, "view=diff");
  assert.equal(await param(page, "from"), narrowed, "the selection stays");
  assert.ok(Number(await param(page, "bfrom")) < Number(await param(page, "bto")), "the base is a range");
  await page.locator(".tl-band.tl-base").waitFor();
  await page.locator(".tl-band.tl-selection").waitFor();
  await ready(page);
  await shot(page, "shell-compare");
  await page.goBack();
  await urlLacks(page, "view=diff");
  await drag(0.1, 0.4, "Shift"); // at once
  await urlHas(page, "view=diff");
  await page.goto(`${url}?${range}`);
  await ready(page);

  // The same by keyboard.
  await timeline.focus();
  await page.keyboard.press("End");
  for (let i = 0; i < 3; i++) await page.keyboard.press("ArrowLeft");
  for (let i = 0; i < 8; i++) await page.keyboard.press("Shift+ArrowLeft");
  await page.locator(".tl-drag").waitFor();
  assert.match(await page.locator("[role=status][aria-live]").first().innerText(), /9 steps/, "what is selected is said");
  await page.keyboard.press("Enter");
  await page.waitForFunction((w) => new URLSearchParams(location.search).get("from") !== w, whole[0]);
  await page.goBack();
  await ready(page);

  // The legend filters.
  const name = (await page.locator(".tl-legend button").first().innerText()).trim();
  await page.locator(".tl-legend").getByRole("button", { name, exact: true }).click();
  await urlHas(page, `="${name === "(none)" ? "" : name}"`);
  await page.goBack();
  await page.getByLabel("Timeline by", { exact: true }).selectOption("host");
  await urlHas(page, "by=host");

  // Views and pages by their keys, and back.
  await page.keyboard.press("t");
  await urlHas(page, "view=table");
  await page.goBack();
  await urlLacks(page, "view=table");
  for (const [key, where] of [["2", "hosts"], ["3", "executables"], ["4", "events"], ["5", "status"]]) {
    await page.keyboard.press(key);
    await urlHas(page, `page=${where}`);
    await page.locator("nav a[aria-current=page]").filter({ hasText: new RegExp(where, "i") }).waitFor();
  }
  await page.keyboard.press("e");
  await urlLacks(page, "page=");
  await ready(page);

  // Keys are listed by what they are about.
  await page.keyboard.press("?");
  const help = page.getByRole("dialog", { name: "Keys" });
  for (const heading of ["Page", "Views", "Selection", "Time"]) await help.getByRole("heading", { name: heading, exact: true }).waitFor();
  await shot(page, "shell-keys");
  await page.keyboard.press("Escape");
  await help.waitFor({ state: "detached" });

  // Dark, and still dark the next time.
  await page.keyboard.press("d");
  await page.waitForFunction(() => document.documentElement.dataset.theme === "dark");
  await page.reload();
  await ready(page);
  assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), "dark");
  await shot(page, "shell-dark");

  // Links: as it is, and with the times of now.
  await page.goto(`${url}?from=now-5m`);
  await ready(page);
  await page.keyboard.press("y");
  await page.getByText("Copied ✓").waitFor();
  assert.match(await page.evaluate(() => navigator.clipboard.readText()), /from=now-5m/);
  await page.getByRole("button", { name: /Copied|Copy link/ }).click();
  await page.getByRole("menuitem", { name: "With these very times" }).click();
  await page.waitForFunction(async () => /from=\d+&to=\d+/.test(await navigator.clipboard.readText()));

  // The panel at the side: as wide as one likes, closed by a key.
  await page.goto(`${url}?${range}&fn=main`);
  await ready(page);
  const handle = page.getByRole("separator", { name: "Width of the panel" });
  const wide = Number(await handle.getAttribute("aria-valuenow"));
  await handle.focus();
  await page.keyboard.press("ArrowLeft");
  await page.waitForFunction((w) => document.querySelector(".side-handle").ariaValueNow > w, wide);
  await page.keyboard.press("v");
  await handle.waitFor({ state: "detached" });
  await page.getByRole("button", { name: "Details" }).click();
  await handle.waitFor();

  // Small nodes that the server left out can be had.
  await page.goto(`${url}?${range}&nodes=5`);
  await ready(page);
  await page.locator("[data-fact=hidden]").getByRole("button", { name: "show more" }).click();
  await urlHas(page, "nodes=200000");

  // A server that is gone does not take away what is shown.
  await page.goto(`${url}?${range}`);
  await ready(page);
  expected = /ERR_FAILED|ERR_CONNECTION/;
  await page.route("**/api/v1/**", (r) => r.abort());
  await page.keyboard.press("r");
  await page.getByRole("alert").filter({ hasText: "cannot be reached" }).waitFor();
  assert.ok(await timeline.isVisible(), "the old answer stays");
  await page.unroute("**/api/v1/**");
  await page.getByRole("button", { name: "Try again" }).click();
  await page.getByRole("alert").waitFor({ state: "detached" });
  expected = /^$/;

  // A file that is none says so.
  await page.getByLabel("Profile to open").setInputFiles({ name: "holiday.bin", mimeType: "application/octet-stream", buffer: Buffer.from([0, 1, 2, 255, 254, 7]) });
  await page.getByRole("alert").filter({ hasText: "holiday.bin" }).waitFor();
  await page.getByRole("button", { name: "Close", exact: true }).click();
  // One that was opened in another life of the tab leads back.
  await page.goto(`${url}?file=7`);
  await page.getByText("no longer has the file").waitFor();
  await page.getByRole("button", { name: "Back to live" }).click();
  await urlLacks(page, "file=");
  await ready(page);

  // Nothing found: what to do about it.
  await page.goto(`${url}?${range}&query=${encodeURIComponent('{service="there is none of it"}')}`);
  await page.locator("[data-empty]").waitFor();
  await shot(page, "shell-empty");
  await page.getByRole("button", { name: "Clear the selector" }).click();
  await timeline.waitFor();
  await page.close();

  // Refreshing: every 5 seconds, not when paused, not when nobody looks.
  const live = await context.newPage();
  await live.clock.install();
  let asked = 0;
  live.on("request", (r) => r.url().includes("/flamegraph") && asked++);
  await live.goto(`${url}?from=now-5m`);
  await ready(live);
  assert.equal(asked, 1);
  await live.clock.fastForward(5100);
  await live.locator("main:not([data-generation='1'])").waitFor();
  assert.equal(asked, 2, "a range that ends now is asked for again");
  await live.keyboard.press("p");
  await live.getByRole("button", { name: "Paused" }).waitFor();
  const generation = await live.locator("main").getAttribute("data-generation");
  await live.clock.fastForward(60000);
  await live.locator(`main[data-generation="${generation}"]`).waitFor();
  const paused = asked;
  await live.evaluate(() => {
    Object.defineProperty(document, "hidden", { configurable: true, get: () => window.unseen });
    window.unseen = true;
  });
  await live.keyboard.press("p");
  await live.getByRole("button", { name: "Live", exact: true }).waitFor();
  await live.clock.fastForward(60000);
  assert.equal(asked, paused, "neither when paused nor when hidden");
  await live.evaluate(() => {
    window.unseen = false;
    document.dispatchEvent(new Event("visibilitychange"));
  });
  await live.waitForFunction((g) => document.querySelector("main").dataset.generation > g, Number(generation));
  await live.close();

  // An older answer that comes late does not replace a newer one.
  const late = await open(context);
  let release;
  const held = new Promise((done) => (release = done));
  await late.route(/flamegraph.*off_cpu/, async (r) => {
    await held;
    await r.continue().catch(() => {}); // given up by now
  });
  await late.goto(`${url}?${range}`);
  await ready(late);
  await late.evaluate(() => history.pushState(null, "", `${location.search}&type=off_cpu`));
  await late.evaluate(() => dispatchEvent(new PopStateEvent("popstate")));
  await late.locator("main[aria-busy=true]").waitFor();
  assert.ok(await late.locator(".tl").isVisible(), "the old answer stays while a new one is on its way");
  await late.goBack();
  await ready(late);
  release();
  await late.locator("[data-fact=samples]").filter({ hasText: "CPU time" }).waitFor();
  assert.equal(await late.getByLabel("Type", { exact: true }).inputValue(), "on_cpu");
  await late.close();

  // Tab reaches all of it.
  const keyboard = await open(context, "&query=%7Bcomm%21%3D%22x%22%7D");
  const reached = new Set();
  await keyboard.locator("body").click({ position: { x: 500, y: 5 } });
  for (let i = 0; i < 45; i++) {
    await keyboard.keyboard.press("Tab");
    reached.add(await keyboard.evaluate(() => {
      const e = document.activeElement;
      return e.getAttribute("aria-label") ?? (e.getAttribute("role") === "tab" ? "tab" : e.textContent.trim().slice(0, 30));
    }));
  }
  for (const what of ["Hosts", "Open file…", "Copy link", "Type", 'Remove comm!="x"', "Selector", "Remove all conditions", "+ Filter", "Earlier", "Longer time range", "Refresh every", "Timeline by", "Compare", "tab"]) {
    assert.ok(reached.has(what), `Tab reaches “${what}”: ${[...reached].join(" | ")}`);
  }
  await keyboard.close();

  const phone = await browser.newContext({ viewport: { width: 390, height: 844 }, colorScheme: "light", hasTouch: true });
  const small = await open(phone, "&query=%7Bcomm%21%3D%22x%22%7D");
  assert.ok(await small.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth), "nothing is wider than a phone");
  await shot(small, "shell-phone");
  await small.getByRole("button", { name: /^Time range/ }).tap();
  assert.ok(await small.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth), "nor is the choice of a time");
  await shot(small, "shell-phone-time");
} finally {
  await browser.close();
}
assert.deepEqual(problems, [], "nothing went wrong in the page");
console.log(`the frame of the page: ok; pictures are in ${shots}`);
