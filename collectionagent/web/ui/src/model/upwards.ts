// SPDX-License-Identifier: Apache-2.0
// Stacks read from the inside out: a tree whose levels are callers. Its size is the sum of the
// lengths of all stacks, which can be a hundred times that of the tree, so it is bounded: the more nodes there
// are, the larger a caller must be to be followed up to the root; what is smaller is summed as "(other)".

import { addFrame, Builder, copyFrames, type Stacks } from "./stacks";
import type { Tree } from "./tree";

/** From this many nodes on what is small is summed; no level begins with more than twice as many. */
const manyNodes = 100_000;
/** The smallest share of all that is followed then: a seventieth of a pixel of a wide screen. */
const smallest = 1e-5;

/** Places to start from: the frames above them become the levels below. */
export interface Starts {
  node: ArrayLike<number>;
  value: ArrayLike<number>;
  /** Of the base, in a comparison. */
  base: ArrayLike<number> | null;
}

/**
 * The callers of the starts as a tree: below its root the frames of the starts themselves, or when
 * skipFirst is set their callers at once. Labels that the tree is grouped by stay the first levels when keepLabels is set.
 */
export function upwards(tree: Tree, starts: Starts, rootFrame: number, skipFirst: boolean, keepLabels: boolean): Stacks {
  const n = starts.node.length;
  const value = starts.value;
  const base = starts.base ?? new Float64Array(n);
  let steps = 0;
  let whole = 0;
  for (let i = 0; i < n; i++) {
    steps += tree.depth[starts.node[i]!]!;
    whole += value[i]! + base[i]!;
  }
  const bounded = steps > manyNodes;
  const frames = bounded ? copyFrames(tree.frames) : tree.frames;
  const other = bounded ? addFrame(frames, { name: "(other)", kind: "other" }) : -1;
  const b = new Builder(frames, { ...tree.about, inward: true }, tree.baseSelf !== null, rootFrame, Math.min(steps, manyNodes) + 1);
  const label = Uint8Array.from(tree.frames.kind, (k) => (keepLabels && k === "label" ? 1 : 0));
  /** The root, and labels that stay above: here a stack ends. */
  const ends = (node: number) => node <= 0 || label[tree.frame[node]!] === 1;

  /** Where each start has come to: its next node in the tree, and the node that it will be below. */
  const next = new Int32Array(n);
  const below = new Int32Array(n);
  const labelled = new Map<number, number>(); // from the innermost label of a stack to its node
  const underLabels = (node: number): number => {
    while (node > 0 && !label[tree.frame[node]!]) node = tree.parent[node]!;
    if (node <= 0) return 0;
    let to = labelled.get(node);
    if (to === undefined) labelled.set(node, (to = b.child(underLabels(tree.parent[node]!), tree.frame[node]!)));
    return to;
  };
  const grouped = label.lastIndexOf(1) > 0;
  let going = new Int32Array(n);
  for (let i = 0; i < n; i++) {
    const node = starts.node[i]!;
    next[i] = skipFirst ? tree.parent[node]! : node;
    if (grouped) below[i] = underLabels(node);
    going[i] = i;
  }
  while (going.length) {
    const begin = b.size;
    // Each node that is made now is a caller of this level. What it sums to decides whether it is followed.
    let sums = new Float64Array(1024);
    const old = new Map<number, number>();
    let left = 0;
    for (const i of going) {
      const node = next[i]!;
      if (ends(node)) {
        b.add(below[i]!, value[i]!, base[i]!);
        continue;
      }
      const child = b.child(below[i]!, tree.frame[node]!);
      below[i] = child;
      next[i] = tree.parent[node]!;
      const v = value[i]! + base[i]!;
      if (child < begin) old.set(child, (old.get(child) ?? 0) + v);
      else {
        if (child - begin >= sums.length) {
          const wider = new Float64Array(2 * Math.max(sums.length, child - begin));
          wider.set(sums);
          sums = wider;
        }
        sums[child - begin]! += v;
      }
      going[left++] = i;
    }
    going = going.subarray(0, left);
    if (!bounded || b.size < manyNodes) continue;
    const least = b.size > 2 * manyNodes ? Infinity : whole * smallest * 2 ** (8 * (b.size / manyNodes - 1));
    left = 0;
    for (const i of going) {
      const node = below[i]!;
      if ((node < begin ? old.get(node)! : sums[node - begin]!) >= least) going[left++] = i;
      else b.add(ends(next[i]!) ? node : b.child(node, other), value[i]!, base[i]!);
    }
    going = going.subarray(0, left);
  }
  return b.done();
}
