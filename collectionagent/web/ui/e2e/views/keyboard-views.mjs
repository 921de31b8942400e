// SPDX-License-Identifier: Apache-2.0
// A walk by keyboard alone through every view.
//   STROBE_URL=http://127.0.0.1:7070/ STROBE_SHOTS=dir [STROBE_FROM=ms STROBE_TO=ms] node e2e/views/keyboard-views.mjs
import assert from "node:assert/strict";
import { announced, back, becomes, choosesFile, closed, data, dataBecomes, differs, functions, menu, menuByKeys, open, page, parameter, press, ready, returns, stacks, type, view, walk } from "../keyboard.mjs";
import { around, names, stop, tabTo } from "../walk.mjs";

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
  await page.locator("[data-view=top] [data-label=host]").waitFor();
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

await walk({ flame, rows, diff, time });
