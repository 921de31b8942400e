// SPDX-License-Identifier: Apache-2.0
// Drives the flame graph and the panel at its side, with mouse, keyboard and finger, on the data of a running
// server; and merged blocks on an answer that is made up.
//   STROBE_URL=http://127.0.0.1:7070/ STROBE_SHOTS=dir node e2e/views/flame.mjs
//   STROBE_FROM, STROBE_TO: an absolute range in ms; the last 15 minutes without them
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { launch } from "../browser.mjs";
import { flamegraph } from "../synthetic.mjs";

const url = process.env.STROBE_URL ?? "http://127.0.0.1:7070/";
const shots = process.env.STROBE_SHOTS ?? "shots";
const range = process.env.STROBE_FROM ? { from: process.env.STROBE_FROM, to: process.env.STROBE_TO } : {};
mkdirSync(shots, { recursive: true });
const address = (more = {}) => `${url}?${new URLSearchParams({ refresh: "0", ...range, ...more })}`;
const row = 19;

const browser = await launch();
const problems = [];
const watch = (page) => {
  page.on("pageerror", (e) => problems.push(`error in the page: ${e}`));
  page.on("console", (m) => m.type() === "error" && problems.push(`console: ${m.text()}`));
  page.on("request", (r) => !r.url().startsWith(new URL(url).origin) && !r.url().startsWith("blob:") && problems.push(`request to another host: ${r.url()}`));
};

/** What the flame graph says of itself, when it stands still. */
const facts = async (page) => {
  await page.waitForFunction(() => document.querySelector(".flame")?.dataset.still === "true");
  return page.evaluate(() => {
    const map = document.querySelector(".flame-map")?.dataset ?? {};
    return { ...document.querySelector(".flame").dataset, mapX: Number(map.x), mapW: Number(map.w) };
  });
};
const until = (page, test, arg) => page.waitForFunction(test, arg);
/** Where the canvas is; the row of a depth is in sight when the graph is not scrolled. */
const canvas = (page) => page.locator(".flame canvas").boundingBox();
const open = async (page, more) => {
  await page.goto(address(more));
  await page.locator(".flame[data-still=true]").waitFor();
  return canvas(page);
};

/** A place of a row where the pointer is at one frame, or at a block; the pointer is there then. */
async function find(page, depth, block = false) {
  const box = await canvas(page);
  const y = box.y + row * depth + 8;
  for (let i = 1; i < 80; i++) {
    const x = box.x + (box.width * i) / 80;
    await page.mouse.move(x, y);
    // The tooltip is there with the next picture, or it does not come.
    await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
    const tip = page.locator(".flame-tip");
    if ((await tip.count()) && ((await tip.getAttribute("data-block")) !== null) === block) return { x, y };
  }
  throw new Error(`row ${depth} has no ${block ? "block" : "frame"}`);
}

