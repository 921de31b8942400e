// SPDX-License-Identifier: Apache-2.0
// The profiles that were opened from files in this tab. They stay in the browser.

import type { Tree } from "../model/tree";

export interface Opened {
  name: string;
  /** Such as "pprof" or "speedscope". */
  format: string;
  tree: Tree;
  samples: number;
  /** Milliseconds since 1970, 0 where the file does not say. */
  fromMs: number;
  toMs: number;
  /** What of the file was left out, and why; empty when nothing was. */
  notes: string[];
  /** The types of samples in the file, which one this is, and the others on demand; not there when there is one. */
  types?: string[];
  type?: string;
  as?(type: string): Opened;
}

const files: Opened[] = [];

/** Keeps a profile and returns its number, as state.file and state.bfile have it. What is kept already keeps its number. */
export function keep(file: Opened): string {
  const at = files.indexOf(file);
  if (at >= 0) return String(at + 1);
  files.push(file);
  return String(files.length);
}

/** The profile of a number, null when this tab has none. */
export const opened = (number: string): Opened | null => files[Number(number) - 1] ?? null;

/** Those there are, with their numbers. */
export const all = (): [string, Opened][] => files.map((f, i) => [String(i + 1), f]);
