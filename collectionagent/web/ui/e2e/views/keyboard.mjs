// SPDX-License-Identifier: Apache-2.0
// A walk by keyboard alone that reaches everything: no call of this test moves a pointer,
// focuses an element or fills a field.
//   STROBE_URL=http://127.0.0.1:7070/ STROBE_SHOTS=dir [STROBE_FROM=ms STROBE_TO=ms] node e2e/views/keyboard.mjs
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { launch } from "../browser.mjs";
import { around, help, names, stop, tabTo } from "../walk.mjs";

const url = process.env.STROBE_URL ?? "http://127.0.0.1:7070/";
const shots = process.env.STROBE_SHOTS ?? "shots";
// Ends that do not move: what is walked over stays as it is.
const range = `from=${process.env.STROBE_FROM ?? Date.now() - 5 * 60e3}&to=${process.env.STROBE_TO ?? Date.now()}`;
mkdirSync(shots, { recursive: true });

const browser = await launch();
const problems = [];
const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, colorScheme: "light", permissions: ["clipboard-read", "clipboard-write"], acceptDownloads: true });
const page = await context.newPage();
page.setDefaultTimeout(Number(process.env.STROBE_WAIT ?? 30000));
// From the start: a listener that comes right before the key may come too late.
const choosers = [];
const saved = [];
page.on("filechooser", (c) => choosers.push(c));
page.on("download", (d) => saved.push(d));
page.on("pageerror", (e) => problems.push(`error in the page: ${e}`));
page.on("console", (m) => m.type() === "error" && problems.push(`console: ${m.text()}`));
page.on("request", (r) => !/^blob:/.test(r.url()) && !r.url().startsWith(new URL(url).origin) && problems.push(`request to another host: ${r.url()}`));

const ready = () => page.locator("main[data-ready=true]").waitFor();
const open = async (query = "") => {
  await page.goto(`${url}?${range}${query}`);
  await ready();
};
const press = async (...keys) => {
  for (const k of keys) await page.keyboard.press(k);
};
const type = (text) => page.keyboard.type(text);
const parameter = (name) => page.evaluate((n) => new URLSearchParams(location.search).get(n) ?? "", name);
const becomes = (name, wanted) =>
  page.waitForFunction(([n, w]) => (w instanceof RegExp ? w.test(new URLSearchParams(location.search).get(n) ?? "") : (new URLSearchParams(location.search).get(n) ?? "") === w), [name, wanted]);
const differs = (name, old) => page.waitForFunction(([n, o]) => (new URLSearchParams(location.search).get(n) ?? "") !== o, [name, old]);
const data = (selector, name) => page.locator(selector).first().getAttribute(`data-${name}`);
const dataBecomes = (selector, name, test = "") =>
  page.waitForFunction(([s, n, t]) => {
    const v = document.querySelector(s)?.getAttribute(`data-${n}`) ?? "";
    return t === ">0" ? Number(v) > 0 : t.startsWith("!") ? v !== t.slice(1) : v === t;
  }, [selector, name, test]);
