// SPDX-License-Identifier: Apache-2.0
// Reads profiles of other programs. What a file is is seen by its content, whatever its name. Where it
// holds several types of samples the one that its program shows first is shown, and Opened.as has the others.

import { FileError } from "./collect";
import { looksFolded, readFolded } from "./folded";
import type { Opened } from "./opened";
import { looksLikeOtlp, looksLikeOtlpJson, readOtlp, readOtlpJson } from "./otlp";
import { looksLikePerf, readPerf } from "./perf";
import { looksLikePprof, readPprof } from "./pprof";
import { looksLikeSpeedscope, readSpeedscope } from "./speedscope";

export { FileError } from "./collect";

/** What is read, for who asks. */
export const formats = ["pprof", "folded stacks", "speedscope", "OTLP profiles", "perf script"];

/** Most bytes of a file after decompression. */
export const mostBytes = 512 << 20;

const startsWith = (b: Uint8Array, ...bytes: number[]) => bytes.every((v, i) => b[i] === v);
const startsWithText = (b: Uint8Array, text: string) => startsWith(b, ...[...text].map((c) => c.charCodeAt(0)));

async function gunzip(name: string, content: Uint8Array): Promise<Uint8Array> {
  const reader = new Blob([content as BlobPart]).stream().pipeThrough(new DecompressionStream("gzip")).getReader();
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      size += value.length;
      if (size > mostBytes) throw new FileError(`${name}: has more than ${mostBytes >> 20} MiB when it is decompressed`);
      chunks.push(value);
    }
  } catch (e) {
    void reader.cancel().catch(() => {});
    if (e instanceof FileError) throw e;
    throw new FileError(`${name}: gzip: the compressed data are damaged or end too early`);
  }
  const out = new Uint8Array(size);
  let at = 0;
  for (const c of chunks) {
    out.set(c, at);
    at += c.length;
  }
  return out;
}

/** What is known not to be read here, and what to do instead. */
function refuse(b: Uint8Array): string {
  if (!b.length) return "it is empty";
  if (startsWithText(b, "PERFILE2") || startsWithText(b, "2ELIFREP")) return "this is the recording of perf itself: open what “perf script -i FILE” prints";
  if (startsWith(b, 0x46, 0x4c, 0x52, 0x00)) return "this is a recording of Java’s Flight Recorder: convert it, for instance with its “jfr” tool or a converter to pprof";
  if (startsWith(b, 0x28, 0xb5, 0x2f, 0xfd)) return "it is compressed with zstd: decompress it first, “zstd -d FILE”";
  if (startsWith(b, 0x50, 0x4b, 3, 4)) return "this is a zip archive: open what is in it";
  if (startsWith(b, 0x7f, 0x45, 0x4c, 0x46)) return "this is a program, not a profile";
  return "";
}

/** A reader for text, or null for none. */
function readText(name: string, text: string): Opened | null {
  const begin = text.slice(0, 4096).trimStart();
  if (begin.startsWith("{") || begin.startsWith("[")) {
    let json: unknown;
    try {
      json = JSON.parse(text);
    } catch (e) {
      // Names of threads and functions can begin like that, too.
      if (looksLikePerf(text)) return readPerf(name, text);
      if (looksFolded(text)) return readFolded(name, text);
      throw new FileError(`looks like JSON and is none: ${(e as Error).message.slice(0, 200)}`);
    }
    if (looksLikeSpeedscope(json)) return readSpeedscope(name, json);
    if (looksLikeOtlpJson(json)) return readOtlpJson(name, json);
    throw new FileError("this JSON is neither of speedscope nor of OTLP profiles");
  }
  if (looksLikePerf(text)) return readPerf(name, text);
  if (looksFolded(text)) return readFolded(name, text);
  return null;
}

function readBinary(name: string, b: Uint8Array): Opened {
  // Both formats begin with a message in field 1: the one that can be read is right, the better mistake is told.
  const tries: [boolean, (name: string, b: Uint8Array) => Opened][] = [
    [looksLikePprof(b), readPprof],
    [looksLikeOtlp(b), readOtlp],
  ];
  const mistakes: string[] = [];
  for (const [could, reader] of tries) {
    if (!could) continue;
    try {
      return reader(name, b);
    } catch (e) {
      if (!(e instanceof FileError)) throw e;
      mistakes.push(e.message);
    }
  }
  if (!mistakes.length) throw new FileError(`this format is not known; what can be opened: ${formats.join(", ")}, and each compressed with gzip`);
  throw new FileError(mistakes.length > 1 ? `read as pprof: ${mistakes[0]}; read as OTLP: ${mistakes[1]}` : mistakes[0]);
}

/** Reads a file in any format that is known; rejects with a FileError that begins with its name. */
export async function read(name: string, content: Uint8Array): Promise<Opened> {
  try {
    if (content.length > mostBytes) throw new FileError(`has more than ${mostBytes >> 20} MiB`);
    let b = content;
    // pprof is gzipped by itself, and somebody may have gzipped it again.
    for (let i = 0; i < 2 && startsWith(b, 0x1f, 0x8b); i++) b = await gunzip(name, b);
    const no = refuse(b);
    if (no) throw new FileError(no);
    let text: string | null = null;
    try {
      text = new TextDecoder("utf-8", { fatal: true }).decode(b);
    } catch {
      // Names in other encodings do not make a text less readable.
      if (!b.subarray(0, 65536).includes(0)) text = new TextDecoder().decode(b);
    }
    const opened = text !== null ? readText(name, text) : null;
    return opened ?? readBinary(name, b);
  } catch (e) {
    if (e instanceof FileError) throw e.message.startsWith(`${name}: `) ? e : new FileError(`${name}: ${e.message}`);
    if (e instanceof RangeError) throw new FileError(`${name}: is too large for this browser (${e.message})`);
    throw e;
  }
}
