// SPDX-License-Identifier: Apache-2.0
// Drives the bar above the stacks, the menu of a frame, and profiles from and to files: opened with the button and
// dropped on the page, saved and opened again.
//   STROBE_URL=http://127.0.0.1:7070/ STROBE_SHOTS=dir node e2e/views/files.mjs
//   STROBE_FROM, STROBE_TO: an absolute range in ms; the last 15 minutes without them
import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import { launch, settled } from "../browser.mjs";

const url = process.env.STROBE_URL ?? "http://127.0.0.1:7070/";
const shots = process.env.STROBE_SHOTS ?? "shots";
const range = process.env.STROBE_FROM ? { from: process.env.STROBE_FROM, to: process.env.STROBE_TO } : {};
mkdirSync(shots, { recursive: true });
const address = (more = {}) => `${url}?${new URLSearchParams({ refresh: "0", ...range, ...more })}`;
const fixture = (name) => fileURLToPath(new URL(`../../test/fixtures/${name}`, import.meta.url));

const browser = await launch();
const problems = [];
const until = (page, test, arg) => page.waitForFunction(test, arg);
const parameters = (page) => new URL(page.url()).searchParams;
const open = async (options = {}, more = {}) => {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, colorScheme: "light", acceptDownloads: true, ...options });
  const page = await context.newPage();
  page.on("pageerror", (e) => problems.push(`error in the page: ${e}`));
  page.on("console", (m) => m.type() === "error" && problems.push(`console: ${m.text()}`));
  page.on("request", (r) => !r.url().startsWith(new URL(url).origin) && !r.url().startsWith("blob:") && problems.push(`request to another host: ${r.url()}`));
  await page.goto(address(more));
  await page.locator(".stackbar").waitFor();
  return page;
};
/** Opens a menu and chooses. */
const choose = async (page, menu, item) => {
  await page.getByRole("button", { name: menu }).click();
  await page.getByRole("menuitem", { name: item }).first().click();
};
const download = async (page, item) => {
  const [file] = await Promise.all([page.waitForEvent("download"), choose(page, "Save or share", item)]);
  return { name: file.suggestedFilename(), content: readFileSync(await file.path()) };
};
const nodes = (page) => page.locator(".flame").getAttribute("data-nodes").then(Number);

