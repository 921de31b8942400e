// SPDX-License-Identifier: Apache-2.0
// What answers were made from, in words.

import type { Coverage } from "../api/client";

/** What the coarsest of the data are that an answer was made from. */
export function source(c: Coverage): string {
  switch (c.resolution_ms) {
    case 60_000:
      return "from sums per minute";
    case 3_600_000:
      return "from sums per hour";
    default:
      return "from samples";
  }
}

/**
 * The time before which an answer about a range lacks data that the server no longer
 * has, 0 when it lacks none worth telling: a range as long as what is kept always starts
 * a moment too early.
 */
export function goneBefore(from: number, to: number, c: Coverage): number {
  return c.horizon_ms - from > (to - from) / 100 ? c.horizon_ms : 0;
}
