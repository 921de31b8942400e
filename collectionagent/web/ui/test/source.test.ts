// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { baseName, hottest, linesOf, listing, maxSource, notSource, sections, whyNoLines } from "../src/views/source/listing";
import { orderOf, pressed, sorted, sparkline, stepOf, valueRows } from "../src/views/top/values";

const line = (n: number, self: number, total: number, file = "/src/a.c") => ({ name: "f", file, binary: "prog", kind: "native", line: n, self, total });

describe("lines of a function", () => {
  const [s] = sections([line(10, 1, 5), line(11, 4, 4), line(40, 0, 2), line(0, 1, 1)]);
  const show = (text: string[] | null, opened = new Set<number>()) =>
    listing(s!, text, opened).map((i) => (i.what === "gap" ? `${i.from}-${i.to}` : `${i.line}${i.self || i.total ? "*" : ""}${i.text ?? ""}`));
  test("they add up, and what is not known is apart", () => {
    expect([s!.self, s!.total, s!.unknown, s!.lines.size]).toEqual([6, 12, { self: 1, total: 1 }, 3]);
    expect(hottest(s!)).toBe(11);
  });
  test("functions of one name in several files are several, the largest first", () => {
    expect(sections([line(1, 1, 1), line(1, 1, 9, "/src/b.c")]).map((x) => x.file)).toEqual(["/src/b.c", "/src/a.c"]);
  });
  test("without a text there are lines and gaps", () => expect(show(null)).toEqual(["10*", "11*", "12-39", "40*"]));
  test("with a text there are lines around them, and gaps open", () => {
    const text = Array.from({ length: 50 }, (_, i) => `t${i + 1}`);
    const shown = show(text);
    expect(shown.slice(0, 3)).toEqual(["1-5", "6t6", "7t7"]);
    expect(shown).toContain("11*t11");
    expect(shown).toContain("16-35");
    expect(shown.at(-1)).toBe("45-50");
    expect(show(text, new Set([1])).slice(0, 2)).toEqual(["1t1", "2t2"]);
    const numbers = listing(s!, text, new Set()).flatMap((i) => (i.what === "gap" ? Array.from({ length: i.to - i.from + 1 }, (_, k) => i.from + k) : [i.line]));
    expect(numbers).toEqual(text.map((_, i) => i + 1)); // each line once, in order
  });
  test("a file that is too short still shows all figures", () => {
    expect(show(["t1", "t2"])).toEqual(["1-5", "6", "7", "8", "9", "10*", "11*", "12-35", "36", "37", "38", "39", "40*"]);
  });
  test("it says why there are none", () => {
    expect(whyNoLines({ kind: "kernel", binary: "[kernel.kallsyms]", file: "" }).why).toMatch(/kernel/);
    expect(whyNoLines({ kind: "native", binary: "prog", file: "" }).help).toMatch(/-g/);
    expect(whyNoLines({ kind: "jvm", binary: "", file: "" }).why).toMatch(/runtime/);
    expect(hottest(sections([line(0, 1, 1)])[0]!)).toBe(0);
  });
  test("what is opened must be a text", () => {
    expect(notSource(new TextEncoder().encode("int main() {}\n"))).toBe("");
    expect(notSource(new Uint8Array([0x7f, 0x45, 0, 1]))).toMatch(/no text/);
    expect(notSource(new Uint8Array(maxSource + 1))).toMatch(/larger/);
    expect(linesOf("a\r\nb\nc")).toEqual(["a", "b", "c"]);
    expect([baseName("/a/b.c"), baseName("b.c"), baseName("c:\\x\\y.cs")]).toEqual(["b.c", "b.c", "y.cs"]);
  });
});

describe("values of a label", () => {
  const coverage = { resolution_ms: 1, from_ms: 0, to_ms: 1, horizon_ms: 0 };
  const answer = {
    unit: "count", total: 10, samples: 10, labels: ["pod"], hidden: 0,
    series: [{ values: ["w-10"], samples: 2, sum: 5 }, { values: ["w-2"], samples: 3, sum: 3 }, { values: [""], samples: 5, sum: 2 }],
  };
  const line = { unit: "count", total: 10, samples: 10, coverage, step_ms: 1000, from_ms: 0, to_ms: 2000, by: "pod", series: [{ name: "w-2", values: [1, 2] }, { name: "(no pod)", values: [2, 0] }] };
  test("what has no value is a row too, and lines are found by the names of the timeline", () => {
    expect(valueRows(answer, line, "pod").map((r) => [r.value, r.line])).toEqual([["w-10", null], ["w-2", [1, 2]], ["", [2, 0]]]);
    expect(valueRows(answer, { ...line, by: "host" }, "pod").every((r) => r.line === null)).toBe(true);
  });
  test("they sort by every column", () => {
    const by = (sort: string) => sorted(valueRows(answer, null, "pod"), orderOf(sort)).map((r) => r.value);
    expect(by("")).toEqual(["w-10", "w-2", ""]);
    expect(by("-samples")).toEqual(["", "w-2", "w-10"]);
    expect(by("value")).toEqual(["", "w-2", "w-10"]);
    expect(by("share")).toEqual(["", "w-2", "w-10"]);
    expect(pressed(orderOf(""), "sum")).toBe("sum");
    expect(pressed(orderOf(""), "value")).toBe("value");
  });
  test("a sparkline stays within its box", () => {
    expect(sparkline([], 100, 20)).toBe("");
    expect(sparkline([0, 0], 100, 20)).toBe("");
    expect(sparkline([1, 2], 100, 20)).toBe("M0 20L0.0 10.5L50.0 10.5L50.0 1.0L100.0 1.0L100 20Z");
    expect(stepOf(0, 900_000)).toBe("15s");
    expect(stepOf(0, 1000)).toBe("1s");
  });
});
