// SPDX-License-Identifier: Apache-2.0
// Selectors, {service="shop",comm=~"worker-.*"}: reads them as the server does, and changes
// single conditions while the others stay as they were typed. docs/api.md has the syntax.

export const operators = ["=", "!=", "=~", "!~"] as const;
export type Operator = (typeof operators)[number];

/** A condition on one label. */
export interface Matcher {
  label: string;
  op: Operator;
  value: string;
}

/** A condition and where it stands in the text. */
export interface PlacedMatcher extends Matcher {
  start: number;
  /** One behind its last character. */
  end: number;
}

export interface Selector {
  /** Those up to the mistake, when there is one. */
  matchers: PlacedMatcher[];
  /** null: the text is a selector. The position is in characters. */
  error: { position: number; message: string } | null;
}

class Mistake extends Error {
  constructor(
    readonly position: number,
    message: string,
  ) {
    super(message);
  }
}

const nameCharacter = /[a-zA-Z0-9_./-]/;
const plainName = /^[a-zA-Z0-9_./-]+$/;
const space = /[ \t\n\r]/;
const simpleEscapes: Record<string, string> = { a: "\x07", b: "\b", f: "\f", n: "\n", r: "\r", t: "\t", v: "\v", "\\": "\\" };

class Reader {
  at = 0;
  constructor(readonly text: string) {}

  get end() {
    return this.at >= this.text.length;
  }
  skipSpace() {
    while (!this.end && space.test(this.text[this.at]!)) this.at++;
  }
  accept(token: string): boolean {
    if (!this.text.startsWith(token, this.at)) return false;
    this.at += token.length;
    return true;
  }
  expected(what: string): Mistake {
    const found = this.end ? "the end" : `“${String.fromCodePoint(this.text.codePointAt(this.at)!)}”`;
    return new Mistake(this.at, `found ${found}: expected ${what}`);
  }
  name(): string {
    if (!this.end && `"'\``.includes(this.text[this.at]!)) return this.quoted("a label");
    const start = this.at;
    while (!this.end && nameCharacter.test(this.text[this.at]!)) this.at++;
    if (start === this.at) throw this.expected("a label");
    return this.text.slice(start, this.at);
  }
  operator(): Operator {
    for (const op of ["=~", "!~", "!=", "="] as const) if (this.accept(op)) return op;
    throw this.expected("=, !=, =~ or !~");
  }
  quoted(what: string): string {
    const start = this.at;
    const mark = this.text[this.at] ?? "";
    if (!mark || !`"'\``.includes(mark)) throw this.expected(what);
    this.at++;
    let value = "";
    let bytes: number[] = []; // of escapes that stand for one byte each
    const flush = () => {
      if (bytes.length) value += new TextDecoder().decode(Uint8Array.from(bytes));
      bytes = [];
    };
    while (!this.end) {
      const c = this.text[this.at]!;
      if (c === mark) {
        this.at++;
        flush();
        return value;
      }
      if (c !== "\\" || mark === "`") {
        flush();
        value += c;
        this.at++;
        continue;
      }
      const rest = this.text.slice(this.at + 1, this.at + 10);
      const byte = /^(?:x([0-9a-fA-F]{2})|([0-3][0-7]{2}))/.exec(rest);
      const rune = /^(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8}))/.exec(rest);
      const code = rune ? parseInt(rune[1] ?? rune[2]!, 16) : 0;
      if (byte) {
        bytes.push(byte[1] ? parseInt(byte[1], 16) : parseInt(byte[2]!, 8));
        this.at += 1 + byte[0].length;
      } else if (rune && code <= 0x10ffff && !(code >= 0xd800 && code < 0xe000)) {
        flush();
        value += String.fromCodePoint(code);
        this.at += 1 + rune[0].length;
      } else if (rest[0] === mark || simpleEscapes[rest[0] ?? ""]) {
        flush();
        value += rest[0] === mark ? mark : simpleEscapes[rest[0]!]!;
        this.at += 2;
      } else {
        throw new Mistake(this.at, 'unknown escape: expected one such as \\\\, \\" or \\n; regular expressions need \\\\ for each \\');
      }
    }
    throw new Mistake(start, `quote without an end: expected another ${mark}`);
  }
}

/** Reads a selector; "" and {} select everything. */
export function parseSelector(text: string): Selector {
  const r = new Reader(text);
  const matchers: PlacedMatcher[] = [];
  try {
    r.skipSpace();
    if (r.end) return { matchers, error: null };
    if (!r.accept("{")) throw r.expected("{");
    for (;;) {
      r.skipSpace();
      if (r.accept("}")) break;
      const start = r.at;
      const label = r.name();
      if (label === "") throw new Mistake(start, "empty label");
      r.skipSpace();
      const op = r.operator();
      r.skipSpace();
      const value = r.quoted("a value in quotes");
      matchers.push({ label, op, value, start, end: r.at });
      r.skipSpace();
      if (r.accept("}")) break;
      if (!r.accept(",")) throw r.expected(", or }");
    }
    r.skipSpace();
    if (!r.end) throw r.expected("the end");
    return { matchers, error: null };
  } catch (e) {
    if (!(e instanceof Mistake)) throw e;
    return { matchers, error: { position: e.position, message: e.message } };
  }
}

