// SPDX-License-Identifier: Apache-2.0
// Which frames are meant, as a text:
//
//   alpha            the name, the file or the binary has this in it, whatever the case
//   =alpha           the name is exactly this
//   /^al.*a$/        the name, the file or the binary matches the regular expression, whatever the case
//   binary=libc.so.6 the field is exactly this; the fields are name, file, binary, kind and package
//   file=/_test\.go/ the field matches the regular expression

import { packages } from "./package";
import { expression } from "./regexp";
import type { Frames } from "./tree";

const fields = ["name", "file", "binary", "kind", "package"] as const;
export type Field = (typeof fields)[number];

export interface Pattern {
  /** null: name, file and binary. */
  field: Field | null;
  /** The text, or the source of the regular expression. */
  text: string;
  how: "is" | "has" | "matches";
}

/** A pattern that means exactly the functions of a name, whatever is in it. */
export const exactly = (name: string): string => `=${name}`;

export const withField = (field: Field, value: string): string => `${field}=${value}`;

/** Reads a pattern; a text that is none of the other forms is a part of a name. */
export function parsePattern(text: string): Pattern {
  if (text.startsWith("=")) return { field: "name", text: text.slice(1), how: "is" };
  const equals = text.indexOf("=");
  const field = fields.find((f) => equals > 0 && text.slice(0, equals) === f) ?? null;
  const value = field ? text.slice(equals + 1) : text;
  const expression = /^\/(.+)\/$/s.exec(value);
  if (expression) return { field, text: expression[1]!, how: "matches" };
  return { field, text: value, how: field ? "is" : "has" };
}

/** What is wrong with a pattern, "" for nothing. */
export function checkPattern(text: string): string {
  if (!text) return "say which functions: a part of a name, =name or /expression/";
  const p = parsePattern(text);
  if (!p.text) return "the pattern is empty";
  if (p.how !== "matches") return "";
  try {
    expression(p.text);
    return "";
  } catch (e) {
    return (e as Error).message;
  }
}

/** 1 for each frame that is meant. Nothing is when the pattern is wrong. */
export function matchFrames(frames: Frames, text: string): Uint8Array {
  const n = frames.name.length;
  const out = new Uint8Array(n);
  if (checkPattern(text)) return out;
  const p = parsePattern(text);
  const columns = p.field === "package" ? [packages(frames)] : p.field ? [frames[p.field]] : [frames.name, frames.file, frames.binary];
  const lower = p.text.toLowerCase();
  const re = p.how === "matches" ? expression(p.text) : null;
  for (const column of columns) {
    for (let i = 0; i < n; i++) {
      if (out[i]) continue;
      const v = column[i]!;
      if (re ? re.test(v) : p.how === "is" ? v === p.text : v.toLowerCase().includes(lower)) out[i] = 1;
    }
  }
  return out;
}

/** A pattern in words, short. */
export function describePattern(text: string): string {
  const p = parsePattern(text);
  const value = p.how === "matches" ? `/${p.text}/` : p.how === "has" ? `“${p.text}”` : p.text;
  if (!p.field || p.field === "name") return value;
  return p.field === "kind" && p.how === "is" ? `${value} frames` : `${p.field} ${value}`;
}
