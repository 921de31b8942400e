// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import type { HeatmapAnswer } from "../src/api/client";
import { lengthText, offset } from "../src/ui/times";
import { Grid, rowsFor, type Cell } from "../src/views/heatmap/grid";
import { heat, oklch, ramp } from "../src/views/heatmap/ramp";

const answer = (more: Partial<HeatmapAnswer> = {}): HeatmapAnswer => ({
  type: "on_cpu",
  unit: "nanoseconds",
  total: 600e6,
  samples: 12,
  coverage: { resolution_ms: 1, from_ms: 0, to_ms: 0, horizon_ms: 0 },
  by: "time",
  column_ms: 1000,
  start_ms: 10_000,
  columns: 4,
  rows: [0, 250e6, 500e6, 750e6],
  cells: { column: [0, 1, 1, 2, 3], row: [3, 0, 3, 1, 0], samples: [1, 2, 3, 2, 4], value: [50e6, 100e6, 150e6, 100e6, 200e6] },
  ...more,
});
const cell = (column: number, row: number): Cell => ({ column, row });

describe("cells of a heatmap", () => {
  const g = new Grid(answer());
  test("have the time that they are of", () => {
    expect(g.time(cell(1, 0))).toEqual({ from: 11_000, to: 11_250 });
    expect(g.time(cell(1, 3))).toEqual({ from: 11_750, to: 12_000 });
  });
  test("a brush is all time from the first to the last, whichever comes first", () => {
    const want = { from: 10_750, to: 12_500 };
    expect(g.span(cell(0, 3), cell(2, 1))).toEqual(want);
    expect(g.span(cell(2, 1), cell(0, 3))).toEqual(want);
    expect(g.span(cell(1, 2), cell(1, 2))).toEqual({ from: 11_500, to: 11_750 });
  });
  test("a brush upwards in later columns takes whole columns between", () => {
    const s = g.span(cell(0, 3), cell(2, 1));
    expect([0, 1, 2, 3].map((c) => g.covered(c, s))).toEqual([{ from: 3, to: 4 }, { from: 0, to: 4 }, { from: 0, to: 2 }, null]);
    expect(g.sum(s)).toEqual({ value: 400e6, samples: 8 });
    expect(g.sum({ from: 10_000, to: 14_000 })).toEqual({ value: 600e6, samples: 12 });
  });
  test("of values a brush takes whole columns", () => {
    const v = new Grid(answer({ by: "value", rows: [1 << 20, 1 << 21], cells: { column: [1], row: [1], samples: [1], value: [3e6] } }));
    expect(v.span(cell(1, 0), cell(1, 1))).toEqual({ from: 11_000, to: 12_000 });
    expect(v.rowText(0)).toContain("–");
  });
  test("nothing is outside", () => {
    expect(g.inside(cell(-3, 99))).toEqual(cell(0, 3));
  });
  test("samples that all stand for the same have a period", () => {
    expect(g.periodMs).toBe(50);
    expect(new Grid(answer({ cells: { column: [0, 1], row: [0, 0], samples: [1, 1], value: [1, 2] } })).periodMs).toBe(0);
    expect(new Grid(answer({ columns: 2, cells: { column: [], row: [], samples: [], value: [] } })).periodMs).toBe(0);
  });
  test("rows are no shorter than the time between samples", () => {
    for (const p of [50, 100, 20, 10, 1]) expect(1000 % Number(rowsFor(p))).toBe(0);
    expect(1000 / Number(rowsFor(50))).toBe(50);
  });
  test("texts", () => {
    expect([0, 250e6, 1.5e9, 120e9, 7200e9].map(offset)).toEqual(["0", "250 ms", "1.5 s", "2 min", "2 h"]);
    expect(lengthText({ from: 5, to: 865 })).toBe("860 ms");
  });
});

describe("colours of amounts", () => {
  // The relative luminance of sRGB: what remains when hues are not seen.
  const luminance = ([r, g, b]: number[]) => {
    const linear = (v: number) => (v <= 10 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4);
    return 0.2126 * linear(r!) + 0.7152 * linear(g!) + 0.0722 * linear(b!);
  };
  test("get lighter on dark and darker on light, all the way", () => {
    for (const dark of [true, false]) {
      const l = ramp(64, dark).map(luminance);
      for (let i = 1; i < l.length; i++) expect(dark ? l[i]! - l[i - 1]! : l[i - 1]! - l[i]!).toBeGreaterThan(0);
    }
  });
  test("known colours", () => {
    expect(oklch(1, 0, 0)).toEqual([255, 255, 255]);
    expect(oklch(0, 0, 0)).toEqual([0, 0, 0]);
    expect(heat(2, true)).toEqual(heat(1, true));
  });
});
