// SPDX-License-Identifier: Apache-2.0
// Takes the pictures of docs/demo.md, of the demo that runs. It is run by hand, a few minutes after
// the remedy of the tour:
//   STROBE_SWITCHED=seconds (since 1970, when version 1.1 was started) node support/demo/pictures.mjs
import { mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { launch } from "../../collectionagent/web/ui/e2e/browser.mjs";

const url = process.env.STROBE_URL ?? "http://127.0.0.1:7070/";
const switched = Number(process.env.STROBE_SWITCHED) * 1000;
const folder = process.env.STROBE_PICTURES ?? join(dirname(fileURLToPath(import.meta.url)), "../../docs/demo");
mkdirSync(folder, { recursive: true });

const shop = '{compose.project=~".+",container.name=~"shop-.*|noisy-neighbour"}';
const minute = 60_000;
const before = { from: switched - 2 * minute, to: switched };
const pictures = {
  services: { ...before, query: shop },
  catalog: { ...before, query: '{service="catalog"}' },
  diff: {
    from: switched + minute / 2, to: switched + 2.5 * minute, view: "diff", query: '{service="catalog",service.version="1.1"}',
    bquery: '{service="catalog",service.version="1.0"}', bfrom: before.from, bto: before.to,
  },
  heatmap: { ...before, from: switched - minute, view: "heatmap", query: shop, act: brush },
};

async function brush(page) {
  const box = await page.locator(".heat-plot canvas").boundingBox();
  const at = Number(process.env.STROBE_BURST ?? 0.5);
  await page.mouse.move(box.x + box.width * at, box.y + box.height * 0.95);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * (at + 0.05), box.y + box.height * 0.05, { steps: 4 });
  await page.mouse.up();
  await page.waitForFunction(() => Number(document.querySelector(".subset")?.dataset.nodes) > 1);
}

const browser = await launch();
try {
  const context = await browser.newContext({ viewport: { width: 1120, height: 820 }, deviceScaleFactor: 1, colorScheme: "light", timezoneId: "UTC", locale: "en-GB" });
  for (const [name, { act, ...fields }] of Object.entries(pictures)) {
    const page = await context.newPage();
    await page.goto(`${url}?${new URLSearchParams({ refresh: "0", ...fields })}`);
    await page.waitForLoadState("networkidle");
    await act?.(page);
    await page.waitForLoadState("networkidle");
    await page.waitForFunction(() => document.querySelector("main").dataset.ready !== "false");
    await page.screenshot({ path: join(folder, `${name}.png`) });
    await page.close();
  }
} finally {
  await browser.close();
}
console.log(`pictures are in ${folder}`);
