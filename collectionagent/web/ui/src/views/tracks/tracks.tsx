// SPDX-License-Identifier: Apache-2.0
// Threads, CPUs and the like in the order of time, and the stacks of one of them.

import "./tracks.css";
import { useLayoutEffect, useMemo, useState } from "preact/hooks";
import * as api from "../../api/client";
import type { Expression } from "../../model/regexp";
import { pattern } from "../../model/tree";
import { amount, dateTime, many, percent } from "../../ui/format";
import { type Span, lengthText, spanText } from "../../ui/times";
import { useAsk } from "../ask";
import { FrameMenu } from "../menu/menu";
import type { ViewProps } from "../view";
import { boxesOf, request } from "./boxes";
import { Chart } from "./chart";
import { only, Tracks as Set } from "./model";
import { Overview } from "./overview";

const mostTracks = 200;
const usual: [string, string][] = [
  ["tid", "Threads"],
  ["cpu", "CPUs"],
  ["pid", "Processes"],
  ["service", "Services"],
  ["host", "Hosts"],
  ["pod", "Pods"],
  ["comm", "Names of threads"],
];

export function Tracks(view: ViewProps) {
  const { params, generation, state, change, theme, profile, announce } = view;
  const by = state.trackby;
  const question = useMemo(() => ({ ...params, by, limit: String(mostTracks), max_nodes: "20000" }), [JSON.stringify(params), by]);
  const { answer, error, waiting } = useAsk(JSON.stringify(question), generation, (signal) => api.tracks(question, signal));
  const tracks = useMemo(() => answer && new Set(answer), [answer]);
  const names = useAsk(JSON.stringify(params), 0, (signal) => api.labels({ type: params.type ?? "", query: params.query ?? "", from: params.from ?? "", to: params.to ?? "" }, signal));
  const known = useMemo(() => {
    const list = (names.answer?.labels ?? []).map((l) => l.name);
    const more = list.filter((l) => !usual.some(([name]) => name === l) && l !== "host_id");
    return [...usual.filter(([name]) => name === "cpu" || name === by || !list.length || list.includes(name)), ...more.map((l) => [l, l] as [string, string])];
  }, [names.answer, by]);

  const [span, setSpan] = useState<Span | null>(null);
  useLayoutEffect(() => setSpan(null), [params.from, params.to]);
  const re = useMemo(() => pattern(state.search).re, [state.search]);
  const whole: Span = answer ? { from: answer.from_ms, to: answer.to_ms } : { from: profile.fromMs, to: profile.toMs };
  // A range that moves on takes what is shown of it along only where it leaves it.
  const shown = clip(span, whole) ?? whole;
  const open = tracks && answer!.by === by ? tracks.find(state.track) : -1;

  const narrow = (flame: boolean) => {
    const s = span ?? whole;
    change({ from: String(Math.floor(s.from)), to: String(Math.ceil(s.to)), ...(flame ? { view: "flame" as const } : {}) });
    announce(`Narrowed to ${spanText(s)}.`);
  };
  const unlabelled = by === "cpu" && tracks && tracks.tracks.length > 0 && tracks.tracks.every((t) => !t.labels.cpu);
  return (
    <div class="tracks" data-view="tracks" data-by={by} data-tracks={tracks?.tracks.length ?? 0} data-total={answer?.total ?? 0} data-waiting={waiting} data-open={open >= 0 ? tracks!.tracks[open]!.title : ""}>
      <div class="tracks-head">
        <label>
          Tracks{" "}
          <select aria-label="Tracks by" value={by} onChange={(e) => change({ trackby: e.currentTarget.value, track: "" })}>
            {known.map(([name, text]) => (
              <option key={name} value={name}>
                {text}
              </option>
            ))}
          </select>
        </label>
        {tracks && (
          <span class="faded">
            {many(tracks.tracks.length, "track")}, a step is {lengthText({ from: 0, to: tracks.stepMs })}, a full bar is {tracks.fullText}
            {answer!.hidden.tracks > 0 && `; ${many(answer!.hidden.tracks, "smaller one")} (${percent(answer!.hidden.value, answer!.total)}) not shown`}
          </span>
        )}
        <span class="spacer" />
        {span ? (
          <>
            <b>{spanText(shown)}</b>
            <span class="faded">{lengthText(shown)}</span>
            <button type="button" class="on" onClick={() => narrow(false)}>
              Narrow to it
            </button>
            <button type="button" onClick={() => narrow(true)}>
              Flame graph
            </button>
            <button type="button" onClick={() => setSpan(null)}>
              Whole range
            </button>
          </>
        ) : (
          <span class="faded tracks-hint">Drag over the bars to select time; click a track to see its stacks.</span>
        )}
      </div>
      {error && (
        <div class="alert" role="alert">
          {error}
        </div>
      )}
      {answer && answer.coverage.horizon_ms > answer.from_ms && <p class="warning">What is older than {dateTime(answer.coverage.horizon_ms)} is not in this picture: samples that old are gone, only sums are left.</p>}
      {unlabelled ? (
        <div class="note tracks-none">
          <h2>Samples carry no CPU</h2>
          <p>Start the agents with -label-cpus to label samples with the number of the CPU that they were taken on. It makes more data, so it is off by default.</p>
          <pre>agent -label-cpus</pre>
        </div>
      ) : (
        tracks &&
        (tracks.tracks.length ? (
          <Overview
            tracks={tracks}
            whole={whole}
            span={span && shown}
            open={open >= 0 ? state.track : ""}
            theme={theme}
            search={re}
            onSpan={setSpan}
            onOpen={(key) => change({ track: key }, state.track !== "" && key !== "")}
            announce={announce}
          />
        ) : (
          <p class="note">No samples in this selection.</p>
        ))
      )}
      {tracks && open >= 0 && !unlabelled && <Opened view={view} by={by} track={state.track} title={tracks.tracks[open]!.title} detail={tracks.tracks[open]!.detail} total={tracks.tracks[open]!.total} span={span ? shown : (clip(tracks.extent(tracks.tracks[open]!), whole) ?? whole)} whole={whole} search={re} onSpan={setSpan} />}
      {!tracks && !error && <p class="note">Asking…</p>}
    </div>
  );
}

