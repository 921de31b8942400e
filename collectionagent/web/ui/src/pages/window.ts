// SPDX-License-Identifier: Apache-2.0
// Which rows of a long list are in sight, where some rows have details of another height below them.

export interface Slice {
  /** The first row to draw, and the one after the last. */
  first: number;
  last: number;
  /** The room that the rows before and after them take, in px. */
  before: number;
  after: number;
}

/** Rows with details, in order of their numbers. */
export type Extras = readonly { index: number; height: number }[];

/** Lists of so many rows are drawn as a whole: all of them can then be found with the browser's own search. */
export const drawnWhole = 150;

/** The rows between two distances from the top of the list, with some more on each side. */
export function slice(count: number, rowHeight: number, extras: Extras, from: number, to: number, more = 12): Slice {
  if (count <= drawnWhole || rowHeight <= 0) return { first: 0, last: count, before: 0, after: 0 };
  const at = (px: number) => {
    let height = 0; // of the details above
    for (const e of extras) {
      const top = (e.index + 1) * rowHeight + height;
      if (px < top) break;
      if (px < top + e.height) return e.index;
      height += e.height;
    }
    return Math.floor((px - height) / rowHeight);
  };
  const limit = (i: number) => Math.min(count, Math.max(0, i));
  const first = limit(Math.min(at(from) - more, count - 1));
  const last = Math.max(first, limit(at(to) + 1 + more));
  const sum = (a: number, b: number) => (b - a) * rowHeight + extras.reduce((s, e) => s + (e.index >= a && e.index < b ? e.height : 0), 0);
  return { first, last, before: sum(0, first), after: sum(last, count) };
}

/** How far from the top of the list a row is. */
export const topOf = (index: number, rowHeight: number, extras: Extras): number =>
  index * rowHeight + extras.reduce((s, e) => s + (e.index < index ? e.height : 0), 0);

/** The row that a key leads to, -1 for a key that leads nowhere. */
export function moved(key: string, at: number, count: number, page: number): number {
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: count - 1, PageDown: at + page, PageUp: at - page }[key];
  return to === undefined || count === 0 ? -1 : Math.min(count - 1, Math.max(0, to));
}
