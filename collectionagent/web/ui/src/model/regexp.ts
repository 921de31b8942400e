// SPDX-License-Identifier: Apache-2.0
// Regular expressions that people type, and that links bring along. Those of the browser try
// one way after another and can need longer than anybody lives, /(a+)+$/ on forty letters; nothing can stop
// them. Here all ways are followed at once, so that the time grows with the text alone. What that
// cannot do, back-references and look-around, is refused, as the server refuses it in selectors.

import { quoteRegexp } from "./selector";

/** What searches need of an expression; those of the browser have it, too. Case never matters. */
export interface Expression {
  test(text: string): boolean;
  /** The first part that matches, the longest of those that begin there. */
  exec(text: string): { index: number; 0: string } | null;
}

/** Most steps of an expression after {n,m} are written out: the time for one character grows with them. */
const mostSteps = 500;
/** Most sets of steps that are remembered. */
const mostStates = 2000;
/** How much of a text exec looks at; it is for what is on the screen. */
const mostMarked = 1000;

/** Pairs of first and last code units. */
type Ranges = number[];
interface Chars {
  ranges: Ranges;
  not: boolean;
}
type Assertion = "start" | "end" | "boundary" | "inside";
type Node =
  | { is: "chars"; chars: Chars }
  | { is: "assert"; what: Assertion }
  | { is: "all"; of: Node[] }
  | { is: "any"; of: Node[] }
  | { is: "repeat"; of: Node; min: number; max: number };

const digits: Ranges = [48, 57];
const words: Ranges = [48, 57, 65, 90, 95, 95, 97, 122];
const spaces: Ranges = [9, 13, 32, 32, 160, 160, 0x1680, 0x1680, 0x2000, 0x200a, 0x2028, 0x2029, 0x202f, 0x202f, 0x205f, 0x205f, 0x3000, 0x3000, 0xfeff, 0xfeff];
const lineEnds: Ranges = [10, 10, 13, 13, 0x2028, 0x2029];
const controls = new Map([["n", 10], ["r", 13], ["t", 9], ["v", 11], ["f", 12], ["0", 0]]);

function inverse(r: Ranges): Ranges {
  const out: Ranges = [];
  let from = 0;
  for (let i = 0; i < r.length; i += 2) {
    if (r[i]! > from) out.push(from, r[i]! - 1);
    from = r[i + 1]! + 1;
  }
  if (from <= 0xffff) out.push(from, 0xffff);
  return out;
}

const sets = new Map<string, Ranges>([["d", digits], ["D", inverse(digits)], ["w", words], ["W", inverse(words)], ["s", spaces], ["S", inverse(spaces)]]);
const isWord = (c: number) => c < 128 && ((c >= 97 && c <= 122) || (c >= 65 && c <= 90) || (c >= 48 && c <= 57) || c === 95);

function has({ ranges, not }: Chars, c: number): boolean {
  const s = String.fromCharCode(c);
  const lower = s.toLowerCase();
  const upper = s.toUpperCase();
  const one = (v: number) => {
    for (let i = 0; i < ranges.length; i += 2) if (v >= ranges[i]! && v <= ranges[i + 1]!) return true;
    return false;
  };
  return (one(c) || (lower.length === 1 && one(lower.charCodeAt(0))) || (upper.length === 1 && one(upper.charCodeAt(0)))) !== not;
}

/** Reads an expression that the browser has found to be one. */
class Parser {
  private at = 0;
  private depth = 0;
  constructor(private readonly s: string) {}

  whole(): Node {
    return this.any();
  }

  private any(): Node {
    if (++this.depth > 200) throw new SyntaxError("its groups nest too deep");
    const of = [this.all()];
    while (this.s[this.at] === "|") {
      this.at++;
      of.push(this.all());
    }
    this.depth--;
    return of.length === 1 ? of[0]! : { is: "any", of };
  }

