// SPDX-License-Identifier: Apache-2.0
// What changed: the selection against a base.

import "./diff.css";
import { useMemo, useState } from "preact/hooks";
import type { Expression } from "../../model/regexp";
import { invert, transform } from "../../model/transform";
import { pattern, type Tree } from "../../model/tree";
import { amount, count, dateTime, duration, exact, percent } from "../../ui/format";
import { lengthText, spanText } from "../../ui/times";
import { Flame } from "../flame/flame";
import { FrameMenu } from "../menu/menu";
import type { ViewProps } from "../view";
import { changed, shade, shadeColour, side, summary, treeRows, type Totals } from "./compare";
import { BaseControls } from "./controls";
import { useComparison, type Comparison, type Side } from "./sides";
import { DiffTable } from "./table";

const arrangements = [
  ["", "Both"],
  ["flame", "Flame graph"],
  ["table", "Table"],
  ["sides", "Side by side"],
] as const;

export function Diff(view: ViewProps) {
  const { state, change, theme, announce } = view;
  const { comparison, error, waiting } = useComparison(view);
  const steps = state.t.join("\n");
  const upright = useMemo(() => comparison && transform(comparison.tree, state.t, state.level, false), [comparison, steps, state.level]);
  const tree = useMemo(() => (upright && state.invert === "1" ? invert(upright) : upright), [upright, state.invert]);
  // What was done to the stacks changes what functions are, and the table is of those.
  const changedStacks = state.t.length > 0 || state.level !== "function";
  const rows = useMemo(() => (comparison && upright ? (changedStacks ? treeRows(upright) : comparison.rows) : []), [comparison, upright, changedStacks]);
  const re = useMemo(() => pattern(state.search).re, [state.search]);
  const says = useMemo(() => comparison && summary(rows, changedStacks && tree ? { now: tree.total[0]!, base: tree.baseTotal?.[0] ?? 0 } : comparison.totals, tree!.about.unit, comparison.scale !== 1), [comparison, rows]);
  const [hover, setHover] = useState("");
  const [menu, setMenu] = useState<{ frame: number; x: number; y: number } | null>(null);
  const now = useMemo(() => Date.now(), [state.from, state.to, state.bfrom, state.bto]);

  const swap = () => {
    if (!comparison) return;
    const b = comparison.base;
    const n = comparison.now;
    const pin = (s: Side) => ({ from: String(Math.round(s.fromMs)), to: String(Math.round(s.toMs)) });
    const next = b.file ? {} : { ...pin(b), query: b.query };
    const before = n.file ? { bfrom: "", bto: "", bquery: "" } : { bfrom: pin(n).from, bto: pin(n).to, bquery: n.query || "{}" };
    change({ ...next, ...before, file: state.bfile, bfile: state.file });
    announce("The sides are swapped.");
  };
  const menuOf = (name: string, x: number, y: number) => {
    const frame = view.profile.tree.frames.name.indexOf(name);
    if (frame >= 0) setMenu({ frame, x, y });
  };
  const unit = tree?.about.unit ?? view.profile.unit;
  const show = state.dview || "";
  const uneven = comparison && comparison.now.toMs > comparison.now.fromMs && comparison.base.toMs > comparison.base.fromMs && state.norm !== "1" ? (comparison.now.toMs - comparison.now.fromMs) / (comparison.base.toMs - comparison.base.fromMs) : 1;

  return (
    <div
      class="diff"
      data-view="diff"
      data-total={comparison?.totals.now ?? ""}
      data-base={comparison?.totals.base ?? ""}
      data-nodes={tree?.size ?? 0}
      data-rows={rows.length}
      data-waiting={waiting}
      data-arrangement={show || "both"}
    >
      <BaseControls view={view} now={now} onSwap={swap}>
        <div class="tabs" role="group" aria-label="Arrangement">
          {arrangements.map(([id, text]) => (
            <button key={id} type="button" class={show === id ? "on" : ""} aria-pressed={show === id} onClick={() => change({ dview: id }, true)}>
              {text}
            </button>
          ))}
        </div>
      </BaseControls>
      {error && (
        <div class="alert" role="alert">
          {error}
        </div>
      )}
      {comparison && tree && (
        <>
          <div class="diff-sides">
            <SideHead name="Selection" side={comparison.now} unit={unit} />
            <Change totals={comparison.totals} unit={unit} scale={comparison.scale} />
            <SideHead name="Base" side={comparison.base} unit={unit} />
          </div>
          {(uneven > 1.02 || uneven < 0.98) && (
            <p class="warning">
              The selection is {uneven > 1 ? `${uneven.toFixed(1)} times as long as` : `${(1 / uneven).toFixed(1)} times shorter than`} the base, so totals differ for that alone.{" "}
              <button type="button" onClick={() => change({ norm: "1" })}>
                Scale to the same total
              </button>
            </p>
          )}
          <div class="diff-says">
            <p class="diff-summary">{says?.join(" ")}</p>
            <Legend dark={theme.dark} />
          </div>
          <div class={`diff-body ${show || "both"}`}>
            {(show === "" || show === "table") && (
              <DiffTable
                rows={rows}
                totals={comparison.totals}
                unit={unit}
                sort={state.sort}
                search={re}
                chosen={state.fn}
                hidden={changedStacks ? 0 : comparison.hiddenRows}
                hover={hover}
                onSort={(sort) => change({ sort }, true)}
                onChoose={(name) => change({ fn: state.fn === name ? "" : name })}
                onHover={setHover}
                onMenu={menuOf}
              />
            )}
            {(show === "" || show === "flame") && <Graph view={view} tree={tree} colourOf={tree} search={re} unit={unit} hover={hover} onHover={setHover} onMenu={menuOf} label="Flame graph of both sides" />}
            {show === "sides" && <BothSides view={view} tree={tree} search={re} unit={unit} hover={hover} onHover={setHover} onMenu={menuOf} />}
          </div>
          {comparison.hiddenNodes > 0 && show !== "table" && <p class="diff-foot faded">{exact(comparison.hiddenNodes)} nodes that are small on both sides are summed up as (other) in the graph{changedStacks ? " and left out of the table" : "; the table counts them"}.</p>}
        </>
      )}
      {!comparison && !error && <p class="note">Comparing…</p>}
      {menu && <FrameMenu view={view} frame={menu.frame} node={-1} x={menu.x} y={menu.y} onClose={() => setMenu(null)} />}
    </div>
  );
}