async function mouse(page) {
  let box = await open(page);
  const whole = await facts(page);
  assert.ok(Number(whole.nodes) > 10, "the flame graph has frames");
  assert.equal(whole.zoom, "all");
  await page.screenshot({ path: join(shots, "flame-light.png") });

  // A tooltip that leaves its frame in sight.
  const frame = await find(page, 2);
  const tip = page.locator(".tooltip");
  await tip.waitFor();
  assert.match(await tip.innerText(), /total[\s\S]*of all[\s\S]*self/);
  const tipBox = await tip.boundingBox();
  assert.ok(tipBox.y >= box.y + row * 3 || tipBox.y + tipBox.height <= box.y + row * 2, "the tooltip does not cover the row");

  // One click zooms; what is above is there to go back.
  await page.mouse.click(frame.x, frame.y);
  await until(page, () => document.querySelector(".flame").dataset.zoom !== "all");
  const zoomed = await facts(page);
  assert.ok(page.url().includes("zoom="), "the zoom is in the URL");
  const crumbs = page.locator(".flame-bar li button");
  assert.ok((await crumbs.count()) >= 2, "the path is shown");
  assert.equal(await page.locator(".flame-bar [aria-current]").innerText(), zoomed.zoom);
  await page.mouse.click(box.x + box.width - 20, box.y + 8); // the root, now above all of the width
  await until(page, () => document.querySelector(".flame").dataset.zoom === "all");
  await page.goBack();
  await until(page, (z) => document.querySelector(".flame").dataset.zoom === z, zoomed.zoom);
  await page.locator(".flame-bar li button").first().click();
  await until(page, () => document.querySelector(".flame").dataset.zoom === "all");
  await facts(page);
  await page.mouse.click(frame.x, frame.y);
  await until(page, () => document.querySelector(".flame").dataset.zoom !== "all");
  await page.getByRole("button", { name: "Reset zoom" }).click();
  await until(page, () => document.querySelector(".flame").dataset.zoom === "all");

  // The wheel zooms around the pointer, which the map shows.
  box = await canvas(page);
  const before = await facts(page);
  await page.mouse.move(box.x + box.width / 4, box.y + row + 8);
  await page.keyboard.down("Control");
  for (let i = 0; i < 4; i++) await page.mouse.wheel(0, -100);
  await page.keyboard.up("Control");
  await until(page, (w) => Number(document.querySelector(".flame-map").dataset.w) < w, before.mapW * 0.5);
  const close = await facts(page);
  assert.equal(close.free, "true");
  const place = (f) => f.mapX + f.mapW / 4;
  assert.ok(Math.abs(place(close) - before.mapW / 4) < 6, `the place under the pointer stays: ${place(close)}, ${before.mapW / 4}`);
  assert.equal(close.zoom, "all", "no frame was chosen");

  // A link shows the same part.
  await until(page, () => new URLSearchParams(location.search).get("part"));
  await page.reload();
  await until(page, (w) => Math.abs(Number(document.querySelector(".flame-map")?.dataset.w) - w) < 4, close.mapW);
  assert.ok(Math.abs((await facts(page)).mapX - close.mapX) < 4, "the part is in the URL");

  // Dragging moves and does not click.
  await page.mouse.move(box.x + 600, box.y + row * 2 + 8);
  await page.mouse.down();
  await page.mouse.move(box.x + 500, box.y + row * 2 + 8, { steps: 5 });
  await page.mouse.up();
  await until(page, (x) => Number(document.querySelector(".flame-map").dataset.x) > x, close.mapX);
  const dragged = await facts(page);
  assert.equal(dragged.zoom, "all", "a drag is no click");
  await page.keyboard.down("Shift");
  await page.mouse.wheel(0, -60);
  await page.keyboard.up("Shift");
  await until(page, (x) => Number(document.querySelector(".flame-map").dataset.x) < x, dragged.mapX);

  // The rectangle of the map can be dragged.
  const map = await page.locator(".flame-map").boundingBox();
  const now = await facts(page);
  await page.mouse.move(map.x + now.mapX + now.mapW / 2, map.y + 5);
  await page.mouse.down();
  await page.mouse.move(map.x + map.width - 5, map.y + 5, { steps: 6 });
  await page.mouse.up();
  await until(page, (x) => Number(document.querySelector(".flame-map").dataset.x) > x, map.width - now.mapW - 30);
  await page.screenshot({ path: join(shots, "flame-pan.png") });

  // Escape leaves what was chosen by hand first.
  await page.locator(".flame").focus();
  await page.keyboard.press("Escape");
  await until(page, (w) => Number(document.querySelector(".flame-map").dataset.w) > w * 0.98, before.mapW);
  assert.equal((await facts(page)).free, "false");
}

