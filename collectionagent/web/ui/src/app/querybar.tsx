// SPDX-License-Identifier: Apache-2.0
// What is shown: type, selector, time.

import * as api from "../api/client";
import { choices, title } from "../model/types";
import type { Change, State } from "../state/state";
import { Selector } from "./selector";
import { TimeControl } from "./timecontrol";

interface Props {
  state: State;
  change: Change;
  types: string[];
  error: api.QueryError | null;
  busy: boolean;
  paused: boolean;
  onPause(paused: boolean): void;
  onRefresh(): void;
}

export function QueryBar({ state, change, types, error, ...time }: Props) {
  return (
    <div class="querybar" role="group" aria-label="What is shown">
      <select aria-label="Type" title="What is measured" value={state.type} onChange={(e) => change({ type: e.currentTarget.value, zoom: [] })}>
        {choices(types, state.type).map((t) => (
          <option key={t} value={t}>
            {title(t)}
          </option>
        ))}
      </select>
      <Selector query={state.query} params={{ type: state.type, from: state.from, to: state.to }} error={error} onChange={(query) => change({ query, zoom: [] })} />
      <TimeControl state={state} change={change} {...time} />
    </div>
  );
}
