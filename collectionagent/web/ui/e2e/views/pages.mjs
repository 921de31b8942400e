// SPDX-License-Identifier: Apache-2.0
// Drives the pages beside Explore of a running server as a person would, with the keyboard where that is shorter.
//   STROBE_URL=http://127.0.0.1:7070/ STROBE_SHOTS=dir node e2e/views/pages.mjs
// With STROBE_SEND=1 it sends events to the server first, so that there are some.
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { launch } from "../browser.mjs";

const url = process.env.STROBE_URL ?? "http://127.0.0.1:7070/";
const shots = process.env.STROBE_SHOTS ?? "shots";
const { STROBE_FROM: from, STROBE_TO: to } = process.env;
mkdirSync(shots, { recursive: true });

const at = (parameters) => {
  const p = new URLSearchParams(parameters);
  if (from) p.set("from", from);
  if (to) p.set("to", to);
  return `${url}?${p}`;
};

if (process.env.STROBE_SEND) {
  for (let i = 1; i <= 12; i++) {
    const time = from ? String(Math.round(Number(from) + (Number(to) - Number(from)) * (i / 13))) : `now-${i * 13}s`;
    const upload = new URL(`api/v1/upload?${new URLSearchParams({ type: "event", service: "shop", host: "web-1", time, "event.name": i % 3 ? "oom" : "hung_task", "event.title": i % 3 ? "shop was killed" : "jbd2 waits for the disk", device: `sd${"abc"[i % 3]}` })}`, url);
    const r = await fetch(upload, { method: "POST", body: i % 3 ? "cgroup_charge;out_of_memory;oom_kill_process 1\n" : "kthread;jbd2_commit;io_schedule 2\n" });
    assert.equal(r.status, 200, await r.text());
  }
}

