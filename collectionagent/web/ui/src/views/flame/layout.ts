// SPDX-License-Identifier: Apache-2.0
// Where frames are on the screen, without a screen: the nodes of a tree row by row, which of
// them are wide enough to be seen, and which are merged because they are not. No question
// looks at more nodes than there are pixels.

import type { Tree } from "../../model/tree";

/** Pixels below which a frame is not drawn by itself. */
export const narrow = 1;

/** What is drawn of one row: x and w are pixels from the left edge of the window. */
export interface Visitor {
  /** A frame by itself. */
  frame(rank: number, x: number, w: number): void;
  /** Frames first … last, each too narrow to be seen. */
  block(first: number, last: number, x: number, w: number): void;
}

/** One thing that can be pointed to: a frame (first == last) or a block of merged ones. */
export interface Item {
  first: number;
  last: number;
  x: number;
  w: number;
}

/** The part of a tree that is shown, in units of the tree's width, and pixels per unit. */
export interface Window {
  left: number;
  right: number;
  scale: number;
}

/**
 * The nodes of a tree in the order of the screen: row by row, each from left to right. The place
 * of a node in it is its rank. Rows are searched often, so what is searched lies side by side.
 */
export class Index {
  /** Where the row of each depth begins; one more entry for the end of the last. */
  readonly offset: Uint32Array;
  readonly node: Uint32Array;
  readonly rank: Uint32Array;
  readonly start: Float64Array;
  readonly width: Float64Array;
  /** The greatest depth below each node, its own included. */
  readonly deepest: Uint32Array;

  constructor(readonly tree: Tree) {
    const { size } = tree;
    this.offset = new Uint32Array(tree.rows.length + 1);
    this.node = new Uint32Array(size);
    this.rank = new Uint32Array(size);
    this.start = new Float64Array(size);
    this.width = new Float64Array(size);
    let at = 0;
    tree.rows.forEach((row, depth) => {
      this.offset[depth] = at;
      for (let i = 0; i < row.length; i++, at++) {
        const n = row[i]!;
        this.node[at] = n;
        this.rank[n] = at;
        this.start[at] = tree.start[n]!;
        this.width[at] = tree.width[n]!;
      }
    });
    this.offset[tree.rows.length] = at;
    this.deepest = Uint32Array.from(tree.depth);
    for (let n = size - 1; n > 0; n--) {
      const p = tree.parent[n]!;
      if (this.deepest[n]! > this.deepest[p]!) this.deepest[p] = this.deepest[n]!;
    }
  }

  /** The first rank at or behind a rank whose node begins at a position or later, at most end. Near ones are found first. */
  private gallop(rank: number, end: number, position: number): number {
    let step = 1;
    let lo = rank;
    while (lo + step < end && this.start[lo + step]! < position) {
      lo += step;
      step *= 2;
    }
    let hi = Math.min(lo + step, end);
    while (lo < hi) {
      const mid = (lo + hi) >> 1;
      if (this.start[mid]! < position) lo = mid + 1;
      else hi = mid;
    }
    return lo;
  }

  /** The first rank of a row that reaches beyond a position, the end of the row when none does. */
  first(depth: number, position: number): number {
    const begin = this.offset[depth]!;
    let lo = begin;
    let hi = this.offset[depth + 1]!;
    while (lo < hi) {
      const mid = (lo + hi) >> 1;
      if (this.start[mid]! <= position) lo = mid + 1;
      else hi = mid;
    }
    return lo > begin && this.start[lo - 1]! + this.width[lo - 1]! > position ? lo - 1 : lo;
  }