const view = (v) => page.locator(`[data-view="${v}"]`).first().waitFor();
const announced = () => page.locator("[role=status][aria-live]").first().innerText();
const back = async () => {
  await page.goBack();
  await ready();
};
const menu = () => page.getByRole("menu");
const closed = () => menu().waitFor({ state: "detached" });
/** Opens what has the focus as a menu, goes over all of its entries and around, and closes it. */
async function menuByKeys(where, key = "Enter") {
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
async function arrived(list) {
  for (const until = Date.now() + 30000; !list.length && Date.now() < until; ) await settled();
  assert.ok(list.length, "the browser does what it was asked for");
  return list.shift();
}
const settled = () => page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
/** Something has the focus again, as soon as what had it is gone: what is called so, or anything. */
async function returns(where, name = /./) {
  await page.waitForFunction(() => document.activeElement !== document.body);
  for (const until = Date.now() + 10000; ; await settled()) {
    const s = await stop(page, where);
    if (s && name.test(s.name)) return s;
    assert.ok(Date.now() < until, `${where}: the focus returns, it is at ${s?.name}`);
  }
}
async function choosesFile() {
  assert.equal(choosers.length, 0);
  await press("Enter");
  await arrived(choosers);
}
const everyPage = ["1", "2", "3", "4", "5", "e", "d", "?", "y", "Y"];
const explore = [...everyPage, "f", "t", "b", "c", "w", "x", "m", "k", "l", "o", "v", "a", "[", "]", "−", "+", "r", "p", "C", "s"];
const stacks = ["/", "n", "N", "i", "u"];

async function pages() {
  await open();
  for (const [key, name] of [["2", "hosts"], ["3", "executables"], ["4", "events"], ["5", "status"]]) {
    await press(key);
    await becomes("page", name);
    await page.locator("nav a[aria-current=page]").filter({ hasText: new RegExp(name, "i") }).waitFor();
    if (name !== "status") await page.locator(".pg-row-head, .note").first().waitFor();
    else await page.locator(".panel").first().waitFor();
    if (await page.getByRole("button", { name: "Live", exact: true }).count()) await press("p"); // rows stay as they are
    await names(page, name);
    await around(page, name);
    await help(page, name, name === "status" ? everyPage : [...everyPage, "/", "↑", "↓", "Enter"]);
    if (await page.locator(".pg-row-head").count()) {
      // From the field to the rows, details of one, and from row to row.
      await press("/");
      await press("ArrowDown", "End", "Home");
      assert.match((await stop(page, name)).class, /pg-row-head/, `${name}: a row has the focus`);
      await press("Enter");
      await differs("open", "");
      await page.locator("tr.details").first().waitFor();
      await names(page, `${name}, details`);
      await around(page, `${name}, details`);
    }
  }
  await press("1");
  await becomes("page", "");
  await ready();
  // And by the links themselves.
  await tabTo(page, (s) => s.name === "Hosts" && s.tag === "a", "links to pages");
  await press("Enter");
  await becomes("page", "hosts");
  await press("e");
  await becomes("page", "");
  await ready();
}

async function everyView() {
  await open();
  for (const [key, name, more] of [
    ["t", "table", [...stacks, "↑", "↓", "Space", "Enter", "."]],
    ["f", "flame", [...stacks, "←", "→", "↑", "↓", "Enter", "Escape", "Home", "Shift ↑", "Shift ←", "."]],
    ["b", "both", [...stacks, "Space", "."]],
    ["c", "calltree", [...stacks, "*", "Shift →", "Enter", "."]],
    ["w", "sandwich", stacks],
    ["x", "diff", [...stacks, "."]],
    ["m", "heatmap", ["PgUp", "Enter", "Escape"]],
    ["k", "tracks", ["↑", "←", "Enter"]],
    ["l", "top", ["Delete", "Enter", "."]],
    ["o", "source", []],
  ]) {
    await press(key);
    await view(name);
    await ready();
    if (["heatmap", "tracks", "diff"].includes(name)) await dataBecomes(`[data-view="${name}"]`, "waiting", "false");
    if (name === "top") await dataBecomes("[data-view=top]", "ready", "1");
    await page.waitForFunction(() => document.activeElement !== document.body); // the view has the focus
    await stop(page, name);
    await names(page, name);
    if (["sandwich", "source"].includes(name)) await press("Escape"); // out of the field
    await help(page, name, [...explore, ...more]);
    await around(page, name);
  }
  // The tabs are one stop; arrows go along them.
  await open();
  await tabTo(page, (s) => s.role === "tab", "tabs");
  await press("ArrowRight");
  await becomes("view", "table");
  await page.waitForFunction(() => document.activeElement?.id === "tab-table");
  await press("ArrowLeft");
  await becomes("view", "");
}

async function selection() {
  await open();
  // A condition by completion, and away again.
  await press("a");
  await stop(page, "selector");
  await type("servic");
  const option = page.getByRole("listbox", { name: "Completions" }).getByRole("option");
  await option.filter({ hasText: "service" }).first().waitFor();
  await names(page, "completion");
  await press("Tab");
  await option.filter({ hasText: "is not" }).waitFor();
  await press("Enter");
  await option.filter({ hasText: "%" }).first().waitFor();
  await press("ArrowDown", "Enter", "Enter");
  await page.waitForFunction(() => /service="/.test(new URLSearchParams(location.search).get("query") ?? ""));
  await press("Escape", "Escape");
  await ready();
  await tabTo(page, /^Remove service/, "conditions");
  await press("Enter");
  await becomes("query", "");
  await ready();
  // Values to choose from.
  await tabTo(page, /^\+ Filter$/, "filter");
  await press("Enter");
  await page.getByRole("list", { name: "Values of service" }).locator("label").first().waitFor();
  await names(page, "filter");
  await tabTo(page, (s) => s.tag === "input" && s.class !== "search" && !/Find/.test(s.name), "values of a label");
  await press("Space");
  await differs("query", "");
  await tabTo(page, /^Clear$/, "filter", { most: 320 });
  await press("Enter");
  await becomes("query", "");
  await press("Escape");
  await returns("filter", /^\+ Filter$/);

  // The type.
  await tabTo(page, (s) => s.name === "Type" && s.tag === "select", "type", { back: true });
  const types = await page.locator("select[aria-label=Type] option").evaluateAll((all) => all.map((o) => o.value));
  if (types.length > 1) {
    await press("ArrowDown");
    await becomes("type", types[1]);
    await press("Home");
    await becomes("type", "");
  }
  await ready();

  // Time: the window, the steps by button and by key, the interval, to ask again.
  await open();
  await tabTo(page, /^Time range/, "time");
  await press("Enter");
  await page.getByRole("dialog", { name: "Time range" }).waitFor();
  await names(page, "time range");
  await tabTo(page, (s) => /^From/.test(s.name) && s.tag === "input", "time range");
  await press("Control+a");
  await type("2h");
  await tabTo(page, (s) => /^To/.test(s.name) && s.tag === "input" && !/date/.test(s.name), "time range");
  await press("Control+a");
  await type("now");
  await press("Enter");
  await becomes("from", "now-2h");
  await tabTo(page, /^Refresh every$/, "refresh");
  const interval = await parameter("refresh");
  await press("ArrowDown");
  await differs("refresh", interval);
  await open();
  for (const key of ["[", "]", "-", "+"]) {
    const old = await page.evaluate(() => location.search);
    await press(key);
    await page.waitForFunction((o) => location.search !== o, old);
    await open();
  }
  const generation = await data("main", "generation");
  await press("r");
  await dataBecomes("main", "generation", `!${generation}`);
  await tabTo(page, /^Ask again$/, "refresh");
  const again = await data("main", "generation");
  await press("Enter");
  await dataBecomes("main", "generation", `!${again}`);

  // The timeline: a range of it, and one to compare with.
  const timeline = (s) => s.role === "application" && /^Timeline by/.test(s.name);
  await open();
  await tabTo(page, (s) => s.name === "Timeline by" && s.tag === "select", "timeline");
  await tabTo(page, timeline, "timeline");
  await press("End", "ArrowLeft", "ArrowLeft");
  for (let i = 0; i < 30; i++) await press("Shift+ArrowLeft");
  assert.match(await announced(), /31 steps/);
  const from = await parameter("from");
  await press("Enter");
  await differs("from", from);
  await back();
  await tabTo(page, timeline, "timeline");
  await press("Home");
  for (let i = 0; i < 6; i++) await press("Shift+ArrowRight");
  await press("Shift+Enter");
  await becomes("view", "diff");
  assert.ok((await parameter("bfrom")) < (await parameter("bto")), "the base is a range");
  await open();
  await press("C");
  await page.waitForFunction(() => document.activeElement?.classList.contains("tl"));
  await press("Home", "Shift+ArrowRight", "Enter");
  await becomes("view", "diff");
  // Its legend filters.
  await open();
  const series = await page.locator(".tl-legend button").first().innerText();
  await tabTo(page, (s) => s.name === series.trim(), "legend of the timeline");
  await press("Enter");
  await differs("query", "");
}

/** Functions that are wide enough to be in every view, as the server knows them. */
async function functions() {
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

async function stackBar() {
  await open();
  await press("/");
  await stop(page, "search");
  await type("e");
  await dataBecomes(".stackbar", "matches", ">0");
  const matches = Number(await data(".stackbar", "matches"));
  await press("Enter");
  await differs("zoom", "");
  const zoom = await parameter("zoom");
  await press("Tab");
  await press("n");
  if (matches > 1) await differs("zoom", zoom);
  assert.match(await announced(), /^match \d+ of \d+/);
  await press("N");
  assert.match(await announced(), /^match \d+ of \d+/);
  await press("/", "Escape");
  await becomes("search", "");

  await open();
  await tabTo(page, /^Transform the stacks$/, "transform");
  await menuByKeys("transform");
  await press("Enter", "ArrowDown", "Enter");
  await differs("t", "");
  await press("Escape");
  await tabTo(page, /^Remove: /, "what is done to the stacks");
  await press("Enter");
  await becomes("t", "");
  await ready();
  await tabTo(page, /^Group by labels$/, "group");
  await menuByKeys("group", "ArrowDown");
  await press("Enter", "Enter");
  await differs("group", "");
  await press("Escape");
  await ready();
  await open();
  await tabTo(page, /^What a level of a stack is$/, "level");
  await press("ArrowDown");
  await differs("level", "");
  await ready();
  await press("Home");
  await ready();
  await tabTo(page, /^What colours mean$/, "colour");
  await press("ArrowDown");
  await differs("colour", "");
  await open();
  const legend = await page.locator(".stackbar-legend button").count();
  assert.ok(legend > 0, "there is a legend");
  const group = await data(".stackbar-legend button", "group");
  await tabTo(page, (s) => s.name.trim() === group, "legend");
  await press("Enter");
  await differs("t", "");
  await press("Enter");
  await becomes("t", "");
  await press("Shift+Enter");
  await differs("t", "");
  await open();
  await press("i");
  await becomes("invert", "1");
  await press("u");
  await becomes("up", "1");
}

async function flame() {
  await open();
  await press("f");
  await page.waitForFunction(() => document.activeElement !== document.body);
  await tabTo(page, (s) => s.role === "application" && /^Flame graph/.test(s.name), "flame graph");
  await press("ArrowDown", "ArrowDown");
  const focus = await data(".flame", "focus");
  await press("ArrowRight", "ArrowLeft", "Enter");
  await differs("zoom", "");
  await press("Escape");
  await page.waitForFunction((f) => document.querySelector(".flame").dataset.zoom !== f, focus);
  await press("ArrowDown");
  await menuByKeys("menu of a frame", ".");
  await press("ArrowDown", "Home");
  await becomes("zoom", "");
  for (const k of ["Shift+ArrowUp", "Shift+ArrowRight", "Shift+ArrowDown", "Home"]) await press(k);
  // The panel at the side.
  for (let i = 0; i < 6 && !(await parameter("fn")); i++) await press("ArrowDown", "v");
  await page.locator("[data-view=panel]").waitFor();
  await names(page, "panel at the side");
  await around(page, "panel at the side");
  await tabTo(page, /^Width of the panel$/, "panel at the side");
  await press("ArrowLeft");
  await tabTo(page, /^Sandwich$/, "panel at the side");
  await press("Escape");
  await page.locator("[data-view=panel]").waitFor({ state: "detached" });
  await returns("panel closed");
  await tabTo(page, /^Details$/, "panel closed", { back: true });
  await press("v");
  await page.locator("[data-view=panel]").waitFor();
  await press("v");
  await page.locator("[data-view=panel]").waitFor({ state: "detached" });
}

async function rows() {
  await open("&view=table");
  await press("t");
  await tabTo(page, (s) => s.role === "grid", "table");
  await press("ArrowDown", "ArrowDown", "End", "Home", "PageDown", "Home");
  await page.locator(".vl-row.at").waitFor();
  await menuByKeys("menu of a function", ".");
  await press("Space");
  await differs("fn", "");
  await page.locator("[data-view=panel]").waitFor();
  await press("Shift+Enter");
  await differs("search", "");
  await tabTo(page, (s) => s.role === "" && /^Total/.test(s.name) && /vl-sort/.test(s.class), "columns of the table", { back: true });
  await press("Enter");
  await differs("sort", "");

  await open("&view=calltree");
  await press("c");
  await tabTo(page, (s) => s.role === "treegrid", "call tree");
  await press("Home", "*");
  assert.match(await announced(), /^The heaviest path ends in/);
  await page.locator(".vl-row.at").waitFor();
  await press("Home", "Shift+ArrowLeft", "ArrowRight", "ArrowDown", "ArrowLeft");
  await menuByKeys("menu of a call", ".");
  await press("Enter");
  await becomes("view", "");

  // A function between its callers and its callees.
  await open("&view=sandwich");
  await tabTo(page, (s) => s.tag === "input" && /call/.test(s.name), "sandwich");
  await press("ArrowDown", "ArrowUp", "Enter");
  await differs("fn", "");
  await page.locator(".sandwich-sides").waitFor();
  await names(page, "sandwich of a function");
  await around(page, "sandwich of a function");
  await tabTo(page, (s) => s.role === "application" && /^Callees of/.test(s.name), "callees");
  await press("ArrowDown", "ArrowUp");
  await tabTo(page, /All functions/, "sandwich", { back: true });
  await press("Enter");
  await becomes("fn", "");
}

async function diff() {
  await open("&view=diff");
  await dataBecomes("[data-view=diff]", "rows", ">0");
  await tabTo(page, (s) => /^Compare with/.test(s.name) && s.tag === "select", "diff");
  await press("ArrowDown");
  await differs("bfrom", "");
  await back();
  await dataBecomes("[data-view=diff]", "rows", ">0");
  await tabTo(page, /^Two values…$/, "diff");
  await press("Enter");
  await page.locator(".diff-values").waitFor();
  await names(page, "diff of two values");
  await tabTo(page, (s) => s.name === "Compare" && /on/.test(s.class), "diff of two values").catch((e) => page.locator(".diff-values").getByText("only one value").waitFor().catch(() => Promise.reject(e)));
  await press("Enter");
  await open("&view=diff");
  await dataBecomes("[data-view=diff]", "rows", ">0");
  await tabTo(page, /same total/, "diff");
  await press("Space");
  await becomes("norm", "1");
  await tabTo(page, /^Side by side$/, "diff");
  await press("Enter");
  await becomes("dview", "sides");
  await ready();
  await around(page, "diff, side by side");
  await names(page, "diff, side by side");
  await tabTo(page, /^Both$/, "diff");
  await press("Enter");
  await becomes("dview", "");
  // The table: one stop, arrows from there.
  await tabTo(page, (s) => s.tag === "button" && /^Function/.test(s.name), "diff");
  for (const _ of [1, 2, 3, 4, 5, 6]) await press("Tab");
  await press("Shift+Tab");
  await tabTo(page, (s) => s.tag === "button" && s.class === "" && !/^Sort|^Function/.test(s.name), "rows of the diff");
  const first = (await stop(page, "rows of the diff")).id;
  await press("ArrowDown");
  assert.notEqual((await stop(page, "rows of the diff")).id, first, "arrows move between rows");
  await press("Home");
  assert.equal((await stop(page, "rows of the diff")).id, first);
  await press("Enter");
  await differs("fn", "");
  await tabTo(page, /Swap/, "diff", { back: true });
  await press("Enter");
  await differs("bfrom", "");
}

async function time() {
  await open("&view=heatmap");
  await dataBecomes("[data-view=heatmap]", "total", ">0");
  await tabTo(page, (s) => s.role === "application" && /^Heatmap/.test(s.name), "heatmap");
  await press("End");
  const columns = Number(await data("[data-view=heatmap]", "columns"));
  for (let i = 0; i < columns && /nothing/.test(await data(".heat-plot", "cursor")); i++) await press("ArrowLeft");
  await press("Shift+ArrowLeft", "Shift+ArrowUp");
  await dataBecomes(".subset", "nodes", ">0");
  await names(page, "selection of the heatmap");
  await around(page, "selection of the heatmap");
  await tabTo(page, /^Close$/, "selection of the heatmap");
  await press("Enter");
  await page.locator(".subset").waitFor({ state: "detached" });
  await returns("heatmap", /^Heatmap/);
  await press("Escape", "End");
  for (let i = 0; i < columns && /nothing/.test(await data(".heat-plot", "cursor")); i++) await press("ArrowLeft");
  await press("Shift+ArrowLeft", "Enter");
  await becomes("view", "");
  await open("&view=heatmap");
  await tabTo(page, /^Size of a sample$/, "heatmap");
  await press("Enter");
  await becomes("heat", "value");

  await open("&view=tracks");
  await dataBecomes("[data-view=tracks]", "total", ">0");
  await tabTo(page, (s) => /tracks-list/.test(s.class), "tracks");
  await press("Home", "Enter");
  await differs("track", "");
  await dataBecomes(".tracks-chart", "boxes", ">0");
  await names(page, "stacks of a track");
  await around(page, "stacks of a track");
  await tabTo(page, (s) => /tracks-chart/.test(s.class), "stacks of a track");
  await press("ArrowDown", "ArrowDown");
  await dataBecomes(".tracks-chart", "focus", "!");
  await press("Enter", "Shift+ArrowUp", "Shift+ArrowLeft", "Escape");
  await press(".");
  if (await menu().count()) await press("Escape");
  await closed();
  await returns("stacks of a track");
  await tabTo(page, (s) => /tracks-list/.test(s.class), "tracks", { back: true });
  await press("ArrowLeft", "Shift+ArrowLeft");
  await tabTo(page, /^Narrow to it$/, "tracks", { back: true });
  const from = await parameter("from");
  await press("Enter");
  await differs("from", from);
  await open("&view=tracks");
  await dataBecomes("[data-view=tracks]", "total", ">0");
  await tabTo(page, /^Tracks by$/, "tracks");
  await press("ArrowDown");
  await differs("trackby", "");

  // By label.
  await open("&view=top");
  await dataBecomes("[data-view=top]", "ready", "1");
  await tabTo(page, (s) => s.role === "grid" && /^Values of/.test(s.name), "top by label");
  await press("ArrowDown");
  await menuByKeys("menu of a value", ".");
  await press("Enter");
  await differs("query", "");
  await open("&view=top");
  await dataBecomes("[data-view=top]", "ready", "1");
  await tabTo(page, /^host\b/, "labels");
  await press("Enter");
  await becomes("by", "host");

  // Lines of a function.
  const { lined } = await functions();
  assert.ok(lined, "a function with lines is in the data");
  await open("&view=source");
  await tabTo(page, (s) => s.tag === "input" && /lines/i.test(s.name), "source");
  await type(`/^${lined.replaceAll(".", "\\.")}$/`);
  await press("Enter");
  await becomes("fn", lined);
  await page.locator(".source-line").first().waitFor();
  await names(page, "lines");
  await around(page, "lines");
  await tabTo(page, (s) => s.role === "grid" && /^Lines of/.test(s.name), "lines");
  await press("*");
  await page.locator(".vl-row.at").waitFor();
  await tabTo(page, /^Open the source file…$/, "lines", { back: true });
  await choosesFile();
}

async function rest() {
  await open();
  await press("s");
  await menu().waitFor();
  await names(page, "save");
  await press("ArrowDown");
  await press("Enter");
  assert.match((await arrived(saved)).suggestedFilename(), /folded/, "the second entry is saved");
  await tabTo(page, /^Save or share$/, "save", { back: true });
  await menuByKeys("save");
  await tabTo(page, /^Open file…$/, "open a file", { back: true });
  await choosesFile();

  await press("y");
  await page.getByText("Copied ✓").waitFor();
  assert.match(await page.evaluate(() => navigator.clipboard.readText()), /from=/);
  await page.getByText("Copied ✓").waitFor({ state: "detached" });
  await tabTo(page, /^Copy link$/, "copy link");
  await press("Enter");
  await page.getByRole("menuitem", { name: "As it is" }).waitFor();
  await stop(page, "copy link");
  await press("Escape");
  await returns("copy link", /^Copy link$/);

  await tabTo(page, /^Keys$/, "keys");
  await press("Enter");
  await page.getByRole("dialog", { name: "Keys" }).waitFor();
  await press("Escape");
  await returns("keys", /^Keys$/);
  await press("d");
  await page.waitForFunction(() => document.documentElement.dataset.theme === "dark");
  await around(page, "dark");
  await press("b");
  await view("both");
  await around(page, "dark, both");
  await tabTo(page, (s) => s.role === "grid", "dark, both");
  await press("ArrowDown");
  await page.screenshot({ path: join(shots, "keyboard-dark.png") });
  await press("d");
  await page.waitForFunction(() => document.documentElement.dataset.theme === "light");
  await page.screenshot({ path: join(shots, "keyboard-light.png") });
}

const parts = { pages, everyView, selection, stackBar, flame, rows, diff, time, rest };
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
console.log(`everything is reached by keyboard alone; pictures are in ${shots}`);
