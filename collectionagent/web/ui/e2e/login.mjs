// SPDX-License-Identifier: Apache-2.0
// Logs in to and out of a server that needs tokens, as a person would, behind a
// proxy that puts the page below a prefix.
//   STROBE_URL=http://127.0.0.1:7070/ STROBE_TOKEN_FILE=file STROBE_SHOTS=dir node e2e/login.mjs
import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import http from "node:http";
import { join } from "node:path";
import { launch } from "./browser.mjs";

const target = new URL(process.env.STROBE_URL ?? "http://127.0.0.1:7070/");
const token = readFileSync(process.env.STROBE_TOKEN_FILE, "utf8").trim();
const shots = process.env.STROBE_SHOTS ?? "shots";
mkdirSync(shots, { recursive: true });

const prefix = "/tools/strobe";
const asked = [];
const proxy = http.createServer((req, res) => {
  asked.push(req.url);
  if (!req.url.startsWith(`${prefix}/`)) {
    res.writeHead(404).end();
    return;
  }
  const onward = http.request(
    { host: target.hostname, port: target.port, method: req.method, path: req.url.slice(prefix.length), headers: req.headers },
    (answer) => {
      res.writeHead(answer.statusCode, answer.headers);
      answer.pipe(res);
    },
  );
  req.pipe(onward);
});
await new Promise((done) => proxy.listen(0, "127.0.0.1", done));
const url = `http://127.0.0.1:${proxy.address().port}${prefix}/`;

const browser = await launch();
const problems = [];
try {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, colorScheme: "light" });
  const page = await context.newPage();
  page.on("pageerror", (e) => problems.push(`error in the page: ${e}`));
  page.on("console", (m) => m.type() === "error" && !/40[13]/.test(m.text()) && problems.push(`console: ${m.text()}`));

  // Whoever is not logged in gets to the login and comes back to the same view.
  await page.goto(`${url}?from=now-1h&search=main`);
  await page.getByLabel("Token").waitFor();
  await page.screenshot({ path: join(shots, "login.png") });
  await page.getByLabel("Token").fill("strobe_wrong");
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByRole("alert").waitFor();
  assert.match(await page.getByRole("alert").innerText(), /not a token/);
  await page.screenshot({ path: join(shots, "login-wrong.png") });
  await page.getByLabel("Token").fill(token);
  await page.getByRole("button", { name: "Log in" }).click();
  const out = page.getByRole("button", { name: "Log out" });
  await out.waitFor();
  assert.equal(page.url(), `${url}?from=now-1h&search=main`);
  await page.locator("main[data-ready=true]").waitFor();
  await page.screenshot({ path: join(shots, "logged-in.png") });

  // The token is nowhere that a script or a passer-by sees.
  const [cookie] = await context.cookies(url);
  assert.ok(cookie.httpOnly && cookie.sameSite === "Strict", "scripts and other sites do not get the cookie");
  assert.equal(cookie.path, prefix, "other pages of the host do not get the cookie");
  assert.ok(!cookie.value.includes(token) && !token.includes(cookie.value), "the cookie is not the token");
  assert.equal(await page.evaluate(() => document.cookie), "");
  assert.ok(!(await page.evaluate(() => JSON.stringify({ ...localStorage, ...sessionStorage }))).includes(token));
  assert.ok(!asked.some((u) => u.includes(token) || u.includes("strobe_")), "no URL has a token");
  assert.ok(asked.every((u) => u.startsWith(prefix)), `everything stays below the prefix: ${asked}`);

  // Reloading stays in, logging out is for good.
  await page.reload();
  await out.waitFor();
  await out.click();
  await page.getByLabel("Token").waitFor();
  await page.goto(url);
  await page.getByLabel("Token").waitFor();
  assert.equal((await context.cookies(url)).length, 0);
  const dark = await browser.newPage({ viewport: { width: 390, height: 844 }, colorScheme: "dark" });
  await dark.goto(`${url}login`);
  await dark.screenshot({ path: join(shots, "login-phone.png") });
} finally {
  await browser.close();
  proxy.close();
}
assert.deepEqual(problems, []);
console.log("log in and out: ok");
