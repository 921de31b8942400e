// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { aboutFunction } from "../src/views/panel/about";
import { treeOf } from "./trees";

const names = (list: { name: string; total: number }[]) => list.map((n) => `${n.name} ${n.total}`);

test("a function with two callers", () => {
  const a = aboutFunction(treeOf("main;left;work;leaf 5", "main;right;work 3", "main;right;other 2"), "work");
  expect(a).toMatchObject({ total: 8, self: 3, sites: 2, recursive: false, ofParents: 10 });
  expect(names(a.callers)).toEqual(["left 5", "right 3"]);
  expect(names(a.callees)).toEqual(["leaf 5"]);
});

test("recursion counts once and is no caller of itself", () => {
  const a = aboutFunction(treeOf("main;walk;walk;visit;walk;leaf 4", "main;walk 1"), "walk");
  expect(a).toMatchObject({ total: 5, self: 1, sites: 3, recursive: true, ofParents: 5 });
  expect(names(a.callers)).toEqual(["main 5"]);
  // visit is called by walk, leaf by the walk inside.
  expect(names(a.callees)).toEqual(["leaf 4", "visit 4"]);
});

test("the same name in two binaries, and labels above", () => {
  const a = aboutFunction(treeOf("shop~label;malloc|m.c:7@libc.so 6", "shop~label;malloc@libjem.so 7"), "malloc");
  expect(a.places.map((p) => [p.binary, p.file, p.line, p.total])).toEqual([
    ["libjem.so", "", 0, 7],
    ["libc.so", "m.c", 7, 6],
  ]);
  expect(a.callers).toEqual([]);
  expect(a).toMatchObject({ total: 13, ofParents: 13, sites: 2 });
});

test("a comparison", () => {
  const a = aboutFunction(treeOf("main;f;g 5 2", "main;f 1 0"), "f");
  expect(a).toMatchObject({ total: 6, baseTotal: 2, self: 1, baseSelf: 0 });
  expect(a.callees[0]).toMatchObject({ name: "g", total: 5, base: 2 });
});

test("what is not there", () => {
  const t = treeOf("shop~label;main 1");
  expect(aboutFunction(t, "nothing")).toMatchObject({ total: 0, sites: 0, node: -1, callers: [], callees: [], places: [] });
  expect(aboutFunction(t, "shop")).toMatchObject({ sites: 0 });
});