  private all(): Node {
    const of: Node[] = [];
    while (this.at < this.s.length && this.s[this.at] !== "|" && this.s[this.at] !== ")") of.push(this.repeated(this.atom()));
    return of.length === 1 ? of[0]! : { is: "all", of };
  }

  private repeated(of: Node): Node {
    const m = /^(?:([*+?])|\{(\d+)(?:(,)(\d*))?\})\??/.exec(this.s.slice(this.at, this.at + 40));
    if (!m) return of;
    this.at += m[0].length;
    const min = m[1] ? (m[1] === "+" ? 1 : 0) : Number(m[2]);
    const max = m[1] ? (m[1] === "?" ? 1 : Infinity) : m[3] ? (m[4] ? Number(m[4]) : Infinity) : min;
    return { is: "repeat", of, min, max };
  }

  private atom(): Node {
    const c = this.s[this.at++]!;
    switch (c) {
      case "^":
        return { is: "assert", what: "start" };
      case "$":
        return { is: "assert", what: "end" };
      case ".":
        return { is: "chars", chars: { ranges: lineEnds, not: true } };
      case "(": {
        const kind = /^\?(?::|<[^=!>][^>]*>)/.exec(this.s.slice(this.at));
        if (!kind && this.s[this.at] === "?") throw new SyntaxError("look-around, (?=…), (?!…) and (?<…), cannot be used here");
        this.at += kind?.[0].length ?? 0;
        const inside = this.any();
        this.at++; // the parenthesis
        return inside;
      }
      case "[":
        return { is: "chars", chars: this.list() };
      case "\\": {
        const next = this.s[this.at]!;
        if (next === "b" || next === "B") {
          this.at++;
          return { is: "assert", what: next === "b" ? "boundary" : "inside" };
        }
        if (/[1-9]/.test(next) || (next === "k" && this.s[this.at + 1] === "<")) throw new SyntaxError(`back-references, \\${next}, cannot be used here`);
        return { is: "chars", chars: { ranges: this.escape(), not: false } };
      }
      default:
        return { is: "chars", chars: { ranges: [c.charCodeAt(0), c.charCodeAt(0)], not: false } };
    }
  }

  /** What stands behind a backslash. */
  private escape(): Ranges {
    const rest = this.s.slice(this.at, this.at + 5);
    const code = /^(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4}))/.exec(rest);
    if (code) {
      this.at += code[0].length;
      const c = Number.parseInt(code[1] ?? code[2]!, 16);
      return [c, c];
    }
    this.at++;
    const set = sets.get(rest[0]!);
    if (set) return set;
    if (rest[0] === "c" && /[a-zA-Z]/.test(rest[1] ?? "")) {
      this.at++;
      return [rest.charCodeAt(1) % 32, rest.charCodeAt(1) % 32];
    }
    const c = controls.get(rest[0]!) ?? rest.charCodeAt(0);
    return [c, c];
  }

  /** What stands between brackets. */
  private list(): Chars {
    const not = this.s[this.at] === "^";
    if (not) this.at++;
    const ranges: Ranges = [];
    const one = (): Ranges => {
      const c = this.s[this.at++]!;
      if (c !== "\\") return [c.charCodeAt(0), c.charCodeAt(0)];
      if (this.s[this.at] !== "b") return this.escape();
      this.at++;
      return [8, 8];
    };
    while (this.at < this.s.length && this.s[this.at] !== "]") {
      const from = one();
      if (this.s[this.at] === "-" && this.s[this.at + 1] !== "]" && from.length === 2 && from[0] === from[1]) {
        this.at++;
        const to = one();
        if (to.length === 2 && to[0] === to[1]) ranges.push(from[0]!, to[1]!);
        else ranges.push(...from, 45, 45, ...to);
      } else ranges.push(...from);
    }
    this.at++;
    return { ranges, not };
  }
}

type Step = { do: "chars"; chars: Chars } | { do: "assert"; what: Assertion } | { do: "split"; to: number[] } | { do: "match" };

