// SPDX-License-Identifier: Apache-2.0
// Spans of time and lengths, as people read them.

import { clock, dateTime } from "./format";

/** A range of time in milliseconds since 1970, without its end. */
export interface Span {
  from: number;
  to: number;
}

/** A length in nanoseconds: "240 ms", "15 s", "35 min". */
export function offset(ns: number): string {
  if (ns >= 3600e9) return `${trim(ns / 3600e9)} h`;
  if (ns >= 60e9) return `${trim(ns / 60e9)} min`;
  if (ns >= 1e9) return `${trim(ns / 1e9)} s`;
  return ns ? `${trim(ns / 1e6)} ms` : "0";
}

const trim = (n: number) => String(Number(n.toFixed(2)));

/** A time of day to the millisecond where it has any. */
export function precise(ms: number): string {
  const rest = Math.round(ms) % 1000;
  return clock(ms) + (rest ? `.${String(rest).padStart(3, "0")}` : "");
}

/** "10:21:03.240 – 10:21:04.100", with the day where it is not one. */
export function spanText(s: Span): string {
  const day = dateTime(s.from).slice(0, 10);
  return day === dateTime(s.to).slice(0, 10) ? `${precise(s.from)} – ${precise(s.to)}` : `${dateTime(s.from)} – ${dateTime(s.to)}`;
}

/** The length of a span: "860 ms", "12.4 s", "3 min". */
export const lengthText = (s: Span): string => offset((s.to - s.from) * 1e6);
