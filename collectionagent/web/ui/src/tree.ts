// SPDX-License-Identifier: Apache-2.0
// The flame graph as arrays, and what can be asked of it. Nodes are numbers in
// preorder: node 0 is the root, and the nodes below n are n+1 … end[n]-1.

import type { FlameAnswer } from "./api";

export class Tree {
  readonly size: number;
  readonly frame: Uint32Array;
  readonly depth: Uint16Array;
  readonly self: Float64Array;
  readonly total: Float64Array;
  readonly parent: Int32Array;
  /** One behind the last node below. */
  readonly end: Uint32Array;
  /** Where a node begins, in units of value from the left edge of the root. */
  readonly start: Float64Array;
  readonly maxDepth: number;
  /** The nodes of each depth, from left to right. */
  readonly rows: Uint32Array[];

  constructor(readonly answer: FlameAnswer) {
    const n = answer.nodes;
    const size = (this.size = n.frame.length);
    this.frame = Uint32Array.from(n.frame);
    this.depth = Uint16Array.from(n.depth);
    this.self = Float64Array.from(n.self);
    this.total = Float64Array.from(n.total);
    this.parent = new Int32Array(size).fill(-1);
    this.end = new Uint32Array(size);
    this.start = new Float64Array(size);
    const path: number[] = [];
    const used = new Float64Array(size); // of a node by its children so far
    const counts: number[] = [];
    for (let i = 0; i < size; i++) {
      const d = this.depth[i]!;
      while (path.length > d) this.end[path.pop()!] = i;
      const parent = path.length ? path[path.length - 1]! : -1;
      this.parent[i] = parent;
      if (parent >= 0) {
        this.start[i] = this.start[parent]! + used[parent]!;
        used[parent]! += this.total[i]!;
      }
      path.push(i);
      counts[d] = (counts[d] ?? 0) + 1;
    }
    while (path.length) this.end[path.pop()!] = size;
    this.rows = counts.map((c) => new Uint32Array(c));
    const filled = counts.map(() => 0);
    for (let i = 0; i < size; i++) {
      const d = this.depth[i]!;
      this.rows[d]![filled[d]!++] = i;
    }
    this.maxDepth = counts.length;
  }

  private text(table: number[], node: number): string {
    return this.answer.strings[table[this.frame[node]!] ?? 0] ?? "";
  }
  name(node: number): string {
    return this.text(this.answer.frames.name, node);
  }
  file(node: number): string {
    return this.text(this.answer.frames.file, node);
  }
  binary(node: number): string {
    return this.text(this.answer.frames.binary, node);
  }
  kind(node: number): string {
    return this.text(this.answer.frames.kind, node);
  }
  line(node: number): number {
    return this.answer.frames.line[this.frame[node]!] ?? 0;
  }
  inlined(node: number): boolean {
    return !!this.answer.frames.inlined[this.frame[node]!];
  }

  /** Names from below the root to the node. */
  path(node: number): string[] {
    const out: string[] = [];
    for (let n = node; n > 0; n = this.parent[n]!) out.push(this.name(n));
    return out.reverse();
  }

  /** The node that a path leads to, as far as it goes in this tree. */
  find(path: string[]): number {
    let node = 0;
    for (const name of path) {
      let next = -1;
      for (let c = node + 1; c < this.end[node]!; c = this.end[c]!) {
        if (this.name(c) === name) {
          next = c;
          break;
        }
      }
      if (next < 0) break;
      node = next;
    }
    return node;
  }

  /** The node of a row that covers a position, -1 when there is none. */
  at(depth: number, position: number): number {
    const row = this.rows[depth];
    if (!row) return -1;
    let lo = 0;
    let hi = row.length;
    while (lo < hi) {
      const mid = (lo + hi) >> 1;
      if (this.start[row[mid]!]! <= position) lo = mid + 1;
      else hi = mid;
    }
    const node = lo > 0 ? row[lo - 1]! : -1;
    return node >= 0 && position < this.start[node]! + this.total[node]! ? node : -1;
  }

  /** Marks what matches, and sums it: a match inside a match counts once. */
  match(pattern: RegExp | null): Matches {
    const hit = new Uint8Array(this.answer.frames.name.length);
    const marked = new Uint8Array(this.size);
    if (!pattern) return { marked, value: 0, count: 0 };
    this.answer.frames.name.forEach((name, i) => {
      const text = this.answer.strings[name]!;
      const file = this.answer.strings[this.answer.frames.file[i]!] ?? "";
      const binary = this.answer.strings[this.answer.frames.binary[i]!] ?? "";
      hit[i] = pattern.test(text) || pattern.test(file) || pattern.test(binary) ? 1 : 0;
    });
    let value = 0;
    let count = 0;
    let covered = 0; // nodes below this one are inside a match
    for (let i = 1; i < this.size; i++) {
      if (!hit[this.frame[i]!]) continue;
      marked[i] = 1;
      count++;
      if (i >= covered) {
        value += this.total[i]!;
        covered = this.end[i]!;
      }
    }
    return { marked, value, count };
  }
}

export interface Matches {
  marked: Uint8Array;
  value: number;
  count: number;
}

/** A text is searched as it is, /…/ as a regular expression; case never matters. */
export function pattern(search: string): { re: RegExp | null; error: string } {
  const s = search.trim();
  if (!s) return { re: null, error: "" };
  const isRegexp = s.length > 2 && s.startsWith("/") && s.endsWith("/");
  try {
    return { re: new RegExp(isRegexp ? s.slice(1, -1) : s.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "i"), error: "" };
  } catch (e) {
    return { re: null, error: (e as Error).message };
  }
}
