// SPDX-License-Identifier: Apache-2.0
// How keys move through rows.

/** The row that a key goes to, null when the key does not move. No row has the focus yet when at is negative. */
export function rowAfter(key: string, at: number, count: number, page: number): number | null {
  if (!count) return null;
  const within = (i: number) => Math.min(Math.max(i, 0), count - 1);
  const step = Math.max(1, page - 1);
  switch (key) {
    case "ArrowDown":
      return within(at + 1);
    case "ArrowUp":
      return within(at < 0 ? 0 : at - 1);
    case "PageDown":
      return within(Math.max(at, 0) + step);
    case "PageUp":
      return within(at - step);
    case "Home":
      return 0;
    case "End":
      return count - 1;
    default:
      return null;
  }
}

/** The rows to draw: those in sight and some around them. */
export function rowsInSight(top: number, height: number, rowHeight: number, count: number, around: number): [first: number, last: number] {
  const first = Math.max(0, Math.min(Math.floor(top / rowHeight), count - 1) - around);
  const last = Math.min(count, Math.ceil((top + height) / rowHeight) + around);
  return [Math.max(0, first), Math.max(0, last)];
}

/** Where to scroll to bring a row in sight, with head pixels covered at the top; the same place when it is. */
export function scrollFor(row: number, top: number, height: number, rowHeight: number): number {
  const y = row * rowHeight;
  if (y < top) return y;
  if (y + rowHeight > top + height) return Math.max(0, y + rowHeight - height);
  return top;
}
