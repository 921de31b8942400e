// SPDX-License-Identifier: Apache-2.0
// The stack chart: the stacks of one track from left to right as time went.

import { useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { fill, type Theme } from "../../model/colour";
import type { Expression } from "../../model/regexp";
import { many, percent } from "../../ui/format";
import { useKeys } from "../../ui/keys";
import { type Span, lengthText, precise, spanText } from "../../ui/times";
import { Labels } from "../flame/label";
import { boxAt, firstBehind, step, type Boxes } from "./boxes";
import type { Tracks } from "./model";

const rowHeight = 18;
const axis = 18;
const group = "Stack chart";
const keyList = [
  { key: "← → ↑ ↓", what: "move between calls", group },
  { key: "Enter", what: "zoom to the call", group },
  { key: "Shift ↑ ↓", what: "zoom in and out", group },
  { key: "Shift ← →", what: "pan", group },
  { key: "Escape / Home", what: "show the whole range", group },
  { key: ".", what: "menu of the call; also Shift F10", group },
  { key: "v", what: "details of the call at the side, or close them", group },
];

interface Props {
  tracks: Tracks;
  boxes: Boxes;
  /** What is shown, and all that there is. */
  span: Span;
  whole: Span;
  theme: Theme;
  search: Expression | null;
  title: string;
  onSpan(s: Span | null): void;
  /** A function is chosen; with a place on the screen its menu is asked for. */
  onDetails(name: string): void;
  onMenu(name: string, x: number, y: number): void;
  announce(text: string): void;
}

/** A span within the whole, no shorter than two milliseconds. */
export function within(s: Span, whole: Span): Span {
  const length = Math.min(Math.max(s.to - s.from, 2), whole.to - whole.from);
  const middle = (s.from + s.to) / 2;
  const from = Math.min(Math.max(middle - length / 2, whole.from), whole.to - length);
  return { from, to: from + length };
}

export function Chart(p: Props) {
  const holder = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const [size, setSize] = useState({ width: 0, height: 0, top: 0 });
  const [tip, setTip] = useState<{ box: number; x: number; y: number } | null>(null);
  const [focus, setFocus] = useState<{ name: string; depth: number; at: number } | null>(null);
  const [focused, setFocused] = useState(false);
  const drag = useRef<{ x: number; y: number; top: number; span: Span; moved: boolean } | null>(null);
  const { tracks, boxes, span, whole } = p;
  const { functions } = tracks;
  const latest = useRef(p);
  latest.current = p;
  useKeys(keyList);
  const depth = boxes.rows.length;
  // The box stays the focus when others are loaded.
  const focusBox = useMemo(() => {
    if (!focus) return -1;
    const box = boxAt(boxes, focus.depth, focus.at);
    return box >= 0 && functions.name[boxes.frame[box]!] === focus.name ? box : -1;
  }, [boxes, focus]);

  useLayoutEffect(() => {
    const el = holder.current!;
    const measure = () => setSize({ width: el.clientWidth, height: el.clientHeight, top: el.scrollTop });
    const observer = new ResizeObserver(measure);
    observer.observe(el);
    measure();
    return () => observer.disconnect();
  }, []);
  const labels = useMemo(() => {
    const g = document.createElement("canvas").getContext("2d")!;
    g.font = font;
    return new Labels(functions.name, (text) => g.measureText(text).width);
  }, [functions]);
  const hits = useMemo(() => (p.search ? functions.name.map((n, i) => p.search!.test(n) || p.search!.test(functions.file[i]!) || p.search!.test(functions.binary[i]!)) : null), [functions, p.search]);
  const hoverName = tip ? functions.name[boxes.frame[tip.box]!] : undefined;

  useLayoutEffect(() => {
    if (!size.width) return;
    const frame = requestAnimationFrame(() => {
      if (canvas.current) holder.current!.dataset.drawn = String(draw(canvas.current, latest.current, labels, hits, size, focused ? focusBox : -1, hoverName));
    });
    return () => cancelAnimationFrame(frame);
  });
  useLayoutEffect(() => setTip(null), [boxes, span.from, span.to]);

  const ms = (clientX: number) => {
    const box = canvas.current!.getBoundingClientRect();
    return span.from + ((clientX - box.left) / (box.width || 1)) * (span.to - span.from);
  };
  const hit = (e: MouseEvent): number => {
    const y = e.clientY - canvas.current!.getBoundingClientRect().top - axis + holder.current!.scrollTop;
    return y < 0 ? -1 : boxAt(boxes, Math.floor(y / rowHeight), ms(e.clientX));
  };
  const zoom = (at: number, factor: number) => {
    const s = latest.current.span;
    p.onSpan(within({ from: at - (at - s.from) / factor, to: at + (s.to - at) / factor }, latest.current.whole));
  };
  const pan = (part: number) => {
    const s = latest.current.span;
    const by = part * (s.to - s.from);
    p.onSpan(within({ from: s.from + by, to: s.to + by }, latest.current.whole));
  };

  useLayoutEffect(() => {
    const el = canvas.current!;
    const wheel = (e: WheelEvent) => {
      const lines = e.deltaMode === 1 ? 16 : 1;
      if (e.ctrlKey || e.metaKey) {
        const delta = Math.max(-120, Math.min(120, e.deltaY * lines));
        const s = latest.current.span;
        const box = el.getBoundingClientRect();
        zoom(s.from + ((e.clientX - box.left) / box.width) * (s.to - s.from), Math.exp(-delta * (Math.abs(delta) < 40 ? 0.01 : 0.004)));
      } else if (e.shiftKey || Math.abs(e.deltaX) > Math.abs(e.deltaY)) {
        pan(((e.shiftKey && !e.deltaX ? e.deltaY : e.deltaX) * lines) / (el.clientWidth || 1));
      } else return; // scrolls
      e.preventDefault();
    };
    el.addEventListener("wheel", wheel, { passive: false });
    return () => el.removeEventListener("wheel", wheel);
  }, []);

  const about = (box: number) => {
    const s = { from: boxes.from[box]!, to: boxes.to[box]! };
    return `${functions.name[boxes.frame[box]!]}, ${lengthText(s)} from ${precise(s.from)}`;
  };
  const focusOn = (box: number) => {
    setFocus({ name: functions.name[boxes.frame[box]!]!, depth: boxes.depth[box]!, at: Math.max(boxes.from[box]!, span.from) + 0.001 });
    const y = boxes.depth[box]! * rowHeight;
    const el = holder.current!;
    if (y < el.scrollTop) el.scrollTop = y;
    else if (y + rowHeight > el.scrollTop + el.clientHeight - axis) el.scrollTop = y + rowHeight - el.clientHeight + axis;
    const s = { from: boxes.from[box]!, to: boxes.to[box]! };
    if (s.to <= span.from || s.from >= span.to) {
      const half = (span.to - span.from) / 2;
      const middle = (s.from + s.to) / 2;
      p.onSpan(within({ from: middle - half, to: middle + half }, whole));
    }
    p.announce(about(box));
  };

  const keys = (e: KeyboardEvent) => {
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    const middle = focusBox >= 0 ? (Math.max(boxes.from[focusBox]!, span.from) + Math.min(boxes.to[focusBox]!, span.to)) / 2 : (span.from + span.to) / 2;
    const go = (to: "parent" | "child" | "left" | "right") => {
      const row = boxes.rows[0] ?? [];
      const next = focusBox < 0 ? (row[firstBehind(boxes, row, span.from)] ?? -1) : step(boxes, focusBox, to);
      if (next >= 0) focusOn(next);
    };
    switch (e.key) {
      case "ArrowUp":
        if (e.shiftKey) zoom(middle, 1.6);
        else go("parent");
        break;
      case "ArrowDown":
        if (e.shiftKey) zoom(middle, 1 / 1.6);
        else go("child");
        break;
      case "ArrowLeft":
        if (e.shiftKey) pan(-0.25);
        else go("left");
        break;
      case "ArrowRight":
        if (e.shiftKey) pan(0.25);
        else go("right");
        break;
      case "Enter":
        if (focusBox < 0) return;
        p.onSpan(within({ from: boxes.from[focusBox]!, to: boxes.to[focusBox]! }, whole));
        break;
      case "Escape":
      case "Home":
        p.onSpan(null);
        break;
      case "v":
        if (focusBox < 0) return;
        p.onDetails(functions.name[boxes.frame[focusBox]!]!);
        break;
      case ".":
      case "ContextMenu":
      case "F10": {
        if (focusBox < 0 || (e.key === "F10" && !e.shiftKey)) return;
        const box = canvas.current!.getBoundingClientRect();
        p.onMenu(functions.name[boxes.frame[focusBox]!]!, box.left + ((middle - span.from) / (span.to - span.from)) * box.width, box.top + axis + (boxes.depth[focusBox]! + 1) * rowHeight - holder.current!.scrollTop);
        break;
      }
      default:
        return;
    }
    e.preventDefault();
  };

  const height = Math.max(size.height, depth * rowHeight + axis);
  return (
    <div
      class="tracks-chart"
      ref={holder}
      tabIndex={0}
      role="application"
      aria-roledescription="stack chart"
      aria-label={`Stacks of ${p.title} over time, ${spanText(span)}. Arrow keys move between calls, Enter zooms, Escape shows all.`}
      data-boxes={boxes.frame.length}
      data-depth={depth}
      data-from={Math.round(span.from)}
      data-to={Math.round(span.to)}
      data-focus={focusBox >= 0 ? functions.name[boxes.frame[focusBox]!] : ""}
      onScroll={(e) => {
        const top = e.currentTarget.scrollTop;
        setSize((s) => ({ ...s, top }));
        setTip(null);
      }}
      onKeyDown={keys}
      onFocus={() => setFocused(true)}
      onBlur={() => setFocused(false)}
    >
      <canvas
        ref={canvas}
        onPointerDown={(e) => {
          if (e.button !== 0) return;
          drag.current = { x: e.clientX, y: e.clientY, top: holder.current!.scrollTop, span, moved: false };
          canvas.current!.setPointerCapture(e.pointerId);
        }}
        onPointerMove={(e) => {
          const d = drag.current;
          if (d) {
            if (!d.moved && Math.abs(e.clientX - d.x) + Math.abs(e.clientY - d.y) < 5) return;
            d.moved = true;
            const by = ((d.x - e.clientX) / (size.width || 1)) * (d.span.to - d.span.from);
            p.onSpan(within({ from: d.span.from + by, to: d.span.to + by }, whole));
            if (e.pointerType === "mouse") holder.current!.scrollTop = d.top + d.y - e.clientY;
            return;
          }
          const box = hit(e);
          setTip(box < 0 ? null : { box, x: e.clientX, y: e.clientY });
        }}
        onPointerUp={(e) => {
          if (drag.current && !drag.current.moved) {
            const box = hit(e);
            if (box >= 0) focusOn(box);
          }
          drag.current = null;
        }}
        onPointerCancel={() => (drag.current = null)}
        onPointerLeave={() => setTip(null)}
        onDblClick={(e) => {
          const box = hit(e);
          p.onSpan(box < 0 ? null : within({ from: boxes.from[box]!, to: boxes.to[box]! }, whole));
        }}
        onContextMenu={(e) => {
          const box = hit(e);
          if (box < 0) return;
          e.preventDefault();
          setTip(null);
          p.onMenu(functions.name[boxes.frame[box]!]!, e.clientX, e.clientY);
        }}
      />
      <div style={{ height: `${Math.max(0, height - size.height)}px` }} />
      {tip && tip.box < boxes.frame.length && <Tip {...p} tip={tip} />}
    </div>
  );
}

const font = "12px system-ui, sans-serif";

function draw(canvas: HTMLCanvasElement, p: Props, labels: Labels, hits: boolean[] | null, size: { width: number; height: number; top: number }, focus: number, hover: string | undefined): number {
  const { tracks, boxes, span, theme } = p;
  const { width, height, top } = size;
  const ratio = window.devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
  }
  const g = canvas.getContext("2d", { alpha: false })!;
  g.setTransform(ratio, 0, 0, ratio, 0, 0);
  g.fillStyle = theme.background;
  g.fillRect(0, 0, width, height);
  g.font = font;
  g.textBaseline = "middle";
  g.textAlign = "left";
  const scale = width / (span.to - span.from);
  const { functions } = tracks;
  let drawn = 0;
  const first = Math.max(0, Math.floor(top / rowHeight));
  const last = Math.min(boxes.rows.length, Math.ceil((top + height) / rowHeight));
  for (let d = first; d < last; d++) {
    const row = boxes.rows[d]!;
    const y = axis + d * rowHeight - top;
    let edge = -1; // what is narrower than a pixel is drawn once for each pixel
    for (let i = firstBehind(boxes, row, span.from); i < row.length; i++) {
      const box = row[i]!;
      if (boxes.from[box]! >= span.to) break;
      const x = Math.max(0, (boxes.from[box]! - span.from) * scale);
      const end = Math.min(width, (boxes.to[box]! - span.from) * scale);
      const w = end - x;
      if (w < 1) {
        if (x < edge) continue;
        edge = x + 1;
      }
      const frame = boxes.frame[box]!;
      const name = functions.name[frame]!;
      g.globalAlpha = hits && !hits[frame] ? 0.3 : 1;
      g.fillStyle = hits?.[frame] ? theme.match : fill(functions.kind[frame]!, name, theme.dark);
      g.fillRect(x, y, Math.max(w - (w > 3 ? 0.6 : 0), 1), rowHeight - 1);
      drawn++;
      if (w > 22) {
        const text = labels.fit(frame, w - 7);
        if (text) {
          g.fillStyle = hits?.[frame] ? "#1a1a1a" : theme.text;
          g.fillText(text, x + 4, y + rowHeight / 2);
        }
      }
      if (box === focus || (hover === name && w > 2)) {
        g.globalAlpha = box === focus ? 1 : 0.55;
        g.strokeStyle = theme.outline;
        g.lineWidth = box === focus ? 2 : 1;
        g.strokeRect(x + 1, y + 1, Math.max(w - 2, 1), rowHeight - 3);
      }
    }
  }
  g.globalAlpha = 1;
  if (!drawn && !top) {
    g.fillStyle = theme.faded;
    g.textAlign = "center";
    g.fillText("Nothing ran in this time.", width / 2, axis + 40);
  }
  g.fillStyle = theme.background;
  g.fillRect(0, 0, width, axis);
  times(g, span, width, theme);
  return drawn;
}

