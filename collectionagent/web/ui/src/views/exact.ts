// SPDX-License-Identifier: Apache-2.0
// A tree that is too large is sent without its smallest nodes. What functions took in those is asked
// of the server, which knows all of it.

import type { TopRow } from "../api/answers";
import type { Row } from "../model/rows";
import type { ViewProps } from "./view";

/** Why the server cannot answer for what is shown here, "" when it can. */
export function notExact({ profile, state }: Pick<ViewProps, "profile" | "state">): string {
  if (profile.file) return "a file";
  if (profile.tree.baseTotal) return "a comparison";
  if (state.t.length) return "changed stacks";
  if (state.level !== "function") return `a graph by ${state.level}`;
  return "";
}

/** True when the server is to be asked: something was left out, and it knows what. */
export const asksServer = (view: Pick<ViewProps, "profile" | "state">): boolean => view.profile.hidden.nodes > 0 && !notExact(view);

const keyOf = (r: { name: string; file: string; binary: string }) => `${r.name}\0${r.file}\0${r.binary}`;

/** The rows of a tree with the values of the server. A function that is in no node of the tree has the frame -1. */
export function exactRows(rows: readonly Row[], top: readonly TopRow[]): Row[] {
  const known = new Map(rows.map((r) => [keyOf(r), r]));
  const out = new Map<string, Row>();
  for (const t of top) {
    const key = keyOf(t);
    const same = out.get(key);
    if (same) {
      // Functions that differ in their kind alone are one here.
      same.self += t.self;
      same.total += t.total;
      continue;
    }
    const r = known.get(key);
    out.set(key, {
      ...(r ?? { frame: -1, name: t.name, file: t.file, line: 0, binary: t.binary, kind: t.kind, baseSelf: 0, baseTotal: 0, nodes: 0, callers: 0 }),
      self: t.self,
      total: t.total,
    });
  }
  return [...out.values()];
}
