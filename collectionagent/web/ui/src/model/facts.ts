// SPDX-License-Identifier: Apache-2.0
// What must be said of a profile so that nobody takes it for more than it is.

import type { Coverage } from "../api/client";
import { amount, count, dateTime, duration, many, percent } from "../ui/format";
import { goneBefore, source } from "./coverage";
import { title } from "./types";

export interface About {
  type: string;
  unit: string;
  fromMs: number;
  toMs: number;
  total: number;
  samples: number;
  snapshot: boolean;
  /** null for a file. */
  coverage: Coverage | null;
  /** null where stacks were not looked at. */
  symbolized: number | null;
  unknownStacks: number;
  hidden: { nodes: number; value: number };
  /** The name of the file, "" for the server's data. */
  file: string;
  /** Samples that agents dropped in the range; null: not known. */
  lost: { samples: number; hosts: number } | null;
  /** How far the server is with its log, "" when it has all. */
  incomplete: string;
  /** Most nodes that were asked for. */
  maxNodes: number;
}

export interface Fact {
  id: string;
  text: string;
  /** More about it, for who points to it. */
  more?: string;
  /** Something is missing. */
  warn?: boolean;
  /** What can be done about it. */
  act?: "nodes" | "status";
}

/** Nodes that do well on a screen, and the most that the page asks for. */
export const usualNodes = 60_000;
export const mostNodes = 500_000;

/** How many nodes to ask for next when some are hidden. */
export const moreNodes = (now: number) => Math.min(mostNodes, now < 200_000 ? 200_000 : mostNodes);

/** The number of nodes of the URL, within the bounds. */
export function nodesOf(text: string): number {
  const n = Number(text);
  return text !== "" && Number.isInteger(n) && n > 0 ? Math.min(n, mostNodes) : usualNodes;
}

/** What is to be said, the most important first. */
export function facts(a: About): Fact[] {
  const list: Fact[] = [];
  const range = a.toMs - a.fromMs;
  if (a.toMs > 0) list.push({ id: "range", text: `${dateTime(a.fromMs)} – ${endOf(a.fromMs, a.toMs)} (${duration(range)})` });
  if (a.coverage && a.samples > 0) {
    const covered = Math.min(a.coverage.to_ms, a.toMs) - Math.max(a.coverage.from_ms, a.fromMs);
    if (covered < 0.9 * range) {
      list.push({
        id: "covered",
        text: `data for ${duration(Math.max(0, covered))} of it`,
        more: `The first and the last that was found are of ${dateTime(a.coverage.from_ms)} and ${dateTime(a.coverage.to_ms)}`,
      });
    }
  }
  list.push({ id: "samples", text: `${count(a.samples)} samples, ${title(a.type)} ${amount(a.total, a.unit)}` });
  if (a.snapshot) {
    list.push({ id: "snapshot", text: "sum of all snapshots", more: "Values are a level at a time; here they are added up. Choose a range with one snapshot to see it as it was" });
  }
  if (a.coverage) {
    const rolled = a.coverage.resolution_ms > 1;
    list.push({
      id: "source",
      text: source(a.coverage),
      more: rolled ? "The server keeps no samples of a part of this time any more, only sums" : "The coarsest data that this is made from",
    });
  }
  if (a.lost && a.lost.samples > 0) {
    list.push({
      id: "lost",
      text: `up to ${count(a.lost.samples)} samples lost`,
      more: `${many(a.lost.hosts, "host")} dropped samples around this time; the status says why`,
      warn: true,
      act: "status",
    });
  } else if (a.lost) {
    list.push({ id: "lost", text: "no samples lost", act: "status", more: "By the accounts that agents keep of every sample" });
  } else if (!a.file) {
    list.push({ id: "lost", text: "lost samples: not known", act: "status" });
  }
  if (a.symbolized !== null && a.samples > 0) list.push({ id: "symbolized", text: `${percent(a.symbolized, 1)} of frames named`, more: "The share of levels with a name, by value" });
  if (a.unknownStacks > 0) {
    list.push({ id: "unknown", text: `${percent(a.unknownStacks, a.total)} in stacks that have not arrived`, more: "They are shown as [unknown stack]", warn: true });
  }
  if (a.hidden.nodes > 0) {
    list.push({
      id: "hidden",
      text: `${count(a.hidden.nodes)} small nodes (${percent(a.hidden.value, a.total)}) in “(other)”`,
      more: a.maxNodes < mostNodes ? "Ask the server for more of them" : "The page asks for no more than these",
      act: a.maxNodes < mostNodes ? "nodes" : undefined,
    });
  }
  return list;
}

/** What is not there although it was asked for, to be said beside the profile itself. */
export function gaps(a: About, timeline: Coverage | null): string[] {
  const list: string[] = [];
  if (a.incomplete) list.push(`Not all is here yet: the server is ${a.incomplete}.`);
  const profile = a.coverage ? goneBefore(a.fromMs, a.toMs, a.coverage) : 0;
  const ofTimeline = timeline ? goneBefore(a.fromMs, a.toMs, timeline) : 0;
  if (profile + ofTimeline > 0) {
    const where = profile === 0 ? "in the timeline" : ofTimeline === 0 ? "in the profile" : "here";
    list.push(`Nothing ${where} is from before ${dateTime(Math.max(profile, ofTimeline))}: the server no longer has what that needs.`);
  }
  return list;
}

/** The end of a range, without the day when that is the one of its start. */
function endOf(from: number, to: number): string {
  const text = dateTime(to);
  return dateTime(from).slice(0, 10) === text.slice(0, 10) ? text.slice(11) : text;
}

/** A range in the least words: 10:00:00 – 10:15:00, with the day where it is not today. */
export function rangeText(from: number, to: number, now: number): string {
  const start = dateTime(from);
  const end = dateTime(to);
  const today = dateTime(now).slice(0, 10);
  const short = (t: string) => (t.slice(0, 10) === today ? t.slice(11) : t.slice(0, 4) === today.slice(0, 4) ? t.slice(5) : t);
  return start.slice(0, 10) === end.slice(0, 10) ? `${short(start)} – ${end.slice(11)}` : `${short(start)} – ${short(end)}`;
}
