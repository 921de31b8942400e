// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { transform } from "../src/model/transform";
import { added, labelOf, libraryOf, meaning, place, stackText, toggled } from "../src/views/menu/actions";
import { stacksOf, treeOf } from "./trees";

const tree = treeOf("shop~label;main|main.go:5~go@app;k~kernel;dumps|/usr/lib/python3.11/json/__init__.py:9~python 2", "(no service)~label;main|main.go:5~go@app 1");
const frame = (name: string) => tree.frames.name.indexOf(name);

describe("what a frame of the menu means", () => {
  test("a function by its name, exactly", () => expect(meaning(tree, frame("main"), "function")).toBe("=main"));
  test("a file, a binary or a kind at their levels", () => {
    const files = transform(tree, [], "file", false);
    const binaries = transform(tree, [], "binary", false);
    expect(meaning(files, files.frames.name.indexOf("main.go"), "file")).toBe("file=main.go");
    expect(meaning(files, files.frames.name.indexOf("[kernel]"), "file")).toBe("kind=kernel");
    expect(meaning(binaries, binaries.frames.name.indexOf("app"), "binary")).toBe("binary=app");
    expect(meaning(binaries, binaries.frames.name.indexOf("shop"), "binary")).toBe("=shop");
  });
  test("and the transform of it finds the same at any level", () => {
    const files = transform(tree, [`hide:${meaning(transform(tree, [], "file", false), 3, "file")}`], "file", false);
    expect(stacksOf(files).length).toBeGreaterThan(0);
    expect(transform(tree, ["focus:file=main.go"], "file", false).total[0]).toBe(3);
  });
  test("its library, or its package", () => {
    expect(libraryOf(tree, frame("main"))).toEqual({ name: "app", transform: "library:app" });
    expect(libraryOf(tree, frame("dumps"))).toEqual({ name: "json", transform: "library:package=json" });
    expect(libraryOf(tree, frame("shop"))).toBeNull();
  });
  test("its label and value", () => {
    expect(labelOf(tree, tree.find(["shop"]), "service,comm")).toEqual({ label: "service", value: "shop" });
    expect(labelOf(tree, tree.find(["(no service)"]), "service")).toEqual({ label: "service", value: "" });
    expect(labelOf(tree, tree.find(["shop", "main"]), "service")).toBeNull();
    expect(labelOf(tree, 0, "service")).toBeNull();
    expect(labelOf(tree, tree.find(["shop"]), "")).toBeNull();
  });
  test("what can be copied", () => {
    expect(place(tree, frame("main"))).toBe("main.go:5");
    expect(place(tree, frame("k"))).toBe("");
    expect(stackText(tree, tree.find(["shop", "main", "k"]))).toBe("shop\nmain\nk");
  });
});

test("transforms are added and taken away", () => {
  expect(added(["a"], "b")).toEqual(["a", "b"]);
  expect(added(["a", "b"], "b")).toEqual(["a", "b"]);
  expect(toggled(["a", "b"], "a")).toEqual(["b"]);
  expect(toggled(["b"], "a")).toEqual(["b", "a"]);
});
