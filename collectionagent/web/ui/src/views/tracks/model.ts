// SPDX-License-Identifier: Apache-2.0
// Tracks as the server answers them, with names, and with what a step stands for on the axis of time.

import type { TracksAnswer } from "../../api/client";
import { addMatcher } from "../../model/selector";

/** The functions of an answer, by number. */
export interface Functions {
  name: string[];
  file: string[];
  line: number[];
  binary: string[];
  kind: string[];
}

export interface Track {
  /** What tells the track apart, as state.track has it. */
  key: string;
  title: string;
  /** What else is known of it. */
  detail: string;
  labels: Record<string, string>;
  total: number;
  samples: number;
  cells: { step: number[]; stack: number[]; value: number[]; part: number[] };
}

/** The labels that tell tracks apart. */
export function identity(by: string): string[] {
  switch (by) {
    case "tid":
      return ["host_id", "pid", "tid"];
    case "pid":
      return ["host_id", "pid"];
    case "cpu":
      return ["host_id", "cpu"];
  }
  return [by];
}

/** The selector with the conditions that leave a track alone. */
export function only(query: string, by: string, key: string): string {
  const values = key.split("\t");
  return identity(by).reduce((q, label, i) => addMatcher(q, label, "=", values[i] ?? ""), query);
}

const joined = (parts: (string | undefined)[]) => parts.filter(Boolean).join(" · ");

/** How a track reads: what is looked for first. */
export function titleOf(by: string, l: Record<string, string>, hosts: number): { title: string; detail: string } {
  const host = hosts > 1 ? l.host || l.host_id : "";
  switch (by) {
    case "tid":
      return { title: l.comm || `thread ${l.tid}`, detail: joined([l.process === l.comm ? "" : l.process, l.tid, host]) };
    case "pid":
      return { title: l.process || `process ${l.pid}`, detail: joined([l.service === l.process ? "" : l.service, l.pid, host]) };
    case "cpu":
      return { title: l.cpu ? `CPU ${l.cpu}` : "(no CPU)", detail: host || "" };
  }
  return { title: l[by] || `(no ${by})`, detail: "" };
}

export class Tracks {
  readonly functions: Functions;
  readonly tracks: Track[];
  /** The frame of each stack: what was running. */
  readonly frameOf: number[];
  readonly stepMs: number;
  readonly startMs: number;
  readonly periodMs: number;
  /** What a bar that fills its row stands for: the value of a step. */
  readonly full: number;

  constructor(readonly answer: TracksAnswer) {
    const a = answer;
    const text = (column: number[]) => column.map((i) => a.strings[i] ?? "");
    this.functions = { name: text(a.frames.name), file: text(a.frames.file), line: a.frames.line, binary: text(a.frames.binary), kind: text(a.frames.kind) };
    this.frameOf = a.stacks.frame;
    this.stepMs = a.step_ms;
    this.startMs = a.start_ms;
    this.periodMs = (a.period_ns ?? 0) / 1e6;
    const ids = identity(a.by);
    const all = a.tracks.map((t) => ({ ...t, labels: Object.fromEntries(a.labels.map((name, i) => [name, t.values[i] ?? ""])) as Record<string, string> }));
    const hosts = new Set(all.map((t) => t.labels.host_id)).size;
    this.tracks = all.map((t) => ({
      key: ids.map((id) => t.labels[id] ?? "").join("\t"),
      ...titleOf(a.by, t.labels, hosts),
      labels: t.labels,
      total: t.total,
      samples: t.samples,
      cells: t.cells,
    }));
    this.full = this.fullOf();
  }

  /** Threads and CPUs are full when they are busy all the time, others when they are as busy as any ever was. */
  private fullOf(): number {
    const a = this.answer;
    const whole = Math.max(this.stepMs, this.periodMs) * 1e6;
    let most = 0;
    for (const t of this.tracks) for (const v of t.cells.value) if (v > most) most = v;
    if (a.unit !== "nanoseconds" || a.type === "mutex_delay" || a.type === "block_delay") return most || 1;
    return a.by === "tid" || a.by === "cpu" ? whole : Math.max(whole, most);
  }

  /** When a step began and ended; where samples stand for longer than a step, that long before. */
  from(step: number): number {
    return this.to(step) - Math.max(this.stepMs, this.periodMs);
  }
  to(step: number): number {
    return this.startMs + (step + 1) * this.stepMs;
  }

  /** The cell of a track at a time, -1 for none. */
  cellAt(track: Track, ms: number): number {
    const steps = track.cells.step;
    let lo = 0;
    let hi = steps.length;
    while (lo < hi) {
      const mid = (lo + hi) >> 1;
      if (this.to(steps[mid]!) <= ms) lo = mid + 1;
      else hi = mid;
    }
    return lo < steps.length && this.from(steps[lo]!) <= ms ? lo : -1;
  }

  /** From the first to the last step of a track, with some room; null when it has none. */
  extent(track: Track): { from: number; to: number } | null {
    const steps = track.cells.step;
    if (!steps.length) return null;
    const from = this.from(steps[0]!);
    const to = this.to(steps[steps.length - 1]!);
    const room = (to - from) * 0.02;
    return { from: from - room, to: to + room };
  }

  find(key: string): number {
    return this.tracks.findIndex((t) => t.key === key);
  }
}
