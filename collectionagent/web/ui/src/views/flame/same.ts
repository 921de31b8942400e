// SPDX-License-Identifier: Apache-2.0
// The same frame in another tree, such as that of the next refresh, and the part of a frame that is
// shown, as a link has it.

import type { Tree } from "../../model/tree";
import type { Span } from "./viewport";

/**
 * The node of a tree that is at the same place as a node of another one, as far down as there is one. Siblings
 * of one name, such as the _start of two programs, are told apart by their binary, file and kind.
 */
export function sameNode(old: Tree, node: number, now: Tree): number {
  const path: number[] = [];
  for (let n = node; n > 0; n = old.parent[n]!) path.push(n);
  let at = 0;
  for (const o of path.reverse()) {
    let best = -1;
    let most = -1;
    for (let c = at + 1; c < now.end[at]!; c = now.end[c]!) {
      if (now.name(c) !== old.name(o)) continue;
      const alike = (now.binary(c) === old.binary(o) ? 4 : 0) + (now.file(c) === old.file(o) ? 2 : 0) + (now.kind(c) === old.kind(o) ? 1 : 0);
      if (alike > most) {
        most = alike;
        best = c;
      }
    }
    if (best < 0) break;
    at = best;
  }
  return at;
}

/** A span as parts of the width of a frame: "0.12,0.345". With digits enough for any zoom. */
export function formatPart(s: Span, frame: Span): string {
  const width = frame.right - frame.left || 1;
  const digits = Math.min(12, Math.max(3, 3 - Math.floor(Math.log10((s.right - s.left) / width))));
  const part = (v: number) => String(Number(((v - frame.left) / width).toFixed(digits)));
  return `${part(s.left)},${part(s.right)}`;
}

/** Reads what formatPart wrote; null for anything else. */
export function parsePart(text: string, frame: Span): Span | null {
  const [a, b, ...more] = text.split(",").map((v) => (v.trim() === "" ? Number.NaN : Number(v)));
  if (a === undefined || b === undefined || more.length || !Number.isFinite(a) || !Number.isFinite(b) || b <= a) return null;
  const width = frame.right - frame.left;
  return { left: frame.left + a * width, right: frame.left + b * width };
}
