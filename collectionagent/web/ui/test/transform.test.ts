// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { checkPattern, describePattern, matchFrames } from "../src/model/pattern";
import { offered, presets } from "../src/model/presets";
import { matchList, nextMatch } from "../src/model/search";
import { checkTransform, checkTransforms, describe as words, formatTransform, invert, mostTransforms, parseTransform, transform } from "../src/model/transform";
import { pattern, type Tree } from "../src/model/tree";
import { levels } from "../src/state/state";
import { bigTree, stacksOf, treeOf } from "./trees";

const tree = treeOf("main;a;b;a;c 5", "main;a;c 2", "main;b 1", "other;c 4", "main 3");
const after = (t: Tree, ...transforms: string[]) => stacksOf(transform(t, transforms, "function", false));

describe("patterns", () => {
  const frames = treeOf("Alpha|src/x.c:3~go@prog;k~kernel@[kernel] 1").frames; // all, Alpha, k
  test.each([
    ["alp", [0, 1, 0]],
    ["=alpha", [0, 0, 0]],
    ["=Alpha", [0, 1, 0]],
    ["x.c", [0, 1, 0]],
    ["prog", [0, 1, 0]],
    ["/^(k|alpha)$/", [0, 1, 1]],
    ["kind=kernel", [0, 0, 1]],
    ["binary=prog", [0, 1, 0]],
    ["binary=/^pr/", [0, 1, 0]],
    ["package=kernel", [0, 0, 1]],
    ["name=k", [0, 0, 1]],
    ["what=k", [0, 0, 0]],
    ["/(/", [0, 0, 0]],
    ["", [0, 0, 0]],
  ])("%s", (text, want) => expect([...matchFrames(frames, text)]).toEqual(want));
  test("a wrong one says what is wrong", () => {
    expect(checkPattern("/(/")).not.toBe("");
    expect(checkPattern("=")).not.toBe("");
    expect(checkPattern("file=")).not.toBe("");
    expect(checkPattern("f(")).toBe("");
  });
  test("in words", () => {
    expect(describePattern("=f")).toBe("f");
    expect(describePattern("kind=kernel")).toBe("kernel frames");
    expect(describePattern("binary=/libc/")).toBe("binary /libc/");
  });
});

