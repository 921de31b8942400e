// SPDX-License-Identifier: Apache-2.0
// Values over time, stacked by a label. Dragging chooses a range, or the range to compare with.

import { useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import type { TimelineAnswer } from "../api/client";
import type { Theme } from "../model/colour";
import { rateOf } from "../model/timeaxis";
import { dateTime, duration, many } from "../ui/format";
import { useKeys } from "../ui/keys";
import { axisHeight, bucketsOf, colourOf, drawTimeline } from "./timelinedraw";
import "./timeline.css";

const height = 92;
/** A drag that is shorter is a click. */
const least = 4;

interface Span {
  from: number;
  to: number;
}

interface Props {
  data: TimelineAnswer;
  events: TimelineAnswer | null;
  type: string;
  theme: Theme;
  /** Shown as a band when the timeline spans more. */
  selection: Span;
  base: Span | null;
  /** The next drag is the range to compare with. */
  choosing: boolean;
  highlight: string | null;
  onSelect(span: Span): void;
  onBase(span: Span): void;
  onCancel(): void;
  announce(text: string): void;
}

export function Timeline(p: Props) {
  const { data, events, theme } = p;
  const holder = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const [width, setWidth] = useState(0);
  const [drag, setDrag] = useState<{ from: number; to: number; base: boolean } | null>(null);
  const [pointed, setPointed] = useState<number | null>(null);
  /** Of the keyboard: the step it is at, and where a selection began. */
  const [cursor, setCursor] = useState<{ at: number; anchor: number | null } | null>(null);
  const list = data.series ?? [];
  const buckets = bucketsOf(data);
  const span = data.to_ms - data.from_ms || 1;
  const rate = useMemo(() => rateOf(p.type, data.unit, !!data.snapshot, data.step_ms), [p.type, data]);

  useLayoutEffect(() => {
    const el = holder.current!;
    const observer = new ResizeObserver(() => setWidth(el.clientWidth));
    observer.observe(el);
    setWidth(el.clientWidth);
    return () => observer.disconnect();
  }, []);
  useLayoutEffect(() => {
    if (width) drawTimeline(canvas.current!, { data, events, theme, width, height, type: p.type, highlight: p.highlight, now: Date.now() });
  }, [data, events, theme, width, p.type, p.highlight]);

  useKeys(
    [
      ["← →", "Move over time; with Ctrl, ten steps"],
      ["Home End", "To the first or the last step"],
      ["Shift ← →", "Select a range"],
      ["Enter", "Show the range that is selected"],
      ["Shift Enter", "Compare with the range that is selected"],
      ["Escape", "Select nothing"],
    ].map(([key, what]) => ({ key: key!, what: what!, group: "Timeline (when it has the focus)" })),
  );

  const x = (e: { clientX: number }) => Math.min(Math.max(e.clientX - holder.current!.getBoundingClientRect().left, 0), width);
  const time = (px: number) => data.from_ms + (px / (width || 1)) * span;
  const px = (ms: number) => ((ms - data.from_ms) / span) * width;
  const bucketAt = (at: number) => Math.min(buckets - 1, Math.max(0, Math.floor((at / (width || 1)) * buckets)));
  const start = (bucket: number) => data.from_ms + bucket * data.step_ms;
  const choose = (from: number, to: number, base: boolean) => {
    // The steps at the ends may reach further than what was asked for.
    const span = { from: Math.round(Math.max(from, data.from_ms)), to: Math.round(Math.min(to, data.to_ms)) };
    setCursor(null);
    if (base || p.choosing) p.onBase(span);
    else p.onSelect(span);
  };
  const told = (bucket: number) => {
    const values = list.map((s) => ({ name: s.name || "(none)", value: s.values[bucket] ?? 0 })).filter((s) => s.value);
    const sum = values.reduce((a, s) => a + s.value, 0);
    return `${dateTime(start(bucket))}: ${rate.text(sum / rate.per)}. ${values.map((s) => `${s.name} ${rate.text(s.value / rate.per)}`).join(", ")}`;
  };
  const move = (to: number, select: boolean) => {
    const old = cursor ?? { at: buckets - 1, anchor: null };
    const at = Math.min(buckets - 1, Math.max(0, to));
    const anchor = select ? (old.anchor ?? old.at) : null;
    setCursor({ at, anchor });
    p.announce(anchor === null ? told(at) : `${many(Math.abs(at - anchor) + 1, "step")}, ${duration((Math.abs(at - anchor) + 1) * data.step_ms)} up to ${dateTime(start(Math.max(at, anchor) + 1))}`);
  };
  const keys = (e: KeyboardEvent) => {
    const at = cursor?.at ?? buckets;
    const by = e.ctrlKey ? 10 : 1;
    if (e.key === "ArrowLeft") move(at - by, e.shiftKey);
    else if (e.key === "ArrowRight") move(at + by, e.shiftKey);
    else if (e.key === "Home") move(0, e.shiftKey);
    else if (e.key === "End") move(buckets - 1, e.shiftKey);
    else if (e.key === "Enter" && cursor) {
      const other = cursor.anchor ?? cursor.at;
      choose(start(Math.min(cursor.at, other)), start(Math.max(cursor.at, other) + 1), e.shiftKey);
    } else if (e.key === "Escape" && (cursor || p.choosing)) {
      setCursor(null);
      p.onCancel();
    } else return;
    e.preventDefault();
    e.stopPropagation();
  };

  const band = (s: Span, name: string, text: string) => {
    const left = Math.max(0, px(s.from));
    const right = Math.min(width, px(s.to));
    if (right - left < 1) return null;
    return (
      <div class={`tl-band tl-${name}`} style={{ left: `${left}px`, width: `${right - left}px` }}>
        <span>{text}</span>
      </div>
    );
  };
  const selecting = drag
    ? { from: Math.min(drag.from, drag.to), to: Math.max(drag.from, drag.to), base: drag.base }
    : cursor?.anchor != null
      ? { from: px(start(Math.min(cursor.at, cursor.anchor))), to: px(start(Math.max(cursor.at, cursor.anchor) + 1)), base: p.choosing }
      : null;
  const bucket = pointed !== null ? bucketAt(pointed) : (cursor?.at ?? null);
  const at = pointed ?? (cursor ? px(start(cursor.at) + data.step_ms / 2) : 0);
  const wider = !!p.base || p.choosing;

  return (
    <div
      class={p.choosing ? "tl tl-choosing" : "tl"}
      ref={holder}
      tabIndex={0}
      role="application"
      aria-roledescription="timeline"
      aria-label={`Timeline by ${data.by}, from ${dateTime(data.from_ms)} to ${dateTime(data.to_ms)}. Arrows move, Shift and arrows select, Enter applies.`}
      data-from={data.from_ms}
      data-to={data.to_ms}
      data-series={list.length}
      data-choosing={p.choosing}
      onKeyDown={keys}
      onBlur={() => setCursor(null)}
      onPointerDown={(e) => {
        if (e.button !== 0) return;
        e.currentTarget.setPointerCapture(e.pointerId);
        setCursor(null);
        setDrag({ from: x(e), to: x(e), base: e.shiftKey || p.choosing });
      }}
      onPointerMove={(e) => {
        setPointed(x(e));
        if (drag) setDrag({ ...drag, to: x(e) });
      }}
      onPointerUp={(e) => {
        if (drag && Math.abs(x(e) - drag.from) > least) choose(time(Math.min(drag.from, x(e))), time(Math.max(drag.from, x(e))), drag.base);
        setDrag(null);
        if (e.pointerType !== "mouse") setPointed(null);
      }}
      onPointerCancel={() => setDrag(null)}
      onPointerLeave={() => setPointed(null)}
    >
      <canvas ref={canvas} style={{ width: "100%", height: `${height}px` }} aria-hidden="true" />
      {wider && band(p.selection, "selection", "selection")}
      {p.base && band(p.base, "base", "base")}
      {selecting && (
        <div class={`tl-band tl-drag tl-${selecting.base ? "base" : "selection"}`} style={{ left: `${selecting.from}px`, width: `${selecting.to - selecting.from}px` }}>
          <span>{duration(((selecting.to - selecting.from) / (width || 1)) * span)}</span>
        </div>
      )}
      {bucket !== null && <i class="tl-cursor" style={{ left: `${at}px`, height: `${height - axisHeight}px` }} />}
      {bucket !== null && !drag && list.length > 0 && (
        <div class="tooltip small tl-tip" style={at > width / 2 ? { right: `${width - at + 12}px` } : { left: `${at + 12}px` }}>
          <strong>{dateTime(start(bucket)).slice(span < 86400e3 ? 11 : 5)}</strong> <span class="faded">for {duration(data.step_ms)}</span>
          <ul>
            {list
              .map((s, i) => ({ name: s.name, value: s.values[bucket] ?? 0, colour: colourOf(s.name, i) }))
              .filter((s) => s.value)
              .map((s) => (
                <li key={s.name}>
                  <i style={{ background: s.colour }} />
                  <span>{s.name || "(none)"}</span> <b>{rate.text(s.value / rate.per)}</b>
                </li>
              ))}
          </ul>
          {events && <EventsAt events={events} from={start(bucket)} to={start(bucket + 1)} />}
        </div>
      )}
    </div>
  );
}

function EventsAt({ events, from, to }: { events: TimelineAnswer; from: number; to: number }) {
  const found = (events.series ?? [])
    .map((s) => ({ name: s.name, value: s.values.reduce((sum, v, i) => (events.from_ms + (i + 1) * events.step_ms > from && events.from_ms + i * events.step_ms < to ? sum + v : sum), 0) }))
    .filter((s) => s.value);
  if (!found.length) return null;
  return (
    <p class="tl-events">
      ▼ {found.map((s) => `${many(s.value, "event")} of ${s.name || "(none)"}`).join(", ")}
    </p>
  );
}