function compile(root: Node): Step[] {
  const steps: Step[] = [];
  let made = 0;
  const put = (s: Step) => {
    steps.push(s);
    return steps.length - 1;
  };
  const emit = (n: Node): void => {
    // Also what makes no step counts: (?:){999999999} is to be refused as well.
    if (++made > 4 * mostSteps || steps.length > mostSteps) throw new SyntaxError("it is too long, with all its repetitions written out");
    if (n.is === "chars") put({ do: "chars", chars: n.chars });
    else if (n.is === "assert") put({ do: "assert", what: n.what });
    else if (n.is === "all") n.of.forEach(emit);
    else if (n.is === "any") {
      const split: number[] = [];
      put({ do: "split", to: split });
      const ends: number[][] = [];
      for (const one of n.of) {
        split.push(steps.length);
        emit(one);
        const end: number[] = [];
        put({ do: "split", to: end });
        ends.push(end);
      }
      for (const end of ends) end.push(steps.length);
    } else {
      for (let i = 0; i < n.min; i++) emit(n.of);
      if (n.max === Infinity) {
        const begin: number[] = [];
        const at = put({ do: "split", to: begin });
        begin.push(steps.length);
        emit(n.of);
        put({ do: "split", to: [at] });
        begin.push(steps.length);
      } else {
        const skips: number[][] = [];
        for (let i = n.min; i < n.max; i++) {
          const skip = [steps.length + 1];
          put({ do: "split", to: skip });
          skips.push(skip);
          emit(n.of);
        }
        for (const skip of skips) skip.push(steps.length);
      }
    }
  };
  emit(root);
  put({ do: "match" });
  return steps;
}

const unknown = -1;
const matched = -2;
const dead = -3;
/** What stands before a character: nothing, a letter of a word, or another one. */
type Before = 0 | 1 | 2;

/** Where all ways stand after the same text, and where they go from there, as far as that is known. */
interface State {
  steps: number[];
  before: Before;
  ascii: Int32Array;
  others: Map<number, number>;
  /** Whether it matches when the text ends here. */
  atEnd: boolean | null;
}

/** Follows all ways of an expression through a text. Where it has come to is a number of a state. */
class Machine {
  private states: State[] = [];
  private numbers = new Map<string, number>();
  private seen: Uint32Array;
  private turn = 0;

  /** anywhere: a match may begin at each character, not only at the first one. */
  constructor(
    private readonly steps: Step[],
    private readonly anywhere: boolean,
  ) {
    this.seen = new Uint32Array(steps.length);
  }

  state(steps: number[], before: Before): number {
    const key = `${before}:${steps.join()}`;
    let n = this.numbers.get(key);
    if (n === undefined) {
      n = this.states.length;
      this.numbers.set(key, n);
      this.states.push({ steps, before, ascii: new Int32Array(128).fill(unknown), others: new Map(), atEnd: null });
    }
    return n;
  }

  /** Forgets what it has learned when that is too much; only between two texts, as numbers change. */
  tidy(): void {
    if (this.states.length <= mostStates) return;
    this.states = [];
    this.numbers.clear();
  }

  /** The steps that can be at the next character, or -1 for the end; null when the expression has matched. */
  private reach(s: State, next: number): number[] | null {
    this.turn++;
    const out: number[] = [];
    const todo = s.steps.slice();
    if (this.anywhere) todo.push(0);
    const boundary = (s.before === 1) !== (next >= 0 && isWord(next));
    while (todo.length) {
      const at = todo.pop()!;
      if (this.seen[at] === this.turn) continue;
      this.seen[at] = this.turn;
      const step = this.steps[at]!;
      if (step.do === "match") return null;
      if (step.do === "chars") out.push(at);
      else if (step.do === "split") todo.push(...step.to);
      else if (step.what === "start" ? s.before === 0 : step.what === "end" ? next < 0 : boundary === (step.what === "boundary")) todo.push(at + 1);
    }
    return out;
  }

