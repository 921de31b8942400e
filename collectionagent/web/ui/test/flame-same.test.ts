// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { formatPart, parsePart, sameNode } from "../src/views/flame/same";
import { treeOf } from "./trees";

describe("the same frame in another tree", () => {
  const old = treeOf("_start@node;main@node 5", "_start@perl;main@perl 4");
  const find = (tree: typeof old, name: string, binary: string) => [...tree.frame.keys()].find((n) => tree.name(n) === name && tree.binary(n) === binary)!;

  test("siblings of one name are told apart", () => {
    const now = treeOf("_start@perl;main@perl 9", "_start@node;main@node 5");
    expect(sameNode(old, find(old, "main", "perl"), now)).toBe(find(now, "main", "perl"));
    expect(sameNode(old, find(old, "main", "node"), now)).toBe(find(now, "main", "node"));
    expect(sameNode(old, 0, now)).toBe(0);
  });
  test("as far as there is one", () => {
    const now = treeOf("_start@perl;other 9");
    expect(sameNode(old, find(old, "main", "perl"), now)).toBe(find(now, "_start", "perl"));
    expect(sameNode(old, find(old, "main", "perl"), treeOf("else 1"))).toBe(0);
  });
});

describe("the part of a frame in a link", () => {
  const frame = { left: 1000, right: 3000 };
  test("comes back as it was", () => {
    for (const s of [{ left: 1500, right: 2000 }, { left: 1000.5, right: 1000.75 }, { left: 0, right: 5000 }]) {
      const back = parsePart(formatPart(s, frame), frame)!;
      const slack = (s.right - s.left) / 500;
      expect(Math.abs(back.left - s.left)).toBeLessThan(slack);
      expect(Math.abs(back.right - s.right)).toBeLessThan(slack);
    }
    expect(formatPart({ left: 1500, right: 2000 }, frame)).toBe("0.25,0.5");
  });
  for (const bad of ["", "0.5", "a,b", "0.5,0.5", "0.7,0.2", "0,1,2", "NaN,1", "0,Infinity", ",1"]) {
    test(`"${bad}" is none`, () => expect(parsePart(bad, frame)).toBeNull());
  }
});
