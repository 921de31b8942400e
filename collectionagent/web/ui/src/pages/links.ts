// SPDX-License-Identifier: Apache-2.0
// Links from pages to profiles.

import { formatSelector } from "../model/selector";
import { defaults, formatState, type Change, type State } from "../state/state";

/** The state of a profile that a page leads to: nothing of what was done to another profile, but the project and the range. */
export function explore(state: State, change: Partial<State>): State {
  return { ...structuredClone(defaults), project: state.project, from: state.from, to: state.to, refresh: state.refresh, ...change };
}

/** A selector of labels that have these values, "" for none. */
export const selector = (...pairs: [label: string, value: string][]): string => formatSelector(pairs.map(([label, value]) => ({ label, op: "=", value })));

/** The attributes of a link to another state: a click changes it here, a click for a new tab works as well. */
export function linkTo(change: Change, to: State) {
  return {
    href: formatState(to),
    onClick(e: MouseEvent) {
      e.stopPropagation(); // the row that it is in does not open
      if (e.ctrlKey || e.metaKey || e.shiftKey || e.altKey || e.button !== 0) return;
      e.preventDefault();
      change(to);
    },
  };
}
