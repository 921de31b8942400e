// SPDX-License-Identifier: Apache-2.0
// The values of any label by what they take.

import "./top.css";
import { useMemo, useRef, useState } from "preact/hooks";
import { labels as askLabels, timeline as askTimeline } from "../../api/client";
import { series as askSeries } from "../../api/tables";
import { hash, series as palette } from "../../model/colour";
import { addMatcher, type Operator } from "../../model/selector";
import { pattern } from "../../model/tree";
import { copyText } from "../../ui/clipboard";
import { amount, exact, many, percent } from "../../ui/format";
import { useKeys } from "../../ui/keys";
import { type MenuEntry, MenuList } from "../../ui/menu";
import { Virtual, type VirtualHandle } from "../../ui/virtual";
import { useAnswer } from "../ask";
import { Highlight } from "../highlight";
import type { ViewProps } from "../view";
import { useCounts } from "./labels";
import { columns, orderOf, pressed, sorted, sparkline, stepOf, valueRows, type ColumnId, type ValueRow } from "./values";

const rowHeight = 26;
const group = "By label";
const keyList = [
  { key: "↑ ↓ Home End", what: "move between values", group },
  { key: "Enter", what: "select only this value", group },
  { key: "Delete", what: "leave this value out; also Shift Enter", group },
  { key: ".", what: "menu of the value; also Shift F10", group },
];
const sparkWidth = 150;
const sparkHeight = 20;

export function Top(view: ViewProps) {
  const { profile, params, generation, state, change, announce, searching } = view;
  const label = state.by;
  const handle = useRef<VirtualHandle>(null);
  const [active, setActive] = useState<string | null>(null);
  const [menu, setMenu] = useState<{ row: ValueRow; x: number; y: number } | null>(null);
  useKeys(keyList);

  const subject = JSON.stringify([params, label]);
  const asked = useAnswer(profile.file ? null : (s) => askSeries({ ...params, labels: label, limit: "5000" }, s), subject, generation);
  const lines = useAnswer(
    profile.file ? null : (s) => askTimeline({ ...params, by: label, limit: "300", step: stepOf(profile.fromMs, profile.toMs) }, s),
    subject,
    generation,
  );
  const known = useAnswer(profile.file ? null : (s) => askLabels(params, s), JSON.stringify(params), 0);
  const labels = useMemo(() => {
    const names = (known.answer?.labels ?? []).map((l) => l.name);
    return names.includes(label) || !label ? names : [label, ...names];
  }, [known.answer, label]);
  const counts = useCounts(labels, params);

  const order = orderOf(state.sort);
  const re = useMemo(() => (searching ? pattern(state.search).re : null), [state.search, searching]);
  const all = useMemo(() => (asked.answer ? sorted(valueRows(asked.answer, lines.answer, label), order) : []), [asked.answer, lines.answer, label, order.id, order.descending]);
  // The search is for functions, but where it fits values it is for these.
  const found = useMemo(() => (re && all.some((r) => re.test(r.value)) ? re : null), [re, all]);
  const rows = useMemo(() => (found && state.only !== "0" ? all.filter((r) => found.test(r.value)) : all), [all, found, state.only]);
  const at = rows.findIndex((r) => r.value === active);
  const unit = asked.answer?.unit ?? profile.unit;
  const whole = asked.answer?.total ?? 0;
  // The largest have the colours that they have in the timeline.
  const largest = useMemo(() => new Map((lines.answer?.series ?? []).slice(0, palette.length).map((l, i) => [l.name, palette[i]!])), [lines.answer]);

  if (profile.file) {
    return (
      <p class="note" data-view="top">
        Labels are asked of the server, which does not know this file.
      </p>
    );
  }

  const choose = (r: ValueRow, op: Operator) => {
    change({ query: addMatcher(state.query, label, op, r.value) });
    announce(`${op === "=" ? "Only" : "Without"} ${label} ${r.value || "(none)"}`);
  };
  const openMenu = (i: number) => {
    const box = document.getElementById(`top-${i}`)?.getBoundingClientRect();
    setMenu({ row: rows[i]!, x: (box?.left ?? 0) + 40, y: box?.bottom ?? 0 });
  };
  const onKey = (e: KeyboardEvent): boolean => {
    const r = rows[at];
    if (!r) return false;
    if (e.key === "Enter") choose(r, e.shiftKey ? "!=" : "=");
    else if (e.key === "Delete") choose(r, "!=");
    else if (e.key === "." || e.key === "ContextMenu" || (e.key === "F10" && e.shiftKey)) openMenu(at);
    else return false;
    return true;
  };
  const colour = (r: ValueRow) => largest.get(r.value) ?? (r.value ? `hsl(${Math.round(360 * hash(r.value))} 30% 60%)` : "var(--faded)");

  const row = (i: number) => {
    const r = rows[i]!;
    const path = r.line ? sparkline(r.line, sparkWidth, sparkHeight) : "";
    const most = r.line ? Math.max(...r.line) : 0;
    return (
      <div
        key={r.value}
        id={`top-${i}`}
        role="row"
        aria-rowindex={i + 2}
        aria-selected={i === at}
        class={`vl-row ${i === at ? "at" : ""}`}
        data-value={r.value}
        data-sum={r.sum}
        title="Click: only this value. Shift or Alt and click: without it."
        onClick={(e) => {
          setActive(r.value);
          choose(r, e.shiftKey || e.altKey ? "!=" : "=");
        }}
        onContextMenu={(e) => {
          e.preventDefault();
          setActive(r.value);
          setMenu({ row: r, x: e.clientX, y: e.clientY });
        }}
      >
        <div role="rowheader" class="top-value">
          <i class="vl-dot" style={{ background: colour(r) }} />
          {r.value ? <Highlight text={r.value} re={found} /> : <i class="faded">(none)</i>}
        </div>
        <div role="gridcell" class="vl-number">
          {amount(r.sum, unit)}
        </div>
        <div role="gridcell" class="vl-number vl-bar">
          <i style={{ width: `${whole ? (100 * r.sum) / whole : 0}%` }} />
          <span>{percent(r.sum, whole)}</span>
        </div>
        <div role="gridcell" class="vl-number top-samples">
          {exact(r.samples)}
        </div>
        <div role="gridcell" class="top-spark">
          {path && (
            <svg width={sparkWidth} height={sparkHeight} role="img" aria-label={`over time, at most ${amount(most, unit)} in a step`}>
              <title>{`at most ${amount(most, unit)} in a step of ${stepText(lines.answer!.step_ms)}`}</title>
              <path d={path} fill={colour(r)} />
            </svg>
          )}
        </div>
      </div>
    );
  };

  const sum = rows.reduce((s, r) => s + r.sum, 0);
  const samples = rows.reduce((s, r) => s + r.samples, 0);
  const hidden = asked.answer?.hidden ?? 0;
  return (
    <section class="top" data-view="top" data-by={label} data-rows={rows.length} data-sum={sum} data-total={whole} data-ready={asked.waiting ? "" : "1"}>
      <div class="top-labels" role="group" aria-label="Label">
        {labels.map((name) => (
          <button key={name} type="button" aria-pressed={name === label} class={name === label ? "on" : ""} data-label={name} onClick={() => change({ by: name })}>
            {name}
            {counts.has(name) && <span class="faded"> {exact(counts.get(name)!)}</span>}
          </button>
        ))}
      </div>
      {asked.error && <p class="problem pad">{asked.error}</p>}
      <Virtual
        id="top"
        role="grid"
        label={`Values of ${label}. Enter selects only one, Delete leaves it out.`}
        count={rows.length}
        rowHeight={rowHeight}
        columns={`minmax(140px, 2fr) 90px minmax(110px, 1fr) 90px ${sparkWidth + 12}px`}
        at={at}
        onMove={(i) => setActive(rows[i]!.value)}
        onKey={onKey}
        handle={handle}
        head={
          <div role="row" class="vl-row" aria-rowindex={1}>
            {columns.map((c) => (
              <div
                key={c.id}
                role="columnheader"
                class={`${c.number ? "vl-number" : ""} ${c.id === "samples" ? "top-samples" : ""}`}
                aria-sort={c.id === order.id ? (order.descending ? "descending" : "ascending") : "none"}
              >
                <button type="button" class="vl-sort" data-sort={c.id} onClick={() => change({ sort: pressed(order, c.id as ColumnId) }, true)}>
                  {c.id === "value" ? label : c.title}
                  {c.id === order.id && <span aria-hidden="true">{order.descending ? " ▾" : " ▴"}</span>}
                </button>
              </div>
            ))}
            <b role="columnheader" class="top-spark">
              Over time
            </b>
          </div>
        }
        foot={
          <div role="row" class="vl-row" aria-rowindex={rows.length + 2}>
            <div role="gridcell">
              {many(rows.length, "value")}
              {hidden ? ` · ${exact(hidden)} more are not listed` : ""}
            </div>
            <div role="gridcell" class="vl-number">
              {amount(sum, unit)}
            </div>
            <div role="gridcell" class="vl-number">
              {percent(sum, whole)}
            </div>
            <div role="gridcell" class="vl-number top-samples">
              {exact(samples)}
            </div>
            <div role="gridcell" class="top-spark" />
          </div>
        }
        row={row}
        empty={<p class="note">{asked.waiting ? `Asking for the values of ${label} …` : "No samples in this selection."}</p>}
      />
      {menu && (
        <ValueMenu
          label={label}
          view={view}
          menu={menu}
          choose={choose}
          onClose={() => {
            setMenu(null);
            handle.current?.focus();
          }}
        />
      )}
    </section>
  );
}

