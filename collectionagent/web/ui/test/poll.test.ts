// SPDX-License-Identifier: Apache-2.0
// usePolled in a component that draws nothing, so that it needs no document but its visibility.
import { h, render } from "preact";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { usePolled, type Polled } from "../src/pages/poll";

const page = Object.assign(new EventTarget(), { hidden: false });
const see = (seen: boolean) => {
  page.hidden = !seen;
  page.dispatchEvent(new Event("visibilitychange"));
};
const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);
const parent = { childNodes: [], firstChild: null } as unknown as Element;
let asked = 0;
let polled: Polled<number>;

function Nothing({ subject, everyMs }: { subject: string; everyMs: number }) {
  polled = usePolled(async () => ++asked, subject, subject, everyMs);
  return null;
}
const show = (subject: string, everyMs = 5000) => render(h(Nothing, { subject, everyMs }), parent);

beforeEach(() => {
  asked = 0;
  page.hidden = false;
  vi.useFakeTimers();
  vi.stubGlobal("document", page);
  vi.stubGlobal("window", globalThis);
});
afterEach(() => {
  render(null, parent);
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

test("a hidden page asks nothing and keeps what it has; when seen again it asks at once, and goes on", async () => {
  show("host=a");
  await pass(100); // effects come after a frame
  expect(polled.data).toBe(1);
  await pass(5000);
  expect(polled.data).toBe(2);
  see(false);
  await pass(600_000);
  expect(asked).toBe(2);
  expect(polled).toMatchObject({ data: 2, error: "", stale: false });
  see(true);
  await pass(100);
  expect(polled.data).toBe(3);
  await pass(5000);
  expect(polled.data).toBe(4);
});

test("what is chosen while the page is hidden is asked for when it is seen, and what was before is not", async () => {
  show("host=a");
  await pass(100);
  see(false);
  await pass(10_000);
  show("host=b");
  await pass(10_000);
  expect(asked).toBe(1);
  expect(polled.data).toBe(null); // that of another is not shown
  see(true);
  await pass(100);
  expect(asked).toBe(2);
  expect(polled.data).toBe(2);
});

test("who left the page while it was hidden asks no more", async () => {
  show("host=a");
  await pass(100);
  see(false);
  await pass(10_000);
  render(null, parent);
  await pass(100);
  see(true);
  await pass(600_000);
  expect(asked).toBe(1);
});
