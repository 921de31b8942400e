// SPDX-License-Identifier: Apache-2.0
// The columns of the table of functions: what they hold, their order, and their sums.

import type { Row } from "../../model/rows";
import type { Level } from "../../state/state";
import { exact, many } from "../../ui/format";

export interface Column {
  /** As state.sort has it. */
  id: string;
  title: string;
  /** What it means, for the tooltip. */
  what: string;
  number: boolean;
  value(r: Row): number | string;
}

const text = (id: "name" | "file" | "binary", title: string, what: string): Column => ({ id, title, what, number: false, value: (r) => r[id] });
const number = (id: string, title: string, what: string, value: (r: Row) => number): Column => ({ id, title, what, number: true, value });

const name = text("name", "Function", "The name of the function");
const ends = [
  { ...text("file", "File", "The source file, where it is known"), value: (r: Row) => (r.line && r.file ? `${r.file}:${r.line}` : r.file) },
  text("binary", "Binary", "The executable or library that the function is in"),
];

const alone: Column[] = [
  name,
  number("self", "Self", "While the function itself was running", (r) => r.self),
  number("selfp", "Self %", "Its own share of all", (r) => r.self),
  number("total", "Total", "With all that it called; a stack counts once however often the function is on it", (r) => r.total),
  number("totalp", "Total %", "Its share of all with what it called", (r) => r.total),
  ...ends,
];

const compared: Column[] = [
  name,
  number("bself", "Base self", "Self in the base", (r) => r.baseSelf),
  number("self", "Self", "Self in the selection", (r) => r.self),
  number("dself", "Δ self", "How much self has grown since the base", (r) => r.self - r.baseSelf),
  number("btotal", "Base total", "Total in the base", (r) => r.baseTotal),
  number("total", "Total", "Total in the selection", (r) => r.total),
  number("dtotal", "Δ total", "How much total has grown since the base", (r) => r.total - r.baseTotal),
  ...ends,
];

const names: Record<Level, [one: string, what: string]> = {
  function: ["Function", "The name of the function"],
  line: ["Line", "The function and its line, where it is known"],
  file: ["File", "The source file, or the binary where it is not known"],
  binary: ["Binary", "The executable or library"],
};

/** The columns of a table of what the levels of stacks are. */
export function columnsOf(comparison: boolean, level: Level = "function"): readonly Column[] {
  const list = comparison ? compared : alone;
  if (level === "function") return list;
  const [title, what] = names[level];
  return list.map((c) => (c.id === "name" ? { ...c, title, what } : c));
}

/** How many rows there are, in the foot of the table. */
export const rowCount = (n: number, level: Level): string => (level === "binary" ? (n === 1 ? "1 binary" : `${exact(n)} binaries`) : many(n, level));

export interface Order {
  column: Column;
  descending: boolean;
}

/** What state.sort says; the own time, or in a comparison its growth, where it says nothing that fits. */
export function orderOf(sort: string, columns: readonly Column[]): Order {
  const descending = sort.startsWith("-");
  const id = descending ? sort.slice(1) : sort;
  const column = columns.find((c) => c.id === id);
  if (column) return { column, descending };
  return { column: columns.find((c) => c.id === "dself") ?? columns.find((c) => c.id === "self")!, descending: true };
}

/** What state.sort becomes when a column's head is pressed: numbers begin with the largest, a second press turns round. */
export function pressed(order: Order, column: Column): string {
  const descending = order.column.id === column.id ? !order.descending : column.number;
  return `${descending ? "-" : ""}${column.id}`;
}

/** Rows in an order; equal ones by their total, then by name. */
export function sorted(rows: readonly Row[], { column, descending }: Order): Row[] {
  const sign = descending ? -1 : 1;
  const names = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);
  return rows
    .map((row) => ({ row, value: column.value(row) }))
    .sort((a, b) => {
      const by = typeof a.value === "number" ? a.value - (b.value as number) : names(a.value, b.value as string);
      return sign * by || b.row.total - a.row.total || names(a.row.name, b.row.name) || a.row.frame - b.row.frame;
    })
    .map((r) => r.row);
}

/** The sums of own values, which are shares of all without overlap. */
export function sums(rows: readonly Row[]): { self: number; baseSelf: number } {
  let self = 0;
  let baseSelf = 0;
  for (const r of rows) {
    self += r.self;
    baseSelf += r.baseSelf;
  }
  return { self, baseSelf };
}

/** A function is known by this from one refresh to the next. */
export const keyOf = (r: Pick<Row, "name" | "file" | "binary"> & { line?: number }): string => `${r.name}\0${r.file}\0${r.binary}${r.line ? `\0${r.line}` : ""}`;
