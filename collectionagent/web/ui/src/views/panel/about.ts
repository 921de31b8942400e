// SPDX-License-Identifier: Apache-2.0
// All that a tree knows of one function.

import type { Tree } from "../../model/tree";

/** A function that calls or is called, and how much of the stacks is in both. */
export interface Neighbour {
  /** A frame of it, in tree.frames. */
  frame: number;
  name: string;
  total: number;
  base: number;
}

/** One of the things that frames of the name are, such as the same name in two binaries. */
export interface Place {
  frame: number;
  file: string;
  line: number;
  binary: string;
  buildId: string;
  kind: string;
  inlined: boolean;
  total: number;
}

export interface AboutFunction {
  name: string;
  /** Of all stacks that the function is in, each counted once however often it calls itself. */
  total: number;
  self: number;
  baseTotal: number;
  baseSelf: number;
  /** In how many places of the tree it is, and how wide its callers are together there. */
  sites: number;
  ofParents: number;
  /** It calls itself, through others or not. */
  recursive: boolean;
  /** The largest first. Callers are what is directly above, functions called what is directly below. */
  callers: Neighbour[];
  callees: Neighbour[];
  places: Place[];
  /** The widest node of it, -1 when the tree has none. */
  node: number;
}

/** The widest node of a function, -1 when the tree has none. */
export function widestOf(tree: Tree, name: string): number {
  let node = -1;
  for (let i = 1; i < tree.size; i++) if (tree.frames.name[tree.frame[i]!] === name && (node < 0 || tree.width[i]! > tree.width[node]!)) node = i;
  return node;
}

/** Looks at all nodes of a tree from the root to the leaves once. */
export function aboutFunction(tree: Tree, name: string): AboutFunction {
  const { frames, size } = tree;
  const is = frames.name.map((n) => n === name);
  const out: AboutFunction = { name, total: 0, self: 0, baseTotal: 0, baseSelf: 0, sites: 0, ofParents: 0, recursive: false, callers: [], callees: [], places: [], node: -1 };
  const callers = new Map<string, Neighbour>();
  const callees = new Map<string, Neighbour>();
  const places = new Map<string, Place>();
  let inside = 0; // nodes before this one are below an outer call of the function
  const parents = new Set<number>();
  let parentInside = 0;

  const neighbour = (all: Map<string, Neighbour>, frame: number, node: number) => {
    const key = frames.name[frame]!;
    let n = all.get(key);
    if (!n) all.set(key, (n = { frame, name: key, total: 0, base: 0 }));
    n.total += tree.total[node]!;
    n.base += tree.baseTotal?.[node] ?? 0;
  };

  for (let i = 1; i < size; i++) {
    const f = tree.frame[i]!;
    if (!is[f] || frames.kind[f] === "label") continue;
    out.sites++;
    out.self += tree.self[i]!;
    out.baseSelf += tree.baseSelf?.[i] ?? 0;
    if (out.node < 0 || tree.width[i]! > tree.width[out.node]!) out.node = i;
    const outer = i >= inside;
    if (outer) {
      inside = tree.end[i]!;
      out.total += tree.total[i]!;
      out.baseTotal += tree.baseTotal?.[i] ?? 0;
    } else out.recursive = true;
    const p = tree.parent[i]!;
    // A call by itself is no caller; a parent with two such children counts once, and so does a parent in a parent.
    if (outer && p >= 0) {
      if (p > 0 && tree.kind(p) !== "label") neighbour(callers, tree.frame[p]!, i);
      if (!parents.has(p) && p >= parentInside) {
        parents.add(p);
        parentInside = tree.end[p]!;
        out.ofParents += tree.total[p]!;
      }
    }
    for (let c = i + 1; c < tree.end[i]!; c = tree.end[c]!) if (!is[tree.frame[c]!]) neighbour(callees, tree.frame[c]!, c);
    const key = [frames.file[f], frames.line[f], frames.binary[f], frames.buildId[f], frames.kind[f], frames.inlined[f]].join("\0");
    let place = places.get(key);
    if (!place) {
      place = { frame: f, file: frames.file[f]!, line: frames.line[f]!, binary: frames.binary[f]!, buildId: frames.buildId[f]!, kind: frames.kind[f]!, inlined: frames.inlined[f]!, total: 0 };
      places.set(key, place);
    }
    if (outer) place.total += tree.total[i]!;
  }
  const sorted = (all: Map<string, Neighbour>) => [...all.values()].sort((a, b) => b.total + b.base - a.total - a.base || a.name.localeCompare(b.name));
  out.callers = sorted(callers);
  out.callees = sorted(callees);
  out.places = [...places.values()].sort((a, b) => b.total - a.total);
  return out;
}
