// SPDX-License-Identifier: Apache-2.0
// Draws a flame graph on a canvas. Every row is first made as one line of pixels, which costs the
// same for ten frames and for a thousand; the lines are then stretched to rows, and what is wide
// enough gets its text. Nothing is allocated while the picture moves.

import type { Theme } from "../../model/colour";
import type { Matches } from "../../model/tree";
import type { Index, Visitor, Window } from "./layout";
import { Labels } from "./label";
import { merged, mix, pixel } from "./pixels";

const fontSize = 12;
const textFrom = 26; // CSS pixels of a frame that gets text
const hatchFrom = 4;
const family = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif";

/** What is drawn; lengths in CSS pixels, but for the window: its scale is in device pixels, as all that is drawn. */
export interface Scene {
  index: Index;
  colour(node: number): string;
  theme: Theme;
  searching: boolean;
  matches: Matches;
  /** The node that is zoomed into: what is above it is faded. */
  zoom: number;
  /** The frame that is pointed to here or in another view, -1 for none. */
  hover: number;
  /** The node that has the keyboard's focus, -1 for none. */
  focus: number;
  up: boolean;
  window: Window;
  width: number;
  height: number;
  ratio: number;
  rowHeight: number;
  /** How high all rows are, and how much of it is scrolled away. */
  space: number;
  top: number;
}

/** Numbers in a row that grows when it must. */
class List {
  data = new Float64Array(1024);
  length = 0;
  push(a: number, b: number, c: number, d: number) {
    if (this.length + 4 > this.data.length) {
      const larger = new Float64Array(this.data.length * 2);
      larger.set(this.data);
      this.data = larger;
    }
    this.data[this.length++] = a;
    this.data[this.length++] = b;
    this.data[this.length++] = c;
    this.data[this.length++] = d;
  }
}

export class Painter implements Visitor {
  private readonly g: CanvasRenderingContext2D;
  private readonly lines = document.createElement("canvas");
  private readonly lineContext = this.lines.getContext("2d", { willReadFrequently: true })!;
  private image: ImageData | null = null;
  private data = new Uint32Array(0);

  // What was worked out for the scene, and what for.
  private colours = new Uint32Array(0);
  private coloursOf: ((node: number) => string) | null = null;
  private labels: Labels | null = null;
  private labelsOf: readonly string[] | null = null;
  private font = "";
  private matched = new Uint32Array(0);
  private matchedOf: Matches | null = null;
  private hovered = new Uint32Array(0);
  private hoveredOf = -1;
  private index: Index | null = null;
  private hatch: CanvasPattern | null = null;
  private hatchOf: Theme | null = null;

  // Of the row that is being made.
  private s!: Scene;
  private base = 0;
  private y = 0;
  private columns = 0;
  private background = 0;
  private matchPixel = 0;
  private otherPixel = 0;
  private outlinePixel = 0;
  private focusRank = -1;
  private readonly texts = new List();
  private readonly blocks = new List();
  private readonly marks = new List();
  private readonly focus = { x: 0, y: 0, w: -1 };
  drawn = 0;

  constructor(private readonly canvas: HTMLCanvasElement) {
    this.g = canvas.getContext("2d", { alpha: false })!;
  }

  private prepare(s: Scene) {
    const { index, theme } = s;
    if (this.index !== index) {
      this.index = index;
      this.coloursOf = null;
      this.matchedOf = null;
      this.hoveredOf = -1;
    }
    const { tree } = index;
    if (this.coloursOf !== s.colour) {
      this.colours = this.colours.length === tree.size ? this.colours.fill(0) : new Uint32Array(tree.size);
      this.coloursOf = s.colour;
    }
    const font = `${fontSize * s.ratio}px ${family}`;
    if (this.labelsOf !== tree.frames.name || this.font !== font) {
      this.labelsOf = tree.frames.name;
      this.font = font;
      this.labels = new Labels(tree.frames.name, (text) => {
        this.g.font = font;
        return this.g.measureText(text).width;
      });
    }
    if (s.searching && this.matchedOf !== s.matches) {
      this.matched = index.counts((n) => s.matches.marked[n] === 1);
      this.matchedOf = s.matches;
    }
    if (s.hover >= 0 && this.hoveredOf !== s.hover) {
      this.hovered = index.counts((n) => tree.frame[n] === s.hover);
      this.hoveredOf = s.hover;
    }
    if (this.hatchOf !== theme) {
      this.hatchOf = theme;
      this.hatch = this.makeHatch(theme);
      this.background = pixel(theme.background);
      this.matchPixel = pixel(theme.match);
      this.outlinePixel = pixel(theme.outline);
      this.otherPixel = pixel(merged(theme));
    }
  }

