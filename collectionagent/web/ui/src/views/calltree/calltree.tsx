// SPDX-License-Identifier: Apache-2.0
// The stacks as a tree to open level by level.

import "./calltree.css";
import { useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { fill } from "../../model/colour";
import { pattern, type Tree } from "../../model/tree";
import { amount, exact, percent } from "../../ui/format";
import { useKeys } from "../../ui/keys";
import { Virtual, type VirtualHandle } from "../../ui/virtual";
import { delta, grown } from "../delta";
import { Highlight } from "../highlight";
import { FrameMenu } from "../menu/menu";
import { functionsOf } from "../place";
import { select } from "../select";
import type { ViewProps } from "../view";
import { closed, closedBelow, keyOf, opened, openedBelow, openedHeaviest, openedTo, rowsOf, type TreeRow } from "./open";

const rowHeight = 22;
/** Pixels of a step to the right. */
const indent = 13;
const group = "Call tree";
const keyList = [
  { key: "↑ ↓ Home End", what: "move between calls", group },
  { key: "→ ←", what: "open or close a call, go in or out", group },
  { key: "*", what: "open the heaviest path below the call", group },
  { key: "Shift →", what: "open all below the call", group },
  { key: "Shift ←", what: "close all below the call", group },
  { key: "Space", what: "details of the function at the side, or close them", group },
  { key: "Enter", what: "show the call in the flame graph", group },
  { key: ".", what: "menu of the call; also Shift F10", group },
];

/** What is open, by what the tree is: inverted or not. Kept when the view is left. */
const kept = new Map<string, Set<string>>();

export function CallTree(view: ViewProps) {
  const { profile, matches, searching, theme, state, change, hover, announce } = view;
  const { tree, unit } = profile;
  const inward = !!tree.about.inward;
  const comparison = !!tree.baseTotal;
  const handle = useRef<VirtualHandle>(null);
  const [menu, setMenu] = useState<{ node: number; x: number; y: number } | null>(null);
  useKeys(keyList);

  const kind = `${state.invert}\0${profile.file}`;
  const [all, setAll] = useState(kept);
  const start = (): Set<string> => opened(tree, new Set(), 0);
  const open = all.get(kind) ?? start();
  const setOpen = (next: Set<string>) => {
    kept.set(kind, next);
    setAll(new Map(kept));
  };
  const rows = useMemo(() => rowsOf(tree, open), [tree, open]);
  const [active, setActive] = useState("");
  const at = useMemo(() => rows.findIndex((r) => r.key === active), [rows, active]);
  const goal = useRef<string | null>(null);

  // The zoom of the flame graph is a place to look at here.
  const zoom = state.zoom.join("\n");
  useLayoutEffect(() => {
    if (!state.zoom.length) return;
    const node = tree.find(state.zoom);
    if (!node) return;
    const key = keyOf(tree, node);
    setOpen(openedTo(tree, open, node));
    setActive(key);
    goal.current = key;
  }, [zoom, kind]);
  // What was opened to be looked at comes into sight once its row is there.
  useLayoutEffect(() => {
    if (goal.current === null) return;
    const i = rows.findIndex((r) => r.key === goal.current);
    goal.current = null;
    if (i >= 0) handle.current?.reveal(i);
  }, [rows]);

  const re = useMemo(() => (searching ? pattern(state.search).re : null), [state.search, searching]);
  const inside = useMemo(() => (searching ? holders(tree, matches.marked) : null), [tree, matches, searching]);
  const functions = functionsOf(tree);
  const hovered = hover.frame >= 0 ? functions[hover.frame] : -1;
  const whole = tree.total[0]!;

  const toggle = (r: TreeRow) => {
    if (!r.leaf) setOpen(r.open ? closed(open, r.key) : opened(tree, open, r.node));
  };
  const go = (i: number) => {
    const r = rows[i];
    if (!r) return;
    setActive(r.key);
    hover.set(tree.frame[r.node]!);
    handle.current?.reveal(i);
  };
  const heaviest = (node: number) => {
    const next = openedHeaviest(tree, open, node);
    const key = keyOf(tree, next.end);
    setOpen(next.open);
    setActive(key);
    goal.current = key;
    announce(`The heaviest path ends in ${tree.name(next.end)}, ${percent(tree.total[next.end]!, whole)} of all.`);
  };
  const choose = (node: number) => {
    if (node > 0 && tree.kind(node) !== "label" && tree.kind(node) !== "other") select(view, tree.name(node));
  };
  const openMenu = (i: number) => {
    const box = document.getElementById(`calltree-${i}`)?.getBoundingClientRect();
    setMenu({ node: rows[i]!.node, x: (box?.left ?? 0) + 160, y: box?.bottom ?? 0 });
  };
  const onKey = (e: KeyboardEvent): boolean => {
    const r = rows[at];
    if (e.key === "*") {
      heaviest(r ? r.node : 0);
      return true;
    }
    if (!r) return false;
    switch (e.key) {
      case "ArrowRight":
        if (e.shiftKey) setOpen(openedBelow(tree, open, r.node));
        else if (!r.leaf && !r.open) toggle(r);
        else if (!r.leaf) go(at + 1);
        return true;
      case "ArrowLeft":
        if (e.shiftKey) setOpen(closedBelow(open, r.key));
        else if (r.open && !r.leaf) toggle(r);
        else go(rows.findLastIndex((o, i) => i < at && o.depth < r.depth));
        return true;
      case "Enter":
        change({ zoom: tree.path(r.node), view: "flame" });
        return true;
      case " ":
        choose(r.node);
        return true;
      case ".":
      case "ContextMenu":
        openMenu(at);
        return true;
      case "F10":
        if (e.shiftKey) openMenu(at);
        return e.shiftKey;
      default:
        return false;
    }
  };

  const row = (i: number) => {
    const r = rows[i]!;
    const { node } = r;
    const frame = tree.frame[node]!;
    const name = tree.name(node);
    const dim = searching && !matches.marked[node];
    const chosen = name === state.fn;
    const classes = ["vl-row", i === at && "at", chosen && "chosen", functions[frame] === hovered && "hovered", dim && !inside![node] && "vl-dim"];
    const line = tree.line(node);
    const place = [tree.inlined(node) ? "inlined" : "", tree.file(node) && `${base(tree.file(node))}${line ? `:${line}` : ""}`, tree.file(node) ? "" : tree.binary(node)];
    return (
      <div
        key={r.key}
        id={`calltree-${i}`}
        role="row"
        class={classes.filter(Boolean).join(" ")}
        aria-level={r.depth + 1}
        aria-expanded={r.leaf ? undefined : r.open}
        aria-posinset={r.place}
        aria-setsize={r.siblings}
        aria-rowindex={i + 2}
        aria-selected={chosen}
        data-name={name}
        data-depth={r.depth}
        onMouseEnter={() => hover.set(frame)}
        onClick={(e) => {
          setActive(r.key);
          handle.current?.focus();
          if (e.detail < 2) choose(node);
        }}
        onDblClick={() => change({ zoom: tree.path(node), view: "flame" })}
        onContextMenu={(e) => {
          e.preventDefault();
          setActive(r.key);
          setMenu({ node, x: e.clientX, y: e.clientY });
        }}
      >
        <div role="gridcell" class="vl-number vl-bar">
          <i style={{ width: `${whole ? (100 * tree.total[node]!) / whole : 0}%` }} />
          <span>{percent(tree.total[node]!, whole)}</span>
        </div>
        <div role="gridcell" class="vl-number">
          {amount(tree.total[node]!, unit)}
        </div>
        {!inward && (
          <div role="gridcell" class="vl-number calltree-self">
            {tree.self[node] ? amount(tree.self[node]!, unit) : ""}
          </div>
        )}
        {comparison && (
          <div role="gridcell" class={`vl-number delta ${grown(tree.total[node]!, tree.baseTotal![node]!)}`}>
            {delta(tree.total[node]!, tree.baseTotal![node]!, unit)}
          </div>
        )}
        <div role="rowheader" class="calltree-name" style={{ paddingLeft: `min(${r.indent * indent}px, 38cqw)` }}>
          <button
            type="button"
            class={`calltree-twist ${r.open ? "open" : ""}`}
            tabIndex={-1}
            aria-hidden="true"
            disabled={r.leaf}
            onClick={(e) => {
              e.stopPropagation();
              setActive(r.key);
              handle.current?.focus();
              toggle(r);
            }}
          >
            {r.leaf ? "" : "▸"}
          </button>
          <i class="vl-dot" style={{ background: fill(tree.kind(node), name, theme.dark) }} title={tree.kind(node)} />
          <span>
            <Highlight text={name} re={re} />
            <span class="faded calltree-place">{place.filter(Boolean).join(" · ")}</span>
          </span>
        </div>
      </div>
    );
  };

  const columns = `66px 74px ${inward ? "" : "70px "}${comparison ? "128px " : ""}minmax(120px, 1fr)`;
  const titles = ["Total %", "Total", ...(inward ? [] : ["Self"]), ...(comparison ? ["Δ total"] : []), state.invert === "1" ? "Function, its callers below" : "Function, what it calls below"];
  return (
    <section class="calltree" data-view="calltree" data-rows={rows.length} data-nodes={tree.size} data-open={open.size} onMouseLeave={() => hover.set(-1)}>
      <div class="calltree-tools">
        <button type="button" title="Open the path into the heaviest call each time, from the chosen call on ( * )" onClick={() => heaviest(rows[at]?.node ?? 0)}>
          Heaviest path <kbd>*</kbd>
        </button>
        <button type="button" title="Open all below the chosen call ( Shift → )" onClick={() => setOpen(openedBelow(tree, open, rows[at]?.node ?? 0))}>
          Open all
        </button>
        <button type="button" onClick={() => setOpen(start())}>
          Close all
        </button>
        <button type="button" aria-pressed={state.invert === "1"} title="Functions that ran first, their callers below ( i )" class={state.invert === "1" ? "on" : ""} onClick={() => change({ invert: state.invert === "1" ? "" : "1" })}>
          Inverted
        </button>
        <span class="faded calltree-count">
          {exact(rows.length)} of {exact(tree.size)} calls in sight
        </span>
      </div>
      <Virtual
        id="calltree"
        role="treegrid"
        label="Call tree. Right opens a call, left closes it, star opens the heaviest path."
        count={rows.length}
        rowHeight={rowHeight}
        columns={columns}
        at={at}
        onMove={go}
        onKey={onKey}
        handle={handle}
        head={
          <div role="row" class="vl-row" aria-rowindex={1}>
            {titles.map((t, i) => (
              <div key={t} role="columnheader" class={i < titles.length - 1 ? `vl-number ${t === "Self" ? "calltree-self" : ""}` : "calltree-name"}>
                {t}
              </div>
            ))}
          </div>
        }
        row={row}
        empty={<p class="note">No stacks in this selection.</p>}
      />
      {menu && menu.node < tree.size && (
        <FrameMenu
          view={view}
          frame={tree.frame[menu.node]!}
          node={menu.node}
          x={menu.x}
          y={menu.y}
          onClose={() => {
            setMenu(null);
            handle.current?.focus();
          }}
        />
      )}
    </section>
  );
}

const base = (path: string) => path.slice(path.lastIndexOf("/") + 1);

/** Which nodes have a match below them: these are the way to it. */
function holders(tree: Tree, marked: Uint8Array): Uint8Array {
  const out = new Uint8Array(tree.size);
  for (let i = tree.size - 1; i > 0; i--) if (marked[i] || out[i]) out[tree.parent[i]!] = 1;
  return out;
}
