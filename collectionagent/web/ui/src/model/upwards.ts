// SPDX-License-Identifier: Apache-2.0
// Stacks read from the inside out: a tree whose levels are callers. Its size is the sum of the
// lengths of all stacks, which can be a hundred times that of the tree, so it is bounded: what is
// too small to be seen is not followed up to the root, but summed as "(other)".

import { addFrame, Builder, copyFrames, type Stacks } from "./stacks";
import type { Tree } from "./tree";

/** Most nodes of a tree of callers. */
const maxNodes = 400_000;

/** A place to start from: the frames above it become the levels below. */
export interface Start {
  node: number;
  self: number;
  base: number;
}

/**
 * The callers of the starts as a tree: below its root the frames of the starts themselves, or when
 * skipFirst is set their callers at once. Labels that the tree is grouped by stay the first levels when keepLabels is set.
 */
export function upwards(tree: Tree, starts: Start[], rootFrame: number, skipFirst: boolean, keepLabels: boolean): Stacks {
  let steps = 0;
  let whole = 0;
  for (const s of starts) {
    steps += tree.depth[s.node]!;
    whole += Math.abs(s.self) + Math.abs(s.base);
  }
  const smallest = Math.max(whole / 1e7, Number.MIN_VALUE);
  for (let least = steps <= maxNodes ? 0 : smallest; ; least = Math.max(least * 8, smallest)) {
    const stacks = grow(tree, starts, rootFrame, skipFirst, keepLabels, least, least > whole ? Infinity : maxNodes);
    if (stacks) return stacks;
  }
}

/** null when there are too many nodes. Groups below the least value are not looked into. */
function grow(tree: Tree, starts: Start[], rootFrame: number, skipFirst: boolean, keepLabels: boolean, least: number, most: number): Stacks | null {
  const frames = least > 0 ? copyFrames(tree.frames) : tree.frames;
  const other = least > 0 ? addFrame(frames, { name: "(other)", kind: "other" }) : -1;
  const b = new Builder(frames, tree.about, tree.baseSelf !== null, rootFrame, Math.min(maxNodes, starts.length * 4));
  const n = starts.length;
  /** Where each start has come to: its next frame in the tree, and the node that it will be below. */
  const next = new Int32Array(n);
  const below = new Int32Array(n);
  const isLabel = (node: number) => tree.frames.kind[tree.frame[node]!] === "label";
  let going: number[] = [];
  for (let i = 0; i < n; i++) {
    const { node } = starts[i]!;
    next[i] = skipFirst ? tree.parent[node]! : node;
    if (keepLabels) {
      const labels: number[] = [];
      for (let p = node; p > 0; p = tree.parent[p]!) if (isLabel(p)) labels.push(tree.frame[p]!);
      for (const frame of labels.reverse()) below[i] = b.child(below[i]!, frame);
    }
    going.push(i);
  }
  while (going.length) {
    const sums = new Map<number, number>();
    const on: number[] = [];
    for (const i of going) {
      const s = starts[i]!;
      const node = next[i]!;
      if (node <= 0 || (keepLabels && isLabel(node))) {
        b.add(below[i]!, s.self, s.base);
        continue;
      }
      const child = b.child(below[i]!, tree.frame[node]!);
      below[i] = child;
      next[i] = tree.parent[node]!;
      if (least > 0) sums.set(child, (sums.get(child) ?? 0) + Math.abs(s.self) + Math.abs(s.base));
      on.push(i);
    }
    if (b.size > most) return null;
    going = on;
    if (least > 0) {
      going = [];
      for (const i of on) {
        if (sums.get(below[i]!)! >= least) {
          going.push(i);
          continue;
        }
        const s = starts[i]!;
        const rest = next[i]! > 0 && !(keepLabels && isLabel(next[i]!)) ? b.child(below[i]!, other) : below[i]!;
        b.add(rest, s.self, s.base);
      }
    }
  }
  return b.done();
}
