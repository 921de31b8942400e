// SPDX-License-Identifier: Apache-2.0
// The whole tree, small, with a rectangle over what is shown that can be dragged.

import { useEffect, useImperativeHandle, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Ref } from "preact";
import type { Theme } from "../../model/colour";
import type { Matches } from "../../model/tree";
import type { Index } from "./layout";
import { drawMap, mapDepth, mapRows } from "./map";
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

  const rows = mapDepth(p.index);
  /** Pixels of the map for a row of the graph. */
  const rowPixels = mapRows(rows, height) / rows;
  const place = (s: Seen) => {
    last.current = s;
    const el = view.current;
    if (!el || !width) return;
    const r = onMap(s.span, p.index.tree.width[0] || 1, width);
    // In rows from the root; below the last one of the map there is nothing to point to.
    const near = Math.min(p.up ? s.below : s.above, rows - 1);
    const far = Math.min(p.up ? s.below + s.rows : s.above + s.rows, rows);
    const y = (p.up ? height - far * rowPixels : near * rowPixels) || 0;
    const h = Math.max(6, (far - near) * rowPixels);
    el.style.transform = `translate(${r.x.toFixed(1)}px, ${Math.min(y, height - h).toFixed(1)}px)`;
    el.style.width = `${r.w.toFixed(1)}px`;
    el.style.height = `${h.toFixed(1)}px`;
    const whole = r.w >= width - 1 && far - near >= rows - 1;
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
    if (!stage) return;
    const rect = holder.current!.getBoundingClientRect();
    const total = p.index.tree.width[0] || 1;
    const px = e.clientX - rect.left - (grabbed.current ?? 0);
    const { left, right } = stage.window;
    if (right - left < total) stage.show(fromMap({ left, right }, px, total, width), smooth);
    const y = e.clientY - rect.top;
    stage.scrollToRow((p.up ? height - y : y) / rowPixels);
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
