// SPDX-License-Identifier: Apache-2.0
// What can stand at the cursor of a selector that is being typed.

import { operators, parseSelector, quote, quoteLabel, type Operator } from "./selector";

export interface Place {
  what: "label" | "operator" | "value" | "end" | "none";
  /** The label that an operator or a value belongs to. */
  label: string;
  op: Operator | "";
  /** What is typed of it already, without quotes. */
  typed: string;
  /** The part of the text that a choice takes the place of. */
  from: number;
  to: number;
}

const nameCharacter = /[a-zA-Z0-9_./-]/;

/**
 * Says what the text expects at the cursor. It is forgiving: what stands before may be
 * half a selector, and one without its opening brace counts as one that has it.
 */
export function placeAt(text: string, cursor: number): Place {
  let at = 0;
  let label = "";
  let op: Operator | "" = "";
  const skip = () => {
    while (at < cursor && /\s/.test(text[at]!)) at++;
  };
  const place = (what: Place["what"], from: number, typed: string, to = cursor): Place => ({ what, label, op, typed, from, to });
  const none: Place = { what: "none", label: "", op: "", typed: "", from: cursor, to: cursor };
  skip();
  if (at < cursor && text[at] === "{") at++;
  for (;;) {
    label = op = "";
    skip();
    if (text[at] === "}" && at < cursor) return none;
    // The label.
    const nameStart = at;
    if (at < cursor && `"'\``.includes(text[at]!)) {
      const name = quoted(text, at, cursor);
      if (!name.closed) return place("label", nameStart, name.value, wordEnd(text, cursor));
      label = name.value;
      at = name.end;
    } else {
      while (at < cursor && nameCharacter.test(text[at]!)) at++;
      if (at >= cursor) return place("label", nameStart, text.slice(nameStart, cursor), wordEnd(text, cursor));
      if (at === nameStart) return none;
      label = text.slice(nameStart, at);
    }
    // The operator.
    skip();
    const opStart = at;
    while (at < cursor && at - opStart < 2 && /[=!~]/.test(text[at]!)) at++;
    const sign = text.slice(opStart, at);
    if (!(operators as readonly string[]).includes(sign)) {
      return at >= cursor ? place("operator", opStart, sign) : none;
    }
    op = sign as Operator;
    skip();
    // The value.
    const valueStart = at;
    if (at >= cursor) {
      const to = `"'\``.includes(text[cursor] ?? " ") ? quoted(text, cursor, text.length).end : cursor;
      return place("value", valueStart, "", to);
    }
    if (!`"'\``.includes(text[at]!)) {
      while (at < cursor && !/[,}\s]/.test(text[at]!)) at++;
      if (at >= cursor) return place("value", valueStart, text.slice(valueStart, cursor)); // the quotes were left out
      return none;
    }
    const value = quoted(text, at, cursor);
    if (!value.closed) return place("value", valueStart, value.value, closing(text, valueStart, cursor));
    at = value.end;
    skip();
    if (at >= cursor) return place("end", cursor, "");
    if (text[at] !== ",") return none;
    at++;
  }
}

/** Reads a text in quotes that begins at a place, up to a limit. */
function quoted(text: string, start: number, limit: number): { value: string; end: number; closed: boolean } {
  const mark = text[start]!;
  let value = "";
  let at = start + 1;
  while (at < limit && text[at] !== mark) {
    if (text[at] === "\\" && mark !== "`" && at + 1 < limit) at++;
    value += text[at++];
  }
  return { value, end: Math.min(at + 1, limit), closed: at < limit };
}

const wordEnd = (text: string, from: number) => {
  let at = from;
  while (at < text.length && nameCharacter.test(text[at]!)) at++;
  return at;
};

/** Where the quotes end that the cursor is in; at the cursor when what follows looks like another condition. */
function closing(text: string, start: number, cursor: number): number {
  const all = quoted(text, start, text.length);
  return all.closed && !text.slice(cursor, all.end).includes(",") ? all.end : cursor;
}

/** The text after a choice, and where the cursor goes then. */
export function complete(text: string, place: Place, choice: string): { text: string; cursor: number } {
  let before = text.slice(0, place.from);
  const after = text.slice(place.to);
  if (!before.trimStart().startsWith("{")) before = `{${before.trimStart()}`;
  let middle = choice;
  if (place.what === "label") middle = quoteLabel(choice);
  if (place.what === "value") middle = quote(choice);
  const closed = after.trimStart() === "" && (place.what === "value" || choice === "}") ? (choice === "}" ? "" : "}") : "";
  // Behind a value the cursor stands before the brace, so that a comma goes on.
  return { text: before + middle + closed + after, cursor: before.length + middle.length };
}

/**
 * The text as a selector where only braces and quotes were left out, service=shop; otherwise
 * the text as it is.
 */
export function mended(text: string): string {
  const t = text.trim();
  if (t === "" || !parseSelector(t).error) return t;
  const inner = t.replace(/^\{/, "").replace(/\}$/, "");
  for (const tried of [`{${inner}}`, `{${inner.replace(/(=~|!~|!=|=)\s*([^\s"'`,{}=~!][^\s"'`,{}]*)(?=\s*(?:,|$))/g, (_, op: string, v: string) => op + quote(v))}}`, `{${inner}"}`]) {
    if (!parseSelector(tried).error) return tried;
  }
  return t;
}