/** Marks of time at round places, along the top. */
export function times(g: CanvasRenderingContext2D, span: Span, width: number, theme: Theme) {
  const room = (span.to - span.from) / Math.max(1, Math.floor(width / 110));
  const steps = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 10e3, 15e3, 30e3, 60e3, 120e3, 300e3, 600e3, 1800e3, 3600e3, 7200e3, 21600e3, 43200e3, 86400e3];
  const every = steps.find((s) => s >= room) ?? Math.ceil(room / 86400e3) * 86400e3;
  g.font = "11px system-ui, sans-serif";
  g.textBaseline = "middle";
  g.textAlign = "left";
  g.fillStyle = theme.faded;
  for (let t = Math.ceil(span.from / every) * every; t < span.to; t += every) {
    const x = ((t - span.from) / (span.to - span.from)) * width;
    g.fillRect(Math.round(x), axis - 5, 1, 5);
    if (x < width - 60) g.fillText(precise(t), x + 3, axis / 2);
  }
}

function Tip({ tracks, boxes, span, tip }: Props & { tip: { box: number; x: number; y: number } }) {
  const f = tracks.functions;
  const frame = boxes.frame[tip.box]!;
  const s = { from: boxes.from[tip.box]!, to: boxes.to[tip.box]! };
  const place = f.file[frame] ? `${f.file[frame]}${f.line[frame] ? `:${f.line[frame]}` : ""}` : "";
  const right = tip.x > window.innerWidth - 380;
  const low = tip.y > window.innerHeight - 160;
  return (
    <div class="tooltip" role="tooltip" style={{ [right ? "right" : "left"]: `${right ? window.innerWidth - tip.x + 12 : tip.x + 14}px`, [low ? "bottom" : "top"]: `${low ? window.innerHeight - tip.y + 12 : tip.y + 16}px` }}>
      <strong>{f.name[frame]}</strong>
      <dl>
        <dt>time</dt>
        <dd>
          {lengthText(s)} from {precise(s.from)}
        </dd>
        <dt>of what is shown</dt>
        <dd>{percent(Math.min(s.to, span.to) - Math.max(s.from, span.from), span.to - span.from)}</dd>
        {place && <dt>file</dt>}
        {place && <dd>{place}</dd>}
        {f.binary[frame] && <dt>binary</dt>}
        {f.binary[frame] && <dd>{f.binary[frame]}</dd>}
        <dt>kind</dt>
        <dd>
          {f.kind[frame]}, depth {boxes.depth[tip.box]! + 1}
        </dd>
      </dl>
      {tracks.periodMs > 0 && <p class="faded small">Seen every {many(Math.round(tracks.periodMs), "millisecond")}: what is shorter may be missed.</p>}
    </div>
  );
}
