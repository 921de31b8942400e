// SPDX-License-Identifier: Apache-2.0
// The functions of the profile as a table: sorted by any column, filtered by the search.

import "./table.css";
import type { ComponentChildren } from "preact";
import { useMemo, useRef, useState } from "preact/hooks";
import { top } from "../../api/client";
import { fill } from "../../model/colour";
import { rows as rowsOf, type Row } from "../../model/rows";
import { pattern } from "../../model/tree";
import { amount, exact, many, percent } from "../../ui/format";
import { useKeys } from "../../ui/keys";
import { Virtual, type VirtualHandle } from "../../ui/virtual";
import { useAnswer } from "../ask";
import { delta, grown } from "../delta";
import { asksServer, exactRows } from "../exact";
import { Highlight } from "../highlight";
import { FrameMenu } from "../menu/menu";
import { commonNode, functionsOf, matchedFunctions } from "../place";
import { select } from "../select";
import type { ViewProps } from "../view";
import { columnsOf, keyOf, orderOf, pressed, rowCount, sorted, sums, type Column } from "./columns";

const rowHeight = 24;
const group = "Table";
const keyList = [
  { key: "↑ ↓", what: "move between functions", group },
  { key: "Home End PgUp PgDn", what: "jump in the table", group },
  { key: "Space", what: "details of the function at the side, or close them", group },
  { key: "Enter", what: "show the function in the flame graph", group },
  { key: "Shift Enter", what: "search for the function", group },
  { key: ".", what: "menu of the function; also Shift F10", group },
];

/** The widths of columns, in the order of columnsOf. The file and the binary are left out where there is little room. */
const widths = {
  alone: "minmax(150px, 3fr) 86px 68px 96px 70px minmax(0, var(--table-file)) minmax(0, var(--table-binary))",
  compared: "minmax(150px, 3fr) 86px 82px 122px 90px 86px 122px minmax(0, var(--table-file)) minmax(0, var(--table-binary))",
};

