// SPDX-License-Identifier: Apache-2.0
// Going from match to match.

import type { Matches, Tree } from "./tree";

/** The outermost matches, those with the most in them first. */
export function matchList(tree: Tree, matches: Matches): number[] {
  const out: number[] = [];
  for (let i = 1; i < tree.size; ) {
    if (matches.marked[i]) {
      out.push(i);
      i = tree.end[i]!;
    } else i++;
  }
  return out.sort((a, b) => tree.width[b]! - tree.width[a]! || a - b);
}

/** The place in the list behind or before the one where the current node is; the first or last when it is none of them. */
export function nextMatch(list: readonly number[], current: number, by: 1 | -1): number {
  const at = list.indexOf(current);
  if (at < 0) return by > 0 ? 0 : list.length - 1;
  return (at + by + list.length) % list.length;
}
