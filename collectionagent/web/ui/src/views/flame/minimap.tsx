// SPDX-License-Identifier: Apache-2.0
// The whole tree, small, with a rectangle over what is shown that can be dragged.

import { useEffect, useImperativeHandle, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Ref } from "preact";
import type { Theme } from "../../model/colour";
import type { Matches } from "../../model/tree";
import type { Index } from "./layout";
import { drawMap, mapRows } from "./map";
import type { Seen, Stage } from "./stage";
import { fromMap, onMap } from "./viewport";

const height = 36;

export interface MapHandle {
  seen(s: Seen): void;
}

interface Props {
  index: Index;
  colour(node: number): string;
  theme: Theme;
  searching: boolean;
  matches: Matches;
  up: boolean;
  stage(): Stage | null;
  scroller(): HTMLElement | null;
  handle: Ref<MapHandle>;
}

export function Minimap(p: Props) {
  const holder = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const view = useRef<HTMLDivElement>(null);
  const last = useRef<Seen | null>(null);
  const grabbed = useRef<number | null>(null); // from the middle of the rectangle to the pointer
  const [width, setWidth] = useState(0);

  useLayoutEffect(() => {
    const measure = () => setWidth(holder.current!.clientWidth);
    const observer = new ResizeObserver(measure);
    observer.observe(holder.current!);
    measure();
    return () => observer.disconnect();
  }, []);

  useEffect(() => {
    if (width) drawMap(canvas.current!, { ...p, width, height, ratio: window.devicePixelRatio || 1 });
  }, [p.index, p.colour, p.theme, p.searching, p.matches, p.up, width]);

  const rows = p.index.offset.length - 1;
  const place = (s: Seen) => {
    last.current = s;
    const el = view.current;
    if (!el || !width) return;
    const r = onMap(s.span, p.index.tree.width[0] || 1, width);
    // A view that is higher than the rows shows them all.
    const drawn = mapRows(rows, height);
    const offset = p.up ? height - drawn : 0;
    el.style.transform = `translate(${r.x.toFixed(1)}px, ${(offset + s.top * drawn).toFixed(1)}px)`;
    el.style.width = `${r.w.toFixed(1)}px`;
    el.style.height = `${Math.max(6, (s.bottom - s.top) * drawn).toFixed(1)}px`;
    const whole = r.w >= width - 1 && s.bottom - s.top > 0.99;
    holder.current!.dataset.whole = String(whole);
    holder.current!.dataset.x = r.x.toFixed(0);
    holder.current!.dataset.w = r.w.toFixed(0);
  };
  useImperativeHandle(p.handle, () => ({ seen: place }), [width, p.index, p.up]);
  useEffect(() => {
    if (last.current) place(last.current);
  }, [width, p.index, p.up]);

  const go = (e: PointerEvent, smooth: boolean) => {
    const stage = p.stage();
    const scroller = p.scroller();
    if (!stage || !scroller) return;
    const rect = holder.current!.getBoundingClientRect();
    const total = p.index.tree.width[0] || 1;
    const px = e.clientX - rect.left - (grabbed.current ?? 0);
    const { left, right } = stage.window;
    if (right - left < total) stage.show(fromMap({ left, right }, px, total, width), smooth);
    const drawn = mapRows(rows, height);
    const y = (e.clientY - rect.top - (p.up ? height - drawn : 0)) / drawn;
    scroller.scrollTop = y * stage.space - stage.height / 2;
  };

  return (
    <div
      class="flame-map"
      ref={holder}
      aria-hidden="true"
      title="The whole flame graph; drag the rectangle to move"
      onPointerDown={(e) => {
        if (e.button !== 0) return;
        e.currentTarget.setPointerCapture(e.pointerId);
        const rect = view.current!.getBoundingClientRect();
        const inside = e.clientX >= rect.left && e.clientX <= rect.right;
        grabbed.current = inside ? e.clientX - (rect.left + rect.right) / 2 : 0;
        if (!inside) go(e, true);
        e.preventDefault();
      }}
      onPointerMove={(e) => grabbed.current !== null && go(e, false)}
      onPointerUp={() => (grabbed.current = null)}
      onPointerCancel={() => (grabbed.current = null)}
    >
      <canvas ref={canvas} style={{ width: "100%", height: `${height}px` }} />
      <div class="flame-map-view" ref={view} />
    </div>
  );
}
