// SPDX-License-Identifier: Apache-2.0
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { repeat } from "../src/api/repeat";

const page = Object.assign(new EventTarget(), { hidden: false });
const see = (seen: boolean) => {
  page.hidden = !seen;
  page.dispatchEvent(new Event("visibilitychange"));
};
const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);
let asked = 0;
const ask = async () => void asked++;

beforeEach(() => {
  asked = 0;
  page.hidden = false;
  vi.useFakeTimers();
  vi.stubGlobal("document", page);
  vi.stubGlobal("window", globalThis);
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

test("to pause asks nothing, to go on asks at once", async () => {
  const r = repeat(ask, 5000);
  await pass(5000);
  expect(asked).toBe(2);
  r.every(0);
  await pass(60000);
  expect(asked).toBe(2);
  r.every(5000);
  await pass(0);
  expect(asked).toBe(3);
  await pass(5000);
  expect(asked).toBe(4);
  r.stop();
  await pass(60000);
  expect(asked).toBe(4);
});

test("a question that is on its way goes on when paused, and no other follows", async () => {
  let answer = () => {};
  const signals: AbortSignal[] = [];
  const r = repeat((s) => new Promise((done) => (signals.push(s), (answer = done))), 5000);
  r.every(0);
  expect(signals[0]!.aborted).toBe(false);
  answer();
  await pass(60000);
  expect(signals.length).toBe(1);
  r.stop();
});

test("another interval holds from now on, with one question at a time", async () => {
  const r = repeat(ask, 60000);
  await pass(0);
  r.every(1000);
  await pass(3000);
  expect(asked).toBe(4);
  r.stop();
});

test("a page that nobody looks at asks when somebody does, once", async () => {
  page.hidden = true;
  const r = repeat(ask, 5000);
  await pass(60000);
  expect(asked).toBe(0);
  r.every(0); // the first answer is wanted all the same
  see(true);
  await pass(60000);
  expect(asked).toBe(1);
  r.every(5000);
  await pass(0);
  see(false);
  await pass(60000);
  expect(asked).toBe(2);
  r.every(0);
  see(true);
  await pass(60000);
  expect(asked).toBe(2);
  r.stop();
});
