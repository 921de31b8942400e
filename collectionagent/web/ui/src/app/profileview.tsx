// SPDX-License-Identifier: Apache-2.0
// A profile in one of its views, with the tabs above and the panel at the side.

import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Params } from "../api/client";
import type { Theme } from "../model/colour";
import { pattern } from "../model/tree";
import type { Change, State, View } from "../state/state";
import { useKeys } from "../ui/keys";
import { recall, remember } from "../ui/memory";
import { Panel } from "../views/panel/panel";
import { registry } from "../views/registry";
import type { Profile, ViewProps } from "../views/view";
import { ExportMenu } from "./exportmenu";
import { Guard } from "./guard";
import { SidePanel } from "./sidepanel";
import { StackBar } from "./stackbar";

/** They are about one function, and say the same of it: on a phone, where the panel lies over the view, it waits to be asked for. */
const ofFunction: readonly View[] = ["sandwich", "source"];
const isPhone = () => window.matchMedia("(max-width: 720px)").matches;

/** Views of stacks: the bar above them is about stacks. */
const ofStacks: readonly View[] = ["flame", "table", "both", "calltree", "sandwich", "diff"];

interface Props {
  profile: Profile;
  state: State;
  change: Change;
  theme: Theme;
  params: Params;
  generation: number;
  /** A newer answer is on its way. */
  busy: boolean;
  announce(text: string): void;
}

export function ProfileView({ profile, state, change, theme, params, generation, busy, announce }: Props) {
  const [frame, setFrame] = useState(-1);
  const [wanted, setWanted] = useState(() => recall("panel") !== "closed");
  const [asked, setAsked] = useState(false);
  useLayoutEffect(() => setAsked(false), [state.view]);
  const panel = wanted && (asked || !ofFunction.includes(state.view) || !isPhone());
  const body = useRef<HTMLDivElement>(null);
  const { re } = useMemo(() => pattern(state.search), [state.search]);
  const matches = useMemo(() => profile.tree.match(re), [profile.tree, re]);
  // A number of a frame means another one in another tree.
  useLayoutEffect(() => setFrame(-1), [profile.tree]);
  const hover = useMemo(() => ({ frame, set: setFrame }), [frame]);
  const entry = registry.find((r) => r.view === state.view)!;
  // Where there is no room for all tabs, the chosen one is in sight.
  const tabs = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const list = tabs.current?.getBoundingClientRect();
    const tab = document.getElementById(`tab-${state.view}`)?.getBoundingClientRect();
    if (list && tab && (tab.left < list.left || tab.right > list.right)) tabs.current!.scrollLeft += tab.left + tab.width / 2 - list.left - list.width / 2;
  }, [state.view]);
  const show = (open: boolean) => {
    setWanted(open);
    setAsked(open);
    remember("panel", open ? "open" : "closed");
  };
  const go = (view: View) => {
    if (view !== state.view) change({ view });
  };
  // Not into a field, where the next key would be text; a view that wants that does it itself. One that is still
  // empty has the focus as a whole.
  const focusView = () =>
    requestAnimationFrame(() => {
      const b = body.current;
      if (b && !b.contains(document.activeElement)) (b.querySelector<HTMLElement>("[tabindex='0'], button") ?? b.querySelector<HTMLElement>("#view"))?.focus();
    });
  useKeys([
    ...registry.map((r) => ({
      key: r.key,
      what: r.title,
      group: "Views",
      run: () => {
        go(r.view);
        focusView();
      },
    })),
    {
      key: "v",
      what: "Open or close the panel at the side",
      group: "Views",
      run: () => {
        if (!state.fn) return announce("Choose a function first, the panel is about it");
        show(!panel);
      },
    },
  ]);
  const props: ViewProps = { profile, matches, searching: !!re, theme, state, change, params, generation, hover, side: { open: panel, show }, announce };
  const View = entry.component;
  return (
    <section class="panel grow" aria-label="Profile">
      <div class="explore-tabs">
        <div
          class="viewtabs"
          ref={tabs}
          role="tablist"
          aria-label="Views"
          onKeyDown={(e) => {
            const by = e.key === "ArrowRight" ? 1 : e.key === "ArrowLeft" ? -1 : 0;
            if (!by) return;
            e.preventDefault();
            const at = registry.findIndex((r) => r.view === state.view);
            go(registry[(at + by + registry.length) % registry.length]!.view);
            const list = e.currentTarget;
            requestAnimationFrame(() => list.querySelector<HTMLElement>("[aria-selected='true']")?.focus());
          }}
        >
          {registry.map((r) => (
            <button
              key={r.view}
              type="button"
              role="tab"
              id={`tab-${r.view}`}
              aria-controls="view"
              aria-selected={r.view === state.view}
              tabIndex={r.view === state.view ? 0 : -1}
              title={`${r.what} (${r.key})`}
              onClick={() => go(r.view)}
            >
              {r.title}
            </button>
          ))}
        </div>
        <ExportMenu {...props} />
        {state.fn && !panel && (
          <button type="button" title={`About ${state.fn} (v)`} onClick={() => show(true)}>
            Details
          </button>
        )}
      </div>
      {ofStacks.includes(state.view) && <StackBar {...props} />}
      <div class={busy ? "explore-body busy" : "explore-body"} ref={body}>
        <div class="views" id="view" role="tabpanel" tabIndex={-1} aria-labelledby={`tab-${state.view}`}>
          {entry.liveOnly && profile.file ? (
            <div class="note">
              <h2>{entry.title} is not for files</h2>
              <p>It needs more than a file holds: single samples, or what the server knows.</p>
              <button type="button" onClick={() => change({ view: "flame" })}>
                Flame graph
              </button>
            </div>
          ) : (
            <Guard name={`${state.view} ${generation}`}>
              <View {...props} />
            </Guard>
          )}
        </div>
        {state.fn && panel && (
          <SidePanel>
            <Guard name={`panel ${state.fn} ${generation}`}>
              <Panel {...props} />
            </Guard>
          </SidePanel>
        )}
      </div>
    </section>
  );
}
