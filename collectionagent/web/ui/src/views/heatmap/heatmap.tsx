// SPDX-License-Identifier: Apache-2.0
// When it happened, to a part of a second: a column is a second (or longer), the rows are the time within it.
// Bursts are dots, what comes at intervals is lines. A brush over cells shows what ran then.

import "./heatmap.css";
import { useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import * as api from "../../api/client";
import { amount, count, dateTime, many } from "../../ui/format";
import { useKeys } from "../../ui/keys";
import { type Span, lengthText, offset, precise, spanText } from "../../ui/times";
import { useAsk } from "../ask";
import type { ViewProps } from "../view";
import { gutter, paint, placeOf, type Plot } from "./draw";
import { Grid, rowsFor, type Cell } from "./grid";
import { css, ramp } from "./ramp";
import { Subset } from "./subset";

const group = "Heatmap";
const keyList = [
  { key: "← → ↑ ↓", what: "move over the cells; with Shift, select", group },
  { key: "PgUp PgDn", what: "ten columns", group },
  { key: "Home End", what: "the first or the last column", group },
  { key: "Space", what: "select the cell", group },
  { key: "Enter", what: "narrow the time to the selection and show its flame graph", group },
  { key: "Escape", what: "select nothing", group },
];

interface Tip {
  cell: Cell;
  x: number;
  y: number;
}

export function Heatmap(view: ViewProps) {
  const { params, generation, state, change, theme, announce } = view;
  const by = state.heat === "value" ? "value" : "time";
  // Rows that are shorter than the time between samples would show the clock of the sampler and little else.
  const [periodMs, setPeriodMs] = useState(50);
  const rows = by === "time" && view.profile.toMs - view.profile.fromMs <= 15 * 60e3 ? rowsFor(periodMs) : "";
  const question = useMemo(() => ({ ...params, by, rows }), [JSON.stringify(params), by, rows]);
  const { answer, error, waiting } = useAsk(JSON.stringify(question), generation, (signal) => api.heatmap(question, signal));
  const grid = useMemo(() => answer && new Grid(answer), [answer]);
  // At once, as it may be another question: an answer with rows of another height is not what is waited for.
  useLayoutEffect(() => {
    if (grid?.periodMs) setPeriodMs(grid.periodMs);
  }, [grid]);

  const holder = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const [size, setSize] = useState({ width: 0, height: 0 });
  const [tip, setTip] = useState<Tip | null>(null);
  // Times and not cells: the columns move on with each refresh.
  const [brush, setBrush] = useState<Span | null>(null);
  const [cursor, setCursor] = useState<{ at: Cell; anchor: Cell } | null>(null);
  const [focused, setFocused] = useState(false);
  const drag = useRef<{ from: Cell; moved: boolean } | null>(null);
  useKeys(keyList);

  useLayoutEffect(() => {
    const el = holder.current;
    if (!el) return;
    const measure = () => setSize({ width: el.clientWidth, height: el.clientHeight });
    const observer = new ResizeObserver(measure);
    observer.observe(el);
    measure();
    return () => observer.disconnect();
  }, [!grid]);

  const plot: Plot | null = grid && size.width ? { grid, ...size } : null;
  useLayoutEffect(() => {
    if (!plot) return;
    const frame = requestAnimationFrame(() => canvas.current && paint(canvas.current, plot, theme, brush, focused && cursor ? cursor.at : null));
    return () => cancelAnimationFrame(frame);
  }, [grid, size, theme, brush, cursor, focused]);

  const sum = useMemo(() => (grid && brush ? grid.sum(brush) : null), [grid, brush]);

  const select = (a: Cell, b: Cell) => {
    const span = grid!.span(a, b);
    setBrush(span);
    return span;
  };
  const narrow = (s: Span | null) => {
    if (!s) return;
    change({ from: String(Math.floor(s.from)), to: String(Math.ceil(s.to)), view: "flame" });
    announce(`Flame graph of ${spanText(s)}.`);
  };
  const cellAt = (e: PointerEvent): Cell | null => {
    const box = canvas.current!.getBoundingClientRect();
    return plot && placeOf(plot, e.clientX - box.left, e.clientY - box.top, drag.current !== null);
  };

  const keys = (e: KeyboardEvent) => {
    if (!grid || e.ctrlKey || e.metaKey || e.altKey) return;
    const at = cursor?.at ?? { column: grid.columns - 1, row: 0 };
    const go = (column: number, row: number) => {
      const next = grid.inside({ column: at.column + column, row: at.row + row });
      const anchor = e.shiftKey ? (cursor?.anchor ?? at) : next;
      setCursor({ at: next, anchor });
      if (e.shiftKey) {
        const s = select(anchor, next);
        announce(`${spanText(s)}, ${lengthText(s)}, ${many(grid.sum(s).samples, "sample")} selected`);
      } else {
        announce(grid.sentence(next));
      }
    };
    const moves: Record<string, [number, number]> = {
      ArrowLeft: [-1, 0],
      ArrowRight: [1, 0],
      ArrowUp: [0, 1],
      ArrowDown: [0, -1],
      PageUp: [-10, 0],
      PageDown: [10, 0],
      Home: [-grid.columns, 0],
      End: [grid.columns, 0],
    };
    const move = moves[e.key];
    if (move) go(...move);
    else if (e.key === "Enter") narrow(brush ?? grid.time(at));
    else if (e.key === " ") select(at, at);
    else if (e.key === "Escape" && (brush || cursor)) {
      setBrush(null);
      setCursor(null);
      announce("Nothing is selected.");
    } else return;
    e.preventDefault();
  };

  const horizon = answer && answer.coverage.horizon_ms > (grid?.answer.start_ms ?? 0) + (grid?.answer.column_ms ?? 0) ? answer.coverage.horizon_ms : 0;
  return (
    <div class="heat" data-view="heatmap" data-columns={grid?.columns ?? 0} data-rows={grid?.rows ?? 0} data-total={answer?.total ?? 0} data-by={by} data-waiting={waiting}>
      <div class="heat-head">
        <div class="tabs" role="group" aria-label="What the rows are">
          <button type="button" aria-pressed={by === "time"} class={by === "time" ? "on" : ""} onClick={() => (setBrush(null), setCursor(null), change({ heat: "" }))}>
            Time within {answer && by === "time" ? offset(answer.column_ms * 1e6) : "the column"}
          </button>
          <button type="button" aria-pressed={by === "value"} class={by === "value" ? "on" : ""} onClick={() => (setBrush(null), setCursor(null), change({ heat: "value" }))}>
            Size of a sample
          </button>
        </div>
        {grid && <Scale grid={grid} dark={theme.dark} />}
        <span class="spacer" />
        <span class="faded heat-hint">Drag over cells to see what ran then. Keys: arrows, Shift, Enter.</span>
      </div>
      {error && (
        <div class="alert" role="alert">
          {error}
        </div>
      )}
      {horizon > 0 && <p class="warning">Of what is older than {dateTime(horizon)} there are no samples any more, only sums: it is not in this picture.</p>}
      {grid && !answer!.samples && <p class="note">No samples in this selection.</p>}
      {grid && answer!.samples > 0 && (
        <div
          class="heat-plot"
          ref={holder}
          tabIndex={0}
          role="application"
          aria-roledescription="heatmap"
          aria-label={`Heatmap of ${many(grid.columns, "column")} of ${offset(answer!.column_ms * 1e6)}. Arrow keys move over the cells, Shift selects, Enter shows the flame graph of the selection.`}
          data-cursor={cursor ? grid.sentence(cursor.at) : ""}
          data-from={brush ? Math.floor(brush.from) : ""}
          data-to={brush ? Math.ceil(brush.to) : ""}
          onKeyDown={keys}
          onFocus={() => setFocused(true)}
          onBlur={() => setFocused(false)}
        >
          <canvas
            ref={canvas}
            onPointerDown={(e) => {
              if (e.button !== 0) return;
              const cell = cellAt(e);
              if (!cell) return;
              drag.current = { from: cell, moved: false };
              canvas.current!.setPointerCapture(e.pointerId);
              setTip(null);
              setCursor({ at: cell, anchor: cell });
              select(cell, cell);
            }}
            onPointerMove={(e) => {
              const cell = cellAt(e);
              if (drag.current && cell) {
                setCursor({ at: cell, anchor: drag.current.from });
                select(drag.current.from, cell);
              } else setTip(cell && { cell, x: e.clientX, y: e.clientY });
            }}
            onPointerUp={() => {
              if (drag.current && brush) announce(`${spanText(brush)} selected. Enter narrows the time to it.`);
              drag.current = null;
            }}
            onPointerCancel={() => (drag.current = null)}
            onPointerLeave={() => setTip(null)}
            onDblClick={() => narrow(brush)}
          />
        </div>
      )}
      {tip && grid && <HeatTip grid={grid} tip={tip} />}
      {grid && brush && sum && (
        <Subset
          view={view}
          span={brush}
          title={
            <>
              <b>{spanText(brush)}</b> · {lengthText(brush)} · {amount(sum.value, grid.answer.unit)} · {many(sum.samples, "sample")}
            </>
          }
          onNarrow={() => narrow(brush)}
          onClose={() => {
            setBrush(null);
            holder.current?.focus();
          }}
        />
      )}
      {!grid && !error && <p class="note">Asking…</p>}
    </div>
  );
}

/** What colours stand for. */
function Scale({ grid, dark }: { grid: Grid; dark: boolean }) {
  const colours = ramp(24, dark);
  return (
    <span class="heat-scale" role="img" aria-label={`Colours from little to ${amount(grid.most, grid.answer.unit)} in a cell`}>
      <span class="faded">0</span>
      <span class="heat-ramp">
        {colours.map((c, i) => (
          <i key={i} style={{ background: css(c) }} />
        ))}
      </span>
      <span class="faded">
        {amount(grid.most, grid.answer.unit)}
        {grid.largest > grid.most ? " and more" : ""} per cell
      </span>
    </span>
  );
}

function HeatTip({ grid, tip }: { grid: Grid; tip: Tip }) {
  const t = grid.time(tip.cell);
  const at = grid.at(tip.cell);
  const left = tip.x + gutter + 220 > window.innerWidth ? { right: `${window.innerWidth - tip.x + 14}px` } : { left: `${tip.x + 14}px` };
  return (
    <div class="tooltip small" role="tooltip" style={{ top: `${tip.y + 14}px`, ...left }}>
      <strong>
        {precise(t.from)} – {precise(t.to)}
      </strong>
      {!grid.byTime && <div>{grid.rowText(tip.cell.row)} per sample</div>}
      <div>{grid.samples[at] ? `${amount(grid.value[at]!, grid.answer.unit)} in ${count(grid.samples[at]!)} ${grid.samples[at] === 1 ? "sample" : "samples"}` : "no samples"}</div>
    </div>
  );
}
