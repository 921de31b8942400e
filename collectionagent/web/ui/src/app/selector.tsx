// SPDX-License-Identifier: Apache-2.0
// The editor of the selector: its conditions as chips, and one line of text with completion
// while it has the focus.

import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import * as api from "../api/client";
import { complete, mended, placeAt, type Place } from "../model/complete";
import { characterAt, formatMatcher, operators, parseSelector, removeMatcher, withoutLabel } from "../model/selector";
import { count, percent } from "../ui/format";
import { useKeys } from "../ui/keys";
import { MatcherPicker } from "./matcherpicker";
import "./selector.css";

interface Props {
  query: string;
  /** What the values are of, without the selector. */
  params: api.Params;
  /** What the server says of the selector. */
  error: api.QueryError | null;
  onChange(query: string): void;
}

interface Choice {
  text: string;
  /** What it is, or how much there is of it. */
  note: string;
  place: Place;
}

const meanings = { "=": "is", "!=": "is not", "=~": "matches", "!~": "does not match" };
const most = 60;

export function Selector({ query, params, error, onChange }: Props) {
  const [draft, setDraft] = useState(query);
  const [cursor, setCursor] = useState(0);
  const [editing, setEditing] = useState(false);
  const [open, setOpen] = useState(false);
  const [at, setAt] = useState(0);
  /** Something was typed or pointed at: before that, Tab goes on to what is next on the page. */
  const [touched, setTouched] = useState(false);
  const [problem, setProblem] = useState<{ text: string; position: number; message: string } | null>(null);
  const [picking, setPicking] = useState<{ label: string; not: boolean } | null>(null);
  const input = useRef<HTMLInputElement>(null);
  // Before anybody can type: what is typed next must not be taken back.
  useLayoutEffect(() => {
    setDraft(query);
    setProblem(null);
  }, [query]);
  useKeys([{ key: "a", what: "Add or change a condition of the selector", group: "Selection", run: () => input.current!.focus() }]);

  const choices = useChoices(draft, cursor, params, editing && open);
  const shown = Math.min(at, choices.length - 1);
  const parsed = parseSelector(query);
  const chips = !editing && parsed.matchers.length > 0 && !parsed.error;

  /** Applies what is typed; false: it is no selector. */
  const apply = (text: string): boolean => {
    const next = mended(text);
    const wrong = parseSelector(next).error;
    setProblem(wrong && { text: next, ...wrong });
    if (wrong) return false;
    setDraft(next);
    if (next !== query) onChange(next);
    return true;
  };
  const choose = (c: Choice) => {
    const done = complete(draft, c.place, c.text);
    setDraft(done.text);
    setAt(0);
    setOpen(true);
    setTouched(true);
    setProblem(null);
    const el = input.current!;
    el.value = done.text;
    el.setSelectionRange(done.cursor, done.cursor);
    setCursor(done.cursor);
  };
  const track = () => setCursor(input.current!.selectionStart ?? 0);

  const keys = (e: KeyboardEvent) => {
    const listed = open && choices.length > 0;
    if ((e.key === "ArrowDown" || e.key === "ArrowUp") && !listed) {
      setOpen(true);
      e.preventDefault();
    } else if (e.key === "ArrowDown" || e.key === "ArrowUp") {
      const by = e.key === "ArrowUp" ? -1 : touched ? 1 : 0;
      setAt((shown + by + choices.length) % choices.length);
      setTouched(true);
      e.preventDefault();
    } else if ((e.key === "Enter" || (e.key === "Tab" && !e.shiftKey)) && listed && touched && choices[shown]!.place.what !== "end") {
      choose(choices[shown]!);
      e.preventDefault();
    } else if (e.key === "Enter") {
      e.preventDefault();
      if (apply(draft)) setOpen(false);
    } else if (e.key === "Escape") {
      e.preventDefault();
      e.stopPropagation();
      if (listed) setOpen(false);
      else {
        setDraft(query);
        setProblem(null);
        input.current!.blur();
      }
    }
  };

  const shownProblem =
    problem ?? (error?.parameter === "query" && draft === query ? { text: query, position: characterAt(query, Math.max(0, error.position)), message: error.message } : null);
  return (
    <div class="sel">
      <div class={`sel-box${editing ? " sel-editing" : ""}`} onMouseDown={(e) => e.target === e.currentTarget && (e.preventDefault(), input.current!.focus())}>
        {chips && (
          <ul class="sel-chips" aria-label="Conditions">
            {parsed.matchers.map((m) => (
              <li key={`${m.start}`} class={m.op.startsWith("!") ? "sel-chip sel-not" : "sel-chip"}>
                <button type="button" class="sel-edit" title={`${formatMatcher(m)}: choose other values`} onClick={() => setPicking({ label: m.label, not: m.op.startsWith("!") })}>
                  <span class="sel-label">{m.label}</span> <span class="sel-op">{m.op}</span> <b>{m.value || "(none)"}</b>
                </button>
                <button type="button" class="sel-remove" aria-label={`Remove ${formatMatcher(m)}`} title="Remove" onClick={() => onChange(removeMatcher(query, m.label, m.op, m.value))}>
                  ×
                </button>
              </li>
            ))}
          </ul>
        )}
        <input
          ref={input}
          type="text"
          role="combobox"
          aria-label="Selector"
          aria-autocomplete="list"
          aria-expanded={open && choices.length > 0}
          aria-controls="sel-list"
          aria-activedescendant={open && touched && choices.length > 0 ? `sel-${shown}` : undefined}
          aria-invalid={!!shownProblem}
          aria-describedby={shownProblem ? "sel-problem" : undefined}
          spellcheck={false}
          autocomplete="off"
          autocapitalize="off"
          placeholder={chips ? "" : 'Everything — narrow it: service="…"'}
          value={chips ? "" : draft}
          onFocus={() => {
            setEditing(true);
            setOpen(true);
            setAt(0);
            setTouched(false);
            const end = query.trimEnd().endsWith("}") ? query.trimEnd().length - 1 : query.length;
            requestAnimationFrame(() => {
              if (input.current?.value !== query) return; // typed already
              input.current.setSelectionRange(end, end);
              setCursor(end);
            });
          }}
          onBlur={() => {
            setEditing(false);
            setOpen(false);
            apply(draft);
          }}
          onInput={(e) => {
            setDraft(e.currentTarget.value);
            setProblem(null);
            setOpen(true);
            setAt(0);
            setTouched(true);
            track();
          }}
          onKeyDown={keys}
          onKeyUp={track}
          onClick={track}
        />
        {query && (
          <button type="button" class="sel-clear" aria-label="Remove all conditions" title="Remove all conditions" onClick={() => onChange("")}>
            ×
          </button>
        )}
        {open && editing && choices.length > 0 && (
          <ul id="sel-list" class="sel-list" role="listbox" aria-label="Completions">
            {choices.map((c, i) => (
              <li
                key={c.text}
                id={`sel-${i}`}
                role="option"
                aria-selected={touched && i === shown}
                ref={(el) => {
                  if (el && i === shown) el.scrollIntoView({ block: "nearest" });
                }}
                onMouseDown={(e) => {
                  e.preventDefault(); // the input keeps the focus
                  if (c.place.what === "end" && c.text === "}") apply(draft);
                  else choose(c);
                }}
              >
                <span class="sel-text">{c.text || "(none)"}</span>
                <span class="faded">{c.note}</span>
              </li>
            ))}
          </ul>
        )}
      </div>
      <MatcherPicker query={query} params={params} picking={picking} onPick={setPicking} onChange={onChange} />
      {shownProblem && (
        <div class="sel-problem" id="sel-problem" role="alert">
          <pre>
            {shownProblem.text}
            {"\n"}
            {" ".repeat(shownProblem.position)}^ {shownProblem.message}
          </pre>
        </div>
      )}
    </div>
  );
}