async function keyboard(page) {
  await open(page);
  const flame = page.locator(".flame");
  await flame.focus();
  // Down the widest frames, across, and into one.
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("ArrowDown");
  const second = (await facts(page)).focus;
  assert.notEqual(second, "all");
  const said = page.locator("[aria-live]").filter({ hasText: second });
  await said.first().waitFor({ state: "attached" });
  assert.match(await said.first().innerText(), /of all/, "the focused frame is described");
  await page.screenshot({ path: join(shots, "flame-focus.png") });
  await page.keyboard.press("Enter");
  await until(page, (n) => document.querySelector(".flame").dataset.zoom === n, second);
  await page.keyboard.press("Backspace");
  await until(page, (n) => document.querySelector(".flame").dataset.zoom !== n, second);
  await page.keyboard.press("Home");
  await until(page, () => document.querySelector(".flame").dataset.zoom === "all");
  const before = await facts(page);
  await page.keyboard.press("Shift+ArrowUp");
  await page.keyboard.press("Shift+ArrowUp");
  await until(page, (w) => Number(document.querySelector(".flame-map").dataset.w) < w, before.mapW * 0.6);
  await page.keyboard.press("Shift+ArrowRight");
  await page.keyboard.press("Home");
  await until(page, (w) => Number(document.querySelector(".flame-map").dataset.w) > w * 0.98, before.mapW);
  // Every frame of a row can be reached: to the right until it goes on no more.
  await page.keyboard.press("ArrowUp");
  await page.keyboard.press("ArrowUp");
  await page.keyboard.press("ArrowDown");
  const seen = new Set();
  for (let i = 0, last = ""; i < 200; i++) {
    const { focus } = await facts(page);
    const text = await page.locator(".flame-view > [aria-live]").innerText();
    if (text === last) break;
    last = text;
    seen.add(focus);
    await page.keyboard.press("ArrowRight");
  }
  assert.ok(seen.size >= 1);

  // Details at the side, for who has no mouse.
  await page.keyboard.press("Home");
  await page.keyboard.press("ArrowDown");
  const chosen = (await facts(page)).focus;
  await page.keyboard.press("v");
  await until(page, (n) => new URLSearchParams(location.search).get("fn") === n, chosen);
  const side = page.locator("[data-view=panel]");
  await side.waitFor();
  await page.keyboard.press("v");
  await side.waitFor({ state: "detached" });
  await page.keyboard.press("v");
  await side.waitFor();
  await page.keyboard.press("Escape");
  await side.waitFor({ state: "detached" });

  // The menu of the frame, and back to it.
  await page.keyboard.press(".");
  const menu = page.getByRole("menu");
  await menu.waitFor();
  assert.match(await menu.innerText(), /Zoom here/);
  await page.screenshot({ path: join(shots, "flame-menu.png") });
  await page.keyboard.press("Escape");
  await menu.waitFor({ state: "detached" });
  await until(page, () => document.activeElement?.classList.contains("flame"));
}

async function panel(page) {
  await open(page);
  const frame = await find(page, 2);
  await page.mouse.click(frame.x, frame.y);
  await until(page, () => document.querySelector(".flame").dataset.zoom !== "all");
  const name = (await facts(page)).zoom;
  await page.getByRole("button", { name: "Details" }).click();
  await until(page, (n) => new URLSearchParams(location.search).get("fn") === n, name);
  const side = page.locator("[data-view=panel]");
  await side.waitFor();
  assert.equal(await side.getAttribute("data-fn"), name);
  // The canvas makes room for it.
  await page.waitForFunction(() => document.querySelector("[data-view=panel]").getBoundingClientRect().right <= window.innerWidth);
  assert.ok(Number(await side.getAttribute("data-total")) > 0, "the panel has values");
  assert.match(await side.innerText(), /total[\s\S]*self[\s\S]*Callers[\s\S]*Calls/);
  await page.screenshot({ path: join(shots, "panel-light.png") });
  const callee = side.getByRole("list", { name: "Calls" }).getByRole("button").first();
  if (await callee.count()) {
    const next = (await callee.locator("span").innerText()).trim();
    await callee.click();
    await until(page, (n) => document.querySelector("[data-view=panel]").dataset.fn === n, next);
  }
  await side.getByRole("button", { name: "Show spans in this function" }).click();
  await side.locator(".fn-spans, p.faded").last().waitFor();
  await side.getByRole("button", { name: "Close details" }).click();
  await side.waitFor({ state: "detached" });
  await until(page, () => document.activeElement !== document.body);
}

