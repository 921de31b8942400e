// SPDX-License-Identifier: Apache-2.0
// What became of samples: sums, and whether they add up.

import type { AgentHost, AgentLedger, HostLedger, HostsAnswer, LedgerAnswer, ServerReceipts } from "../../api/client";

/** One term of an equation. */
export interface Term {
  name: string;
  value: number;
  hint: string;
}

export interface Equation {
  whole: Term;
  parts: Term[];
  /** By how much the parts are more than the whole; 0 when it adds up. */
  off: number;
}

function equation(whole: Term, parts: Term[]): Equation {
  return { whole, parts, off: parts.reduce((sum, p) => sum + p.value, 0) - whole.value };
}

export const total = (byReason: Record<string, number>) => Object.values(byReason).reduce((a, b) => a + b, 0);

/** captured = stored + queued + spooled + dropped. */
export function agentEquation(l: AgentLedger): Equation {
  return equation({ name: "captured", value: l.captured, hint: "samples that agents took, and that they found in their spools" }, [
    { name: "stored", value: l.stored, hint: "acknowledged by the server, on its disk" },
    { name: "queued", value: l.queued, hint: "in the memory of agents, to be sent" },
    { name: "spooled", value: l.spooled, hint: "on the disks of agents, to be sent" },
    { name: "dropped", value: total(l.dropped), hint: "lost for good" },
  ]);
}

/** received = stored + sent again + refused. */
export function serverEquation(r: ServerReceipts): Equation {
  return equation({ name: "received", value: r.received, hint: "samples in all requests since the server started" }, [
    { name: "stored", value: r.stored, hint: "on disk" },
    { name: "sent again", value: r.duplicate, hint: "in batches that were stored before; not stored twice" },
    { name: "refused", value: total(r.refused), hint: "not stored; the agent keeps or counts them" },
  ]);
}

/** What the reasons mean that agents and the server give. Others are shown as they are. */
const dropReasons: Record<string, string> = {
  overflow: "no room left in memory",
  spool_evicted: "no room left in the spool",
  spool_corrupt: "damaged in the spool",
  too_old: "captured longer ago than the server takes",
  in_future: "captured ahead of the server's clock",
  too_large: "larger than the server takes",
  rejected: "not valid to the server",
  server_error: "the server failed on them again and again",
  partial_success: "not taken by the backend",
  invalid: "without a stack or a process",
  encoding: "could not be written as a message",
  shutdown: "not sent before the agent had to stop",
  closed: "captured after the agent had stopped",
};
const refusals: Record<string, string> = {
  too_old: "captured longer ago than the server takes",
  in_future: "captured ahead of the server's clock",
  limited: "over a limit of the project or host; they come again",
  busy: "the server was busy; they come again",
  in_flight: "sent twice at once; they come again",
  read_only: "the store took no data; they come again",
  error: "the store failed; they come again",
  canceled: "the agent did not wait for the answer",
  invalid: "not valid",
};

const words = (names: Record<string, string>) => (name: string) => names[name] ?? name.replaceAll("_", " ");
export const dropText = words(dropReasons);
export const refusalText = words(refusals);

/** Reasons with numbers, the largest first. */
export function byWeight(byReason: Record<string, number>): [string, number][] {
  return Object.entries(byReason)
    .filter(([, n]) => n > 0)
    .sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0]));
}

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

export type HostKey = "attention" | "host" | "state" | "age" | "captured" | "stored" | "queued" | "spooled" | "dropped" | "spool" | "version" | "off";

const share = (h: HostRow) => (h.spool?.max_bytes ? h.spool.bytes / h.spool.max_bytes : -1);

/** Sorts and filters; "attention" is the order of the server. */
export function sortHosts(rows: HostRow[], key: HostKey, descending: boolean, filter: string, now: number): HostRow[] {
  const text = filter.trim().toLowerCase();
  const shown = rows.filter(
    (h) =>
      !text ||
      [h.host, h.host_id, h.agent_version, condition(h, now).text, h.last_error, ...(h.about?.limitations ?? []).map((l) => l.name)].some((t) =>
        t.toLowerCase().includes(text),
      ),
  );
  if (key === "attention") return shown;
  const value = (h: HostRow): number | string => {
    switch (key) {
      case "host":
        return h.host;
      case "state":
        return condition(h, now).text;
      case "version":
        return h.agent_version;
      case "age":
        return h.reported_ms ? now - h.reported_ms : Infinity;
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
  const compare = (a: number | string, b: number | string) => (typeof a === "string" ? a.localeCompare(b as string) : a === b ? 0 : a < (b as number) ? -1 : 1);
  return shown.sort((a, b) => compare(value(a), value(b)) * (descending ? -1 : 1) || a.host.localeCompare(b.host));
}
