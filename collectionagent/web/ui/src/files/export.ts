// SPDX-License-Identifier: Apache-2.0
// Writes the tree that is shown in the formats of other programs.

import { rows } from "../model/rows";
import type { Tree } from "../model/tree";
import { Writer } from "./protobuf";

/** What a file tells of itself beside its stacks. */
export interface Facts {
  fromMs: number;
  toMs: number;
  /** Labels whose values are the first levels. */
  group: readonly string[];
}

/** Calls with each stack that has a value of its own, as nodes from below the root to the leaf. */
function eachStack(tree: Tree, call: (path: readonly number[], self: number) => void): void {
  const path: number[] = [];
  for (let i = 0; i < tree.size; i++) {
    path.length = Math.max(tree.depth[i]! - 1, 0);
    if (i > 0) path.push(i);
    if (tree.self[i]! > 0) call(path, tree.self[i]!);
  }
}

/** How many labels stand at the beginning of a stack. */
function labelsOf(tree: Tree, path: readonly number[]): number {
  let n = 0;
  while (n < path.length && tree.kind(path[n]!) === "label") n++;
  return n;
}

/** Folded stacks, sorted; functions of the kernel end in _[k]. Values are rounded, as readers take whole numbers. */
export function folded(tree: Tree): string {
  const out: string[] = [];
  const names = tree.frames.name.map((n, i) => n.replace(/[;\n]/g, ":") + (tree.frames.kind[i] === "kernel" ? "_[k]" : ""));
  eachStack(tree, (path, self) => {
    const value = Math.round(self);
    if (value) out.push(`${path.map((n) => names[tree.frame[n]!]).join(";") || "all"} ${value}`);
  });
  return out.sort().join("\n") + (out.length ? "\n" : "");
}

/** A file of speedscope, with its stacks as samples. */
export function speedscope(tree: Tree, name: string): string {
  const numbers = new Map<number, number>();
  const frames: object[] = [];
  const frame = (i: number): number => {
    let n = numbers.get(i);
    if (n === undefined) {
      n = frames.length;
      numbers.set(i, n);
      const { file, line } = tree.frames;
      frames.push({ name: tree.frames.name[i], ...(file[i] ? { file: file[i] } : {}), ...(line[i] ? { line: line[i] } : {}) });
    }
    return n;
  };
  const samples: number[][] = [];
  const weights: number[] = [];
  let total = 0;
  eachStack(tree, (path, self) => {
    samples.push(path.map((n) => frame(tree.frame[n]!)));
    weights.push(self);
    total += self;
  });
  const unit = ["nanoseconds", "bytes"].includes(tree.about.unit) ? tree.about.unit : "none";
  return JSON.stringify({
    $schema: "https://www.speedscope.app/file-format-schema.json",
    shared: { frames },
    profiles: [{ type: "sampled", name, unit, startValue: 0, endValue: total, samples, weights }],
    name,
    activeProfileIndex: 0,
    exporter: "strobe",
  });
}

