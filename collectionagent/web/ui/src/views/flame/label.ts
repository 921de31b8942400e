// SPDX-License-Identifier: Apache-2.0
// The text in a frame: the whole name, without what is in front of it when that does not fit,
// or its beginning. What was worked out once is kept, so that drawing makes no strings.

/** A name without the path of its package and without its arguments: "a/b/c.(*T).f" -> "c.(*T).f", "f(int)" -> "f". */
export function short(name: string): string {
  let s = name;
  if (s.endsWith(")") || s.endsWith(") const")) {
    // The arguments, not the receiver "(*T)" of a method or the call operator "()".
    let depth = 0;
    for (let i = s.lastIndexOf(")"); i > 0; i--) {
      if (s[i] === ")") depth++;
      else if (s[i] === "(" && --depth === 0) {
        if (!s.slice(0, i).endsWith("operator") && s[i - 1] !== "." && s[i - 1] !== ":" && s[i - 1] !== " ") s = s.slice(0, i);
        break;
      }
    }
  }
  const generic = s.search(/[<[({]/);
  const slash = (generic < 0 ? s : s.slice(0, generic)).lastIndexOf("/");
  return slash > 0 && slash < s.length - 1 ? s.slice(slash + 1) : s;
}

/** Fits names into frames, for one font. width measures a text in pixels. */
export class Labels {
  private readonly cut = new Map<number, string>();
  private readonly chars = new Map<string, number>();

  constructor(
    private readonly names: readonly string[],
    private readonly width: (text: string) => number,
  ) {}

  private char(c: string): number {
    let w = this.chars.get(c);
    if (w === undefined) this.chars.set(c, (w = this.width(c)));
    return w;
  }

  /** As much of a text as fits, with "…" where it is cut. */
  private fitText(text: string, pixels: number): string {
    let used = 0;
    let keep = 0; // what fits in front of an "…"
    const dots = this.char("…");
    for (let i = 0; i < text.length; i++) {
      used += this.char(text[i]!);
      if (used > pixels) return keep > 1 ? `${text.slice(0, keep)}…` : "";
      if (used + dots <= pixels) keep = i + 1;
    }
    return text;
  }

  /** The text for a frame's number and a width in pixels, "" when nothing of use fits. */
  fit(frame: number, pixels: number): string {
    // To four pixels: so close that nobody sees it, and few enough to be kept.
    const quarter = Math.min(pixels >> 2, 1023);
    const key = frame * 1024 + quarter;
    let text = this.cut.get(key);
    if (text === undefined) {
      const name = this.names[frame] ?? "";
      const room = quarter === 1023 ? pixels : quarter * 4;
      text = this.fitText(name, room);
      if (text !== name) {
        const brief = short(name);
        if (brief !== name) text = this.fitText(brief, room);
      }
      if (this.cut.size > 100_000) this.cut.clear();
      this.cut.set(key, text);
    }
    return text;
  }
}
