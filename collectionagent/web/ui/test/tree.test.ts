// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import type { FlameAnswer } from "../src/api/client";
import { matchList, nextMatch } from "../src/model/search";
import { pattern, Tree } from "../src/model/tree";
import { treeOf } from "./trees";

// all(10) -> main(10) -> [alpha(6) -> [beta(2)], gamma(3)]
const answer: FlameAnswer = {
  type: "on_cpu", unit: "nanoseconds", from_ms: 0, to_ms: 1, total: 10, samples: 10, group_by: [],
  coverage: { resolution_ms: 1, from_ms: 0, to_ms: 1, horizon_ms: 0 },
  strings: ["", "all", "main", "alpha", "beta", "gamma", "native", "label", "prog"],
  frames: {
    name: [1, 2, 3, 4, 5], file: [0, 0, 0, 0, 0], line: [0, 1, 2, 3, 4], binary: [0, 8, 8, 8, 8],
    kind: [7, 6, 6, 6, 6], inlined: [0, 0, 0, 1, 0],
  },
  nodes: { frame: [0, 1, 2, 3, 4], depth: [0, 1, 2, 3, 2], self: [0, 1, 4, 2, 3], total: [10, 10, 6, 2, 3] },
  hidden: { nodes: 0, value: 0 }, symbolized: 1, unknown_stacks: 0,
};
const tree = Tree.fromAnswer(answer);

describe("tree", () => {
  test("parents, ends and places follow from the preorder", () => {
    expect([...tree.parent]).toEqual([-1, 0, 1, 2, 1]);
    expect([...tree.end]).toEqual([5, 5, 4, 4, 5]);
    expect([...tree.start]).toEqual([0, 0, 0, 0, 6]);
    expect(tree.rows.map((r) => [...r])).toEqual([[0], [1], [2, 4], [3]]);
  });
  test("at finds the node under a position", () => {
    expect(tree.at(2, 0)).toBe(2);
    expect(tree.at(2, 5.9)).toBe(2);
    expect(tree.at(2, 6)).toBe(4);
    expect(tree.at(2, 9.5)).toBe(-1); // self time of main
    expect(tree.at(3, 3)).toBe(-1);
    expect(tree.at(9, 0)).toBe(-1);
  });
  test("a path finds its node again, as far as it goes", () => {
    expect(tree.path(3)).toEqual(["main", "alpha", "beta"]);
    expect(tree.names(3)).toEqual(["main", "alpha", "beta"]);
    expect(tree.find(["main", "alpha", "beta"])).toBe(3);
    expect(tree.find(["main", "alpha", "gone"])).toBe(2);
    expect(tree.find([])).toBe(0);
  });
  test("a path tells namesakes apart", () => {
    const t = treeOf("_start@node;main|a.c:3;leaf 1", "_start@ruby;main|a.c:3;leaf 2", "_start@ruby;main|b.c:9;leaf 3", "_start@ruby;main|b.c:9~kernel;leaf 4", "_start;gone 5", "_start@plt;x 1", "_start@plt|x.c:1;y 1");
    for (let n = 0; n < t.size; n++) expect(t.find(t.path(n)), t.path(n).join(";")).toBe(n);
    expect(t.path(1)).toEqual(["_start@node"]);
    const leaf = t.find(["_start@ruby", "main@a.c:3", "leaf"]);
    expect(t.total[leaf]).toBe(2);
    // Names alone, as in a link by hand, lead as far as any of them goes; what was told apart is found when it need not be.
    expect(t.name(t.find(["_start", "gone"]))).toBe("gone");
    expect(t.find(["_start@python", "main"])).toBe(0);
    expect(treeOf("_start@ruby;main 1").find(["_start@ruby", "main"])).toBe(2);
  });
  test("a match inside a match counts once", () => {
    const m = tree.match(pattern("a").re);
    expect(m.count).toBe(4);
    expect(m.value).toBe(10);
    expect(tree.match(pattern("beta").re).value).toBe(2);
    expect(tree.match(pattern("/^(beta|gamma)$/").re).value).toBe(5);
    expect(tree.match(null).value).toBe(0);
  });
  test("going from match to match by the URL reaches all", () => {
    const t = treeOf("_start@node;leaf 3", "_start@ruby;leaf 2", "_start@rust;leaf 1");
    const list = matchList(t, t.match(pattern("leaf").re));
    const seen: number[] = [];
    let zoom: string[] = [];
    for (let i = 0; i < 3; i++) {
      const node = list[nextMatch(list, t.find(zoom), 1)]!;
      zoom = t.path(node);
      seen.push(t.total[node]!);
    }
    expect(seen).toEqual([3, 2, 1]);
  });
  test("a broken expression says so", () => {
    expect(pattern("/(/").error).not.toBe("");
    expect(pattern("(").re!.test("a(b")).toBe(true);
  });
  test("100,000 nodes are laid out", () => {
    const n = 100_000;
    const big: FlameAnswer = {
      ...answer,
      nodes: {
        frame: Array.from({ length: n }, (_, i) => (i === 0 ? 0 : 1 + (i % 4))),
        depth: Array.from({ length: n }, (_, i) => (i === 0 ? 0 : 1 + ((i - 1) % 50))),
        self: Array.from({ length: n }, () => 1),
        total: Array.from({ length: n }, (_, i) => (i === 0 ? n : 50 - ((i - 1) % 50))),
      },
    };
    const t = Tree.fromAnswer(big);
    expect(t.size).toBe(n);
    expect(t.maxDepth).toBe(51);
    expect(t.at(1, n / 2)).toBeGreaterThan(0);
  });
});
