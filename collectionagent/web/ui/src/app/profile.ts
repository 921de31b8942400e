// SPDX-License-Identifier: Apache-2.0
// Makes the profile that views show of answers, or of a file.

import type { Opened } from "../files/opened";
import type { About } from "../model/facts";
import { invert, transform } from "../model/transform";
import { Tree } from "../model/tree";
import type { State } from "../state/state";
import type { Profile } from "../views/view";
import type { Answers } from "./answers";

type Source = Omit<Profile, "tree" | "upright">;

const noFrames = { name: ["all"], file: [""], line: [0], binary: [""], buildId: [""], kind: ["label"], inlined: [false] };

/** A tree of the root alone, for views that do without. */
const rootOnly = (total: number, about: { type: string; unit: string }) => new Tree(noFrames, { frame: [0], depth: [0], self: [total] }, about);

export function fromAnswers(a: Answers, type: string): Source {
  const f = a.flame?.answer;
  if (f) {
    return {
      whole: a.flame!.tree,
      unit: f.unit,
      type: f.type,
      snapshot: !!f.snapshot,
      fromMs: f.from_ms,
      toMs: f.to_ms,
      samples: f.samples,
      coverage: f.coverage,
      symbolized: f.symbolized,
      unknownStacks: f.unknown_stacks,
      hidden: f.hidden,
      file: "",
    };
  }
  const t = a.timeline;
  return {
    whole: rootOnly(t.total, { type, unit: t.unit }),
    unit: t.unit,
    type,
    snapshot: !!t.snapshot,
    fromMs: t.from_ms,
    toMs: t.to_ms,
    samples: t.samples,
    coverage: t.coverage,
    symbolized: 0,
    unknownStacks: 0,
    hidden: { nodes: 0, value: 0 },
    file: "",
  };
}

export function fromFile(f: Opened): Source {
  let named = 0;
  let all = 0;
  for (let i = 1; i < f.tree.size; i++) {
    const name = f.tree.frames.name[f.tree.frame[i]!]!;
    all += f.tree.total[i]!;
    if (name && !/\+?0x[0-9a-f]+$/i.test(name)) named += f.tree.total[i]!;
  }
  return {
    whole: f.tree,
    unit: f.tree.about.unit,
    type: f.tree.about.type,
    snapshot: false,
    fromMs: f.fromMs,
    toMs: f.toMs,
    samples: f.samples,
    coverage: null,
    symbolized: all ? named / all : 1,
    unknownStacks: 0,
    hidden: { nodes: 0, value: 0 },
    file: f.name,
  };
}

/** The profile after what the URL says is to be done to its stacks. */
export function transformed(s: Source, state: Pick<State, "t" | "level" | "invert">): Profile {
  const upright = transform(s.whole, state.t, state.level, false);
  return { ...s, upright, tree: state.invert === "1" ? invert(upright) : upright };
}

/** What the footer says. */
export const aboutOf = (s: Source, a: Answers | null): About => ({
  ...s,
  total: s.whole.total[0] ?? 0,
  symbolized: a && !a.flame ? null : s.symbolized,
  lost: a?.lost ?? null,
  incomplete: a?.incomplete ?? "",
  maxNodes: a?.maxNodes ?? 0,
});