/** What can stand at the cursor: labels and values are asked of the server. */
function useChoices(text: string, cursor: number, params: api.Params, active: boolean): Choice[] {
  const place = placeAt(text, Math.min(cursor, text.length));
  const [labels, setLabels] = useState<string[]>([]);
  const [values, setValues] = useState<{ key: string; list: Choice[] }>({ key: "", list: [] });
  const asked = JSON.stringify(params);
  const usable = parseSelector(text).error ? "" : text;
  useEffect(() => {
    if (!active) return;
    const abort = new AbortController();
    api.labels(params, abort.signal).then(
      (a) => setLabels((a.labels ?? []).map((l) => l.name)),
      () => {}, // the profile shows what is wrong
    );
    return () => abort.abort();
  }, [active, asked]);
  const key = place.what === "value" ? JSON.stringify([place.label, place.typed, asked]) : "";
  useEffect(() => {
    if (!active || !key) return;
    const abort = new AbortController();
    // Without a pattern the list follows what is typed; a pattern is typed by hand, and all help with it.
    const prefix = place.op.endsWith("~") ? "" : place.typed;
    const query = withoutLabel(usable, place.label);
    Promise.all([api.values(place.label, { ...params, query, prefix, limit: String(most) }, abort.signal), api.totals({ ...params, query }, abort.signal)]).then(
      ([a, all]) => setValues({ key, list: (a.values ?? []).map((v) => ({ text: v.value, note: `${percent(v.sum, all.total)} · ${count(v.samples)}`, place })) }),
      () => {},
    );
    return () => abort.abort();
  }, [active, key, usable]);
  if (!active) return [];
  switch (place.what) {
    case "label": {
      const typed = place.typed.toLowerCase();
      const names = labels.filter((l) => l.toLowerCase().includes(typed)).sort((a, b) => Number(b.startsWith(typed)) - Number(a.startsWith(typed)));
      const found = names.map((l) => ({ text: l, note: "label", place }));
      // A whole label: what comes next is an operator.
      if (labels.includes(place.typed)) {
        const next: Place = { ...place, what: "operator", label: place.typed, typed: "", from: place.to };
        return [...operators.map((op) => ({ text: op, note: meanings[op], place: next })), ...found.filter((f) => f.text !== place.typed)];
      }
      return found;
    }
    case "operator":
      return operators.filter((op) => op.startsWith(place.typed)).map((op) => ({ text: op, note: meanings[op], place }));
    case "value":
      return values.list.filter((c) => place.op.endsWith("~") || c.text.startsWith(place.typed)).map((c) => ({ ...c, place }));
    case "end":
      return [
        { text: "}", note: "Enter: apply", place },
        { text: ",", note: "and another condition", place },
      ];
    default:
      return [];
  }
}
