// SPDX-License-Identifier: Apache-2.0
// The flame graph as arrays, and what can be asked of it. Nodes are numbers in
// preorder: node 0 is the root, and the nodes below n are n+1 … end[n]-1.

import type { FlameAnswer } from "../api/client";
import { expression, type Expression, plain } from "./regexp";

/** What frames are, by number: one entry for each that is told apart. */
export interface Frames {
  name: string[];
  /** Of the source, "" where it is not known. */
  file: string[];
  /** Where the function begins, or at the level "line" the line itself; 0 where it is not known. */
  line: number[];
  /** Base name of the executable or library. */
  binary: string[];
  /** "" where it is not known. */
  buildId: string[];
  /** kernel, native, go, python, …, label, error, other. */
  kind: string[];
  inlined: boolean[];
}

/** What a tree is made of: nodes in preorder. */
export interface Nodes {
  frame: ArrayLike<number>;
  depth: ArrayLike<number>;
  self: ArrayLike<number>;
  /** Of the other profile, in a comparison. */
  baseSelf?: ArrayLike<number>;
}

/** What a tree says of all of itself. */
export interface About {
  type: string;
  unit: string;
  /** Levels are callers, from the inside out: self is what begins with a node, not what it took itself. */
  inward?: boolean;
}

/**
 * A profile as a tree of stacks from the root (node 0) to the leaves. It never changes:
 * what transforms it makes a new one. In a comparison every node has a second value, that of the
 * base, and is as wide as both together, so that what is gone can be seen, too.
 */
export class Tree {
  readonly size: number;
  readonly frame: Uint32Array;
  readonly depth: Uint32Array;
  readonly self: Float64Array;
  readonly total: Float64Array;
  /** Values of the base in a comparison, else null. */
  readonly baseSelf: Float64Array | null;
  readonly baseTotal: Float64Array | null;
  /** How wide a node is: total, and in a comparison the sum of both totals. */
  readonly width: Float64Array;
  readonly parent: Int32Array;
  /** One behind the last node below. */
  readonly end: Uint32Array;
  /** Where a node begins, in units of width from the left edge of the root. */
  readonly start: Float64Array;
  readonly maxDepth: number;
  /** The nodes of each depth, from left to right. */
  readonly rows: Uint32Array[];

  constructor(
    readonly frames: Frames,
    nodes: Nodes,
    readonly about: About,
  ) {
    const size = (this.size = nodes.frame.length);
    this.frame = new Uint32Array(nodes.frame);
    this.depth = new Uint32Array(nodes.depth);
    this.self = new Float64Array(nodes.self);
    this.total = new Float64Array(nodes.self);
    this.baseSelf = nodes.baseSelf ? new Float64Array(nodes.baseSelf) : null;
    this.baseTotal = nodes.baseSelf ? new Float64Array(nodes.baseSelf) : null;
    this.parent = new Int32Array(size).fill(-1);
    this.end = new Uint32Array(size);
    this.start = new Float64Array(size);
    const path: number[] = [];
    const counts: number[] = [];
    for (let i = 0; i < size; i++) {
      const d = this.depth[i]!;
      while (path.length > d) this.end[path.pop()!] = i;
      if (path.length) this.parent[i] = path[path.length - 1]!;
      path.push(i);
      counts[d] = (counts[d] ?? 0) + 1;
    }
    while (path.length) this.end[path.pop()!] = size;
    for (let i = size - 1; i > 0; i--) {
      const p = this.parent[i]!;
      this.total[p]! += this.total[i]!;
      if (this.baseTotal) this.baseTotal[p]! += this.baseTotal[i]!;
    }
    const before = this.baseTotal;
    this.width = before ? this.total.map((v, i) => v + before[i]!) : this.total;
    const used = new Float64Array(size); // of a node by its children so far
    for (let i = 1; i < size; i++) {
      const p = this.parent[i]!;
      this.start[i] = this.start[p]! + used[p]!;
      used[p]! += this.width[i]!;
    }
    this.rows = counts.map((c) => new Uint32Array(c));
    const filled = counts.map(() => 0);
    for (let i = 0; i < size; i++) {
      const d = this.depth[i]!;
      this.rows[d]![filled[d]!++] = i;
    }
    this.maxDepth = counts.length;
  }