describe("transforms", () => {
  test("as texts and back", () => {
    expect(parseTransform("focus:=a:b")).toEqual({ kind: "focus", argument: "=a:b" });
    expect(formatTransform("focus", "=a:b")).toBe("focus:=a:b");
    expect(parseTransform("recursion")).toEqual({ kind: "recursion", argument: "" });
    expect(parseTransform("dance:a")).toBeNull();
    expect(checkTransform("hide:")).not.toBe("");
    expect(checkTransform("preset:nothing")).not.toBe("");
    expect(checkTransform("recursion")).toBe("");
    for (const t of ["focus:=a", "preset:libc", "library:libc.so.6", "recursion-all", "dance"]) expect(words(t)).not.toBe("");
  });
  test("what makes no sense is skipped", () => expect(transform(tree, ["dance:a", "hide:/(/", "preset:x"], "function", false)).toBe(tree));
  test("focus keeps stacks with the function, ignore the others", () => {
    expect(after(tree, "focus:=b")).toEqual(["main;a;b;a;c 5", "main;b 1"]);
    expect(after(tree, "ignore:=b")).toEqual(["main 3", "main;a;c 2", "other;c 4"]);
    expect(transform(tree, ["focus:=gone"], "function", false).size).toBe(1);
  });
  test("hide gives values to callers, show keeps nothing else, and both keep the sum", () => {
    expect(after(tree, "hide:=a")).toEqual(["main 3", "main;b 1", "main;b;c 5", "main;c 2", "other;c 4"]);
    expect(after(tree, "show:=a")).toEqual([" 8", "a 2", "a;a 5"]);
  });
  test("root starts at the outermost match", () => expect(after(tree, "root:=a")).toEqual(["a;b;a;c 5", "a;c 2"]));
  test("collapse makes callees own time", () => expect(after(tree, "collapse:=a")).toEqual(["main 3", "main;a 7", "main;b 1", "other;c 4"]));
  test("recursion, direct and indirect", () => {
    const t = treeOf("f;f;f;g;f 3", "f;g;g 2");
    expect(after(t, "recursion")).toEqual(["f;g 2", "f;g;f 3"]);
    expect(after(t, "recursion-all")).toEqual(["f 3", "f;g 2"]);
    expect(after(t, "recursion:=g")).toEqual(["f;f;f;g;f 3", "f;g 2"]);
    expect(after(treeOf("a;x;b;a;b 1"), "recursion-all")).toEqual(["a;b 1"]);
  });
  test("library makes one frame of a run", () => {
    const t = treeOf("m;x@libx.so;y@libx.so;h;x@libx.so 3", "m;x@libx.so 1");
    expect(after(t, "library:libx.so")).toEqual(["m;libx.so 1", "m;libx.so;h;libx.so 3"]);
    expect(after(t, "library:package=libx.so")).toEqual(["m;libx.so 1", "m;libx.so;h;libx.so 3"]);
    expect(after(t, "library:gone.so")).toEqual(stacksOf(t));
  });
  test("in their order", () => {
    expect(after(tree, "hide:=b", "focus:=b")).toEqual([]);
    expect(after(tree, "focus:=b", "hide:=b", "recursion")).toEqual(["main 1", "main;a;c 5"]);
  });
  test("labels stay the first levels", () => {
    const t = treeOf("shop~label;main;a 2", "cart~label;b 1");
    expect(after(t, "hide:/./")).toEqual(["cart 1", "shop 2"]);
    expect(after(t, "show:=a")).toEqual(["cart 1", "shop;a 2"]);
    expect(after(t, "root:=a")).toEqual(["shop;a 2"]);
    expect(after(t, "focus:=shop")).toEqual(["shop;main;a 2"]);
    expect(stacksOf(invert(t))).toEqual(["cart;b 1", "shop;a;main 2"]);
  });
  test("values of the base come along", () => {
    const t = treeOf("m;a;b 1 2", "m;a;c 0 4", "m;d 5 0");
    expect(after(t, "hide:=a")).toEqual(["m;b 1 2", "m;c 0 4", "m;d 5 0"]);
    expect(after(t, "focus:=c")).toEqual(["m;a;c 0 4"]);
    expect(after(t, "collapse:=a")).toEqual(["m;a 1 6", "m;d 5 0"]);
    expect(stacksOf(invert(t))).toEqual(["b;a;m 1 2", "c;a;m 0 4", "d;m 5 0"]);
    expect(stacksOf(transform(t, [], "binary", false))).toEqual(["[native] 6 6"]);
  });
});

describe("levels", () => {
  const t = treeOf("f|a.c:10@app;g|a.c:20@app;h|b.c:5@libb.so 3", "f|a.c:12@app;k~kernel@[kernel] 2");
  test("functions are one whatever the line", () => {
    const f = transform(t, [], "function", false);
    expect(stacksOf(f)).toEqual(["f;g;h 3", "f;k 2"]);
    expect(f.line(1)).toBe(10);
  });
  test("lines stay apart", () => expect(transform(t, [], "line", false).rows[1]!.length).toBe(2));
  test("files and binaries that call themselves are one", () => {
    expect(stacksOf(transform(t, [], "file", false))).toEqual(["a.c;[kernel] 2", "a.c;b.c 3"]);
    expect(stacksOf(transform(t, [], "binary", false))).toEqual(["app;[kernel] 2", "app;libb.so 3"]);
  });
  test("nothing to merge is no new tree", () => expect(transform(tree, [], "function", false)).toBe(tree));
});

describe("inversion", () => {
  test("leaves come first, own time last", () => {
    expect(stacksOf(invert(tree))).toEqual(["b;main 1", "c;a;b;a;main 5", "c;a;main 2", "c;other 4", "main 3"]);
  });
  test("twice is the same", () => expect(stacksOf(invert(invert(tree)))).toEqual(stacksOf(tree)));
  test("long stacks are cut where nothing can be seen, and say so", () => {
    const big = bigTree(20_000, 2000, 200);
    const i = invert(big);
    expect(i.total[0]).toBe(big.total[0]);
    expect(i.size).toBeLessThanOrEqual(400_000);
    expect(i.frames.name.includes("(other)")).toBe(true);
  });
});

