// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { Tree, type Frames } from "../src/model/tree";
import { Labels, short } from "../src/views/flame/label";
import { Index, step, type Item } from "../src/views/flame/layout";
import { mapDepth } from "../src/views/flame/map";
import { steps } from "../src/views/flame/crumbs";
import { blockTitle, facts, sentence } from "../src/views/flame/words";

function tree(nodes: [frame: number, depth: number, self: number][], base?: number[]): Tree {
  const count = nodes.reduce((most, n) => Math.max(most, n[0]), 0) + 1;
  const column = <T>(f: (i: number) => T) => Array.from({ length: count }, (_, i) => f(i));
  const frames: Frames = {
    name: column((i) => (i ? `f${i}` : "all")),
    file: column(() => ""),
    line: column(() => 0),
    binary: column(() => "app"),
    buildId: column(() => "0123456789abcdef0123"),
    kind: column(() => "native"),
    inlined: column(() => false),
  };
  return new Tree(frames, { frame: nodes.map((n) => n[0]), depth: nodes.map((n) => n[1]), self: nodes.map((n) => n[2]), baseSelf: base }, { type: "on_cpu", unit: "nanoseconds" });
}

/** A wide frame, many thin ones, a wide one, and one thin. */
const thin = 500;
const comb = tree([[0, 0, 0], [1, 1, 5000], ...Array.from({ length: thin }, (_, i) => [2 + (i % 3), 1, 1] as [number, number, number]), [5, 1, 4400], [6, 1, 1], [7, 1, 99]]);

function walk(index: Index, depth: number, window: { left: number; right: number; scale: number }): Item[] {
  const out: Item[] = [];
  index.walk(depth, window, { frame: (r, x, w) => out.push({ first: r, last: r, x, w }), block: (first, last, x, w) => out.push({ first, last, x, w }) });
  return out;
}

describe("rows", () => {
  test("thin frames become one block between wide ones", () => {
    const index = new Index(comb);
    const items = walk(index, 1, { left: 0, right: 10000, scale: 0.1 });
    expect(items.map((i) => i.last - i.first + 1)).toEqual([1, thin, 1, 1, 1]);
    const [wide, block, other, single] = items;
    expect(wide).toMatchObject({ x: 0, w: 500 });
    expect(block).toMatchObject({ x: 500, w: 50 });
    expect(other!.x).toBe(550);
    expect(single!.w).toBe(1); // a single thin frame is itself, a pixel wide
  });

  test("each node of the window is in exactly one thing that is drawn, at any zoom", () => {
    const index = new Index(comb);
    for (const [left, right] of [[0, 10000], [4990, 5100], [5000, 5500], [5499, 5503], [9900, 10000]] as const) {
      const items = walk(index, 1, { left, right, scale: 100 / (right - left) });
      for (let i = 1; i < items.length; i++) {
        expect(items[i]!.first).toBe(items[i - 1]!.last + 1);
        expect(items[i]!.x).toBeGreaterThanOrEqual(items[i - 1]!.x);
      }
      const start = (r: number) => index.start[r]!;
      const end = (r: number) => index.start[r]! + index.width[r]!;
      for (let r = index.offset[1]!; r < index.offset[2]!; r++) {
        const seen = items.some((i) => i.first <= r && r <= i.last);
        // What reaches into the window is there; a block may reach out of it by what is under a pixel.
        if (start(r) < right && end(r) > left) expect(seen, `rank ${r} in ${left} to ${right}`).toBe(true);
        if (end(r) <= left) expect(seen).toBe(false);
      }
    }
  });

  test("close enough, a block falls apart", () => {
    const items = walk(new Index(comb), 1, { left: 5000, right: 5100, scale: 10 });
    expect(items.every((i) => i.first === i.last)).toBe(true);
    expect(items).toHaveLength(100);
  });

  test("a gap of a pixel parts two blocks", () => {
    const t = tree([[0, 0, 0], [1, 1, 0], [2, 2, 1], [3, 2, 1], [4, 1, 500], [5, 1, 0], [6, 2, 1], [7, 2, 1], [8, 1, 496]]);
    const items = walk(new Index(t), 2, { left: 0, right: 1000, scale: 0.1 });
    expect(items.map((i) => i.last - i.first + 1)).toEqual([2, 2]);
  });

  test("few steps for many nodes", () => {
    const n = 200_000;
    const t = tree([[0, 0, 0], ...Array.from({ length: n }, () => [1, 1, 1] as [number, number, number])]);
    const index = new Index(t);
    let reads = 0;
    const start = index.start;
    Object.defineProperty(index, "start", { get: () => (reads++, start) });
    walk(index, 1, { left: 0, right: n, scale: 1000 / n });
    expect(reads).toBeLessThan(n / 4);
  });

  test("nodes without a width and rows that are not there do no harm", () => {
    const index = new Index(tree([[0, 0, 0], [1, 1, 0], [2, 1, 0]]));
    expect(walk(index, 1, { left: 0, right: 1, scale: 100 })).toEqual([]);
    expect(walk(index, 7, { left: 0, right: 1, scale: 100 })).toEqual([]);
    expect(walk(index, -1, { left: 0, right: 1, scale: 100 })).toEqual([]);
  });
});