  private makeHatch(theme: Theme): CanvasPattern | null {
    const tile = document.createElement("canvas");
    tile.width = tile.height = 6;
    const g = tile.getContext("2d")!;
    g.strokeStyle = theme.dark ? "rgba(255,255,255,0.13)" : "rgba(70,78,94,0.2)";
    g.lineWidth = 1.5;
    g.beginPath();
    for (const d of [-6, 0, 6]) {
      g.moveTo(d - 1, 7);
      g.lineTo(d + 7, -1);
    }
    g.stroke();
    return this.g.createPattern(tile, "repeat");
  }

  private resize(width: number, height: number, s: Scene) {
    if (this.canvas.width === width && this.canvas.height === height) return;
    this.canvas.width = width;
    this.canvas.height = height;
    this.canvas.style.width = `${s.width}px`;
    this.canvas.style.height = `${s.height}px`;
  }

  /** Pixels for so many lines. */
  private lineBuffer(width: number, rows: number) {
    if (this.image && this.image.width === width && this.image.height >= rows) return;
    this.lines.width = width;
    this.lines.height = rows;
    this.image = this.lineContext.createImageData(width, rows);
    this.data = new Uint32Array(this.image.data.buffer);
  }

  draw(s: Scene): void {
    this.prepare(s);
    this.s = s;
    const { ratio, index } = s;
    const g = this.g;
    const columns = (this.columns = Math.max(1, Math.round(s.width * ratio)));
    const height = Math.max(1, Math.round(s.height * ratio));
    this.resize(columns, height, s);
    this.drawn = 0;
    this.texts.length = this.blocks.length = this.marks.length = 0;
    this.focus.w = -1;
    this.focusRank = s.focus >= 0 ? index.rank[s.focus]! : -1;

    // Rows in the order of the screen; in device pixels from here on.
    const row = Math.round(s.rowHeight * ratio);
    const top = Math.round(s.top * ratio);
    const space = Math.round(s.space * ratio);
    const depths = index.offset.length - 1;
    const firstLine = s.up ? Math.floor((space - top - height) / row) : Math.floor(top / row);
    const from = Math.max(0, firstLine);
    const to = Math.min(depths, (s.up ? Math.floor((space - top) / row) : Math.floor((top + height) / row)) + 1);
    const rows = Math.max(0, to - from);
    g.fillStyle = s.theme.background;
    g.fillRect(0, 0, columns, height);
    if (!rows) return;
    this.lineBuffer(columns, Math.ceil(height / row) + 3);
    for (let k = 0; k < rows; k++) {
      const depth = s.up ? to - 1 - k : from + k;
      this.base = k * columns;
      this.y = s.up ? space - (depth + 1) * row - top : depth * row - top;
      this.data.fill(this.background, this.base, this.base + columns);
      index.walk(depth, s.window, this);
    }
    this.lineContext.putImageData(this.image!, 0, 0, 0, 0, columns, rows);
    const y = s.up ? space - to * row - top : from * row - top;
    g.imageSmoothingEnabled = false;
    g.drawImage(this.lines, 0, 0, columns, rows, 0, y, columns, rows * row);
    for (let k = 1; k <= rows; k++) g.fillRect(0, y + k * row - 1, columns, 1);
    this.drawBlocks(row);
    this.drawMarks(row);
    this.drawTexts(row);
    this.drawFocus(row);
  }

  private put(x: number, w: number, colour: number): number {
    const from = Math.max(0, Math.round(x));
    let to = Math.min(this.columns, Math.round(x + w));
    if (to <= from) to = from + 1;
    else if (to - from > 3) to--; // a line between frames, where there is room for it
    if (from < this.columns) this.data.fill(colour, this.base + from, this.base + Math.min(to, this.columns));
    return from;
  }