try {
  const page = await open();

  // The bar: search, matches, next and previous, by keys alone.
  await page.locator(".flame[data-nodes]").waitFor();
  const legend = page.locator(".stackbar-legend button[data-group]");
  const group = await legend.first().getAttribute("data-group");
  await page.keyboard.press("/");
  await page.keyboard.type("/a|e/");
  await until(page, () => Number(document.querySelector(".stackbar").dataset.matches) > 0);
  assert.match(await page.locator(".matched").innerText(), /%/);
  await page.keyboard.press("Enter");
  await until(page, () => location.search.includes("zoom="));
  assert.match(await page.locator(".matched").innerText(), /1\//);
  await page.keyboard.press("Escape");
  await until(page, () => !location.search.includes("search="));
  await page.keyboard.press("/");
  await page.keyboard.type("/(/");
  await page.locator(".matched.problem").waitFor();
  await page.keyboard.press("Escape");
  await page.keyboard.press("i");
  await until(page, () => location.search.includes("invert=1"));
  await page.keyboard.press("i");
  await until(page, () => !location.search.includes("invert"));

  // The legend filters, chips undo.
  await legend.first().click();
  await until(page, () => document.querySelector(".stackbar").dataset.transforms === "1");
  assert.deepEqual(parameters(page).getAll("t"), [`hide:kind=${group}`]);
  assert.equal(await legend.first().getAttribute("aria-pressed"), "false");
  await page.locator(".stackbar-chip").click();
  await until(page, () => document.querySelector(".stackbar").dataset.transforms === "0");
  await legend.nth(1).click({ modifiers: ["Shift"] });
  await until(page, () => location.search.includes("t=show"));
  await page.locator(".stackbar-chip").click();

  // Presets, and the menu by keyboard alone.
  const whole = await nodes(page);
  await page.getByRole("button", { name: "Transform the stacks" }).focus();
  await page.keyboard.press("Enter");
  await page.getByRole("menu").waitFor();
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter"); // recursion as one
  await until(page, () => location.search.includes("t=recursion"));
  await settled(page);
  await page.screenshot({ path: join(shots, "transform-light.png") });
  await page.keyboard.press("Escape");
  assert.equal(await page.evaluate(() => document.activeElement.getAttribute("aria-label")), "Transform the stacks", "the focus comes back");
  await page.goBack();
  await until(page, (n) => Number(document.querySelector(".flame").dataset.nodes) === n, whole);

  // Levels.
  await page.getByLabel("What a level of a stack is").selectOption("binary");
  await until(page, (n) => Number(document.querySelector(".flame").dataset.nodes) < n, whole);
  await page.goBack();
  await until(page, (n) => Number(document.querySelector(".flame").dataset.nodes) === n, whole);
  await page.getByLabel("What colours mean").selectOption("package");
  await until(page, () => location.search.includes("colour=package"));

  // The menu of a frame.
  await page.locator(".flame").focus();
  for (let i = 0; i < 3; i++) await page.keyboard.press("ArrowDown");
  const name = await page.locator(".flame").getAttribute("data-focus");
  await page.keyboard.press("Shift+F10");
  await page.locator(".framemenu").waitFor();
  await settled(page);
  await page.screenshot({ path: join(shots, "framemenu-light.png") });
  await page.keyboard.press("Escape");
  await page.locator(".framemenu").waitFor({ state: "detached" });
  await page.keyboard.press(".");
  await page.locator(".framemenu").getByRole("menuitem", { name: "Only stacks with this" }).click();
  await until(page, (n) => new URLSearchParams(location.search).getAll("t").includes(`focus:=${n}`), name);

  // What is shown, saved.
  const svg = (await download(page, ".svg")).content.toString();
  assert.equal(await page.evaluate((text) => new DOMParser().parseFromString(text, "image/svg+xml").querySelectorAll("parsererror").length, svg), 0, "the picture is well formed");
  const folded = await download(page, "Folded stacks .folded");
  assert.match(folded.name, /^strobe-on_cpu-\d{8}T\d{6}Z-\d{8}T\d{6}Z-changed\.folded\.txt$/);
  assert.ok(folded.content.toString().trim().split("\n").every((l) => / \d+$/.test(l) && l.replace(/_\[k\]/g, "").split(/;| \d+$/).includes(name)), "each stack has the function");
  const png = await download(page, ".png");
  assert.equal(png.content.subarray(1, 4).toString(), "PNG");
  const csv = await download(page, "Table");
  assert.match(csv.content.toString(), /^function,file,binary,kind,self nanoseconds/);
  const pprof = await download(page, "pprof .pb.gz");
  assert.ok(gunzipSync(pprof.content).length > 100);
  const speedscope = await download(page, "speedscope");
  const { shared, profiles } = JSON.parse(speedscope.content.toString());
  for (const s of profiles[0].samples) for (const i of s) assert.ok(i < shared.frames.length);
  const server = await download(page, "pprof with labels");
  assert.ok(gunzipSync(server.content).length > 100);

  // What was saved, opened again: it is the same amount.
  const total = profiles[0].endValue;
  const input = page.getByLabel("Profile to open");
  for (const [file, type] of [[pprof, "application/gzip"], [speedscope, "application/json"]]) {
    await input.setInputFiles({ name: file.name, mimeType: type, buffer: file.content });
    await until(page, () => /[?&]file=\d/.test(location.search));
    await page.locator(".flame[data-nodes]").waitFor();
    const again = JSON.parse((await download(page, "speedscope")).content.toString());
    assert.equal(again.profiles[0].endValue, total, `${file.name} has what was saved`);
    await page.goBack();
    await until(page, () => !location.search.includes("file="));
  }

  // Files of other programs, with the button and dropped.
  for (const file of ["cpu.pb.gz", "cpu.otlp", "cpu.otlp.json", "folded.txt", "perf.txt"]) {
    const before = parameters(page).get("file");
    await input.setInputFiles(fixture(file));
    await until(page, (b) => (new URLSearchParams(location.search).get("file") ?? null) !== b, before);
    assert.ok((await nodes(page)) > 3, `${file} has stacks`);
  }
  const data = await page.evaluateHandle((bytes) => {
    const d = new DataTransfer();
    d.items.add(new File([new Uint8Array(bytes)], "heap.pb.gz"));
    return d;
  }, [...readFileSync(fixture("heap.pb.gz"))]);
  const before = parameters(page).get("file");
  await page.dispatchEvent("body", "dragover", { dataTransfer: data });
  await page.dispatchEvent("body", "drop", { dataTransfer: data });
  await until(page, (b) => new URLSearchParams(location.search).get("file") !== b, before);
  await page.getByLabel("Type of samples in the file").selectOption("alloc_space");
  await until(page, () => Number(document.querySelector(".flame").dataset.nodes) > 3);
  await settled(page);
  await page.screenshot({ path: join(shots, "file-light.png") });

  // What is no profile says so.
  await input.setInputFiles({ name: "page.html", mimeType: "text/html", buffer: Buffer.from("<html></html>") });
  assert.match(await page.getByRole("alert").innerText(), /page\.html: this format is not known; what can be opened: pprof/);

  // Dark, and on a phone, where nothing is wider than the screen.
  const dark = await open({ colorScheme: "dark" }, { t: "preset:no-kernel", colour: "binary" });
  await dark.locator(".flame[data-nodes]").waitFor();
  await dark.keyboard.press("s");
  await dark.getByRole("menu").waitFor();
  await settled(dark);
  await dark.screenshot({ path: join(shots, "file-dark.png") });
  const phone = await open({ viewport: { width: 390, height: 844 } }, { search: "a", t: "preset:no-kernel" });
  assert.ok(await phone.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth), "nothing is wider than a phone");
  await phone.getByRole("button", { name: "Transform the stacks" }).click();
  await settled(phone);
  await phone.screenshot({ path: join(shots, "file-phone.png") });
} finally {
  await browser.close();
}
assert.deepEqual(problems, [], "nothing went wrong in the page");
console.log(`files are opened and saved; pictures are in ${shots}`);
