// SPDX-License-Identifier: Apache-2.0
// The flame graph: an icicle on a canvas, root on top. Only frames that are at
// least half a pixel wide are drawn, so the cost follows the screen and not the
// number of nodes.

import { useCallback, useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { fill, type Theme } from "../../model/colour";
import { amount, percent } from "../../ui/format";
import type { ViewProps } from "../view";
import type { Matches, Tree } from "../../model/tree";

const rowHeight = 19;
const minWidth = 0.5;

interface Props {
  tree: Tree;
  matches: Matches;
  searching: boolean;
  zoom: number;
  theme: Theme;
  onZoom(node: number): void;
}

interface Hover {
  node: number;
  x: number;
  y: number;
}

/** Rows from the top: ancestors of the zoomed frame, itself, what is below. */
function rowsOf(tree: Tree, zoom: number): number {
  let deepest = tree.depth[zoom]!;
  for (let i = zoom; i < tree.end[zoom]!; i++) if (tree.depth[i]! > deepest) deepest = tree.depth[i]!;
  return deepest + 1;
}

function draw(canvas: HTMLCanvasElement, p: Props, focus: number, width: number, rows: number, firstRow: number, lastRow: number): number {
  const ratio = window.devicePixelRatio || 1;
  const height = (lastRow - firstRow) * rowHeight;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
  }
  const g = canvas.getContext("2d", { alpha: false })!;
  g.setTransform(ratio, 0, 0, ratio, 0, 0);
  g.fillStyle = p.theme.background;
  g.fillRect(0, 0, width, height);
  g.font = "12px system-ui, sans-serif";
  g.textBaseline = "middle";
  const { tree, zoom, matches, theme } = p;
  const zoomDepth = tree.depth[zoom]!;
  const left = tree.start[zoom]!;
  const scale = width / (tree.width[zoom]! || 1);
  const right = left + tree.width[zoom]!;
  let drawn = 0;

  const box = (node: number, x: number, w: number, ancestor: boolean) => {
    const y = (tree.depth[node]! - firstRow) * rowHeight;
    const faded = ancestor || (p.searching && !matches.marked[node]);
    g.globalAlpha = faded ? (ancestor ? 0.55 : 0.35) : 1;
    const name = tree.name(node);
    g.fillStyle = p.searching && matches.marked[node] ? theme.match : fill(tree.kind(node), name, theme.dark);
    const gap = w > 3 ? 0.6 : 0;
    g.fillRect(x, y, Math.max(w - gap, minWidth), rowHeight - 1);
    if (w > 28) {
      g.fillStyle = p.searching && matches.marked[node] ? "#1a1a1a" : theme.text;
      // Cut by a guess of the width, which costs nothing, and squeezed a little
      // when the guess was short: clipping would cost more than all else.
      const chars = Math.floor((w - 8) / 6.2);
      const text = name.length > chars ? `${name.slice(0, Math.max(chars - 1, 1))}…` : name;
      g.fillText(text, x + 4, y + rowHeight / 2, w - 7);
    }
    g.globalAlpha = 1;
    if (node === focus) {
      g.strokeStyle = theme.outline;
      g.lineWidth = 2;
      g.strokeRect(x + 1, y + 1, Math.max(w - 2, 1), rowHeight - 3);
    }
    drawn++;
  };

  for (let n = tree.parent[zoom]!; n >= 0; n = tree.parent[n]!) {
    if (tree.depth[n]! >= firstRow && tree.depth[n]! < lastRow) box(n, 0, width, true);
  }
  for (let d = Math.max(zoomDepth, firstRow); d < Math.min(rows, lastRow); d++) {
    const row = tree.rows[d]!;
    let lo = 0;
    let hi = row.length;
    while (lo < hi) {
      const mid = (lo + hi) >> 1;
      if (row[mid]! < zoom) lo = mid + 1;
      else hi = mid;
    }
    let sliver = -1; // right edge of the last frame too narrow to be drawn by itself
    for (let i = lo; i < row.length; i++) {
      const node = row[i]!;
      const start = tree.start[node]!;
      if (start >= right && node !== zoom) break;
      const x = (start - left) * scale;
      const w = tree.width[node]! * scale;
      if (w < minWidth) {
        if (x - sliver < 1) continue;
        sliver = x;
      }
      box(node, x, Math.max(w, minWidth), false);
    }
  }
  return drawn;
}

