// SPDX-License-Identifier: Apache-2.0
// The hosts as the page lists them.

import type { AgentHost, HostLedger, HostsAnswer, LedgerAnswer } from "../../api/client";
import { total } from "../status/ledger";

/** A host with all that is known of it. */
export interface HostRow extends HostLedger {
  about: AgentHost | null;
}

export function join(ledger: LedgerAnswer, hosts: HostsAnswer): HostRow[] {
  const about = new Map(hosts.hosts.map((h) => [h.id, h]));
  return ledger.hosts.map((h) => ({ ...h, about: about.get(h.host_id) ?? null }));
}

/** How long an agent may be silent before the page says so; it reports every 10 s or so. */
export const silentMs = 60_000;

export type Mark = "good" | "waiting" | "bad" | "none";

export interface Condition {
  text: string;
  /** Shapes differ as well as colours, for those who cannot tell those apart. */
  sign: string;
  mark: Mark;
}

const conditions: Record<string, [string, Mark]> = {
  connected: ["●", "good"],
  starting: ["○", "waiting"],
  overloaded: ["▲", "waiting"],
  disconnected: ["◆", "bad"],
  refused: ["✕", "bad"],
  stopped: ["■", "none"],
  unknown: ["?", "none"],
};

/** The state of a host's agent in a word and a sign. */
export function condition(h: Pick<HostLedger, "state" | "reported_ms">, now: number): Condition {
  if (h.reported_ms && h.state !== "stopped" && now - h.reported_ms >= silentMs) return { text: `silent (${h.state})`, sign: "◌", mark: "bad" };
  const [sign, mark] = conditions[h.state] ?? ["○", "waiting"];
  return { text: h.state, sign, mark };
}

export const hostKeys = ["host", "state", "age", "captured", "stored", "queued", "spooled", "dropped", "spool", "version", "kernel", "clock", "off"] as const;
export type HostKey = "attention" | (typeof hostKeys)[number];

const share = (h: HostRow) => (h.spool?.max_bytes ? h.spool.bytes / h.spool.max_bytes : -1);

/** When the host was last heard of in ms, 0: never. */
export const lastSeen = (h: HostRow): number => Math.max(h.reported_ms, h.about?.last_seen_ms ?? 0);

/** A word for the filter that selects hosts of exactly one condition. */
export const stateWord = (c: Condition): string => `is:${c.text.replace(/[^a-z0-9]+/gi, "-").replace(/-$/, "")}`;

/** What the filter looks at. */
const texts = (h: HostRow, now: number): string[] => [
  h.host,
  h.host_id,
  h.agent_version,
  condition(h, now).text,
  h.last_error,
  h.about?.kernel ?? "",
  ...(h.about?.limitations ?? []).map((l) => l.name),
  ...Object.values(h.about?.metadata ?? {}),
];

/** Sorts and filters; "attention" is the order of the server. Every word of the filter must be found. */
export function sortHosts(rows: HostRow[], key: HostKey, descending: boolean, filter: string, now: number): HostRow[] {
  const words = filter.trim().toLowerCase().split(/\s+/).filter(Boolean);
  const shown = rows.filter((h) => {
    if (!words.length) return true;
    const found = texts(h, now).map((t) => t.toLowerCase());
    return words.every((w) => (w.startsWith("is:") ? w === stateWord(condition(h, now)).toLowerCase() : found.some((t) => t.includes(w))));
  });
  if (key === "attention") return shown;
  const value = (h: HostRow): number | string => {
    switch (key) {
      case "host":
        return h.host;
      case "state":
        return condition(h, now).text;
      case "version":
        return h.agent_version;
      case "kernel":
        return h.about?.kernel ?? "";
      case "age":
        return lastSeen(h) ? now - lastSeen(h) : Infinity;
      case "clock":
        return Math.abs(h.about?.clock_offset_ms ?? 0);
      case "spool":
        return share(h);
      case "off":
        return h.about?.limitations.length ?? 0;
      case "dropped":
        return h.agent ? total(h.agent.dropped) : -1;
      default:
        return h.agent ? h.agent[key] : -1;
    }
  };
  const compare = (a: number | string, b: number | string) =>
    typeof a === "string" ? a.localeCompare(b as string, undefined, { numeric: true }) : a === b ? 0 : a < (b as number) ? -1 : 1;
  return shown.sort((a, b) => compare(value(a), value(b)) * (descending ? -1 : 1) || a.host.localeCompare(b.host));
}

/** How many hosts are in each state, those that need attention first. */
export function byState(rows: HostRow[], now: number): { state: Condition; hosts: number }[] {
  const counts = new Map<string, { state: Condition; hosts: number }>();
  for (const h of rows) {
    const state = condition(h, now);
    const entry = counts.get(state.text) ?? { state, hosts: 0 };
    entry.hosts++;
    counts.set(state.text, entry);
  }
  const urgency: Mark[] = ["bad", "waiting", "none", "good"];
  return [...counts.values()].sort((a, b) => urgency.indexOf(a.state.mark) - urgency.indexOf(b.state.mark) || b.hosts - a.hosts);
}

/** The condition that selects what a host sent: by name, where no other host has the same. */
export function hostMatcher(h: Pick<HostRow, "host" | "host_id">, rows: readonly Pick<HostRow, "host" | "host_id">[]): [label: string, value: string] {
  const alone = h.host && h.host !== h.host_id && rows.every((o) => o.host !== h.host || o.host_id === h.host_id);
  return alone ? ["host", h.host] : ["host_id", h.host_id];
}
