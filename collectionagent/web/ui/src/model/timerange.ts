// SPDX-License-Identifier: Apache-2.0
// Times as the server takes them: now-2h, RFC 3339, seconds or milliseconds since 1970.

export interface Range {
  from: string;
  to: string;
}

const second = 1000;
const minute = 60 * second;
const hour = 60 * minute;
const day = 24 * hour;
const units: Record<string, number> = { ms: 1, s: second, m: minute, h: hour, d: day, w: 7 * day, y: 365 * day };

/** The ranges that are offered, ending now. */
export const ranges = [
  ["now-1m", "1 min"],
  ["now-5m", "5 min"],
  ["now-15m", "15 min"],
  ["now-30m", "30 min"],
  ["now-1h", "1 h"],
  ["now-3h", "3 h"],
  ["now-6h", "6 h"],
  ["now-12h", "12 h"],
  ["now-24h", "24 h"],
  ["now-2d", "2 days"],
  ["now-7d", "7 days"],
  ["now-30d", "30 days"],
  ["now-90d", "90 days"],
  ["now-365d", "1 year"],
] as const;

/** "1h30m" -> milliseconds; a number alone is in seconds. null: not a duration. */
export function parseDuration(text: string): number | null {
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text) * second;
  if (!/^(\d+(\.\d+)?(ms|[smhdwy]))+$/.test(text)) return null;
  let sum = 0;
  for (const [, n, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|[smhdwy])/g)) sum += Number(n) * units[unit!]!;
  return sum;
}

/** A time in milliseconds since 1970; null when the server would not take it. */
export function parseTime(text: string, now: number): number | null {
  const t = text.trim();
  if (t === "now") return now;
  if (t.startsWith("now-")) {
    const d = parseDuration(t.slice(4));
    return d === null ? null : now - d;
  }
  if (/^\d+(\.\d+)?$/.test(t)) {
    const n = Number(t);
    return n >= 1e11 ? n : n * 1000;
  }
  if (/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/.test(t)) {
    const ms = Date.parse(t);
    return Number.isNaN(ms) ? null : ms;
  }
  return null;
}

/** What a person may type for a time: what the server takes, "2h" for now-2h, and a local date with or without a time of day. null: none of them. */
export function readTime(text: string, now: number): string | null {
  const t = text.trim();
  if (t === "") return null;
  if (/^\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d)?)?$/.test(t)) {
    const ms = new Date(t.length === 10 ? `${t}T00:00` : t.replace(" ", "T")).getTime();
    return Number.isNaN(ms) ? null : String(ms);
  }
  const clock = /^(\d\d?):(\d\d)(?::(\d\d))?$/.exec(t);
  if (clock && Number(clock[1]) < 24 && Number(clock[2]) < 60 && Number(clock[3] ?? 0) < 60) {
    const d = new Date(now);
    d.setHours(Number(clock[1]), Number(clock[2]), Number(clock[3] ?? 0), 0);
    return String(d.getTime() > now ? d.getTime() - day : d.getTime()); // of yesterday where today's is still to come
  }
  if (/^-?(\d+(\.\d+)?(ms|[smhdwy]))+$/.test(t)) return `now-${t.replace(/^-/, "")}`;
  return parseTime(t, now) === null ? null : t;
}

/** Both ends in milliseconds, the last 15 minutes where they are not times. */
export function resolve(r: Range, now: number): { from: number; to: number } {
  const to = parseTime(r.to, now) ?? now;
  return { from: parseTime(r.from, now) ?? to - 15 * minute, to };
}

/** The same range with ends that do not move. */
export function pinned(r: Range, now: number): Range {
  const { from, to } = resolve(r, now);
  return { from: String(Math.round(from)), to: String(Math.round(to)) };
}

/** The range half its length earlier or later; where that all but reaches now, it ends there and moves on. */
export function moved(r: Range, now: number, direction: -1 | 1): Range {
  const { from, to } = resolve(r, now);
  const length = to - from;
  if (direction > 0 && to + length / 2 >= now - Math.max(length / 20, 10 * second)) return { from: relative(length), to: "now" };
  const by = (direction * length) / 2;
  return { from: String(Math.round(from + by)), to: String(Math.round(to + by)) };
}

const steps = [second, 5 * second, 15 * second, ...ranges.map(([from]) => parseDuration(from.slice(4))!)];

/** A range that is longer or shorter by a step and keeps its end, or its middle when it ended in the past. */
export function scaled(r: Range, now: number, direction: -1 | 1): Range {
  const { from, to } = resolve(r, now);
  const length = to - from;
  const next = direction > 0 ? steps.find((s) => s > length * 1.01) : steps.findLast((s) => s < length * 0.99);
  if (next === undefined) return r;
  if (r.to === "now") return { from: relative(next), to: "now" };
  const end = Math.min(now, (from + to) / 2 + next / 2);
  return { from: String(Math.round(end - next)), to: String(Math.round(end)) };
}

/** A length as a time before now: 900000 -> "now-15m". */
export function relative(length: number): string {
  const known = ranges.find(([from]) => parseDuration(from.slice(4)) === length);
  if (known) return known[0];
  for (const [unit, size] of [["d", day], ["h", hour], ["m", minute], ["s", second]] as const) {
    if (length >= size && length % size === 0) return `now-${length / size}${unit}`;
  }
  return `now-${Math.round(length)}ms`;
}

/** Seconds between refreshes that are offered, with their names. */
export const refreshes = [
  ["0", "off"],
  ["5", "5 s"],
  ["15", "15 s"],
  ["60", "1 min"],
] as const;

/** Milliseconds between refreshes, 0 for none. Below a second no server is asked. */
export function refreshMs(refresh: string): number {
  const s = Number(refresh);
  return Number.isFinite(s) && s >= 1 ? s * 1000 : 0;
}
