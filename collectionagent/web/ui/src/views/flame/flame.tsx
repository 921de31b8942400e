// SPDX-License-Identifier: Apache-2.0
// The flame graph. Flame draws any tree; FlameView is the view of the page.

import "./flame.css";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Theme } from "../../model/colour";
import type { Matches, Tree } from "../../model/tree";
import { useKeys } from "../../ui/keys";
import type { Hover } from "../view";
import { Crumbs } from "./crumbs";
import { listen } from "./gestures";
import { indexOf, step, type Item } from "./layout";
import { Minimap, type MapHandle } from "./minimap";
import { sameNode } from "./same";
import { Stage, type Seen } from "./stage";
import { Tooltip, type Target } from "./tooltip";
import { sentence } from "./words";


export interface FlameProps {
  tree: Tree;
  matches: Matches;
  searching: boolean;
  /** The node that fills the width. */
  zoom: number;
  theme: Theme;
  /** The colour of a node, any colour of CSS that is opaque. A new function is a new colouring: keep it with useMemo. */
  colour(node: number): string;
  /** The root at the bottom. */
  up: boolean;
  hover: Hover;
  /** Of the values. */
  unit: string;
  onZoom(node: number): void;
  /** Something is to be known of a node: its function goes to the panel at the side. */
  onSelect?(node: number): void;
  /** The menu of a node is asked for, at a place of the screen. */
  onMenu?(node: number, x: number, y: number): void;
  /** More to say about a node in its tooltip, "" for nothing. */
  describe?(node: number): string;
  /** The match that is looked at: it comes into sight when it changes. */
  current?: number;
  /** The part of the zoomed frame to show, and who is told when another one is chosen; see State.part. step: it is worth a way back. */
  part?: string;
  onPart?(part: string, step: boolean): void;
  /** What the graph is of, for who hears it. */
  label?: string;
  /** Without the path of the zoom and the small picture of the whole. */
  bare?: boolean;
}

const group = "Flame graph";
const keyList = [
  { key: "← → ↑ ↓", what: "move between frames and merged blocks", group },
  { key: "Enter", what: "zoom into the frame or block", group },
  { key: "Escape / Backspace", what: "one step back out", group },
  { key: "Home", what: "show everything", group },
  { key: "Shift ↑ ↓", what: "zoom in and out around the focus", group },
  { key: "Shift ← →", what: "pan", group },
  { key: ".", what: "menu of the frame; also Shift F10", group },
  { key: "v", what: "details of the frame at the side, or close them", group },
];

