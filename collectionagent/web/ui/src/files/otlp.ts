// SPDX-License-Identifier: Apache-2.0
// Reads OTLP profiles (v1development), as protocol buffer or JSON: what is sent to a backend, or ProfilesData.
// Samples of all resources are put together by type; where there are several services each is a first level.

import { Collect, FileError, guessKind, knownType, knownUnit, named } from "./collect";
import type { Opened } from "./opened";
import { couldBe, decode, type Message, type Schema } from "./protobuf";

const numbers = (name: string) => ({ name, type: "number" as const, repeated: true });
const number = (name: string) => ({ name, type: "number" as const });
const valueType: Schema = { 1: number("typeStrindex"), 2: number("unitStrindex") };
const anyValue: Schema = { 1: { name: "stringValue", type: "string" }, 8: number("stringValueStrindex") };
const attribute: Schema = { 1: number("keyStrindex"), 2: { name: "value", type: anyValue } };
const resourceAttribute: Schema = { 1: { name: "key", type: "string" }, 2: { name: "value", type: anyValue }, 3: number("keyStrindex") };
const schema: Schema = {
  1: {
    name: "resourceProfiles",
    repeated: true,
    type: {
      1: { name: "resource", type: { 1: { name: "attributes", type: resourceAttribute, repeated: true } } },
      2: {
        name: "scopeProfiles",
        repeated: true,
        type: {
          2: {
            name: "profiles",
            repeated: true,
            type: {
              1: { name: "sampleType", type: valueType },
              2: {
                name: "samples",
                repeated: true,
                type: { 1: number("stackIndex"), 4: numbers("values"), 5: { name: "timestampsUnixNano", type: "fixed64", repeated: true } },
              },
              3: { name: "timeUnixNano", type: "fixed64" },
              4: number("durationNano"),
              5: { name: "periodType", type: valueType },
              6: number("period"),
            },
          },
        },
      },
    },
  },
  2: {
    name: "dictionary",
    type: {
      1: { name: "mappingTable", repeated: true, type: { 4: number("filenameStrindex"), 5: numbers("attributeIndices") } },
      2: {
        name: "locationTable",
        repeated: true,
        type: {
          1: number("mappingIndex"),
          2: { name: "address", type: "hex" },
          3: { name: "lines", repeated: true, type: { 1: number("functionIndex"), 2: number("line") } },
          4: numbers("attributeIndices"),
        },
      },
      3: { name: "functionTable", repeated: true, type: { 1: number("nameStrindex"), 2: number("systemNameStrindex"), 3: number("filenameStrindex"), 4: number("startLine") } },
      5: { name: "stringTable", type: "string", repeated: true },
      6: { name: "attributeTable", type: attribute, repeated: true },
      7: { name: "stackTable", repeated: true, type: { 1: numbers("locationIndices") } },
    },
  },
};

export const looksLikeOtlp = (bytes: Uint8Array): boolean => couldBe(bytes, { 1: 2, 2: 2 });

const isObject = (v: unknown): v is Message => typeof v === "object" && v !== null && !Array.isArray(v);
export const looksLikeOtlpJson = (v: unknown): v is Message => isObject(v) && ("resourceProfiles" in v || "resource_profiles" in v);

const camel = (key: string) => key.replace(/_([a-z])/g, (_, c: string) => c.toUpperCase());

/** A message of JSON as decode makes it: known fields alone, numbers as numbers, lists where they belong. */
function fromJson(v: unknown, fields: Schema, path: string): Message {
  if (!isObject(v)) throw new FileError(`${path || "the file"}: must be an object`);
  const given: Message = Object.create(null); // a key may be "__proto__"
  for (const key in v) given[camel(key)] = v[key];
  const out: Message = {};
  for (const key in fields) {
    const f = fields[key]!;
    const where = path ? `${path}.${f.name}` : f.name;
    const one = (x: unknown, at: string): unknown => {
      if (typeof f.type === "object") return fromJson(x, f.type, at);
      if (f.type === "string") {
        if (typeof x !== "string") throw new FileError(`${at}: must be a text`);
        return x;
      }
      const n = typeof x === "string" && /^-?\d+$/.test(x) ? Number(x) : x;
      if (typeof n !== "number" || !Number.isFinite(n)) throw new FileError(`${at}: must be a number`);
      if (f.type === "hex") return typeof x === "string" ? BigInt.asUintN(64, BigInt(x)).toString(16) : n.toString(16);
      return n;
    };
    const x = given[f.name];
    if (f.repeated) {
      if (x !== undefined && x !== null && !Array.isArray(x)) throw new FileError(`${where}: must be a list`);
      out[f.name] = ((x as unknown[]) ?? []).map((e, i) => one(e, `${where}[${i}]`));
    } else if (x !== undefined && x !== null) out[f.name] = one(x, where);
  }
  return out;
}

