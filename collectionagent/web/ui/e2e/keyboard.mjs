// SPDX-License-Identifier: Apache-2.0
// What walks by keyboard alone have in common: a page, keys that are pressed in it, and what
// comes of them. Nothing here moves a pointer, focuses an element or fills a field.
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { launch, patience, settled } from "./browser.mjs";
import { around, help, names, stop, tabTo } from "./walk.mjs";

export const url = process.env.STROBE_URL ?? "http://127.0.0.1:7070/";
export const shots = process.env.STROBE_SHOTS ?? "shots";
// Ends that do not move: what is walked over stays as it is.
export const range = `from=${process.env.STROBE_FROM ?? Date.now() - 5 * 60e3}&to=${process.env.STROBE_TO ?? Date.now()}`;
mkdirSync(shots, { recursive: true });

export const browser = await launch();
export const problems = [];
export const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, colorScheme: "light", permissions: ["clipboard-read", "clipboard-write"], acceptDownloads: true });
export const page = await context.newPage();
// From the start: a listener that comes right before the key may come too late.
export const choosers = [];
export const saved = [];
page.on("filechooser", (c) => choosers.push(c));
page.on("download", (d) => saved.push(d));
page.on("pageerror", (e) => problems.push(`error in the page: ${e}`));
page.on("console", (m) => m.type() === "error" && problems.push(`console: ${m.text()}`));
page.on("request", (r) => !/^blob:/.test(r.url()) && !r.url().startsWith(new URL(url).origin) && problems.push(`request to another host: ${r.url()}`));

export const ready = () => page.locator("main[data-ready=true]").waitFor();
export const open = async (query = "") => {
  await page.goto(`${url}?${range}${query}`);
  await ready();
};
export const press = async (...keys) => {
  for (const k of keys) await page.keyboard.press(k);
};
export const type = (text) => page.keyboard.type(text);
export const parameter = (name) => page.evaluate((n) => new URLSearchParams(location.search).get(n) ?? "", name);
export const becomes = (name, wanted) =>
  page.waitForFunction(([n, w]) => (w instanceof RegExp ? w.test(new URLSearchParams(location.search).get(n) ?? "") : (new URLSearchParams(location.search).get(n) ?? "") === w), [name, wanted]);
export const differs = (name, old) => page.waitForFunction(([n, o]) => (new URLSearchParams(location.search).get(n) ?? "") !== o, [name, old]);
export const data = (selector, name) => page.locator(selector).first().getAttribute(`data-${name}`);
export const dataBecomes = (selector, name, test = "") =>
  page.waitForFunction(([s, n, t]) => {
    const v = document.querySelector(s)?.getAttribute(`data-${n}`) ?? "";
    return t === ">0" ? Number(v) > 0 : t.startsWith("!") ? v !== t.slice(1) : v === t;
  }, [selector, name, test]);
export const view = (v) => page.locator(`[data-view="${v}"]`).first().waitFor();
export const announced = () => page.locator("[role=status][aria-live]").first().innerText();
export const back = async () => {
  await page.goBack();
  await ready();
};
export const menu = () => page.getByRole("menu");
export const closed = () => menu().waitFor({ state: "detached" });
/** Opens what has the focus as a menu, goes over all of its entries and around, and closes it. */
export async function menuByKeys(where, key = "Enter") {
  await press(key);
  await menu().waitFor();
  await menu().locator("[role^=menuitem]").first().waitFor(); // some are asked of the server
  const items = await menu().locator("[role^=menuitem]").count();
  const first = (await stop(page, where)).id;
  for (let i = 1; i < items; i++) {
    await press("ArrowDown");
    assert.match((await stop(page, where)).role || "button", /menuitem|button/, where);
  }
  await press("ArrowDown");
  assert.equal((await stop(page, where)).id, first, `${where}: the last entry leads to the first`);
  await names(page, where);
  await press("Escape");
  await closed();
  await returns(where);
  return items;
}
/** What an event of the browser brings, the oldest first. */
export async function arrived(list) {
  for (const until = Date.now() + patience; !list.length && Date.now() < until; ) await settled(page);
  assert.ok(list.length, "the browser does what it was asked for");
  return list.shift();
}
/** Something has the focus again, as soon as what had it is gone: what is called so, or anything. */
export async function returns(where, name = /./) {
  await page.waitForFunction(() => document.activeElement !== document.body);
  for (const until = Date.now() + patience; ; await settled(page)) {
    const s = await stop(page, where);
    if (s && name.test(s.name)) return s;
    assert.ok(Date.now() < until, `${where}: the focus returns, it is at ${s?.name}`);
  }
}
export async function choosesFile() {
  assert.equal(choosers.length, 0);
  await press("Enter");
  await arrived(choosers);
}
export const everyPage = ["1", "2", "3", "4", "5", "e", "d", "?", "y", "Y"];
export const explore = [...everyPage, "f", "t", "b", "c", "w", "x", "m", "k", "l", "o", "v", "a", "[", "]", "−", "+", "r", "p", "C", "s"];
export const stacks = ["/", "n", "N", "i", "u"];

/** Functions that are wide enough to be in every view, as the server knows them. */
export async function functions() {
  return page.evaluate(async () => {
    const here = new URLSearchParams(location.search);
    const about = { from: here.get("from"), to: here.get("to") };
    const { rows } = await (await fetch(`api/v1/top?${new URLSearchParams({ ...about, limit: "500" })}`)).json();
    for (const r of rows.filter((x) => x.file && /^[\w.]{4,}$/.test(x.name)).slice(0, 40)) {
      const { lines } = await (await fetch(`api/v1/lines?${new URLSearchParams({ ...about, function: `{function=${JSON.stringify(r.name)}}` })}`)).json();
      if (lines.filter((l) => l.line > 0).length > 1) return { lined: r.name };
    }
    return { lined: "" };
  });
}

/** Walks all parts, or the one that STROBE_PART names, and ends the browser. */
export async function walk(parts) {
  try {
    for (const [name, part] of Object.entries(parts)) {
      if (process.env.STROBE_PART && process.env.STROBE_PART !== name) continue;
      try {
        await part();
      } catch (e) {
        await page.screenshot({ path: join(shots, `keyboard-failed-${name}.png`) });
        throw new Error(`${name}: ${e.message}`, { cause: e });
      }
    }
  } finally {
    await browser.close();
  }
  assert.deepEqual(problems, [], "nothing went wrong in the page");
  console.log(`${Object.keys(parts).join(", ")}: everything is reached by keyboard alone; pictures are in ${shots}`);
}
