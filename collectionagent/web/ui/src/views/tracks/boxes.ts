// SPDX-License-Identifier: Apache-2.0
// The stacks of one track in the order of time, as boxes: a call that goes on from one sample to the next is one box.

import type { Tracks } from "./model";

/** Boxes in the order in which they begin; of a row, none overlaps another. */
export interface Boxes {
  /** The number of the function. */
  frame: number[];
  /** 0 is the outermost function. */
  depth: number[];
  from: number[];
  to: number[];
  /** Of each depth, the boxes in the order of time. */
  rows: number[][];
}

/** Makes the boxes of the first track. Samples that are further apart than they stand for are not the same call. */
export function boxesOf(t: Tracks): Boxes {
  const out: Boxes = { frame: [], depth: [], from: [], to: [], rows: [] };
  const track = t.tracks[0];
  if (!track) return out;
  const { frame, parent } = t.answer.stacks;
  const paths = new Map<number, number[]>(); // nodes from the outermost on
  const pathOf = (stack: number): number[] => {
    let path = paths.get(stack);
    if (!path) {
      path = [];
      for (let n = stack; n > 0; n = parent[n]!) path.push(n);
      path.reverse();
      paths.set(stack, path);
    }
    return path;
  };
  const apart = Math.max(t.stepMs, t.periodMs) / 2;
  let open: number[] = []; // boxes, by depth
  let nodes: number[] = [];
  let end = -Infinity;
  const { step, stack } = track.cells;
  for (let i = 0; i < step.length; i++) {
    const path = pathOf(stack[i]!);
    const to = t.to(step[i]!);
    const goesOn = t.from(step[i]!) - end <= apart;
    const from = goesOn ? Math.max(end, t.startMs) : t.from(step[i]!);
    let same = 0;
    if (goesOn) while (same < path.length && path[same] === nodes[same]) same++;
    for (let d = 0; d < same; d++) out.to[open[d]!] = to;
    open = open.slice(0, same);
    for (let d = same; d < path.length; d++) {
      const box = out.frame.length;
      out.frame.push(frame[path[d]!]!);
      out.depth.push(d);
      out.from.push(from);
      out.to.push(to);
      (out.rows[d] ??= []).push(box);
      open.push(box);
    }
    nodes = path;
    end = to;
  }
  return out;
}

/** The first of a row that ends behind a time. */
export function firstBehind(b: Boxes, row: readonly number[], ms: number): number {
  let lo = 0;
  let hi = row.length;
  while (lo < hi) {
    const mid = (lo + hi) >> 1;
    if (b.to[row[mid]!]! <= ms) lo = mid + 1;
    else hi = mid;
  }
  return lo;
}

/** The box of a depth at a time, -1 for none. */
export function boxAt(b: Boxes, depth: number, ms: number): number {
  const row = b.rows[depth];
  if (!row) return -1;
  const box = row[firstBehind(b, row, ms)];
  return box !== undefined && b.from[box]! <= ms ? box : -1;
}

/** Where an arrow leads from a box: the caller, what it called first, or its neighbour in the row; -1 for nowhere. */
export function step(b: Boxes, box: number, to: "parent" | "child" | "left" | "right"): number {
  const depth = b.depth[box]!;
  if (to === "parent") return depth > 0 ? boxAt(b, depth - 1, b.from[box]!) : -1;
  if (to === "child") {
    const row = b.rows[depth + 1];
    const next = row?.[firstBehind(b, row, b.from[box]!)];
    return next !== undefined && b.from[next]! < b.to[box]! ? next : -1;
  }
  const row = b.rows[depth]!;
  const at = firstBehind(b, row, b.from[box]!);
  return row[to === "left" ? at - 1 : at + 1] ?? -1;
}

/** What to ask for so that a part of the range can be seen: a bit more on both sides, the same for small moves. */
export function request(from: number, to: number, firstMs: number, lastMs: number): { from: number; to: number; step: number } {
  const length = 2 ** Math.ceil(Math.log2(Math.max(to - from, 10) * 1.4));
  if (length >= lastMs - firstMs) return { from: firstMs, to: lastMs, step: stepOf(lastMs - firstMs) };
  const grid = length / 4;
  const start = Math.floor(((from + to) / 2 - length / 2) / grid) * grid;
  return { from: Math.max(firstMs, Math.floor(start)), to: Math.min(lastMs, Math.ceil(start + length + grid)), step: stepOf(length) };
}

const stepOf = (length: number) => Math.max(1, Math.ceil(length / 4000));
