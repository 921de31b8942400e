// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { rateOf, roundUp, timeTicks } from "../src/model/timeaxis";

const at = (h: number, m: number, s = 0) => new Date(2026, 10, 21, h, m, s).getTime();

describe("ticks", () => {
  test("are round", () => {
    expect(timeTicks(at(9, 47, 13), at(10, 2, 13), 8).map((t) => t.text)).toEqual(["09:48", "09:50", "09:52", "09:54", "09:56", "09:58", "10:00", "10:02"]);
    expect(timeTicks(at(9, 0, 1), at(9, 1, 1), 4).map((t) => t.text)).toEqual(["09:00:15", "09:00:30", "09:00:45", "09:01:00"]);
  });
  test("a new day has its date", () => {
    expect(timeTicks(at(-6, 30), at(12, 0), 4).map((t) => t.text)).toEqual(["11-21", "06:00", "12:00"]);
    expect(timeTicks(new Date(2026, 0, 1).getTime(), new Date(2026, 11, 31).getTime(), 6).length).toBeLessThanOrEqual(6);
  });
  test("end for any range", () => {
    for (const span of [1, 1000, 1e6, 1e9, 1e12, 1e14]) expect(timeTicks(0, span, 10).length).toBeLessThanOrEqual(12);
  });
});

test("round values", () => expect([0, 0.7, 1, 1.1, 2.2, 3, 7, 99, 101].map(roundUp)).toEqual([1, 1, 1, 2, 2.5, 5, 10, 100, 200]));

test("rates", () => {
  const show = (type: string, unit: string, snapshot: boolean, value: number) => {
    const r = rateOf(type, unit, snapshot, 5000);
    return r.text(value / r.per);
  };
  expect(show("on_cpu", "nanoseconds", false, 7.5e9)).toBe("1.5 CPUs");
  expect(show("off_cpu", "nanoseconds", false, 10e9)).toBe("2.00 s per s");
  expect(show("alloc_space", "bytes", false, 5 * 2048)).toBe("2.00 KiB/s");
  expect(show("event", "count", false, 10)).toBe("2/s");
  expect(show("inuse_space", "bytes", true, 1024)).toBe("1.00 KiB");
});
