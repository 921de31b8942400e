// SPDX-License-Identifier: Apache-2.0
// Draws the timeline: stacked bars, a scale, round times, and marks of events.

import type { TimelineAnswer } from "../api/client";
import { otherSeries, series as palette, type Theme } from "../model/colour";
import { rateOf, roundUp, timeTicks } from "../model/timeaxis";

/** Below the bars, for the times. */
export const axisHeight = 17;
const above = 6;

export const colourOf = (name: string, index: number) => (name === "(other)" ? otherSeries : palette[index % palette.length]!);

export const bucketsOf = (data: TimelineAnswer) => Math.max(1, Math.round((data.to_ms - data.from_ms) / data.step_ms));

export interface Drawing {
  data: TimelineAnswer;
  events: TimelineAnswer | null;
  theme: Theme;
  width: number;
  height: number;
  type: string;
  /** A series that stands out, "" for none. */
  highlight: string | null;
  /** Steps that end later are not whole yet. */
  now: number;
}

export function drawTimeline(canvas: HTMLCanvasElement, d: Drawing): void {
  const { data, theme, width, height } = d;
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const g = canvas.getContext("2d")!;
  g.setTransform(ratio, 0, 0, ratio, 0, 0);
  g.clearRect(0, 0, width, height);
  const list = data.series ?? [];
  const buckets = bucketsOf(data);
  const sums = new Float64Array(buckets);
  for (const s of list) s.values.forEach((v, i) => i < buckets && (sums[i]! += v));
  const rate = rateOf(d.type, data.unit, !!data.snapshot, data.step_ms);
  const most = roundUp(sums.reduce((a, b) => Math.max(a, b), 0) / rate.per) * rate.per;
  const plot = height - axisHeight;
  const scale = (plot - above) / most;
  const w = width / buckets;
  const span = data.to_ms - data.from_ms || 1;

  // The scale: half and whole.
  g.strokeStyle = theme.dark ? "#2a2e37" : "#e4e7ec";
  g.lineWidth = 1;
  for (const part of [0.5, 1]) {
    const y = Math.round(plot - part * most * scale) + 0.5;
    g.beginPath();
    g.moveTo(0, y);
    g.lineTo(width, y);
    g.stroke();
  }
  const base = new Float64Array(buckets);
  list.forEach((s, k) => {
    g.fillStyle = colourOf(s.name, k);
    const faded = d.highlight !== null && d.highlight !== s.name ? 0.25 : 1;
    s.values.forEach((v, i) => {
      if (!v || i >= buckets) return;
      const h = v * scale;
      g.globalAlpha = faded * (data.from_ms + (i + 1) * data.step_ms > d.now ? 0.5 : 1);
      // Edges at whole pixels, or thin bars shimmer.
      const left = Math.round(i * w);
      const right = Math.max(left + 1, Math.round((i + 1) * w) - (w > 5 ? 1 : 0));
      g.fillRect(left, plot - base[i]! - h, right - left, h);
      base[i]! += h;
    });
  });
  g.globalAlpha = 1;
  g.fillStyle = theme.faded;
  g.font = "11px system-ui, sans-serif";
  g.textBaseline = "alphabetic";
  for (const tick of timeTicks(data.from_ms, data.to_ms, Math.max(2, Math.floor(width / 110)))) {
    const x = ((tick.ms - data.from_ms) / span) * width;
    const half = g.measureText(tick.text).width / 2;
    g.fillRect(Math.round(x), plot, 1, 3);
    g.fillText(tick.text, Math.min(Math.max(x - half, 0), width - 2 * half), height - 3);
  }
  // On the bars a number needs its own ground.
  const text = rate.text(most / rate.per);
  g.fillStyle = theme.background;
  g.globalAlpha = 0.8;
  g.fillRect(0, above - 6, g.measureText(text).width + 7, 15);
  g.globalAlpha = 1;
  g.fillStyle = theme.faded;
  g.fillText(text, 2, above + 5);
  drawEvents(g, d, plot);
}

function drawEvents(g: CanvasRenderingContext2D, d: Drawing, plot: number) {
  if (!d.events) return;
  const span = d.data.to_ms - d.data.from_ms || 1;
  for (let i = 0; i < bucketsOf(d.events); i++) {
    if (!(d.events.series ?? []).some((s) => s.values[i])) continue;
    const x = ((d.events.from_ms + (i + 0.5) * d.events.step_ms - d.data.from_ms) / span) * d.width;
    g.strokeStyle = g.fillStyle = d.theme.match;
    g.globalAlpha = 0.5;
    g.beginPath();
    g.moveTo(x, 4);
    g.lineTo(x, plot);
    g.stroke();
    g.globalAlpha = 1;
    g.beginPath();
    g.moveTo(x, 8);
    g.lineTo(x - 4, 1);
    g.lineTo(x + 4, 1);
    g.fill();
  }
}
