// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { namedFunction } from "../src/api/tables";
import { type Row, rows as rowsOfTree } from "../src/model/rows";
import { noFrames, addFrame } from "../src/model/stacks";
import { Tree } from "../src/model/tree";
import { rowAfter, rowsInSight, scrollFor } from "../src/ui/rowkeys";
import { childrenOf, closed, closedBelow, keyOf, opened, openedBelow, openedHeaviest, openedTo, rowsOf } from "../src/views/calltree/open";
import { delta, grown } from "../src/views/delta";
import { exactRows } from "../src/views/exact";
import { commonNode, functionsOf, matchedFunctions, widestNode } from "../src/views/place";
import { choices } from "../src/views/sandwich/chooser";
import { inlinedInto } from "../src/views/source/source";
import { treeOf } from "./trees";
import { columnsOf, keyOf as rowKey, orderOf, pressed, rowCount, sorted, sums } from "../src/views/table/columns";

/** A tree of lines such as "a;b;c 3"; a name that ends in ! is inlined. */
function tree(...stacks: string[]): Tree {
  const frames = noFrames();
  const numbers = new Map<string, number>([["all", addFrame(frames, { name: "all", kind: "label" })]]);
  const number = (text: string) => {
    let n = numbers.get(text);
    if (n === undefined) {
      n = addFrame(frames, { name: text.replace("!", ""), binary: "prog", kind: "native", inlined: text.endsWith("!") });
      numbers.set(text, n);
    }
    return n;
  };
  const nodes = { frame: [0], depth: [0], self: [0] };
  const known = new Map<string, number>();
  for (const line of [...stacks].sort()) {
    const [path, value] = line.split(" ") as [string, string];
    let so = "";
    path.split(";").forEach((name, i) => {
      so += `;${name}`;
      if (!known.has(so)) {
        known.set(so, nodes.frame.length);
        nodes.frame.push(number(name));
        nodes.depth.push(i + 1);
        nodes.self.push(0);
      }
    });
    nodes.self[known.get(so)!] = Number(value);
  }
  return new Tree(frames, nodes, { type: "on_cpu", unit: "count" });
}

describe("rows by key", () => {
  test("every key goes where it says, and no further than there are rows", () => {
    const cases: [string, number, number | null][] = [
      ["ArrowDown", -1, 0],
      ["ArrowDown", 9, 9],
      ["ArrowUp", -1, 0],
      ["ArrowUp", 5, 4],
      ["ArrowUp", 0, 0],
      ["PageDown", 2, 5],
      ["PageDown", 8, 9],
      ["PageUp", 5, 2],
      ["PageUp", 1, 0],
      ["Home", 5, 0],
      ["End", 5, 9],
      ["x", 5, null],
    ];
    for (const [key, at, want] of cases) expect(rowAfter(key, at, 10, 4), `${key} at ${at}`).toBe(want);
    expect(rowAfter("ArrowDown", -1, 0, 4)).toBe(null);
    expect(rowAfter("PageDown", 2, 10, 0)).toBe(3);
  });
  test("only what is in sight is drawn", () => {
    expect(rowsInSight(0, 100, 20, 100_000, 2)).toEqual([0, 7]);
    expect(rowsInSight(1000, 100, 20, 100_000, 2)).toEqual([48, 57]);
    expect(rowsInSight(1000, 100, 20, 10, 2)).toEqual([7, 10]);
    expect(rowsInSight(0, 100, 20, 0, 2)).toEqual([0, 0]);
  });
  test("scrolling brings a row in sight and nothing else", () => {
    expect(scrollFor(5, 0, 200, 20)).toBe(0);
    expect(scrollFor(10, 0, 200, 20)).toBe(20);
    expect(scrollFor(3, 100, 200, 20)).toBe(60);
  });
});

const row = (name: string, self: number, total: number, baseSelf = 0, baseTotal = 0): Row => ({
  frame: 1, name, file: "", line: 0, binary: "", kind: "native", self, total, baseSelf, baseTotal, nodes: 1, callers: 1,
});

