// SPDX-License-Identifier: Apache-2.0
// How many events there are over time. A click on a bar narrows the range to it.

import { useLayoutEffect, useRef, useState } from "preact/hooks";
import type { TimelineAnswer } from "../../api/client";
import type { Theme } from "../../model/colour";
import { dateTime, exact, many, mark } from "../../ui/format";
import { histogram } from "./rows";

const height = 64;
const foot = 15;

interface Props {
  data: TimelineAnswer;
  theme: Theme;
  onSelect(fromMs: number, toMs: number): void;
}

export function Histogram({ data, theme, onSelect }: Props) {
  const holder = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const [width, setWidth] = useState(0);
  const [at, setAt] = useState(-1);
  const bars = histogram(data);
  const steps = Math.max(1, Math.round((data.to_ms - data.from_ms) / data.step_ms));
  const most = Math.max(1, ...bars);

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
    const w = width / steps;
    const style = getComputedStyle(holder.current!);
    g.fillStyle = style.getPropertyValue("--line");
    g.fillRect(0, height - foot - 1, width, 1);
    bars.forEach((n, i) => {
      if (!n) return;
      // A few events beside many are to be seen all the same.
      const h = Math.max(3, (n / most) * (height - foot - 4));
      g.fillStyle = style.getPropertyValue(i === at ? "--text" : "--accent");
      g.fillRect(i * w, height - foot - h, Math.max(2, w - (w > 4 ? 1 : 0)), h);
    });
    g.fillStyle = theme.faded;
    g.font = "11px system-ui, sans-serif";
    const marks = Math.max(2, Math.floor(width / 140));
    const span = data.to_ms - data.from_ms;
    for (let i = 0; i <= marks; i++) {
      g.textAlign = i === 0 ? "left" : i === marks ? "right" : "center";
      g.fillText(mark(data.from_ms + (span * i) / marks, span), (i / marks) * width, height - 3);
    }
  });

  const step = (e: MouseEvent) => Math.min(steps - 1, Math.max(0, Math.floor(((e.clientX - holder.current!.getBoundingClientRect().left) / (width || 1)) * steps)));
  const start = data.from_ms + Math.max(0, at) * data.step_ms;
  const peak = bars.indexOf(most);
  return (
    <div
      class="pg-histogram"
      ref={holder}
      role="img"
      aria-label={`Events over time from ${dateTime(data.from_ms)} to ${dateTime(data.to_ms)}${peak >= 0 ? `, most at ${dateTime(data.from_ms + peak * data.step_ms)}: ${exact(most)}` : ""}`}
      onMouseMove={(e) => setAt(step(e))}
      onMouseLeave={() => setAt(-1)}
      onClick={(e) => {
        const from = data.from_ms + step(e) * data.step_ms;
        if (bars[step(e)]) onSelect(from, from + data.step_ms);
      }}
    >
      <canvas ref={canvas} style={{ width: "100%", height: `${height}px`, cursor: at >= 0 && bars[at] ? "pointer" : "default" }} />
      {at >= 0 && !!bars[at] && (
        <div class="tooltip small" style={{ position: "absolute", top: "2px", [at > steps / 2 ? "right" : "left"]: `${at > steps / 2 ? width - (at * width) / steps + 8 : ((at + 1) * width) / steps + 8}px` }}>
          <strong>{dateTime(start)}</strong> {many(bars[at]!, "event")}
        </div>
      )}
    </div>
  );
}