interface Value {
  stringValue?: string;
  stringValueStrindex?: number;
}
interface Type {
  typeStrindex?: number;
  unitStrindex?: number;
}
interface Dictionary {
  mappingTable: { filenameStrindex?: number; attributeIndices: number[] }[];
  locationTable: { mappingIndex?: number; address?: string; lines: { functionIndex?: number; line?: number }[]; attributeIndices: number[] }[];
  functionTable: { nameStrindex?: number; systemNameStrindex?: number; filenameStrindex?: number; startLine?: number }[];
  stringTable: string[];
  attributeTable: { keyStrindex?: number; value?: Value }[];
  stackTable: { locationIndices: number[] }[];
}
interface Profile {
  sampleType?: Type;
  samples: { stackIndex?: number; values: number[]; timestampsUnixNano: number[] }[];
  timeUnixNano?: number;
  durationNano?: number;
  periodType?: Type;
  period?: number;
}
interface Data {
  resourceProfiles: { resource?: { attributes: { key?: string; keyStrindex?: number; value?: Value }[] }; scopeProfiles: { profiles: Profile[] }[] }[];
  dictionary?: Dictionary;
}

const kinds = new Map([["cpython", "python"], ["v8js", "v8"]]);

export const readOtlp = (name: string, bytes: Uint8Array): Opened => open(name, decode(bytes, schema) as unknown as Data);
export const readOtlpJson = (name: string, json: Message): Opened => open(name, fromJson(json, schema, "") as unknown as Data);

/** A list of samples of one type, and where they stand in the file. */
interface Part {
  profile: Profile;
  service: string;
  field: string;
  type: string;
  unit: string;
  factor: number;
}

function open(name: string, data: Data): Opened {
  const d = data.dictionary;
  if (!d) throw new FileError("dictionary: is missing: this is no request of OTLP profiles, or one of before version 1.10");
  const at = <T>(table: T[], i: number | undefined, field: string, tableName: string): T => {
    const v = table[i ?? 0];
    if (v === undefined) throw new FileError(`${field}: entry ${i ?? 0} of dictionary.${tableName} does not exist, it has ${table.length}`);
    return v;
  };
  const text = (i: number | undefined, field: string): string => (i ? at(d.stringTable, i, field, "string_table") : "");
  const value = (v: Value | undefined, field: string): string => v?.stringValue ?? text(v?.stringValueStrindex, `${field}.string_value_strindex`);

  const parts: Part[] = [];
  data.resourceProfiles.forEach((r, i) => {
    let service = "";
    r.resource?.attributes.forEach((a, j) => {
      const field = `resource_profiles[${i}].resource.attributes[${j}]`;
      if ((a.key || text(a.keyStrindex, `${field}.key_strindex`)) === "service.name") service = value(a.value, field);
    });
    r.scopeProfiles.forEach((s, j) => {
      // Where the time itself is there, too, the samples of it are another view of the same.
      const timed = s.profiles.some((p) => ["cpu", "wall"].includes(text(p.sampleType?.typeStrindex, "sample_type.type_strindex")));
      s.profiles.forEach((profile, k) => {
        const field = `resource_profiles[${i}].scope_profiles[${j}].profiles[${k}]`;
        const type = text(profile.sampleType?.typeStrindex, `${field}.sample_type.type_strindex`) || "samples";
        const unit = text(profile.sampleType?.unitStrindex, `${field}.sample_type.unit_strindex`);
        const period = text(profile.periodType?.typeStrindex, `${field}.period_type.type_strindex`);
        const [periodUnit, periodFactor] = knownUnit(text(profile.periodType?.unitStrindex, `${field}.period_type.unit_strindex`));
        // Samples of a clock stand for its period each.
        const clock = !timed && (type === "samples" || type === "sample") && (period === "cpu" || period === "wall") && periodUnit === "nanoseconds" && (profile.period ?? 0) > 0;
        const [known, factor] = clock ? ["nanoseconds", profile.period! * periodFactor] : knownUnit(unit);
        parts.push({ profile, service, field, type: clock ? knownType(period) : knownType(type), unit: known as string, factor: factor as number });
      });
    });
  });
  if (!parts.length) throw new FileError("resource_profiles: there is no profile in it");
  const services = new Set(parts.map((p) => p.service));
  const types = [...new Set(parts.map((p) => p.type))];

  const made = new Map<string, Opened>();
  const as = (wanted: string): Opened => {
    const type = types.includes(wanted) ? wanted : types[0]!;
    const known = made.get(type);
    if (known) return known;
    const mine = parts.filter((p) => p.type === type);
    const o = build(name, mine, services.size > 1, d, { at, text, value });
    if (types.length > 1) Object.assign(o, { name: named(name, type, types), types, type, as });
    made.set(type, o);
    return o;
  };
  return as(types.includes("on_cpu") ? "on_cpu" : types[0]!);
}

