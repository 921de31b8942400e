// SPDX-License-Identifier: Apache-2.0
// When: ranges that end now, ranges from … to …, and the way between them.

import { useLayoutEffect, useState } from "preact/hooks";
import { rangeText } from "../model/facts";
import { moved, parseTime, ranges, readTime, relative, refreshes, resolve, scaled, type Range } from "../model/timerange";
import type { Change, State } from "../state/state";
import { dateTime, duration } from "../ui/format";
import { useKeys } from "../ui/keys";
import { Popover } from "../ui/popover";
import "./timecontrol.css";

interface Props {
  state: State;
  change: Change;
  paused: boolean;
  onPause(paused: boolean): void;
  onRefresh(): void;
  /** An answer is on its way. */
  busy: boolean;
}

/** A range as a button says it. */
function rangeTitle(r: Range): string {
  const now = Date.now();
  if (r.to === "now" && r.from.startsWith("now-")) {
    const known = ranges.find(([v]) => v === r.from);
    return `Last ${known ? known[1] : r.from.slice(4)}`;
  }
  const { from, to } = resolve(r, now);
  return r.to === "now" ? `Since ${dateTime(from).slice(5, 16)}` : rangeText(from, to, now);
}

export function TimeControl({ state, change, paused, onPause, onRefresh, busy }: Props) {
  const [open, setOpen] = useState(false);
  const go = (r: Range) => change({ from: r.from, to: r.to });
  const live = state.to === "now";
  const steps: [key: string, text: string, what: string, run: () => void, off?: boolean][] = [
    ["[", "‹", "Earlier", () => go(moved(state, Date.now(), -1))],
    ["]", "›", "Later", () => go(moved(state, Date.now(), 1)), live],
    ["-", "−", "Shorter time range", () => go(scaled(state, Date.now(), -1))],
    ["+", "+", "Longer time range", () => go(scaled(state, Date.now(), 1))],
  ];
  useKeys([
    ...steps.map(([key, , what, run, off]) => ({ key, what, group: "Time", run: off ? () => {} : run })),
    { key: "r", what: "Ask the server again", group: "Time", run: onRefresh },
    { key: "p", what: "Pause, or go on refreshing", group: "Time", run: () => onPause(!paused) },
  ]);
  const button = ([key, text, what, run, off]: (typeof steps)[number]) => (
    <button key={key} type="button" aria-label={what} title={`${what} (${key})`} disabled={off} onClick={run}>
      {text}
    </button>
  );
  return (
    <div class="when" role="group" aria-label="When">
      <div class="joined">
        {button(steps[0]!)}
        <Popover open={open} onOpen={setOpen} class="when-range" aria={`Time range: ${rangeTitle(state)}`} title="Choose the time range" name="Time range" label={`${rangeTitle(state)} ▾`}>
          <RangePanel
            state={state}
            onRange={(r) => {
              go(r);
              setOpen(false);
            }}
          />
        </Popover>
        {button(steps[1]!)}
      </div>
      <div class="joined when-length">
        {button(steps[2]!)}
        {button(steps[3]!)}
      </div>
      <div class="joined">
        <button
          type="button"
          class={live && !paused && state.refresh !== "0" ? "when-live on" : "when-live"}
          aria-pressed={live && !paused && state.refresh !== "0"}
          title={live ? (paused ? "Go on refreshing (p)" : "Pause (p)") : "Back to a range that ends now"}
          onClick={() => {
            if (live && state.refresh !== "0") return onPause(!paused);
            const { from, to } = resolve(state, Date.now());
            onPause(false);
            change({ ...(live ? {} : { from: relative(to - from), to: "now" }), ...(state.refresh === "0" ? { refresh: "5" } : {}) });
          }}
        >
          <i class={busy ? "when-dot when-busy" : "when-dot"} aria-hidden="true" />
          {!live ? "Go live" : state.refresh === "0" ? "Not live" : paused ? "Paused" : "Live"}
        </button>
        <select aria-label="Refresh every" title="How often the server is asked" value={state.refresh} onChange={(e) => change({ refresh: e.currentTarget.value })}>
          {[...refreshes, ...(refreshes.some(([v]) => v === state.refresh) ? [] : [[state.refresh, `${state.refresh} s`] as const])].map(([v, t]) => (
            <option key={v} value={v}>
              {t}
            </option>
          ))}
        </select>
        <button type="button" title="Ask again (r)" aria-label="Ask again" onClick={onRefresh}>
          ↻
        </button>
      </div>
    </div>
  );
}

function RangePanel({ state, onRange }: { state: Range; onRange(r: Range): void }) {
  const now = Date.now();
  const [from, setFrom] = useState(() => shown(state.from));
  const [to, setTo] = useState(() => shown(state.to));
  const [problem, setProblem] = useState("");
  useLayoutEffect(() => setProblem(""), [from, to]);
  const apply = (e: Event) => {
    e.preventDefault();
    const a = readTime(from, now);
    const b = readTime(to, now);
    if (!a || !b) return setProblem(`${!a ? "From" : "To"}: expected a time such as now-2h, 14:30, 2026-11-21 14:30, 2026-11-21T14:30:00Z or milliseconds since 1970`);
    const ms = [parseTime(a, now)!, parseTime(b, now)!] as const;
    if (ms[0] >= ms[1]) return setProblem("From must be before To");
    onRange({ from: a, to: b });
  };
  const length = () => {
    const a = parseTime(readTime(from, now) ?? "", now);
    const b = parseTime(readTime(to, now) ?? "", now);
    return a !== null && b !== null && b > a ? duration(b - a) : "";
  };
  return (
    <div class="when-panel">
      <ul class="when-list" aria-label="Ranges that end now">
        {ranges.map(([v, t]) => (
          <li key={v}>
            <button type="button" data-first={state.from === v && state.to === "now" ? true : undefined} aria-pressed={state.from === v && state.to === "now"} onClick={() => onRange({ from: v, to: "now" })}>
              Last {t}
            </button>
          </li>
        ))}
      </ul>
      <form class="when-form" onSubmit={apply}>
        <h3>From … to …</h3>
        <TimeField label="From" value={from} onInput={setFrom} />
        <TimeField label="To" value={to} onInput={setTo} />
        <p class={problem ? "problem" : "faded"} role={problem ? "alert" : undefined}>
          {problem || `${length() || "now-2h, 14:30, 2026-11-21 14:30, RFC 3339 or ms"}`}
        </p>
        <button type="submit" class="primary">
          Apply
        </button>
      </form>
    </div>
  );
}

/** A time as text, with the browser's own picker beside it. */
function TimeField({ label, value, onInput }: { label: string; value: string; onInput(v: string): void }) {
  const ms = parseTime(readTime(value, Date.now()) ?? "", Date.now());
  return (
    <div class="when-field">
      <label>
        {label}
        <input type="text" spellcheck={false} autocomplete="off" value={value} onInput={(e) => onInput(e.currentTarget.value)} />
      </label>
      <input
        type="datetime-local"
        step={1}
        aria-label={`${label}: date and time`}
        value={ms === null ? "" : dateTime(ms).replace(" ", "T")}
        onInput={(e) => e.currentTarget.value && onInput(e.currentTarget.value.replace("T", " "))}
      />
    </div>
  );
}

/** A time of the URL as a person would type it. */
const shown = (t: string) => (/^\d{12,}$/.test(t) ? dateTime(Number(t)) : t);
