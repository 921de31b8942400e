// SPDX-License-Identifier: Apache-2.0
// Drives the page of a running server as a person would.
//   STROBE_URL=http://127.0.0.1:7070/ STROBE_FUNCTION=red_leaf STROBE_SHOTS=dir node e2e/e2e.mjs
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { launch, settled } from "./browser.mjs";

const url = process.env.STROBE_URL ?? "http://127.0.0.1:7070/";
const name = process.env.STROBE_FUNCTION ?? "red_leaf";
const shots = process.env.STROBE_SHOTS ?? "shots";
mkdirSync(shots, { recursive: true });

const browser = await launch();
const problems = [];
try {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, colorScheme: "light" });
  const page = await context.newPage();
  page.on("pageerror", (e) => problems.push(`error in the page: ${e}`));
  let refused = false; // the browser logs requests that are refused, here or a moment later
  page.on("console", (m) => m.type() === "error" && !(refused && m.text().includes("400")) && problems.push(`console: ${m.text()}`));
  page.on("request", (r) => !r.url().startsWith(new URL(url).origin) && problems.push(`request to another host: ${r.url()}`));

  await page.goto(url);
  const flame = page.locator(".flame");
  await flame.waitFor();
  assert.ok(Number(await flame.getAttribute("data-nodes")) > 1, "the flame graph has frames");
  await page.screenshot({ path: join(shots, "light.png") });

  // Search.
  await page.keyboard.press("/");
  await page.keyboard.type(name);
  await page.waitForFunction(() => Number(document.querySelector(".flame").dataset.matched) > 0);
  assert.match(await page.locator(".matched").innerText(), /%/, "the matched share is shown");
  assert.ok(page.url().includes(`search=${name}`), "the search is in the URL");
  await page.screenshot({ path: join(shots, "search.png") });
  await page.keyboard.press("Escape");

  // One click zooms, back returns.
  await flame.focus();
  await page.keyboard.press("ArrowDown");
  const first = await flame.getAttribute("data-focus");
  await page.keyboard.press("Enter");
  await page.waitForFunction((n) => document.querySelector(".flame").dataset.zoom === n, first);
  assert.ok(page.url().includes("zoom="), "the zoom is in the URL");
  await page.goBack();
  await page.waitForFunction(() => document.querySelector(".flame").dataset.zoom === "all");
  const box = await page.locator(".flame canvas").boundingBox();
  // Below the root there is a frame at every place, and where it is narrow a click shows more of it first.
  const zoomed = () => page.waitForFunction(() => document.querySelector(".flame").dataset.zoom !== "all", null, { timeout: 2000 }).then(() => true, () => false);
  let found = false;
  for (let i = 1; i < 20 && !found; i++) {
    await page.mouse.click(box.x + (box.width * i) / 20, box.y + 19 + 8);
    found = await zoomed();
  }
  assert.ok(found, "a click on a frame zooms");
  await page.mouse.move(box.x + box.width / 3, box.y + 19 + 8); // the frame that fills the width now
  await page.locator(".tooltip").waitFor();
  await page.screenshot({ path: join(shots, "zoom.png") });
  await flame.focus();
  await page.keyboard.press("Home");
  await page.waitForFunction(() => document.querySelector(".flame").dataset.zoom === "all");

  // The picker narrows to a program; the views follow.
  await page.getByRole("button", { name: "+ Filter" }).click();
  await page.getByLabel("Label", { exact: true }).selectOption("process");
  const process = page.getByRole("list", { name: "Values of process" }).locator("label").first();
  await process.waitFor();
  await page.screenshot({ path: join(shots, "picker.png") });
  await process.click();
  await page.waitForFunction(() => decodeURIComponent(location.search).includes("{process="));
  await page.getByRole("button", { name: "Clear", exact: true }).click();
  await page.keyboard.press("Escape");
  await page.waitForFunction(() => !location.search.includes("query="));
  await page.getByRole("tab", { name: "Both" }).click();
  await page.waitForFunction(() => location.search.includes("view=both"));
  await flame.waitFor();
  await page.waitForFunction(() => document.querySelector("main").dataset.ready === "true");
  await page.keyboard.press("d");
  await page.waitForFunction(() => document.documentElement.dataset.theme === "dark");
  await settled(page);
  await page.screenshot({ path: join(shots, "dark.png") });

  // Status: equations that add up digit by digit.
  await page.keyboard.press("5");
  await page.waitForFunction(() => location.search.includes("page=status"));
  await page.locator(".sums .sum").first().waitFor();
  for (const sum of await page.locator(".sums .sum").all()) {
    assert.equal(await sum.getAttribute("data-off"), "0", "the ledger adds up");
    const [whole, ...parts] = (await sum.locator(".amount b").allInnerTexts()).map((n) => Number(n.replaceAll(",", "")));
    assert.equal(parts.reduce((a, b) => a + b, 0), whole, "what is shown adds up");
    assert.match(await sum.innerText(), /adds up/);
  }
  assert.ok((await page.getByRole("group", { name: "Server" }).locator(".amount b").first().innerText()) !== "0", "the server has received something");
  await page.screenshot({ path: join(shots, "status.png") });

  // Hosts: one is found and opened.
  await page.keyboard.press("2");
  await page.waitForFunction(() => location.search.includes("page=hosts"));
  const host = page.locator("tr.host").first();
  await host.waitFor();
  const hostName = await host.getAttribute("data-host");
  await page.keyboard.press("/");
  await page.keyboard.type(hostName);
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  await page.locator("tr.details dl").first().waitFor();
  assert.ok(page.url().includes("open="), "what is open is in the URL");
  await settled(page);
  await page.screenshot({ path: join(shots, "hosts.png") });
  await page.keyboard.press("1");
  await flame.waitFor();

  // A wrong selector says where it is wrong.
  refused = true;
  await page.getByLabel("Selector").fill('{service=~"a("}');
  await page.keyboard.press("Escape"); // closes the list
  await page.keyboard.press("Enter");
  await page.getByRole("alert").waitFor();
  await page.screenshot({ path: join(shots, "error.png") });

  // A link shows the same to somebody else, on a phone as well.
  const phone = await browser.newPage({ viewport: { width: 390, height: 844 }, colorScheme: "light" });
  await phone.goto(`${url}?search=${encodeURIComponent(name)}`);
  await phone.waitForFunction(() => Number(document.querySelector(".flame")?.dataset.matched) > 0);
  await phone.screenshot({ path: join(shots, "phone.png") });
  await phone.goto(`${url}?page=hosts&find=${encodeURIComponent(hostName)}`);
  await phone.locator("tr.host").first().waitFor();
  assert.ok(await phone.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth), "nothing is wider than a phone");
  await phone.screenshot({ path: join(shots, "hosts-phone.png"), fullPage: true });
} finally {
  await browser.close();
}
assert.deepEqual(problems, [], "nothing went wrong in the page");
console.log(`the page shows ${name}; pictures are in ${shots}`);
