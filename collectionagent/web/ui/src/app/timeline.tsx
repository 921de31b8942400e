// SPDX-License-Identifier: Apache-2.0
// Samples over time, stacked by a label. Dragging selects a range.

import { useLayoutEffect, useRef, useState } from "preact/hooks";
import type { TimelineAnswer } from "../api/client";
import { otherSeries, series as palette, type Theme } from "../model/colour";
import { amount, clock, dateTime, mark } from "../ui/format";

const height = 84;

interface Props {
  data: TimelineAnswer;
  theme: Theme;
  onSelect(fromMs: number, toMs: number): void;
}

export function colourOf(name: string, index: number): string {
  return name === "(other)" ? otherSeries : palette[index % palette.length]!;
}

export function Timeline({ data, theme, onSelect }: Props) {
  const holder = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const [width, setWidth] = useState(0);
  const [drag, setDrag] = useState<{ from: number; to: number } | null>(null);
  const [at, setAt] = useState<{ x: number; bucket: number } | null>(null);
  const list = data.series ?? [];
  const buckets = Math.max(1, ...list.map((s) => s.values.length));
  const span = data.to_ms - data.from_ms || 1;

  useLayoutEffect(() => {
    const el = holder.current!;
    const observer = new ResizeObserver(() => setWidth(el.clientWidth));
    observer.observe(el);
    setWidth(el.clientWidth);
    return () => observer.disconnect();
  }, []);

  useLayoutEffect(() => {
    if (!width) return;
    const c = canvas.current!;
    const ratio = window.devicePixelRatio || 1;
    c.width = Math.round(width * ratio);
    c.height = Math.round(height * ratio);
    const g = c.getContext("2d")!;
    g.setTransform(ratio, 0, 0, ratio, 0, 0);
    g.clearRect(0, 0, width, height);
    const sums = new Float64Array(buckets);
    for (const s of list) s.values.forEach((v, i) => (sums[i]! += v));
    const most = Math.max(1, ...sums);
    const w = width / buckets;
    const base = new Float64Array(buckets);
    const plot = height - 16;
    list.forEach((s, k) => {
      g.fillStyle = colourOf(s.name, k);
      s.values.forEach((v, i) => {
        if (!v) return;
        const h = (v / most) * (plot - 2);
        g.fillRect(i * w, plot - base[i]! - h, Math.max(w - (w > 4 ? 1 : 0), 0.5), h);
        base[i]! += h;
      });
    });
    g.fillStyle = theme.faded;
    g.font = "11px system-ui, sans-serif";
    const marks = Math.max(2, Math.floor(width / 140));
    for (let i = 0; i <= marks; i++) {
      const x = (i / marks) * width;
      g.textAlign = i === 0 ? "left" : i === marks ? "right" : "center";
      g.fillText(mark(data.from_ms + (span * i) / marks, span), x, height - 3);
    }
  });

  const x = (e: MouseEvent) => Math.min(Math.max(e.clientX - holder.current!.getBoundingClientRect().left, 0), width);
  const time = (px: number) => data.from_ms + (px / (width || 1)) * span;

  return (
    <div
      class="timeline"
      ref={holder}
      role="img"
      aria-label={`Samples over time by ${data.by}, from ${dateTime(data.from_ms)} to ${dateTime(data.to_ms)}`}
      onMouseDown={(e) => setDrag({ from: x(e), to: x(e) })}
      onMouseMove={(e) => {
        const px = x(e);
        setAt({ x: px, bucket: Math.min(buckets - 1, Math.floor((px / width) * buckets)) });
        if (drag) setDrag({ ...drag, to: px });
      }}
      onMouseUp={() => {
        if (drag && Math.abs(drag.to - drag.from) > 4) {
          onSelect(Math.round(time(Math.min(drag.from, drag.to))), Math.round(time(Math.max(drag.from, drag.to))));
        }
        setDrag(null);
      }}
      onMouseLeave={() => {
        setAt(null);
        setDrag(null);
      }}
    >
      <canvas ref={canvas} style={{ width: "100%", height: `${height}px` }} />
      {drag && (
        <div
          class="brush"
          style={{ left: `${Math.min(drag.from, drag.to)}px`, width: `${Math.abs(drag.to - drag.from)}px` }}
        />
      )}
      {at && !drag && list.length > 0 && (
        <div class="tooltip small" style={{ position: "absolute", top: "4px", [at.x > width / 2 ? "right" : "left"]: `${at.x > width / 2 ? width - at.x + 10 : at.x + 10}px` }}>
          <strong>{span < 2 * 86400e3 ? clock(data.from_ms + (at.bucket + 0.5) * data.step_ms) : dateTime(data.from_ms + at.bucket * data.step_ms)}</strong>
          <ul>
            {list
              .map((s, i) => ({ name: s.name, value: s.values[at.bucket] ?? 0, colour: colourOf(s.name, i) }))
              .filter((s) => s.value)
              .map((s) => (
                <li key={s.name}>
                  <i style={{ background: s.colour }} /> {s.name || "(none)"} <b>{amount(s.value, data.unit)}</b>
                </li>
              ))}
          </ul>
        </div>
      )}
    </div>
  );
}
