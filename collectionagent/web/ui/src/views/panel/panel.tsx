// SPDX-License-Identifier: Apache-2.0
// The panel at the side: all that is known of the function state.fn. The shell shows it beside every view.

import "./panel.css";
import { useMemo, useState } from "preact/hooks";
import { exactly } from "../../model/pattern";
import { formatTransform } from "../../model/transform";
import { amount, many, percent } from "../../ui/format";
import { useKeys } from "../../ui/keys";
import { change as difference } from "../flame/words";
import type { ViewProps } from "../view";
import { aboutFunction, widestOf, type AboutFunction, type Neighbour, type Place } from "./about";
import { Copy } from "./copy";
import { Spans } from "./spans";

/** Callers and callees that are shown before somebody asks for all. */
const few = 6;
const placesShown = 5;

export function Panel(view: ViewProps) {
  const { profile, state, change, params } = view;
  const { tree, upright, unit } = profile;
  const about = useMemo(() => aboutFunction(upright, state.fn), [upright, state.fn]);
  const node = useMemo(() => (upright === tree ? about.node : widestOf(tree, state.fn)), [about, tree]);
  // What transforms have hidden is still known.
  const elsewhere = useMemo(() => (about.sites || profile.whole === upright ? null : aboutFunction(profile.whole, state.fn)), [about, profile.whole]);
  const close = () => {
    if (view.side) view.side.show(false);
    else change({ fn: "" });
    // What had the focus may be gone with the panel.
    requestAnimationFrame(() => {
      if (document.activeElement === document.body) document.querySelector<HTMLElement>(".views [tabindex='0']")?.focus({ preventScroll: true });
    });
  };
  useKeys([{ key: "Escape", what: "close the details of a function", group: "Details", run: close }]);
  const select = (fn: string) => change({ fn });
  const shown = about.sites ? about : elsewhere?.sites ? elsewhere : null;
  return (
    <aside class="panel-side" aria-label={`Details of ${state.fn}`} data-view="panel" data-fn={state.fn} data-total={shown?.total ?? 0} data-sites={shown?.sites ?? 0}>
      <div class="fn-head">
        <h2>{state.fn}</h2>
        <Copy text={state.fn} what="name" />
        <button type="button" class="fn-close" aria-label="Close details" title="Close (Escape)" onClick={close}>
          ×
        </button>
      </div>
      {!shown && <p class="faded">No stack of this selection has this function.</p>}
      {shown && shown !== about && <p class="faded">What is done to the stacks has hidden this function; these are its values without that.</p>}
      {shown && <Values about={shown} tree={shown === about ? upright : profile.whole} unit={unit} />}
      <div class="fn-links" role="group" aria-label="Where to go">
        <button type="button" title="Who calls it, and what it calls" onClick={() => change({ view: "sandwich" })}>
          Sandwich
        </button>
        {!profile.file && (
          <button type="button" title="Its lines" onClick={() => change({ view: "source" })}>
            Source
          </button>
        )}
        <button type="button" title="The stacks that it is in, level by level" onClick={() => change({ view: "calltree", zoom: node >= 0 ? tree.path(node) : [] })}>
          Call tree
        </button>
        <button type="button" title="Mark it wherever it is" onClick={() => change({ search: state.fn })}>
          Search
        </button>
        <button type="button" title="Only stacks with this function" onClick={() => change({ t: [...state.t, formatTransform("focus", exactly(state.fn))], zoom: [] })}>
          Focus
        </button>
        {node >= 0 && state.view !== "calltree" && (
          <button type="button" title="Zoom to where it is widest" onClick={() => change({ zoom: tree.path(node), view: state.view === "both" ? "both" : "flame" })}>
            Zoom
          </button>
        )}
      </div>
      {shown && (
        <>
          <Neighbours title="Callers" none="Nothing calls it: stacks begin here." list={shown.callers} whole={shown} unit={unit} onSelect={select} />
          <Neighbours title="Calls" none="It calls nothing: all its time is its own." list={shown.callees} whole={shown} unit={unit} onSelect={select} />
          <Places places={shown.places} total={shown.total} unit={unit} />
        </>
      )}
      {!profile.file && (
        <>
          <h3>Spans of traces</h3>
          <Spans name={state.fn} params={params} />
        </>
      )}
    </aside>
  );
}