export function TableView(view: ViewProps) {
  const { profile, matches, searching, theme, state, change, hover, params, generation, announce } = view;
  const { tree, upright, unit } = profile;
  const comparison = !!tree.baseTotal;
  const columns = columnsOf(comparison, state.level);
  const order = orderOf(state.sort, columns);
  const only = searching && state.only !== "0";
  const handle = useRef<VirtualHandle>(null);
  const [menu, setMenu] = useState<{ frame: number; x: number; y: number } | null>(null);
  useKeys(keyList);

  const functions = functionsOf(tree);
  const cut = profile.hidden.nodes > 0;
  const asked = useAnswer(asksServer(view) ? (signal) => top({ ...params, limit: "100000" }, signal) : null, JSON.stringify(params), generation);
  const all = useMemo(() => (asked.answer ? exactRows(rowsOf(upright), asked.answer.rows ?? []) : rowsOf(upright, state.level === "line")), [upright, asked.answer, state.level]);
  const hit = useMemo(() => (searching ? matchedFunctions(tree, matches) : null), [tree, matches, searching]);
  const re = useMemo(() => (searching ? pattern(state.search).re : null), [state.search, searching]);
  const matched = (r: Row) => (r.frame >= 0 ? !hit || !!hit[functions[r.frame]!] : !re || re.test(r.name) || re.test(r.file) || re.test(r.binary));
  const inOrder = useMemo(() => sorted(all, order), [all, order.column.id, order.descending, comparison]);
  const shown = useMemo(() => (only && hit ? inOrder.filter(matched) : inOrder), [inOrder, only, hit]);
  const sum = useMemo(() => sums(shown), [shown]);

  // The active row is a function: it stays the same when the order or the data changes.
  const [key, setKey] = useState("");
  const at = useMemo(() => shown.findIndex((r) => keyOf(r) === key), [shown, key]);

  const whole = asked.answer?.total ?? tree.total[0]!;
  const baseWhole = tree.baseTotal?.[0] ?? 0;
  const hovered = hover.frame >= 0 ? functions[hover.frame] : -1;

  const place = (r: Row) => {
    const { node, places } = r.frame < 0 ? { node: -1, places: 0 } : commonNode(tree, r.frame);
    if (node < 0) {
      announce(`${r.name} is too small for the flame graph.`);
      return;
    }
    change({
      zoom: tree.path(node),
      search: places > 1 ? exactSearch(r.name) : state.search,
      view: state.view === "table" ? "flame" : state.view,
    });
  };
  const search = (r: Row) => change({ search: exactSearch(r.name) });
  const openMenu = (r: Row, i: number) => {
    if (r.frame < 0) return;
    const box = document.getElementById(`table-${i}`)?.getBoundingClientRect();
    setMenu({ frame: r.frame, x: (box?.left ?? 0) + 40, y: box?.bottom ?? 0 });
  };
  const onKey = (e: KeyboardEvent): boolean => {
    const r = shown[at];
    if (!r) return false;
    if (e.key === "Enter") (e.shiftKey ? search : place)(r);
    else if (e.key === " ") select(view, r.name);
    else if (e.key === "." || e.key === "ContextMenu" || (e.key === "F10" && e.shiftKey)) openMenu(r, at);
    else return false;
    return true;
  };

  const cell = (c: Column, r: Row): ComponentChildren => {
    switch (c.id) {
      case "name":
        return (
          <>
            <i class="vl-dot" style={{ background: fill(r.kind, r.name, theme.dark) }} title={r.kind} />
            <Highlight text={r.name} re={re} />
            {r.line > 0 && <span class="faded">:{r.line}</span>}
          </>
        );
      case "selfp":
        return <Bar part={r.self} whole={whole} />;
      case "totalp":
        return <Bar part={r.total} whole={whole} />;
      case "dself":
        return <Delta now={r.self} before={r.baseSelf} unit={unit} />;
      case "dtotal":
        return <Delta now={r.total} before={r.baseTotal} unit={unit} />;
      default: {
        const v = c.value(r);
        return typeof v === "number" ? (v ? amount(v, unit) : <span class="faded">0</span>) : v;
      }
    }
  };
  const foot = (c: Column): ComponentChildren => {
    switch (c.id) {
      case "name":
        return `${only ? `${exact(shown.length)} of ` : ""}${rowCount(all.length, state.level)}${cut && asksServer(view) ? (asked.answer ? " · exact" : " · of the largest nodes") : ""}`;
      case "self":
        return amount(sum.self, unit);
      case "selfp":
        return percent(sum.self, whole);
      case "total":
        return `${only && cut ? "≥ " : ""}${amount(only ? matches.value : whole, unit)}`;
      case "totalp":
        return percent(only ? matches.value : whole, whole);
      case "bself":
        return amount(sum.baseSelf, unit);
      case "dself":
        return delta(sum.self, sum.baseSelf, unit);
      case "btotal":
        return only ? "" : amount(baseWhole, unit);
      case "dtotal":
        return only ? "" : delta(whole, baseWhole, unit);
      default:
        return "";
    }
  };

  const row = (i: number) => {
    const r = shown[i]!;
    const fn = r.frame < 0 ? -2 : functions[r.frame];
    const classes = ["vl-row", i === at && "at", r.name === state.fn && "chosen", fn === hovered && "hovered", searching && !matched(r) && "vl-dim"];
    return (
      <div
        key={keyOf(r)}
        id={`table-${i}`}
        role="row"
        class={classes.filter(Boolean).join(" ")}
        aria-rowindex={i + 2}
        aria-selected={r.name === state.fn}
        data-name={r.name}
        onMouseEnter={() => hover.set(r.frame)}
        onClick={(e) => {
          setKey(keyOf(r));
          handle.current?.focus();
          if (e.detail < 2) select(view, r.name);
        }}
        onDblClick={() => place(r)}
        onContextMenu={(e) => {
          e.preventDefault();
          setKey(keyOf(r));
          if (r.frame >= 0) setMenu({ frame: r.frame, x: e.clientX, y: e.clientY });
        }}
      >
        {columns.map((c) => (
          <div key={c.id} role={c.id === "name" ? "rowheader" : "gridcell"} class={cellClass(c)} title={c.number ? undefined : String(c.value(r))}>
            {cell(c, r)}
          </div>
        ))}
      </div>
    );
  };

  return (
    <section
      class={`table-view ${comparison ? "compared" : ""}`}
      data-view="table"
      data-rows={shown.length}
      data-functions={all.length}
      data-self={sum.self}
      data-exact={cut && !asked.answer ? "0" : "1"}
      data-total={whole}
      onMouseLeave={() => hover.set(-1)}
    >
      {searching && (
        <label class="table-only">
          <input type="checkbox" checked={only} onChange={(e) => change({ only: e.currentTarget.checked ? defaultOnly : "0" }, true)} />
          only matches
          <span class="faded">
            {" "}
            · {exact(all.filter(matched).length)} of {rowCount(all.length, state.level)}
          </span>
        </label>
      )}
      <Virtual
        id="table"
        role="grid"
        label={`Functions, ${many(shown.length, "row")}, sorted by ${order.column.title}`}
        count={shown.length}
        rowHeight={rowHeight}
        columns={comparison ? widths.compared : widths.alone}
        at={at}
        onMove={(i) => {
          setKey(keyOf(shown[i]!));
          hover.set(shown[i]!.frame);
        }}
        onKey={onKey}
        handle={handle}
        head={
          <div role="row" class="vl-row" aria-rowindex={1}>
            {columns.map((c) => (
              <div
                key={c.id}
                role="columnheader"
                class={cellClass(c)}
                aria-sort={c.id === order.column.id ? (order.descending ? "descending" : "ascending") : "none"}
              >
                <button type="button" class="vl-sort" title={c.what} data-sort={c.id} onClick={() => change({ sort: pressed(order, c) }, true)}>
                  {c.title}
                  {c.id === order.column.id && <span aria-hidden="true">{order.descending ? " ▾" : " ▴"}</span>}
                </button>
              </div>
            ))}
          </div>
        }
        foot={
          <div role="row" class="vl-row table-sums" aria-rowindex={shown.length + 2}>
            {columns.map((c) => (
              <div key={c.id} role="gridcell" class={cellClass(c)}>
                {foot(c)}
              </div>
            ))}
          </div>
        }
        row={row}
        empty={<p class="note">{only ? `No function matches “${state.search}”.` : "No functions in this selection."}</p>}
      />
      {menu && (
        <FrameMenu
          view={view}
          frame={menu.frame}
          node={-1}
          x={menu.x}
          y={menu.y}
          onClose={() => {
            setMenu(null);
            handle.current?.focus();
          }}
        />
      )}
    </section>
  );
}

const defaultOnly = "";

const cellClass = (c: Column) => `table-${c.id} ${c.number ? "vl-number" : ""} ${c.id === "selfp" || c.id === "totalp" ? "vl-bar" : ""}`;

/** A search that finds the functions of a name and no others. */
export const exactSearch = (name: string) => `/^${name.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}$/`;

function Bar({ part, whole }: { part: number; whole: number }) {
  return (
    <>
      <i style={{ width: `${whole ? (100 * part) / whole : 0}%` }} />
      <span class={part ? "" : "faded"}>{percent(part, whole)}</span>
    </>
  );
}

function Delta({ now, before, unit }: { now: number; before: number; unit: string }) {
  return (
    <span class={`delta ${grown(now, before)}`}>
      {delta(now, before, unit)}
    </span>
  );
}
