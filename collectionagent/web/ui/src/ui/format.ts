// SPDX-License-Identifier: Apache-2.0

/** 1234567 -> "1.23 M", for counts. */
export function count(n: number): string {
  for (const [unit, size] of [["G", 1e9], ["M", 1e6], ["k", 1e3]] as const) {
    if (n >= size) return `${significant(n / size)} ${unit}`;
  }
  return String(Math.round(n));
}

/** 1234567 -> "1,234,567", for numbers that are to be added up. */
export const exact = (n: number) => n.toLocaleString("en-US");

/** 1 -> "1 host", 2 -> "2 hosts". */
export const many = (n: number, thing: string) => `${exact(n)} ${thing}${n === 1 ? "" : "s"}`;

/** A size in bytes: 1536 -> "1.50 KiB". */
export function bytes(n: number): string {
  for (const [unit, size] of [["TiB", 2 ** 40], ["GiB", 2 ** 30], ["MiB", 2 ** 20], ["KiB", 2 ** 10]] as const) {
    if (n >= size) return `${significant(n / size)} ${unit}`;
  }
  return `${n} B`;
}

function significant(n: number): string {
  return n >= 100 ? n.toFixed(0) : n >= 10 ? n.toFixed(1) : n.toFixed(2);
}

/** A value in the unit of its profile: time in s, ms …, bytes, or a count. */
export function amount(n: number, unit: string): string {
  if (unit === "bytes") return bytes(n);
  if (unit !== "nanoseconds") return count(n);
  if (n >= 3600e9) return `${significant(n / 3600e9)} h`;
  if (n >= 60e9) return `${significant(n / 60e9)} min`;
  if (n >= 1e9) return `${significant(n / 1e9)} s`;
  if (n >= 1e6) return `${significant(n / 1e6)} ms`;
  if (n >= 1e3) return `${significant(n / 1e3)} µs`;
  return `${n} ns`;
}

export function percent(part: number, whole: number): string {
  if (!whole) return "0 %";
  const p = (100 * part) / whole;
  return `${p >= 99.95 ? "100" : p >= 10 ? p.toFixed(1) : p.toFixed(2)} %`;
}

const pad = (n: number) => String(n).padStart(2, "0");

export function clock(ms: number, seconds = true): string {
  const d = new Date(ms);
  return `${pad(d.getHours())}:${pad(d.getMinutes())}${seconds ? `:${pad(d.getSeconds())}` : ""}`;
}

export function dateTime(ms: number): string {
  const d = new Date(ms);
  return `${d.getFullYear()}-${pad(d.getMonth() + 1)}-${pad(d.getDate())} ${clock(ms)}`;
}

/** A time as it reads best on an axis that spans so many ms. */
export function mark(ms: number, span: number): string {
  if (span < 2 * 86400e3) return clock(ms, span < 7200e3);
  const day = dateTime(ms).slice(0, 10);
  return span < 8 * 86400e3 ? `${day.slice(5)} ${clock(ms, false)}` : day;
}

export function duration(ms: number): string {
  const s = Math.round(ms / 1000);
  if (s < 120) return `${s} s`;
  if (s < 7200) return `${Math.round(s / 60)} min`;
  if (s < 172800) return `${significant(s / 3600)} h`;
  return `${significant(s / 86400)} d`;
}