  /** The tree of an answer of the server. */
  static fromAnswer(a: FlameAnswer): Tree {
    const text = (column: number[] | undefined) => (column ?? []).map((i) => a.strings[i] ?? "");
    const frames: Frames = {
      name: text(a.frames.name),
      file: text(a.frames.file),
      line: a.frames.line,
      binary: text(a.frames.binary),
      buildId: a.frames.build_id ? text(a.frames.build_id) : a.frames.name.map(() => ""),
      kind: text(a.frames.kind),
      inlined: a.frames.inlined.map((v) => v === 1),
    };
    return new Tree(frames, a.nodes, { type: a.type, unit: a.unit });
  }

  name(node: number): string {
    return this.frames.name[this.frame[node]!] ?? "";
  }
  file(node: number): string {
    return this.frames.file[this.frame[node]!] ?? "";
  }
  binary(node: number): string {
    return this.frames.binary[this.frame[node]!] ?? "";
  }
  kind(node: number): string {
    return this.frames.kind[this.frame[node]!] ?? "";
  }
  line(node: number): number {
    return this.frames.line[this.frame[node]!] ?? 0;
  }
  inlined(node: number): boolean {
    return this.frames.inlined[this.frame[node]!] ?? false;
  }

  /** Names from below the root to the node. */
  names(node: number): string[] {
    const out: string[] = [];
    for (let n = node; n > 0; n = this.parent[n]!) out.push(this.name(n));
    return out.reverse();
  }

  /**
   * The way from below the root to the node, as find takes it: names, and where siblings share one, as the _start
   * of two programs, what tells the node apart: "_start@node", "parse@lib.c:12".
   */
  path(node: number): string[] {
    const out: string[] = [];
    for (let n = node; n > 0; n = this.parent[n]!) out.push(this.step(n));
    return out.reverse();
  }

  private step(node: number): string {
    const name = this.name(node);
    const namesakes: number[] = [];
    const parent = this.parent[node]!;
    for (let c = parent + 1; c < this.end[parent]!; c = this.end[c]!) if (c !== node && this.name(c) === name) namesakes.push(c);
    if (!namesakes.length) return name;
    const forms = this.forms(node);
    const others = namesakes.map((c) => this.forms(c));
    return forms.find((form, i) => form !== name && others.every((o) => o[i] !== form)) ?? forms[forms.length - 1]!;
  }

  /** A frame with more and more of what it is. */
  private forms(node: number): string[] {
    const name = this.name(node);
    const binary = this.binary(node) && `@${this.binary(node)}`;
    const place = this.file(node) && `@${this.file(node).replace(/^.*[/\\]/, "")}:${this.line(node)}`;
    return [name + binary, name + place, name + binary + place, `${name}${binary}${place}@${this.kind(node)}${this.inlined(node) ? "@inlined" : ""}`];
  }

  /** The node that a path leads to, as far as it goes in this tree. Names alone lead through any frame of the name. */
  find(path: string[]): number {
    let level = [0];
    for (const step of path) {
      const exact: number[] = [];
      const told: number[] = [];
      for (const at of level) {
        for (let c = at + 1; c < this.end[at]!; c = this.end[c]!) {
          const name = this.name(c);
          if (name === step) exact.push(c);
          else if (!exact.length && step.startsWith(`${name}@`) && this.forms(c).includes(step)) told.push(c);
        }
      }
      const next = exact.length ? exact : told;
      if (!next.length) break;
      level = next;
    }
    return level[0]!;
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
    return node >= 0 && position < this.start[node]! + this.width[node]! ? node : -1;
  }

  /** Marks what matches, and sums it: a match inside a match counts once. */
  match(pattern: Expression | null): Matches {
    const hit = new Uint8Array(this.frames.name.length);
    const marked = new Uint8Array(this.size);
    if (!pattern) return { marked, value: 0, count: 0 };
    this.frames.name.forEach((name, i) => {
      hit[i] = pattern.test(name) || pattern.test(this.frames.file[i]!) || pattern.test(this.frames.binary[i]!) ? 1 : 0;
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
export function pattern(search: string): { re: Expression | null; error: string } {
  const s = search.trim();
  if (!s) return { re: null, error: "" };
  const isRegexp = s.length > 2 && s.startsWith("/") && s.endsWith("/");
  try {
    return { re: isRegexp ? expression(s.slice(1, -1)) : plain(s), error: "" };
  } catch (e) {
    return { re: null, error: (e as Error).message };
  }
}
