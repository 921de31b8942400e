// SPDX-License-Identifier: Apache-2.0
// The skeleton of the page; the shell takes its place.

import { useCallback, useEffect, useMemo, useRef, useState } from "preact/hooks";
import * as api from "../api/client";
import type { Theme } from "../model/colour";
import { transform } from "../model/transform";
import { pattern, Tree } from "../model/tree";
import { Events } from "../pages/events/events";
import { Executables } from "../pages/executables/executables";
import { Hosts } from "../pages/hosts/hosts";
import { Status } from "../pages/status/status";
import { formatState, pages, parseState, type State } from "../state/state";
import { handleKey } from "../ui/keys";
import { registry } from "../views/registry";
import type { Profile } from "../views/view";

const dark: Theme = { dark: true, text: "#f4f4f5", faded: "#9ca3af", background: "#16181d", match: "#e64980", outline: "#ffffff" };
const light: Theme = { dark: false, text: "#1c1d20", faded: "#6b7280", background: "#ffffff", match: "#f783ac", outline: "#111111" };

export function App() {
  const theme = window.matchMedia("(prefers-color-scheme: dark)").matches ? dark : light;
  const [state, setState] = useState(() => parseState(location.search));
  const current = useRef(state);
  const change = useCallback((c: Partial<State>, replace = false) => {
    current.current = { ...current.current, ...c };
    setState(current.current);
    history[replace ? "replaceState" : "pushState"](null, "", formatState(current.current));
  }, []);
  const [answer, setAnswer] = useState<api.FlameAnswer | null>(null);
  const [error, setError] = useState("");
  const [generation, setGeneration] = useState(0);
  const [frame, setFrame] = useState(-1);
  const params: api.Params = { type: state.type, query: state.query, from: state.from, to: state.to };
  useEffect(() => {
    document.documentElement.dataset.theme = theme.dark ? "dark" : "light";
    document.addEventListener("keydown", handleKey);
    window.addEventListener("popstate", () => setState((current.current = parseState(location.search))));
  }, []);
  useEffect(() => {
    api.flamegraph({ ...params, group_by: state.group, max_nodes: "60000" }).then(
      (a) => {
        setAnswer(a);
        setGeneration((g) => g + 1);
      },
      (e) => setError(e.message),
    );
  }, [JSON.stringify(params), state.group]);
  const whole = useMemo(() => answer && Tree.fromAnswer(answer), [answer]);
  const tree = useMemo(() => whole && transform(whole, state.t, state.level, state.invert === "1"), [whole, state.t.join("\n"), state.level, state.invert]);
  const { re } = useMemo(() => pattern(state.search), [state.search]);
  const matches = useMemo(() => tree?.match(re), [tree, re]);
  const entry = registry.find((r) => r.view === state.view)!;
  const profile: Profile | null = answer &&
    whole &&
    tree && {
      whole,
      tree,
      unit: answer.unit,
      type: answer.type,
      snapshot: !!answer.snapshot,
      fromMs: answer.from_ms,
      toMs: answer.to_ms,
      samples: answer.samples,
      coverage: answer.coverage,
      symbolized: answer.symbolized,
      unknownStacks: answer.unknown_stacks,
      hidden: answer.hidden,
      file: "",
    };
  const announce = () => {};
  const Page = { hosts: Hosts, executables: Executables, events: Events, status: Status, explore: null }[state.page];
  return (
    <>
      <header>
        {pages.map((p) => (
          <button key={p} type="button" aria-current={p === state.page ? "page" : undefined} onClick={() => change({ page: p })}>
            {p}
          </button>
        ))}
        {registry.map((r) => (
          <button key={r.view} type="button" title={r.what} aria-pressed={r.view === state.view} onClick={() => change({ page: "explore", view: r.view })}>
            {r.title}
          </button>
        ))}
        <input aria-label="Selector" value={state.query} onChange={(e) => change({ query: e.currentTarget.value })} />
        <input aria-label="Search" class="search" value={state.search} onInput={(e) => change({ search: e.currentTarget.value }, true)} />
      </header>
      {error && <div class="alert">{error}</div>}
      <main>
        {Page && <Page state={state} change={change} theme={theme} paused={false} announce={announce} />}
        {!Page && profile && matches && (
          <section class="panel grow">
            <div class="views">
              <entry.component
                profile={profile}
                matches={matches}
                searching={!!re}
                theme={theme}
                state={state}
                change={change}
                params={params}
                generation={generation}
                hover={{ frame, set: setFrame }}
                announce={announce}
              />
            </div>
          </section>
        )}
      </main>
    </>
  );
}
