// SPDX-License-Identifier: Apache-2.0
// The timeline with its heading: the label it is stacked by, a legend that filters, and the
// way to a comparison.

import { useEffect, useState } from "preact/hooks";
import * as api from "../api/client";
import type { Theme } from "../model/colour";
import { baseRange } from "../model/compare";
import { addMatcher, parseSelector } from "../model/selector";
import { resolve } from "../model/timerange";
import { title } from "../model/types";
import type { Change, State } from "../state/state";
import { useKeys } from "../ui/keys";
import { colourOf } from "./timelinedraw";
import { Timeline } from "./timeline";

interface Props {
  data: api.TimelineAnswer;
  events: api.TimelineAnswer | null;
  theme: Theme;
  state: State;
  change: Change;
  params: api.Params;
  choosing: boolean;
  onChoosing(choosing: boolean): void;
  announce(text: string): void;
}

export function TimelinePanel({ data, events, theme, state, change, params, choosing, onChoosing, announce }: Props) {
  const [labels, setLabels] = useState<string[]>(["service", "host", "process", "comm"]);
  const [highlight, setHighlight] = useState<string | null>(null);
  const question = JSON.stringify(params);
  useEffect(() => {
    const abort = new AbortController();
    api.labels(params, abort.signal).then(
      (a) => a.labels?.length && setLabels(a.labels.map((l) => l.name)),
      () => {}, // the usual ones can be chosen
    );
    return () => abort.abort();
  }, [question]);
  const compare = () => {
    onChoosing(!choosing);
    announce(choosing ? "Not comparing" : "Drag over the timeline, or select with Shift and arrows, the range to compare with");
    if (!choosing) requestAnimationFrame(() => document.querySelector<HTMLElement>(".tl")?.focus());
  };
  useKeys([{ key: "C", what: "Compare with another range: select it in the timeline", group: "Time", run: compare }]);
  const now = Date.now();
  const selection = resolve(state, now);
  const base = baseRange(state, now);
  const filtered = parseSelector(state.query).matchers.some((m) => m.label === data.by && m.op === "=");
  return (
    <section class="panel tl-panel" aria-label="Timeline">
      <div class="tl-head">
        <h2>{title(state.type)}</h2>
        <label class="inline">
          by{" "}
          <select aria-label="Timeline by" value={state.by} onChange={(e) => change({ by: e.currentTarget.value })}>
            {[...new Set([state.by, ...labels])].map((l) => (
              <option key={l} value={l}>
                {l === "comm" ? "thread" : l}
              </option>
            ))}
          </select>
        </label>
        <ul class="tl-legend" aria-label={`What there is by ${data.by}`}>
          {(data.series ?? []).map((s, i) => (
            <li key={s.name} onMouseEnter={() => setHighlight(s.name)} onMouseLeave={() => setHighlight(null)}>
              {s.name === "(other)" || (filtered && data.series!.length === 1) ? (
                <span>
                  <i style={{ background: colourOf(s.name, i) }} />
                  {s.name || "(none)"}
                </span>
              ) : (
                <button
                  type="button"
                  title={`Show only ${s.name || "(none)"}; with Shift: all but it`}
                  onFocus={() => setHighlight(s.name)}
                  onBlur={() => setHighlight(null)}
                  onClick={(e) => change({ query: addMatcher(state.query, data.by, e.shiftKey ? "!=" : "=", s.name), zoom: [] })}
                >
                  <i style={{ background: colourOf(s.name, i) }} />
                  {s.name || "(none)"}
                </button>
              )}
            </li>
          ))}
        </ul>
        {choosing && <span class="tl-choosing-note">Drag the range to compare with</span>}
        <button type="button" class={choosing ? "on" : ""} aria-pressed={choosing} title="Compare with another range: drag it (C), or drag with Shift at once" onClick={compare}>
          {choosing ? "Cancel" : "Compare"}
        </button>
      </div>
      <Timeline
        data={data}
        events={events}
        type={state.type}
        theme={theme}
        selection={selection}
        base={base && (base.from !== selection.from || base.to !== selection.to) ? base : null}
        choosing={choosing}
        highlight={highlight}
        announce={announce}
        onCancel={() => onChoosing(false)}
        onSelect={(s) => change({ from: String(s.from), to: String(s.to) })}
        onBase={(s) => {
          onChoosing(false);
          change({ bfrom: String(s.from), bto: String(s.to), bfile: "", view: "diff" });
        }}
      />
    </section>
  );
}