/** A text in the quotes that a selector needs: a "b" -> "a \"b\"". */
export function quote(text: string): string {
  const escaped = text.replace(/[\\"\x00-\x1f\x7f]/g, (c) => {
    if (c === "\\" || c === '"') return `\\${c}`;
    if (c === "\n") return "\\n";
    if (c === "\t") return "\\t";
    return `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
  return `"${escaped}"`;
}

/** A label as it stands in a selector: in quotes where it must be. */
export const quoteLabel = (label: string) => (plainName.test(label) ? label : quote(label));

/** A regular expression for a text as it is. */
export const quoteRegexp = (text: string) => text.replace(/[\\.+*?()|[\]{}^$]/g, "\\$&");

export const formatMatcher = (m: Matcher) => `${quoteLabel(m.label)}${m.op}${quote(m.value)}`;

/** The selector of conditions, "" when there are none. */
export const formatSelector = (matchers: readonly Matcher[]) => join(matchers.map(formatMatcher));

const join = (texts: readonly string[]) => (texts.length ? `{${texts.join(",")}}` : "");

/** The conditions that stay, as they were typed, and new ones. */
function rebuild(query: string, keep: (m: PlacedMatcher) => boolean, added: readonly Matcher[]): string {
  const kept = parseSelector(query).matchers.filter(keep);
  return join([...kept.map((m) => query.slice(m.start, m.end)), ...added.map(formatMatcher)]);
}

const positive = (op: Operator) => op === "=" || op === "=~";
const same = (a: Matcher, b: Matcher) => a.label === b.label && a.op === b.op && a.value === b.value;

/**
 * The selector with one more condition. `=` and `=~` take the place of those that the label
 * has, as nobody wants two services at once; `!=` and `!~` come beside others, and in the place
 * of their opposite. What follows a mistake in the text is dropped.
 */
export function addMatcher(query: string, label: string, op: Operator, value: string): string {
  const m = { label, op, value };
  const goes = (old: Matcher) =>
    same(old, m) || (old.label === label && (positive(op) ? positive(old.op) || old.value === value : positive(old.op) && old.value === value));
  const matchers = parseSelector(query).matchers;
  if (matchers.some((old) => same(old, m)) && !matchers.some((old) => goes(old) && !same(old, m))) return query;
  return rebuild(query, (old) => !goes(old), [m]);
}

/** The selector without a condition, or without all of a label where only that is given. */
export function removeMatcher(query: string, label: string, op?: Operator, value?: string): string {
  const goes = (m: Matcher) => m.label === label && (op === undefined || m.op === op) && (value === undefined || m.value === value);
  return rebuild(query, (m) => !goes(m), []);
}

/** The values that a regular expression lists, null when it does more than that. */
export function alternatives(expression: string): string[] | null {
  const values: string[] = [];
  let value = "";
  for (let i = 0; i < expression.length; i++) {
    const c = expression[i]!;
    if (c === "|") {
      values.push(value);
      value = "";
    } else if (c === "\\") {
      const next = expression[++i] ?? "";
      if (!/[^a-zA-Z0-9]/.test(next)) return null; // a class such as \d
      value += next;
    } else if (/[.+*?()[\]{}^$]/.test(c)) {
      return null;
    } else {
      value += c;
    }
  }
  return [...values, value];
}

/**
 * The values that a label must have one of by the selector, or none of with not; empty when
 * it may have any or a pattern decides.
 */
export function chosenValues(query: string, label: string, not = false): string[] {
  return parseSelector(query)
    .matchers.filter((m) => m.label === label && positive(m.op) !== not)
    .flatMap((m) => (m.op === "=" || m.op === "!=" ? [m.value] : (alternatives(m.value) ?? [])));
}

/** The selector with a label that must have one of the values, or none of them with not; any when there are none. */
export function chooseValues(query: string, label: string, values: readonly string[], not = false): string {
  const one = not ? "!=" : "=";
  const many = not ? "!~" : "=~";
  const added: Matcher[] =
    values.length === 0
      ? []
      : values.length === 1
        ? [{ label, op: one, value: values[0]! }]
        : [{ label, op: many, value: values.map(quoteRegexp).join("|") }];
  return rebuild(query, (m) => m.label !== label || positive(m.op) === not, added);
}

/** The selector without conditions on a label, to ask what values it could have. */
export const withoutLabel = (query: string, label: string) => removeMatcher(query, label);

/** Where a byte of the text's UTF-8 stands in characters; errors of the server count bytes. */
export function characterAt(text: string, byte: number): number {
  let bytes = 0;
  let at = 0;
  for (const c of text) {
    if (bytes >= byte) break;
    const code = c.codePointAt(0)!;
    bytes += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    at += c.length;
  }
  return at;
}
