// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { colouring, colourings, contrast, fill, ink, legend, luminance, ofChange, ofShare, painter } from "../src/model/colour";
import { packageOf } from "../src/model/package";
import { treeOf } from "./trees";

const kinds = ["label", "kernel", "native", "interpreter", "go", "python", "jvm", "v8", "ruby", "php", "phpjit", "perl", "dotnet", "beam", "luajit", "error", "python-error", "other", "what is not known yet"];

describe.each([true, false])("dark: %s", (dark) => {
  const text = dark ? ink.dark : ink.light;
  test("text can be read on every colour", () => {
    for (const kind of kinds) for (let i = 0; i < 60; i++) expect(contrast(fill(kind, `f${i}`, dark), text), kind).toBeGreaterThanOrEqual(4.5);
    for (let v = -1; v <= 1; v += 0.05) {
      expect(contrast(ofChange(v, dark), text)).toBeGreaterThanOrEqual(4.5);
      expect(contrast(ofShare(v, dark), text)).toBeGreaterThanOrEqual(4.5);
    }
    for (let i = 0; i < 200; i++) {
      const paint = painter(treeOf(`f${i}@lib${i}.so 1`), "binary", dark);
      expect(contrast(paint(1), text)).toBeGreaterThanOrEqual(4.5);
    }
  });
  test("less and more differ in hue, and from what is the same", () => {
    const colours = [-1, -0.3, 0, 0.3, 1].map((v) => ofChange(v, dark));
    expect(new Set(colours).size).toBe(5);
    const blue = (c: string) => Number.parseInt(c.slice(5, 7), 16) - Number.parseInt(c.slice(1, 3), 16);
    expect(blue(colours[0]!)).toBeGreaterThan(40);
    expect(blue(colours[4]!)).toBeLessThan(-40);
    expect(Math.abs(blue(colours[2]!))).toBeLessThan(20);
  });
});

test("contrast is measured as the guidelines say", () => {
  expect(contrast("#ffffff", "#000000")).toBeCloseTo(21);
  expect(luminance("#ffffff")).toBeCloseTo(1);
  expect(contrast("#777777", "#ffffff")).toBeCloseTo(4.48, 1);
});

test("every colouring gives a colour for every node", () => {
  const t = treeOf("shop~label;a~kernel@[kernel] 2 1", "shop~label;b~go 0 3");
  for (const by of colourings) for (let n = 0; n < t.size; n++) expect(painter(t, by, false)(n)).toMatch(/^#[0-9a-f]{6}$/);
  expect(colouring("rainbow")).toBe("kind");
});

test("frames of one binary share a hue, and functions keep their colour", () => {
  const t = treeOf("a@libx.so;b@libx.so;c@liby.so 1");
  const paint = painter(t, "binary", false);
  expect(paint(1)).toBe(painter(treeOf("z@libz.so;a@libx.so 1"), "binary", false)(2));
  expect(paint(3)).not.toBe(paint(1));
});

test("the legend has the groups by own time, without labels", () => {
  const t = treeOf("shop~label;a~go;k~kernel 5", "shop~label;a~go 2");
  expect(legend(t, "kind", false).map((e) => [e.group, e.self])).toEqual([["kernel", 5], ["go", 2]]);
  expect(legend(t, "diff", false).length).toBe(2);
});

test.each([
  ["go", "github.com/a/b.(*T).m", "", "", "github.com/a/b"],
  ["go", "slices.f[go.shape.struct { github.com/x/y.z }]", "", "", "slices"],
  ["go", "main.main", "", "", "main"],
  ["jvm", "com.sun.tools.javac.tree.JCTree$JCNewClass.accept(com.x.Y)", "", "", "com.sun.tools.javac.tree"],
  ["python", "get", "/usr/lib/python3/dist-packages/requests/api.py", "", "requests"],
  ["python", "dumps", "/usr/lib/python3.11/json/__init__.py", "", "json"],
  ["python", "walk", "/usr/lib/python3.11/os.py", "", "os"],
  ["python", "_find", "<frozen importlib._bootstrap>", "", "importlib"],
  ["v8", "read", "/app/node_modules/a/node_modules/@b/c/lib/x.js", "", "@b/c"],
  ["v8", "x", "node:internal/fs", "", "node"],
  ["native", "std::vector<int>::at(unsigned long)", "", "app", "std"],
  ["native", "void llvm::sys::f()", "", "app", "llvm"],
  ["native", "malloc", "", "libc.so.6", "libc.so.6"],
  ["kernel", "do_fault", "", "[kernel.kallsyms]", "kernel"],
  ["kernel", "ext4_read", "", "ext4", "ext4"],
  ["beam", "erlang:apply/2", "", "", "erlang"],
  ["label", "shop", "", "", ""],
])("package of %s %s", (kind, name, file, binary, want) => expect(packageOf(kind, name, file, binary)).toBe(want));
