// SPDX-License-Identifier: Apache-2.0
// A long list of rows of the same height, of which only those in sight are in the page. The
// list as a whole has the keyboard focus; one of its rows is the active one.

import "./virtual.css";
import type { ComponentChildren, RefObject } from "preact";
import { useEffect, useImperativeHandle, useLayoutEffect, useRef, useState } from "preact/hooks";
import { rowAfter, rowsInSight, scrollFor } from "./rowkeys";

export interface VirtualHandle {
  /** Brings a row in sight. */
  reveal(row: number): void;
  focus(): void;
}

interface Props {
  /** The ID of row i is `${id}-${i}`. */
  id: string;
  role: "grid" | "treegrid" | "listbox";
  label: string;
  count: number;
  /** In pixels, as the rows are in CSS. */
  rowHeight: number;
  /** What columns are, as grid-template-columns has it. */
  columns: string;
  /** A row that stays at the top, and one that stays at the bottom. */
  head?: ComponentChildren;
  foot?: ComponentChildren;
  /** A row, with its key and its ID. */
  row(i: number): ComponentChildren;
  /** The active row, -1 for none. */
  at: number;
  onMove(i: number): void;
  /** Handles a key that does not move; true when it did. It is asked first. */
  onKey?(e: KeyboardEvent): boolean;
  handle?: RefObject<VirtualHandle | null>;
  class?: string;
  /** What to show in place of no rows. */
  empty?: ComponentChildren;
  data?: Record<`data-${string}`, string | number>;
}

const around = 8;

export function Virtual(p: Props) {
  const holder = useRef<HTMLDivElement>(null);
  const head = useRef<HTMLDivElement>(null);
  const foot = useRef<HTMLDivElement>(null);
  const [sight, setSight] = useState<[number, number]>([0, 40]);
  const current = useRef(p);
  current.current = p;

  const room = () => holder.current!.clientHeight - (head.current?.offsetHeight ?? 0) - (foot.current?.offsetHeight ?? 0);
  const measure = () => {
    const el = holder.current;
    if (!el) return;
    const { count, rowHeight } = current.current;
    const next = rowsInSight(el.scrollTop, el.clientHeight, rowHeight, count, around);
    setSight((s) => (s[0] === next[0] && s[1] === next[1] ? s : next));
  };
  useLayoutEffect(() => {
    const observer = new ResizeObserver(measure);
    observer.observe(holder.current!);
    return () => observer.disconnect();
  }, []);
  useLayoutEffect(measure, [p.count, p.rowHeight]);

  const reveal = (row: number) => {
    const el = holder.current;
    if (el) el.scrollTop = scrollFor(row, el.scrollTop, room(), current.current.rowHeight);
    measure();
  };
  useImperativeHandle(p.handle ?? null, () => ({ reveal, focus: () => holder.current?.focus({ preventScroll: true }) }), []);
  useEffect(() => {
    if (p.at >= 0) reveal(p.at);
  }, []);

  const keys = (e: KeyboardEvent) => {
    if (e.defaultPrevented || e.ctrlKey || e.metaKey || e.altKey) return;
    // What is inside and handles keys itself, such as the buttons of the head.
    if (e.target !== holder.current) return;
    if (p.onKey?.(e)) {
      e.preventDefault();
      return;
    }
    const next = rowAfter(e.key, p.at, p.count, Math.floor(room() / p.rowHeight));
    if (next === null || e.shiftKey) return;
    e.preventDefault();
    p.onMove(next);
    reveal(next);
  };

  const last = Math.min(sight[1], p.count);
  const first = Math.min(sight[0], last);
  const rows: ComponentChildren[] = [];
  for (let i = first; i < last; i++) rows.push(p.row(i));
  const inner = p.role === "listbox" ? "presentation" : "rowgroup";
  return (
    <div
      ref={holder}
      class={`vl ${p.class ?? ""}`}
      role={p.role}
      aria-label={p.label}
      aria-rowcount={p.role === "listbox" ? undefined : p.count + (p.head ? 1 : 0) + (p.foot ? 1 : 0)}
      aria-activedescendant={p.at >= first && p.at < last ? `${p.id}-${p.at}` : undefined}
      tabIndex={0}
      style={{ "--vl-columns": p.columns, "--vl-row": `${p.rowHeight}px` }}
      onScroll={measure}
      onKeyDown={keys}
      {...p.data}
    >
      {p.head && (
        <div class="vl-head" role={inner} ref={head}>
          {p.head}
        </div>
      )}
      <div class="vl-body" role={inner} style={{ height: `${p.count * p.rowHeight}px` }}>
        <div class="vl-rows" role="presentation" style={{ transform: `translateY(${first * p.rowHeight}px)` }}>
          {rows}
        </div>
      </div>
      {!p.count && p.empty}
      {p.foot && (
        <div class="vl-foot" role={inner} ref={foot}>
          {p.foot}
        </div>
      )}
    </div>
  );
}