/** On an answer of 100,000 nodes: what is too narrow to be drawn is still there. */
async function blocks(page) {
  const answer = JSON.stringify(flamegraph(100_000));
  await page.route("**/api/v1/flamegraph?*", (route) => route.fulfill({ contentType: "application/json", body: answer }));
  const box = await open(page);
  await page.screenshot({ path: join(shots, "flame-large.png") });
  assert.ok(Number((await facts(page)).drawn) < 20_000, "what is merged is not drawn");
  const { x, y } = await find(page, 14, true);
  const tip = page.locator(".tooltip[data-block]");
  assert.match(await tip.innerText(), /[\d,]+ frames, [\d.]+ %/);
  const many = Number(await tip.getAttribute("data-block"));
  assert.ok(many > 1);
  await page.mouse.click(x, y);
  await until(page, () => document.querySelector(".flame").dataset.free === "true");
  const inside = await facts(page);
  assert.ok(inside.mapW < box.width - 1, "the click came closer");
  await page.screenshot({ path: join(shots, "flame-block.png") });
  await until(page, () => new URLSearchParams(location.search).has("part"));
  await page.goBack();
  await until(page, () => document.querySelector(".flame").dataset.free === "false");
  await facts(page);
  await page.mouse.click(x, y);
  await until(page, () => document.querySelector(".flame").dataset.free === "true");
  await page.locator(".flame").focus();
  await page.keyboard.press("Escape");
  await until(page, () => document.querySelector(".flame").dataset.free === "false");

  // The keyboard gets there as well: down until the frame is too narrow, then in.
  const live = page.locator(".flame-view > [aria-live]");
  for (let i = 0; i < 60 && !(await live.innerText()).includes("too narrow"); i++) {
    const { focus } = await facts(page);
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("ArrowRight");
    if ((await facts(page)).focus === focus) break;
  }
  assert.match(await live.innerText(), /frames, .*too narrow to be drawn/);
  await page.keyboard.press("Enter");
  await until(page, () => document.querySelector(".flame").dataset.free === "true");
  assert.doesNotMatch(await live.innerText(), /^$/);
}

async function finger() {
  const context = await browser.newContext({ viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true, colorScheme: "light" });
  const page = await context.newPage();
  watch(page);
  const box = await open(page);
  await page.locator(".flame").scrollIntoViewIfNeeded();
  const at = await canvas(page);
  // A finger does not look first: the place is one where a click would zoom.
  for (let i = 1; i < 20 && (await facts(page)).zoom === "all"; i++) {
    await page.touchscreen.tap(at.x + (at.width * i) / 20, at.y + row + 8);
    await page.waitForTimeout(300);
  }
  await until(page, () => document.querySelector(".flame").dataset.zoom !== "all");
  assert.equal(await page.locator(".tooltip").count(), 0, "a finger gets no tooltip");
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth), "nothing is wider than a phone");
  await facts(page);
  await page.screenshot({ path: join(shots, "flame-phone.png") });
  // Two fingers come closer.
  const before = await facts(page);
  const cdp = await context.newCDPSession(page);
  const touch = (type, points) => cdp.send("Input.dispatchTouchEvent", { type, touchPoints: points.map(([x, id]) => ({ x, y: at.y + 30, id })) });
  await touch("touchStart", [[150, 0], [240, 1]]);
  for (let i = 1; i <= 8; i++) await touch("touchMove", [[150 - i * 10, 0], [240 + i * 10, 1]]);
  await touch("touchEnd", []);
  await until(page, (w) => Number(document.querySelector(".flame-map").dataset.w) < w, Math.max(before.mapW * 0.8, 9));
  assert.ok(box.width <= 390);
  await context.close();
}

try {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, colorScheme: "light" });
  const page = await context.newPage();
  watch(page);
  for (const part of [mouse, keyboard, panel]) {
    await part(page);
    console.log(`${part.name}: ok`);
  }
  const large = await context.newPage();
  watch(large);
  await blocks(large);
  console.log("blocks: ok");
  await finger();
  console.log("finger: ok");
  const dark = await browser.newPage({ viewport: { width: 1440, height: 900 }, colorScheme: "dark", reducedMotion: "reduce" });
  watch(dark);
  await open(dark);
  await dark.screenshot({ path: join(shots, "flame-dark.png") });
  const frame = await find(dark, 2);
  await dark.mouse.click(frame.x, frame.y);
  await until(dark, () => document.querySelector(".flame").dataset.zoom !== "all");
  await open(dark, { up: "1", group: "service" });
  await dark.screenshot({ path: join(shots, "flame-up-dark.png") });
} finally {
  await browser.close();
}
assert.deepEqual(problems, [], "nothing went wrong in the page");
console.log(`the flame graph can be used; pictures are in ${shots}`);
