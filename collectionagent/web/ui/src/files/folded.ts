// SPDX-License-Identifier: Apache-2.0
// Reads folded stacks: "main;work;malloc 25" in each line, the root first.

import { Collect, FileError, guessKind } from "./collect";
import { lines } from "./lines";
import type { Opened } from "./opened";

const line = /^(.*\S)\s+(\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)\s*$/;
const suffixes: Record<string, string> = { k: "kernel", j: "native", i: "native", w: "native" };

/** The first line that is not empty and no comment is one of this format. */
export function looksFolded(text: string): boolean {
  let tried = 0;
  for (const l of lines(text)) {
    if (!l.trim() || l.startsWith("#")) continue;
    if (line.test(l) && !/^\s/.test(l)) return true;
    if (++tried >= 3) break;
  }
  return false;
}

export function readFolded(name: string, text: string): Opened {
  const c = new Collect("samples", "count");
  const frames = new Map<string, number>();
  const frame = (t: string): number => {
    let n = frames.get(t);
    if (n === undefined) {
      const suffix = /^(.+)_\[([kjiw])\]$/.exec(t);
      const bare = suffix ? suffix[1]! : t;
      n = c.frame({ name: bare, kind: suffix?.[2] === "k" ? "kernel" : suffix ? suffixes[suffix[2]!]! : guessKind(bare, "", ""), inlined: suffix?.[2] === "i" });
      frames.set(t, n);
    }
    return n;
  };
  let number = 0;
  let wrong = 0;
  let firstWrong = "";
  let total = 0;
  for (const l of lines(text)) {
    number++;
    if (!l.trim() || l.startsWith("#")) continue;
    const m = line.exec(l);
    if (!m) {
      if (wrong++ === 0) firstWrong = `line ${number}: no number at the end of “${l.slice(0, 80)}”`;
      continue;
    }
    const value = Number(m[2]);
    total += value;
    c.stack(m[1]!.split(";").filter(Boolean).map(frame), value, value);
  }
  if (!c.samples && wrong) throw new FileError(firstWrong);
  const notes = wrong ? [`${wrong.toLocaleString("en-US")} lines were left out; ${firstWrong}`] : [];
  const tree = c.done(notes);
  return { name, format: "folded stacks", tree, samples: Math.round(total), fromMs: 0, toMs: 0, notes };
}
