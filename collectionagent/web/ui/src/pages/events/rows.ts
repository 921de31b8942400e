// SPDX-License-Identifier: Apache-2.0
// The events as the page lists them.

import type { HostEvent, TimelineAnswer } from "../../api/client";
import { selector } from "../links";

/** What tells an event from the others, for the URL. */
export const eventId = (e: HostEvent): string => `${e.time_ms}-${e.host_id || e.host}-${e.stack}-${e.labels.pid ?? ""}-${e.labels.tid ?? ""}`;

/** Gives each event an ID of its own: two of one moment may be alike. */
export function withIds(list: readonly HostEvent[]): { id: string; event: HostEvent }[] {
  const seen = new Map<string, number>();
  return list.map((event) => {
    const base = eventId(event);
    const n = seen.get(base) ?? 0;
    seen.set(base, n + 1);
    return { id: n ? `${base}-${n}` : base, event };
  });
}

/** Labels that have columns of their own, or that say the same as those. */
const own = new Set(["host", "host_id", "event.name", "event.title"]);

export const otherLabels = (e: HostEvent): [string, string][] =>
  Object.entries(e.labels)
    .filter(([name]) => !own.has(name))
    .sort(([a], [b]) => a.localeCompare(b));

/** Events that have every word of a filter in what is shown of them. */
export function findEvents<T extends { event: HostEvent }>(rows: readonly T[], filter: string): T[] {
  const words = filter.trim().toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) return [...rows];
  return rows.filter(({ event: e }) => {
    const text = [`kind=${e.kind}`, e.title, `host=${e.host}`, ...Object.entries(e.labels).map(([k, v]) => `${k}=${v}`)].join("\n").toLowerCase();
    return words.every((w) => text.includes(w));
  });
}

/** The kinds that there are most of, with how many events there are. */
export function kinds(rows: readonly { event: HostEvent }[], most: number): [kind: string, events: number][] {
  const counts = new Map<string, number>();
  for (const { event: e } of rows) if (e.kind) counts.set(e.kind, (counts.get(e.kind) ?? 0) + e.value);
  return [...counts].sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0])).slice(0, most);
}

/** A word for the filter that selects a kind; a filter is split at spaces. */
export const kindWord = (kind: string): string => `kind=${kind.split(/\s/)[0]}`;

export const keys = ["time", "host", "kind", "title", "count"] as const;
export type Key = (typeof keys)[number];

export function sortEvents<T extends { event: HostEvent }>(rows: readonly T[], key: Key | "", descending: boolean): T[] {
  if (!key) return [...rows];
  const value = ({ event: e }: T): number | string => ({ time: e.time_ms, host: e.host, kind: e.kind, title: e.title, count: e.value })[key];
  const compare = (a: number | string, b: number | string) => (typeof a === "string" ? a.localeCompare(b as string) : a - (b as number));
  return [...rows].sort((a, b) => compare(value(a), value(b)) * (descending ? -1 : 1) || b.event.time_ms - a.event.time_ms);
}

/** How long before and after an event its profile goes. */
export const aroundMs = 30_000;

/** What ran on the host around an event. */
export function around(e: HostEvent): { type: string; query: string; from: string; to: string } {
  return {
    type: "on_cpu",
    query: e.host ? selector(["host", e.host]) : e.host_id ? selector(["host_id", e.host_id]) : "",
    from: String(e.time_ms - aroundMs),
    to: String(e.time_ms + aroundMs),
  };
}

/** The stacks of the events of one moment and place. */
export function stacks(e: HostEvent): { type: string; query: string; from: string; to: string } {
  const labels = ["host_id", "event.name", "service", "pid", "tid"].filter((name) => e.labels[name]);
  return {
    type: "event",
    query: selector(...labels.map((name): [string, string] => [name, e.labels[name]!])),
    from: String(e.time_ms),
    to: String(e.time_ms + 1),
  };
}

/** How many events there are in each step, all series together. */
export function histogram(t: TimelineAnswer): number[] {
  const series = t.series ?? [];
  const out = new Array<number>(Math.max(0, ...series.map((s) => s.values.length))).fill(0);
  for (const s of series) s.values.forEach((v, i) => (out[i]! += v));
  return out;
}