const stepText = (ms: number) => (ms >= 60_000 ? `${Math.round(ms / 6000) / 10} min` : `${ms / 1000} s`);

interface MenuProps {
  label: string;
  view: ViewProps;
  menu: { row: ValueRow; x: number; y: number };
  choose(r: ValueRow, op: Operator): void;
  onClose(): void;
}

function ValueMenu({ label, view, menu, choose, onClose }: MenuProps) {
  const { row } = menu;
  const { state, change, announce } = view;
  const value = row.value || "(none)";
  const copy = async () => announce((await copyText(row.value)) ? "value copied" : "the value could not be copied: the browser does not allow it");
  const entries: MenuEntry[] = [
    { label: `Only ${label} = ${value}`, run: () => choose(row, "=") },
    { label: `Without ${value}`, run: () => choose(row, "!=") },
    { label: "Show it as a flame graph", run: () => change({ query: addMatcher(state.query, label, "=", row.value), view: "flame", zoom: [] }) },
    { label: `Group the flame graph by ${label}`, run: () => change({ group: label, view: "flame", zoom: [row.value || `(no ${label})`] }) },
    {
      label: "Compare it with all others",
      run: () => change({ bquery: addMatcher(state.query, label, "!=", row.value), query: addMatcher(state.query, label, "=", row.value), bfrom: state.from, bto: state.to, view: "diff" }),
    },
    { label: "Copy the value", run: () => void copy() },
  ];
  return <MenuList class="top-menu" label={`${label} ${value}`} entries={entries} x={menu.x} y={menu.y} onClose={onClose} />;
}
