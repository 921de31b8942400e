// SPDX-License-Identifier: Apache-2.0
// Colours of frames: by kind, binary, package, value or change. A hue stands for what a
// frame belongs to; the lightness varies with the name, so that neighbours can be told apart and a function
// keeps its shade. Every colour bears the text of its theme with a contrast of 4.5 or more.

import { change } from "./diff";
import { packages } from "./package";
import type { Tree } from "./tree";

export const colourings = ["kind", "binary", "package", "value", "diff"] as const;
export type Colouring = (typeof colourings)[number];

export interface Theme {
  dark: boolean;
  text: string;
  faded: string;
  background: string;
  match: string;
  outline: string;
}

type HSL = [hue: number, saturation: number, lightness: number];

/** A Map, as kinds come from files: one may be called "constructor". */
const hues = new Map<string, [hue: number, saturation: number]>(Object.entries({
  label: [220, 12],
  kernel: [262, 42],
  native: [28, 78],
  interpreter: [28, 22],
  go: [190, 62],
  python: [48, 72],
  jvm: [140, 42],
  v8: [84, 48],
  ruby: [350, 60],
  php: [238, 45],
  phpjit: [238, 45],
  perl: [205, 55],
  dotnet: [290, 38],
  beam: [320, 45],
  luajit: [225, 60],
  error: [0, 72],
  other: [0, 0],
}));

/** The colours of text on frames; the themes of the page have the same. */
export const ink = { light: "#1c1d20", dark: "#f4f4f5" };
const leastContrast = 4.6; // 4.5 with room for what rounding takes

function rgb([h, s, l]: HSL): [number, number, number] {
  const a = (s / 100) * Math.min(l / 100, 1 - l / 100);
  const f = (n: number) => {
    const k = (n + h / 30) % 12;
    return Math.round(255 * (l / 100 - a * Math.max(-1, Math.min(k - 3, 9 - k, 1))));
  };
  return [f(0), f(8), f(4)];
}

const hex = (c: [number, number, number]) => `#${c.map((v) => v.toString(16).padStart(2, "0")).join("")}`;

/** How bright a colour "#rrggbb" is, 0 to 1, as contrast is measured. */
export function luminance(colour: string): number {
  const part = (at: number) => {
    const v = Number.parseInt(colour.slice(at, at + 2), 16) / 255;
    return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  };
  return 0.2126 * part(1) + 0.7152 * part(3) + 0.0722 * part(5);
}

/** Contrast of two colours "#rrggbb", 1 to 21. */
export function contrast(a: string, b: string): number {
  const [high, low] = [luminance(a), luminance(b)].sort((x, y) => y - x) as [number, number];
  return (high + 0.05) / (low + 0.05);
}

/** The colour, made darker or lighter until the text of the theme can be read on it. */
function readable(c: HSL, dark: boolean): string {
  const text = dark ? ink.dark : ink.light;
  let [h, s, l] = c;
  for (; l > 0 && l < 100; l += dark ? -1 : 1) {
    const out = hex(rgb([h, s, l]));
    if (contrast(out, text) >= leastContrast) return out;
  }
  return dark ? "#000000" : "#ffffff";
}

/** 0 to 1, the same for the same text everywhere and always. */
export function hash(s: string): number {
  let h = 2166136261;
  for (let i = 0; i < s.length; i++) h = Math.imul(h ^ s.charCodeAt(i), 16777619);
  h ^= h >>> 15;
  h = Math.imul(h, 0x2c1b3c6d);
  h ^= h >>> 12;
  return (h >>> 0) / 4294967296;
}

const cache = new Map<string, string>();

function cached(key: string, make: () => string): string {
  let c = cache.get(key);
  if (!c) {
    if (cache.size > 50_000) cache.clear();
    cache.set(key, (c = make()));
  }
  return c;
}

export function base(kind: string): [number, number] {
  return hues.get(kind) ?? hues.get(kind.replace(/-error$/, "")) ?? hues.get("native")!;
}

const shade = (hue: number, saturation: number, name: string, dark: boolean): string => {
  const v = hash(name);
  return readable([(hue + (v - 0.5) * 12 + 360) % 360, saturation, dark ? 30 + 12 * v : 68 + 14 * v], dark);
};

/** The colour of a function by the kind of its frame. */
export const fill = (kind: string, name: string, dark: boolean): string =>
  cached(`${dark ? "d" : "l"}${kind}\0${name}`, () => shade(...base(kind), name, dark));

