// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { moved, parseDuration, parseTime, pinned, readTime, refreshMs, relative, scaled } from "../src/model/timerange";

const now = Date.UTC(2026, 10, 21, 10, 0, 0);
const min = 60_000;

test.each<[string, number | null]>([
  ["5m", 300_000],
  ["1h30m", 5_400_000],
  ["90", 90_000],
  ["1.5s", 1500],
  ["250ms", 250],
  ["1y", 365 * 86_400_000],
  ["", null],
  ["x", null],
  ["5 m", null],
])("duration %s", (text, want) => expect(parseDuration(text)).toBe(want));

test.each<[string, number | null]>([
  ["now", now],
  ["now-2h", now - 120 * min],
  ["2026-11-21T10:00:00Z", now],
  ["2026-11-21T11:00:00.5+01:00", now + 500],
  [String(now), now],
  [String(now / 1000), now],
  ["now+1h", null],
  ["yesterday", null],
  ["2026-11-21", null],
])("time %s", (text, want) => expect(parseTime(text, now)).toBe(want));

describe("what a person types", () => {
  test.each([
    ["now-2h", "now-2h"],
    [" 2h ", "now-2h"],
    ["-1h30m", "now-1h30m"],
    ["now", "now"],
    ["2026-11-21T10:00:00Z", "2026-11-21T10:00:00Z"],
    ["1795255200000", "1795255200000"],
    ["2026-11-20", String(new Date(2026, 10, 20).getTime())],
    ["2026-11-20 09:30", String(new Date(2026, 10, 20, 9, 30).getTime())],
    ["tomorrow", null],
    ["25:00", null],
    ["", null],
  ])("%s", (text, want) => expect(readTime(text, now)).toBe(want));
  test("a time of day is the last one", () => {
    const at = new Date(2026, 10, 21, 12, 0).getTime();
    expect(readTime("11:30", at)).toBe(String(at - 30 * min));
    expect(readTime("12:30", at)).toBe(String(at + 30 * min - 86_400_000));
  });
});

test("earlier and later", () => {
  const live = { from: "now-10m", to: "now" };
  const once = moved(live, now, -1);
  expect(once).toEqual({ from: String(now - 15 * min), to: String(now - 5 * min) });
  expect(moved(once, now, 1)).toEqual(live); // back at now it moves on again
  expect(moved(once, now + 8000, 1)).toEqual(live); // although time went by
  expect(moved({ from: String(now - 60 * min), to: String(now - 50 * min) }, now, 1)).toEqual({ from: String(now - 55 * min), to: String(now - 45 * min) });
});

test("longer and shorter", () => {
  const live = { from: "now-15m", to: "now" };
  expect(scaled(live, now, 1)).toEqual({ from: "now-30m", to: "now" });
  expect(scaled(live, now, -1)).toEqual({ from: "now-5m", to: "now" });
  expect(scaled({ from: "now-365d", to: "now" }, now, 1)).toEqual({ from: "now-365d", to: "now" });
  const past = { from: String(now - 65 * min), to: String(now - 60 * min) };
  expect(scaled(past, now, 1)).toEqual({ from: String(now - 70 * min), to: String(now - 55 * min) }); // around the middle
});

test("ends that do not move", () => {
  expect(pinned({ from: "now-1h", to: "now" }, now)).toEqual({ from: String(now - 60 * min), to: String(now) });
  expect([relative(900_000), relative(90_000), relative(1234)]).toEqual(["now-15m", "now-90s", "now-1234ms"]);
});

test("refreshes", () => expect(["0", "5", "x", "0.01", ""].map(refreshMs)).toEqual([0, 5000, 0, 0, 0]));