interface Read {
  at<T>(table: T[], i: number | undefined, field: string, tableName: string): T;
  text(i: number | undefined, field: string): string;
  value(v: Value | undefined, field: string): string;
}

function build(name: string, parts: Part[], byService: boolean, d: Dictionary, { at, text, value }: Read): Opened {
  const c = new Collect(parts[0]!.type, parts[0]!.unit);
  const attribute = (indices: number[], key: string, field: string): string => {
    for (const [j, i] of indices.entries()) {
      const a = at(d.attributeTable, i, `${field}.attribute_indices[${j}]`, "attribute_table");
      if (text(a.keyStrindex, `dictionary.attribute_table[${i}].key_strindex`) === key) return value(a.value, `dictionary.attribute_table[${i}].value`);
    }
    return "";
  };
  const mappings = d.mappingTable.map((m, i) => {
    const field = `dictionary.mapping_table[${i}]`;
    const path = text(m.filenameStrindex, `${field}.filename_strindex`);
    const buildId = attribute(m.attributeIndices, "process.executable.build_id.gnu", field) || attribute(m.attributeIndices, "process.executable.build_id.go", field);
    return { binary: path.slice(path.lastIndexOf("/") + 1), buildId };
  });
  /** The frames of a location, the caller first. */
  const locations = d.locationTable.map((l, i) => {
    const field = `dictionary.location_table[${i}]`;
    const m = l.mappingIndex ? at(mappings, l.mappingIndex, `${field}.mapping_index`, "mapping_table") : { binary: "", buildId: "" };
    const said = attribute(l.attributeIndices, "strobe.frame.type", field) || attribute(l.attributeIndices, "profile.frame.type", field);
    const frames = l.lines.map((line, j) => {
      const f = at(d.functionTable, line.functionIndex, `${field}.lines[${j}].function_index`, "function_table");
      const where = `dictionary.function_table[${line.functionIndex ?? 0}]`;
      const file = text(f.filenameStrindex, `${where}.filename_strindex`);
      const named = text(f.nameStrindex, `${where}.name_strindex`) || text(f.systemNameStrindex, `${where}.system_name_strindex`) || `${m.binary || "[unknown]"}+0x${l.address ?? "0"}`;
      return c.frame({ name: named, file, line: line.line || f.startLine || 0, ...m, kind: kinds.get(said) ?? (said || guessKind(named, file, m.binary)), inlined: j < l.lines.length - 1 });
    });
    if (!frames.length) frames.push(c.frame({ name: `${m.binary || "[unknown]"}+0x${l.address ?? "0"}`, ...m, kind: kinds.get(said) ?? (said || guessKind("", "", m.binary)) }));
    return frames.reverse();
  });

  let fromNs = Infinity;
  let toNs = 0;
  let samples = 0;
  const stack: number[] = [];
  for (const { profile: p, service, field, factor } of parts) {
    if (p.timeUnixNano) {
      fromNs = Math.min(fromNs, p.timeUnixNano);
      toNs = Math.max(toNs, p.timeUnixNano + (p.durationNano ?? 0));
    }
    const first = byService ? [c.frame({ name: service || "unnamed", kind: "label" })] : [];
    p.samples.forEach((s, i) => {
      const indices = at(d.stackTable, s.stackIndex, `${field}.samples[${i}].stack_index`, "stack_table").locationIndices;
      stack.length = 0;
      stack.push(...first);
      for (let j = indices.length - 1; j >= 0 && stack.length <= 2000; j--) {
        const frames = at(locations, indices[j], `dictionary.stack_table[${s.stackIndex ?? 0}].location_indices[${j}]`, "location_table");
        for (const f of frames) stack.push(f);
      }
      // Without values each time is one.
      const v = s.values.length ? s.values.reduce((a, b) => a + b, 0) : s.timestampsUnixNano.length;
      const n = Math.max(s.timestampsUnixNano.length, 1);
      samples += n;
      c.stack(stack, v * factor, n);
    });
  }
  const notes: string[] = [];
  const tree = c.done(notes);
  const fromMs = Number.isFinite(fromNs) ? Math.round(fromNs / 1e6) : 0;
  return { name, format: "OTLP", tree, samples, fromMs, toMs: fromMs && Math.round(toNs / 1e6), notes };
}