/** The colour of a function that belongs to a group such as a binary; "" for none. */
function grouped(group: string, kind: string, name: string, dark: boolean): string {
  if (!group || kind === "label" || kind === "other" || kind === "error") return fill(kind === "label" || kind === "error" ? kind : "other", name, dark);
  return cached(`${dark ? "D" : "L"}${group}\0${name}`, () => {
    const v = hash(group);
    return shade(Math.floor(v * 24) * 15, 38 + 34 * ((v * 997) % 1), name, dark);
  });
}

/** From pale to strong with the share of the whole, 0 to 1. */
export function ofShare(share: number, dark: boolean): string {
  const v = Math.round(Math.sqrt(Math.min(Math.max(share, 0), 1)) * 40) / 40;
  return cached(`${dark ? "d" : "l"}\x01${v}`, () => readable([50 - 35 * v, dark ? 25 + 50 * v : 60 + 30 * v, dark ? 22 + 16 * v : 90 - 25 * v], dark));
}

/** From blue (less, -1) over grey (unchanged) to orange (more, 1): told apart by colour-blind readers, too. */
export function ofChange(by: number, dark: boolean): string {
  const v = Math.round(Math.min(Math.max(by, -1), 1) * 20) / 20;
  const strength = Math.abs(v) ** 0.7;
  return cached(`${dark ? "d" : "l"}\x02${v}`, () => readable([v < 0 ? 212 : 26, 6 + 80 * strength, dark ? 30 + 10 * strength : 86 - 18 * strength], dark));
}

/** What a frame belongs to under a colouring, "" for nothing. */
export function groupOf(tree: Tree, by: Colouring, frame: number): string {
  const f = tree.frames;
  if (by === "binary") return f.binary[frame] || (f.kind[frame] === "label" ? "" : `[${f.kind[frame]}]`);
  if (by === "package") return packages(f)[frame]!;
  return f.kind[frame]!;
}

/** The name of a colouring in the URL; what is not known is by kind. */
export const colouring = (text: string): Colouring => colourings.find((c) => c === text) ?? "kind";

/**
 * The colour of each node of a tree, "#rrggbb". Under "diff" a tree that is no comparison is coloured by kind. What is
 * asked for is kept, so that drawing costs no more than an index.
 */
export function painter(tree: Tree, by: Colouring, dark: boolean): (node: number) => string {
  const { frames } = tree;
  if (by === "diff" && tree.baseTotal) {
    const before = tree.baseTotal;
    return (n) => ofChange(change(tree.total[n]!, before[n]!), dark);
  }
  if (by === "value") {
    const whole = tree.width[0] || 1;
    return (n) => ofShare(tree.width[n]! / whole, dark);
  }
  const colours: string[] = new Array(frames.name.length);
  return (n) => {
    const i = tree.frame[n]!;
    return (colours[i] ??= by === "kind" || by === "diff" ? fill(frames.kind[i]!, frames.name[i]!, dark) : grouped(groupOf(tree, by, i), frames.kind[i]!, frames.name[i]!, dark));
  };
}

export interface LegendEntry {
  /** What frames belong to, as groupOf has it; the end of a scale under "value" and "diff". */
  group: string;
  colour: string;
  /** Own time of all its frames. */
  self: number;
}

/** What the colours of a tree mean, the largest own time first. Labels are left out. */
export function legend(tree: Tree, by: Colouring, dark: boolean): LegendEntry[] {
  if (by === "value") return [0, 0.1, 0.5, 1].map((v) => ({ group: `${v * 100} %`, colour: ofShare(v, dark), self: 0 }));
  if (by === "diff" && tree.baseTotal) {
    return ([["gone", -1], ["less", -0.5], ["same", 0], ["more", 0.5], ["new", 1]] as const).map(([group, v]) => ({ group, colour: ofChange(v, dark), self: 0 }));
  }
  const self = new Map<string, number>();
  const groups = tree.frames.name.map((_, i) => (tree.frames.kind[i] === "label" ? "" : groupOf(tree, by, i)));
  for (let n = 1; n < tree.size; n++) {
    const g = groups[tree.frame[n]!]!;
    if (g) self.set(g, (self.get(g) ?? 0) + tree.self[n]! + (tree.baseSelf?.[n] ?? 0));
  }
  return [...self]
    .sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1))
    .map(([group, v]) => ({ group, self: v, colour: by === "kind" || by === "diff" ? fill(group, "", dark) : grouped(group, "native", "", dark) }));
}

/** Colours of the series of the timeline, told apart also by colour-blind readers. */
export const series = ["#4263eb", "#f08c00", "#2b8a3e", "#c2255c", "#0c8599", "#862e9c", "#5c940d", "#e8590c"];
export const otherSeries = "#868e96";
