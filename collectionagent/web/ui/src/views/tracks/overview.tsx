// SPDX-License-Identifier: Apache-2.0
// All tracks below each other: how busy each was over time, in the colours of what ran.

import { useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { fill, type Theme } from "../../model/colour";
import type { Expression } from "../../model/regexp";
import { amount, percent } from "../../ui/format";
import { useKeys } from "../../ui/keys";
import { type Span, lengthText, precise, spanText } from "../../ui/times";
import { times } from "./chart";
import type { Track, Tracks } from "./model";

const rowHeight = 28;
const axis = 18;
const group = "Tracks";
const keyList = [
  { key: "↑ ↓ Home End", what: "choose a track", group },
  { key: "← →", what: "move over its time; with Shift, select", group },
  { key: "Enter", what: "open the stacks of the track, or close them", group },
  { key: "Escape", what: "select no time", group },
];

interface Props {
  tracks: Tracks;
  whole: Span;
  /** The time that is looked at, null for all. */
  span: Span | null;
  /** The track that is open, "" for none. */
  open: string;
  theme: Theme;
  search: Expression | null;
  onSpan(s: Span | null): void;
  onOpen(key: string): void;
  announce(text: string): void;
}

export function Overview(p: Props) {
  const scroller = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const [size, setSize] = useState({ width: 0, height: 0, top: 0 });
  const [tip, setTip] = useState<{ row: number; cell: number; ms: number; x: number; y: number } | null>(null);
  const [focus, setFocus] = useState("");
  const [cursor, setCursor] = useState<{ at: number; anchor: number } | null>(null);
  const drag = useRef<{ x: number; ms: number; moved: boolean } | null>(null);
  const { tracks, whole, span } = p;
  const list = tracks.tracks;
  useKeys(keyList);
  const row = Math.max(0, tracks.find(focus || p.open));

  useLayoutEffect(() => {
    const el = scroller.current!;
    const measure = () => setSize({ width: canvas.current!.parentElement!.clientWidth, height: el.clientHeight, top: el.scrollTop });
    const observer = new ResizeObserver(measure);
    observer.observe(el);
    measure();
    return () => observer.disconnect();
  }, []);
  const hits = useMemo(() => p.search && tracks.functions.name.map((n) => p.search!.test(n)), [tracks, p.search]);
  useLayoutEffect(() => {
    if (!size.width) return;
    const frame = requestAnimationFrame(() => canvas.current && draw(canvas.current, p, hits || null, size, cursor?.at ?? null));
    return () => cancelAnimationFrame(frame);
  });
  useLayoutEffect(() => setTip(null), [tracks]);

  const ms = (clientX: number) => {
    const box = canvas.current!.getBoundingClientRect();
    return whole.from + Math.min(Math.max((clientX - box.left) / (box.width || 1), 0), 1) * (whole.to - whole.from);
  };
  const rowAt = (clientY: number) => {
    const y = clientY - canvas.current!.getBoundingClientRect().top;
    const r = y < axis ? -1 : Math.floor((y - axis + size.top) / rowHeight);
    return r < list.length ? r : -1;
  };
  const say = (track: Track, at: number) => {
    const cell = tracks.cellAt(track, at);
    p.announce(`${track.title}, ${precise(at)}, ${cell < 0 ? "idle" : what(tracks, track, cell).join(", ")}`);
  };
  const show = (r: number) => {
    const el = scroller.current!;
    const y = r * rowHeight;
    if (y < el.scrollTop) el.scrollTop = y;
    else if (y + rowHeight + axis > el.scrollTop + el.clientHeight) el.scrollTop = y + rowHeight + axis - el.clientHeight;
  };
  const keys = (e: KeyboardEvent) => {
    if (e.ctrlKey || e.metaKey || e.altKey || !list.length) return;
    const go = (r: number) => {
      const next = Math.min(Math.max(r, 0), list.length - 1);
      const t = list[next]!;
      setFocus(t.key);
      show(next);
      if (p.open && p.open !== t.key) p.onOpen(t.key);
      p.announce(`${t.title} ${t.detail}, ${amount(t.total, tracks.answer.unit)}, ${percent(t.total, tracks.answer.total)}`);
    };
    const move = (direction: number) => {
      const by = Math.max(tracks.stepMs, (whole.to - whole.from) / 200) * direction;
      const at = Math.min(Math.max((cursor?.at ?? (direction > 0 ? whole.from - by : whole.to - by)) + by, whole.from), whole.to - 1);
      const anchor = e.shiftKey ? (cursor?.anchor ?? at) : at;
      setCursor({ at, anchor });
      if (e.shiftKey && anchor !== at) {
        const s = { from: Math.min(at, anchor), to: Math.max(at, anchor) };
        p.onSpan(s);
        p.announce(`${spanText(s)} selected`);
      } else say(list[row]!, at);
    };
    switch (e.key) {
      case "ArrowUp":
        go(row - 1);
        break;
      case "ArrowDown":
        go(focus || p.open ? row + 1 : 0);
        break;
      case "Home":
        go(0);
        break;
      case "End":
        go(list.length - 1);
        break;
      case "ArrowLeft":
        move(-1);
        break;
      case "ArrowRight":
        move(1);
        break;
      case "Enter":
      case " ":
        p.onOpen(p.open === list[row]!.key ? "" : list[row]!.key);
        break;
      case "Escape":
        if (!span && !cursor) return;
        setCursor(null);
        p.onSpan(null);
        break;
      default:
        return;
    }
    e.preventDefault();
  };

  return (
    <div
      class="tracks-list"
      ref={scroller}
      tabIndex={0}
      role="listbox"
      aria-label="Tracks. Arrow keys choose one, Enter opens its stacks."
      style={{ flexBasis: `${list.length * rowHeight + axis + 2}px`, maxHeight: p.open ? "50%" : "none" }}
      aria-activedescendant={`track-${row}`}
      onKeyDown={keys}
      onScroll={(e) => {
        const top = e.currentTarget.scrollTop;
        setSize((s) => ({ ...s, top }));
        setTip(null);
      }}
    >
      <div class="tracks-names" style={{ paddingTop: `${axis}px` }}>
        {list.map((t, i) => (
          <div
            key={t.key}
            id={`track-${i}`}
            role="option"
            class={`tracks-name${i === row && focus ? " focus" : ""}`}
            aria-selected={t.key === p.open}
            style={{ height: `${rowHeight}px` }}
            title={Object.entries(t.labels)
              .filter(([, v]) => v)
              .map(([k, v]) => `${k} ${v}`)
              .join("\n")}
            onClick={() => {
              setFocus(t.key);
              p.onOpen(p.open === t.key ? "" : t.key);
            }}
          >
            <span>
              <b>{t.title}</b> <span class="faded">{t.detail}</span>
            </span>
            <span class="faded">{percent(t.total, tracks.answer.total)}</span>
          </div>
        ))}
      </div>
      <div class="tracks-bars">
        <canvas
          ref={canvas}
          onPointerDown={(e) => {
            if (e.button !== 0) return;
            drag.current = { x: e.clientX, ms: ms(e.clientX), moved: false };
            canvas.current!.setPointerCapture(e.pointerId);
          }}
          onPointerMove={(e) => {
            const d = drag.current;
            if (d && (d.moved || Math.abs(e.clientX - d.x) > 4)) {
              d.moved = true;
              const at = ms(e.clientX);
              p.onSpan({ from: Math.min(at, d.ms), to: Math.max(at, d.ms, Math.min(at, d.ms) + 2) });
              setTip(null);
              return;
            }
            const r = rowAt(e.clientY);
            const at = ms(e.clientX);
            setTip(r < 0 || d ? null : { row: r, cell: tracks.cellAt(list[r]!, at), ms: at, x: e.clientX, y: e.clientY });
          }}
          onPointerUp={(e) => {
            const r = rowAt(e.clientY);
            if (drag.current && !drag.current.moved && r >= 0) {
              setFocus(list[r]!.key);
              if (p.open !== list[r]!.key) p.onOpen(list[r]!.key);
            }
            drag.current = null;
          }}
          onPointerCancel={() => (drag.current = null)}
          onPointerLeave={() => setTip(null)}
          onDblClick={() => p.onSpan(null)}
        />
      </div>
      {tip && list[tip.row] && (
        <div class="tooltip small" role="tooltip" style={{ top: `${tip.y + 16}px`, [tip.x > window.innerWidth - 340 ? "right" : "left"]: `${tip.x > window.innerWidth - 340 ? window.innerWidth - tip.x + 12 : tip.x + 14}px` }}>
          <strong>
            {list[tip.row]!.title} <span class="faded">{list[tip.row]!.detail}</span>
          </strong>
          <div>{precise(tip.ms)}</div>
          {tip.cell < 0 ? <div>idle</div> : what(tracks, list[tip.row]!, tip.cell).map((line) => <div key={line}>{line}</div>)}
        </div>
      )}
    </div>
  );
}

/** What a cell says: the function with its share, and how busy the track was. */
function what(t: Tracks, track: Track, cell: number): string[] {
  const { stack, value, part } = track.cells;
  const name = t.functions.name[t.frameOf[stack[cell]!]!] ?? "";
  const long = Math.max(t.stepMs, t.periodMs);
  const all = amount(value[cell]!, t.answer.unit);
  return [part[cell] === value[cell] ? name : `${name} ${percent(part[cell]!, value[cell]!)}`, `${all} of ${lengthText({ from: 0, to: long })}`];
}

function draw(canvas: HTMLCanvasElement, p: Props, hits: boolean[] | null, size: { width: number; height: number; top: number }, cursor: number | null) {
  const { tracks, whole, theme, span } = p;
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
  const scale = width / (whole.to - whole.from || 1);
  const { functions, frameOf, full } = tracks;
  const first = Math.max(0, Math.floor(top / rowHeight));
  const last = Math.min(tracks.tracks.length, Math.ceil((top + height) / rowHeight));
  for (let r = first; r < last; r++) {
    const t = tracks.tracks[r]!;
    const y = axis + r * rowHeight - top;
    if (t.key === p.open) {
      g.fillStyle = theme.dark ? "#232b47" : "#e7ecff";
      g.fillRect(0, y, width, rowHeight);
    }
    g.fillStyle = theme.dark ? "#2a2e37" : "#e6e8ec";
    g.fillRect(0, y + rowHeight - 1, width, 1);
    const { step, stack, value } = t.cells;
    const room = rowHeight - 5;
    for (let i = 0; i < step.length; i++) {
      const x = (tracks.from(step[i]!) - whole.from) * scale;
      const w = Math.max((tracks.to(step[i]!) - tracks.from(step[i]!)) * scale, 1);
      const frame = frameOf[stack[i]!]!;
      const h = Math.max(2, Math.min(1, value[i]! / full) * room);
      g.globalAlpha = hits && !hits[frame] ? 0.3 : 1;
      g.fillStyle = hits?.[frame] ? theme.match : fill(functions.kind[frame]!, functions.name[frame]!, theme.dark);
      g.fillRect(x, y + rowHeight - 1 - h, w + 0.2, h);
    }
    g.globalAlpha = 1;
  }
  g.fillStyle = theme.background;
  g.fillRect(0, 0, width, axis);
  times(g, whole, width, theme);
  if (span) {
    const from = (span.from - whole.from) * scale;
    const to = Math.max(from + 1, (span.to - whole.from) * scale);
    g.globalAlpha = 0.6;
    g.fillStyle = theme.background;
    g.fillRect(0, axis, Math.max(0, from), height);
    g.fillRect(to, axis, Math.max(0, width - to), height);
    g.globalAlpha = 1;
    g.fillStyle = theme.outline;
    g.fillRect(from - 1, 0, 1, height);
    g.fillRect(to, 0, 1, height);
  }
  if (cursor !== null) {
    g.fillStyle = theme.match;
    g.fillRect((cursor - whole.from) * scale - 1, 0, 2, height);
  }
}
