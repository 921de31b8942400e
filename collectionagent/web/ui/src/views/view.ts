// SPDX-License-Identifier: Apache-2.0
// What every view of a profile is given, and what the shell must know of a view.

import type { ComponentType } from "preact";
import type { Coverage, Params } from "../api/client";
import type { Theme } from "../model/colour";
import type { Matches, Tree } from "../model/tree";
import type { Change, State, View } from "../state/state";

/** The profile that is shown, and what it was made from. */
export interface Profile {
  /** As it came, from the server or a file. */
  whole: Tree;
  /** After what state.t and state.level do to it, from the root to the leaves: who calls whom, and what functions took themselves. */
  upright: Tree;
  /** The same, inverted when state.invert is set: this is what views show level by level. */
  tree: Tree;
  unit: string;
  type: string;
  /** Values are levels at a time, summed over those of the range. */
  snapshot: boolean;
  fromMs: number;
  toMs: number;
  samples: number;
  /** null for a file. */
  coverage: Coverage | null;
  symbolized: number;
  unknownStacks: number;
  /** What the server left out of the tree because it is small. */
  hidden: { nodes: number; value: number };
  /** The name of the file, "" for the server's data. */
  file: string;
}

/** What points to a function on the screen, shared by views side by side: a frame's number in tree.frames, -1 for none. */
export interface Hover {
  frame: number;
  set(frame: number): void;
}

/** The panel at the side, about the function state.fn: it can be closed while the function stays chosen. */
export interface SideState {
  open: boolean;
  show(open: boolean): void;
}

export interface ViewProps {
  profile: Profile;
  matches: Matches;
  /** A search is going on: what does not match is dimmed. */
  searching: boolean;
  theme: Theme;
  state: State;
  change: Change;
  /** What to ask the server about this selection: type, query, from, to. Empty for a file. */
  params: Params;
  /** Grows with each refresh, so that a view that asks for itself asks again. */
  generation: number;
  hover: Hover;
  /** Not there where the shell has no panel. */
  side?: SideState;
  /** Says something to who hears the page and does not see it. */
  announce(text: string): void;
}

export interface ViewEntry {
  view: View;
  title: string;
  /** The key that goes there. */
  key: string;
  /** What it answers, for the tooltip of its tab. */
  what: string;
  /** Asks the server for itself: cannot show a file. */
  liveOnly?: boolean;
  component: ComponentType<ViewProps>;
}
