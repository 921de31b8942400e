// SPDX-License-Identifier: Apache-2.0
// What the page shows, kept in the URL so that a link shows the same.

import { defaultType } from "./types";

export type View = "flame" | "table" | "both";
export type Page = "profile" | "status";

export interface State {
  /** "" is the project of the login. */
  project: string;
  /** What is measured: on_cpu, inuse_space and so on. */
  type: string;
  from: string;
  to: string;
  service: string[];
  process: string[];
  comm: string[];
  /** A selector typed by hand; it replaces the pickers. */
  query: string;
  group: string;
  view: View;
  by: string;
  search: string;
  /** "interpreter" leaves the frames of interpreters' own code out. */
  fold: string;
  /** Names from the root to the frame that is zoomed into. */
  zoom: string[];
  /** The profile, or how hosts and delivery do. */
  page: Page;
  /** What hosts are looked for, and which are opened, by ID. */
  hosts: string;
  open: string[];
}

export const defaults: State = {
  project: "",
  type: defaultType,
  from: "now-15m",
  to: "now",
  service: [],
  process: [],
  comm: [],
  query: "",
  group: "",
  view: "flame",
  by: "service",
  search: "",
  fold: "",
  zoom: [],
  page: "profile",
  hosts: "",
  open: [],
};

const lists = ["service", "process", "comm", "zoom", "open"] as const;
const texts = ["project", "type", "from", "to", "query", "group", "view", "by", "search", "fold", "page", "hosts"] as const;

export function parseState(search: string): State {
  const p = new URLSearchParams(search);
  const s: State = structuredClone(defaults);
  for (const key of lists) if (p.has(key)) s[key] = p.getAll(key);
  for (const key of texts) {
    const v = p.get(key);
    if (v !== null) (s[key] as string) = v;
  }
  if (!["flame", "table", "both"].includes(s.view)) s.view = "flame";
  if (!["profile", "status"].includes(s.page)) s.page = "profile";
  return s;
}

export function formatState(s: State): string {
  const p = new URLSearchParams();
  for (const key of texts) if (s[key] !== defaults[key]) p.set(key, s[key]);
  for (const key of lists) for (const v of s[key]) p.append(key, v);
  const text = p.toString();
  return text ? `?${text}` : location.pathname;
}

const quote = (s: string) => `"${s.replace(/\\/g, "\\\\").replace(/"/g, '\\"').replace(/\n/g, "\\n")}"`;
const escapeRegexp = (s: string) => s.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

/** The selector for the server: typed by hand, or made from the pickers. */
export function selector(s: Pick<State, "query" | "service" | "process" | "comm">): string {
  if (s.query.trim()) return s.query.trim();
  const parts: string[] = [];
  for (const label of ["service", "process", "comm"] as const) {
    const v = s[label];
    if (v.length === 1) parts.push(`${label}=${quote(v[0]!)}`);
    else if (v.length > 1) parts.push(`${label}=~${quote(v.map(escapeRegexp).join("|"))}`);
  }
  return parts.length ? `{${parts.join(",")}}` : "";
}

/** True when the range ends now and so moves on by itself. */
export const isLive = (s: Pick<State, "to">) => s.to === "now";