  /** Goes over what is drawn of a row. Frames that are too narrow are skipped by the pixel, not one by one. */
  walk(depth: number, { left, right, scale }: Window, to: Visitor): void {
    if (depth < 0 || depth + 1 >= this.offset.length) return;
    const end = this.offset[depth + 1]!;
    const { start, width } = this;
    const pixel = 1 / scale;
    let i = this.first(depth, left);
    while (i < end && start[i]! < right) {
      const x = (start[i]! - left) * scale;
      const w = width[i]! * scale;
      if (w >= narrow) {
        to.frame(i, x, w);
        i++;
        continue;
      }
      const first = i;
      let last: number;
      let edge: number;
      for (;;) {
        // What begins within one pixel is narrower than it, but for the last that does.
        const next = this.gallop(i + 1, end, start[i]! + pixel);
        const wide = next - 1 > i && width[next - 1]! * scale >= narrow;
        last = wide ? next - 2 : next - 1;
        edge = start[last]! + width[last]!;
        i = last + 1;
        if (wide || i >= end || start[i]! >= right) break;
        if (width[i]! * scale >= narrow || (start[i]! - edge) * scale >= 1) break;
      }
      const span = Math.max((edge - start[first]!) * scale, narrow);
      if (first === last) to.frame(first, x, span);
      else to.block(first, last, x, span);
    }
  }

  /** What is drawn at a pixel of a row, null for nothing. What is a pixel wide is also hit one pixel beside it. */
  itemAt(depth: number, px: number, window: Window): Item | null {
    let found: Item | null = null;
    let distance = 1.01;
    const look = (first: number, last: number, x: number, w: number) => {
      const off = px < x ? x - px : px >= x + w ? px - (x + w) : 0;
      if (off >= distance || (off > 0 && w > 3)) return;
      distance = off;
      found = { first, last, x, w };
    };
    this.walk(depth, window, { frame: (r, x, w) => look(r, r, x, w), block: look });
    return found;
  }

  /** What is drawn for a node: it alone, or the block that it is merged into. */
  itemOf(node: number, window: Window): Item {
    const rank = this.rank[node]!;
    let found: Item = { first: rank, last: rank, x: (this.start[rank]! - window.left) * window.scale, w: Math.max(this.width[rank]! * window.scale, narrow) };
    this.walk(this.tree.depth[node]!, window, {
      frame() {},
      block(first, last, x, w) {
        if (first <= rank && rank <= last) found = { first, last, x, w };
      },
    });
    return found;
  }

  /** The sums of a block: its frames, their totals, and those of the base in a comparison. */
  sum(first: number, last: number): { frames: number; total: number; base: number } {
    const { tree } = this;
    let total = 0;
    let base = 0;
    for (let r = first; r <= last; r++) {
      total += tree.total[this.node[r]!]!;
      if (tree.baseTotal) base += tree.baseTotal[this.node[r]!]!;
    }
    return { frames: last - first + 1, total, base };
  }

  /** The widest node of a block, the one to begin with. */
  widest(first: number, last: number): number {
    let best = first;
    for (let r = first; r <= last; r++) if (this.width[r]! > this.width[best]!) best = r;
    return this.node[best]!;
  }

  /** How many of the ranks before each rank are marked: a block has marked ones when the counts at its ends differ. */
  counts(marked: (node: number) => boolean): Uint32Array<ArrayBuffer> {
    const out = new Uint32Array(this.node.length + 1);
    for (let r = 0; r < this.node.length; r++) out[r + 1] = out[r]! + (marked(this.node[r]!) ? 1 : 0);
    return out;
  }
}

const known = new WeakMap<Tree, Index>();

/** The index of a tree, made once for all who draw it. */
export function indexOf(tree: Tree): Index {
  let index = known.get(tree);
  if (!index) known.set(tree, (index = new Index(tree)));
  return index;
}

/** Where a key leads from a node: its parent, its widest child, or what is drawn beside it. -1 for nowhere. */
export function step(index: Index, from: number, to: "parent" | "child" | "left" | "right", window: Window, zoom: number): number {
  const { tree } = index;
  switch (to) {
    case "parent":
      return tree.parent[from]!;
    case "child": {
      let best = -1;
      for (let c = from + 1; c < tree.end[from]!; c = tree.end[c]!) if (best < 0 || tree.width[c]! > tree.width[best]!) best = c;
      return best;
    }
    default: {
      const item = index.itemOf(from, window);
      const rank = to === "left" ? item.first - 1 : item.last + 1;
      const depth = tree.depth[from]!;
      if (rank < index.offset[depth]! || rank >= index.offset[depth + 1]!) return -1;
      const node = index.node[rank]!;
      const inside = node >= zoom && node < tree.end[zoom]!;
      return depth <= tree.depth[zoom]! || inside ? node : -1;
    }
  }
}
