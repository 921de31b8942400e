// SPDX-License-Identifier: Apache-2.0
// Small parts that the pages share.

import "./pages.css";
import { Fragment, type ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { Change } from "../state/state";
import { copyText } from "../ui/clipboard";
import { percent } from "../ui/format";
import { useKeys } from "../ui/keys";

/** What went wrong, with a button to ask again. */
export function Problem({ text, again }: { text: string; again(): void }) {
  if (!text) return null;
  return (
    <div class="alert pg-alert" role="alert">
      <span>{text}</span>
      <button type="button" onClick={again}>
        Ask again
      </button>
    </div>
  );
}

/** The field that filters the rows of a page; "/" goes there, Escape empties it. */
export function Find({ value, change, what, count }: { value: string; change: Change; what: string; count: string }) {
  const field = useRef<HTMLInputElement>(null);
  useKeys([
    {
      key: "/",
      what: `Find ${what}`,
      group: "Page",
      run() {
        field.current?.focus();
        field.current?.select();
      },
    },
  ]);
  return (
    <>
      <input
        ref={field}
        class="search"
        type="search"
        placeholder={`Find ${what}   ( / )`}
        aria-label={`Find ${what}`}
        value={value}
        onInput={(e) => change({ find: e.currentTarget.value }, true)}
        onKeyDown={(e) => {
          if (e.key === "Escape") {
            change({ find: "" }, true);
            e.currentTarget.blur();
          }
          if (e.key === "ArrowDown") {
            e.preventDefault();
            e.currentTarget.closest(".panel")?.querySelector<HTMLElement>(".pg-row-head[tabindex='0']")?.focus();
          }
        }}
      />
      <span class="faded" role="status">
        {count}
      </span>
    </>
  );
}

/** A text with a button that copies it. */
export function Copy({ text, short, what, announce }: { text: string; short?: string; what: string; announce(text: string): void }) {
  const [done, setDone] = useState(false);
  const said = useRef(0);
  useEffect(() => () => clearTimeout(said.current), []);
  if (!text) return <span class="faded">–</span>;
  const copy = async (e: MouseEvent) => {
    e.stopPropagation();
    const ok = await copyText(text);
    announce(ok ? `${what} copied` : `${what} could not be copied: select it and copy it by hand`);
    setDone(ok);
    clearTimeout(said.current);
    said.current = window.setTimeout(() => setDone(false), 1500);
  };
  return (
    <span class="pg-copy">
      <code title={text}>{short ?? text}</code>
      <button type="button" aria-label={`Copy ${what}`} title={`Copy ${text}`} onClick={copy}>
        {done ? "✓" : <CopySign />}
      </button>
    </span>
  );
}

/** Two sheets; fonts do not all have a character for it. */
const CopySign = () => (
  <svg viewBox="0 0 16 16" width="12" height="12" aria-hidden="true" fill="none" stroke="currentColor" stroke-width="1.5">
    <rect x="5.5" y="5.5" width="8" height="8" rx="1.5" />
    <path d="M10.5 3.5v-.5a1 1 0 0 0-1-1h-6a1 1 0 0 0-1 1v6a1 1 0 0 0 1 1h.5" />
  </svg>
);

/** A share as a bar with its number. */
export function Share({ part, whole, label, kind = "" }: { part: number; whole: number; label: string; kind?: string }) {
  const share = whole > 0 ? Math.min(1, Math.max(0, part / whole)) : 0;
  return (
    <span class={`pg-share ${kind}`} role="img" aria-label={`${label}: ${percent(part, whole)}`}>
      <i style={{ width: `${100 * share}%` }} />
      <span>{percent(part, whole)}</span>
    </span>
  );
}

/** A list of names and values. */
export function Facts({ list }: { list: [string, ComponentChildren][] }) {
  return (
    <dl>
      {list.map(([name, value]) =>
        value === "" || value === null || value === undefined || value === false ? null : (
          <Fragment key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </Fragment>
        ),
      )}
    </dl>
  );
}
