// SPDX-License-Identifier: Apache-2.0
// The menu of a frame: what can be done with it. Views open it at the pointer, or at the
// frame for the keyboard.

import { addMatcher } from "../../model/selector";
import { formatTransform, type TransformKind } from "../../model/transform";
import type { View } from "../../state/state";
import { copyText } from "../../ui/clipboard";
import { percent } from "../../ui/format";
import { type MenuEntry, MenuList } from "../../ui/menu";
import type { ViewProps } from "../view";
import { added, labelOf, libraryOf, meaning, place, stackText } from "./actions";

interface Props {
  view: ViewProps;
  /** A frame's number in view.profile.tree.frames. */
  frame: number;
  /** The node that was meant, -1 where a view has only functions. */
  node: number;
  x: number;
  y: number;
  onClose(): void;
}

export function FrameMenu({ view, frame, node, x, y, onClose }: Props) {
  const { profile, state, change, announce } = view;
  const { tree } = profile;
  const f = tree.frames;
  const name = f.name[frame] ?? "";
  const kind = f.kind[frame] ?? "";
  if (!name) return null;

  const live = !profile.file;
  const copy = async (what: string, text: string) => announce((await copyText(text)) ? `${what} copied` : `${what} could not be copied: the browser does not allow it`);
  const show = (to: View) => change({ view: to, fn: name, ...(node >= 0 ? { zoom: tree.path(node) } : {}) });
  const apply = (kind: TransformKind, argument?: string) => change({ t: added(state.t, formatTransform(kind, argument)), ...(kind === "root" ? { zoom: [] } : {}) });

  const here = meaning(tree, frame, state.level);
  const library = libraryOf(tree, frame);
  const label = live ? labelOf(tree, node, state.group) : null;
  const at = place(tree, frame);
  const isRoot = node === 0 && !name.includes(" ") && kind === "label" && !label;
  const isFunction = kind !== "label" && kind !== "other" && kind !== "error";
  const share = node >= 0 ? percent(tree.width[node]!, tree.width[0]!) : "";

  const entries: (MenuEntry | false | "" | null)[] = [
    node > 0 && { label: "Zoom here", hint: share, run: () => change({ zoom: tree.path(node) }) },
    isRoot && { label: "Zoom out to everything", run: () => change({ zoom: [] }) },
    isFunction && { label: "Details at the side", run: () => (change({ fn: name }), view.side?.show(true)) },
    isFunction && state.view !== "sandwich" && { label: "Callers and callees", hint: "sandwich", run: () => show("sandwich") },
    isFunction && state.view !== "calltree" && { label: "Show in the call tree", run: () => show("calltree") },
    isFunction && live && state.level !== "binary" && state.view !== "source" && { label: "Source lines", run: () => show("source") },
    !isRoot && kind !== "other" && { label: "Search for this name", run: () => change({ search: name }) },
    isFunction && state.view !== "diff" && { label: "Compare", hint: "diff", run: () => show("diff") },
    "-",
    label && { label: `Select ${label.label}="${label.value}"`, run: () => change({ query: addMatcher(state.query, label.label, "=", label.value), zoom: [] }) },
    label && { label: `Leave ${label.label}="${label.value}" out`, run: () => change({ query: addMatcher(state.query, label.label, "!=", label.value), zoom: [] }) },
    "-",
    !isRoot && kind !== "other" && { label: "Only stacks with this", run: () => apply("focus", here) },
    !isRoot && kind !== "other" && { label: "No stacks with this", run: () => apply("ignore", here) },
    (isFunction || kind === "error") && { label: "Hide, values to the callers", run: () => apply("hide", here) },
    isFunction && { label: "Show these frames only", run: () => apply("show", here) },
    isFunction && { label: "Begin stacks here", run: () => apply("root", here) },
    isFunction && { label: "Close: callees become its own", run: () => apply("collapse", here) },
    isFunction && { label: "Its recursion as one", run: () => apply("recursion-all", here) },
    isFunction && library && state.level !== "binary" && { label: `All of ${library.name} as one`, run: () => change({ t: added(state.t, library.transform) }) },
    "-",
    { label: "Copy the name", run: () => copy("Name", name) },
    at && { label: "Copy file and line", title: at, run: () => copy("Place", at) },
    node > 0 && { label: "Copy the stack", run: () => copy("Stack", stackText(tree, node)) },
  ];
  return <MenuList class="framemenu" label={`What to do with ${name}`} head={name} entries={entries} x={x} y={y} onClose={onClose} />;
}
