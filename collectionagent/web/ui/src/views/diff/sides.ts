// SPDX-License-Identifier: Apache-2.0
// Where both sides of a comparison come from: the server compares what it has itself, files are
// joined here.

import { useMemo } from "preact/hooks";
import * as api from "../../api/client";
import type { Coverage } from "../../api/client";
import { opened } from "../../files/opened";
import { baseRange } from "../../model/compare";
import { diffTrees, sameTotal } from "../../model/diff";
import { relative } from "../../model/timerange";
import { Tree } from "../../model/tree";
import { useAsk } from "../ask";
import type { ViewProps } from "../view";
import { joined, serverRows, treeRows, type Row, type Totals } from "./compare";

/** One side, as its heading says it. */
export interface Side {
  file: string;
  query: string;
  fromMs: number;
  toMs: number;
  total: number;
  samples: number;
  coverage: Coverage | null;
}

export interface Comparison {
  /** Both sides, with values of the base as they are compared. */
  tree: Tree;
  /** The functions of the whole tree, exact where the server counted them. */
  rows: Row[];
  hiddenRows: number;
  hiddenNodes: number;
  now: Side;
  base: Side;
  /** As they are compared. */
  totals: Totals;
  scale: number;
}

/** What of the base is asked for: as the server completes it when it is not set. */
function baseParams(s: ViewProps["state"]): api.Params {
  return { base_query: s.bquery, base_from: s.bfrom, base_to: s.bto };
}

/** What a file is compared with: what the page shows without it, where nothing else is chosen. */
export function ofFile(s: ViewProps["state"], type: string, now: number): api.Params {
  let [from, to] = [s.bfrom || s.from, s.bto || s.to];
  if (!s.bfrom !== !s.bto) {
    // One end alone: as long as the range of the page. What is relative stays so, as else each moment is another question.
    const range = baseRange({ ...s, view: "diff", bfile: "" }, now)!;
    const text = (ms: number) => ((s.bfrom || s.bto).startsWith("now") ? (now - ms < 1000 ? "now" : relative(Math.round((now - ms) / 1000) * 1000)) : String(Math.round(ms)));
    if (s.bfrom) to = text(range.to);
    else from = text(range.from);
  }
  return { type, query: s.bquery || s.query, from, to, max_nodes: "60000" };
}

export function useComparison({ state, params, profile, generation }: ViewProps): { comparison: Comparison | null; error: string; waiting: boolean } {
  const baseFile = opened(state.bfile);
  const live = !state.file && !state.bfile;
  const question = { ...params, ...baseParams(state), max_nodes: "60000", limit: "5000" };
  const both = useAsk(live ? JSON.stringify(question) : null, generation, (signal) => api.diff(question, signal));
  // A file is compared with data of the server: the base is asked for by itself.
  const baseLive = !!state.file && !state.bfile;
  const baseQuestion = ofFile(state, profile.type, Date.now());
  const base = useAsk(baseLive ? JSON.stringify(baseQuestion) : null, 0, (signal) => api.flamegraph(baseQuestion, signal));
  const normal = state.norm === "1";

  const comparison = useMemo((): Comparison | null => {
    if (live) {
      const a = both.answer;
      if (!a) return null;
      const scale = normal && a.total && a.base.total ? a.total / a.base.total : 1;
      return {
        tree: joined(a, scale),
        rows: serverRows(a.rows, scale),
        hiddenRows: a.hidden.rows,
        hiddenNodes: a.hidden.nodes,
        now: { file: "", query: params.query ?? "", fromMs: a.from_ms, toMs: a.to_ms, total: a.total, samples: a.samples, coverage: a.coverage },
        base: { file: "", query: state.bquery || (params.query ?? ""), fromMs: a.base.from_ms, toMs: a.base.to_ms, total: a.base.total, samples: a.base.samples, coverage: a.base.coverage },
        totals: { now: a.total, base: a.base.total * scale },
        scale,
      };
    }
    const now: Side = { file: profile.file, query: profile.file ? "" : (params.query ?? ""), fromMs: profile.fromMs, toMs: profile.toMs, total: profile.whole.total[0] ?? 0, samples: profile.samples, coverage: profile.coverage };
    let tree: Tree;
    let other: Side;
    if (baseFile) {
      tree = baseFile.tree;
      other = { file: baseFile.name, query: "", fromMs: baseFile.fromMs, toMs: baseFile.toMs, total: tree.total[0] ?? 0, samples: baseFile.samples, coverage: null };
    } else if (base.answer) {
      const a = base.answer;
      tree = Tree.fromAnswer(a);
      other = { file: "", query: state.bquery || state.query, fromMs: a.from_ms, toMs: a.to_ms, total: a.total, samples: a.samples, coverage: a.coverage };
    } else return null;
    const scale = normal ? sameTotal(profile.whole, tree) : 1;
    const all = diffTrees(profile.whole, tree, scale);
    return { tree: all, rows: treeRows(all), hiddenRows: 0, hiddenNodes: profile.hidden.nodes + (base.answer?.hidden.nodes ?? 0), now, base: other, totals: { now: now.total, base: other.total * scale }, scale };
  }, [live, both.answer, base.answer, baseFile, profile.whole, normal]);

  const gone = state.bfile && !baseFile ? "The file that was the base is not open in this tab any more: open it again, or choose another base." : "";
  return { comparison: gone ? null : comparison, error: gone || both.error || base.error, waiting: both.waiting || base.waiting };
}
