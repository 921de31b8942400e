// SPDX-License-Identifier: Apache-2.0
// What a comparison says: rows of functions, sides of a tree, and a summary in words.

import type { DiffAnswer, DiffRow } from "../../api/client";
import { rows as rowsOf } from "../../model/rows";
import { parseDuration, parseTime, relative } from "../../model/timerange";
import { Tree, type Frames } from "../../model/tree";
import { amount, percent } from "../../ui/format";

/** A function in a comparison; values of the base are scaled. */
export interface Row {
  name: string;
  file: string;
  binary: string;
  kind: string;
  self: number;
  total: number;
  baseSelf: number;
  baseTotal: number;
}

export type State = "new" | "gone" | "more" | "less" | "same";

export const growth = (r: Row, of: "self" | "total"): number => (of === "self" ? r.self - r.baseSelf : r.total - r.baseTotal);

/** What became of a function. */
export function stateOf(r: Row): State {
  if (r.baseTotal === 0 && r.total > 0) return "new";
  if (r.total === 0 && r.baseTotal > 0) return "gone";
  const d = r.self - r.baseSelf || r.total - r.baseTotal;
  return d > 0 ? "more" : d < 0 ? "less" : "same";
}

/** The tree of both sides, with values of the base multiplied. */
export function joined(a: DiffAnswer, scale: number): Tree {
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
  const baseSelf = scale === 1 ? a.nodes.base_self : a.nodes.base_self.map((v) => v * scale);
  return new Tree(frames, { frame: a.nodes.frame, depth: a.nodes.depth, self: a.nodes.self, baseSelf }, { type: a.type, unit: a.unit });
}

/** The rows of the server, which are exact where the tree was cut. */
export const serverRows = (list: readonly DiffRow[], scale: number): Row[] =>
  list.map((r) => ({ name: r.name, file: r.file, binary: r.binary, kind: r.kind, self: r.self, total: r.total, baseSelf: r.base_self * scale, baseTotal: r.base_total * scale }));

/** The rows of a tree. */
export const treeRows = (tree: Tree): Row[] => rowsOf(tree).filter((r) => r.kind !== "other");

/** One side of a comparison as a tree of its own, and which node of the whole each of its nodes is. */
export function side(tree: Tree, base: boolean): { tree: Tree; of: number[] } {
  const total = base ? tree.baseTotal! : tree.total;
  const self = base ? tree.baseSelf! : tree.self;
  const of: number[] = [];
  for (let i = 0; i < tree.size; i++) if (i === 0 || total[i]! > 0) of.push(i);
  return {
    tree: new Tree(tree.frames, { frame: of.map((i) => tree.frame[i]!), depth: of.map((i) => tree.depth[i]!), self: of.map((i) => self[i]!) }, tree.about),
    of,
  };
}

/**
 * How much a node has changed, -1 (gone) to 1 (new): of what it took on both sides, so that noise in what is small
 * is as pale as in what is large only where it is small.
 */
export function shade(now: number, base: number, all: number): number {
  if (!all || now === base) return 0;
  const relative = (now - base) / Math.max(now, base);
  const share = Math.abs(now - base) / all;
  // A change of a tenth of itself is seen when it is a hundredth of all; what is new is always seen a little.
  const weight = Math.min(1, 0.25 + Math.sqrt(share) * 3);
  return relative * weight;
}

/** A colour between grey and orange (more) or blue (less): told apart without red and green, and by their lightness in print. */
export function shadeColour(shade: number, dark: boolean): string {
  const t = Math.min(1, Math.abs(shade)) ** 0.7;
  const grey = dark ? [62, 66, 75] : [222, 225, 230];
  const full = shade > 0 ? (dark ? [214, 108, 20] : [240, 130, 40]) : dark ? [47, 120, 220] : [84, 150, 240];
  return `rgb(${grey.map((g, i) => Math.round(g + (full[i]! - g) * t)).join(" ")})`;
}

