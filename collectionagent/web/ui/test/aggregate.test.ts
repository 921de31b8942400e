// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { calleesOf, callersOf, heaviestPath } from "../src/model/callers";
import { change, diffTrees, sameTotal } from "../src/model/diff";
import { rows } from "../src/model/rows";
import { bigTree, stacksOf, treeOf } from "./trees";

const tree = treeOf("main;a;b;a;c 5", "main;a;c 2", "main;b 1", "other;c 4", "main 3");

describe("rows", () => {
  const of = (name: string) => rows(tree).find((r) => r.name === name)!;
  test("a stack counts once however often a function calls itself", () => {
    expect(of("a")).toMatchObject({ self: 0, total: 7, nodes: 2, callers: 2 });
    expect(of("c")).toMatchObject({ self: 11, total: 11, nodes: 3, callers: 2 });
    expect(of("main")).toMatchObject({ self: 3, total: 11, callers: 0 });
  });
  test("own times add up to the whole", () => {
    expect(rows(tree).reduce((sum, r) => sum + r.self, 0)).toBe(tree.total[0]);
  });
  test("labels are no functions", () => {
    expect(rows(treeOf("shop~label;main 2")).map((r) => r.name)).toEqual(["main"]);
    expect(rows(treeOf("shop~label;main 2"))[0]!.callers).toBe(0);
  });
  test("names in two binaries are two functions, lines of one are one", () => {
    expect(rows(treeOf("f@x 1", "f@y 2")).map((r) => r.self)).toEqual([1, 2]);
    expect(rows(treeOf("f|a.c:1 1", "f|a.c:2 2")).map((r) => r.self)).toEqual([3]);
  });
  test("the values of the base come along", () => {
    expect(rows(treeOf("a;b 1 2", "a;b;a 3 4")).find((r) => r.name === "a")).toMatchObject({ self: 3, total: 4, baseSelf: 4, baseTotal: 6 });
  });
});

describe("callers and callees", () => {
  test("callers are the levels below the function", () => {
    const t = callersOf(tree, "c");
    expect(t.name(0)).toBe("c");
    expect(t.total[0]).toBe(11);
    expect(stacksOf(t)).toEqual(["a;b;a;main 5", "a;main 2", "other 4"]);
  });
  test("both have the total of the function, also where it calls itself", () => {
    expect(callersOf(tree, "a").total[0]).toBe(7);
    expect(calleesOf(tree, "a").total[0]).toBe(7);
    expect(stacksOf(calleesOf(tree, "a"))).toEqual(["b;a;c 5", "c 2"]);
  });
  test("a frame's number means its function", () => {
    expect(callersOf(tree, tree.frame[tree.find(["other"])]!).name(0)).toBe("other");
  });
  test("what does not occur is a root of nothing", () => {
    expect(callersOf(tree, "gone").size).toBe(1);
    expect(calleesOf(tree, "gone").total[0]).toBe(0);
  });
  test("the heaviest path ends where the time goes, not in an interrupt of it", () => {
    const hot = treeOf("main;hot 90", "main;hot;interrupt 2", "main;cold 3");
    expect(heaviestPath(hot, 0).map((n) => hot.name(n))).toEqual(["all", "main", "hot"]);
  });

  test("the heaviest path goes into the widest child", () => {
    expect(heaviestPath(tree, 0).map((n) => tree.name(n))).toEqual(["all", "main", "a", "b", "a", "c"]);
  });
});

describe("diff", () => {
  test("functions meet by name and by the base name of their files", () => {
    const d = diffTrees(treeOf("main|/v2/m.go:3;f|/v2/f.go:9 5"), treeOf("main|/v1/m.go:1;f|/v1/f.go:2 3", "main|/v1/m.go:1;g|/v1/g.go:2 4"));
    expect(stacksOf(d)).toEqual(["main;f 5 3", "main;g 0 4"]);
    expect(d.width[0]).toBe(12);
  });
  test("files count only where both know them", () => {
    expect(stacksOf(diffTrees(treeOf("f|f.go:9 5"), treeOf("f 3")))).toEqual(["f 5 3"]);
    expect(stacksOf(diffTrees(treeOf("f|f.go:9 5"), treeOf("f|g.go:9 3")))).toEqual(["f 0 3", "f 5 0"]);
  });
  test("the base is scaled", () => {
    const a = treeOf("f 5");
    const b = treeOf("f 10", "g 10");
    expect(sameTotal(a, b)).toBe(0.25);
    expect(stacksOf(diffTrees(a, b, sameTotal(a, b)))).toEqual(["f 5 2.5", "g 0 2.5"]);
    expect(sameTotal(a, treeOf())).toBe(1);
  });
  test("change is a share of the larger side", () => {
    expect(change(0, 0)).toBe(0);
    expect(change(5, 0)).toBe(1);
    expect(change(0, 5)).toBe(-1);
    expect(change(5, 10)).toBe(-0.5);
  });
});

test("100,000 nodes keep their sums", () => {
  const big = bigTree(100_000);
  expect(big.size).toBe(100_000);
  expect(rows(big).reduce((sum, r) => sum + r.self, 0)).toBe(big.total[0]);
  const name = big.frames.name[9]!;
  const row = rows(big).find((r) => r.name === name)!;
  expect(callersOf(big, name).total[0]).toBe(row.total);
  expect(calleesOf(big, name).total[0]).toBe(row.total);
});
