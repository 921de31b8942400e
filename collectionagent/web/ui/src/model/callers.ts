// SPDX-License-Identifier: Apache-2.0
// Who calls a function, and what it calls, each as a tree whose root is the function. Where a
// function calls itself the outermost call counts, so that both roots have its total.

import { Builder, toTree } from "./stacks";
import type { Tree } from "./tree";
import { upwards } from "./upwards";

/** The outermost nodes of a function: all frames of that name, or of the name of that frame. */
export function occurrences(tree: Tree, fn: number | string): number[] {
  const name = typeof fn === "number" ? (tree.frames.name[fn] ?? "") : fn;
  const found: number[] = [];
  for (let i = 1; i < tree.size; ) {
    if (tree.frames.name[tree.frame[i]!] === name) {
      found.push(i);
      i = tree.end[i]!;
    } else i++;
  }
  return found;
}

/** The function as the root, below it who calls it, level by level. A tree of the root alone when it does not occur. */
export function callersOf(tree: Tree, fn: number | string): Tree {
  const nodes = occurrences(tree, fn);
  const root = nodes.length ? tree.frame[nodes[0]!]! : tree.frame[0]!;
  const values = (of: Float64Array) => nodes.map((node) => of[node]!);
  return toTree(upwards(tree, { node: nodes, value: values(tree.total), base: tree.baseTotal && values(tree.baseTotal) }, root, true, false));
}

/** The function as the root, below it what it calls. A tree of the root alone when it does not occur. */
export function calleesOf(tree: Tree, fn: number | string): Tree {
  const nodes = occurrences(tree, fn);
  const root = nodes.length ? tree.frame[nodes[0]!]! : tree.frame[0]!;
  const b = new Builder(tree.frames, tree.about, tree.baseSelf !== null, root, tree.size);
  const to = new Int32Array(tree.size);
  for (const top of nodes) {
    to[top] = 0;
    for (let i = top; i < tree.end[top]!; i++) {
      if (i > top) to[i] = b.child(to[tree.parent[i]!]!, tree.frame[i]!);
      b.add(to[i]!, tree.self[i]!, tree.baseSelf?.[i] ?? 0);
    }
  }
  return toTree(b.done());
}

/** From a node down to a leaf, always into the widest child. The node itself comes first. */
export function heaviestPath(tree: Tree, from: number): number[] {
  const path: number[] = [];
  for (let node = from; node >= 0 && node < tree.size; ) {
    path.push(node);
    let best = -1;
    for (let c = node + 1; c < tree.end[node]!; c = tree.end[c]!) if (best < 0 || tree.width[c]! > tree.width[best]!) best = c;
    if (best < 0 || tree.self[node]! > tree.width[best]!) break;
    node = best;
  }
  return path;
}
