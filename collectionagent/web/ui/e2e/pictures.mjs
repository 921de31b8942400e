// SPDX-License-Identifier: Apache-2.0
// Takes the pictures of docs/web.md, light and dark, of a server with the recording of agent/e2e.
// It is run by hand:
//   STROBE_URL=http://127.0.0.1:7070/ STROBE_FROM=ms STROBE_TO=ms STROBE_RELEASE=ms node e2e/pictures.mjs [view …]
import { mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { launch } from "./browser.mjs";

const url = process.env.STROBE_URL ?? "http://127.0.0.1:7070/";
const [from, release, to] = [process.env.STROBE_FROM, process.env.STROBE_RELEASE, process.env.STROBE_TO];
const folder = process.env.STROBE_PICTURES ?? join(dirname(fileURLToPath(import.meta.url)), "../../../../docs/page");
const wanted = process.argv.slice(2);
mkdirSync(folder, { recursive: true });

/** What a picture shows: fields of the URL, and what is done before it is taken. */
const second = { from: String(Number(release) + 9000), to }; // the second release, from where all of it runs
const source = join(dirname(fileURLToPath(import.meta.url)), "../../../../tracer/tracertest/testdata/src/gocgo/main.go");
const pictures = {
  flame: { ...second, act: (page) => page.locator('[data-view="flame"] canvas').last().hover({ position: { x: 560, y: 190 } }) },
  table: { ...second, view: "table" },
  both: { ...second, view: "both", query: '{service="gateway"}' },
  calltree: { ...second, view: "calltree", query: '{service="pricing"}', act: (page) => page.getByRole("button", { name: /heaviest/i }).first().click() },
  sandwich: { ...second, view: "sandwich", query: '{service="cart"}', fn: "PyNumber_And" },
  diff: { view: "diff", query: '{service.version="1.1"}', bquery: '{service.version="1.0"}', bfrom: from, bto: to, norm: "1" },
  heatmap: { ...second, view: "heatmap", query: '{service="workers"}', act: brush },
  tracks: { ...second, view: "tracks", query: '{service="workers"}', act: openTrack },
  top: { ...second, view: "top" },
  source: { ...second, view: "source", query: '{service="gateway"}', fn: "main.burn", act: (page) => page.locator('[data-view="source"] input[type=file]').setInputFiles(source) },
  hosts: { page: "hosts" },
  executables: { page: "executables", sort: "executables:-unnamed" },
  events: { page: "events", type: "event" },
  status: { page: "status" },
};

async function openTrack(page) {
  await page.locator(".tracks-name").first().click();
  await page.waitForFunction(() => Number(document.querySelector(".tracks-chart")?.dataset.boxes) > 0);
}

async function brush(page) {
  const box = await page.locator(".heat-plot canvas").boundingBox();
  await page.mouse.move(box.x + box.width * 0.84, box.y + box.height * 0.75);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.9, box.y + box.height * 0.45, { steps: 4 });
  await page.mouse.up();
  await page.waitForFunction(() => Number(document.querySelector(".subset")?.dataset.nodes) > 1);
}

const browser = await launch();
try {
  for (const colorScheme of ["light", "dark"]) {
    const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, deviceScaleFactor: 1, colorScheme, timezoneId: "UTC", locale: "en-GB" });
    for (const [name, { act, ...fields }] of Object.entries(pictures)) {
      if (wanted.length && !wanted.includes(name)) continue;
      const page = await context.newPage();
      await page.goto(`${url}?${new URLSearchParams({ from, to, refresh: "0", ...fields })}`);
      await page.waitForLoadState("networkidle");
      await act?.(page);
      await page.waitForLoadState("networkidle");
      await page.waitForFunction(() => document.querySelector("main").dataset.ready !== "false" && new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true)))));
      await page.screenshot({ path: join(folder, `${name}-${colorScheme}.png`) });
      await page.close();
    }
    await context.close();
  }
} finally {
  await browser.close();
}
console.log(`pictures are in ${folder}`);