/** What of a span is within the whole, null for nothing. */
const clip = (s: Span | null, whole: Span): Span | null => (s && s.to > whole.from && s.from < whole.to ? { from: Math.max(s.from, whole.from), to: Math.min(s.to, whole.to) } : null);

interface OpenedProps {
  view: ViewProps;
  by: string;
  track: string;
  title: string;
  detail: string;
  total: number;
  span: Span;
  whole: Span;
  search: Expression | null;
  onSpan(s: Span | null): void;
}

/** The stacks of a track: asked for as closely as they can be seen. */
function Opened({ view, by, track, title, detail, total, span, whole, search, onSpan }: OpenedProps) {
  const { params, state, change, theme, profile, announce } = view;
  const [menu, setMenu] = useState<{ frame: number; x: number; y: number } | null>(null);
  const r = request(span.from, span.to, whole.from, whole.to);
  const query = only(params.query ?? "", by, track);
  const question = { ...params, query, from: String(r.from), to: String(r.to), by, limit: "1", step: `${r.step}ms`, max_nodes: "100000" };
  const { answer, error, waiting } = useAsk(JSON.stringify(question), 0, (signal) => api.tracks(question, signal), 80);
  const tracks = useMemo(() => answer && new Set(answer), [answer]);
  const boxes = useMemo(() => tracks && boxesOf(tracks), [tracks]);
  const frames = useMemo(() => new Map(profile.tree.frames.name.map((name, i) => [name, i])), [profile.tree]);
  return (
    <section class="tracks-open" aria-label={`Stacks of ${title}`} data-waiting={waiting} data-step={r.step}>
      <div class="tracks-head">
        <b>{title}</b> <span class="faded">{detail}</span>
        <span class="faded">
          {amount(total, profile.unit)} in all
          {answer && answer.hidden.stacks > 0 && ` · ${many(answer.hidden.stacks, "stack")} cut short`}
        </span>
        <span class="spacer" />
        <span class="faded tracks-hint">Ctrl and wheel zoom, drag pans, double-click zooms to a call.</span>
        <button type="button" onClick={() => change({ query, track })}>
          Only this {by === "tid" ? "thread" : by === "cpu" ? "CPU" : by === "pid" ? "process" : "track"}
        </button>
        <button type="button" onClick={() => change({ query, from: String(Math.floor(span.from)), to: String(Math.ceil(span.to)), view: "flame" })}>
          Flame graph
        </button>
        <button type="button" onClick={() => change({ track: "" })}>
          Close
        </button>
      </div>
      {error && (
        <div class="alert" role="alert">
          {error}
        </div>
      )}
      {tracks && boxes && (
        <Chart
          tracks={tracks}
          boxes={boxes}
          span={span}
          whole={whole}
          theme={theme}
          search={search}
          title={title}
          onSpan={onSpan}
          onDetails={(name) => change({ fn: state.fn === name ? "" : name })}
          onMenu={(name, x, y) => frames.has(name) && setMenu({ frame: frames.get(name)!, x, y })}
          announce={announce}
        />
      )}
      {menu && (
        <FrameMenu
          view={view}
          frame={menu.frame}
          node={-1}
          x={menu.x}
          y={menu.y}
          onClose={() => {
            setMenu(null);
            document.querySelector<HTMLElement>(".tracks-chart")?.focus({ preventScroll: true });
          }}
        />
      )}
    </section>
  );
}
