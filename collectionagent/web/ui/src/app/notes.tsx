// SPDX-License-Identifier: Apache-2.0
// What the page says in place of a profile, or beside one: problems, gaps, nothing found.

import type { ComponentChildren } from "preact";
import type { QueryError } from "../api/client";
import { relative, resolve, scaled } from "../model/timerange";
import { title } from "../model/types";
import type { Change, State } from "../state/state";

/** An error that does not take away what is shown; that of the selector is shown there. */
export function Problem({ error, onAgain }: { error: QueryError; onAgain(): void }) {
  if (error.parameter === "query") return null;
  return (
    <div class="alert" role="alert">
      <span>
        {error.parameter && <b>{error.parameter}: </b>}
        {error.message}
      </span>
      <button type="button" onClick={onAgain}>
        Try again
      </button>
    </div>
  );
}

export function Gaps({ texts }: { texts: string[] }) {
  return (
    <>
      {texts.map((text) => (
        <p key={text} class="lost" role="note">
          <b aria-hidden="true">⚠</b> {text}
        </p>
      ))}
    </>
  );
}

/** Nothing was found: what to do about it. */
export function Empty({ state, types, change }: { state: State; types: string[]; change: Change }) {
  const others = types.filter((t) => t !== state.type);
  const { from, to } = resolve(state, Date.now());
  const longer = scaled({ from: relative(to - from), to: "now" }, Date.now(), 1);
  return (
    <div class="note" data-empty>
      <h2>{state.query ? "No samples match" : `No samples of ${title(state.type)} in this time`}</h2>
      {state.query && (
        <p>
          Nothing matches <code>{state.query}</code> in this time range.
        </p>
      )}
      <p class="note-acts">
        {state.query && (
          <button type="button" class="primary" onClick={() => change({ query: "", zoom: [] })}>
            Clear the selector
          </button>
        )}
        <button type="button" onClick={() => change({ ...longer })}>
          Longer time range
        </button>
        {others.map((t) => (
          <button key={t} type="button" onClick={() => change({ type: t, zoom: [] })}>
            Show {title(t)}
          </button>
        ))}
      </p>
      {!state.query && types.length === 0 && (
        <>
          <p>Is an agent running and sending here? On the host to profile, as root:</p>
          <pre>bin/agent -collection-agent {location.hostname}:11000 -disable-tls</pre>
          <p>
            <code>bin/agent doctor</code> says what may be in its way. Or drop a profile here: pprof, folded stacks, speedscope and more.
          </p>
        </>
      )}
    </div>
  );
}

/** A text in place of a view. */
export function Note({ heading, children }: { heading: string; children?: ComponentChildren }) {
  return (
    <div class="note">
      <h2>{heading}</h2>
      {children}
    </div>
  );
}
