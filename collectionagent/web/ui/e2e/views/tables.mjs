// SPDX-License-Identifier: Apache-2.0
// Drives the table, the call tree, the sandwich, the values of labels and the lines of a function, by
// mouse and by keyboard, on the data of a running server.
//   STROBE_URL=http://127.0.0.1:7070/ STROBE_SHOTS=dir node e2e/views/tables.mjs
//   STROBE_FROM, STROBE_TO: an absolute range in ms; the last 15 minutes without them
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { launch } from "../browser.mjs";

const url = process.env.STROBE_URL ?? "http://127.0.0.1:7070/";
const shots = process.env.STROBE_SHOTS ?? "shots";
const range = process.env.STROBE_FROM ? { from: process.env.STROBE_FROM, to: process.env.STROBE_TO } : {};
mkdirSync(shots, { recursive: true });
const address = (more) => `${url}?${new URLSearchParams({ refresh: "0", ...range, ...more })}`;

const browser = await launch();
const problems = [];
const watch = (page) => {
  page.on("pageerror", (e) => problems.push(`error in the page: ${e}`));
  page.on("console", (m) => m.type() === "error" && problems.push(`console: ${m.text()}`));
  page.on("request", (r) => !r.url().startsWith(new URL(url).origin) && !r.url().startsWith("blob:") && problems.push(`request to another host: ${r.url()}`));
};
const until = (page, test, arg) => page.waitForFunction(test, arg);
const facts = (page, view) => page.locator(`[data-view=${view}]`).evaluate((e) => ({ ...e.dataset }));
const open = async (page, view, more = {}) => {
  await page.goto(address({ view, ...more }));
  await page.locator(`[data-view=${view}]`).waitFor();
};
/** The name of the row that keys are at. */
const active = (page) => page.evaluate(() => document.getElementById(document.activeElement?.getAttribute("aria-activedescendant") ?? "")?.dataset.name ?? "");
const first = (page) => page.locator(".vl-body .vl-row").first();
/** Pictures in both themes; the key changes canvases too. */
const picture = async (page, name) => {
  await page.mouse.move(0, 0);
  for (const scheme of ["light", "dark"]) {
    await until(page, (s) => document.documentElement.dataset.theme === s, scheme);
    await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
    await page.screenshot({ path: join(shots, `${name}-${scheme}.png`) });
    await page.keyboard.press("d");
  }
};

/** Columns of the table as they are shown, to compare with what they are sorted by. */
const column = (page, id) => page.locator(`.vl-body .table-${id}`).allInnerTexts();

async function table(page) {
  await open(page, "table");
  await first(page).waitFor();
  await until(page, () => document.querySelector("[data-view=table]").dataset.exact === "1");
  const { rows, functions, self, total } = await facts(page, "table");
  assert.equal(rows, functions, "all functions are there without a search");
  assert.ok(Number(rows) > 10, `there are functions: ${rows}`);
  assert.ok(Math.abs(Number(self) - Number(total)) <= 1e-9 * Number(total), `self sums to all: ${self} of ${total}`);
  assert.ok((await page.locator(".vl-body .vl-row").count()) < 200, "only what is in sight is in the page");
  assert.equal(await page.locator("[role=grid]").getAttribute("aria-rowcount"), String(Number(rows) + 2));

  // By every column, both ways.
  for (const id of ["name", "file", "binary", "self", "selfp", "total", "totalp"]) {
    const head = page.locator(`[role=columnheader]:has([data-sort=${id}])`);
    for (let turn = 0; turn < 2; turn++) {
      await page.locator(`[data-sort=${id}]`).click();
      const sort = await head.getAttribute("aria-sort");
      assert.match(sort, /ascending|descending/, `${id} says how it is sorted`);
      if (id !== "name") continue;
      const names = await column(page, "name");
      assert.deepEqual(names, names.toSorted((a, b) => (sort === "ascending" ? 1 : -1) * (a < b ? -1 : a > b ? 1 : 0)), `names ${sort}`);
    }
  }
  await page.locator("[data-sort=self]").click();
  await until(page, () => new URLSearchParams(location.search).get("sort") === "-self");
  await picture(page, "table");

  // By keys alone.
  await page.locator("[role=grid]").focus();
  await page.keyboard.press("End");
  const last = await active(page);
  await page.keyboard.press("PageUp");
  await page.keyboard.press("Home");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("ArrowUp");
  const top = await active(page);
  assert.ok(top && last, "the rows that keys are at have names");
  assert.equal(top, await first(page).getAttribute("data-name"));
  await page.keyboard.press("Space");
  await until(page, (n) => new URLSearchParams(location.search).get("fn") === n, top);
  await page.keyboard.press("Space");

  // The search filters.
  await page.keyboard.press("Shift+Enter");
  await until(page, () => new URLSearchParams(location.search).get("search")?.startsWith("/^"));
  await until(page, (all) => Number(document.querySelector("[data-view=table]").dataset.rows) < all, Number(rows));
  for (const name of await column(page, "name")) assert.equal(name, top, "only what was searched is left");
  await page.getByLabel("only matches").uncheck();
  await until(page, () => document.querySelector("[data-view=table]").dataset.rows === document.querySelector("[data-view=table]").dataset.functions);
  assert.ok(await page.locator(".vl-row.vl-dim").count(), "what does not match is dimmed");
  await page.getByLabel("only matches").check();

  // The flame graph from here.
  await page.locator("[role=grid]").focus();
  await page.keyboard.press("Home");
  await page.keyboard.press("Enter");
  await page.locator(".flame").waitFor();
  return top;
}

