// SPDX-License-Identifier: Apache-2.0
// Reads the output of "perf script": a line for each sample, below it its stack from the leaf to the
// root, and an empty line. The name of the thread becomes the first level.

import { Collect, FileError, guessKind, named } from "./collect";
import { lines } from "./lines";
import type { Opened } from "./opened";

// comm pid/tid [cpu] time: period event: address symbol (file), where all but the event may be missing.
const header = /^(\S.*?)\s+(-?\d+(?:\/-?\d+)?)\s+(?:\[\d+\]\s+)?(?:[A-Za-z.]{4,8}\s+)?(\d+\.\d+):\s+(?:(\d+)\s+)?([^\s:][^\s]*?):(?:\s+(.*))?$/;
const frameLine = /^\s*([0-9a-f]+)\s+(.+?)(?:\s+\(([^()]*(?:\([^()]*\)[^()]*)*)\))?\s*$/;
const sourceLine = /^\s+(\S.*):(\d+)\s*$/;

/** With one blank for several: the expressions above would take a time that grows with the square of their number. */
const narrow = (l: string) => l.replace(/\s{3,}/g, "  ");

export function looksLikePerf(text: string): boolean {
  for (const l of lines(text)) {
    if (!l.trim() || l.startsWith("#")) continue;
    return header.test(narrow(l).trimStart());
  }
  return false;
}

interface Frame {
  name: string;
  file: string;
  line: number;
  binary: string;
  inlined: boolean;
}

function parseFrame(l: string): Frame | null {
  const m = frameLine.exec(l);
  if (!m) return null;
  const symbol = m[2]!.replace(/\+0x[0-9a-f]+$/, "");
  const where = m[3] ?? "";
  const inlined = where === "inlined";
  const binary = inlined || where === "[unknown]" ? "" : where.slice(where.lastIndexOf("/") + 1).replace(/ \(deleted\)$/, "");
  return { name: symbol !== "[unknown]" ? symbol : binary ? `${binary}+0x${m[1]}` : symbol, file: "", line: 0, binary, inlined };
}

interface Sample {
  comm: string;
  event: string;
  period: number;
  /** The leaf first. */
  stack: Frame[];
}

export function readPerf(name: string, text: string): Opened {
  const samples: Sample[] = [];
  let now: Sample | null = null;
  let number = 0;
  let wrong = 0;
  let firstWrong = "";
  for (const given of lines(text)) {
    const l = narrow(given);
    number++;
    if (!l.trim()) {
      now = null;
      continue;
    }
    if (l.startsWith("#")) continue;
    const h: RegExpExecArray | null = /^\s/.test(l) && now ? null : header.exec(l.trimStart());
    if (h) {
      now = { comm: h[1]!, event: h[5]!, period: h[4] ? Number(h[4]) : 1, stack: [] };
      samples.push(now);
      const only = h[6] ? parseFrame(h[6]) : null;
      if (only) now.stack.push(only);
      continue;
    }
    const f = now && parseFrame(l);
    const source = now?.stack.length && !f ? sourceLine.exec(l) : null;
    if (f) now!.stack.push(f);
    else if (source) Object.assign(now!.stack.at(-1)!, { file: source[1], line: Number(source[2]) });
    else if (wrong++ === 0) firstWrong = `line ${number}: neither a sample nor a frame: “${l.trim().slice(0, 80)}”`;
  }
  if (!samples.length) throw new FileError(firstWrong || "there is no sample in it");
  const events = [...new Set(samples.map((s) => s.event))];
  const made = new Map<string, Opened>();
  const as = (event: string): Opened => {
    const type = events.includes(event) ? event : events[0]!;
    const known = made.get(type);
    if (known) return known;
    // Clocks count nanoseconds.
    const c = new Collect(type, /^(?:cpu|task)-clock/.test(type) && samples.some((s) => s.event === type && s.period > 1) ? "nanoseconds" : "count");
    for (const s of samples) {
      if (s.event !== type) continue;
      const frames = [c.frame({ name: s.comm, kind: "label" })];
      for (let i = s.stack.length - 1; i >= 0; i--) {
        const f = s.stack[i]!;
        // Inlined functions are in the file of the function around them, which comes next from the leaf.
        const binary = f.binary || (f.inlined ? (s.stack.slice(i).find((o) => o.binary)?.binary ?? "") : "");
        frames.push(c.frame({ ...f, binary, kind: guessKind(f.name, f.file, binary) }));
        if (frames.length > 2001) break;
      }
      c.stack(frames, s.period);
    }
    const notes = wrong ? [`${wrong.toLocaleString("en-US")} lines were left out; ${firstWrong}`] : [];
    const tree = c.done(notes);
    const o: Opened = { name: named(name, type, events), format: "perf script", tree, samples: c.samples, fromMs: 0, toMs: 0, notes, ...(events.length > 1 ? { types: events, type, as } : {}) };
    made.set(type, o);
    return o;
  };
  return as(events[0]!);
}