function Values({ about, tree, unit }: { about: AboutFunction; tree: ViewProps["profile"]["tree"]; unit: string }) {
  const all = tree.total[0]!;
  const baseAll = tree.baseTotal?.[0] ?? 0;
  const row = (what: string, now: number, base: number) => (
    <>
      <dt>{what}</dt>
      <dd>
        {tree.baseTotal ? (
          <>
            {amount(base, unit)} ({percent(base, baseAll)}) → {amount(now, unit)} ({percent(now, all)}), <b>{difference(now, base, unit)}</b>
          </>
        ) : (
          <>
            <b>{amount(now, unit)}</b> · {percent(now, all)} of all
          </>
        )}
      </dd>
    </>
  );
  return (
    <dl class="fn-facts">
      {row("total", about.total, about.baseTotal)}
      {row("self", about.self, about.baseSelf)}
      {about.callers.length > 0 && (
        <>
          <dt>of parents</dt>
          <dd>{percent(about.total, about.ofParents)} of what calls it</dd>
        </>
      )}
      <dt>called</dt>
      <dd>
        in {many(about.sites, "place")} by {many(about.callers.length, "function")}
        {about.recursive && ", also by itself"}
      </dd>
    </dl>
  );
}

interface NeighboursProps {
  title: string;
  none: string;
  list: Neighbour[];
  whole: AboutFunction;
  unit: string;
  onSelect(name: string): void;
}

function Neighbours({ title, none, list, whole, unit, onSelect }: NeighboursProps) {
  const [all, setAll] = useState(false);
  const total = whole.total + whole.baseTotal;
  const shown = all ? list : list.slice(0, few);
  return (
    <>
      <h3>
        {title} <span>{list.length > 0 && "share of its total"}</span>
      </h3>
      {!list.length && <p class="faded">{none}</p>}
      <ul class="fn-list" aria-label={title}>
        {shown.map((n) => (
          <li key={n.name}>
            <button type="button" title={`${n.name}\n${amount(n.total, unit)}`} onClick={() => onSelect(n.name)}>
              <i style={{ width: `${total ? Math.min(100, (100 * (n.total + n.base)) / total) : 0}%` }} />
              <span>{n.name}</span>
              <b>{percent(n.total + n.base, total)}</b>
            </button>
          </li>
        ))}
      </ul>
      {list.length > few && (
        <button type="button" class="fn-copy" aria-expanded={all} onClick={() => setAll(!all)}>
          {all ? "fewer" : `all ${list.length}`}
        </button>
      )}
    </>
  );
}

function Places({ places, total, unit }: { places: Place[]; total: number; unit: string }) {
  return (
    <>
      <h3>
        {places.length > 1 ? `What has this name (${places.length})` : "Where it is from"}
      </h3>
      {places.slice(0, placesShown).map((p) => (
        <dl class="fn-facts fn-place" key={`${p.frame}`}>
          {places.length > 1 && (
            <>
              <dt>total</dt>
              <dd>
                {amount(p.total, unit)} · {percent(p.total, total)}
              </dd>
            </>
          )}
          <dt>kind</dt>
          <dd>
            {p.kind}
            {p.inlined ? ", inlined" : ""}
          </dd>
          <dt>file</dt>
          <dd>{p.file ? `${p.file}${p.line ? `:${p.line}` : ""}` : <span class="faded">not known</span>}</dd>
          {p.binary && (
            <>
              <dt>binary</dt>
              <dd>{p.binary}</dd>
            </>
          )}
          {p.buildId && (
            <>
              <dt>build ID</dt>
              <dd>
                <code>{p.buildId}</code> <Copy text={p.buildId} what="build ID" />
              </dd>
            </>
          )}
        </dl>
      ))}
      {places.length > placesShown && <p class="faded">and {places.length - placesShown} more</p>}
    </>
  );
}