const browser = await launch();
const problems = [];
try {
  const open = async (options) => {
    const context = await browser.newContext(options);
    await context.grantPermissions(["clipboard-read", "clipboard-write"]).catch(() => {});
    const page = await context.newPage();
    page.on("pageerror", (e) => problems.push(`error in the page: ${e}`));
    page.on("console", (m) => m.type() === "error" && problems.push(`console: ${m.text()}`));
    page.on("request", (r) => !r.url().startsWith(new URL(url).origin) && problems.push(`request to another host: ${r.url()}`));
    return page;
  };
  const ready = (page, name) => page.locator(`[data-page="${name}"][data-ready="true"]`).waitFor();
  const wide = { viewport: { width: 1440, height: 900 } };
  const page = await open({ ...wide, colorScheme: "light" });

  // Hosts: found, opened and closed by keyboard alone, sorted, and a link to the profile of one.
  await page.goto(at({ page: "hosts" }));
  await ready(page, "hosts");
  const host = page.locator("tr.host").first();
  await host.waitFor();
  const name = await host.getAttribute("data-host");
  await page.keyboard.press("/");
  assert.equal(await page.evaluate(() => document.activeElement.className), "search", "/ goes to the filter");
  await page.keyboard.type(name);
  await page.waitForFunction((n) => location.search.includes(`find=${encodeURIComponent(n)}`), name);
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  const details = page.locator("tr.details dl").first();
  await details.waitFor();
  assert.ok(page.url().includes("open="), "what is open is in the URL");
  for (const sum of await page.locator("tr.details .sum").all()) {
    assert.equal(await sum.getAttribute("data-off"), "0", "the ledger of a host adds up");
    const [whole, ...parts] = (await sum.locator(".amount b").allInnerTexts()).map((n) => Number(n.replaceAll(",", "")));
    assert.equal(parts.reduce((a, b) => a + b, 0), whole, "what is shown adds up");
  }
  await page.screenshot({ path: join(shots, "hosts-light.png") });
  await page.keyboard.press("Enter");
  await details.waitFor({ state: "detached" });
  await page.getByRole("button", { name: /^Captured/ }).click();
  assert.equal(await page.getByRole("columnheader", { name: /^Captured/ }).getAttribute("aria-sort"), "descending");
  const chips = page.getByRole("group", { name: "Hosts by state" }).getByRole("button");
  await chips.first().click();
  await page.waitForFunction(() => location.search.includes("find=is%3A"));
  assert.ok((await page.locator("tr.host").count()) > 0, "a state selects its hosts");
  const link = page.getByRole("link", { name: /^Profile of/ }).first();
  assert.match(await link.getAttribute("href"), /query=.*host/);
  await link.click();
  await page.waitForFunction(() => !location.search.includes("page=") && location.search.includes("query="));
  await page.goBack();
  await ready(page, "hosts");

  // Executables: shares, names, copy, and the profile of one.
  await page.goto(at({ page: "executables" }));
  await ready(page, "executables");
  const rows = page.locator("tr.executable");
  await rows.first().waitFor();
  assert.ok(Number(await page.locator("[data-page=executables]").getAttribute("data-total")) > 0);
  const first = await rows.first().getAttribute("data-name");
  await page.locator(".pg-row-head").first().focus();
  for (const key of ["ArrowDown", "ArrowUp", "End", "Home", "Enter"]) await page.keyboard.press(key);
  await page.locator("tr.details dl").first().waitFor();
  await page.screenshot({ path: join(shots, "executables-light.png") });
  await page.keyboard.press("Enter");
  const copy = rows.getByRole("button", { name: "Copy build ID" }).first();
  const id = await copy.evaluate((b) => b.previousElementSibling.title);
  await copy.click();
  await page.waitForFunction(() => [...document.querySelectorAll(".pg-copy button")].some((b) => b.textContent === "✓"));
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), id, "the build ID is in the clipboard");
  await page.keyboard.press("/");
  await page.keyboard.type(first);
  await page.waitForFunction(() => Number(document.querySelector("[data-page=executables]").dataset.rows) >= 1);
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: /^Unnamed/ }).click();
  assert.equal(await page.getByRole("columnheader", { name: /^Unnamed/ }).getAttribute("aria-sort"), "descending");
  const ofFile = page.getByRole("link", { name: `Profile of ${first}`, exact: true }).first();
  assert.match(await ofFile.getAttribute("href"), /t=focus%3Abinary%3D/);

  // Events: a list with links to what ran around them, or what to do to have some.
  await page.goto(at({ page: "events" }));
  await ready(page, "events");
  const events = page.locator("tr.event");
  if (Number(await page.locator("[data-page=events]").getAttribute("data-rows")) > 0) {
    await page.locator(".pg-histogram canvas").waitFor();
    const [after, before] = await events.evaluateAll((list) => list.slice(0, 2).map((r) => r.querySelector("time").dateTime));
    assert.ok(!before || after >= before, "the newest come first");
    assert.match(await events.first().getByRole("link", { name: "±30 s" }).getAttribute("href"), /from=\d+&to=\d+/);
    const own = events.getByRole("link", { name: "stacks" }).first();
    if (await own.count()) assert.match(await own.getAttribute("href"), /type=event/);
    const kind = await events.first().getAttribute("data-kind");
    await page.keyboard.press("/");
    await page.keyboard.type(kind);
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Enter");
    await page.locator("tr.details dl").waitFor();
  } else await page.locator(".pg-empty pre").waitFor();
  await page.screenshot({ path: join(shots, "events-light.png") });
  await page.goto(at({ page: "events", query: '{service="nobody"}' }));
  await page.locator(".pg-empty pre").waitFor();
  await page.screenshot({ path: join(shots, "events-none.png") });

  // Status: equations that add up digit by digit, storage, retention.
  await page.goto(at({ page: "status" }));
  await ready(page, "status");
  const sums = await page.locator(".sums .sum").all();
  assert.ok(sums.length >= 1);
  for (const sum of sums) {
    assert.equal(await sum.getAttribute("data-off"), "0", "the ledger adds up");
    const [whole, ...parts] = (await sum.locator(".amount b").allInnerTexts()).map((n) => Number(n.replaceAll(",", "")));
    assert.equal(parts.reduce((a, b) => a + b, 0), whole, "what is shown adds up");
    assert.match(await sum.innerText(), /adds up/);
  }
  for (const part of ["server", "ingest", "storage", "retention", "targets"]) assert.ok(await page.locator(`[data-part=${part}]`).count(), `${part} is there`);
  assert.match(await page.locator("[data-part=retention]").innerText(), /stay/);
  await page.screenshot({ path: join(shots, "status-light.png") });

  // An error says what to do and does not take away what is there.
  await page.route("**/api/v1/status*", (route) => route.abort());
  await page.getByRole("alert").filter({ hasText: "asks again" }).waitFor();
  assert.ok(await page.locator("[data-part=server]").isVisible(), "what is there stays");
  await page.unroute("**/api/v1/status*");
  await page.getByRole("button", { name: "Ask again" }).click();
  await page.getByRole("alert").filter({ hasText: "asks again" }).waitFor({ state: "detached" });
  problems.splice(0, problems.length, ...problems.filter((p) => !/ERR_FAILED/.test(p))); // those just made

  // Ten thousand files: only those in sight are drawn, all are reached.
  const many = 10_000;
  await page.route("**/api/v1/executables*", async (route) => {
    const executables = Array.from({ length: many }, (_, i) => ({
      file_id: String(i).padStart(32, "0"), build_id: String(i).padStart(40, "a"), name: `lib${i}.so`, path: "", kind: "native", runtime: "",
      self: many - i, value: many - i, unnamed: i % 7 ? 0 : 5, frames: 7, named_frames: i % 7 ? 7 : 3, line_frames: 0, symbolized: i % 7 ? 1 : 0.4,
    }));
    await route.fulfill({ json: { type: "on_cpu", unit: "nanoseconds", from_ms: 0, to_ms: 1000, total: many, samples: many, coverage: {}, symbolized: 0.9, executables, hidden: 3 } });
  });
  await page.goto(at({ page: "executables" }));
  await ready(page, "executables");
  assert.ok((await rows.count()) < 120, "few rows are drawn");
  await page.locator(".pg-row-head").first().focus();
  await page.keyboard.press("End");
  await page.waitForFunction(() => document.activeElement.closest("tr")?.dataset.name === "lib9999.so");
  await page.keyboard.press("Enter");
  await page.locator("tr.details dl").waitFor();
  await page.keyboard.press("Enter");
  await page.keyboard.press("Home");
  await page.waitForFunction(() => document.activeElement.closest("tr")?.dataset.name === "lib0.so");
  for (let i = 0; i < 60; i++) await page.keyboard.press("ArrowDown");
  await page.waitForFunction(() => document.activeElement.closest("tr")?.dataset.name === "lib60.so");
  const box = await page.evaluate(() => document.activeElement.getBoundingClientRect().toJSON());
  assert.ok(box.top > 0 && box.bottom < 900, "the row with the focus is in sight");

  // Dark, and a phone.
  const dark = await open({ ...wide, colorScheme: "dark" });
  const phone = await open({ viewport: { width: 390, height: 844 }, colorScheme: "light", deviceScaleFactor: 2 });
  for (const p of ["hosts", "executables", "events", "status"]) {
    await dark.goto(at({ page: p }));
    await ready(dark, p);
    await dark.screenshot({ path: join(shots, `${p}-dark.png`) });
    await phone.goto(at({ page: p }));
    await ready(phone, p);
    assert.ok(await phone.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth), `${p}: nothing is wider than a phone`);
    await phone.screenshot({ path: join(shots, `${p}-phone.png`), fullPage: p === "status" });
  }
} finally {
  await browser.close();
}
assert.deepEqual(problems, [], "nothing went wrong in the page");
console.log(`the pages do what they should; pictures are in ${shots}`);
