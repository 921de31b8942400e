// SPDX-License-Identifier: Apache-2.0
// The flame graph as a picture: laid out once, drawn as SVG or on a canvas.

import { type Colouring, ink, painter } from "../model/colour";
import type { Tree } from "../model/tree";
import { amount, percent } from "../ui/format";

export interface Picture {
  width: number;
  height: number;
  title: string;
  /** What it shows, and of what. */
  caption: string;
  boxes: Box[];
  dark: boolean;
  /** Frames too narrow to be drawn. */
  left: number;
}

interface Box {
  x: number;
  y: number;
  width: number;
  colour: string;
  text: string;
  /** For the tooltip. */
  about: string;
}

export interface Look {
  /** Drawn from this node on. */
  zoom: number;
  by: Colouring;
  dark: boolean;
  /** The root at the bottom. */
  up: boolean;
  title: string;
  caption: string;
}

const row = 18;
const head = 46;
const edge = 8;
const character = 6.7; // of the monospaced font at 11 px, a little generous
const leastWidth = 0.3;

export function layOut(tree: Tree, look: Look, width = 1400): Picture {
  const { zoom } = look;
  const colour = painter(tree, look.by, look.dark);
  const scale = (width - 2 * edge) / (tree.width[zoom] || 1);
  const { unit } = tree.about;
  const top = tree.depth[zoom]!;
  let deepest = top;
  let left = 0;
  const drawn: number[] = [];
  for (let i = zoom; i < tree.end[zoom]!; ) {
    if (tree.width[i]! * scale < leastWidth) {
      left += tree.end[i]! - i;
      i = tree.end[i]!;
      continue;
    }
    drawn.push(i);
    deepest = Math.max(deepest, tree.depth[i]!);
    i++;
  }
  const levels = deepest - top + 1;
  const height = head + levels * row + edge;
  const boxes = drawn.map((i): Box => {
    const w = tree.width[i]! * scale;
    const d = tree.depth[i]! - top;
    const room = Math.floor((w - 6) / character);
    const name = tree.name(i);
    const base = tree.baseTotal ? `, before ${amount(tree.baseTotal[i]!, unit)}` : "";
    return {
      x: edge + (tree.start[i]! - tree.start[zoom]!) * scale,
      y: head + (look.up ? levels - 1 - d : d) * row,
      width: w,
      colour: colour(i),
      text: room < 3 ? "" : name.length > room ? `${name.slice(0, room - 1)}…` : name,
      about: `${name} – ${amount(tree.total[i]!, unit)}, ${percent(tree.total[i]!, tree.total[0]!)}${base}${tree.binary(i) ? ` – ${tree.binary(i)}` : ""}`,
    };
  });
  return { width, height, title: look.title, caption: look.caption, boxes, dark: look.dark, left };
}

// Characters that XML does not allow are left out.
const escape = (t: string) => t.replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, "").replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");

/** A picture that needs nothing else: every frame has its numbers as a tooltip. */
export function svg(p: Picture): string {
  const text = p.dark ? ink.dark : ink.light;
  const n = (v: number) => Number(v.toFixed(2));
  const out = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${p.width} ${p.height}" width="${p.width}" height="${p.height}" font-family="ui-monospace, Menlo, Consolas, monospace" font-size="11" role="img">`,
    `<title>${escape(p.title)}</title>`,
    `<desc>${escape(p.caption)}</desc>`,
    `<rect width="100%" height="100%" fill="${p.dark ? "#16181d" : "#ffffff"}"/>`,
    `<text x="${edge}" y="18" fill="${text}" font-size="14" font-weight="600">${escape(p.title)}</text>`,
    `<text x="${edge}" y="35" fill="${text}" opacity="0.75">${escape(p.caption)}</text>`,
  ];
  for (const b of p.boxes) {
    out.push(
      `<g><title>${escape(b.about)}</title><rect x="${n(b.x)}" y="${b.y}" width="${n(Math.max(b.width - 0.4, 0.2))}" height="${row - 1}" rx="1.5" fill="${b.colour}"/>${b.text ? `<text x="${n(b.x + 3)}" y="${b.y + 12}" fill="${text}">${escape(b.text)}</text>` : ""}</g>`,
    );
  }
  return `${out.join("\n")}\n</svg>\n`;
}

/** As PNG, at twice the size for sharp screens where the browser can; rejects when it is too large to be drawn. */
export async function png(p: Picture): Promise<Blob> {
  const ratio = p.height * 2 > 16_000 ? 1 : 2;
  if (p.height * ratio > 32_000) throw new Error("the stacks are too deep for a picture: zoom in, or save it as SVG");
  const canvas = document.createElement("canvas");
  canvas.width = p.width * ratio;
  canvas.height = p.height * ratio;
  const g = canvas.getContext("2d");
  if (!g) throw new Error("this browser cannot draw it: save it as SVG");
  const text = p.dark ? ink.dark : ink.light;
  g.scale(ratio, ratio);
  g.fillStyle = p.dark ? "#16181d" : "#ffffff";
  g.fillRect(0, 0, p.width, p.height);
  g.fillStyle = text;
  g.font = "600 14px ui-monospace, monospace";
  g.fillText(p.title, edge, 18, p.width - 2 * edge);
  g.font = "11px ui-monospace, monospace";
  g.fillText(p.caption, edge, 35, p.width - 2 * edge);
  for (const b of p.boxes) {
    g.fillStyle = b.colour;
    g.fillRect(b.x, b.y, Math.max(b.width - 0.4, 0.2), row - 1);
    if (b.text) {
      g.fillStyle = text;
      g.fillText(b.text, b.x + 3, b.y + 12, b.width - 4);
    }
  }
  return new Promise((resolve, reject) => canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("this browser cannot draw it: save it as SVG"))), "image/png"));
}
