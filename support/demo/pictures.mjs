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

const shop = '{container.name=~"shop-.*|noisy-neighbour"}';
const minute = 60_000;
const before = { from: switched - 2 * minute, to: switched };
const pictures = {
  services: { ...before, query: shop },
  catalog: { ...before, query: '{container.name="shop-catalog"}' },
  diff: {
    from: switched + minute / 4, to: switched + 2.25 * minute, view: "diff", query: '{container.name="shop-catalog",service.version="1.1"}',
    bquery: '{container.name="shop-catalog",service.version="1.0"}', bfrom: before.from, bto: before.to,
  },
  heatmap: { ...before, view: "heatmap", query: '{container.name="noisy-neighbour"}' },
};

const browser = await launch();
try {
  const context = await browser.newContext({ viewport: { width: 1120, height: 820 }, deviceScaleFactor: 1, colorScheme: "light", timezoneId: "UTC", locale: "en-GB" });
  for (const [name, fields] of Object.entries(pictures)) {
    const page = await context.newPage();
    await page.goto(`${url}?${new URLSearchParams({ refresh: "0", ...fields })}`);
    await page.waitForLoadState("networkidle");
    await page.waitForFunction(() => document.querySelector("main").dataset.ready !== "false");
    await page.screenshot({ path: join(folder, `${name}.png`) });
    await page.close();
  }
} finally {
  await browser.close();
}
console.log(`pictures are in ${folder}`);
