// SPDX-License-Identifier: Apache-2.0
// The bar above every view of stacks: search, what is done to the stacks as chips, presets,
// grouping, level, inversion, colour, and the legend that filters.

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import * as api from "../api/client";
import { keep, opened } from "../files/opened";
import { colouring, type Colouring } from "../model/colour";
import { parsePattern } from "../model/pattern";
import { offered } from "../model/presets";
import { matchList, nextMatch } from "../model/search";
import { checkTransforms, describe, formatTransform, mostTransforms, type TransformKind } from "../model/transform";
import { pattern } from "../model/tree";
import { title } from "../model/types";
import { levels } from "../state/state";
import { exact, percent } from "../ui/format";
import { useKeys } from "../ui/keys";
import { MenuButton, type MenuEntry } from "../ui/menu";
import { added, toggled } from "../views/menu/actions";
import type { ViewProps } from "../views/view";
import { Legend } from "./legend";
import "./stackbar.css";

const levelTitles = { function: "Functions", line: "Lines", file: "Files", binary: "Binaries" };
const colourTitles: [Colouring, string][] = [
  ["kind", "Kind"],
  ["binary", "Binary"],
  ["package", "Package"],
  ["value", "Value"],
];

/** What is searched for, as a pattern that means the same. */
function asPattern(search: string): string {
  const s = search.trim();
  const p = parsePattern(s);
  return p.how === "has" || (p.how === "matches" && !p.field) ? s : `/${s.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}/`;
}

export function StackBar(props: ViewProps) {
  const { profile, matches, searching, state, change, announce, hover } = props;
  const { tree, whole } = profile;
  const input = useRef<HTMLInputElement>(null);
  const group = state.group.split(",").filter(Boolean);
  const by = state.view === "diff" ? "diff" : colouring(state.colour);

  const list = useMemo(() => (searching ? matchList(tree, matches) : []), [tree, matches, searching]);
  const error = useMemo(() => pattern(state.search).error, [state.search]);
  const here = list.indexOf(tree.find(state.zoom));
  const go = (step: 1 | -1) => {
    if (!list.length) {
      announce(state.search ? "nothing matches" : "search for something first");
      if (!state.search) input.current?.focus();
      return;
    }
    const at = nextMatch(list, tree.find(state.zoom), step);
    const node = list[at]!;
    change({ zoom: tree.path(node) }, here >= 0);
    hover.set(tree.frame[node]!);
    announce(`match ${at + 1} of ${list.length}: ${tree.name(node)}, ${percent(tree.width[node]!, tree.width[0]!)} of all`);
  };
  const invert = () => {
    announce(state.invert ? "the root comes first" : "inverted: the leaves come first");
    change({ invert: state.invert ? "" : "1", zoom: [] });
  };
  const up = () => change({ up: state.up ? "" : "1" });

  useKeys([
    {
      key: "/",
      what: "search; Enter for the next match, Escape clears",
      group: "Stacks",
      run: () => {
        input.current?.focus();
        input.current?.select();
      },
    },
    { key: "n", what: "next match", group: "Stacks", run: () => go(1) },
    { key: "N", what: "previous match", group: "Stacks", run: () => go(-1) },
    { key: "i", what: "leaves first, or the root", group: "Stacks", run: invert },
    { key: "u", what: "root at the bottom, or at the top", group: "Stacks", run: up },
  ]);

  const presets = useMemo(() => offered(whole.frames), [whole]);
  const toggle = (text: string): (() => void) => () => change({ t: toggled(state.t, text) });
  const fromSearch = (kind: TransformKind, label: string): MenuEntry => ({
    label,
    run: () => change({ t: added(state.t, formatTransform(kind, asPattern(state.search))), search: kind === "hide" || kind === "ignore" ? "" : state.search }),
  });
  const recursions = (["recursion", "recursion-all"] as const).map((k): MenuEntry => ({ label: describe(k), checked: state.t.includes(k), run: toggle(k) }));
  const wrong = useMemo(() => checkTransforms(state.t), [state.t.join("\n")]);
  // Each is a button: of those that are not made at all one is enough to say so.
  const chips = state.t.slice(0, mostTransforms + 1).map((text, i) => ({ text, i, wrong: wrong[i] }));

  return (
    <div class="stackbar" data-transforms={state.t.length} data-matches={list.length}>
      <div class="stackbar-search" role="search">
        <input
          ref={input}
          type="search"
          class="search"
          aria-label="Search: a text or /expression/ in functions, files and binaries"
          placeholder="Search functions: text or /regex/"
          title={error || "Text or /expression/ in names of functions, files and binaries (/)"}
          aria-invalid={error ? "true" : undefined}
          autocomplete="off"
          spellcheck={false}
          value={state.search}
          onInput={(e) => change({ search: e.currentTarget.value }, true)}
          onKeyDown={(e) => {
            if (e.key === "Enter") {
              e.preventDefault();
              go(e.shiftKey ? -1 : 1);
            } else if (e.key === "Escape") {
              e.preventDefault();
              if (state.search) change({ search: "" }, true);
              e.currentTarget.blur();
            }
          }}
        />
        {state.search && !error && (
          <>
            <button type="button" aria-label="Previous match" title="Previous match (N)" disabled={!list.length} onClick={() => go(-1)}>
              ‹
            </button>
            <button type="button" aria-label="Next match" title="Next match (n)" disabled={!list.length} onClick={() => go(1)}>
              ›
            </button>
          </>
        )}
        {state.search && (
          <output class={`matched ${error ? "problem" : ""}`} aria-live="polite" title={error ? "" : `${exact(matches.count)} frames in ${exact(list.length)} places`}>
            {error || (list.length ? `${percent(matches.value, tree.total[0]!)} · ${here >= 0 ? `${here + 1}/` : ""}${exact(list.length)}` : "no match")}
          </output>
        )}
      </div>

      <div class="stackbar-controls">
        <MenuButton
          label="Transform the stacks"
          title="Hide, focus and fold what is in the way. More in the menu of a frame: right click, or “.”"
          entries={[
            ...(state.search && !error
              ? [
                  { title: `What matches “${state.search.trim()}”` },
                  fromSearch("focus", "Only stacks with it"),
                  fromSearch("ignore", "No stacks with it"),
                  fromSearch("hide", "Hide its frames"),
                  fromSearch("show", "Show its frames only"),
                  fromSearch("root", "Begin stacks with it"),
                  "-" as const,
                ]
              : []),
            ...recursions,
            "-",
            ...presets.map((p): MenuEntry => ({ label: p.title, checked: state.t.includes(`preset:${p.id}`), run: toggle(`preset:${p.id}`) })),
            "-",
            state.t.length > 0 && { label: "Undo the last", run: () => change({ t: state.t.slice(0, -1) }) },
            state.t.length > 0 && { label: "Undo all", run: () => change({ t: [] }) },
          ]}
        >
          Transform ▾
        </MenuButton>
        {!profile.file && <GroupBy {...props} group={group} />}
        {profile.file && <SampleType {...props} />}
        <label>
          <span>by</span>
          <select aria-label="What a level of a stack is" value={state.level} onChange={(e) => change({ level: e.currentTarget.value as never, zoom: [] })}>
            {levels.map((l) => (
              <option key={l} value={l}>
                {levelTitles[l]}
              </option>
            ))}
          </select>
        </label>
        <button type="button" class={state.invert ? "on" : ""} aria-pressed={!!state.invert} title="The leaves first, their callers below (i)" onClick={invert}>
          Invert
        </button>
        <button type="button" class={state.up ? "on" : ""} aria-pressed={!!state.up} title="The root at the bottom (u)" aria-label="Root at the bottom" onClick={up}>
          {state.up ? "↑" : "↓"}
        </button>
        <label>
          <span>colour</span>
          <select aria-label="What colours mean" value={by} disabled={by === "diff"} onChange={(e) => change({ colour: e.currentTarget.value })}>
            {colourTitles.map(([c, text]) => (
              <option key={c} value={c}>
                {text}
              </option>
            ))}
            {by === "diff" && <option value="diff">Change</option>}
          </select>
        </label>
      </div>

      <Legend {...props} by={by} />

      {chips.length > 0 && (
        <div class="stackbar-chips" role="group" aria-label="What is done to the stacks">
          {chips.map(({ text, i, wrong }) => (
            <button
              key={`${i}${text}`}
              type="button"
              class={`stackbar-chip ${wrong ? "wrong" : ""}`}
              aria-label={`Remove: ${describe(text)}`}
              title={wrong ? `Skipped: ${wrong}` : `${text} – click to remove`}
              onClick={() => {
                change({ t: state.t.filter((_, j) => j !== i) });
                announce(`removed: ${describe(text)}`);
              }}
            >
              {describe(text)}
              <span aria-hidden="true">✕</span>
            </button>
          ))}
          {chips.length > 1 && (
            <button type="button" class="stackbar-clear" onClick={() => change({ t: [] })}>
              Clear all
            </button>
          )}
        </div>
      )}
    </div>
  );
}

