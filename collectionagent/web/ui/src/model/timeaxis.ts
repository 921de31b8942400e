// SPDX-License-Identifier: Apache-2.0
// Axes of values over time: round times, round values, and values as rates.

import { amount, bytes, clock, dateTime } from "../ui/format";

const second = 1000;
const minute = 60 * second;
const hour = 60 * minute;
const day = 24 * hour;
const steps = [1, 2, 5, 10, 15, 30].map((n) => n * second).concat(
  [1, 2, 5, 10, 15, 30].map((n) => n * minute),
  [1, 2, 3, 6, 12].map((n) => n * hour),
  [1, 2, 7, 14, 30, 90].map((n) => n * day),
);

/** Round local times within a range, about as many as asked for, and what to call them. */
export function timeTicks(from: number, to: number, about: number): { ms: number; text: string }[] {
  const step = steps.find((s) => (to - from) / s <= about) ?? Math.ceil((to - from) / about / day) * day;
  const ticks: { ms: number; text: string }[] = [];
  // Local midnights and hours are round, not those of UTC; a day may have 23 hours.
  let at = new Date(from);
  if (step >= day) at.setHours(0, 0, 0, 0);
  else at = new Date(Math.floor((from - offset(from)) / step) * step + offset(from));
  for (let i = 0; i < 1000 && at.getTime() <= to; i++) {
    const ms = at.getTime();
    if (ms >= from) ticks.push({ ms, text: tickText(ms, step, from) });
    if (step >= day) at.setDate(at.getDate() + step / day);
    else at = new Date(ms + step);
  }
  return ticks;
}

const offset = (ms: number) => new Date(ms).getTimezoneOffset() * minute;

function tickText(ms: number, step: number, from: number): string {
  const text = dateTime(ms);
  if (step >= day) return text.slice(0, 4) === dateTime(from).slice(0, 4) ? text.slice(5, 10) : text.slice(0, 10);
  const time = clock(ms, step < minute);
  return time.startsWith("00:00") ? text.slice(5, 10) : time;
}

/** The least round number that is not below a value: 1, 2, 2.5 or 5 times a power of ten. */
export function roundUp(value: number): number {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 2.5, 5, 10].map((m) => m * power).find((v) => v >= value * 0.999)!;
}

/** How a sum over a step reads as a rate. */
export interface Rate {
  /** What a sum is divided by. */
  per: number;
  /** A rate in words. */
  text(rate: number): string;
}

export function rateOf(type: string, unit: string, snapshot: boolean, stepMs: number): Rate {
  if (snapshot) return { per: 1, text: (v) => amount(v, unit) };
  const seconds = stepMs / 1000;
  if (unit === "nanoseconds") {
    const text = type === "on_cpu" ? (v: number) => `${short(v)} CPU${v === 1 ? "" : "s"}` : (v: number) => `${amount(v * 1e9, unit)} per s`;
    return { per: seconds * 1e9, text };
  }
  if (unit === "bytes") return { per: seconds, text: (v) => `${bytes(Number(v.toPrecision(3)))}/s` };
  return { per: seconds, text: (v) => `${short(v)}/s` };
}

/** 0.01234 -> "0.012", 1234 -> "1.23 k". */
function short(v: number): string {
  if (v >= 1000) return amount(v, "count");
  return v >= 100 ? v.toFixed(0) : String(Number(v.toPrecision(v >= 1 ? 3 : 2)));
}
