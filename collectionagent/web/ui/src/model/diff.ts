// SPDX-License-Identifier: Apache-2.0
// Two trees joined into one.

import { addFrame, Builder, noFrames, toTree } from "./stacks";
import type { Tree } from "./tree";

const baseName = (path: string) => path.slice(path.lastIndexOf("/") + 1);

/**
 * The selection with the values of the base beside its own. A function is the same in both when its name and
 * the base name of its file are: lines move and paths differ from one release to the next, and a program may be
 * renamed. Files count only when both trees know any. Every value of the base is multiplied by baseScale.
 * The unit is that of the selection.
 */
export function diffTrees(selection: Tree, base: Tree, baseScale = 1): Tree {
  const byFile = selection.frames.file.some(Boolean) && base.frames.file.some(Boolean);
  const frames = noFrames();
  const known = new Map<string, number>();
  const join = (tree: Tree): Int32Array => {
    const f = tree.frames;
    return Int32Array.from(f.name, (name, i) => {
      const key = `${f.kind[i] === "label" ? 1 : 0}${name}\0${byFile ? baseName(f.file[i]!) : ""}`;
      let n = known.get(key);
      if (n === undefined) {
        n = addFrame(frames, { name, file: f.file[i], line: f.line[i], binary: f.binary[i], buildId: f.buildId[i], kind: f.kind[i], inlined: f.inlined[i] });
        known.set(key, n);
      } else {
        frames.file[n] ||= f.file[i]!;
        frames.line[n] ||= f.line[i]!;
        frames.binary[n] ||= f.binary[i]!;
      }
      return n;
    });
  };
  const mine = join(selection);
  const theirs = join(base);
  const rootFrame = selection.size ? mine[selection.frame[0]!]! : addFrame(frames, { name: "all", kind: "label" });
  const b = new Builder(frames, selection.about, true, rootFrame, selection.size + base.size);
  const put = (tree: Tree, frame: Int32Array, ofBase: boolean) => {
    const to = new Int32Array(tree.size);
    for (let i = 0; i < tree.size; i++) {
      if (i > 0) to[i] = b.child(to[tree.parent[i]!]!, frame[tree.frame[i]!]!);
      const v = tree.self[i]!;
      if (ofBase) b.add(to[i]!, 0, v * baseScale);
      else b.add(to[i]!, v, 0);
    }
  };
  put(selection, mine, false);
  put(base, theirs, true);
  return toTree(b.done());
}

/** By what to multiply the base so that both have the same total; 1 when one of them is empty. */
export const sameTotal = (selection: Tree, base: Tree): number => (selection.total[0] && base.total[0] ? selection.total[0] / base.total[0] : 1);

/** How much a part of all has changed, -1 (gone) to 1 (new); 0 where there is nothing. */
export const change = (now: number, before: number): number => (now + before > 0 ? (now - before) / Math.max(now, before) : 0);
