// SPDX-License-Identifier: Apache-2.0
// The arithmetic of zooming and panning. A span is the part of the whole width that is shown,
// in units of the tree's width; the whole is 0 … total.

export interface Span {
  left: number;
  right: number;
}

/** How much closer than the whole the view can get: beyond this the numbers have no digits left. */
const closest = 1e-10;

/** Keeps a span inside the whole, as wide as it is where that is possible. */
export function clamp(left: number, right: number, total: number): Span {
  const width = Math.min(Math.max(right - left, total * closest), total);
  const from = Math.min(Math.max((left + right - width) / 2, 0), total - width);
  return { left: from, right: from + width };
}

/** Zooms so that the place under the pointer (0 … 1 of the screen) stays under it; factor > 1 comes closer. */
export function zoomAround(s: Span, at: number, factor: number, total: number): Span {
  const width = Math.min(Math.max((s.right - s.left) / factor, total * closest), total);
  const place = s.left + at * (s.right - s.left);
  const left = Math.min(Math.max(place - at * width, 0), total - width);
  return { left, right: left + width };
}

/** Moves by a part of what is shown: 1 is a whole screen to the right. */
export function pan(s: Span, part: number, total: number): Span {
  const width = s.right - s.left;
  const left = Math.min(Math.max(s.left + part * width, 0), total - width);
  return { left, right: left + width };
}

/**
 * Writes the span at a moment (0 … 1) of the way from one to another into out. The width changes by
 * the same factor in the same time, around a place that stays where it is: that is what the eye
 * takes for coming closer.
 */
export function between(a: Span, b: Span, t: number, out: Span): void {
  if (t >= 1) {
    out.left = b.left;
    out.right = b.right;
    return;
  }
  const from = a.right - a.left;
  const to = b.right - b.left;
  if (from <= 0 || to <= 0 || Math.abs(from - to) < 1e-6 * from) {
    out.left = a.left + (b.left - a.left) * t;
    out.right = a.right + (b.right - a.right) * t;
    return;
  }
  const width = from * (to / from) ** t;
  const way = (from - width) / (from - to);
  out.left = a.left + (b.left - a.left) * way;
  out.right = out.left + width;
}

/** Slow at the end. */
export const ease = (t: number) => 1 - (1 - t) ** 3;

/** The same place in another tree: as far into the new frame as it was in the old. */
export function carry(s: Span, old: Span, now: Span, total: number): Span {
  const scale = (now.right - now.left) / (old.right - old.left || 1);
  return clamp(now.left + (s.left - old.left) * scale, now.left + (s.right - old.left) * scale, total);
}

/** The rectangle of a span on a map of so many pixels: never too thin to be seen or held. */
export function onMap(s: Span, total: number, pixels: number, thinnest = 8): { x: number; w: number } {
  const w = Math.min(Math.max(((s.right - s.left) / (total || 1)) * pixels, thinnest), pixels);
  const middle = ((s.left + s.right) / 2 / (total || 1)) * pixels;
  return { x: Math.min(Math.max(middle - w / 2, 0), pixels - w), w };
}

/** The span whose middle is at a pixel of the map. */
export function fromMap(s: Span, px: number, total: number, pixels: number): Span {
  const width = s.right - s.left;
  const middle = (px / (pixels || 1)) * total;
  return clamp(middle - width / 2, middle + width / 2, total);
}

/** The span that shows a frame with what is around it, s itself when the frame is easily seen in it. */
export function reveal(s: Span, start: number, width: number, pixels: number, total: number): Span {
  const scale = pixels / (s.right - s.left || 1);
  const seen = Math.min(start + width, s.right) - Math.max(start, s.left);
  if (seen * scale >= Math.min(40, pixels / 4)) return s;
  // As it is when that is wide enough, else so close that the frame takes a fifth.
  const shown = width * scale >= 40 ? s.right - s.left : Math.max(width * 5, total * closest);
  const middle = start + width / 2;
  return clamp(middle - shown / 2, middle + shown / 2, total);
}
