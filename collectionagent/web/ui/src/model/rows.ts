// SPDX-License-Identifier: Apache-2.0
// A tree as a table: one row for each function.

import { functions, linesOf } from "./stacks";
import type { Tree } from "./tree";

export interface Row {
  /** A frame of the function, in tree.frames. */
  frame: number;
  name: string;
  file: string;
  /** Of a row that is a line of a function, else 0. */
  line: number;
  binary: string;
  kind: string;
  self: number;
  /** Of all stacks that the function is in, each counted once however often it calls itself. */
  total: number;
  /** Of the base in a comparison, else 0. */
  baseSelf: number;
  baseTotal: number;
  /** In how many places of the tree it is. */
  nodes: number;
  /** How many functions call it; the root does not count. */
  callers: number;
}

/**
 * The functions of a tree, or with lines set the lines of these, in the order of their first frames; the root and the labels it is grouped by
 * are no functions. Takes a time that grows with the nodes.
 */
export function rows(tree: Tree, lines = false): Row[] {
  const { frames, size } = tree;
  const { of, count, first } = lines ? linesOf(frames) : functions(frames);
  const self = new Float64Array(count);
  const total = new Float64Array(count);
  const baseSelf = new Float64Array(count);
  const baseTotal = new Float64Array(count);
  const nodes = new Int32Array(count);
  const callers = new Int32Array(count);
  /** Up to which node the function is on the path already. */
  const open = new Uint32Array(count);
  const seen = new Set<number>();
  for (let i = 1; i < size; i++) {
    const f = of[tree.frame[i]!]!;
    nodes[f]!++;
    self[f]! += tree.self[i]!;
    if (tree.baseSelf) baseSelf[f]! += tree.baseSelf[i]!;
    if (i >= open[f]!) {
      open[f] = tree.end[i]!;
      total[f]! += tree.total[i]!;
      if (tree.baseTotal) baseTotal[f]! += tree.baseTotal[i]!;
    }
    const p = tree.parent[i]!;
    if (p > 0 && tree.kind(p) !== "label") {
      const pair = f * count + of[tree.frame[p]!]!;
      if (!seen.has(pair)) {
        seen.add(pair);
        callers[f]!++;
      }
    }
  }
  const out: Row[] = [];
  for (let f = 0; f < count; f++) {
    const frame = first[f]!;
    if (!nodes[f] || frames.kind[frame] === "label") continue;
    out.push({
      frame,
      name: frames.name[frame]!,
      file: frames.file[frame]!,
      line: lines ? frames.line[frame]! : 0,
      binary: frames.binary[frame]!,
      kind: frames.kind[frame]!,
      self: self[f]!,
      total: total[f]!,
      baseSelf: baseSelf[f]!,
      baseTotal: baseTotal[f]!,
      nodes: nodes[f]!,
      callers: callers[f]!,
    });
  }
  return out;
}