  /** The state behind a character, matched or dead. */
  after(state: number, c: number): number {
    const s = this.states[state]!;
    const known = c < 128 ? s.ascii[c]! : (s.others.get(c) ?? unknown);
    if (known !== unknown) return known;
    const reached = this.reach(s, c);
    let next = matched;
    if (reached) {
      const steps = reached.filter((at) => has((this.steps[at] as { chars: Chars }).chars, c)).map((at) => at + 1);
      steps.sort((a, b) => a - b);
      next = steps.length || this.anywhere ? this.state(steps, isWord(c) ? 1 : 2) : dead;
    }
    if (c < 128) s.ascii[c] = next;
    else if (s.others.size < 1000) s.others.set(c, next);
    return next;
  }

  atEnd(state: number): boolean {
    const s = this.states[state]!;
    return (s.atEnd ??= this.reach(s, -1) === null);
  }

  /** Whether it matches right before a character, or the end as -1. */
  matches(state: number, next: number): boolean {
    return next < 0 ? this.atEnd(state) : this.reach(this.states[state]!, next) === null;
  }

  /** The steps that go on behind a character, also where it has matched already. */
  onward(state: number, c: number): number {
    const s = this.states[state]!;
    this.turn++;
    const todo = s.steps.slice();
    const steps: number[] = [];
    const boundary = (s.before === 1) !== isWord(c);
    while (todo.length) {
      const at = todo.pop()!;
      if (this.seen[at] === this.turn) continue;
      this.seen[at] = this.turn;
      const step = this.steps[at]!;
      if (step.do === "split") todo.push(...step.to);
      else if (step.do === "chars") {
        if (has(step.chars, c)) steps.push(at + 1);
      } else if (step.do === "assert" && (step.what === "start" ? s.before === 0 : step.what !== "end" && boundary === (step.what === "boundary"))) todo.push(at + 1);
    }
    return steps.length ? this.state(steps.sort((a, b) => a - b), isWord(c) ? 1 : 2) : dead;
  }
}

class Compiled implements Expression {
  private readonly search: Machine;
  private readonly anchored: Machine;

  constructor(steps: Step[]) {
    this.search = new Machine(steps, true);
    this.anchored = new Machine(steps, false);
  }

  test(text: string): boolean {
    this.search.tidy();
    let state = this.search.state([], 0);
    for (let i = 0; i < text.length; i++) {
      state = this.search.after(state, text.charCodeAt(i));
      if (state === matched) return true;
    }
    return this.search.atEnd(state);
  }

  exec(text: string): { index: number; 0: string } | null {
    if (!this.test(text)) return null;
    const code = (i: number) => (i < text.length ? text.charCodeAt(i) : -1);
    const stop = Math.min(text.length, mostMarked);
    for (let from = 0; from <= stop; from++) {
      this.anchored.tidy();
      let state = this.anchored.state([0], from === 0 ? 0 : isWord(text.charCodeAt(from - 1)) ? 1 : 2);
      let end = -1;
      for (let i = from; ; i++) {
        if (this.anchored.matches(state, code(i))) end = i;
        if (i >= stop) break;
        state = this.anchored.onward(state, text.charCodeAt(i));
        if (state === dead) break;
      }
      if (end >= 0) return { index: from, 0: text.slice(from, end) };
    }
    return null;
  }
}

/** Makes an expression of its source, without the slashes. Throws a SyntaxError that says what is wrong with it. */
export function expression(source: string): Expression {
  if (source.length > 2000) throw new SyntaxError("it is too long");
  new RegExp(source, "i"); // says what is wrong in the words that people know
  return new Compiled(compile(new Parser(source).whole()));
}

/** An expression for a text as it is. */
export function plain(text: string): Expression {
  return new RegExp(quoteRegexp(text), "i");
}