export interface Totals {
  now: number;
  base: number;
}

const sign = (d: number, unit: string) => `${d < 0 ? "−" : "+"}${amount(Math.abs(d), unit)}`;

/** "grew by 12 %", "fell by 3.4 %", "is 4.2 times as much". */
export function changed(now: number, base: number): string {
  if (!base) return now ? "is all new" : "is nothing on both sides";
  const d = (now - base) / base;
  if (Math.abs(d) < 0.0005) return "did not change";
  if (d >= 1.5) return `is ${(now / base).toFixed(1)} times as much`;
  const text = percent(Math.abs(now - base), base);
  return d > 0 ? `grew by ${text}` : `fell by ${text}`;
}

/** What a person should know first, in a few short sentences. scaled: the base was scaled to the same total. */
export function summary(list: readonly Row[], totals: Totals, unit: string, scaled: boolean): string[] {
  const out: string[] = [];
  const { now, base } = totals;
  if (!now && !base) return ["There is nothing on either side."];
  if (!base) return ["The base is empty: everything is new."];
  if (!now) return ["The selection is empty: everything is gone."];
  out.push(`Total ${changed(now, base)}${Math.abs(now - base) / base < 0.0005 ? "" : ` (${amount(base, unit)} → ${amount(now, unit)})`}${scaled ? "; the base is scaled to the same total" : ""}.`);
  const grown = list.filter((r) => growth(r, "self") > 0).sort((a, b) => growth(b, "self") - growth(a, "self"));
  const fallen = list.filter((r) => growth(r, "self") < 0).sort((a, b) => growth(a, "self") - growth(b, "self"));
  const up = grown.reduce((s, r) => s + growth(r, "self"), 0);
  const down = -fallen.reduce((s, r) => s + growth(r, "self"), 0);
  const counts = new Map<string, number>();
  for (const r of list) counts.set(r.name, (counts.get(r.name) ?? 0) + 1);
  const name = (r: Row, sum: number) => {
    const d = growth(r, "self");
    return `${r.name}${counts.get(r.name)! > 1 && r.binary ? ` of ${r.binary}` : ""} (${sign(d, unit)}${r.baseTotal === 0 ? ", new" : r.total === 0 ? ", gone" : ""}${Math.abs(d) > 0.05 * sum ? `, ${percent(Math.abs(d), sum)} of it` : ""})`;
  };
  const most = (sorted: Row[], sum: number): Row[] => {
    let part = 0;
    const chosen: Row[] = [];
    for (const r of sorted.slice(0, 3)) {
      if (part > 0.6 * sum) break;
      chosen.push(r);
      part += Math.abs(growth(r, "self"));
    }
    return chosen;
  };
  const floor = 0.001 * Math.max(now, base);
  const say = (sorted: Row[], sum: number, word: string) => {
    const chosen = most(sorted, sum);
    const part = chosen.reduce((s, r) => s + Math.abs(growth(r, "self")), 0);
    const mostly = part >= 0.5 * sum ? `${word} is mostly in` : `${word} is spread over many functions, the most in`;
    out.push(`${mostly} ${chosen.map((r) => name(r, sum)).join(", ")}.`);
  };
  if (up > floor) say(grown, up, "Growth");
  if (down > floor) say(fallen, down, "Decrease");
  if (up <= floor && down <= floor) out.push("No function changed by more than a thousandth of all.");
  return out;
}

/** A time so much earlier, in the form that it has: "now-15m", an hour earlier, is "now-75m". */
export function earlier(text: string, ms: number, now: number): string {
  const t = text.trim();
  if (t === "now") return relative(ms);
  const before = t.startsWith("now-") ? parseDuration(t.slice(4)) : null;
  if (before !== null) return relative(before + ms);
  const at = parseTime(t, now);
  return at === null ? text : String(Math.round(at - ms));
}