describe("presets", () => {
  test("have their own IDs and titles", () => {
    expect(new Set(presets.map((p) => p.id)).size).toBe(presets.length);
    expect(new Set(presets.map((p) => p.title)).size).toBe(presets.length);
  });
  test("are offered where they change something", () => {
    expect(offered(treeOf("a 1").frames).map((p) => p.id)).toEqual([]);
    expect(offered(treeOf("a;k~kernel 1").frames).map((p) => p.id)).toEqual(["no-kernel", "kernel"]);
    expect(offered(treeOf("k~kernel 1").frames).map((p) => p.id)).toEqual([]);
  });
  test.each([
    ["no-kernel", "a;k~kernel", "a"],
    ["kernel", "a;k~kernel", "k"],
    ["libc", "main@app;malloc@libc.so.6;x@ld-linux-x86-64.so.2", "main"],
    ["interpreter", "_PyEval~interpreter@python3;f~python", "f"],
    ["python", "f|/app/a.py~python;<module>|<frozen runpy>~python;dumps|/usr/lib/python3.11/json/x.py~python;g|/usr/lib/python3.11/site-packages/r/x.py~python", "f;g"],
    ["go", "runtime.main~go;main.main~go;runtime/debug.f~go;internal/abi.x~go", "main.main"],
    ["jvm", "java.lang.Thread.run()~jvm;com.shop.Cart.add(int)~jvm;jdk.internal.X.y()~jvm;os_start~interpreter@libjvm.so", "com.shop.Cart.add(int)"],
    ["node", "node_main~native@node;run|node:internal/main~v8;handler|/app/x.js~v8", "handler"],
    ["cpp", "main;std::sort<int>();void std::f();compare", "main;compare"],
    ["rust", "shop::main;core::ops::f;<alloc::vec::Vec<T> as X>::push;shop::g", "shop::main;shop::g"],
    ["unnamed", "main;app+0xbeef;0x1234;g", "main;g"],
    ["errors", "[process not known yet]~error;main;x~python-error", "main"],
  ])("%s", (id, stack, want) => expect(after(treeOf(`${stack} 1`), `preset:${id}`)).toEqual([`${want} 1`]));
  test("idle drops stacks that wait, with the kernel below them", () => {
    expect(after(treeOf("main;epoll_wait;sys_epoll_wait~kernel 5", "main;work 2", "runtime.gopark~go 1"), "preset:idle")).toEqual(["main;work 2"]);
  });
});

describe("matches", () => {
  test("the largest first, matches in matches left out", () => {
    const m = tree.match(pattern("/^a$/").re);
    const list = matchList(tree, m);
    expect(list.map((n) => tree.total[n])).toEqual([7]);
    expect(matchList(tree, tree.match(pattern("c").re)).map((n) => tree.total[n])).toEqual([5, 4, 2]);
  });
  test("goes round", () => {
    expect(nextMatch([5, 3, 9], 0, 1)).toBe(0);
    expect(nextMatch([5, 3, 9], 0, -1)).toBe(2);
    expect(nextMatch([5, 3, 9], 9, 1)).toBe(0);
    expect(nextMatch([5, 3, 9], 5, -1)).toBe(2);
    expect(nextMatch([], 5, 1)).toBe(0);
  });
});

test("every transform at every level keeps a large tree whole", () => {
  const big = bigTree(20_000);
  for (const level of levels) expect(transform(big, [], level, false).total[0]).toBe(big.total[0]);
  for (const t of ["hide:kind=kernel", "show:kind=go", "recursion", "recursion-all", "library:lib3.so", "collapse:package9", ...presets.filter((p) => p.how !== "ignore").map((p) => `preset:${p.id}`)]) {
    expect(transform(big, [t], "function", false).total[0], t).toBe(big.total[0]);
  }
  const part = transform(big, ["focus:kind=kernel"], "function", false).total[0]!;
  expect(part + transform(big, ["ignore:kind=kernel"], "function", false).total[0]!).toBe(big.total[0]);
});

test("a link with thousands of transforms has the first of them made, and says so", () => {
  const tree = treeOf("main;alpha;beta 5");
  const many = [...Array.from({ length: mostTransforms }, () => "hide:=none"), "hide:=beta", ...Array.from({ length: 5000 }, () => "hide:=alpha")];
  expect(stacksOf(transform(tree, many, "function", false))).toEqual(["main;alpha;beta 5"]);
  const wrong = checkTransforms(many);
  expect(wrong.slice(0, mostTransforms).every((w) => w === "")).toBe(true);
  expect(wrong[mostTransforms]).toBe("no more than 50 are made");
});
