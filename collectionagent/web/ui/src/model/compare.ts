// SPDX-License-Identifier: Apache-2.0
// The range that is compared with, and what a timeline must span to show both.

import type { State } from "../state/state";
import { parseTime, relative, resolve, type Range } from "./timerange";

type Compared = Pick<State, "view" | "from" | "to" | "bfrom" | "bto" | "bquery" | "bfile">;

/** The range of the base in milliseconds as the server understands it, null when nothing is compared or the base is a file. */
export function baseRange(s: Compared, now: number): { from: number; to: number } | null {
  if (s.view !== "diff" || s.bfile) return null;
  const own = resolve(s, now);
  const length = own.to - own.from;
  if (s.bfrom && s.bto) return resolve({ from: s.bfrom, to: s.bto }, now);
  if (s.bfrom) {
    const { from } = resolve({ from: s.bfrom, to: "now" }, now);
    return { from, to: from + length };
  }
  if (s.bto) {
    const { to } = resolve({ from: "now-15m", to: s.bto }, now);
    return { from: to - length, to };
  }
  return s.bquery ? own : { from: own.from - length, to: own.from };
}

/**
 * What the timeline asks for: the selection, with the base when there is one, and twice its
 * length before it while a base is being chosen. A range that ends now still does.
 */
export function timelineRange(s: Compared, choosing: boolean, now: number): Range {
  const base = baseRange(s, now);
  if (!base && !choosing) return { from: s.from, to: s.to };
  const own = resolve(s, now);
  const length = own.to - own.from;
  const starts: [ms: number, text: string][] = [[own.from, s.from]];
  // Before now, a start is said relative to it, so that the question stays the same while time goes by.
  const start = (ms: number) => starts.push([ms, s.to === "now" ? relative(Math.ceil((now - ms) / 1000) * 1000) : String(Math.floor(ms))]);
  if (base) {
    if (s.bfrom && parseTime(s.bfrom, 0) === parseTime(s.bfrom, 1)) starts.push([base.from, String(base.from)]);
    else start(base.from);
  }
  if (choosing) start(own.from - 2 * length);
  const from = starts.reduce((a, b) => (b[0] < a[0] ? b : a))[1];
  if (s.to === "now") return { from, to: "now" };
  const to = Math.max(own.to, base?.to ?? 0, choosing ? Math.min(now, own.to + length / 2) : 0);
  return { from, to: to === own.to ? s.to : String(Math.ceil(to)) };
}
