// SPDX-License-Identifier: Apache-2.0
// Colours by kind of frame. A hue stands for a kind; the lightness varies with
// the name, so that neighbours can be told apart and a function keeps its shade.

const hues: Record<string, [hue: number, saturation: number]> = {
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
};

export interface Theme {
  dark: boolean;
  text: string;
  faded: string;
  background: string;
  match: string;
  outline: string;
}

const cache = new Map<string, string>();

function hash(s: string): number {
  let h = 2166136261;
  for (let i = 0; i < s.length; i++) h = Math.imul(h ^ s.charCodeAt(i), 16777619);
  return (h >>> 0) / 4294967296;
}

export function base(kind: string): [number, number] {
  return hues[kind.replace(/-error$/, "")] ?? hues.native!;
}

export function fill(kind: string, name: string, dark: boolean): string {
  const key = `${dark ? "d" : "l"}${kind}\0${name}`;
  let c = cache.get(key);
  if (!c) {
    const [hue, saturation] = base(kind);
    const v = hash(name);
    const lightness = dark ? 34 + 12 * v : 66 + 14 * v;
    c = `hsl(${Math.round(hue + (v - 0.5) * 12)} ${saturation}% ${lightness.toFixed(1)}%)`;
    if (cache.size > 50000) cache.clear();
    cache.set(key, c);
  }
  return c;
}

/** Colours of the series of the timeline, told apart also by colour-blind readers. */
export const series = ["#4263eb", "#f08c00", "#2b8a3e", "#c2255c", "#0c8599", "#862e9c", "#5c940d", "#e8590c"];
export const otherSeries = "#868e96";
