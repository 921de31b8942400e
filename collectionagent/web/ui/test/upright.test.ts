// SPDX-License-Identifier: Apache-2.0
// Turning a graph over changes what is above what on the screen, and no value of a function.
import { describe, expect, test } from "vitest";
import { fromFile, transformed } from "../src/app/profile";
import { callersOf } from "../src/model/callers";
import { rows } from "../src/model/rows";
import { facts } from "../src/views/flame/words";
import { aboutFunction, widestOf } from "../src/views/panel/about";
import { stacksOf, treeOf } from "./trees";

const whole = treeOf("main;a;leaf 5", "main;b;leaf 3", "main;b 2");
const source = fromFile({ tree: whole, name: "x", fromMs: 0, toMs: 0, samples: 10, notes: [] } as never);
const shown = (invert: string, t: string[] = []) => transformed(source, { t, level: "function", invert });
const selfs = (t: typeof whole) => Object.fromEntries(rows(t).map((r) => [r.name, r.self]));

describe("an inverted profile", () => {
  test("is upright without", () => expect(shown("").tree).toBe(shown("").upright));
  test("still knows what functions took themselves", () => {
    const p = shown("1");
    expect(selfs(p.upright)).toEqual({ main: 0, a: 0, leaf: 8, b: 2 });
    expect(stacksOf(p.tree)).toEqual(["b;main 2", "leaf;a;main 5", "leaf;b;main 3"]);
  });
  test("is transformed before", () => expect(selfs(shown("1", ["hide:=leaf"]).upright)).toEqual({ main: 0, a: 5, b: 5 }));
  test("has callers and callees the right way round", () => {
    const p = shown("1");
    const about = aboutFunction(p.upright, "b");
    expect([about.total, about.self, about.callers.map((n) => n.name), about.callees.map((n) => n.name)]).toEqual([5, 2, ["main"], ["leaf"]]);
    expect(p.tree.path(widestOf(p.tree, "b"))).toEqual(["leaf", "b"]);
    expect(widestOf(p.tree, "c")).toBe(-1);
  });
  test.each([
    ["inverted", shown("1").tree, ["leaf", "a"]],
    ["of callers", callersOf(whole, "leaf"), ["a"]],
  ])("%s: a frame's own part is not known, and its share is of what it calls", (_, tree, path) => {
    const what = facts(tree, tree.find(path), "nanoseconds").map((f) => f.what);
    expect(what).toContain("total");
    expect(what).not.toContain("self");
    expect(what).not.toContain("of parent");
    if (tree.parent[tree.find(path)]! > 0) expect(what).toContain("of callee");
  });
});
