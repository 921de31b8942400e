// SPDX-License-Identifier: Apache-2.0
// Reads profiles of pprof: profile.proto, as Go's runtime and many others write it.

import { Collect, FileError, guessKind, knownType, knownUnit, named } from "./collect";
import type { Opened } from "./opened";
import { couldBe, decode, type Schema } from "./protobuf";

const valueType: Schema = { 1: { name: "type", type: "number" }, 2: { name: "unit", type: "number" } };
const schema: Schema = {
  1: { name: "sample_type", type: valueType, repeated: true },
  2: {
    name: "sample",
    repeated: true,
    type: {
      1: { name: "location_id", type: "id", repeated: true },
      2: { name: "value", type: "number", repeated: true },
      3: { name: "label", repeated: true, type: { 1: { name: "key", type: "number" } } },
    },
  },
  3: {
    name: "mapping",
    repeated: true,
    type: { 1: { name: "id", type: "id" }, 5: { name: "filename", type: "number" }, 6: { name: "build_id", type: "number" } },
  },
  4: {
    name: "location",
    repeated: true,
    type: {
      1: { name: "id", type: "id" },
      2: { name: "mapping_id", type: "id" },
      3: { name: "address", type: "hex" },
      4: { name: "line", repeated: true, type: { 1: { name: "function_id", type: "id" }, 2: { name: "line", type: "number" } } },
    },
  },
  5: {
    name: "function",
    repeated: true,
    type: {
      1: { name: "id", type: "id" },
      2: { name: "name", type: "number" },
      3: { name: "system_name", type: "number" },
      4: { name: "filename", type: "number" },
      5: { name: "start_line", type: "number" },
    },
  },
  6: { name: "string_table", type: "string", repeated: true },
  9: { name: "time_nanos", type: "number" },
  10: { name: "duration_nanos", type: "number" },
  14: { name: "default_sample_type", type: "number" },
};

interface ValueType {
  type?: number;
  unit?: number;
}
/** Any number of 64 bits, as some programs use addresses and hashes. */
type Id = number | string;

interface Profile {
  sample_type: ValueType[];
  sample: { location_id: Id[]; value: number[]; label: { key?: number }[] }[];
  mapping: { id?: Id; filename?: number; build_id?: number }[];
  location: { id?: Id; mapping_id?: Id; address?: string; line: { function_id?: Id; line?: number }[] }[];
  function: { id?: Id; name?: number; system_name?: number; filename?: number; start_line?: number }[];
  string_table: string[];
  time_nanos?: number;
  duration_nanos?: number;
  default_sample_type?: number;
}

/** Each sample_type, sample, … of a profile is a message; the first field is one of these. */
export const looksLikePprof = (bytes: Uint8Array): boolean => couldBe(bytes, { 1: 2, 2: 2, 3: 2, 4: 2, 5: 2, 6: 2, 9: 0, 10: 0, 11: 2, 12: 0, 14: 0 });

const baseName = (path: string) => path.slice(path.lastIndexOf("/") + 1);

export function readPprof(name: string, bytes: Uint8Array): Opened {
  const p = decode(bytes, schema) as unknown as Profile;
  if (!p.string_table.length) throw new FileError("string_table: is missing, so this is no profile of pprof");
  if (p.string_table[0] !== "") throw new FileError("string_table[0]: must be empty");
  if (!p.sample_type.length) throw new FileError("sample_type: is missing, so nothing says what the values are");
  const text = (i: number | undefined, field: string): string => {
    const s = p.string_table[i ?? 0];
    if (s === undefined) throw new FileError(`${field}: text ${i} of ${p.string_table.length} does not exist`);
    return s;
  };

  const raw = p.sample_type.map((t, i) => ({ type: text(t.type, `sample_type[${i}].type`), unit: text(t.unit, `sample_type[${i}].unit`) }));
  // A type is told apart by its name; the same name twice gets a number.
  const types = raw.map((t, i) => {
    const n = knownType(t.type || "samples");
    return raw.findIndex((o) => knownType(o.type || "samples") === n) < i ? `${n} ${i + 1}` : n;
  });
  const wanted = text(p.default_sample_type, "default_sample_type");
  const first = raw.findIndex((t) => wanted !== "" && t.type === wanted);

  const made = new Map<string, Opened>();
  const as = (type: string): Opened => {
    const at = Math.max(types.indexOf(type), 0);
    const known = made.get(types[at]!);
    if (known) return known;
    const o = build(name, p, text, at, types, knownUnit(raw[at]!.unit), as);
    made.set(types[at]!, o);
    return o;
  };
  return as(types[first >= 0 ? first : types.length - 1]!);
}

