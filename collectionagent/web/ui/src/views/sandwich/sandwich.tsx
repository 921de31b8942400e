// SPDX-License-Identifier: Apache-2.0
// A function between those that call it, above, and those that it calls, below, over all places
// that it is called from.

import "./sandwich.css";
import { useEffect, useLayoutEffect, useMemo, useState } from "preact/hooks";
import { namedFunction, sandwich as ask, type SandwichAnswer } from "../../api/tables";
import { calleesOf, callersOf } from "../../model/callers";
import { colouring, painter } from "../../model/colour";
import { rows as rowsOf } from "../../model/rows";
import { pattern, Tree } from "../../model/tree";
import { amount, many, percent } from "../../ui/format";
import { useAnswer } from "../ask";
import { notExact } from "../exact";
import { Flame } from "../flame/flame";
import { FrameMenu } from "../menu/menu";
import type { Hover, ViewProps } from "../view";
import { Chooser } from "./chooser";

/** Most nodes of each of the two trees that the server is asked for. */
const maxNodes = "30000";

export function Sandwich(view: ViewProps) {
  const { state, change } = view;
  if (!state.fn) {
    return (
      <div class="sandwich" data-view="sandwich">
        <Chooser view={view} title="Who calls, and what does it call:" onChoose={(fn) => change({ fn })} />
      </div>
    );
  }
  return <Filled {...view} />;
}

interface Sides {
  callers: Tree;
  callees: Tree;
  self: number;
  value: number;
  /** How many functions have the name. */
  functions: number;
  exact: boolean;
}

/** The trees of an answer about the functions of a name, which is that of both roots. */
export function fromAnswer(a: SandwichAnswer, name: string): Pick<Sides, "callers" | "callees"> {
  const tree = (t: SandwichAnswer["callers"]) => {
    const made = Tree.fromAnswer({ ...a, ...t, from_ms: 0, to_ms: 0, group_by: [], symbolized: 1, unknown_stacks: 0 });
    made.frames.name[made.frame[0]!] = name; // in place of "(2 functions)"
    return made;
  };
  const callers = tree(a.callers);
  callers.about.inward = true;
  return { callers, callees: tree(a.callees) };
}

function Filled(view: ViewProps) {
  const { profile, state, change, params, generation } = view;
  const { upright: tree, unit } = profile;
  const { fn } = state;
  const cut = profile.hidden.nodes > 0;
  const why = notExact(view);
  const subject = JSON.stringify([params, fn]);
  const asked = useAnswer(cut && !why ? (signal) => ask({ ...params, function: namedFunction(fn), max_nodes: maxNodes }, signal) : null, subject, generation);

  const own = useMemo((): Sides => {
    const callers = callersOf(tree, fn);
    const same = rowsOf(tree).filter((r) => r.name === fn);
    return {
      callers,
      callees: calleesOf(tree, fn),
      self: same.reduce((sum, r) => sum + r.self, 0),
      value: callers.total[0]!,
      functions: same.length,
      exact: !cut,
    };
  }, [tree, fn, cut]);
  const sides = useMemo((): Sides => {
    const a = asked.answer;
    if (!a) return own;
    return { ...fromAnswer(a, fn), self: a.function.self, value: a.function.value, functions: a.function.functions.length + a.function.hidden_functions, exact: true };
  }, [asked.answer, own]);

  const whole = tree.total[0]!;
  const callerCount = childCount(sides.callers);
  return (
    <section class="sandwich" data-view="sandwich" data-fn={fn} data-exact={sides.exact ? "1" : "0"} data-value={sides.value} data-self={sides.self} data-callers={callerCount} data-callees={childCount(sides.callees)}>
      <div class="sandwich-head">
        <button type="button" title="Choose another function" onClick={() => change({ fn: "" })}>
          ‹ All functions
        </button>
        <strong class="sandwich-name" title={fn}>
          {fn}
        </strong>
        <span>
          total <b>{amount(sides.value, unit)}</b> · {percent(sides.value, whole)}
        </span>
        <span>
          self <b>{amount(sides.self, unit)}</b> · {percent(sides.self, whole)}
        </span>
        <span>{many(callerCount, "direct caller")}</span>
        {sides.functions > 1 && <span class="faded">{many(sides.functions, "function")} of this name</span>}
        {cut && (
          <span class="faded sandwich-exact">
            {sides.exact && asked.answer
              ? "exact, from the server"
              : why
                ? `from the largest nodes alone: small ones were left out, and of ${why} the server knows no more`
                : asked.error
                  ? `from the largest nodes alone: ${asked.error}`
                  : "asking the server for all of it …"}
          </span>
        )}
      </div>
      {!sides.value && !asked.waiting ? (
        <p class="note">
          <b>{fn}</b> is in none of the stacks that are shown.{" "}
          <button type="button" onClick={() => change({ fn: "" })}>
            Choose another function
          </button>
        </p>
      ) : (
        <div class="sandwich-sides">
          <Side view={view} tree={sides.callers} up label="Callers" none="Nothing calls it: stacks start with it." shared={sides.callers.frames === tree.frames} />
          <Side view={view} tree={sides.callees} up={false} label="Callees" none="It calls nothing." shared={sides.callees.frames === tree.frames} />
        </div>
      )}
    </section>
  );
}

