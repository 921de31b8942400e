// SPDX-License-Identifier: Apache-2.0
// A heatmap on a canvas: every cell is one pixel of a small picture that is then drawn as large as there is room.

import type { Theme } from "../../model/colour";
import { amount, mark } from "../../ui/format";
import { type Span, offset } from "../../ui/times";
import { type Cell, type Grid } from "./grid";
import { ramp } from "./ramp";

/** Room for the texts of the rows and of the columns. */
export const gutter = 58;
const foot = 20;
const top = 6;

export interface Plot {
  grid: Grid;
  width: number;
  height: number;
}

const area = (p: Plot) => ({ x: gutter, y: top, w: Math.max(1, p.width - gutter - 4), h: Math.max(1, p.height - top - foot) });

/** The cell at a place, null outside; near gives the nearest one instead. */
export function placeOf(p: Plot, x: number, y: number, near: boolean): Cell | null {
  const a = area(p);
  const column = Math.floor(((x - a.x) / a.w) * p.grid.columns);
  const row = Math.floor(((a.y + a.h - y) / a.h) * p.grid.rows);
  const inside = p.grid.inside({ column, row });
  return near || (inside.column === column && inside.row === row) ? inside : null;
}

const pictures = new WeakMap<Grid, { dark: boolean; picture: HTMLCanvasElement }>();

/** The cells, each a pixel; those without samples let the background through. */
function picture(grid: Grid, dark: boolean): HTMLCanvasElement {
  const known = pictures.get(grid);
  if (known?.dark === dark) return known.picture;
  const c = document.createElement("canvas");
  c.width = grid.columns;
  c.height = grid.rows;
  const g = c.getContext("2d")!;
  const image = g.createImageData(grid.columns, grid.rows);
  const colours = ramp(256, dark);
  for (let column = 0; column < grid.columns; column++) {
    for (let row = 0; row < grid.rows; row++) {
      const at = column * grid.rows + row;
      if (!grid.samples[at]) continue;
      const [red, green, blue] = colours[Math.min(255, Math.max(0, Math.ceil((grid.value[at]! / (grid.most || 1)) * 256) - 1))]!;
      image.data.set([red, green, blue, 255], 4 * ((grid.rows - 1 - row) * grid.columns + column));
    }
  }
  g.putImageData(image, 0, 0);
  pictures.set(grid, { dark, picture: c });
  return c;
}

export function paint(canvas: HTMLCanvasElement, p: Plot, theme: Theme, brush: Span | null, cursor: Cell | null) {
  const { grid, width, height } = p;
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const g = canvas.getContext("2d", { alpha: false })!;
  g.setTransform(ratio, 0, 0, ratio, 0, 0);
  g.fillStyle = theme.background;
  g.fillRect(0, 0, width, height);
  const a = area(p);
  g.fillStyle = theme.dark ? "#1d2027" : "#f3f4f7";
  g.fillRect(a.x, a.y, a.w, a.h);
  g.imageSmoothingEnabled = false;
  g.drawImage(picture(grid, theme.dark), a.x, a.y, a.w, a.h);
  texts(g, p, theme);
  if (brush) selection(g, p, theme, brush);
  if (cursor) {
    const w = a.w / grid.columns;
    const h = a.h / grid.rows;
    g.strokeStyle = theme.outline;
    g.lineWidth = 2;
    g.strokeRect(a.x + cursor.column * w - 1, a.y + a.h - (cursor.row + 1) * h - 1, Math.max(w, 3) + 2, Math.max(h, 3) + 2);
  }
}

function texts(g: CanvasRenderingContext2D, p: Plot, theme: Theme) {
  const { grid } = p;
  const a = area(p);
  g.fillStyle = theme.faded;
  g.font = "11px system-ui, sans-serif";
  g.textBaseline = "middle";
  g.textAlign = "right";
  const every = Math.max(1, Math.ceil(grid.rows / Math.max(1, Math.floor(a.h / 28))));
  const step = grid.byTime ? ([1, 2, 5, 10, 15, 20, 30, 50, 100, 200, 500].find((n) => n >= every) ?? every) : every;
  for (let row = 0; row < grid.rows; row += step) {
    const bound = grid.answer.rows[row] ?? 0;
    const y = a.y + a.h - (row / grid.rows) * a.h;
    g.fillText(grid.byTime ? offset(bound) : amount(bound, grid.answer.unit), gutter - 6, Math.min(y, p.height - foot) - (row ? 0 : 4));
  }
  g.textBaseline = "alphabetic";
  const { start_ms, column_ms } = grid.answer;
  const span = grid.columns * column_ms;
  const marks = Math.max(1, Math.floor(a.w / 130));
  for (let i = 0; i <= marks; i++) {
    g.textAlign = i === 0 ? "left" : i === marks ? "right" : "center";
    g.fillText(mark(start_ms + (span * i) / marks, span), a.x + (a.w * i) / marks, p.height - 5);
  }
}

/** What is not selected is faded, and an outline follows the cells. */
function selection(g: CanvasRenderingContext2D, p: Plot, theme: Theme, brush: Span) {
  const { grid } = p;
  const a = area(p);
  const w = a.w / grid.columns;
  const h = a.h / grid.rows;
  const chosen = new Path2D();
  for (let column = 0; column < grid.columns; column++) {
    const rows = grid.covered(column, brush);
    if (rows) chosen.rect(a.x + column * w, a.y + a.h - rows.to * h, w, (rows.to - rows.from) * h);
  }
  const rest = new Path2D(chosen);
  rest.rect(a.x, a.y, a.w, a.h);
  g.save();
  g.globalAlpha = 0.62;
  g.fillStyle = theme.background;
  g.fill(rest, "evenodd");
  g.restore();
  g.save();
  g.clip(rest, "evenodd"); // what is inside of the outline stays as it is
  g.strokeStyle = theme.outline;
  g.lineWidth = 3;
  g.stroke(chosen);
  g.restore();
}
