// SPDX-License-Identifier: Apache-2.0
import { afterEach, describe, expect, test } from "vitest";
import { chooseProject } from "../src/api/client";
import { question } from "../src/app/exportmenu";
import { csv, fileName, folded, gzip, pprof, speedscope } from "../src/files/export";
import { layOut, svg } from "../src/files/picture";
import { read } from "../src/files/read";
import { transform } from "../src/model/transform";
import { bigTree, stacksOf, treeOf } from "./trees";

const tree = treeOf("main|main.go:7~go@app;alpha|a.go:3~go@app;sys_read~kernel@[kernel.kallsyms] 5", "main|main.go:7~go@app;alpha|a.go:3~go@app 2", "main|main.go:7~go@app 1");
const bytes = (text: string) => new TextEncoder().encode(text);
const facts = { fromMs: 1795254300000, toMs: 1795255200000, group: [] };
const look = { zoom: 0, by: "kind" as const, dark: false, up: false, title: "CPU time", caption: "of <all> & more" };

describe("round trips", () => {
  test("pprof, with files, lines, binaries and times", async () => {
    const o = await read("x", await gzip(pprof(tree, facts)));
    expect(o).toMatchObject({ format: "pprof", fromMs: facts.fromMs, toMs: facts.toMs, types: ["on_cpu"], notes: [] });
    expect(o.tree.about).toEqual(tree.about);
    expect(stacksOf(o.tree)).toEqual(stacksOf(tree));
    const alpha = o.tree.find(["main", "alpha"]);
    expect([o.tree.file(alpha), o.tree.line(alpha), o.tree.binary(alpha), o.tree.kind(alpha)]).toEqual(["a.go", 3, "app", "go"]);
    expect(o.tree.kind(o.tree.find(["main", "alpha", "sys_read"]))).toBe("kernel");
  });
  test("labels that stacks are grouped by become labels of samples", async () => {
    const t = treeOf("shop~label;worker~label;main 3");
    const o = await read("x", pprof(t, { ...facts, group: ["service", "comm"] }));
    expect(stacksOf(o.tree)).toEqual(["main 3"]);
    expect(o.notes).toEqual(["labels of samples are left out: comm, service"]);
    expect(stacksOf((await read("x", pprof(t, facts))).tree)).toEqual(["shop;worker;main 3"]);
  });
  test("folded", async () => {
    expect(folded(tree)).toBe("main 1\nmain;alpha 2\nmain;alpha;sys_read_[k] 5\n");
    const o = await read("x", bytes(folded(tree)));
    expect(stacksOf(o.tree)).toEqual(stacksOf(tree));
    expect(o.tree.kind(o.tree.find(["main", "alpha", "sys_read"]))).toBe("kernel");
    expect(folded(treeOf("a 1")).replace("a", "")).toBe(" 1\n");
    expect(folded(treeOf())).toBe("");
  });
  test("speedscope, by the rules of its schema", async () => {
    const text = speedscope(tree, "x");
    const file = JSON.parse(text);
    const [p] = file.profiles;
    expect(file.$schema).toMatch(/speedscope/);
    expect(p.samples.length).toBe(p.weights.length);
    expect(p.endValue - p.startValue).toBe(p.weights.reduce((a: number, b: number) => a + b, 0));
    for (const s of p.samples) for (const i of s) expect(i < file.shared.frames.length && i >= 0).toBe(true);
    for (const f of file.shared.frames) expect(typeof f.name).toBe("string");
    expect(["bytes", "microseconds", "milliseconds", "nanoseconds", "none", "seconds"]).toContain(p.unit);
    expect(stacksOf((await read("x", bytes(text))).tree)).toEqual(stacksOf(tree));
  });
  test("what is shown is what is saved: after transforms", async () => {
    const big = transform(bigTree(4000), ["hide:kind=kernel", "recursion"], "function", false);
    const want = stacksOf(big);
    // Frames of one name become one in formats that know nothing but names.
    expect(stacksOf((await read("x", pprof(big, facts))).tree)).toEqual(want);
    expect(stacksOf((await read("x", bytes(speedscope(big, "x")))).tree).length).toBe(want.length);
    expect((await read("x", bytes(folded(big)))).tree.total[0]).toBe(big.total[0]);
  });
});

describe("the table", () => {
  test("as CSV, quoted where it must be", () => {
    const lines = csv(treeOf('f(int, "x") 3', "=cmd 1")).trim().split("\r\n");
    expect(lines[0]).toBe("function,file,binary,kind,self nanoseconds,self %,total nanoseconds,total %,callers");
    expect(lines[1]).toBe('"f(int, ""x"")",,,native,3,75,3,75,0');
    expect(lines[2]!.startsWith('"=cmd"')).toBe(true);
  });
  test("with the base in a comparison", () => expect(csv(treeOf("f 1 2")).split("\r\n")[1]!.endsWith(",2,2")).toBe(true));
});

describe("the picture", () => {
  test("has a box for each frame that can be seen, and its numbers", () => {
    const p = layOut(tree, look);
    expect(p.boxes.length).toBe(tree.size);
    const text = svg(p);
    expect(text).toContain("of &lt;all&gt; &amp; more");
    expect(text).toContain("<title>alpha – 7 ns, 87.5 % – app</title>");
    expect(text).not.toMatch(/<script|href|url\(/);
    expect(text.match(/<g>/g)!.length).toBe(tree.size);
  });
  test("begins where it is zoomed, and can stand on its root", () => {
    const zoom = tree.find(["main", "alpha"]);
    const p = layOut(tree, { ...look, zoom });
    expect(p.boxes.length).toBe(2);
    expect(p.boxes[0]!.width).toBeCloseTo(p.width - 16);
    const up = layOut(tree, { ...look, up: true });
    expect(up.boxes[0]!.y).toBeGreaterThan(up.boxes[1]!.y);
  });
  test("names cannot break out, and what XML forbids is gone", () => {
    expect(svg(layOut(treeOf("<script>\u0001&\"'x 1"), look))).toContain("&lt;script&gt;&amp;&quot;'x");
  });
  test("frames too narrow to be seen are left out", () => {
    const p = layOut(bigTree(10_000), look);
    expect(p.left).toBeGreaterThan(0);
    expect(p.boxes.length + p.left).toBe(10_000);
  });
});

test("names of files say what is in them", () => {
  const n = { file: "", type: "on_cpu", fromMs: Date.UTC(2026, 10, 22, 10), toMs: Date.UTC(2026, 10, 22, 10, 15), changed: false };
  expect(fileName(n, "svg")).toBe("strobe-on_cpu-20261122T100000Z-20261122T101500Z.svg");
  expect(fileName({ ...n, changed: true }, "csv")).toBe("strobe-on_cpu-20261122T100000Z-20261122T101500Z-changed.csv");
  expect(fileName({ ...n, file: "dir/my prof.pb.gz – Memory in use", type: "a/b c" }, "pb.gz")).toBe("my_prof-a_b_c.pb.gz");
});

describe("links to the server", () => {
  afterEach(() => chooseProject(""));
  test("are about the project that is chosen, at the times that are shown", () => {
    const view = { params: { type: "on_cpu", query: '{service="shop"}', from: "now-15m", to: "now" }, profile: { fromMs: 1000, toMs: 2000 } as never };
    chooseProject("shop");
    const url = new URL(question("pprof", view, { group_by: "" }), "http://x/");
    expect(url.pathname).toBe("/api/v1/pprof");
    expect(Object.fromEntries(url.searchParams)).toEqual({ type: "on_cpu", query: '{service="shop"}', from: "1000", to: "2000", project: "shop" });
  });
});