interface GraphProps {
  view: ViewProps;
  tree: Tree;
  /** The tree of both sides, whose nodes the colours are of. */
  colourOf: Tree;
  /** Which node of it a node is; the same without. */
  of?: number[];
  search: Expression | null;
  unit: string;
  hover: string;
  label: string;
  onHover(name: string): void;
  onMenu(name: string, x: number, y: number): void;
}

function Graph({ view, tree, colourOf, of, search, unit, hover, label, onHover, onMenu }: GraphProps) {
  const { state, change, theme } = view;
  const matches = useMemo(() => tree.match(search), [tree, search]);
  const colour = useMemo(() => {
    const all = Math.max(colourOf.total[0]!, colourOf.baseTotal?.[0] ?? 0);
    return (n: number) => {
      const node = of ? of[n]! : n;
      return shadeColour(node === 0 ? 0 : shade(colourOf.total[node]!, colourOf.baseTotal?.[node] ?? 0, all), theme.dark);
    };
  }, [tree, colourOf, of, theme.dark]);
  const zoom = useMemo(() => tree.find(state.zoom), [tree, state.zoom.join("\n")]);
  const frame = useMemo(() => (hover ? tree.frames.name.indexOf(hover) : -1), [tree, hover]);
  return (
    <Flame
      tree={tree}
      matches={matches}
      searching={!!search}
      zoom={zoom}
      theme={theme}
      colour={colour}
      up={state.up === "1"}
      hover={{ frame, set: (f) => onHover(f < 0 ? "" : (tree.frames.name[f] ?? "")) }}
      unit={unit}
      label={label}
      describe={(n) => (of ? against(colourOf, of[n]!, unit) : "")}
      onZoom={(n) => change({ zoom: tree.path(n) })}
      onSelect={(n) => change({ fn: state.fn === tree.name(n) ? "" : tree.name(n) })}
      onMenu={(n, x, y) => onMenu(tree.name(n), x, y)}
    />
  );
}

