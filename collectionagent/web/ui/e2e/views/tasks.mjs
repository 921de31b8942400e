// SPDX-License-Identifier: Apache-2.0
// Does the tasks of docs/tasks.md on the page, as they are written there, on the recording.
//   STROBE_URL=http://127.0.0.1:7070/ STROBE_SHOTS=dir STROBE_FROM=ms STROBE_TO=ms node e2e/views/tasks.mjs
import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { launch } from "../browser.mjs";

const url = process.env.STROBE_URL ?? "http://127.0.0.1:7070/";
const shots = process.env.STROBE_SHOTS ?? "shots";
const range = { from: process.env.STROBE_FROM ?? "now-15m", to: process.env.STROBE_TO ?? "now" };
mkdirSync(shots, { recursive: true });

/** The steps of each task as docs/tasks.md numbers them, with the names of what is clicked and the texts that are typed or seen. */
const tasks = readFileSync(new URL("../../../../../docs/tasks.md", import.meta.url), "utf8")
  .split(/^## /m)
  .slice(1)
  .map((text) => ({
    title: text.slice(0, text.indexOf("\n")),
    steps: [...text.slice(text.indexOf("\n")).matchAll(/^\d+\. (.+)$/gm)].map(([, step]) => ({
      text: step,
      bold: [...step.matchAll(/\*\*(.+?)\*\*/g)].map((m) => m[1]),
      code: [...step.matchAll(/`(.+?)`/g)].map((m) => m[1]),
    })),
  }));
assert.equal(tasks.length, 10, "there are ten tasks");
for (const t of tasks) assert.ok(t.steps.length >= 1 && t.steps.length <= 5, `${t.title}: at most five steps, not ${t.steps.length}`);

const browser = await launch();
const problems = [];
const saved = join(shots, "gateway.pb.gz");

/** Opens the page for a task, of which do() does one step at a time. */
const begin = async (number) => {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, acceptDownloads: true });
  const page = await context.newPage();
  page.on("pageerror", (e) => problems.push(`${number}: error in the page: ${e}`));
  page.on("console", (m) => m.type() === "error" && problems.push(`${number}: console: ${m.text()}`));
  page.on("request", (r) => !r.url().startsWith(new URL(url).origin) && !r.url().startsWith("blob:") && problems.push(`${number}: request to another host: ${r.url()}`));
  await page.goto(`${url}?${new URLSearchParams({ ...range, refresh: "0" })}`);
  await page.locator("main[data-ready=true]").waitFor();
  const { title, steps } = tasks[number - 1];
  let done = 0;
  const next = (verb) => {
    const step = steps[done++];
    assert.ok(step, `${title}: step ${done} is not written down`);
    assert.match(step.text, new RegExp(`^${verb} `), `${title}: step ${done}`);
    return step;
  };
  return {
    page,
    /** Clicks what the step names; where() finds it by that name. */
    async click(where) {
      const step = next("Click");
      await where(step.bold[0]).click();
      return step;
    },
    next,
    async end() {
      assert.equal(done, steps.length, `${title}: as many steps as are written down`);
      await page.screenshot({ path: join(shots, `task-${number}.png`) });
      await context.close();
    },
  };
};
const tab = (page) => (name) => page.getByRole("tab", { name, exact: true });
const legend = (page) => (name) => page.locator(".tl-legend").getByRole("button", { name, exact: true });
const button = (page) => (name) => page.getByRole("button", { name, exact: true });
const link = (page) => (name) => page.getByRole("link", { name, exact: true });

