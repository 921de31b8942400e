// SPDX-License-Identifier: Apache-2.0
// What transforms do, one function for each. All take stacks and a mark for each frame,
// and go over the nodes a fixed number of times. Labels that stacks are grouped by stay where they are:
// only focus and ignore look at them.

import { addFrame, Builder, copyFrames, functions, type Stacks } from "./stacks";

type Marks = Uint8Array;

const dropped = -1;

/** Builds stacks anew: place says where a node goes, given where its parent went; dropped drops it and all below it. */
function rebuild(s: Stacks, place: (node: number, parent: number, b: Builder) => number, frames = s.frames): Stacks {
  const n = s.frame.length;
  const b = new Builder(frames, s.about, s.base !== null, s.frame[0], n);
  const to = new Int32Array(n);
  b.add(0, s.self[0] ?? 0, s.base?.[0]);
  for (let i = 1; i < n; i++) {
    const p = to[s.parent[i]!]!;
    const node = p === dropped ? dropped : place(i, p, b);
    to[i] = node;
    if (node !== dropped) b.add(node, s.self[i]!, s.base?.[i]);
  }
  return b.done();
}

/** Only the stacks of nodes that are kept; what then leads nowhere is gone. */
function only(s: Stacks, keep: Uint8Array): Stacks {
  const n = s.frame.length;
  const needed = keep.slice();
  for (let i = n - 1; i > 0; i--) if (needed[i]) needed[s.parent[i]!] = 1;
  const b = new Builder(s.frames, s.about, s.base !== null, s.frame[0], n);
  const to = new Int32Array(n);
  for (let i = 0; i < n; i++) {
    if (i > 0) {
      if (!needed[i]) continue;
      to[i] = b.child(to[s.parent[i]!]!, s.frame[i]!);
    }
    if (keep[i]) b.add(to[i]!, s.self[i]!, s.base?.[i]);
  }
  return b.done();
}

const isLabel = (s: Stacks, node: number) => s.frames.kind[s.frame[node]!] === "label";

/** 1 for each node that is marked or below one that is. */
function inside(s: Stacks, marks: Marks): Uint8Array {
  const out = new Uint8Array(s.frame.length);
  for (let i = 1; i < out.length; i++) out[i] = out[s.parent[i]!]! | marks[s.frame[i]!]!;
  return out;
}

export const focus = (s: Stacks, marks: Marks): Stacks => only(s, inside(s, marks));

export const ignore = (s: Stacks, marks: Marks): Stacks =>
  only(
    s,
    inside(s, marks).map((v) => 1 - v),
  );

/** Drops stacks whose innermost function is marked; kernel code below it does not count, as it waits there. */
export function ignoreLeaves(s: Stacks, marks: Marks): Stacks {
  const n = s.frame.length;
  const keep = new Uint8Array(n).fill(1);
  for (let i = 1; i < n; i++) {
    const kernel = s.frames.kind[s.frame[i]!] === "kernel";
    if (marks[s.frame[i]!] || (kernel && !keep[s.parent[i]!])) keep[i] = 0;
  }
  return only(s, keep);
}

/** Leaves frames out; their values go to their callers. */
export const hide = (s: Stacks, marks: Marks): Stacks => rebuild(s, (i, p, b) => (marks[s.frame[i]!] && !isLabel(s, i) ? p : b.child(p, s.frame[i]!)));

/** Leaves all frames out that are not marked. */
export const show = (s: Stacks, marks: Marks): Stacks => rebuild(s, (i, p, b) => (marks[s.frame[i]!] || isLabel(s, i) ? b.child(p, s.frame[i]!) : p));

/** Stacks begin with the outermost marked frame; those without one are dropped. */
export function root(s: Stacks, marks: Marks): Stacks {
  const n = s.frame.length;
  const begun = inside(s, marks);
  const kept = only(s, begun);
  const started = inside(kept, marks);
  return rebuild(kept, (i, p, b) => (started[i] || isLabel(kept, i) ? b.child(p, kept.frame[i]!) : p), n ? kept.frames : s.frames);
}

/** A function that calls itself at once becomes one frame. */
export function recursion(s: Stacks, marks: Marks | null): Stacks {
  const { of } = functions(s.frames);
  return rebuild(s, (i, p, b) => {
    const frame = s.frame[i]!;
    const again = p > 0 && of[b.frameOf(p)] === of[frame] && (!marks || marks[frame]) && !isLabel(s, i);
    return again ? p : b.child(p, frame);
  });
}

/** A function that is in a stack already, however far up, goes on there: each stack has every function once. */
export function recursionAll(s: Stacks, marks: Marks | null): Stacks {
  const { of } = functions(s.frames);
  return rebuild(s, (i, p, b) => {
    const frame = s.frame[i]!;
    if ((!marks || marks[frame]) && !isLabel(s, i)) {
      for (let a = p; a > 0; a = b.parentOf(a)) if (of[b.frameOf(a)] === of[frame]) return a;
    }
    return b.child(p, frame);
  });
}

/** Marked frames that call each other become one frame of the given name. */
export function library(s: Stacks, marks: Marks, name: string): Stacks {
  const one = marks.indexOf(1);
  if (one < 0) return s;
  const frames = copyFrames(s.frames);
  const { kind, binary, buildId } = s.frames;
  const frame = addFrame(frames, { name, binary: binary[one], buildId: buildId[one], kind: kind[one] });
  return rebuild(s, (i, p, b) => (!marks[s.frame[i]!] || isLabel(s, i) ? b.child(p, s.frame[i]!) : b.frameOf(p) === frame ? p : b.child(p, frame)), frames);
}

/** What marked functions call becomes their own time. */
export function collapse(s: Stacks, marks: Marks): Stacks {
  const closed = inside(
    s,
    marks.map((v, i) => (s.frames.kind[i] === "label" ? 0 : v)),
  );
  return rebuild(s, (i, p, b) => (closed[s.parent[i]!] ? p : b.child(p, s.frame[i]!)));
}
