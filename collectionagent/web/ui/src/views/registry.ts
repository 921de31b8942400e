// SPDX-License-Identifier: Apache-2.0
// The views, in the order of their tabs.

import { Both } from "./both";
import { CallTree } from "./calltree/calltree";
import { Diff } from "./diff/diff";
import { FlameView } from "./flame/view";
import { Heatmap } from "./heatmap/heatmap";
import { Sandwich } from "./sandwich/sandwich";
import { Source } from "./source/source";
import { TableView } from "./table/table";
import { Top } from "./top/top";
import { Tracks } from "./tracks/tracks";
import type { ViewEntry } from "./view";

export const registry: ViewEntry[] = [
  { view: "flame", title: "Flame graph", key: "f", what: "Where the time goes, by stack", component: FlameView },
  { view: "table", title: "Table", key: "t", what: "Functions by their own time and by all that they call", component: TableView },
  { view: "both", title: "Both", key: "b", what: "Table and flame graph side by side", component: Both },
  { view: "calltree", title: "Call tree", key: "c", what: "Stacks to open level by level, and the heaviest path", component: CallTree },
  { view: "sandwich", title: "Sandwich", key: "w", what: "Who calls a function, and what it calls", component: Sandwich },
  { view: "diff", title: "Diff", key: "x", what: "What changed between two selections", component: Diff },
  { view: "heatmap", title: "Heatmap", key: "m", what: "Samples within each second, to see bursts and periods", liveOnly: true, component: Heatmap },
  { view: "tracks", title: "Tracks", key: "k", what: "Threads and CPUs in the order of time", liveOnly: true, component: Tracks },
  { view: "top", title: "By label", key: "l", what: "Services, hosts, threads and so on by what they take", liveOnly: true, component: Top },
  { view: "source", title: "Source", key: "o", what: "The lines of a function", liveOnly: true, component: Source },
];