export function Flame(p: FlameProps) {
  const scroller = useRef<HTMLDivElement>(null);
  const spacer = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const stage = useRef<Stage | null>(null);
  const gestures = useRef<ReturnType<typeof listen> | null>(null);
  const map = useRef<MapHandle>(null);
  const props = useRef(p);
  props.current = p;
  const [tip, setTip] = useState<Target | null>(null);
  const [free, setFree] = useState(false);
  const [focused, setFocused] = useState(false);
  const [focus, setFocus] = useState({ tree: p.tree, node: p.zoom });
  const { tree, zoom } = p;
  const index = indexOf(tree);
  useKeys(keyList);

  // The focus stays at the same frame when the tree is a new one.
  const shown = useMemo(() => (focus.tree === tree ? focus.node : sameNode(focus.tree, focus.node, tree)), [focus, tree]);
  // Before anybody sees it: a key that comes next moves on from there.
  useLayoutEffect(() => setFocus({ tree, node: shown }), [tree]);
  useLayoutEffect(() => setFocus({ tree, node: zoom }), [zoom]);

  useLayoutEffect(() => {
    const s = (stage.current = new Stage(scroller.current!, spacer.current!, canvas.current!, (seen: Seen) => map.current?.seen(seen), setFree, (part, step) => props.current.onPart?.(part, step)));
    const g = (gestures.current = listen(canvas.current!, scroller.current!, s));
    const measure = () => s.measure();
    const observer = new ResizeObserver(measure);
    observer.observe(scroller.current!);
    // A window that moves to another screen has other pixels and the same size.
    window.addEventListener("resize", measure);
    s.measure();
    return () => {
      observer.disconnect();
      window.removeEventListener("resize", measure);
      g.close();
      s.close();
    };
  }, []);

  useLayoutEffect(() => {
    stage.current!.update({
      tree,
      zoom,
      matches: p.matches,
      searching: p.searching,
      theme: p.theme,
      colour: p.colour,
      up: p.up,
      hover: p.hover.frame,
      focus: focused ? shown : -1,
      part: p.part ?? "",
    });
  });
  // The pointer may be at something else now.
  useLayoutEffect(() => {
    if (tip) setTip(tip.index === index ? null : targetAt(tip.x, tip.y));
  }, [tree, zoom]);
  useEffect(() => {
    if (p.current === undefined || p.current < 0) return;
    setFocus({ tree, node: p.current });
    stage.current!.reveal(p.current);
  }, [p.current]);

  const zoomTo = (node: number) => {
    if (node === zoom) stage.current!.reset();
    else p.onZoom(node);
  };
  const enter = (item: Item) => {
    if (item.first === item.last) {
      const node = index.node[item.first]!;
      setFocus({ tree, node });
      zoomTo(node);
      return;
    }
    setTip(null);
    setFocus({ tree, node: index.widest(item.first, item.last) });
    stage.current!.open({ left: index.start[item.first]!, right: index.start[item.last]! + index.width[item.last]! });
  };
  const reset = () => {
    if (zoom !== 0) p.onZoom(0);
    else stage.current!.reset();
  };
  /** One step out; false when everything is shown already. */
  const back = (): boolean => {
    if (stage.current!.free) stage.current!.reset();
    else if (zoom > 0) p.onZoom(tree.parent[zoom]!);
    else return false;
    return true;
  };
  const focusItem = () => index.itemOf(shown, stage.current!.window);
  const menuAtFocus = () => {
    const r = stage.current!.rectOf(focusItem());
    p.onMenu?.(shown, Math.min(r.left + 20, r.right), r.bottom);
  };
  /** The place of the focus on the screen, 0 … 1. */
  const focusShare = () => {
    const { left, right } = stage.current!.window;
    const middle = tree.start[shown]! + tree.width[shown]! / 2;
    return Math.min(Math.max((middle - left) / (right - left || 1), 0), 1);
  };

  const keys = (e: KeyboardEvent) => {
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    setFocused(true); // a click gives it the focus without showing it
    const s = stage.current!;
    const go = (to: "parent" | "child" | "left" | "right") => {
      const next = step(index, shown, to, s.window, zoom);
      if (next < 0) return;
      setFocus({ tree, node: next });
      s.follow(next);
    };
    switch (e.key) {
      case "ArrowUp":
        if (e.shiftKey) s.zoom(focusShare(), 1.6, true);
        else go(p.up ? "child" : "parent");
        break;
      case "ArrowDown":
        if (e.shiftKey) s.zoom(focusShare(), 1 / 1.6, true);
        else go(p.up ? "parent" : "child");
        break;
      case "ArrowLeft":
      case "ArrowRight":
        if (e.shiftKey) s.pan(e.key === "ArrowLeft" ? -0.25 : 0.25, true);
        else go(e.key === "ArrowLeft" ? "left" : "right");
        break;
      case "Enter":
      case " ":
        enter(focusItem());
        break;
      case "Escape":
      case "Backspace":
        if (!back()) return; // somebody else may have something to close
        break;
      case "Home":
        reset();
        break;
      case ".":
      case "ContextMenu":
        if (!p.onMenu) return;
        menuAtFocus();
        break;
      case "F10":
        if (!e.shiftKey || !p.onMenu) return;
        menuAtFocus();
        break;
      case "v":
        if (!p.onSelect) return;
        p.onSelect(shown);
        break;
      default:
        return;
    }
    e.preventDefault();
  };

  function targetAt(x: number, y: number): Target | null {
    const item = stage.current!.itemAt(x, y);
    if (!item) return null;
    const { top, bottom } = stage.current!.rectOf(item);
    return { index, item, x, y, top, bottom };
  }

  const point = (e: PointerEvent) => {
    if (e.pointerType === "touch" || gestures.current!.busy()) {
      if (tip) setTip(null);
      return;
    }
    const target = targetAt(e.clientX, e.clientY);
    const item = target?.item;
    canvas.current!.classList.toggle("flame-empty", !item);
    const frame = item && item.first === item.last ? tree.frame[index.node[item.first]!]! : -1;
    if (frame !== p.hover.frame) p.hover.set(frame);
    setTip(target);
  };

  const focusText = focused && stage.current ? sentence(index, shown, p.unit, focusItem()) : "";

  return (
    <div class="flame-view" data-view="flame">
      {!p.bare && (
        <>
          <Crumbs tree={tree} zoom={zoom} free={free} unit={p.unit} onZoom={zoomTo} onReset={reset} onDetails={p.onSelect} />
          <Minimap
            index={index}
            colour={p.colour}
            theme={p.theme}
            searching={p.searching}
            matches={p.matches}
            up={p.up}
            stage={() => stage.current}
            handle={map}
          />
        </>
      )}
      <div
        class="flame"
        ref={scroller}
        tabIndex={0}
        role="application"
        aria-roledescription="flame graph"
        aria-label={`${p.label ?? "Flame graph"}. Arrow keys move between frames, Enter zooms in, Escape goes back, full stop opens the menu.`}
        data-nodes={tree.size}
        data-matched={p.searching ? p.matches.value : 0}
        data-focus={tree.name(shown)}
        data-zoom={tree.name(zoom)}
        data-free={free}
        onScroll={() => {
          stage.current!.scrolled();
          if (tip) setTip(null);
        }}
        onKeyDown={keys}
        onFocus={(e) => setFocused(e.currentTarget.matches(":focus-visible"))}
        onBlur={() => setFocused(false)}
      >
        <canvas
          ref={canvas}
          onPointerMove={point}
          onPointerDown={() => tip && setTip(null)}
          onPointerLeave={() => {
            setTip(null);
            if (p.hover.frame >= 0) p.hover.set(-1);
          }}
          onClick={(e) => {
            if (gestures.current!.dragged()) return;
            const item = stage.current!.itemAt(e.clientX, e.clientY);
            if (!item) return;
            if ((e.ctrlKey || e.metaKey || e.shiftKey) && item.first === item.last) p.onSelect?.(index.node[item.first]!);
            else enter(item);
          }}
          onDblClick={(e) => {
            if (!stage.current!.itemAt(e.clientX, e.clientY)) reset();
          }}
          onContextMenu={(e) => {
            const item = stage.current!.itemAt(e.clientX, e.clientY);
            if (!item || !p.onMenu) return;
            e.preventDefault();
            if (item.first !== item.last) return;
            const node = index.node[item.first]!;
            setTip(null);
            setFocus({ tree, node });
            p.onMenu(node, e.clientX, e.clientY);
          }}
        />
        <div ref={spacer} />
      </div>
      <p class="visually-hidden" aria-live="polite">
        {focusText}
      </p>
      {tip && tip.index === index && <Tooltip at={tip} unit={p.unit} describe={p.describe} />}
    </div>
  );
}
