// SPDX-License-Identifier: Apache-2.0
// A reader and a writer of protocol buffers, as much as profiles need. What is read is described by a
// table; fields that are not in it are skipped.

import { FileError } from "./collect";

/** How a field is read: number as signed 64 bits, hex as unsigned 64 bits in hexadecimal,
 * id as a number, or from 2^53 on, where numbers are no longer exact, as a text; the others as they say. */
export type FieldType = "number" | "hex" | "id" | "fixed64" | "string" | "bytes" | "double" | Schema;

export interface FieldSpec {
  name: string;
  type: FieldType;
  repeated?: boolean;
}

export type Schema = Record<number, FieldSpec>;
export type Message = Record<string, unknown>;

/** Deeper messages are a mistake or an attack: the deepest of profiles is an attribute's value. */
const deepest = 24;

/** Reads one message of these bytes. Names the field and its place in what is wrong. */
export function decode(bytes: Uint8Array, schema: Schema): Message {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const utf8 = new TextDecoder();
  let at = 0;
  let low = 0;
  let high = 0;

  /** Into low and high, 32 bits each. */
  const varint = (end: number, where: string): void => {
    low = 0;
    high = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      if (at >= end) throw new FileError(`${where}: ends in the middle of a number, at byte ${at}`);
      const b = bytes[at++]!;
      const v = b & 0x7f;
      if (shift < 28) low |= v << shift;
      else if (shift === 28) {
        low |= v << 28;
        high |= v >> 4;
      } else if (shift < 63) high |= v << (shift - 32);
      else if (v > 1) throw new FileError(`${where}: a number has more than 64 bits, at byte ${at}`);
      else high |= v << 31;
      if (b < 0x80) return;
    }
    throw new FileError(`${where}: a number has more than 64 bits, at byte ${at}`);
  };
  const signed = () => (high | 0) * 4294967296 + (low >>> 0);
  const hexadecimal = () => (high ? (high >>> 0).toString(16) + (low >>> 0).toString(16).padStart(8, "0") : (low >>> 0).toString(16));

  const id = () => (high >>> 0 < 0x200000 ? signed() : `0x${hexadecimal()}`);
  const whole = (type: FieldType) => (type === "hex" ? hexadecimal() : type === "id" ? id() : signed());

  const message = (end: number, fields: Schema, path: string, depth: number): Message => {
    if (depth > deepest) throw new FileError(`${path}: messages nest more than ${deepest} deep`);
    const out: Message = {};
    for (const key in fields) {
      const f = fields[key]!;
      if (f.repeated) out[f.name] = [];
    }
    while (at < end) {
      const begin = at;
      varint(end, path || "the file");
      const number = low >>> 3;
      const wire = low & 7;
      if (number === 0 || high) throw new FileError(`${path || "the file"}: no field at byte ${begin}`);
      const f = fields[number];
      const where = f ? (path ? `${path}.${f.name}` : f.name) : `field ${number} of ${path || "the file"}`;
      let value: unknown;
      if (f && wire !== 2 && (typeof f.type === "object" || f.type === "string" || f.type === "bytes")) throw new FileError(`${where}: is a number, at byte ${begin}`);
      if (wire === 0) {
        varint(end, where);
        if (f) value = whole(f.type);
      } else if (wire === 1) {
        if (at + 8 > end) throw new FileError(`${where}: ends in the middle of a number, at byte ${at}`);
        if (f?.type === "hex") value = view.getBigUint64(at, true).toString(16);
        else if (f) value = f.type === "double" ? view.getFloat64(at, true) : view.getUint32(at + 4, true) * 4294967296 + view.getUint32(at, true);
        at += 8;
      } else if (wire === 5) {
        if (at + 4 > end) throw new FileError(`${where}: ends in the middle of a number, at byte ${at}`);
        if (f) value = f.type === "hex" ? view.getUint32(at, true).toString(16) : view.getUint32(at, true);
        at += 4;
      } else if (wire === 2) {
        varint(end, where);
        const length = (high >>> 0) * 4294967296 + (low >>> 0);
        if (length > end - at) throw new FileError(`${where}: says it has ${length} bytes, and ${end - at} are left, at byte ${begin}`);
        const stop = at + length;
        if (!f) at = stop;
        else if (typeof f.type === "object") value = message(stop, f.type, where, depth + 1);
        else if (f.type === "string") {
          value = utf8.decode(bytes.subarray(at, stop));
          at = stop;
        } else if (f.type === "bytes") {
          value = bytes.subarray(at, stop);
          at = stop;
        } else {
          // Numbers of a list in one.
          const list = (f.repeated ? out[f.name] : []) as unknown[];
          while (at < stop) {
            if (f.type === "fixed64" || f.type === "double") {
              if (at + 8 > stop) throw new FileError(`${where}: ends in the middle of a number, at byte ${at}`);
              list.push(f.type === "double" ? view.getFloat64(at, true) : view.getUint32(at + 4, true) * 4294967296 + view.getUint32(at, true));
              at += 8;
            } else {
              varint(stop, where);
              list.push(whole(f.type));
            }
          }
          if (!f.repeated && list.length) out[f.name] = list.at(-1);
          continue;
        }
      } else throw new FileError(`${where}: has the unknown form ${wire}, at byte ${begin}`);
      if (!f) continue;
      if (f.repeated) (out[f.name] as unknown[]).push(value);
      else out[f.name] = value;
    }
    return out;
  };
  return message(bytes.length, schema, "", 0);
}

/** True when these bytes could begin a message with one of the fields, each in its form. */
export function couldBe(bytes: Uint8Array, wires: Record<number, number>): boolean {
  const tag = bytes[0] ?? 0;
  return tag < 0x80 && wires[tag >> 3] === (tag & 7);
}

/** Writes a message, field by field. */
export class Writer {
  private bytes = new Uint8Array(64);
  private size = 0;

  private room(n: number): void {
    if (this.size + n <= this.bytes.length) return;
    const wider = new Uint8Array(Math.max(this.bytes.length * 2, this.size + n));
    wider.set(this.bytes);
    this.bytes = wider;
  }

  /** A whole number, not negative, up to 2^53. */
  private varint(v: number): void {
    this.room(10);
    while (v >= 0x80) {
      this.bytes[this.size++] = (v % 0x80) | 0x80;
      v = Math.floor(v / 0x80);
    }
    this.bytes[this.size++] = v;
  }

  number(field: number, value: number): this {
    if (value) {
      this.varint(field * 8);
      this.varint(value);
    }
    return this;
  }

  numbers(field: number, values: ArrayLike<number>): this {
    const list = new Writer();
    for (let i = 0; i < values.length; i++) list.varint(values[i]!);
    return this.raw(field, list.done());
  }

  raw(field: number, bytes: Uint8Array): this {
    this.varint(field * 8 + 2);
    this.varint(bytes.length);
    this.room(bytes.length);
    this.bytes.set(bytes, this.size);
    this.size += bytes.length;
    return this;
  }

  text(field: number, text: string): this {
    return this.raw(field, new TextEncoder().encode(text));
  }

  message(field: number, fill: (w: Writer) => void): this {
    const w = new Writer();
    fill(w);
    return this.raw(field, w.done());
  }

  done(): Uint8Array {
    return this.bytes.subarray(0, this.size);
  }
}
