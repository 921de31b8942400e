// SPDX-License-Identifier: Apache-2.0
// The settings and figures of the server in words.

import type { Ages, StatusAnswer, StoreStatus } from "../../api/client";
import { title } from "../../model/types";
import { bytes } from "../../ui/format";

const units: [string, number][] = [
  ["day", 86400e3],
  ["hour", 3600e3],
  ["minute", 60e3],
  ["second", 1e3],
];

/** 604800000 -> "7 days"; 0 is for ever. */
export function age(ms: number): string {
  if (!ms) return "for ever";
  const [unit, size] = units.find(([, size]) => ms >= size && ms % size === 0) ?? units.find(([, size]) => ms >= size) ?? units[3]!;
  const n = Math.round((ms / size) * 10) / 10;
  return `${n.toLocaleString("en-US")} ${unit}${n === 1 ? "" : "s"}`;
}

const stay = (ms: number) => (ms ? `stay ${age(ms)}` : "stay for ever");

/** "Samples stay 7 days, sums per minute 30 days, and sums per hour 400 days." */
export function agesText(a: Ages): string {
  if (a.samples_ms === a.minutes_ms && a.minutes_ms === a.hours_ms) return `Samples and their sums ${stay(a.samples_ms)}.`;
  return `Samples ${stay(a.samples_ms)}, their sums per minute ${age(a.minutes_ms)}, and their sums per hour ${age(a.hours_ms)}.`;
}

/** Which data a rule is about. */
export function ruleText(rule: { project: string; type: string }): string {
  const what = rule.type ? title(rule.type) : "everything";
  return rule.project ? `${what} of the project ${rule.project}` : rule.type ? `${what} of all projects` : "everything";
}

export interface Part {
  name: string;
  bytes: number;
  hint: string;
}

const hints: Record<string, string> = {
  blocks: "samples and sums, packed",
  meta: "stacks, symbols, hosts",
  wal: "the log: what is not in a block yet",
  objects: "samples and sums in object storage",
};
const names: Record<string, string> = { blocks: "blocks", meta: "definitions", wal: "log", objects: "object storage" };

/** The parts of the store, the largest first, and their sum. What is in object storage takes no room on the disk. */
export function parts(s: Pick<StoreStatus, "bytes">): { list: Part[]; disk: number; all: number } {
  const list = Object.entries(s.bytes)
    .map(([name, n]) => ({ name: names[name] ?? name, bytes: n, hint: hints[name] ?? "" }))
    .sort((a, b) => b.bytes - a.bytes || a.name.localeCompare(b.name));
  const all = list.reduce((sum, p) => sum + p.bytes, 0);
  return { list, all, disk: all - (s.bytes.objects ?? 0) };
}

/** A rate per second of a sum over the last minute: "20.0 per second". */
export function rate(perMinute: number): string {
  const n = perMinute / 60;
  return `${n >= 100 ? Math.round(n).toLocaleString("en-US") : n >= 10 ? n.toFixed(1) : n > 0 && n < 0.005 ? "< 0.01" : n.toFixed(2)} per second`;
}

export interface Warning {
  text: string;
  /** What to do. */
  todo: string;
}

/** What somebody should look at. */
export function warnings(s: StatusAnswer & { incomplete?: string }): Warning[] {
  const out: Warning[] = [];
  const store = s.store;
  if (s.incomplete) out.push({ text: `Answers do not hold all that is stored yet: ${s.incomplete}.`, todo: "Nothing is lost; wait until the log has been read." });
  if (store?.read_only) {
    out.push({
      text: `The store takes no data: ${store.read_only}.`,
      todo: "Agents keep what they have, first in memory and then in their spools. Make room, or lower -retention-bytes; the server goes on by itself.",
    });
  }
  const free = store?.free_bytes;
  if (store && free !== undefined && !store.read_only && free < 1 << 30) {
    out.push({ text: `Only ${bytes(free)} are free on the disk of the store.`, todo: "Make room, or lower -retention-bytes." });
  }
  if (store?.strained) {
    out.push({ text: "Samples come faster than they can be merged, so fewer queries run at once.", todo: "Give the server more CPU or a faster disk, or sample less." });
  }
  const refused = s.ingest?.last_minute?.refused ?? 0;
  if (refused > 0) out.push({ text: `${refused.toLocaleString("en-US")} samples were refused within the last minute.`, todo: "The reasons are listed below." });
  return out;
}
