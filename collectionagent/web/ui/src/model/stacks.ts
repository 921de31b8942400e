// SPDX-License-Identifier: Apache-2.0
// Stacks while they are changed: nodes that know their parents, and a builder that puts
// nodes of the same function below the same caller together. A Tree is made of them at the
// end, so that many changes cost one Tree.

import { type About, type Frames, Tree } from "./tree";

/** Nodes in an order in which parents come before what is below them. Node 0 is the root. */
export interface Stacks {
  frames: Frames;
  frame: Int32Array;
  /** -1 for the root. */
  parent: Int32Array;
  self: Float64Array;
  /** Of the base, in a comparison. */
  base: Float64Array | null;
  about: About;
}

export const fromTree = (tree: Tree): Stacks => ({
  frames: tree.frames,
  frame: new Int32Array(tree.frame),
  parent: tree.parent,
  self: tree.self,
  base: tree.baseSelf,
  about: tree.about,
});

/** Grows stacks node by node. A child that is asked for twice is made once. */
export class Builder {
  size = 0;
  private frame: Int32Array;
  private parent: Int32Array;
  private self: Float64Array;
  private base: Float64Array | null;
  /** An open hash table of nodes by parent and frame; -1 is free. */
  private table: Int32Array;

  constructor(
    readonly frames: Frames,
    readonly about: About,
    comparison: boolean,
    rootFrame = 0,
    expected = 1024,
  ) {
    const room = Math.max(16, expected);
    this.frame = new Int32Array(room);
    this.parent = new Int32Array(room);
    this.self = new Float64Array(room);
    this.base = comparison ? new Float64Array(room) : null;
    this.table = new Int32Array(2 ** Math.ceil(Math.log2(room * 2))).fill(-1);
    this.append(-1, rootFrame);
  }

  private append(parent: number, frame: number): number {
    if (this.size === this.frame.length) this.grow();
    this.frame[this.size] = frame;
    this.parent[this.size] = parent;
    return this.size++;
  }

  private grow() {
    const room = this.frame.length * 2;
    const wider = <T extends Int32Array | Float64Array>(from: T, to: T): T => {
      to.set(from);
      return to;
    };
    this.frame = wider(this.frame, new Int32Array(room));
    this.parent = wider(this.parent, new Int32Array(room));
    this.self = wider(this.self, new Float64Array(room));
    if (this.base) this.base = wider(this.base, new Float64Array(room));
    this.table = new Int32Array(this.table.length * 2).fill(-1);
    for (let i = 1; i < this.size; i++) this.table[this.slot(this.parent[i]!, this.frame[i]!)] = i;
  }

  /** Where a node is in the table, or would be. */
  private slot(parent: number, frame: number): number {
    const mask = this.table.length - 1;
    let h = Math.imul(parent, 0x9e3779b1) ^ Math.imul(frame, 0x85ebca6b);
    h ^= h >>> 15;
    for (let at = h & mask; ; at = (at + 1) & mask) {
      const node = this.table[at]!;
      if (node < 0 || (this.parent[node] === parent && this.frame[node] === frame)) return at;
    }
  }

  child(parent: number, frame: number): number {
    const at = this.slot(parent, frame);
    const known = this.table[at]!;
    if (known >= 0) return known;
    const grows = this.size === this.frame.length;
    const node = this.append(parent, frame);
    this.table[grows ? this.slot(parent, frame) : at] = node;
    return node;
  }

  add(node: number, self: number, base = 0): void {
    this.self[node]! += self;
    if (this.base) this.base[node]! += base;
  }

  frameOf(node: number): number {
    return this.frame[node]!;
  }

  parentOf(node: number): number {
    return this.parent[node]!;
  }

  done(): Stacks {
    return {
      frames: this.frames,
      frame: this.frame.subarray(0, this.size),
      parent: this.parent.subarray(0, this.size),
      self: this.self.subarray(0, this.size),
      base: this.base && this.base.subarray(0, this.size),
      about: this.about,
    };
  }
}

/** What stands for an absent frame in a list of frames that grows. */
export interface NewFrame {
  name: string;
  file?: string;
  line?: number;
  binary?: string;
  buildId?: string;
  kind?: string;
  inlined?: boolean;
}

export const noFrames = (): Frames => ({ name: [], file: [], line: [], binary: [], buildId: [], kind: [], inlined: [] });