describe("pointing", () => {
  const index = new Index(comb);
  const window = { left: 0, right: 10000, scale: 0.1 };

  test("hits frames, blocks and nothing", () => {
    const nodeAt = (px: number) => comb.name(index.node[index.itemAt(1, px, window)!.first]!);
    expect(nodeAt(10)).toBe("f1");
    expect(index.itemAt(1, 520, window)).toMatchObject({ x: 500, w: 50 });
    expect(nodeAt(600)).toBe("f5");
    expect(index.itemAt(2, 10, window)).toBeNull();
    expect(index.itemAt(0, 999, window)).toMatchObject({ x: 0 });
  });

  test("what is a pixel wide is hit beside it, too", () => {
    const t = tree([[0, 0, 500], [1, 1, 1], [2, 2, 1], [0, 1, 0]]);
    const at = new Index(t);
    const w = { left: 0, right: 502, scale: 1 };
    expect(at.itemAt(2, t.start[2]! + 1.9, w)?.first).toBe(at.rank[2]);
    expect(at.itemAt(2, t.start[2]! + 3, w)).toBeNull();
  });

  test("keys go through frames and blocks", () => {
    const order: number[] = [];
    for (let n = 1; n >= 0; n = step(index, n, "right", window, 0)) order.push(n);
    expect(order.map((n) => comb.name(n))).toEqual(["f1", "f2", "f5", "f6", "f7"]);
    // Back: the block is left from its last frame.
    expect(step(index, order[2]!, "left", window, 0)).toBe(1 + thin);
    expect(step(index, 1, "parent", window, 0)).toBe(0);
    expect(step(index, 0, "child", window, 0)).toBe(1);
    expect(step(index, 1, "child", window, 0)).toBe(-1);
    expect(step(index, 1, "left", window, 0)).toBe(-1);
  });

  test("keys stay inside the zoomed frame", () => {
    const t = tree([[0, 0, 0], [1, 1, 0], [2, 2, 10], [3, 1, 0], [4, 2, 10]]);
    const at = new Index(t);
    const w = { left: 0, right: 20, scale: 10 };
    expect(step(at, 2, "right", w, 0)).toBe(4);
    expect(step(at, 2, "right", w, 1)).toBe(-1);
    expect(step(at, 1, "right", w, 1)).toBe(3);
  });
});

describe("words", () => {
  const index = new Index(comb);
  test("a block says what is in it", () => {
    const block = index.itemAt(1, 520, { left: 0, right: 10000, scale: 0.1 })!;
    expect(blockTitle(index, block)).toBe("500 frames, 5.00 %");
    expect(sentence(index, 2, "nanoseconds", block)).toContain("Enter zooms in");
    expect(comb.name(index.widest(block.first, block.last))).toBe("f2");
  });

  test("a frame says what it is", () => {
    const of = Object.fromEntries(facts(comb, 1, "nanoseconds").map((f) => [f.what, f.text]));
    expect(of.total).toBe("5.00 µs · 50.0 % of all");
    expect(of["build ID"]).toBe("0123456789abcdef…");
    expect(of["of parent"]).toBeUndefined(); // the root is no caller
  });

  test("a comparison has both sides", () => {
    const t = tree([[0, 0, 0], [1, 1, 30], [2, 1, 10]], [0, 10, 0]);
    const of = (n: number) => Object.fromEntries(facts(t, n, "samples").map((f) => [f.what, f.text]));
    expect(of(1).base).toBe("10 · 100 %");
    expect(of(1).now).toBe("30 · 75.0 %");
    expect(of(1).change).toBe("+20 · −25.0 points");
    expect(of(2).change).toBe("+10 · new");
  });
});

test("long paths leave out their middle", () => {
  const deep = tree(Array.from({ length: 20 }, (_, i) => [i, i, 1]));
  expect(steps(deep, 3)).toEqual({ nodes: [0, 1, 2, 3], skipped: 0 });
  expect(steps(deep, 6)).toEqual({ nodes: [0, 1, 2, 3, 4, 5, 6], skipped: 0 });
  expect(steps(deep, 19)).toEqual({ nodes: [0, 1, 16, 17, 18, 19], skipped: 14 });
});

test("the map leaves out where next to nothing goes on", () => {
  const t = tree([[0, 0, 0], [1, 1, 500], [2, 2, 480], [3, 3, 0], ...Array.from({ length: 50 }, (_, i) => [4 + i, 4 + i, i === 49 ? 1 : 0] as [number, number, number])]);
  expect(mapDepth(new Index(t))).toBe(3);
});

describe("texts", () => {
  for (const [name, want] of [
    ["main", "main"],
    ["github.com/a/b/c.(*T).f", "c.(*T).f"],
    ["runtime.mallocgc", "runtime.mallocgc"],
    ["std::vector<a/b>::push_back(int const&)", "std::vector<a/b>::push_back"],
    ["A::operator()(int)", "A::operator()"],
    ["A::operator()", "A::operator()"],
    ["f(void (*)(int))", "f"],
    ["(anonymous)", "(anonymous)"],
    ["/usr/lib/x.py", "x.py"],
    ["a/", "a/"],
    ["", ""],
  ] as const) {
    test(`short of ${name}`, () => expect(short(name)).toBe(want));
  }

  test("fits what fits", () => {
    const labels = new Labels(["abcdefgh", "some/path/x.f"], (t) => t.length * 6);
    expect(labels.fit(0, 48)).toBe("abcdefgh");
    expect(labels.fit(0, 40)).toBe("abcde…");
    expect(labels.fit(0, 12)).toBe("");
    expect(labels.fit(1, 40)).toBe("x.f");
    expect(labels.fit(1, 200)).toBe("some/path/x.f");
    expect(labels.fit(9, 200)).toBe("");
  });
});
