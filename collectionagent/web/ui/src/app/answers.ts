// SPDX-License-Identifier: Apache-2.0
// What Explore asks the server, and the last answers, which stay until new ones are there.

import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import * as api from "../api/client";
import { Tree } from "../model/tree";
import type { Level } from "../state/state";
import { repeat, type Repeated } from "../api/repeat";

export interface Question {
  project: string;
  /** type, query, from, to. */
  params: api.Params;
  group: string;
  level: Level;
  maxNodes: number;
  /** The view shows stacks: it needs the tree. */
  tree: boolean;
  by: string;
  /** What the timeline spans, which is more than the selection while something is compared. */
  window: { from: string; to: string };
}

export interface Answers {
  /** null while no view has asked for stacks. */
  flame: { answer: api.FlameAnswer; tree: Tree } | null;
  timeline: api.TimelineAnswer;
  /** Events over time, null where there are none. */
  events: api.TimelineAnswer | null;
  lost: api.LedgerAnswer["lost"] | null;
  /** Why not all that is stored is in it yet, "" when it is. */
  incomplete: string;
  maxNodes: number;
  /** The server does not know the level that was asked for. */
  noLines: boolean;
}

export interface Asked {
  answers: Answers | null;
  types: string[];
  error: api.QueryError | null;
  loading: boolean;
  /** Grows with each answer. */
  generation: number;
  /** Asks again now. */
  again(): void;
}

const topSeries = "8";
/** Answers that "back" shows at once, while they are asked for again. */
const keptAnswers = 6;

export function useAnswers(q: Question, interval: number, enabled: boolean): Asked {
  const [answers, setAnswers] = useState<Answers | null>(null);
  const [types, setTypes] = useState<string[]>([]);
  const [error, setError] = useState<api.QueryError | null>(null);
  const [settled, setSettled] = useState(""); // the question that the last round was about
  const [generation, setGeneration] = useState(0);
  const [turn, setTurn] = useState(0);
  const kept = useRef(new Map<string, Answers>());
  const shownProject = useRef(q.project);
  const hasEvents = useRef(false);
  const question = JSON.stringify(q);
  const asking = useRef<Repeated | null>(null);

  useEffect(() => {
    if (!enabled) return;
    if (shownProject.current !== q.project) {
      // What is shown belongs to somebody else.
      shownProject.current = q.project;
      kept.current.clear();
      setAnswers(null);
      setTypes([]);
    }
    const known = kept.current.get(question);
    if (known) setAnswers(known);
    setSettled("");
    asking.current = repeat(async (signal) => {
      try {
        const [next, found] = await Promise.all([
          ask(q, signal, hasEvents.current, (timeline) => {
            // A profile of much data takes its time: when nothing is there yet, the timeline is not kept waiting for it.
            if (!signal.aborted && timeline.samples) setAnswers((old) => old ?? { flame: null, timeline, events: null, lost: null, incomplete: timeline.incomplete ?? "", maxNodes: q.maxNodes, noLines: false });
          }),
          // The profile is worth showing without.
          api.types(q.window, signal).catch(() => null),
        ]);
        if (signal.aborted) return;
        if (found) {
          const names = (found.types ?? []).map((t) => t.type);
          setTypes((old) => (old.join() === names.join() ? old : names));
          const events = names.includes("event");
          if (events !== hasEvents.current) {
            hasEvents.current = events;
            if (events) next.events = await api.timeline({ ...q.params, ...q.window, type: "event", by: "comm", limit: "5", step: `${next.timeline.step_ms}ms` }, signal).catch(() => null);
            if (signal.aborted) return;
          }
        }
        setAnswers(next);
        kept.current.delete(question);
        kept.current.set(question, next);
        if (kept.current.size > keptAnswers) kept.current.delete(kept.current.keys().next().value!);
        setGeneration((g) => g + 1);
        setError(null);
      } catch (e) {
        if (signal.aborted) return;
        setError(e instanceof api.QueryError ? e : new api.QueryError(`the server cannot be reached: ${(e as Error).message}`));
      }
      setSettled(question);
    }, interval);
    return () => asking.current!.stop();
  }, [question, enabled, turn]);
  // Not with the above: to pause keeps what is shown, it does not ask for something newer.
  useEffect(() => asking.current?.every(interval), [interval]);

  // What is shown is old from the moment that something else is asked for, not only from the effect above on.
  return { answers, types, error, loading: enabled && settled !== question, generation, again: useCallback(() => setTurn((t) => t + 1), []) };
}

async function ask(q: Question, signal: AbortSignal, events: boolean, onTimeline: (a: Awaited<ReturnType<typeof api.timeline>>) => void): Promise<Answers> {
  const stacks = { ...q.params, group_by: q.group, max_nodes: String(q.maxNodes) };
  let noLines = false;
  const flame = async () => {
    if (!q.tree) return null;
    if (q.level !== "line") return api.flamegraph(stacks, signal);
    try {
      return await api.flamegraph({ ...stacks, level: "line" }, signal);
    } catch (e) {
      if (!(e instanceof api.QueryError) || e.parameter !== "level") throw e;
      noLines = true;
      return api.flamegraph(stacks, signal);
    }
  };
  const [tree, timeline, marks, ledger] = await Promise.all([
    flame(),
    api.timeline({ ...q.params, ...q.window, by: q.by, limit: topSeries }, signal).then((a) => (onTimeline(a), a)),
    events ? api.timeline({ ...q.params, ...q.window, type: "event", by: "comm", limit: "5" }, signal).catch(() => null) : null,
    // The profile is worth showing without.
    api.ledger({ from: q.params.from!, to: q.params.to!, limit: "0" }, signal).catch(() => null),
  ]);
  return {
    flame: tree && { answer: tree, tree: Tree.fromAnswer(tree) },
    timeline,
    events: marks?.total ? marks : null,
    lost: ledger?.lost ?? null,
    incomplete: tree?.incomplete ?? timeline.incomplete ?? "",
    maxNodes: q.maxNodes,
    noLines,
  };
}
