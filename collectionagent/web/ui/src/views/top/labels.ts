// SPDX-License-Identifier: Apache-2.0
// How many values each label has, asked for one after the other: it is nice to know and must
// not be in the way of what was asked for.

import { useEffect, useState } from "preact/hooks";
import { values, type Params } from "../../api/client";

/** Of how many labels the values are counted. */
const mostLabels = 40;

export function useCounts(labels: readonly string[], params: Params): ReadonlyMap<string, number> {
  const [counts, setCounts] = useState<ReadonlyMap<string, number>>(new Map());
  const subject = JSON.stringify([labels, params.type, params.query]);
  useEffect(() => {
    const stop = new AbortController();
    void (async () => {
      for (const label of labels.slice(0, mostLabels)) {
        try {
          const a = await values(label, { ...params, limit: "1" }, stop.signal);
          if (stop.signal.aborted) return;
          setCounts((c) => new Map(c).set(label, (a.values?.length ?? 0) + a.hidden));
        } catch {
          return; // the table says what is wrong
        }
      }
    })();
    return () => stop.abort();
  }, [subject]);
  return counts;
}
