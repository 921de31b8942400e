// SPDX-License-Identifier: Apache-2.0
// What can be done to the stacks of a tree. A transform is a text, "kind:argument", so that
// the URL and a link keep it; state.t lists them in the order they are made. pattern.ts says what a PATTERN is.
//
//   focus:PATTERN       only stacks with such a frame
//   ignore:PATTERN      no stacks with such a frame
//   hide:PATTERN        such frames are left out, their values go to their callers
//   show:PATTERN        all other frames are left out
//   root:PATTERN        stacks begin with the first such frame; those without are dropped
//   collapse:PATTERN    what such functions call becomes their own time
//   recursion[:PATTERN]     functions that call themselves at once are one frame
//   recursion-all[:PATTERN] also when there are others in between
//   library:BINARY      consecutive frames of a binary are one; library:PATTERN with a field for others
//   preset:ID           one of presets.ts

import type { Level } from "../state/state";
import { atLevel } from "./levels";
import { checkPattern, describePattern, matchFrames, parsePattern } from "./pattern";
import { preset } from "./presets";
import { fromTree, type Stacks, toTree } from "./stacks";
import * as steps from "./steps";
import type { Tree } from "./tree";
import { upwards } from "./upwards";

const kinds = ["focus", "ignore", "hide", "show", "root", "collapse", "recursion", "recursion-all", "library", "preset"] as const;
export type TransformKind = (typeof kinds)[number];

export interface Transform {
  kind: TransformKind;
  /** A pattern, a binary or the ID of a preset; "" for all of a recursion. */
  argument: string;
}

/** Reads a transform; null for what is none. */
export function parseTransform(text: string): Transform | null {
  const colon = text.indexOf(":");
  const name = colon < 0 ? text : text.slice(0, colon);
  const kind = kinds.find((k) => k === name);
  return kind ? { kind, argument: colon < 0 ? "" : text.slice(colon + 1) } : null;
}

export const formatTransform = (kind: TransformKind, argument = ""): string => (argument ? `${kind}:${argument}` : kind);

/** What is wrong with a transform, "" for nothing. Those that are wrong are skipped. */
export function checkTransform(text: string): string {
  const t = parseTransform(text);
  if (!t) return `“${text}” is not known`;
  switch (t.kind) {
    case "recursion":
    case "recursion-all":
      return t.argument ? checkPattern(t.argument) : "";
    case "preset":
      return preset(t.argument) ? "" : `there is no preset “${t.argument}”`;
    default:
      return checkPattern(t.argument);
  }
}

/** Most transforms of a profile: each takes its time, and a link could bring thousands. */
export const mostTransforms = 50;

/** What is wrong with each of the transforms, "" for those that are made. */
export const checkTransforms = (texts: readonly string[]): string[] =>
  texts.map((text, i) => (i < mostTransforms ? checkTransform(text) : `no more than ${mostTransforms} are made`));

const verbs: Record<TransformKind, string> = {
  focus: "Only stacks with",
  ignore: "No stacks with",
  hide: "Hidden:",
  show: "Only frames:",
  root: "From",
  collapse: "Closed:",
  recursion: "Direct recursion as one",
  "recursion-all": "Recursion as one",
  library: "As one:",
  preset: "",
};

/** A transform in words, for its chip. */
export function describe(text: string): string {
  const t = parseTransform(text);
  if (!t) return text;
  if (t.kind === "preset") return preset(t.argument)?.title ?? text;
  const argument = t.kind === "library" && !parsePattern(t.argument).field ? t.argument : describePattern(t.argument);
  if (t.kind.startsWith("recursion")) return t.argument ? `${verbs[t.kind]}: ${argument}` : verbs[t.kind];
  return `${verbs[t.kind]} ${argument}`;
}

function step(s: Stacks, t: Transform): Stacks {
  const marks = () => matchFrames(s.frames, t.argument);
  switch (t.kind) {
    case "focus":
      return steps.focus(s, marks());
    case "ignore":
      return steps.ignore(s, marks());
    case "hide":
      return steps.hide(s, marks());
    case "show":
      return steps.show(s, marks());
    case "root":
      return steps.root(s, marks());
    case "collapse":
      return steps.collapse(s, marks());
    case "recursion":
      return steps.recursion(s, t.argument ? marks() : null);
    case "recursion-all":
      return steps.recursionAll(s, t.argument ? marks() : null);
    case "library": {
      const p = parsePattern(t.argument);
      const pattern = p.field ? t.argument : `binary=${t.argument}`;
      return steps.library(s, matchFrames(s.frames, pattern), p.field ? p.text : t.argument);
    }
    case "preset": {
      const p = preset(t.argument)!;
      const m = p.match(s.frames);
      if (p.how !== "show" && !m.includes(1)) return s;
      return p.how === "hide" ? steps.hide(s, m) : p.how === "show" ? steps.show(s, m) : steps.ignoreLeaves(s, m);
    }
  }
}

/** The stacks from the leaves to the root; the labels they are grouped by stay first. */
export function invert(tree: Tree): Tree {
  const node: number[] = [];
  for (let i = 0; i < tree.size; i++) if (tree.self[i] || tree.baseSelf?.[i]) node.push(i);
  const values = (of: Float64Array) => node.map((i) => of[i]!);
  const starts = { node, value: values(tree.self), base: tree.baseSelf && values(tree.baseSelf) };
  return toTree(upwards(tree, starts, tree.frame[0] ?? 0, false, true));
}

/**
 * The tree after all transforms in their order, then at a level, then inverted or not. Transforms that make no
 * sense are skipped. The tree itself comes back when nothing changes.
 */
export function transform(tree: Tree, transforms: readonly string[], level: Level, inverted: boolean): Tree {
  if (!tree.size) return tree;
  const whole = fromTree(tree);
  let s = whole;
  for (const text of transforms.slice(0, mostTransforms)) {
    const t = parseTransform(text);
    if (t && !checkTransform(text)) s = step(s, t);
  }
  s = atLevel(s, level);
  const out = s === whole ? tree : toTree(s);
  return inverted ? invert(out) : out;
}