export function Flame(p: Props) {
  const holder = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const [width, setWidth] = useState(0);
  const [view, setView] = useState({ top: 0, height: 600 });
  const [hover, setHover] = useState<Hover | null>(null);
  const [focus, setFocus] = useState(p.zoom);
  const { tree, zoom } = p;
  const rows = rowsOf(tree, zoom);
  const shown = focus < tree.size ? focus : zoom;

  useEffect(() => setFocus(zoom), [zoom, tree]);

  useLayoutEffect(() => {
    const el = holder.current!;
    const measure = () => {
      setWidth(el.clientWidth);
      setView({ top: el.scrollTop, height: el.clientHeight });
    };
    const observer = new ResizeObserver(measure);
    observer.observe(el);
    measure();
    return () => observer.disconnect();
  }, []);

  const firstRow = Math.max(0, Math.floor(view.top / rowHeight) - 2);
  const lastRow = Math.min(rows, firstRow + Math.ceil(view.height / rowHeight) + 5);

  useLayoutEffect(() => {
    if (!width) return;
    const frame = requestAnimationFrame(() => {
      const began = performance.now();
      const drawn = draw(canvas.current!, p, shown, width, rows, firstRow, lastRow);
      const el = holder.current!;
      el.dataset.drawn = String(drawn);
      el.dataset.drawMs = (performance.now() - began).toFixed(2);
    });
    return () => cancelAnimationFrame(frame);
  });

  const nodeAt = useCallback(
    (e: MouseEvent): number => {
      const rect = canvas.current!.getBoundingClientRect();
      const depth = firstRow + Math.floor((e.clientY - rect.top) / rowHeight);
      if (depth < 0) return -1;
      if (depth < tree.depth[zoom]!) {
        let n = zoom;
        while (n >= 0 && tree.depth[n]! > depth) n = tree.parent[n]!;
        return n;
      }
      const position = tree.start[zoom]! + ((e.clientX - rect.left) / width) * tree.width[zoom]!;
      const node = tree.at(depth, position);
      return node >= zoom && node < tree.end[zoom]! ? node : -1;
    },
    [tree, zoom, width, firstRow],
  );

  const keys = (e: KeyboardEvent) => {
    let next = -1;
    switch (e.key) {
      case "ArrowUp":
        next = tree.parent[shown]!;
        break;
      case "ArrowDown": {
        // The widest child.
        let best = -1;
        for (let c = shown + 1; c < tree.end[shown]!; c = tree.end[c]!) {
          if (best < 0 || tree.total[c]! > tree.total[best]!) best = c;
        }
        next = best;
        break;
      }
      case "ArrowLeft":
      case "ArrowRight": {
        const row = tree.rows[tree.depth[shown]!]!;
        const i = row.indexOf(shown) + (e.key === "ArrowLeft" ? -1 : 1);
        next = i >= 0 && i < row.length ? row[i]! : -1;
        if (next >= 0 && (next < zoom || next >= tree.end[zoom]!)) next = -1;
        break;
      }
      case "Enter":
      case " ":
        p.onZoom(shown);
        e.preventDefault();
        return;
      case "Escape":
      case "Backspace":
        p.onZoom(Math.max(tree.parent[zoom]!, 0));
        e.preventDefault();
        return;
      case "Home":
        p.onZoom(0);
        e.preventDefault();
        return;
      default:
        return;
    }
    e.preventDefault();
    if (next >= 0) {
      setFocus(next);
      const y = tree.depth[next]! * rowHeight;
      const el = holder.current!;
      if (y < el.scrollTop || y > el.scrollTop + el.clientHeight - 2 * rowHeight) el.scrollTop = y - el.clientHeight / 2;
    }
  };

  const unit = tree.about.unit;
  const all = tree.total[0]!;
  const sentence = (n: number) =>
    `${tree.name(n)}, ${amount(tree.total[n]!, unit)}, ${percent(tree.total[n]!, all)} of all, depth ${tree.depth[n]}`;

  return (
    <div
      class="flame"
      ref={holder}
      tabIndex={0}
      role="application"
      aria-label="Flame graph. Arrow keys move between frames, Enter zooms in, Escape zooms out."
      aria-describedby="flame-focus"
      data-nodes={tree.size}
      data-matched={p.searching ? p.matches.value : 0}
      data-focus={tree.name(shown)}
      data-zoom={tree.name(zoom)}
      onScroll={(e) => setView({ top: e.currentTarget.scrollTop, height: e.currentTarget.clientHeight })}
      onKeyDown={keys}
    >
      <div class="flame-space" style={{ height: `${rows * rowHeight + 4}px` }}>
        <canvas
          ref={canvas}
          style={{ transform: `translateY(${firstRow * rowHeight}px)` }}
          onMouseMove={(e) => {
            const node = nodeAt(e);
            setHover(node < 0 ? null : { node, x: e.clientX, y: e.clientY });
          }}
          onMouseLeave={() => setHover(null)}
          onClick={(e) => {
            const node = nodeAt(e);
            if (node >= 0) {
              setFocus(node);
              p.onZoom(node);
            }
          }}
        />
      </div>
      <p id="flame-focus" class="visually-hidden" aria-live="polite">
        {sentence(shown)}
      </p>
      {hover && hover.node < tree.size && <Tooltip tree={tree} hover={hover} />}
    </div>
  );
}