async function both(page, name) {
  await open(page, "both");
  await first(page).waitFor();
  await page.locator(".flame canvas").waitFor();
  await until(page, () => document.querySelector("[data-view=table]").dataset.exact === "1"); // rows stay where they are
  const row = page.locator(`.vl-body .vl-row[data-name="${CSS_escape(name)}"]`).first();
  await row.hover();
  assert.match(await row.getAttribute("class"), /hovered/, "what is pointed to is marked");
  await picture(page, "both");
}
const CSS_escape = (s) => s.replace(/["\\]/g, "\\$&");

async function callTree(page) {
  await open(page, "calltree");
  await first(page).waitFor();
  const tree = page.locator("[role=treegrid]");
  await page.getByRole("button", { name: "Close all" }).click();
  await tree.focus();
  await page.keyboard.press("Home");
  assert.equal(await active(page), "all");
  const before = Number((await facts(page, "calltree")).rows);
  await page.keyboard.press("*");
  await until(page, (n) => Number(document.querySelector("[data-view=calltree]").dataset.rows) > n, before);
  const leaf = await active(page);
  assert.notEqual(leaf, "all", "the heaviest path leads somewhere");
  assert.notEqual(await page.locator(".vl-row.at").getAttribute("aria-expanded"), "true", "and ends where the time goes, with nothing open below");
  await picture(page, "calltree");
  await page.keyboard.press("ArrowLeft");
  assert.notEqual(await active(page), leaf, "left goes to the caller");
  const open1 = Number((await facts(page, "calltree")).rows);
  await page.keyboard.press("ArrowLeft");
  await until(page, (n) => Number(document.querySelector("[data-view=calltree]").dataset.rows) < n, open1);
  await page.keyboard.press("ArrowRight");
  await until(page, (n) => Number(document.querySelector("[data-view=calltree]").dataset.rows) >= n, open1);
  await page.keyboard.press("Home");
  await page.keyboard.press("Shift+ArrowLeft");
  await until(page, () => document.querySelector("[data-view=calltree]").dataset.rows === "1");
  // By mouse.
  await page.locator(".calltree-twist").first().click();
  await until(page, () => Number(document.querySelector("[data-view=calltree]").dataset.rows) > 1);
  // Enter shows the place in the flame graph, which is open here when one comes back.
  await page.keyboard.press("*");
  await page.keyboard.press("Enter");
  await page.locator(".flame").waitFor();
  assert.ok(new URL(page.url()).searchParams.getAll("zoom").length > 0, "the place is in the URL");
  await page.goBack();
  await page.locator("[data-view=calltree]").waitFor();
}

async function sandwich(page, name) {
  await open(page, "sandwich");
  await first(page).waitFor();
  const input = page.locator("#chooser-filter");
  await input.fill(name);
  await until(page, (n) => document.querySelector(".vl-body .vl-row")?.dataset.name.toLowerCase().includes(n.toLowerCase()), name);
  await input.press("ArrowDown");
  await input.press("ArrowUp");
  const chosen = await first(page).getAttribute("data-name");
  await input.press("Enter");
  await until(page, (n) => document.querySelector("[data-view=sandwich]").dataset.fn === n, chosen);
  await until(page, () => document.querySelector("[data-view=sandwich]").dataset.exact === "1");
  const { value, self } = await facts(page, "sandwich");
  assert.ok(Number(value) >= Number(self) && Number(value) > 0, `total ${value} holds self ${self}`);
  assert.equal(await page.locator("[data-side] .flame").count(), 2, "callers and callees");
  await page.locator("[data-side=callees] .flame").focus();
  await page.keyboard.press("ArrowDown");
  await picture(page, "sandwich");
  await page.getByRole("button", { name: "All functions" }).click();
  await input.waitFor();
}

async function top(page) {
  await open(page, "top", { by: "process" });
  await until(page, () => document.querySelector("[data-view=top]").dataset.ready === "1" && document.querySelector(".vl-body .vl-row"));
  const { sum, total, rows } = await facts(page, "top");
  assert.equal(sum, total, "the values add up to all");
  assert.equal(await page.locator(".vl-body .vl-row").count() <= Number(rows), true);
  await page.locator(".vl-body svg path").first().waitFor({ state: "attached" }); // the lines over time are asked for by themselves
  await picture(page, "top");
  const sums = await page.locator(".vl-body .vl-row").evaluateAll((all) => all.map((e) => Number(e.dataset.sum)));
  assert.deepEqual(sums, sums.toSorted((a, b) => b - a), "the largest first");
  await page.locator("[data-sort=value]").click();
  await until(page, () => document.querySelector("[aria-sort=ascending]"));

  // A click selects, the keys leave out.
  const value = await first(page).getAttribute("data-value");
  await first(page).click();
  await until(page, () => document.querySelector("[data-view=top]").dataset.rows === "1");
  assert.match(new URL(page.url()).searchParams.get("query"), /process=/);
  await page.goBack();
  await until(page, (n) => document.querySelector("[data-view=top]").dataset.rows === n, rows);
  await page.locator("[role=grid]").focus();
  await page.keyboard.press("Home");
  await page.keyboard.press("Delete");
  await until(page, (n) => Number(document.querySelector("[data-view=top]").dataset.rows) === n - 1, Number(rows));
  assert.match(new URL(page.url()).searchParams.get("query"), /process!=/, `without ${value}`);
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press(".");
  await page.getByRole("menu").waitFor();
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Escape");
  await page.getByRole("menu").waitFor({ state: "detached" });
  await page.locator("[data-label=comm]").click();
  await until(page, () => document.querySelector("[data-view=top]").dataset.by === "comm");
}

/** A function with lines and one without, as the server knows them; null where it knows none. */
async function functions(page) {
  await page.goto(address({ view: "table" }));
  return page.evaluate(async () => {
    const here = new URLSearchParams(location.search);
    const range = { from: here.get("from") ?? "now-15m", to: here.get("to") ?? "now" };
    const { rows } = await (await fetch(`api/v1/top?${new URLSearchParams({ ...range, limit: "3000" })}`)).json();
    const lines = async (r) => (await (await fetch(`api/v1/lines?${new URLSearchParams({ ...range, function: `{function=${JSON.stringify(r.name)}}` })}`)).json()).lines;
    let known = null;
    for (const r of rows.filter((x) => x.file && !/["\\]/.test(x.name)).slice(0, 40)) {
      const found = await lines(r);
      if (found.filter((l) => l.line > 0 && l.line < 20000).length > 1) {
        known = r;
        break;
      }
    }
    return { known, kernel: rows.find((r) => r.kind === "kernel") ?? null };
  });
}

async function source(page) {
  const { known, kernel } = await functions(page);
  if (kernel) {
    await open(page, "source", { fn: kernel.name });
    await page.getByText("No lines are known").waitFor();
  }
  assert.ok(known, "a function with lines is in the data");
  await open(page, "source", { fn: known.name });
  await page.locator(".source-line").first().waitFor();
  const shown = await page.locator(".source-line").evaluateAll((all) => all.map((e) => ({ ...e.dataset })));
  assert.ok(shown.some((l) => Number(l.self) > 0 || Number(l.total) > 0));
  await page.locator(".source [role=grid]").focus();
  await page.keyboard.press("*");
  const hot = await page.locator(".vl-row.at").getAttribute("data-line");
  assert.ok(hot, "the key finds the line that took most");
  // Its text, made up here, comes beside the figures.
  const last = Math.max(...shown.map((l) => Number(l.line))) + 20;
  const file = join(shots, known.file.split("/").pop());
  writeFileSync(file, Array.from({ length: last }, (_, i) => `\ttext of line ${i + 1}`).join("\n"));
  await page.locator("input[type=file][aria-label='The source file']").setInputFiles(file);
  await page.getByText(`text of line ${hot}`, { exact: true }).waitFor();
  assert.equal(await page.locator(`.source-line[data-line="${hot}"] .source-text`).innerText(), `\ttext of line ${hot}`);
  await picture(page, "source");
  await page.getByRole("button", { name: "Without text" }).click();
  await page.getByText("Open the source file…").waitFor();
}

/** Nothing is wider than a phone. */
async function phone() {
  const page = await browser.newPage({ viewport: { width: 390, height: 844 }, colorScheme: "light" });
  watch(page);
  const { known } = await functions(page);
  for (const [view, fn] of [["table"], ["both"], ["calltree"], ["sandwich"], ["top"], ["source"], ["source", known?.name]]) {
    await open(page, view, fn ? { fn } : {});
    await page.locator(".vl-body .vl-row").first().waitFor();
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(wide <= 390, `${view} is ${wide} wide`);
    await page.screenshot({ path: join(shots, `${view}-phone.png`), fullPage: true });
  }
  await page.close();
}

try {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, colorScheme: "light" });
  const page = await context.newPage();
  watch(page);
  const name = await table(page);
  await both(page, name);
  await callTree(page);
  await sandwich(page, name);
  await top(page);
  await source(page);
  await phone();
} finally {
  await browser.close();
}
assert.deepEqual(problems, [], "nothing went wrong in the page");
console.log(`table, both, call tree, sandwich, top and source do as they say; pictures are in ${shots}`);
