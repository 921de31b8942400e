// SPDX-License-Identifier: Apache-2.0
// The functions of the profile to choose one from.

import { useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { fill } from "../../model/colour";
import { pattern, type Tree } from "../../model/tree";
import { amount, many, percent } from "../../ui/format";
import { Virtual, type VirtualHandle } from "../../ui/virtual";
import { Highlight } from "../highlight";
import type { ViewProps } from "../view";

const rowHeight = 24;

/** Functions of the same name as one, as who chooses a name does not tell them apart. */
export interface Choice {
  name: string;
  kind: string;
  frame: number;
  self: number;
  total: number;
  /** Where they are: a file or a binary, "" when there are several or none is known. */
  where: string;
}

/** The functions by name, those that take most with what they call first. A stack counts once for a name. */
export function choices(tree: Tree): Choice[] {
  const byName = new Map<string, Choice & { open: number }>();
  for (let i = 1; i < tree.size; i++) {
    const kind = tree.kind(i);
    if (kind === "other" || kind === "label") continue;
    const name = tree.name(i);
    const where = tree.binary(i) || tree.file(i);
    let c = byName.get(name);
    if (!c) byName.set(name, (c = { name, kind, frame: tree.frame[i]!, self: 0, total: 0, where, open: 0 }));
    c.self += tree.self[i]!;
    if (i >= c.open) {
      c.total += tree.total[i]!;
      c.open = tree.end[i]!;
    }
    if (c.where !== where) c.where = "";
  }
  return [...byName.values()].sort((a, b) => b.total - a.total || (a.name < b.name ? -1 : 1));
}

export function Chooser({ view, title, onChoose }: { view: ViewProps; title: string; onChoose(name: string): void }) {
  const { profile, theme, hover } = view;
  const { upright: tree, unit } = profile;
  const [filter, setFilter] = useState("");
  const [at, setAt] = useState(0);
  const handle = useRef<VirtualHandle>(null);
  const input = useRef<HTMLInputElement>(null);
  const all = useMemo(() => choices(tree), [tree]);
  const { re, error } = useMemo(() => pattern(filter), [filter]);
  const shown = useMemo(() => (re ? all.filter((c) => re.test(c.name) || re.test(c.where)) : all), [all, re]);
  const whole = tree.total[0]!;
  // Before anybody sees it: what is typed next is for the field, and the next key moves on from the first row.
  useLayoutEffect(() => input.current?.focus({ preventScroll: true }), []);
  useLayoutEffect(() => {
    setAt(0);
    handle.current?.reveal(0);
  }, [filter]);
  const choose = (i: number) => shown[i] && onChoose(shown[i]!.name);
  return (
    <section class="chooser" data-rows={shown.length} onMouseLeave={() => hover.set(-1)}>
      <div class="chooser-head">
        <label for="chooser-filter">{title}</label>
        <input
          id="chooser-filter"
          ref={input}
          type="search"
          placeholder="Name, file or binary; /…/ for a regular expression"
          value={filter}
          aria-invalid={!!error}
          title={error}
          autocomplete="off"
          spellcheck={false}
          onInput={(e) => setFilter(e.currentTarget.value)}
          onKeyDown={(e) => {
            if (e.key === "Enter") choose(at);
            else if (e.key === "Escape") {
              // Out of the field, where keys are keys again.
              if (filter) setFilter("");
              else handle.current?.focus();
            }
            else if (e.key === "ArrowDown" || e.key === "ArrowUp") {
              const next = Math.min(Math.max(at + (e.key === "ArrowDown" ? 1 : -1), 0), shown.length - 1);
              setAt(next);
              handle.current?.reveal(next);
            } else return;
            e.preventDefault();
          }}
        />
        <span class="faded">{many(shown.length, "function")}</span>
      </div>
      <Virtual
        id="chooser"
        role="grid"
        label={`${title} Enter chooses.`}
        count={shown.length}
        rowHeight={rowHeight}
        columns="66px 78px 78px minmax(120px, 3fr) minmax(0, 1fr)"
        at={at}
        onMove={setAt}
        onKey={(e) => {
          if (e.key !== "Enter" && e.key !== " ") return false;
          choose(at);
          return true;
        }}
        handle={handle}
        head={
          <div role="row" class="vl-row" aria-rowindex={1}>
            {["Total %", "Total", "Self", "Function", "Binary"].map((t, i) => (
              <b key={t} role="columnheader" class={i < 3 ? "vl-number" : ""}>
                {t}
              </b>
            ))}
          </div>
        }
        row={(i) => {
          const c = shown[i]!;
          return (
            <div
              key={c.name}
              id={`chooser-${i}`}
              role="row"
              aria-rowindex={i + 2}
              aria-selected={i === at}
              class={`vl-row ${i === at ? "at" : ""}`}
              data-name={c.name}
              onClick={() => choose(i)}
              onMouseEnter={() => hover.set(c.frame)}
            >
              <div role="gridcell" class="vl-number vl-bar">
                <i style={{ width: `${whole ? Math.min((100 * c.total) / whole, 100) : 0}%` }} />
                <span>{percent(c.total, whole)}</span>
              </div>
              <div role="gridcell" class="vl-number">
                {amount(c.total, unit)}
              </div>
              <div role="gridcell" class="vl-number">
                {c.self ? amount(c.self, unit) : ""}
              </div>
              <div role="rowheader" title={c.name}>
                <i class="vl-dot" style={{ background: fill(c.kind, c.name, theme.dark) }} title={c.kind} />
                <Highlight text={c.name} re={re} />
              </div>
              <div role="gridcell" class="faded">
                {c.where}
              </div>
            </div>
          );
        }}
        empty={<p class="note">{filter ? `No function matches “${filter}”.` : "No functions in this selection."}</p>}
      />
    </section>
  );
}