  frame(rank: number, x: number, w: number): void {
    const { s } = this;
    const { tree } = s.index;
    const node = s.index.node[rank]!;
    const marked = s.searching && s.matches.marked[node] === 1;
    let colour = marked ? this.matchPixel : this.colours[node]!;
    if (!colour) colour = this.colours[node] = pixel(s.colour(node));
    // 0: as it is, 1: above the zoomed frame, 2: not what is searched.
    let faded = 0;
    if (node < s.zoom && tree.end[node]! > s.zoom) faded = 1;
    else if (s.searching && !marked) faded = 2;
    if (faded) colour = mix(colour, this.background, faded === 1 ? 128 : 90);
    if (s.hover >= 0 && tree.frame[node] === s.hover) {
      colour = mix(this.outlinePixel, colour, 48);
      faded = 0; // the text is to be read
    }
    this.put(x, w, colour);
    this.drawn++;
    const from = x < 0 ? 0 : x;
    const seen = Math.min(x + w, this.columns) - from;
    if (seen >= textFrom * s.ratio) this.texts.push(tree.frame[node]!, from, seen, this.y * 8 + faded + (marked ? 4 : 0));
    if (w > 2 && node > 0 && tree.frames.kind[tree.frame[node]!] === "label") this.marks.push(from, this.y, seen, 0);
    if (rank === this.focusRank) this.focusAt(x, w);
  }

  block(first: number, last: number, x: number, w: number): void {
    const { s } = this;
    let colour = this.otherPixel;
    if (s.searching) colour = this.matched[last + 1] !== this.matched[first] ? mix(this.matchPixel, colour, 180) : mix(colour, this.background, 110);
    if (s.hover >= 0 && this.hovered[last + 1] !== this.hovered[first]) colour = mix(this.outlinePixel, colour, 110);
    this.put(x, w, colour);
    this.drawn++;
    if (w >= hatchFrom) this.blocks.push(Math.max(x, 0), this.y, Math.min(x + w, this.columns) - Math.max(x, 0), 0);
    if (this.focusRank >= first && this.focusRank <= last) this.focusAt(x, w);
  }

  private focusAt(x: number, w: number) {
    this.focus.x = Math.max(x, 0);
    this.focus.y = this.y;
    this.focus.w = Math.min(x + w, this.columns) - this.focus.x;
  }

  private drawBlocks(row: number) {
    const { data, length } = this.blocks;
    if (!length || !this.hatch) return;
    this.g.fillStyle = this.hatch;
    for (let i = 0; i < length; i += 4) this.g.fillRect(Math.round(data[i]!), data[i + 1]!, Math.round(data[i + 2]! - 1), row - 1);
  }

  /** Levels that are labels have a line on their upper edge. */
  private drawMarks(row: number) {
    const { data, length } = this.marks;
    if (!length) return;
    this.g.fillStyle = this.s.theme.dark ? "#91a7ff" : "#3b5bdb";
    const h = Math.max(2, Math.round(row / 9));
    for (let i = 0; i < length; i += 4) this.g.fillRect(Math.round(data[i]!), data[i + 1]!, Math.round(data[i + 2]! - 1), h);
  }

  private drawTexts(row: number) {
    const { g, s, texts } = this;
    const { data, length } = texts;
    const pad = 4 * s.ratio;
    g.font = this.font;
    g.textBaseline = "middle";
    g.textAlign = "left";
    let style = -1;
    for (let i = 0; i < length; i += 4) {
      const packed = data[i + 3]!;
      const y = Math.floor(packed / 8);
      const look = packed - y * 8;
      const text = this.labels!.fit(data[i]!, Math.floor(data[i + 2]! - pad * 1.75));
      if (!text) continue;
      if (look !== style) {
        style = look;
        g.fillStyle = look & 4 ? "#1a1a1a" : (look & 3) === 2 ? s.theme.faded : s.theme.text;
      }
      g.fillText(text, data[i + 1]! + pad, y + row / 2);
    }
  }

  private drawFocus(row: number) {
    const { x, y, w } = this.focus;
    if (w < 0) return;
    const { g, s } = this;
    const line = 2 * s.ratio;
    g.lineWidth = line;
    g.strokeStyle = s.theme.outline;
    const wide = Math.max(w, 5 * s.ratio); // a thin one must be seen, too
    g.strokeRect(x + line / 2, y + line / 2, Math.max(wide - line, 1), row - 1 - line);
  }
}