/** Labels whose values are the first levels. */
function GroupBy({ params, state, change, group }: ViewProps & { group: string[] }) {
  const [names, setNames] = useState<string[]>([]);
  // Those of the range that is shown: what is long ago may have had others than now.
  const about = { type: params.type ?? "", from: params.from ?? "", to: params.to ?? "" };
  useEffect(() => {
    const stop = new AbortController();
    api.labels(about, stop.signal).then(
      (a) => setNames((a.labels ?? []).map((l) => l.name)),
      () => {}, // without names there are those that are chosen
    );
    return () => stop.abort();
  }, [JSON.stringify(about), state.project]);
  const all = [...new Set([...group, ...names])];
  const toggle = (name: string) => change({ group: (group.includes(name) ? group.filter((g) => g !== name) : [...group, name].slice(-8)).join(","), zoom: [] });
  return (
    <MenuButton
      label="Group by labels"
      title="Values of labels as the first levels"
      class={group.length ? "on" : ""}
      entries={[
        { title: "Labels as the first levels, in this order" },
        ...all.map((name): MenuEntry => ({ label: name, checked: group.includes(name), hint: group.includes(name) && group.length > 1 ? String(group.indexOf(name) + 1) : "", run: () => toggle(name) })),
        "-",
        group.length > 0 && { label: "No groups", run: () => change({ group: "", zoom: [] }) },
        state.view !== "flame" && group.length === 0 && { label: "By service and thread", run: () => change({ group: "service,comm", zoom: [] }) },
      ]}
    >
      {group.length ? <b>{group.join(" › ")}</b> : "Group"} ▾
    </MenuButton>
  );
}

/** A file can hold several types of samples; each is a profile. */
function SampleType({ state, change }: ViewProps) {
  const file = opened(state.file);
  const types = file?.types ?? [];
  if (!file || types.length < 2) return null;
  return (
    <label>
      <span>samples</span>
      <select aria-label="Type of samples in the file" value={file.type} onChange={(e) => change({ file: keep(file.as!(e.currentTarget.value)), zoom: [] })}>
        {types.map((t) => (
          <option key={t} value={t}>
            {title(t)}
          </option>
        ))}
      </select>
    </label>
  );
}
