// SPDX-License-Identifier: Apache-2.0
import { parseState } from "../src/state/state";
import { ofFile } from "../src/views/diff/sides";
import { describe, expect, test } from "vitest";
import type { DiffAnswer } from "../src/api/client";
import { changed, earlier, joined, shade, shadeColour, side, stateOf, summary, treeRows, type Row } from "../src/views/diff/compare";
import { sorted } from "../src/views/diff/table";

const row = (name: string, self: number, baseSelf: number, total = self, baseTotal = baseSelf): Row => ({ name, file: "", binary: "", kind: "native", self, total, baseSelf, baseTotal });
const rows = [row("same", 10, 10), row("slower", 30, 10), row("new", 5, 0), row("faster", 10, 40), row("gone", 0, 8), row("caller", 0, 0, 30, 10)];

describe("rows of a comparison", () => {
  test("what got worse is first, what got better last", () => {
    expect(sorted(rows, "").list.map((r) => r.name)).toEqual(["slower", "new", "caller", "same", "gone", "faster"]);
    expect(sorted(rows, "dself").list[0]!.name).toBe("faster");
    expect(sorted(rows, "-baseSelf").list[0]!.name).toBe("faster");
    expect(sorted(rows, "name").list[0]!.name).toBe("caller");
    expect(sorted(rows, "-nonsense").column).toBe("dself");
  });
  test("what became of a function", () => {
    expect(rows.map(stateOf)).toEqual(["same", "more", "new", "less", "gone", "more"]);
  });
});

describe("the summary", () => {
  const text = (list: Row[], now: number, base: number) => summary(list, { now, base }, "count", false).join(" ");
  test("says how much and where", () => {
    const said = text([row("slower", 3000, 1000), row("other", 2100, 2000), row("faster", 100, 900)], 5200, 3900);
    expect(said).toContain("Total grew by 33.3 %");
    expect(said).toContain("mostly in slower (+2.00 k, 95.2 % of it)");
    expect(said).toContain("faster (−800");
  });
  test("says so when it is spread", () => {
    const list = Array.from({ length: 50 }, (_, i) => row(`f${i}`, 110, 100));
    expect(text(list, 5500, 5000)).toContain("spread over many functions");
  });
  test("of nothing", () => {
    expect(text([], 0, 0)).toBe("There is nothing on either side.");
    expect(text([], 5, 0)).toContain("base is empty");
    expect(text([], 0, 5)).toContain("selection is empty");
    expect(text([row("a", 5, 5)], 5, 5)).toBe("Total did not change. No function changed by more than a thousandth of all.");
  });
  test("words for a change", () => {
    expect([changed(112, 100), changed(90, 100), changed(400, 100), changed(1, 0), changed(0, 0), changed(0, 10)]).toEqual(["grew by 12.0 %", "fell by 10.0 %", "is 4.0 times as much", "is all new", "is nothing on both sides", "fell by 100 %"]);
  });
});

describe("trees of both sides", () => {
  const answer = {
    type: "on_cpu",
    unit: "nanoseconds",
    strings: ["all", "", "label", "main", "native", "old", "fresh"],
    frames: { name: [0, 3, 5, 6], file: [1, 1, 1, 1], line: [0, 0, 0, 0], binary: [1, 1, 1, 1], kind: [2, 4, 4, 4], inlined: [0, 0, 0, 0] },
    nodes: { frame: [0, 1, 3, 2], depth: [0, 1, 2, 2], self: [0, 10, 20, 0], total: [], base_self: [0, 10, 0, 40], base_total: [] },
  } as unknown as DiffAnswer;
  test("the base is scaled", () => {
    const t = joined(answer, 0.5);
    expect([...t.baseTotal!]).toEqual([25, 25, 0, 20]);
    expect([...t.total]).toEqual([30, 30, 20, 0]);
    expect(treeRows(t).map((r) => [r.name, r.self, r.baseSelf])).toEqual([["main", 10, 5], ["old", 0, 20], ["fresh", 20, 0]]);
  });
  test("a side has what it has", () => {
    const t = joined(answer, 1);
    const now = side(t, false);
    const base = side(t, true);
    expect(now.of).toEqual([0, 1, 2]);
    expect(base.of).toEqual([0, 1, 3]);
    expect(base.tree.name(2)).toBe("old");
    expect([...base.tree.total]).toEqual([50, 50, 40]);
  });
});

describe("shades", () => {
  test("grey for the same, the strongest for new and gone", () => {
    expect(shade(5, 5, 100)).toBe(0);
    expect(shade(100, 0, 100)).toBe(1);
    expect(shade(0, 100, 100)).toBe(-1);
    expect(Math.abs(shade(0.01, 0.02, 100))).toBeLessThan(0.2);
    expect(shade(1, 0, 0)).toBe(0);
  });
  test("more is orange and less is blue", () => {
    for (const dark of [true, false]) {
      const parts = (s: number) => shadeColour(s, dark).match(/\d+/g)!.map(Number);
      expect(parts(1)[0]).toBeGreaterThan(parts(1)[2]!);
      expect(parts(-1)[2]).toBeGreaterThan(parts(-1)[0]!);
      const [r, g, b] = parts(0);
      expect(Math.max(r!, g!, b!) - Math.min(r!, g!, b!)).toBeLessThan(16);
    }
  });
});

describe("times of the base", () => {
  test("earlier keeps the form", () => {
    expect(earlier("now", 3600e3, 0)).toBe("now-1h");
    expect(earlier("now-15m", 3600e3, 0)).toBe("now-75m");
    expect(earlier("1700000000000", 1000, 0)).toBe("1699999999000");
    expect(earlier("nonsense", 1000, 0)).toBe("nonsense");
  });
  test("of a file are those of the page, or as long", () => {
    const s = { ...parseState("?file=1&view=diff&from=now-10m"), query: '{a="b"}' };
    const at = (more: Partial<typeof s>) => {
      const { from, to, query } = ofFile({ ...s, ...more }, "on_cpu", 200_000_600_000);
      return [from, to, query];
    };
    expect(at({})).toEqual(["now-10m", "now", '{a="b"}']);
    expect(at({ from: "100000000000", to: "100000060000", bquery: "{}" })).toEqual(["100000000000", "100000060000", "{}"]);
    expect(at({ bfrom: "200000000000" })).toEqual(["200000000000", "200000600000", '{a="b"}']);
    expect(at({ bto: "200000000000" })).toEqual(["199999400000", "200000000000", '{a="b"}']);
    expect(at({ bfrom: "now-1h" })).toEqual(["now-1h", "now-50m", '{a="b"}']);
    expect(at({ bto: "now" })).toEqual(["now-10m", "now", '{a="b"}']);
  });
});
