// SPDX-License-Identifier: Apache-2.0
// Colours as the numbers that a picture is made of: red in the lowest byte, opaque.

import type { Theme } from "../../model/colour";

/** The colour of frames that are merged, below the lines across them. */
export const merged = (theme: Theme) => (theme.dark ? "#3a3e47" : "#dadde2");

let reader: CanvasRenderingContext2D | null = null;
const known = new Map<string, number>();

/** Any colour of CSS as a pixel. */
export function pixel(colour: string): number {
  let p = known.get(colour);
  if (p === undefined) {
    reader ??= document.createElement("canvas").getContext("2d", { willReadFrequently: true })!;
    reader.fillStyle = "#808080"; // for what the browser does not know
    reader.fillStyle = colour;
    const hex = Number.parseInt(String(reader.fillStyle).slice(1, 7), 16);
    p = (0xff000000 | ((hex & 0xff) << 16) | (hex & 0xff00) | ((hex >> 16) & 0xff)) >>> 0;
    if (known.size > 50_000) known.clear();
    known.set(colour, p);
  }
  return p;
}

/** A pixel over another one; share of the upper one in 256ths. */
export function mix(upper: number, lower: number, share: number): number {
  const rest = 256 - share;
  const r = ((upper & 0xff) * share + (lower & 0xff) * rest) >> 8;
  const g = (((upper >> 8) & 0xff) * share + ((lower >> 8) & 0xff) * rest) >> 8;
  const b = (((upper >> 16) & 0xff) * share + ((lower >> 16) & 0xff) * rest) >> 8;
  return (0xff000000 | (b << 16) | (g << 8) | r) >>> 0;
}