/** What the other side has of a node. */
const against = (tree: Tree, n: number, unit: string) => `${amount(tree.total[n]!, unit)} in the selection, ${amount(tree.baseTotal?.[n] ?? 0, unit)} in the base: it ${changed(tree.total[n]!, tree.baseTotal?.[n] ?? 0)}.`;

function BothSides(p: Omit<GraphProps, "colourOf" | "of" | "label">) {
  const now = useMemo(() => side(p.tree, false), [p.tree]);
  const base = useMemo(() => side(p.tree, true), [p.tree]);
  return (
    <>
      <section class="diff-one" aria-label="Selection">
        <h2>Selection</h2>
        <Graph {...p} tree={now.tree} of={now.of} colourOf={p.tree} label="Flame graph of the selection" />
      </section>
      <section class="diff-one" aria-label="Base">
        <h2>Base</h2>
        <Graph {...p} tree={base.tree} of={base.of} colourOf={p.tree} label="Flame graph of the base" />
      </section>
    </>
  );
}

function SideHead({ name, side: s, unit }: { name: string; side: Side; unit: string }) {
  const c = s.coverage;
  const covered = c && c.to_ms > c.from_ms ? c.to_ms - c.from_ms : 0;
  const length = s.toMs - s.fromMs;
  const short = c && length > 0 && covered < 0.95 * length;
  return (
    <section class="diff-side" aria-label={name} data-total={s.total} data-from={s.fromMs} data-to={s.toMs}>
      <h2>{name}</h2>
      <p>
        {s.file ? (
          <>
            file <b>{s.file}</b>
          </>
        ) : (
          <b>{dateTime(s.fromMs).slice(0, 10) + " " + spanText({ from: Math.round(s.fromMs / 1000) * 1000, to: Math.round(s.toMs / 1000) * 1000 })}</b>
        )}{" "}
        {length > 0 && <span class="faded">({lengthText({ from: 0, to: Math.round(length / 1000) * 1000 || length })})</span>}
      </p>
      {!s.file && <p class="diff-selector">{s.query && s.query !== "{}" ? <code>{s.query}</code> : <span class="faded">everything</span>}</p>}
      <p>
        <b>{amount(s.total, unit)}</b> <span class="faded">in {count(s.samples)} samples</span>
        {short && <span class="diff-short"> · {covered ? `data for ${duration(covered)} of ${duration(length)} only` : "no data"}</span>}
        {c && c.resolution_ms > 1 && <span class="faded"> · from sums per {c.resolution_ms >= 3600e3 ? "hour" : "minute"}</span>}
      </p>
    </section>
  );
}

function Change({ totals, unit, scale }: { totals: Totals; unit: string; scale: Comparison["scale"] }) {
  const d = totals.now - totals.base;
  const kind = Math.abs(d) < 0.0005 * Math.max(totals.now, totals.base) ? "same" : d > 0 ? "more" : "less";
  return (
    <div class={`diff-total ${kind}`}>
      <b>{scale !== 1 ? "same total" : kind === "same" ? "no change" : `${d > 0 ? "+" : "−"}${totals.base ? percent(Math.abs(d), totals.base) : amount(d, unit)}`}</b>
      <span class="faded">{scale !== 1 ? `base × ${scale.toPrecision(3)}` : kind === "same" ? "" : !totals.base ? "all new" : `${d > 0 ? "+" : "−"}${amount(Math.abs(d), unit)}`}</span>
    </div>
  );
}

function Legend({ dark }: { dark: boolean }) {
  const box = (s: number) => <i style={{ background: shadeColour(s, dark) }} />;
  return (
    <span class="diff-legend" role="img" aria-label="Blue is less than in the base, grey the same, orange more. A frame is as wide as both sides together.">
      <span title="A frame is as wide as both sides together.">
        {box(-1)}
        {box(-0.4)} less
      </span>
      <span>{box(0)} same</span>
      <span>
        {box(0.4)}
        {box(1)} more
      </span>
    </span>
  );
}
