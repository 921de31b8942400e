// SPDX-License-Identifier: Apache-2.0
// A heatmap as a grid of cells, and which time a selection of them is.

import type { HeatmapAnswer } from "../../api/client";
import { amount } from "../../ui/format";
import { offset, precise, type Span } from "../../ui/times";

export interface Cell {
  column: number;
  /** From the bottom. */
  row: number;
}

export class Grid {
  readonly columns: number;
  readonly rows: number;
  /** By column and then row. */
  readonly value: Float64Array;
  readonly samples: Float64Array;
  /** Where the colours end: the value that one in a thousand of the cells with samples exceeds. */
  readonly most: number;
  readonly largest: number;
  /** What a sample stands for, where it is a time and all stand for the same; else 0. */
  readonly periodMs: number;

  constructor(readonly answer: HeatmapAnswer) {
    this.columns = answer.columns;
    this.rows = Math.max(1, answer.rows.length);
    this.value = new Float64Array(this.columns * this.rows);
    this.samples = new Float64Array(this.columns * this.rows);
    const { column, row, value, samples } = answer.cells;
    for (let i = 0; i < column.length; i++) {
      const at = column[i]! * this.rows + row[i]!;
      this.value[at]! += value[i]!;
      this.samples[at]! += samples[i]!;
    }
    const sorted = Float64Array.from(value).sort();
    const period = samples.length ? value[0]! / samples[0]! : 0;
    const same = answer.type === "on_cpu" && value.every((v, i) => Math.abs(v - period * samples[i]!) < 1);
    this.periodMs = same ? period / 1e6 : 0;
    this.largest = sorted[sorted.length - 1] ?? 0;
    this.most = sorted[Math.floor((sorted.length - 1) * 0.999)] ?? 0;
  }

  get byTime(): boolean {
    return this.answer.by === "time";
  }

  at(cell: Cell): number {
    return cell.column * this.rows + cell.row;
  }

  inside(cell: Cell): Cell {
    return { column: Math.min(Math.max(cell.column, 0), this.columns - 1), row: Math.min(Math.max(cell.row, 0), this.rows - 1) };
  }

  /** The time of a cell; of values, that of its whole column. */
  time(cell: Cell): Span {
    const { start_ms, column_ms, rows } = this.answer;
    const from = start_ms + cell.column * column_ms;
    if (!this.byTime) return { from, to: from + column_ms };
    const low = (rows[cell.row] ?? 0) / 1e6;
    const high = cell.row + 1 < rows.length ? rows[cell.row + 1]! / 1e6 : column_ms;
    return { from: from + low, to: from + high };
  }

  /** From the first of two cells to the last, as time goes: through the columns between them, each as a whole. */
  span(a: Cell, b: Cell): Span {
    const x = this.time(a);
    const y = this.time(b);
    return { from: Math.min(x.from, y.from), to: Math.max(x.to, y.to) };
  }

  /** Rows of a column that a span of time covers, from and to without its end; null when there are none. */
  covered(column: number, s: Span): { from: number; to: number } | null {
    const { start_ms, column_ms } = this.answer;
    const from = start_ms + column * column_ms;
    if (s.to <= from || s.from >= from + column_ms) return null;
    if (!this.byTime) return { from: 0, to: this.rows };
    let first = 0;
    while (first < this.rows - 1 && this.time({ column, row: first }).to <= s.from) first++;
    let last = this.rows;
    while (last > first + 1 && this.time({ column, row: last - 1 }).from >= s.to) last--;
    return { from: first, to: last };
  }

  /** What a span of time has. */
  sum(s: Span): { value: number; samples: number } {
    let value = 0;
    let samples = 0;
    const { start_ms, column_ms } = this.answer;
    const first = Math.max(0, Math.floor((s.from - start_ms) / column_ms));
    const end = Math.min(this.columns, Math.ceil((s.to - start_ms) / column_ms));
    for (let column = first; column < end; column++) {
      const rows = this.covered(column, s);
      for (let row = rows?.from ?? 0; rows && row < rows.to; row++) {
        value += this.value[column * this.rows + row]!;
        samples += this.samples[column * this.rows + row]!;
      }
    }
    return { value, samples };
  }

  /** The bounds of a row in words. */
  rowText(row: number): string {
    const { rows, column_ms, unit } = this.answer;
    const low = rows[row] ?? 0;
    const high = rows[row + 1];
    if (this.byTime) return `${offset(low)} – ${offset(high ?? column_ms * 1e6)} after the start`;
    if (high === undefined) return low ? `${amount(low, unit)} – ${amount(low * 2, unit)}` : `0 ${unit}`;
    return `${amount(low, unit)} – ${amount(high, unit)}`;
  }

  /** A cell as a sentence. */
  sentence(cell: Cell): string {
    const at = this.at(cell);
    const t = this.time(cell);
    const what = this.samples[at] ? `${amount(this.value[at]!, this.answer.unit)}, ${this.samples[at]} samples` : "nothing";
    return `${precise(t.from)}, ${this.byTime ? "" : `${this.rowText(cell.row)}, `}${what}`;
  }
}

/** Into how many rows to cut a second when samples stand for so long: a divisor of a thousand. */
export const rowsFor = (periodMs: number): string => (periodMs >= 50 ? "20" : periodMs >= 20 ? "50" : "100");
