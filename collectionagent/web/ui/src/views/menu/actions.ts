// SPDX-License-Identifier: Apache-2.0
// What can be done with a frame, without any of the page: which transforms mean it, which label
// it stands for, and what of it can be copied.

import { binaryOf, fileOf } from "../../model/levels";
import { packages } from "../../model/package";
import { exactly, withField } from "../../model/pattern";
import { formatTransform } from "../../model/transform";
import type { Tree } from "../../model/tree";
import type { Level } from "../../state/state";

/** A pattern for exactly this frame as it is shown at a level. */
export function meaning(tree: Tree, frame: number, level: Level): string {
  const f = tree.frames;
  const name = f.name[frame]!;
  if (f.kind[frame] === "label" || f.kind[frame] === "other" || f.kind[frame] === "error") return exactly(name);
  const bare = `[${f.kind[frame]}]`;
  if (level === "file" && f.file[frame] && name === fileOf(f, frame)) return withField("file", name);
  if ((level === "file" || level === "binary") && name === binaryOf(f, frame)) return name === bare ? withField("kind", f.kind[frame]!) : withField("binary", name);
  return exactly(name);
}

/** How the frames beside it in its library, or its package where it has none, become one; null for frames without either. */
export function libraryOf(tree: Tree, frame: number): { name: string; transform: string } | null {
  const f = tree.frames;
  if (f.binary[frame]) return { name: f.binary[frame]!, transform: formatTransform("library", f.binary[frame]!) };
  const name = packages(f)[frame]!;
  return name ? { name, transform: formatTransform("library", withField("package", name)) } : null;
}

/** The label and the value that a node of kind "label" stands for, null for others. */
export function labelOf(tree: Tree, node: number, group: string): { label: string; value: string } | null {
  if (node <= 0 || tree.kind(node) !== "label") return null;
  const label = group.split(",").filter(Boolean)[tree.depth[node]! - 1];
  if (!label) return null;
  const value = tree.name(node);
  return { label, value: value === `(no ${label})` ? "" : value };
}

/** "file:line", the file alone, or "". */
export function place(tree: Tree, frame: number): string {
  const file = tree.frames.file[frame]!;
  const line = tree.frames.line[frame]!;
  return file && line ? `${file}:${line}` : file;
}

/** The stack down to a node, the root first, one frame in each line. */
export const stackText = (tree: Tree, node: number): string => tree.names(node).join("\n");

/** The transforms with one more, unless it is the last already. */
export const added = (t: readonly string[], text: string): string[] => (t.at(-1) === text ? [...t] : [...t, text]);

/** The transforms with one more, or without it when it is there. */
export const toggled = (t: readonly string[], text: string): string[] => (t.includes(text) ? t.filter((x) => x !== text) : [...t, text]);
