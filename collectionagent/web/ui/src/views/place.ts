// SPDX-License-Identifier: Apache-2.0
// Where in a tree a function is.

import { functions } from "../model/stacks";
import type { Matches, Tree } from "../model/tree";

const known = new WeakMap<object, Int32Array>();

/** The function of each frame of a tree as a number: frames of one function have the same. */
export function functionsOf(tree: Tree): Int32Array {
  let of = known.get(tree.frames);
  if (!of) known.set(tree.frames, (of = functions(tree.frames).of));
  return of;
}

/** The node that all places of a function are in, nearest to them: the function's own where there is one alone. -1: it is in none. */
export function commonNode(tree: Tree, frame: number): { node: number; places: number } {
  const of = functionsOf(tree);
  const fn = of[frame];
  let node = -1;
  let places = 0;
  for (let i = 1; i < tree.size; ) {
    if (of[tree.frame[i]!] !== fn) {
      i++;
      continue;
    }
    places++;
    if (node < 0) node = i;
    else while (i >= tree.end[node]!) node = tree.parent[node]!;
    i = tree.end[i]!; // below it is the same function again, or none
  }
  return { node, places };
}

/** The widest place of a function, -1 when it has none. */
export function widestNode(tree: Tree, frame: number): number {
  const of = functionsOf(tree);
  const fn = of[frame];
  let best = -1;
  for (let i = 1; i < tree.size; i++) if (of[tree.frame[i]!] === fn && (best < 0 || tree.width[i]! > tree.width[best]!)) best = i;
  return best;
}

/** Which functions match a search, by their numbers. */
export function matchedFunctions(tree: Tree, matches: Matches): Uint8Array {
  const of = functionsOf(tree);
  const hit = new Uint8Array(of.length);
  for (let i = 1; i < tree.size; i++) if (matches.marked[i]) hit[of[tree.frame[i]!]!] = 1;
  return hit;
}