function build(name: string, p: Profile, text: (i: number | undefined, field: string) => string, at: number, types: string[], [unit, factor]: [string, number], as: (type: string) => Opened): Opened {
  const c = new Collect(types[at]!, unit);
  const mappings = new Map(p.mapping.map((m, i) => [m.id ?? 0, { binary: baseName(text(m.filename, `mapping[${i}].filename`)), buildId: text(m.build_id, `mapping[${i}].build_id`) }]));
  const functions = new Map(
    p.function.map((f, i) => [
      f.id ?? 0,
      {
        name: text(f.name, `function[${i}].name`) || text(f.system_name, `function[${i}].system_name`),
        file: text(f.filename, `function[${i}].filename`),
        start: f.start_line ?? 0,
      },
    ]),
  );
  /** The frames of each location, the caller first. */
  const locations = new Map<Id, number[]>();
  p.location.forEach((l, i) => {
    const m = mappings.get(l.mapping_id ?? 0) ?? { binary: "", buildId: "" };
    const frames = l.line.map((line, j) => {
      const f = functions.get(line.function_id ?? 0);
      if (!f) throw new FileError(`location[${i}].line[${j}].function_id: there is no function ${line.function_id ?? 0}`);
      const named = f.name || `${m.binary || "[unknown]"}+0x${l.address ?? "0"}`;
      return c.frame({ name: named, file: f.file, line: line.line || f.start, ...m, kind: guessKind(named, f.file, m.binary), inlined: j < l.line.length - 1 });
    });
    if (!frames.length) {
      const named = `${m.binary || "[unknown]"}+0x${l.address ?? "0"}`;
      frames.push(c.frame({ name: named, ...m, kind: guessKind(named, "", m.binary) }));
    }
    locations.set(l.id ?? 0, frames.reverse());
  });

  const labels = new Set<string>();
  const stack: number[] = [];
  p.sample.forEach((s, i) => {
    if (s.value.length !== p.sample_type.length) throw new FileError(`sample[${i}].value: has ${s.value.length} values, sample_type has ${p.sample_type.length}`);
    if (labels.size < 20) for (const l of s.label) labels.add(text(l.key, `sample[${i}].label.key`));
    const value = s.value[at]!;
    if (value === 0) return;
    stack.length = 0;
    for (let j = s.location_id.length - 1; j >= 0; j--) {
      const frames = locations.get(s.location_id[j]!);
      if (!frames) throw new FileError(`sample[${i}].location_id[${j}]: there is no location ${s.location_id[j]}`);
      if (stack.length <= 2000) for (const f of frames) stack.push(f);
    }
    c.stack(stack, value * factor);
  });

  const notes: string[] = [];
  labels.delete("");
  if (labels.size) notes.push(`labels of samples are left out: ${[...labels].sort().join(", ")}`);
  const tree = c.done(notes);
  const fromMs = Math.round((p.time_nanos ?? 0) / 1e6);
  return { name: named(name, types[at]!, types), format: "pprof", tree, samples: c.samples, fromMs, toMs: fromMs && fromMs + Math.round((p.duration_nanos ?? 0) / 1e6), notes, types, type: types[at], as };
}
