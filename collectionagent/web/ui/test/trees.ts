// SPDX-License-Identifier: Apache-2.0
// Trees for tests.

import { addFrame, Builder, noFrames, toTree } from "../src/model/stacks";
import type { Tree } from "../src/model/tree";

/**
 * A tree of lines such as "main;alpha;beta 2", or "main;alpha 2 5" with the value of the base behind it. A frame is
 * "name", "name@binary", "name~kind" or "name|file:line", in this order when there are several.
 */
export function treeOf(...lines: string[]): Tree {
  const frames = noFrames();
  const known = new Map<string, number>();
  const frame = (text: string) => {
    let n = known.get(text);
    if (n === undefined) {
      const [, name, file, line, kind, binary] = /^([^|~@]+)(?:\|([^~@]*?)(?::(\d+))?)?(?:~([^@]+))?(?:@(.+))?$/.exec(text)!;
      n = addFrame(frames, { name: name!, file, line: Number(line ?? 0), kind: kind ?? "native", binary });
      known.set(text, n);
    }
    return n;
  };
  const comparison = lines.some((l) => / \d+ \d+$/.test(l));
  const b = new Builder(frames, { type: "on_cpu", unit: "nanoseconds" }, comparison, addFrame(frames, { name: "all", kind: "label" }));
  for (const line of lines) {
    const [, stack, value, base] = (comparison ? /^(.*) (\d+) (\d+)$/ : /^(.*) (\d+)$/).exec(line)!;
    let node = 0;
    for (const text of stack!.split(";")) if (text) node = b.child(node, frame(text));
    b.add(node, Number(value), Number(base ?? 0));
  }
  return toTree(b.done());
}

/** The stacks of a tree with their values, as treeOf takes them, names alone; sorted. */
export function stacksOf(tree: Tree): string[] {
  const out: string[] = [];
  for (let i = 0; i < tree.size; i++) {
    const base = tree.baseSelf ? ` ${tree.baseSelf[i]}` : "";
    if (tree.self[i] || tree.baseSelf?.[i]) out.push(`${tree.names(i).join(";")} ${tree.self[i]}${base}`);
  }
  return out.sort();
}

/** A tree of so many nodes, with recursion, several binaries and kinds; the same each time. */
export function bigTree(size: number, functions = 5000, deepest = 60): Tree {
  const frames = noFrames();
  addFrame(frames, { name: "all", kind: "label" });
  for (let i = 1; i <= functions; i++) {
    addFrame(frames, { name: `package${i % 97}.function${i}`, file: `src/file${i % 300}.go`, line: i, binary: `lib${i % 40}.so`, kind: ["native", "kernel", "go", "python"][i % 4] });
  }
  let seed = 7;
  const random = () => (seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff) / 0x7fffffff;
  const b = new Builder(frames, { type: "on_cpu", unit: "nanoseconds" }, false, 0, size);
  const path = [0];
  while (b.size < size) {
    while (path.length > 1 && random() < 0.3) path.pop();
    if (path.length >= deepest) path.length = 1 + Math.floor(random() * deepest * 0.8);
    const node = b.child(path[path.length - 1]!, 1 + Math.floor(random() * functions));
    path.push(node);
    if (random() < 0.5) b.add(node, 1 + Math.floor(random() * 1000));
  }
  return toTree(b.done());
}
