// SPDX-License-Identifier: Apache-2.0
// Reads files of speedscope: stacks as samples with weights, or as a sequence of functions that are
// entered and left. A file can hold several profiles, often one for each thread: all of them together are shown first.

import { Collect, FileError, guessKind, knownUnit } from "./collect";
import type { Opened } from "./opened";

type Json = Record<string, unknown>;
const isObject = (v: unknown): v is Json => typeof v === "object" && v !== null && !Array.isArray(v);

export const looksLikeSpeedscope = (v: unknown): v is Json => isObject(v) && isObject(v.shared) && Array.isArray(v.profiles);

const list = (v: unknown, field: string): unknown[] => {
  if (!Array.isArray(v)) throw new FileError(`${field}: must be a list`);
  return v;
};
const number = (v: unknown, field: string): number => {
  if (typeof v !== "number" || !Number.isFinite(v)) throw new FileError(`${field}: must be a number`);
  return v;
};

export function readSpeedscope(name: string, file: Json): Opened {
  const described = list((file.shared as Json).frames, "shared.frames").map((f, i) => {
    if (!isObject(f) || typeof f.name !== "string") throw new FileError(`shared.frames[${i}].name: must be a text`);
    const source = typeof f.file === "string" ? f.file : "";
    return { name: f.name || "(anonymous)", file: source, line: typeof f.line === "number" && f.line > 0 ? f.line : 0, kind: guessKind(f.name, source, "") };
  });
  const profiles = list(file.profiles, "profiles");
  if (!profiles.length) throw new FileError("profiles: is empty");
  profiles.forEach((p, i) => {
    if (!isObject(p)) throw new FileError(`profiles[${i}]: must be an object`);
    if (p.type !== "sampled" && p.type !== "evented") throw new FileError(`profiles[${i}].type: “${String(p.type).slice(0, 40)}” is neither sampled nor evented`);
  });
  const unitOf = (i: number) => knownUnit(String((profiles[i] as Json).unit ?? "none"));
  const units = new Set(profiles.map((_, i) => unitOf(i)[0]));
  const names = profiles.map((p, i) => `${String((p as Json).name || "profile")}`.slice(0, 80) + (profiles.length > 1 ? ` (${i + 1} of ${profiles.length})` : ""));
  const all = `all ${profiles.length}`;
  const together = profiles.length > 1 && units.size === 1;
  const types = together ? [all, ...names.slice(0, 200)] : names.slice(0, 200);

  const made = new Map<string, Opened>();
  const as = (type: string): Opened => {
    const known = made.get(type);
    if (known) return known;
    const which = type === all && together ? profiles.map((_, i) => i) : [Math.max(names.indexOf(type), 0)];
    const unit = unitOf(which[0]!)[0];
    const c = new Collect(unit === "nanoseconds" ? "wall" : "samples", unit);
    const frames = described.map((d) => c.frame(d));
    const notes: string[] = [];
    for (const i of which) one(c, profiles[i] as Json, `profiles[${i}]`, frames, unitOf(i)[1], notes);
    const tree = c.done(notes);
    const o: Opened = { name, format: "speedscope", tree, samples: c.samples, fromMs: 0, toMs: 0, notes, ...(types.length > 1 ? { types, type, as } : {}) };
    made.set(type, o);
    return o;
  };
  const active = typeof file.activeProfileIndex === "number" ? names[file.activeProfileIndex] : undefined;
  return as(together ? all : (active ?? types[0]!));
}

function one(c: Collect, p: Json, field: string, frames: number[], factor: number, notes: string[]): void {
  const frame = (v: unknown, where: string): number => {
    const i = number(v, where);
    const f = frames[i];
    if (f === undefined) throw new FileError(`${where}: there is no frame ${i}, shared.frames has ${frames.length}`);
    return f;
  };
  if (p.type === "sampled") {
    const samples = list(p.samples, `${field}.samples`);
    const weights = list(p.weights, `${field}.weights`);
    if (samples.length !== weights.length) throw new FileError(`${field}.weights: has ${weights.length} values for ${samples.length} samples`);
    samples.forEach((s, i) => {
      const stack = list(s, `${field}.samples[${i}]`).map((v, j) => frame(v, `${field}.samples[${i}][${j}]`));
      c.stack(stack, number(weights[i], `${field}.weights[${i}]`) * factor);
    });
    return;
  }
  const stack: number[] = [];
  let before = typeof p.startValue === "number" ? p.startValue : 0;
  let unmatched = 0;
  list(p.events, `${field}.events`).forEach((e, i) => {
    const where = `${field}.events[${i}]`;
    if (!isObject(e)) throw new FileError(`${where}: must be an object`);
    const at = number(e.at, `${where}.at`);
    if (at < before) throw new FileError(`${where}.at: ${at} is before ${before}, events must be in the order of time`);
    if (at > before && stack.length) c.stack(stack, (at - before) * factor);
    before = at;
    const f = frame(e.frame, `${where}.frame`);
    if (e.type === "O") stack.push(f);
    else if (e.type === "C") {
      // What was entered later and not left is left with it.
      const open = stack.lastIndexOf(f);
      if (open < 0) unmatched++;
      else {
        unmatched += stack.length - 1 - open;
        stack.length = open;
      }
    } else throw new FileError(`${where}.type: must be "O" or "C"`);
  });
  const end = typeof p.endValue === "number" ? p.endValue : before;
  if (end > before && stack.length) c.stack(stack, (end - before) * factor);
  if (unmatched) notes.push(`${field}: ${unmatched.toLocaleString("en-US")} functions are not left in the order in which they were entered`);
}
