// SPDX-License-Identifier: Apache-2.0
// The answers about what happened when, and about what changed; docs/api.md says what their fields mean.

import type { Coverage, FlameAnswer } from "./answers";

export interface HeatmapAnswer {
  type: string;
  unit: string;
  total: number;
  samples: number;
  coverage: Coverage;
  by: "time" | "value";
  column_ms: number;
  start_ms: number;
  columns: number;
  /** Lower bounds: nanoseconds from the start of a column, or values. */
  rows: number[];
  cells: { column: number[]; row: number[]; samples: number[]; value: number[] };
}

export interface TrackAnswer {
  values: string[];
  total: number;
  samples: number;
  cells: { step: number[]; stack: number[]; value: number[]; part: number[] };
}

export interface TracksAnswer {
  type: string;
  unit: string;
  from_ms: number;
  to_ms: number;
  total: number;
  samples: number;
  coverage: Coverage;
  by: string;
  step_ms: number;
  start_ms: number;
  steps: number;
  /** What a sample stands for, where all stand for the same. */
  period_ns?: number;
  labels: string[];
  strings: string[];
  frames: FlameAnswer["frames"];
  /** A tree: a parent comes before its children, the root is 0. */
  stacks: { frame: number[]; parent: number[] };
  tracks: TrackAnswer[];
  hidden: { tracks: number; value: number; stacks: number };
}

export interface DiffRow {
  name: string;
  file: string;
  binary: string;
  kind: string;
  self: number;
  total: number;
  base_self: number;
  base_total: number;
  growth: number;
}

/** One side of a comparison. */
export interface SideAnswer {
  from_ms: number;
  to_ms: number;
  total: number;
  samples: number;
  coverage: Coverage;
  symbolized: number;
  unknown_stacks: number;
}

export interface DiffAnswer extends Omit<FlameAnswer, "nodes" | "hidden"> {
  base: SideAnswer;
  scale: number;
  nodes: FlameAnswer["nodes"] & { base_self: number[]; base_total: number[] };
  rows: DiffRow[];
  hidden: { nodes: number; rows: number };
}
