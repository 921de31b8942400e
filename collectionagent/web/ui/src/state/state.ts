// SPDX-License-Identifier: Apache-2.0
// What the page shows, kept in the URL so that a link shows the same. This file knows
// the fields and their defaults; what they mean is up to who reads them.

export const pages = ["explore", "hosts", "executables", "events", "status"] as const;
export type Page = (typeof pages)[number];
export const views = ["flame", "table", "both", "calltree", "sandwich", "diff", "heatmap", "tracks", "top", "source"] as const;
export type View = (typeof views)[number];
export const levels = ["function", "line", "file", "binary"] as const;
export type Level = (typeof levels)[number];

export interface State {
  page: Page;
  /** "" is the project of the login. */
  project: string;

  /** What is selected. */
  type: string;
  from: string;
  to: string;
  /** The selector, as the server takes it. */
  query: string;
  /** Seconds between refreshes of a range that ends now, "0" for none. */
  refresh: string;
  /** A file that was opened here in place of the server's data: its number in this tab, "" for none. */
  file: string;

  /** The label that the timeline and the view "top" are by. */
  by: string;

  view: View;
  /** Labels whose values are the first levels, with commas between them. */
  group: string;
  /** What a level of a stack is. */
  level: Level;
  /** What is done to the stacks, in order; see model/transform.ts. */
  t: string[];
  search: string;
  /** "1": callers below callees, the leaves first. */
  invert: string;
  /** "1": the root at the bottom. */
  up: string;
  /** What colours mean: "kind", "binary", "package" or "value". */
  colour: string;
  /** Names from the root to the frame that is zoomed into. */
  zoom: string[];
  /** The part of that frame that a flame graph shows, where it is not all of it: "0.25,0.5". */
  part: string;
  /** The function that sandwich, source and the panel at the side are about. */
  fn: string;
  /** The column that a table is sorted by, with a "-" for descending. */
  sort: string;

  /** What is compared with: base range and base selector, "" for those of the selection; a file. */
  bfrom: string;
  bto: string;
  bquery: string;
  bfile: string;
  /** "1": the base is scaled to the same total. */
  norm: string;

  /** What the comparison shows: "" a table beside a flame graph, "flame", "table", or "sides" for two flame graphs. */
  dview: string;
  /** What the rows of the heatmap are: "" the time within a column, "value" the value of a sample. */
  heat: string;
  /** The label that tracks are told apart by, and the track whose stacks are shown: what tells it apart, with tabs between. */
  trackby: string;
  track: string;

  /** What a page filters its rows by, and which rows are opened, by ID. */
  find: string;
  open: string[];

  /** Most nodes that the server is asked for, "" for as many as do well on a screen. */
  nodes: string;

  /** "0": tables show what a search does not match, too, dimmed. */
  only: string;
}

export const defaults: State = {
  page: "explore",
  project: "",
  type: "on_cpu",
  from: "now-15m",
  to: "now",
  query: "",
  refresh: "5",
  file: "",
  by: "service",
  view: "flame",
  group: "",
  level: "function",
  t: [],
  search: "",
  invert: "",
  up: "",
  colour: "kind",
  zoom: [],
  part: "",
  fn: "",
  sort: "",
  bfrom: "",
  bto: "",
  bquery: "",
  bfile: "",
  norm: "",
  dview: "",
  heat: "",
  trackby: "tid",
  track: "",
  find: "",
  open: [],
  nodes: "",
  only: "",
};

/** What a sort is of: columns of one table mean nothing, or something else, in another. */
const sortedBy = (s: State): string => (s.page !== "explore" ? s.page : s.view === "diff" || s.view === "top" ? s.view : "functions");

/** The state after a change. A sort stays with its table. */
export function changed(s: State, fields: Partial<State>): State {
  const next = { ...s, ...fields };
  if (next.sort === s.sort && sortedBy(next) !== sortedBy(s)) next.sort = "";
  return next;
}

/** Changes some fields; replace: without a new entry in the browser's history. */
export type Change = (change: Partial<State>, replace?: boolean) => void;

const choices: Partial<Record<keyof State, readonly string[]>> = { page: pages, view: views, level: levels };

export function parseState(search: string): State {
  const p = new URLSearchParams(search);
  const s: State = structuredClone(defaults);
  for (const key of Object.keys(defaults) as (keyof State)[]) {
    if (!p.has(key)) continue;
    const value = Array.isArray(defaults[key]) ? p.getAll(key) : p.get(key)!;
    const allowed = choices[key];
    if (!allowed || allowed.includes(value as string)) (s as unknown as Record<string, unknown>)[key] = value;
  }
  return s;
}

export function formatState(s: State): string {
  const p = new URLSearchParams();
  for (const key of Object.keys(defaults) as (keyof State)[]) {
    const value = s[key];
    if (Array.isArray(value)) for (const v of value) p.append(key, v);
    else if (value !== defaults[key]) p.set(key, value);
  }
  const text = p.toString();
  return text ? `?${text}` : location.pathname;
}

/** True when the range ends now and so moves on by itself. */
export const isLive = (s: Pick<State, "to" | "file">) => s.to === "now" && !s.file;
