// SPDX-License-Identifier: Apache-2.0
// Measures the page in Chromium without a GPU, over a flame graph of 100,000 nodes: when something is to be
// seen, how evenly it zooms and pans, how long drawing takes, and how large the page is.
//   node e2e/bench.mjs           prints a table
//   node e2e/bench.mjs -check    and fails when the goals are missed (or STROBE_CHECK=1)
// STROBE_DIST is the built page, dist of the project without it. Run it on a machine that does nothing else.
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { launch } from "./browser.mjs";
import { flamegraph, serve } from "./synthetic.mjs";

const goals = { paintMs: 1000, frameMs: 17.5, drawMs: 12, bytes: 2e6 };
const check = process.argv.includes("-check") || process.env.STROBE_CHECK === "1";
const dist = process.env.STROBE_DIST ?? new URL("../../dist/", import.meta.url).pathname;
const nodes = Number(process.env.STROBE_NODES ?? 100_000);
const starts = 5;
const missed = [];

const at = (sorted, share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
const spread = (values) => {
  const s = [...values].sort((a, b) => a - b);
  return { p50: at(s, 0.5), p95: at(s, 0.95), max: s.at(-1) ?? 0 };
};
const ms = (v) => v.toFixed(1);
const goal = (what, value, most) => {
  if (value > most) missed.push(`${what}: ${value.toFixed(1)}, at most ${most}`);
};

// How large.
let raw = 0;
let packed = 0;
for (const entry of await readdir(dist, { recursive: true, withFileTypes: true })) {
  if (!entry.isFile()) continue;
  const data = await readFile(join(entry.parentPath, entry.name));
  raw += data.length;
  packed += gzipSync(data).length;
}
goal("bytes of the page", raw, goals.bytes);

const server = await serve(dist, flamegraph(nodes));
const browser = await launch();
try {
  // When something is to be seen: each time in a browser that has nothing of the page.
  const paints = [];
  const draws = [];
  let page;
  for (let i = 0; i < starts; i++) {
    const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
    if (page) await page.context().close();
    page = await context.newPage();
    await page.addInitScript(() => {
      const look = () => {
        if (document.querySelector(".flame[data-draw-ms]")) window.flameDrawn = performance.now();
        else requestAnimationFrame(look);
      };
      look();
    });
    await page.goto(`${server.url}?refresh=0`);
    await page.waitForFunction(() => window.flameDrawn && performance.getEntriesByName("first-contentful-paint").length > 0);
    const [paint, drawn] = await page.evaluate(() => [performance.getEntriesByName("first-contentful-paint")[0].startTime, window.flameDrawn]);
    paints.push(paint);
    draws.push(drawn);
  }
  goal("ms to the first paint", spread(paints).p50, goals.paintMs);
  await page.waitForTimeout(1000); // what else the page does at its start is not what is measured

  // How evenly it moves: real events, one for each frame that the browser shows.
  const run = (name, frames) =>
    page.evaluate(
      ([name, frames]) =>
        new Promise((done) => {
          const flame = document.querySelector(".flame");
          const canvas = flame.querySelector("canvas");
          const box = canvas.getBoundingClientRect();
          const wheel = (init) => canvas.dispatchEvent(new WheelEvent("wheel", { bubbles: true, cancelable: true, clientX: box.left + box.width * 0.37, clientY: box.top + 100, ...init }));
          const pointer = (type, x) =>
            canvas.dispatchEvent(new PointerEvent(type, { bubbles: true, pointerId: 1, pointerType: "mouse", button: 0, buttons: 1, clientX: box.left + x, clientY: box.top + 100 }));
          const acts = {
            zoom: (i) => wheel({ ctrlKey: true, deltaY: i % 120 < 60 ? -12 : 12 }),
            pan: (i) => wheel({ shiftKey: true, deltaY: i % 120 < 60 ? 40 : -40 }),
            drag: (i) => pointer("pointermove", 300 + 8 * Math.abs((i % 100) - 50)),
            scroll: (i) => (flame.scrollTop = 10 * Math.abs((i % 60) - 30)),
            hover: (i) => pointer("pointermove", 20 + ((i * 37) % 1300)),
            still: () => {},
          };
          if (name === "drag") {
            canvas.setPointerCapture = () => {}; // of a pointer that is made up
            pointer("pointerdown", 300);
          }
          const deltas = [];
          const drawing = [];
          let last = 0;
          let i = 0;
          const tick = (now) => {
            if (last) {
              deltas.push(now - last);
              drawing.push(Number(flame.dataset.drawMs));
            }
            last = now;
            if (i++ < frames) {
              acts[name](i);
              requestAnimationFrame(tick);
              return;
            }
            if (name === "drag") pointer("pointerup", 300);
            done({ deltas, drawing, drawn: Number(flame.dataset.drawn) });
          };
          requestAnimationFrame(tick);
        }),
      [name, frames],
    );
  const moves = {};
  await run("zoom", 60); // warm: code is compiled, texts are measured
  moves["nothing moves"] = await run("still", 120);
  moves["zoom"] = await run("zoom", 240);
  await run("zoom", 45); // close, so that there is where to go
  moves["pan"] = await run("pan", 240);
  moves["drag"] = await run("drag", 200);
  moves["scroll"] = await run("scroll", 200);
  moves["hover"] = await run("hover", 200);

  console.log(`Chromium ${browser.version()}, ${nodes} nodes, 1440 x 900, no GPU\n`);
  console.log("| | p50 | p95 | worst |\n| --- | --- | --- | --- |");
  for (const [what, values] of [["first paint, ms", paints], ["flame graph drawn, ms", draws]]) {
    const s = spread(values);
    console.log(`| ${what} | ${ms(s.p50)} | ${ms(s.p95)} | ${ms(s.max)} |`);
  }
  for (const [what, m] of Object.entries(moves)) {
    const frame = spread(m.deltas);
    const draw = spread(m.drawing);
    console.log(`| ${what}: ms between frames | ${ms(frame.p50)} | ${ms(frame.p95)} | ${ms(frame.max)} |`);
    if (what === "nothing moves") continue;
    console.log(`| ${what}: ms to draw | ${ms(draw.p50)} | ${ms(draw.p95)} | ${ms(draw.max)} |`);
    if (what === "zoom" || what === "pan" || what === "drag") {
      goal(`${what}, ms between frames (p95)`, frame.p95, goals.frameMs);
      goal(`${what}, ms to draw (p95)`, draw.p95, goals.drawMs);
    }
  }
  console.log(`\nThe page is ${(raw / 1e3).toFixed(0)} kB, ${(packed / 1e3).toFixed(0)} kB as gzip.`);
} finally {
  await browser.close();
  server.close();
}
if (missed.length) {
  console.log(`\nGoals that were missed:\n${missed.map((m) => `  ${m}`).join("\n")}`);
  if (check) process.exitCode = 1;
} else console.log("All goals are met.");
