// SPDX-License-Identifier: Apache-2.0
// What of a call tree is open, and the rows that makes. Open places are known by the names on
// the way to them, so that they stay open when the data is new.

import { heaviestPath } from "../../model/callers";
import type { Tree } from "../../model/tree";

export interface TreeRow {
  node: number;
  /** The names on the way to it. */
  key: string;
  depth: number;
  /** How far it is moved to the right, in steps: less than depth, as calls without a choice move little. */
  indent: number;
  open: boolean;
  leaf: boolean;
  /** Its place among its siblings, from 1, and how many these are. */
  place: number;
  siblings: number;
}

/** What a name is in a key; inlined or of another file is another place. */
const step = (tree: Tree, node: number): string => {
  const f = tree.frame[node]!;
  return `${tree.frames.name[f]}\x01${tree.frames.binary[f]}\x01${tree.frames.inlined[f] ? "i" : ""}${tree.frames.line[f]}`;
};

/** The key of a node. */
export function keyOf(tree: Tree, node: number): string {
  let key = "";
  for (let n = node; n > 0; n = tree.parent[n]!) key = `\0${step(tree, n)}${key}`;
  return key;
}

/** Children with the heaviest first. */
export function childrenOf(tree: Tree, node: number): number[] {
  const out: number[] = [];
  for (let c = node + 1; c < tree.end[node]!; c = tree.end[c]!) out.push(c);
  return out.sort((a, b) => tree.width[b]! - tree.width[a]! || a - b);
}

/** A call that is the only one below its caller is indented by this, any other by 1. */
const chainIndent = 0.25;
/** Deeper rows move no further: there must be room for the name. */
const maxIndent = 60;

/** The rows that are in the list, the children of what is open below it. */
export function rowsOf(tree: Tree, open: ReadonlySet<string>): TreeRow[] {
  const rows: TreeRow[] = [];
  const todo: TreeRow[] = [];
  const push = (nodes: number[], parent: TreeRow | null) => {
    const by = nodes.length > 1 || !parent ? 1 : chainIndent;
    for (let i = nodes.length - 1; i >= 0; i--) {
      const node = nodes[i]!;
      const key = parent ? `${parent.key}\0${step(tree, node)}` : "";
      todo.push({
        node,
        key,
        depth: tree.depth[node]!,
        indent: parent ? Math.min(parent.indent + by, maxIndent) : 0,
        open: open.has(key),
        leaf: tree.end[node] === node + 1,
        place: i + 1,
        siblings: nodes.length,
      });
    }
  };
  if (tree.size) push([0], null);
  for (let row = todo.pop(); row; row = todo.pop()) {
    rows.push(row);
    if (row.open && !row.leaf) push(childrenOf(tree, row.node), row);
  }
  return rows;
}

/** Opens a place, and what follows as long as there is only one way to go on. */
export function opened(tree: Tree, open: ReadonlySet<string>, node: number): Set<string> {
  const out = new Set(open);
  let key = keyOf(tree, node);
  for (let n = node; ; ) {
    out.add(key);
    if (tree.end[n] === n + 1) break;
    const only = n + 1;
    if (tree.end[only] !== tree.end[n]) break; // there are several
    n = only;
    key += `\0${step(tree, n)}`;
    if (tree.end[n] === n + 1) break;
  }
  return out;
}

/** Closes a place; what was open below it opens with it again. */
export function closed(open: ReadonlySet<string>, key: string): Set<string> {
  const out = new Set(open);
  out.delete(key);
  return out;
}

/** Opens all places on the way to a node. */
export function openedTo(tree: Tree, open: ReadonlySet<string>, node: number): Set<string> {
  const out = new Set(open);
  for (let n = tree.parent[node] ?? -1; n >= 0; n = tree.parent[n]!) out.add(keyOf(tree, n));
  return out;
}

/** Opens the heaviest path below a node; the node that it ends in comes with it. */
export function openedHeaviest(tree: Tree, open: ReadonlySet<string>, node: number): { open: Set<string>; end: number } {
  const out = openedTo(tree, open, node);
  const path = heaviestPath(tree, node);
  let key = keyOf(tree, node);
  path.forEach((n, i) => {
    if (i > 0) key += `\0${step(tree, n)}`;
    if (tree.end[n]! > n + 1 && i < path.length - 1) out.add(key);
  });
  return { open: out, end: path[path.length - 1] ?? node };
}

/** Most places that are opened at once. */
const most = 4000;

/** Opens everything below a node, as long as that is at most so many places. */
export function openedBelow(tree: Tree, open: ReadonlySet<string>, node: number): Set<string> {
  const out = openedTo(tree, open, node);
  const keys: string[] = [];
  keys[tree.depth[node]!] = keyOf(tree, node);
  let left = most;
  for (let n = node; n < tree.end[node]! && left > 0; n++) {
    const d = tree.depth[n]!;
    if (n > node) keys[d] = `${keys[d - 1]}\0${step(tree, n)}`;
    if (tree.end[n]! > n + 1) {
      out.add(keys[d]!);
      left--;
    }
  }
  return out;
}

/** Closes everything below a node, and it. */
export function closedBelow(open: ReadonlySet<string>, key: string): Set<string> {
  return new Set([...open].filter((k) => k !== key && !k.startsWith(`${key}\0`)));
}
