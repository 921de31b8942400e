// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { goneBefore, source } from "../src/model/coverage";

const day = 86_400_000;
const cover = (resolution_ms: number, horizon_ms = 0) => ({ resolution_ms, from_ms: 0, to_ms: 0, horizon_ms });

describe("coverage", () => {
  test("what answers are made from has a name", () => {
    expect(source(cover(1))).toBe("from samples");
    expect(source(cover(60_000))).toBe("from sums per minute");
    expect(source(cover(3_600_000))).toBe("from sums per hour");
  });
  test("data that are gone are told of", () => {
    const now = 1_795_255_200_000;
    expect(goneBefore(now - 30 * day, now, cover(1, now - 7 * day))).toBe(now - 7 * day);
  });
  test("but not for a moment, and not when none are", () => {
    const now = 1_795_255_200_000;
    expect(goneBefore(now - 7 * day, now, cover(1, now - 7 * day + 60_000))).toBe(0);
    expect(goneBefore(now - 7 * day, now, cover(1, now - 400 * day))).toBe(0);
    expect(goneBefore(now - 7 * day, now, cover(1))).toBe(0);
  });
});