function Tooltip({ tree, hover }: { tree: Tree; hover: Hover }) {
  const { node } = hover;
  const unit = tree.about.unit;
  const all = tree.total[0]!;
  const parent = tree.parent[node]!;
  const line = tree.line(node);
  const style: Record<string, string> = {};
  if (hover.x > window.innerWidth / 2) style.right = `${window.innerWidth - hover.x + 12}px`;
  else style.left = `${hover.x + 12}px`;
  if (hover.y > window.innerHeight * 0.6) style.bottom = `${window.innerHeight - hover.y + 14}px`;
  else style.top = `${hover.y + 16}px`;
  return (
    <div class="tooltip" style={style} role="tooltip">
      <strong>{tree.name(node)}</strong>
      <dl>
        <dt>total</dt>
        <dd>
          {amount(tree.total[node]!, unit)} · {percent(tree.total[node]!, all)}
        </dd>
        <dt>self</dt>
        <dd>
          {amount(tree.self[node]!, unit)} · {percent(tree.self[node]!, all)}
        </dd>
        {parent > 0 && (
          <>
            <dt>of caller</dt>
            <dd>{percent(tree.total[node]!, tree.total[parent]!)}</dd>
          </>
        )}
        {tree.file(node) && (
          <>
            <dt>file</dt>
            <dd>
              {tree.file(node)}
              {line ? `:${line}` : ""}
            </dd>
          </>
        )}
        {tree.binary(node) && (
          <>
            <dt>binary</dt>
            <dd>{tree.binary(node)}</dd>
          </>
        )}
        <dt>kind</dt>
        <dd>
          {tree.kind(node)}
          {tree.inlined(node) ? ", inlined" : ""}
        </dd>
      </dl>
    </div>
  );
}

/** The flame graph as a view. */
export function FlameView({ profile, matches, searching, theme, state, change }: ViewProps) {
  const { tree } = profile;
  return <Flame tree={tree} matches={matches} searching={searching} zoom={tree.find(state.zoom)} theme={theme} onZoom={(node) => change({ zoom: tree.path(node) })} />;
}
