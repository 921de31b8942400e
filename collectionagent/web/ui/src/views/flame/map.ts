// SPDX-License-Identifier: Apache-2.0
// The small picture of the whole tree. It is made once for a tree and a width: the place that is
// shown is a rectangle above it.

import type { Theme } from "../../model/colour";
import type { Matches } from "../../model/tree";
import type { Index } from "./layout";
import { merged, mix, pixel } from "./pixels";

interface Picture {
  index: Index;
  colour(node: number): string;
  theme: Theme;
  searching: boolean;
  matches: Matches;
  up: boolean;
  width: number;
  height: number;
  ratio: number;
}

export function drawMap(canvas: HTMLCanvasElement, p: Picture): void {
  const width = Math.max(1, Math.round(p.width * p.ratio));
  const height = Math.max(1, Math.round(p.height * p.ratio));
  canvas.width = width;
  canvas.height = height;
  const g = canvas.getContext("2d", { alpha: false })!;
  g.fillStyle = p.theme.background;
  g.fillRect(0, 0, width, height);
  const { index } = p;
  const { tree } = index;
  const rows = mapDepth(index);
  if (!rows || !(tree.width[0]! > 0)) return;
  const lines = document.createElement("canvas");
  lines.width = width;
  lines.height = rows;
  const context = lines.getContext("2d", { willReadFrequently: true })!;
  const image = context.createImageData(width, rows);
  const data = new Uint32Array(image.data.buffer);
  const background = pixel(p.theme.background);
  const match = pixel(p.theme.match);
  const other = pixel(merged(p.theme));
  const marked = p.searching ? index.counts((n) => p.matches.marked[n] === 1) : null;
  data.fill(background);
  const window = { left: 0, right: tree.width[0]!, scale: width / tree.width[0]! };
  for (let depth = 0; depth < rows; depth++) {
    const base = (p.up ? rows - 1 - depth : depth) * width;
    const put = (first: number, last: number, x: number, w: number) => {
      const hit = marked !== null && marked[last + 1] !== marked[first];
      let colour = hit ? match : first === last ? pixel(p.colour(index.node[first]!)) : other;
      if (marked && !hit) colour = mix(colour, background, 110);
      const from = Math.min(Math.max(0, Math.round(x)), width - 1);
      data.fill(colour, base + from, base + Math.min(width, Math.max(from + 1, Math.round(x + w))));
    };
    index.walk(depth, window, { frame: (r, x, w) => put(r, r, x, w), block: put });
  }
  context.putImageData(image, 0, 0);
  g.imageSmoothingEnabled = rows > height;
  // A shallow tree does not fill the map: rows of three pixels are high enough.
  const high = Math.min(height, rows * Math.round(3 * p.ratio));
  g.drawImage(lines, 0, 0, width, rows, 0, p.up ? height - high : 0, width, high);
}

/** How high the picture of a tree is in a map of this height: a shallow tree does not fill it. */
export const mapRows = (rows: number, height: number) => Math.min(height, rows * 3);

const depths = new WeakMap<Index, number>();

/**
 * How many rows a map shows. One stack of five hundred frames would squeeze all others to a line:
 * rows are left out from where less than a fortieth of the width goes on.
 */
export function mapDepth(index: Index): number {
  let rows = depths.get(index);
  if (rows === undefined) {
    const all = index.tree.width[0] ?? 0;
    rows = index.offset.length - 1;
    for (let wide = 0; rows > 1; rows--) {
      for (let r = index.offset[rows - 1]!; r < index.offset[rows]!; r++) wide += index.width[r]!;
      if (wide >= all / 40) break;
      wide = 0;
    }
    depths.set(index, rows);
  }
  return rows;
}
