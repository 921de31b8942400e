// SPDX-License-Identifier: Apache-2.0
// Measures how long a frame of the flame graph takes at 100,000 nodes, in
// Chromium without a GPU: zooming, hovering and scrolling.
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { extname, join } from "node:path";
import { launch } from "./browser.mjs";

const nodes = 100_000;
const dist = new URL("../../dist/", import.meta.url).pathname;
const types = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };

function flamegraph() {
  const frame = [0], depth = [0], total = [0];
  let seed = 1;
  const random = () => (seed = (seed * 48271) % 2147483647) / 2147483647;
  const grow = (d, value) => {
    if (frame.length >= nodes || d > 60 || value < 2) return;
    let left = value * 0.95;
    while (left > 1 && frame.length < nodes) {
      const v = Math.max(1, left * (0.2 + 0.7 * random()));
      frame.push(1 + Math.floor(random() * 3000));
      depth.push(d);
      total.push(v);
      grow(d + 1, v);
      left -= v;
    }
  };
  while (frame.length < nodes) {
    total[0] += 1e6;
    grow(1, 1e6);
  }
  const strings = ["", "all", "native", "label", ...Array.from({ length: 3000 }, (_, i) => `package::function_${i}(int)`)];
  const names = [1, ...Array.from({ length: 3000 }, (_, i) => 4 + i)];
  return {
    type: "on_cpu", unit: "nanoseconds", from_ms: Date.now() - 6e4, to_ms: Date.now(), total: total[0], samples: 1e6, group_by: [],
    strings, frames: { name: names, file: names.map(() => 0), line: names.map(() => 0), binary: names.map(() => 0), kind: names.map((_, i) => (i ? 2 : 3)), inlined: names.map(() => 0) },
    nodes: { frame, depth, self: total.map(() => 1), total }, hidden: { nodes: 0, value: 0 }, symbolized: 1, unknown_stacks: 0,
  };
}

const answers = {
  flamegraph: JSON.stringify(flamegraph()),
  top: JSON.stringify({ unit: "nanoseconds", total: 1, samples: 1, rows: [], hidden: 0 }),
  timeline: JSON.stringify({ unit: "nanoseconds", step_ms: 1000, from_ms: Date.now() - 6e4, to_ms: Date.now(), by: "service", series: [] }),
  status: JSON.stringify({ version: "bench" }),
};
const server = createServer(async (q, r) => {
  const path = new URL(q.url, "http://x").pathname;
  const answer = answers[path.replace("/api/v1/", "")];
  if (answer) return r.setHeader("content-type", "application/json").end(answer);
  const file = join(dist, path === "/" ? "index.html" : path);
  r.setHeader("content-type", types[extname(file)] ?? "text/plain").end(await readFile(file).catch(() => ""));
});
await new Promise((done) => server.listen(0, "127.0.0.1", done));

const browser = await launch();
const page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
const began = Date.now();
await page.goto(`http://127.0.0.1:${server.address().port}/?to=now&from=now-1m`);
await page.locator(".flame[data-draw-ms]").waitFor();
const first = Date.now() - began;
const sizes = await page.evaluate(() => ({ ...document.querySelector(".flame").dataset }));
const measure = async (act, times) => {
  const out = [];
  for (let i = 0; i < times; i++) {
    await act(i);
    await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
    out.push(Number(await page.evaluate(() => document.querySelector(".flame").dataset.drawMs)));
  }
  out.sort((a, b) => a - b);
  return { median: out[out.length >> 1], worst: out.at(-1) };
};
const box = await page.locator(".flame canvas").boundingBox();
const rows = {
  hover: await measure((i) => page.mouse.move(box.x + 20 + i * 25, box.y + 30 + (i % 12) * 19), 40),
  zoom: await measure(async (i) => (i % 2 ? page.keyboard.press("Home") : page.mouse.click(box.x + 100 + i * 20, box.y + 19 * 3 + 8)), 20),
  scroll: await measure((i) => page.evaluate((y) => (document.querySelector(".flame").scrollTop = y), (i % 10) * 40), 20),
};
console.log(`| flame graph of ${sizes.nodes} nodes, ${sizes.drawn} drawn | median ms | worst ms |\n| --- | --- | --- |`);
console.log(`| first picture | ${first} | |`);
for (const [what, r] of Object.entries(rows)) console.log(`| ${what}, drawing one frame | ${r.median} | ${r.worst} |`);
await browser.close();
server.close();