/** profile.proto of pprof, not compressed. Labels that stacks are grouped by become labels of samples. */
export function pprof(tree: Tree, facts: Facts): Uint8Array {
  const texts = new Map<string, number>([["", 0]]);
  const text = (t: string): number => {
    let n = texts.get(t);
    if (n === undefined) texts.set(t, (n = texts.size));
    return n;
  };
  const w = new Writer();
  const { type, unit } = tree.about;
  const valueType = (m: Writer) => m.number(1, text(type === "on_cpu" ? "cpu" : type)).number(2, text(unit));
  w.message(1, valueType);
  const used = new Uint8Array(tree.frames.name.length);
  eachStack(tree, (path, self) => {
    const value = Math.round(self);
    if (!value) return;
    const labels = facts.group.length ? labelsOf(tree, path) : 0;
    const locations: number[] = [];
    for (let i = path.length - 1; i >= labels; i--) {
      const frame = tree.frame[path[i]!]!;
      used[frame] = 1;
      locations.push(frame + 1);
    }
    w.message(2, (m) => {
      m.numbers(1, locations).numbers(2, [value]);
      for (let i = 0; i < labels; i++) {
        m.message(3, (l) => l.number(1, text(facts.group[i] ?? `level${i + 1}`)).number(2, text(tree.name(path[i]!))));
      }
    });
  });
  const f = tree.frames;
  const mappings = new Map<string, number>();
  const functions = new Map<string, number>();
  for (let i = 0; i < used.length; i++) {
    if (!used[i]) continue;
    let mapping = 0;
    if (f.binary[i]) {
      const key = `${f.binary[i]}\0${f.buildId[i]}`;
      mapping = mappings.get(key) ?? 0;
      if (!mapping) {
        mapping = mappings.size + 1;
        mappings.set(key, mapping);
        // With names for all: pprof would look for the program else.
        w.message(3, (m) => m.number(1, mapping).number(5, text(f.binary[i]!)).number(6, text(f.buildId[i]!)).number(7, 1).number(8, f.file[i] ? 1 : 0).number(9, f.line[i] ? 1 : 0).number(10, 1));
      }
    }
    const key = `${f.name[i]}\0${f.file[i]}`;
    let fn = functions.get(key);
    if (!fn) {
      fn = functions.size + 1;
      functions.set(key, fn);
      w.message(5, (m) => m.number(1, fn!).number(2, text(f.name[i]!)).number(3, text(f.name[i]!)).number(4, text(f.file[i]!)));
    }
    w.message(4, (m) => m.number(1, i + 1).number(2, mapping).message(4, (l) => l.number(1, fn!).number(2, f.line[i]!)));
  }
  if (facts.fromMs > 0) w.number(9, facts.fromMs * 1e6).number(10, Math.max(facts.toMs - facts.fromMs, 0) * 1e6);
  for (const t of texts.keys()) w.text(6, t);
  return w.done();
}

const cell = (v: string | number): string => (typeof v === "number" ? String(v) : /[",\n\r]/.test(v) || /^[=+\-@\t]/.test(v) ? `"${v.replaceAll('"', '""')}"` : v);

/** The functions as a table, the largest own value first. In a comparison with the values of the base. byLine: a row for each line. */
export function csv(tree: Tree, byLine = false): string {
  const { unit } = tree.about;
  const whole = tree.total[0] || 1;
  const share = (v: number) => Number(((100 * v) / whole).toFixed(4));
  const base = tree.baseTotal !== null;
  const head = ["function", "file", ...(byLine ? ["line"] : []), "binary", "kind", `self ${unit}`, "self %", `total ${unit}`, "total %", "callers", ...(base ? [`base self ${unit}`, `base total ${unit}`] : [])];
  const lines = rows(tree, byLine)
    .sort((a, b) => b.self - a.self || b.total - a.total || (a.name < b.name ? -1 : 1))
    .map((r) => [r.name, r.file, ...(byLine ? [r.line] : []), r.binary, r.kind, r.self, share(r.self), r.total, share(r.total), r.callers, ...(base ? [r.baseSelf, r.baseTotal] : [])]);
  return [head, ...lines].map((l) => l.map(cell).join(",")).join("\r\n") + "\r\n";
}

/** Compresses with gzip. */
export async function gzip(bytes: Uint8Array): Promise<Uint8Array> {
  const stream = new Blob([bytes as BlobPart]).stream().pipeThrough(new CompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** What of the page is in a file, as its name says it. */
export interface Named {
  /** The name of the file that is shown, "" for the server's data. */
  file: string;
  type: string;
  fromMs: number;
  toMs: number;
  /** Stacks are not as they were measured: something is hidden or folded, or a picture is inverted. */
  changed: boolean;
}

const stamp = (ms: number): string => {
  const iso = new Date(ms).toISOString(); // UTC, so that files of several hosts sort together
  return `${iso.slice(0, 10).replaceAll("-", "")}T${iso.slice(11, 19).replaceAll(":", "")}Z`;
};

/** "strobe-on_cpu-20261122T100000Z-20261122T101500Z-changed.svg". */
export function fileName(n: Named, extension: string): string {
  const safe = (t: string) => t.replace(/[^\w.-]+/g, "_").slice(0, 80);
  const what = n.file ? safe(n.file.replace(/ – .*$/, "").replace(/^.*\//, "").replace(/(\.(?:pb|gz|pprof|json|txt|otlp|folded|svg))+$/i, "")) || "profile" : "strobe";
  const times = !n.file && n.fromMs > 0 ? `-${stamp(n.fromMs)}-${stamp(n.toMs)}` : "";
  return `${what}-${safe(n.type)}${times}${n.changed ? "-changed" : ""}.${extension}`;
}
