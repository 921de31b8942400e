// SPDX-License-Identifier: Apache-2.0
// The values of a label with what they take, and how that was over time.

import type { TimelineAnswer } from "../../api/answers";
import type { SeriesAnswer } from "../../api/tables";

export interface ValueRow {
  /** "" for samples that do not have the label. */
  value: string;
  sum: number;
  samples: number;
  /** Over time, null where that is not known. */
  line: number[] | null;
}

/** How a timeline calls the samples that have no such label. */
const nameOfNone = (label: string) => `(no ${label})`;

export function valueRows(series: SeriesAnswer, timeline: TimelineAnswer | null, label: string): ValueRow[] {
  const lines = new Map<string, number[]>();
  for (const s of timeline?.by === label ? (timeline.series ?? []) : []) lines.set(s.name, s.values);
  return (series.series ?? []).map((s) => {
    const value = s.values[0] ?? "";
    return { value, sum: s.sum, samples: s.samples, line: lines.get(value || nameOfNone(label)) ?? null };
  });
}

export const columns = [
  { id: "value", title: "Value", number: false },
  { id: "sum", title: "Amount", number: true },
  { id: "share", title: "Share", number: true },
  { id: "samples", title: "Samples", number: true },
] as const;
export type ColumnId = (typeof columns)[number]["id"];

export interface Order {
  id: ColumnId;
  descending: boolean;
}

/** What state.sort says, the largest first where it says nothing that fits. */
export function orderOf(sort: string): Order {
  const descending = sort.startsWith("-");
  const id = descending ? sort.slice(1) : sort;
  const column = columns.find((c) => c.id === id);
  return column ? { id: column.id, descending } : { id: "sum", descending: true };
}

export function pressed(order: Order, id: ColumnId): string {
  const descending = order.id === id ? !order.descending : id !== "value";
  return `${descending ? "-" : ""}${id}`;
}

/** Numbers in a text count as numbers: worker-2 comes before worker-10. */
const byText = new Intl.Collator("en", { numeric: true });

export function sorted(rows: readonly ValueRow[], { id, descending }: Order): ValueRow[] {
  const sign = descending ? -1 : 1;
  const text = (a: ValueRow, b: ValueRow) => byText.compare(a.value, b.value);
  return [...rows].sort((a, b) => {
    if (id === "value") return sign * text(a, b);
    const by = id === "samples" ? a.samples - b.samples : a.sum - b.sum;
    return sign * by || text(a, b);
  });
}

/** The outline of values over time as the path of an SVG of a size. */
export function sparkline(values: readonly number[], width: number, height: number): string {
  const most = Math.max(...values, 0);
  if (!most || !values.length) return "";
  const x = (i: number) => ((i * width) / values.length).toFixed(1);
  const y = (v: number) => (height - (v * (height - 1)) / most).toFixed(1);
  let path = `M0 ${height}`;
  values.forEach((v, i) => (path += `L${x(i)} ${y(v)}L${x(i + 1)} ${y(v)}`));
  return `${path}L${width} ${height}Z`;
}

/** A width of steps that makes about so many of a range, as the server takes it. */
export const stepOf = (fromMs: number, toMs: number, steps = 60): string => `${Math.max(1, Math.round((toMs - fromMs) / steps / 1000))}s`;
