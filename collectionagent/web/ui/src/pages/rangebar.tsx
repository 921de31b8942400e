// SPDX-License-Identifier: Apache-2.0
// What a page is about: a type, a range of time, and a selector, in one short line. Explore, to which the
// selector leads, has more to choose from.

import * as api from "../api/client";
import { choices, title } from "../model/types";
import { defaults, type Change, type State } from "../state/state";
import { dateTime } from "../ui/format";
import { linkTo } from "./links";
import { usePolled } from "./poll";

const ranges: [from: string, text: string][] = [
  ["now-5m", "last 5 minutes"],
  ["now-15m", "last 15 minutes"],
  ["now-1h", "last hour"],
  ["now-6h", "last 6 hours"],
  ["now-1d", "last day"],
  ["now-7d", "last 7 days"],
];

/** How a time of the URL reads: a number is milliseconds since 1970. */
export const timeText = (time: string): string => (/^\d{12,}$/.test(time) ? dateTime(Number(time)) : time);

interface Props {
  state: State;
  change: Change;
  /** The page is of any type. */
  typed?: boolean;
}

export function RangeBar({ state, change, typed = false }: Props) {
  const { data } = usePolled(
    (signal) => (typed ? api.types({ from: state.from, to: state.to }, signal) : Promise.resolve({ types: null })),
    `${typed} ${state.from} ${state.to}`,
    state.project,
    0,
  );
  const known = state.to === "now" && ranges.some(([from]) => from === state.from);
  return (
    <span class="pg-range" role="group" aria-label="What is shown">
      {typed && (
        <select aria-label="Type" value={state.type} onChange={(e) => change({ type: e.currentTarget.value })}>
          {choices((data?.types ?? []).map((t) => t.type), state.type).map((t) => (
            <option key={t} value={t}>
              {title(t)}
            </option>
          ))}
        </select>
      )}
      <select
        aria-label="Range"
        value={known ? state.from : "other"}
        onChange={(e) => e.currentTarget.value !== "other" && change({ from: e.currentTarget.value, to: "now" })}
      >
        {!known && (
          <option value="other">
            {timeText(state.from)} to {timeText(state.to)}
          </option>
        )}
        {ranges.map(([from, text]) => (
          <option key={from} value={from}>
            {text}
          </option>
        ))}
      </select>
      {state.query && (
        <span class="pg-query">
          <a {...linkTo(change, { ...state, page: "explore", find: "", open: [] })} title="Change it in Explore">
            <code>{state.query}</code>
          </a>
          <button type="button" aria-label="Without the selector" title="Without the selector" onClick={() => change({ query: defaults.query })}>
            ×
          </button>
        </span>
      )}
    </span>
  );
}