try {
  let t = await begin(1);
  await t.click(tab(t.page));
  await t.click((name) => t.page.locator(`[data-view="top"] [data-value="${name}"]`));
  let { code } = await t.click(tab(t.page));
  await t.page.locator(`[data-view="table"] [role=row] >> text="${code[0]}"`).waitFor();
  const firstRow = (view) => t.page.locator(`[data-view="${view}"] [aria-rowindex="2"]`);
  assert.match(await firstRow("table").innerText(), new RegExp(`^\\s*${code[0]}`), "the hottest function is in the first row");
  await t.end();

  t = await begin(2);
  await t.click(tab(t.page));
  await t.click(button(t.page));
  let step = t.next("Choose");
  await t.page.locator(".diff-values").getByLabel(step.bold[0]).selectOption(step.code[0]);
  ({ code } = await t.click((name) => t.page.locator(".diff-values").getByRole("button", { name, exact: true })));
  await t.page.waitForFunction(() => location.search.includes("bquery=") && document.querySelector('[data-view="diff"]')?.dataset.waiting === "false");
  const asked = new URL(t.page.url()).searchParams;
  assert.equal(asked.get("query"), '{service.version="1.1"}', "the newer release is the selection");
  assert.equal(asked.get("bquery"), '{service.version="1.0"}', "the older one is the base");
  await t.page.locator(".diff-table tbody td.name button").first().filter({ hasText: code[0] }).waitFor();
  assert.match(await t.page.locator(".diff-summary").innerText(), new RegExp(`mostly in ${code[0]}`), "the sentence says the same");
  await t.end();

  t = await begin(3);
  await t.click(legend(t.page));
  ({ code } = await t.click(tab(t.page)));
  await t.page.waitForFunction(() => document.querySelector('[data-view="tracks"]')?.dataset.waiting === "false");
  assert.equal(await t.page.locator(".tracks-name b").first().innerText(), code[0], "the busiest thread comes first");
  await t.end();

  t = await begin(4);
  await t.click(tab(t.page));
  step = t.next("Type");
  await t.page.locator("#chooser-filter").waitFor();
  await t.page.waitForFunction(() => document.activeElement?.id === "chooser-filter");
  await t.page.keyboard.type(step.code[0]);
  step = t.next("Press");
  await t.page.keyboard.press(step.bold[0]);
  const sandwich = t.page.locator('[data-view="sandwich"]');
  await t.page.waitForFunction(() => document.querySelector('[data-view="sandwich"]')?.dataset.fn === "PyNumber_And");
  assert.equal(await sandwich.getAttribute("data-callers"), "1");
  await t.page.locator(".side").getByText(step.code[0]).first().waitFor();
  await t.end();

  t = await begin(5);
  await t.click(legend(t.page));
  await t.page.waitForFunction(() => location.search.includes("gateway") && document.querySelector("main").dataset.ready === "true");
  await t.click((name) => t.page.getByRole("button", { name: /^Save/ }).filter({ hasText: name }));
  const download = t.page.waitForEvent("download");
  ({ code } = await t.click((name) => t.page.getByRole("menuitem", { name: new RegExp(`^${name}`) })));
  await (await download).saveAs(saved);
  assert.ok(gunzipSync(readFileSync(saved)).includes(code[1]), "the profile has the function");
  await t.end();

  t = await begin(6);
  await t.click(legend(t.page));
  await t.click(tab(t.page));
  step = t.next("Choose");
  await t.page.getByLabel(step.bold[0]).setInputFiles(saved);
  await t.page.locator(".diff-summary").getByText(step.code[0]).waitFor();
  await t.end();

  t = await begin(7);
  await t.click(tab(t.page));
  ({ code } = await t.click((name) => t.page.locator(`[data-view="top"] button[data-label="${name}"]`)));
  await t.page.waitForFunction(() => document.querySelector('[data-view="top"]')?.dataset.by === "host" && document.querySelector('[data-view="top"]').dataset.ready === "1");
  assert.equal(await firstRow("top").getAttribute("data-value"), code[0], "the host that takes most comes first");
  await t.end();

  t = await begin(8);
  await t.click(tab(t.page));
  await t.page.waitForFunction(() => Number(document.querySelector('[data-view="heatmap"]')?.dataset.total) > 0);
  const box = await t.page.locator(".heat-plot canvas").boundingBox();
  t.next("Drag");
  await t.page.mouse.move(box.x + box.width * 0.9, box.y + box.height * 0.7);
  await t.page.mouse.down();
  await t.page.mouse.move(box.x + box.width * 0.94, box.y + box.height * 0.3, { steps: 4 });
  await t.page.mouse.up();
  await t.page.waitForFunction(() => Number(document.querySelector(".subset")?.dataset.nodes) > 1);
  await t.click(button(t.page));
  await t.page.waitForFunction((from) => Number(new URL(location.href).searchParams.get("from")) > Number(from), range.from);
  await t.end();

  t = await begin(9);
  await t.click(link(t.page));
  ({ code } = await t.click((name) => t.page.getByRole("button", { name: new RegExp(name) })));
  await t.page.waitForFunction((name) => document.querySelector('[data-page="executables"] tbody tr')?.textContent.includes(name), code[0]);
  await t.end();

  t = await begin(10);
  await t.click(link(t.page));
  ({ code } = await t.click(link(t.page)));
  await t.page.locator('[data-page="hosts"] tbody tr').first().getByText(code[0]).waitFor();
  await t.end();
} finally {
  await browser.close();
}
assert.deepEqual(problems, [], "nothing went wrong in the page");
console.log("ten tasks take at most five steps each");
