// SPDX-License-Identifier: Apache-2.0
// What is shown of the source of a function: its lines with what they took, with the text
// beside them where a person has opened the file, and gaps in place of what says nothing.

import type { LineRow } from "../../api/tables";

/** The lines of one function in one file. */
export interface Section {
  name: string;
  file: string;
  binary: string;
  kind: string;
  self: number;
  total: number;
  /** By line number, without those that are not known. */
  lines: Map<number, { self: number; total: number }>;
  /** Of lines that are not known. */
  unknown: { self: number; total: number };
}

/** The sections of an answer, the largest first. */
export function sections(rows: readonly LineRow[]): Section[] {
  const known = new Map<string, Section>();
  for (const r of rows) {
    const key = `${r.name}\0${r.file}\0${r.binary}\0${r.kind}`;
    let s = known.get(key);
    if (!s) {
      s = { name: r.name, file: r.file, binary: r.binary, kind: r.kind, self: 0, total: 0, lines: new Map(), unknown: { self: 0, total: 0 } };
      known.set(key, s);
    }
    s.self += r.self;
    s.total += r.total;
    if (!r.line) {
      s.unknown.self += r.self;
      s.unknown.total += r.total;
      continue;
    }
    const l = s.lines.get(r.line) ?? { self: 0, total: 0 };
    s.lines.set(r.line, { self: l.self + r.self, total: l.total + r.total });
  }
  return [...known.values()].sort((a, b) => b.total - a.total || b.lines.size - a.lines.size);
}

export type Item = { what: "line"; line: number; text: string | null; self: number; total: number } | { what: "gap"; from: number; to: number };

/** How many lines around one with samples are shown. */
const context = 4;

/**
 * The items to show, in the order of lines. Without a text these are the lines with samples; with one there
 * are lines around them. Gaps that were opened, by their first lines, are shown as a whole.
 */
export function listing(s: Section, text: readonly string[] | null, opened: ReadonlySet<number>): Item[] {
  const numbers = [...s.lines.keys()].sort((a, b) => a - b);
  const items: Item[] = [];
  const line = (n: number) => {
    const l = s.lines.get(n);
    items.push({ what: "line", line: n, text: text ? (text[n - 1] ?? null) : null, self: l?.self ?? 0, total: l?.total ?? 0 });
  };
  const gap = (from: number, to: number) => {
    if (from > to) return;
    // A gap of a line or two takes as much room as what is in it.
    if (text && (opened.has(from) || to - from < 2)) for (let n = from; n <= to; n++) line(n);
    else items.push({ what: "gap", from, to });
  };
  let next = text ? 1 : (numbers[0] ?? 1);
  for (let i = 0; i < numbers.length; i++) {
    const n = numbers[i]!;
    const before = text ? Math.max(next, n - context) : n;
    gap(next, before - 1);
    for (let k = before; k <= n; k++) line(k);
    next = n + 1;
    if (text) {
      const until = Math.min(n + context, (numbers[i + 1] ?? Infinity) - 1, text.length);
      for (; next <= until; next++) line(next);
    }
  }
  if (text) gap(next, text.length);
  return items;
}

/** The line that took most itself, else with what it calls; 0 where there is none. */
export function hottest(s: Section): number {
  let best = 0;
  for (const [n, l] of s.lines) {
    const b = s.lines.get(best);
    if (!b || l.self > b.self || (l.self === b.self && l.total > b.total)) best = n;
  }
  return best;
}

/** Why no lines are known, and what would help. */
export function whyNoLines(s: Pick<Section, "kind" | "binary" | "file">): { why: string; help: string } {
  const binary = s.binary || "the program";
  switch (s.kind) {
    case "kernel":
      return { why: "It is kernel code: the kernel tells the names of its functions and not their lines.", help: "" };
    case "native":
    case "interpreter":
      return s.file
        ? { why: `${binary} has a file for it and no lines.`, help: "Build it with line information (-g)." }
        : {
            why: `${binary} has no line information that the agent could find: it was built without debug information, or that was stripped.`,
            help: "Build it with -g, or install its separate debug information on the host; the agent finds it by the build ID.",
          };
    case "go":
      return { why: `${binary} has no table of functions and lines for it.`, help: "Go programs have one unless it was removed after the build." };
    case "error":
      return { why: "It is a marker of the profiler and no function.", help: "" };
    default:
      return { why: "The runtime did not tell the lines of it: it is a part of the runtime, or was generated without them.", help: "" };
  }
}

/** The lines of a text that was opened. */
export const linesOf = (text: string): string[] => text.split(/\r\n|\n|\r/);

/** Most bytes of a source file. */
export const maxSource = 8 << 20;

/** What is wrong with a file as the source, "" when it may be one. */
export function notSource(content: Uint8Array): string {
  if (content.length > maxSource) return `it is larger than ${maxSource >> 20} MiB`;
  if (content.subarray(0, 65536).includes(0)) return "it is no text";
  return "";
}

export const baseName = (path: string): string => path.slice(Math.max(path.lastIndexOf("/"), path.lastIndexOf("\\")) + 1);
