// SPDX-License-Identifier: Apache-2.0
// A walk by keyboard alone over the pages and what stands around the views: no call of this
// test moves a pointer, focuses an element or fills a field.
//   STROBE_URL=http://127.0.0.1:7070/ STROBE_SHOTS=dir [STROBE_FROM=ms STROBE_TO=ms] node e2e/views/keyboard.mjs
import assert from "node:assert/strict";
import { join } from "node:path";
import { announced, arrived, back, becomes, choosesFile, data, dataBecomes, differs, everyPage, explore, functions, menu, menuByKeys, open, page, parameter, press, range, ready, returns, saved, shots, stacks, type, view, walk } from "../keyboard.mjs";
import { around, help, names, stop, tabTo } from "../walk.mjs";

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
    if (name === "top") {
      await dataBecomes("[data-view=top]", "ready", "1");
      await page.locator("[data-view=top] [data-label=host]").waitFor(); // the labels are another answer
    }
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

await walk({ pages, everyView, selection, stackBar, rest });
