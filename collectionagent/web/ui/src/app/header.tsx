// SPDX-License-Identifier: Apache-2.0
// The head of the page: where one is, whose data it is, and what is about the page itself.

import type { ComponentChildren } from "preact";
import type { Theme } from "../model/colour";
import { defaults, formatState, pages, type Change, type Page, type State } from "../state/state";
import { useKeys } from "../ui/keys";
import { Account } from "./account";

const titles: Record<Page, [title: string, what: string]> = {
  explore: ["Explore", "Where time, memory and the like go"],
  hosts: ["Hosts", "The hosts and their agents"],
  executables: ["Executables", "Programs and libraries, and whether their functions have names"],
  events: ["Events", "What happened on the hosts"],
  status: ["Status", "What became of every sample, and how the server does"],
};

interface Props {
  state: State;
  change: Change;
  theme: Theme;
  paused: boolean;
  onPause(paused: boolean): void;
  onTheme(): void;
  onHelp(): void;
  /** Beside what is about the page. */
  children?: ComponentChildren;
}

export function Header({ state, change, theme, paused, onPause, onTheme, onHelp, children }: Props) {
  const explore = state.page === "explore";
  const go = (page: Page) => state.page !== page && change({ page, find: "", open: [] });
  useKeys([
    ...pages.map((page, i) => ({ key: String(i + 1), what: titles[page][0], group: "Page", run: () => go(page) })),
    { key: "e", what: "Back to Explore", group: "Page", run: () => go("explore") },
    { key: "d", what: "Dark or light", group: "Page", run: onTheme },
    { key: "?", what: "This list", group: "Page", run: onHelp },
  ]);
  return (
    <header>
      <a class="brand" href={state.project ? `?project=${encodeURIComponent(state.project)}` : location.pathname} aria-label="Strobe: start over" title="Start over">
        <img src="./icon.svg" alt="" width="18" height="18" /> Strobe
      </a>
      <nav class="pages" aria-label="Pages">
        {pages.map((page, i) => (
          <a
            key={page}
            href={formatState({ ...state, page, find: "", open: [] })}
            aria-current={state.page === page ? "page" : undefined}
            title={`${titles[page][1]} (${i + 1})`}
            onClick={(e) => {
              if (e.ctrlKey || e.metaKey || e.shiftKey) return; // a new tab or window
              e.preventDefault();
              go(page);
            }}
          >
            {titles[page][0]}
          </a>
        ))}
      </nav>
      <span class="spacer" />
      <div class="about" role="group" aria-label="Page">
        {!explore && <PauseButton paused={paused} onPause={onPause} />}
        {children}
        <Account project={state.project} onProject={(project) => change({ ...defaults, project, page: state.page, from: state.from, to: state.to })} />
        <button type="button" class="icon" title="Dark or light (d)" aria-label="Dark or light" onClick={onTheme}>
          {theme.dark ? "☀" : "☾"}
        </button>
        <button type="button" class="icon" title="Keys (?)" aria-label="Keys" onClick={onHelp}>
          ?
        </button>
      </div>
    </header>
  );
}

function PauseButton({ paused, onPause }: { paused: boolean; onPause(paused: boolean): void }) {
  const toggle = () => onPause(!paused);
  useKeys([{ key: "p", what: "Pause, or go on refreshing", group: "Page", run: toggle }]);
  return (
    <button type="button" class={paused ? "when-live" : "when-live on"} aria-pressed={!paused} title={paused ? "Go on refreshing (p)" : "Pause (p)"} onClick={toggle}>
      <i class="when-dot" aria-hidden="true" />
      {paused ? "Paused" : "Live"}
    </button>
  );
}