describe("table", () => {
  const rows = [row("b", 1, 10), row("a", 5, 5), row("c", 5, 7)];
  const by = (sort: string) => sorted(rows, orderOf(sort, columnsOf(false))).map((r) => r.name).join("");
  test("every column sorts both ways, equal ones by total", () => {
    expect(by("")).toBe("cab");
    expect(by("-self")).toBe("cab");
    expect(by("self")).toBe("bca");
    expect(by("-total")).toBe("bca");
    expect(by("name")).toBe("abc");
    expect(by("-name")).toBe("cba");
    expect(by("-nothing")).toBe("cab");
    expect(rows.map((r) => r.name).join("")).toBe("bac");
  });
  test("a comparison begins with what has grown most", () => {
    const columns = columnsOf(true);
    const order = orderOf("", columns);
    expect(order.column.id).toBe("dself");
    expect(sorted([row("less", 1, 1, 5, 5), row("more", 9, 9, 2, 2)], order).map((r) => r.name)).toEqual(["more", "less"]);
  });
  test("a head pressed twice turns round, numbers begin with the largest", () => {
    const columns = columnsOf(false);
    const column = (id: string) => columns.find((c) => c.id === id)!;
    expect(pressed(orderOf("", columns), column("total"))).toBe("-total");
    expect(pressed(orderOf("-total", columns), column("total"))).toBe("total");
    expect(pressed(orderOf("-total", columns), column("name"))).toBe("name");
  });
  test("sums", () => expect(sums(rows)).toEqual({ self: 11, baseSelf: 0 }));
  test("the server's values take the place of a cut tree's", () => {
    const top = [
      { name: "a", file: "", binary: "", kind: "native", self: 50, total: 60 },
      { name: "new", file: "", binary: "x", kind: "go", self: 1, total: 2 },
      { name: "new", file: "", binary: "x", kind: "native", self: 2, total: 3 },
    ];
    expect(exactRows(rows, top).map((r) => [r.name, r.frame, r.self, r.total])).toEqual([
      ["a", 1, 50, 60],
      ["new", -1, 3, 5],
    ]);
  });
  test("changes say what they are without a colour", () => {
    expect(delta(30, 20, "count")).toBe("+10 +50 %");
    expect(delta(20, 30, "count")).toBe("−10 −33 %");
    expect(delta(5, 0, "count")).toBe("+5 new");
    expect(delta(0, 5, "count")).toBe("−5 gone");
    expect(delta(5, 5, "count")).toBe("=");
    expect(delta(0, 0, "count")).toBe("");
    expect([grown(2, 1), grown(1, 2), grown(1, 1)]).toEqual(["more", "less", ""]);
  });
});

describe("rows of lines", () => {
  const tree = treeOf("main|a.c:1;burn|a.c:7 2", "main|a.c:2;burn|a.c:8 3", "main|a.c:1;burn|a.c:8 1", "gone 1");
  test("each line has its own part", () => {
    expect(rowsOfTree(tree).map((r) => [r.name, r.line, r.self, r.total])).toEqual([["main", 0, 0, 6], ["burn", 0, 6, 6], ["gone", 0, 1, 1]]);
    const lines = rowsOfTree(tree, true);
    expect(lines.map((r) => [r.name, r.line, r.self, r.total]).sort()).toEqual([["burn", 7, 2, 2], ["burn", 8, 4, 4], ["gone", 0, 1, 1], ["main", 1, 0, 3], ["main", 2, 0, 3]]);
    expect(new Set(lines.map(rowKey)).size).toBe(lines.length);
    const file = columnsOf(false, "line").find((c) => c.id === "file")!;
    expect(lines.map((r) => file.value(r)).sort()).toEqual(["", "a.c:1", "a.c:2", "a.c:7", "a.c:8"]);
  });
  test("the head and the foot say what a row is", () => {
    expect(columnsOf(false, "binary")[0]!.title).toBe("Binary");
    expect([rowCount(1, "binary"), rowCount(2, "binary"), rowCount(1, "line"), rowCount(1200, "function")]).toEqual(["1 binary", "2 binaries", "1 line", "1,200 functions"]);
  });
});

