// SPDX-License-Identifier: Apache-2.0
// A table that stays quick with many rows: only those in sight are drawn. Up and down go from
// row to row, Enter opens the details of one. On a phone a row becomes a card.

import { Fragment, type ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { useKeys } from "../ui/keys";
import { moved, slice, topOf } from "./window";

export interface Column<R> {
  id: string;
  title: string;
  /** What the column means, for who hovers over its title. */
  hint?: string;
  numeric?: boolean;
  /** It is no order that a person would ask for. */
  unsorted?: boolean;
  class?: string | ((row: R) => string);
  cell(row: R): ComponentChildren;
}

export interface RowTableProps<R> {
  label: string;
  rows: readonly R[];
  id(row: R): string;
  /** The first column: it names the row, and opens its details. */
  head: Column<R>;
  columns: readonly Column<R>[];
  /** The column that rows are sorted by, with a "-" for descending; "" for the order of the server. */
  sort: string;
  onSort(sort: string): void;
  open: readonly string[];
  onOpen(id: string): void;
  details(row: R): ComponentChildren;
  rowClass?: string;
  rowData?(row: R): Record<string, string>;
}

/** The order after a click on a column: the useful direction first, then the other, then the order of the server. */
export function nextSort(sort: string, column: string, numeric: boolean): string {
  const first = numeric ? `-${column}` : column;
  const second = numeric ? column : `-${column}`;
  return sort === first ? second : sort === second ? "" : first;
}

export function RowTable<R>(p: RowTableProps<R>) {
  const box = useRef<HTMLDivElement>(null);
  const body = useRef<HTMLTableSectionElement>(null);
  const [sight, setSight] = useState({ from: 0, to: 2000 });
  const [height, setHeight] = useState(31);
  const [active, setActive] = useState("");
  const wanted = useRef(-1); // the row that is to get the focus once it is drawn
  const heights = useRef(new Map<string, number>());
  const [, redraw] = useState(0);
  useKeys([
    { key: "↑ ↓ Home End PgUp PgDn", what: "Move between rows", group: "Table" },
    { key: "Enter", what: "Details of the row, or close them", group: "Table" },
  ]);

  const index = new Map(p.rows.map((r, i) => [p.id(r), i]));
  const extras = p.open
    .filter((id) => index.has(id))
    .map((id) => ({ index: index.get(id)!, height: heights.current.get(id) ?? 200 }))
    .sort((a, b) => a.index - b.index);
  const s = slice(p.rows.length, height, extras, sight.from, sight.to);
  const activeAt = index.get(active) ?? 0;

  useEffect(() => {
    const look = () => {
      const b = body.current;
      const around = box.current?.getBoundingClientRect();
      if (!b || !around) return;
      const top = b.getBoundingClientRect().top;
      const from = Math.max(around.top, 0) - top;
      const to = Math.min(around.bottom, window.innerHeight) - top;
      setSight((old) => (Math.abs(old.from - from) < 60 && Math.abs(old.to - to) < 60 ? old : { from, to }));
    };
    look();
    const observer = new ResizeObserver(look);
    observer.observe(box.current!);
    window.addEventListener("scroll", look, { capture: true, passive: true });
    window.addEventListener("resize", look);
    return () => {
      observer.disconnect();
      window.removeEventListener("scroll", look, { capture: true });
      window.removeEventListener("resize", look);
    };
  }, []);

  useLayoutEffect(() => {
    const row = body.current?.querySelector<HTMLElement>("tr.pg-row");
    if (row && Math.abs(row.offsetHeight - height) >= 1) setHeight(row.offsetHeight);
    let changed = false;
    for (const d of body.current?.querySelectorAll<HTMLElement>("tr.details") ?? []) {
      const old = heights.current.get(d.dataset.of!) ?? 200;
      if (Math.abs(old - d.offsetHeight) < 1) continue;
      heights.current.set(d.dataset.of!, d.offsetHeight);
      changed = true;
    }
    if (changed && p.rows.length > s.last - s.first) redraw((n) => n + 1);
    if (wanted.current < 0) return;
    const button = body.current?.querySelector<HTMLElement>(`.pg-row[data-at="${wanted.current}"] .pg-row-head`);
    if (!button) return;
    wanted.current = -1;
    button.focus({ preventScroll: true });
    button.closest("tr")!.scrollIntoView({ block: "nearest" });
  });

  const go = (e: KeyboardEvent) => {
    if (e.altKey || e.ctrlKey || e.metaKey || !(e.target as HTMLElement).classList.contains("pg-row-head")) return;
    const to = moved(e.key, activeAt, p.rows.length, Math.max(1, Math.floor((sight.to - Math.max(0, sight.from)) / height) - 1));
    if (to < 0) return;
    e.preventDefault();
    e.stopPropagation();
    wanted.current = to;
    setActive(p.id(p.rows[to]!));
    if (to >= s.first && to < s.last) return;
    // The row is not drawn yet: scroll to where it will be.
    const b = box.current!;
    const scrolls = b.scrollHeight > b.clientHeight + 1;
    const y = topOf(to, height, extras);
    if (scrolls) b.scrollTop = y - b.clientHeight / 2;
    else window.scrollTo({ top: window.scrollY + body.current!.getBoundingClientRect().top + y - window.innerHeight / 2 });
  };

  const title = (c: Column<R>) => {
    const by = p.sort.replace(/^-/, "") === c.id;
    const down = by && p.sort.startsWith("-");
    return (
      <th key={c.id} class={c.numeric ? "number" : ""} scope="col" title={c.hint} aria-sort={by ? (down ? "descending" : "ascending") : "none"}>
        {c.unsorted ? (
          <span class="pg-title">{c.title}</span>
        ) : (
          <button type="button" onClick={() => p.onSort(nextSort(p.sort, c.id, !!c.numeric))}>
            {c.title}
            <span aria-hidden="true">{by ? (down ? " ↓" : " ↑") : ""}</span>
          </button>
        )}
      </th>
    );
  };

  const all = p.columns.length + 1;
  const space = (px: number) =>
    px > 0 && (
      <tr class="pg-space" aria-hidden="true" style={{ height: `${px}px` }}>
        <td colSpan={all} />
      </tr>
    );
  return (
    <div class="table pg-scroll" ref={box}>
      <table class="pg-table" aria-label={p.label} aria-rowcount={p.rows.length + 1}>
        <thead>
          <tr>
            {title(p.head)}
            {p.columns.map(title)}
          </tr>
        </thead>
        <tbody ref={body} onKeyDown={go}>
          {space(s.before)}
          {p.rows.slice(s.first, s.last).map((row, i) => {
            const at = s.first + i;
            const id = p.id(row);
            const isOpen = p.open.includes(id);
            const toggle = () => {
              setActive(id);
              p.onOpen(id);
            };
            return (
              <Fragment key={id}>
                <tr
                  class={`pg-row ${p.rowClass ?? ""} ${isOpen ? "open" : ""}`}
                  data-at={at}
                  {...p.rowData?.(row)}
                  aria-rowindex={at + 2}
                  onClick={(e) => !getSelection()?.toString() && !(e.target as HTMLElement).closest("a, button") && toggle()}
                >
                  <th scope="row" class={`pg-name ${className(p.head, row)}`}>
                    <button type="button" class="pg-row-head" tabIndex={at === activeAt ? 0 : -1} aria-expanded={isOpen} onFocus={() => setActive(id)} onClick={toggle}>
                      <span aria-hidden="true">{isOpen ? "▾" : "▸"}</span> {p.head.cell(row)}
                    </button>
                  </th>
                  {p.columns.map((c) => {
                    const cell = c.cell(row);
                    const none = cell === "–" || cell === ""; // cards leave it out
                    return (
                      <td key={c.id} data-label={c.title} class={`${c.numeric ? "number" : ""} ${none ? "pg-none" : ""} ${className(c, row)}`}>
                        {cell}
                      </td>
                    );
                  })}
                </tr>
                {isOpen && (
                  <tr class="details" data-of={id}>
                    <td colSpan={all}>
                      <div class="detail">{p.details(row)}</div>
                    </td>
                  </tr>
                )}
              </Fragment>
            );
          })}
          {space(s.after)}
        </tbody>
      </table>
    </div>
  );
}

const className = <R,>(c: Column<R>, row: R): string => (typeof c.class === "function" ? c.class(row) : (c.class ?? ""));