/** Appends a frame and returns its number. */
export function addFrame(f: Frames, n: NewFrame): number {
  f.name.push(n.name);
  f.file.push(n.file ?? "");
  f.line.push(n.line ?? 0);
  f.binary.push(n.binary ?? "");
  f.buildId.push(n.buildId ?? "");
  f.kind.push(n.kind ?? "other");
  f.inlined.push(n.inlined ?? false);
  return f.name.length - 1;
}

export const copyFrames = (f: Frames): Frames => ({
  name: f.name.slice(),
  file: f.file.slice(),
  line: f.line.slice(),
  binary: f.binary.slice(),
  buildId: f.buildId.slice(),
  kind: f.kind.slice(),
  inlined: f.inlined.slice(),
});

/**
 * A number for each frame that is the same for frames of one function: same name, file and binary,
 * whatever the line, and whether inlined or not. Worked out once for the frames of a tree, which no longer change.
 */
export function functions(f: Frames): Functions {
  let out = functionsOf.get(f);
  if (!out) functionsOf.set(f, (out = makeFunctions(f, false)));
  return out;
}

/** The same for lines of functions. */
export const linesOf = (f: Frames): Functions => makeFunctions(f, true);

interface Functions {
  of: Int32Array;
  count: number;
  /** A frame of each. */
  first: number[];
}
const functionsOf = new WeakMap<Frames, Functions>();

function makeFunctions(f: Frames, lines: boolean): Functions {
  const known = new Map<string, number>();
  const first: number[] = [];
  const of = Int32Array.from(f.name, (name, i) => {
    const key = `${name}\0${f.file[i]}\0${f.binary[i]}\0${f.kind[i] === "label" ? 1 : 0}${lines ? `\0${f.line[i]}` : ""}`;
    let n = known.get(key);
    if (n === undefined) {
      known.set(key, (n = first.length));
      first.push(i);
    }
    return n;
  });
  return { of, count: first.length, first };
}

/** Places of names in the order of their letters, equal names the same place. */
function ranks(names: readonly string[]): Int32Array {
  const order = [...new Set(names)].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  const place = new Map(order.map((n, i) => [n, i]));
  return Int32Array.from(names, (n) => place.get(n)!);
}

/** Most nodes have few children: up to so many are sorted here, as the sort of typed arrays copies them back and forth. */
const few = 16;

function insertionSort(list: Int32Array, less: (a: number, b: number) => number): void {
  for (let i = 1; i < list.length; i++) {
    const v = list[i]!;
    let at = i;
    for (; at > 0 && less(list[at - 1]!, v) > 0; at--) list[at] = list[at - 1]!;
    list[at] = v;
  }
}

/** Nodes in preorder, children sorted by name, so that a refresh moves nothing that did not change. */
export function preorder(s: Stacks): { order: Int32Array; depth: Int32Array } {
  const n = s.frame.length;
  const count = new Int32Array(n + 1);
  for (let i = 1; i < n; i++) count[s.parent[i]! + 1]!++;
  for (let i = 1; i <= n; i++) count[i]! += count[i - 1]!;
  const from = count.slice();
  const children = new Int32Array(n);
  for (let i = 1; i < n; i++) children[from[s.parent[i]!]!++] = i;
  const rank = ranks(s.frames.name);
  const less = (a: number, b: number) => rank[s.frame[a]!]! - rank[s.frame[b]!]! || s.frame[a]! - s.frame[b]!;
  const order = new Int32Array(n);
  const depth = new Int32Array(n);
  const todo = new Int32Array(n);
  let left = 0;
  if (n) todo[left++] = 0;
  for (let at = 0; left > 0; at++) {
    const node = todo[--left]!;
    order[at] = node;
    const a = count[node]!;
    const b = count[node + 1]!;
    const mine = children.subarray(a, b);
    if (b - a > few) mine.sort(less);
    else if (b - a > 1) insertionSort(mine, less);
    for (let c = b - 1; c >= a; c--) {
      const child = children[c]!;
      depth[child] = depth[node]! + 1;
      todo[left++] = child;
    }
  }
  return { order, depth };
}

export function toTree(s: Stacks): Tree {
  const { order, depth } = preorder(s);
  const n = order.length;
  const pick = (column: Int32Array | Float64Array, to: Int32Array | Float64Array) => {
    for (let i = 0; i < n; i++) to[i] = column[order[i]!]!;
    return to;
  };
  return new Tree(
    s.frames,
    {
      frame: pick(s.frame, new Int32Array(n)),
      depth: pick(depth, new Int32Array(n)),
      self: pick(s.self, new Float64Array(n)),
      baseSelf: s.base ? pick(s.base, new Float64Array(n)) : undefined,
    },
    s.about,
  );
}
