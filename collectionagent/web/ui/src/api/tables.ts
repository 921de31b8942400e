// SPDX-License-Identifier: Apache-2.0
// The questions that the views beside the flame graph ask.

import type { Coverage, FlameAnswer } from "./answers";
import { ask, type Params } from "./client";

export interface FunctionName {
  name: string;
  file: string;
  binary: string;
  kind: string;
}

/** The functions that a question was about. */
export interface MatchedFunctions {
  self: number;
  value: number;
  functions: FunctionName[];
  hidden_functions: number;
}

type SubTree = Pick<FlameAnswer, "frames" | "nodes" | "hidden">;

export interface SandwichAnswer {
  type: string;
  unit: string;
  total: number;
  samples: number;
  coverage: Coverage;
  function: MatchedFunctions;
  strings: string[];
  callers: SubTree;
  callees: SubTree;
}

export interface LineRow extends FunctionName {
  /** 0 where it is not known. */
  line: number;
  self: number;
  total: number;
}

export interface LinesAnswer {
  type: string;
  unit: string;
  total: number;
  samples: number;
  function: MatchedFunctions;
  lines: LineRow[] | null;
  hidden: number;
}

export interface SeriesAnswer {
  unit: string;
  total: number;
  samples: number;
  labels: string[];
  series: { values: string[]; samples: number; sum: number }[] | null;
  hidden: number;
}

export const sandwich = (p: Params, s?: AbortSignal) => ask<SandwichAnswer>("sandwich", p, s);
export const lines = (p: Params, s?: AbortSignal) => ask<LinesAnswer>("lines", p, s);
export const series = (p: Params, s?: AbortSignal) => ask<SeriesAnswer>("series", p, s);

/** The pattern of the functions of a name, as the server takes it. */
export function namedFunction(name: string): string {
  // The escapes are those of Go; a control character would end the text.
  const text = name.replace(/["\\]/g, "\\$&").replace(/[\u0000-\u001f\u007f]/g, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}`);
  return `{function="${text}"}`;
}
