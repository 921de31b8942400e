// SPDX-License-Identifier: Apache-2.0
// What became of samples: sums, and whether they add up.

import type { AgentLedger, ServerReceipts } from "../../api/client";

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

const words = (names: Record<string, string>) => (name: string) => (Object.hasOwn(names, name) ? names[name]! : name.replaceAll("_", " "));
export const dropText = words(dropReasons);
export const refusalText = words(refusals);

/** Reasons with numbers, the largest first. */
export function byWeight(byReason: Record<string, number>): [string, number][] {
  return Object.entries(byReason)
    .filter(([, n]) => n > 0)
    .sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0]));
}
