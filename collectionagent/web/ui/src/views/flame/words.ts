// SPDX-License-Identifier: Apache-2.0
// A frame and a block in words: for the tooltip, and for who hears the page.

import type { Tree } from "../../model/tree";
import { amount, many, percent } from "../../ui/format";
import type { Index, Item } from "./layout";

/** One line of a tooltip. */
export interface Fact {
  what: string;
  text: string;
}

/** "+1.2 s", "-30 ms", "no change". */
export function change(now: number, base: number, unit: string): string {
  const d = now - base;
  if (!d) return "no change";
  return `${d > 0 ? "+" : "−"}${amount(Math.abs(d), unit)}`;
}

/** The change of a share of the total, in percentage points: what remains when both sides ran for another time. */
export function points(now: number, all: number, base: number, baseAll: number): string {
  const d = (all ? (100 * now) / all : 0) - (baseAll ? (100 * base) / baseAll : 0);
  if (Math.abs(d) < 0.005) return "same share";
  return `${d > 0 ? "+" : "−"}${Math.abs(d) >= 10 ? Math.abs(d).toFixed(1) : Math.abs(d).toFixed(2)} points`;
}

const place = (tree: Tree, n: number) => (tree.file(n) ? `${tree.file(n)}${tree.line(n) ? `:${tree.line(n)}` : ""}` : "");

/** All that is known of a node. */
export function facts(tree: Tree, n: number, unit: string): Fact[] {
  const all = tree.total[0]!;
  const parent = tree.parent[n]!;
  const out: Fact[] = [];
  const add = (what: string, text: string) => {
    if (text) out.push({ what, text });
  };
  const total = tree.total[n]!;
  const self = tree.self[n]!;
  if (tree.baseTotal && tree.baseSelf) {
    const baseAll = tree.baseTotal[0]!;
    const base = tree.baseTotal[n]!;
    add("base", `${amount(base, unit)} · ${percent(base, baseAll)}`);
    add("now", `${amount(total, unit)} · ${percent(total, all)}`);
    add("change", `${change(total, base, unit)} · ${base === 0 ? "new" : total === 0 ? "gone" : points(total, all, base, baseAll)}`);
    if (!tree.about.inward) add("self", `${amount(tree.baseSelf[n]!, unit)} → ${amount(self, unit)} (${change(self, tree.baseSelf[n]!, unit)})`);
  } else {
    add("total", `${amount(total, unit)} · ${percent(total, all)} of all`);
    if (!tree.about.inward) add("self", `${amount(self, unit)} · ${percent(self, all)} of all`);
    if (parent > 0) add(tree.about.inward ? "of callee" : "of parent", percent(total, tree.total[parent]!));
  }
  const kind = tree.kind(n);
  if (n > 0 && kind !== "label" && kind !== "other") {
    add("file", place(tree, n));
    add("binary", tree.binary(n));
    const id = tree.frames.buildId[tree.frame[n]!] ?? "";
    add("build ID", id.length > 16 ? `${id.slice(0, 16)}…` : id);
  }
  add("kind", n === 0 ? "" : kind === "label" ? "label, not a function" : kind + (tree.inlined(n) ? ", inlined" : ""));
  return out;
}

/** "37 frames, 2.1 %". */
export function blockTitle(index: Index, item: Item): string {
  const { tree } = index;
  const sum = index.sum(item.first, item.last);
  return `${many(sum.frames, "frame")}, ${percent(sum.total + sum.base, tree.total[0]! + (tree.baseTotal?.[0] ?? 0))}`;
}

/** What is focused, as a sentence. */
export function sentence(index: Index, n: number, unit: string, item: Item | null): string {
  const { tree } = index;
  if (item && item.first !== item.last) return `${blockTitle(index, item)}, too narrow to be drawn. Enter zooms in. The focus is at ${tree.name(n)}.`;
  const all = tree.total[0]!;
  const about = [tree.name(n), `${amount(tree.total[n]!, unit)}, ${percent(tree.total[n]!, all)} of all`];
  if (tree.baseTotal) about.push(`${change(tree.total[n]!, tree.baseTotal[n]!, unit)} against the base`);
  else if (!tree.about.inward) about.push(`itself ${percent(tree.self[n]!, all)}`);
  about.push(`depth ${tree.depth[n]}`);
  const children = childCount(tree, n);
  about.push(children ? `${many(children, "frame")} below` : "nothing below");
  return about.join(", ");
}

function childCount(tree: Tree, n: number): number {
  let count = 0;
  for (let c = n + 1; c < tree.end[n]!; c = tree.end[c]!) count++;
  return count;
}
