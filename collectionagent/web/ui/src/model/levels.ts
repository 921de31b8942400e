// SPDX-License-Identifier: Apache-2.0
// What a level of a stack is: a function, a line of it, a file or a binary.

import type { Level } from "../state/state";
import { addFrame, Builder, noFrames, type Stacks } from "./stacks";
import type { Frames } from "./tree";

/** What frames without a file are called at the level of files. */
export const fileOf = (f: Frames, i: number): string => f.file[i] || f.binary[i] || `[${f.kind[i]}]`;
export const binaryOf = (f: Frames, i: number): string => f.binary[i] || `[${f.kind[i]}]`;

/** True for frames that stand for themselves at every level. */
const stays = (f: Frames, i: number) => f.kind[i] === "label" || f.kind[i] === "other" || f.kind[i] === "error";

/** The frames of a level, and which of them each frame becomes; null when it changes nothing. */
function merge(f: Frames, level: Level): { frames: Frames; to: Int32Array } | null {
  const known = new Map<string, number>();
  const frames = noFrames();
  const to = Int32Array.from(f.name, (name, i) => {
    const stay = stays(f, i);
    const key = stay
      ? `\0${f.kind[i]}\0${name}`
      : level === "file"
        ? fileOf(f, i)
        : level === "binary"
          ? binaryOf(f, i)
          : `${name}\0${f.file[i]}\0${f.binary[i]}\0${f.kind[i]}\0${f.inlined[i] ? 1 : 0}${level === "line" ? `\0${f.line[i]}` : ""}`;
    let n = known.get(key);
    if (n === undefined) {
      const same = { binary: f.binary[i], buildId: f.buildId[i], kind: f.kind[i] };
      n = addFrame(
        frames,
        stay || level === "function" || level === "line"
          ? { ...same, name, file: f.file[i], line: f.line[i], inlined: f.inlined[i] }
          : level === "file"
            ? { ...same, name: key, file: f.file[i] }
            : { ...same, name: key },
      );
      known.set(key, n);
    } else {
      const line = f.line[i]!;
      if (level === "function" && line && (!frames.line[n] || line < frames.line[n]!)) frames.line[n] = line;
    }
    return n;
  });
  return (level === "function" || level === "line") && frames.name.length === f.name.length ? null : { frames, to };
}

/** Merges frames that are the same at a level. At the levels of files and binaries what calls itself becomes one. */
export function atLevel(s: Stacks, level: Level): Stacks {
  const merged = merge(s.frames, level);
  if (!merged) return s;
  const { frames, to } = merged;
  const together = level === "file" || level === "binary";
  const n = s.frame.length;
  const b = new Builder(frames, s.about, s.base !== null, to[s.frame[0]!], n);
  const at = new Int32Array(n);
  b.add(0, s.self[0] ?? 0, s.base?.[0]);
  for (let i = 1; i < n; i++) {
    const p = at[s.parent[i]!]!;
    const frame = to[s.frame[i]!]!;
    const node = together && p > 0 && b.frameOf(p) === frame ? p : b.child(p, frame);
    at[i] = node;
    b.add(node, s.self[i]!, s.base?.[i]);
  }
  return b.done();
}