const childCount = (tree: Tree): number => (tree.rows[1] ? tree.rows[1].length : 0);

const nothing: Hover = { frame: -1, set: () => {} };

interface SideProps {
  view: ViewProps;
  tree: Tree;
  /** The function at the bottom. */
  up: boolean;
  label: string;
  none: string;
  /** Frames have the numbers that they have in the other views. */
  shared: boolean;
}

function Side({ view, tree, up, label, none, shared }: SideProps) {
  const { state, change, theme, profile, searching } = view;
  const [path, setPath] = useState<string[]>([]);
  const [menu, setMenu] = useState<{ node: number; x: number; y: number } | null>(null);
  useLayoutEffect(() => setPath([]), [state.fn]);
  const matches = useMemo(() => tree.match(searching ? pattern(state.search).re : null), [tree, state.search, searching]);
  const by = colouring(state.colour);
  const colour = useMemo(() => painter(tree, by, theme.dark), [tree, by, theme.dark]);
  const zoom = useMemo(() => tree.find(path), [tree, path]);
  return (
    <div class={`sandwich-side ${up ? "up" : "down"}`} data-side={label.toLowerCase()} data-nodes={tree.size}>
      <h3 class="sandwich-label">
        {label}
        {tree.size > 1 ? "" : <span class="faded"> {none}</span>}
      </h3>
      <div class="sandwich-flame">
        <Flame
          tree={tree}
          matches={matches}
          searching={searching}
          zoom={zoom}
          theme={theme}
          colour={colour}
          up={up}
          hover={shared ? view.hover : nothing}
          unit={profile.unit}
          label={`${label} of ${state.fn}`}
          bare
          onZoom={(node) => setPath(tree.path(node))}
          onSelect={(node) => tree.kind(node) !== "label" && tree.kind(node) !== "other" && change({ fn: tree.name(node) })}
          onMenu={(node, x, y) => setMenu({ node, x, y })}
        />
      </div>
      {menu && menu.node < tree.size && (
        <Menu view={view} tree={tree} shared={shared} menu={menu} onClose={() => setMenu(null)} />
      )}
    </div>
  );
}

/** The menu of a frame; frames of the server's answer have other numbers than those of the profile. */
function Menu({ view, tree, shared, menu, onClose }: { view: ViewProps; tree: Tree; shared: boolean; menu: { node: number; x: number; y: number }; onClose(): void }) {
  const own = view.profile.tree.frames;
  const number = tree.frame[menu.node]!;
  const frame = shared && number < own.name.length ? number : own.name.indexOf(tree.name(menu.node));
  useEffect(() => {
    if (frame < 0) onClose();
  }, [frame]);
  if (frame < 0) return null;
  return <FrameMenu view={view} frame={frame} node={-1} x={menu.x} y={menu.y} onClose={onClose} />;
}