describe("places of a function", () => {
  const t = tree("main;a;x 1", "main;b;x;y;x 2", "main;b;z 4", "other 3");
  const frame = (name: string) => t.frames.name.indexOf(name);
  test("the node that holds all of them", () => {
    expect(commonNode(t, frame("x"))).toEqual({ node: t.find(["main"]), places: 2 });
    expect(commonNode(t, frame("z"))).toEqual({ node: t.find(["main", "b", "z"]), places: 1 });
    expect(t.name(widestNode(t, frame("x")))).toBe("x");
    expect(t.path(widestNode(t, frame("x")))).toEqual(["main", "b", "x"]);
  });
  test("what a search matches", () => {
    const hit = matchedFunctions(t, t.match(/^x$/));
    expect(t.frames.name.filter((_, i) => hit[functionsOf(t)[i]!])).toEqual(["x"]);
  });
  test("a stack counts once for a name", () => {
    expect(choices(t).map((c) => [c.name, c.self, c.total])).toEqual([
      ["main", 0, 7],
      ["b", 0, 6],
      ["z", 4, 4],
      ["other", 3, 3],
      ["x", 3, 3],
      ["y", 0, 2],
      ["a", 0, 1],
    ]);
  });
  test("callers that a function was inlined into", () => {
    const inlined = tree("f;g! 2", "h;g! 5", "k;g 9");
    expect(inlinedInto(inlined, "g")).toEqual([
      { name: "h", total: 5 },
      { name: "f", total: 2 },
    ]);
  });
});

describe("call tree", () => {
  const t = tree("main;a;x 1", "main;b;c;d 5", "main;b;c;e 2", "other 3");
  const names = (open: ReadonlySet<string>) => rowsOf(t, open).map((r) => `${" ".repeat(r.depth)}${t.name(r.node)}${r.leaf ? "" : r.open ? "-" : "+"}`);
  const at = (...path: string[]) => t.find(path);
  test("closed it is its root", () => expect(names(new Set())).toEqual(["all+"]));
  test("the heaviest comes first, and a row says its place", () => {
    const open = openedTo(t, new Set(), at("main", "a"));
    expect(names(open)).toEqual(["all-", " main-", "  b+", "  a+", " other"]);
    expect(rowsOf(t, open).map((r) => [r.place, r.siblings])).toEqual([[1, 1], [1, 2], [1, 2], [2, 2], [2, 2]]);
    expect(childrenOf(t, 0).map((n) => t.name(n))).toEqual(["main", "other"]);
  });
  test("what has only one way to go opens on", () => {
    const open = opened(t, openedTo(t, new Set(), at("main", "b")), at("main", "b"));
    expect(names(open)).toEqual(["all-", " main-", "  b-", "   c-", "    d", "    e", "  a+", " other"]);
  });
  test("the heaviest path", () => {
    const { open, end } = openedHeaviest(t, new Set(), 0);
    expect(t.path(end)).toEqual(["main", "b", "c", "d"]);
    expect(rowsOf(t, open).some((r) => r.node === end)).toBe(true);
  });
  test("all, and none", () => {
    const all = openedBelow(t, new Set(), 0);
    expect(rowsOf(t, all)).toHaveLength(t.size);
    expect(names(closedBelow(all, keyOf(t, at("main"))))).toEqual(["all-", " main+", " other"]);
    const main = closed(all, keyOf(t, at("main")));
    expect(names(main)).toEqual(["all-", " main+", " other"]);
    expect(rowsOf(t, opened(t, main, at("main")))).toHaveLength(t.size); // as it was
  });
  test("it stays open when the data is new", () => {
    const open = openedTo(t, new Set(), at("main", "b", "c"));
    const later = tree("aaa 1", "main;a;x 1", "main;b;c;d 9", "main;b;new 2");
    const shown = rowsOf(later, open).map((r) => later.name(r.node));
    expect(shown).toEqual(["all", "main", "b", "c", "new", "a", "aaa"]);
  });
});

test("names of functions as the server takes them", () => {
  expect(namedFunction("main")).toBe('{function="main"}');
  expect(namedFunction('operator""\\x\n')).toBe('{function="operator\\"\\"\\\\x\\x0a"}');
});
