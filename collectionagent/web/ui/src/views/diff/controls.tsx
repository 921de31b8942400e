// SPDX-License-Identifier: Apache-2.0
// What the selection is compared with: a time, a selector, two values of a label, or a file.

import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import * as api from "../../api/client";
import { all, keep } from "../../files/opened";
import { read } from "../../files/read";
import { addMatcher, withoutLabel } from "../../model/selector";
import { readTime } from "../../model/timerange";
import { count } from "../../ui/format";
import { useAsk } from "../ask";
import type { ViewProps } from "../view";
import { earlier } from "./compare";

const hour = 3600e3;
const shifts: [string, string, number][] = [
  ["hour", "an hour earlier", hour],
  ["day", "a day earlier", 24 * hour],
  ["week", "a week earlier", 7 * 24 * hour],
];

/** Which of the offers the base is, "custom" for none. */
function chosen(s: ViewProps["state"], now: number): string {
  if (s.bfile) return `file:${s.bfile}`;
  if (!s.bfrom && !s.bto) return s.bquery ? "same" : "previous";
  if (s.bfrom === s.from && s.bto === s.to) return "same";
  return shifts.find(([, , ms]) => s.bfrom === earlier(s.from, ms, now) && s.bto === earlier(s.to, ms, now))?.[0] ?? "custom";
}

export function BaseControls({ view, now, onSwap, children }: { view: ViewProps; now: number; onSwap(): void; children: ComponentChildren }) {
  const { state, change, announce } = view;
  const [labels, setLabels] = useState(false);
  const [custom, setCustom] = useState(false);
  const [problem, setProblem] = useState("");
  const [from, setFrom] = useState(state.bfrom);
  const [to, setTo] = useState(state.bto);
  const choice = chosen(state, now);
  const openFile = async (list: FileList | null) => {
    const file = list?.[0];
    if (!file) return;
    try {
      change({ bfile: keep(await read(file.name, new Uint8Array(await file.arrayBuffer()))) });
      setProblem("");
      announce(`${file.name} is the base.`);
    } catch (e) {
      setProblem((e as Error).message);
    }
  };
  return (
    <div class="diff-controls">
      <label>
        Compare with{" "}
        <select
          class="diff-base-choice"
          value={custom ? "custom" : choice}
          onChange={(e) => {
            const v = e.currentTarget.value;
            setCustom(v === "custom");
            if (v === "previous") change({ bfrom: "", bto: "", bquery: "", bfile: "" });
            else if (v === "same") change({ bfrom: state.from, bto: state.to, bfile: "" });
            else if (v.startsWith("file:")) change({ bfile: v.slice(5) });
            else if (v === "custom") {
              setFrom(state.bfrom || earlier(state.from, hour, now));
              setTo(state.bto || earlier(state.to, hour, now));
            } else {
              const [, , ms] = shifts.find(([id]) => id === v)!;
              change({ bfrom: earlier(state.from, ms, now), bto: earlier(state.to, ms, now), bfile: "" });
            }
          }}
        >
          <option value="previous">{state.file ? "what the server has" : "the time right before"}</option>
          {shifts.map(([id, text]) => (
            <option key={id} value={id}>
              {text}
            </option>
          ))}
          <option value="same">the same time, another selector</option>
          <option value="custom">another time…</option>
          {all().map(([n, f]) => (
            <option key={n} value={`file:${n}`}>
              file {f.name}
            </option>
          ))}
        </select>
      </label>
      {(custom || choice === "custom") && (
        <form
          class="diff-times"
          onSubmit={(e) => {
            e.preventDefault();
            const a = readTime(from, now);
            const b = to.trim() ? readTime(to, now) : "";
            if (a === null || b === null) {
              setProblem("A time is as in now-2h, 2026-11-21 10:00, or 10:00.");
              return;
            }
            setProblem("");
            setCustom(false);
            change({ bfrom: a, bto: b, bfile: "" });
          }}
        >
          <input aria-label="Base from" size={14} value={from} placeholder="now-2h" onInput={(e) => setFrom(e.currentTarget.value)} />
          <input aria-label="Base to" size={14} value={to} placeholder="as long" onInput={(e) => setTo(e.currentTarget.value)} />
          <button type="submit">Set</button>
        </form>
      )}
      {!state.bfile && (
        <input
          class="diff-query"
          aria-label="Selector of the base"
          placeholder="base selector: as the selection"
          value={state.bquery}
          spellcheck={false}
          onChange={(e) => change({ bquery: e.currentTarget.value.trim() })}
        />
      )}
      <button type="button" aria-expanded={labels} onClick={() => setLabels(!labels)}>
        Two values…
      </button>
      <label class="diff-file">
        <span class="button">Base from file…</span>
        <input type="file" class="visually-hidden" onChange={(e) => void openFile(e.currentTarget.files)} />
      </label>
      <button type="button" onClick={onSwap} title="The base becomes the selection, and the selection the base">
        ⇄ Swap
      </button>
      <label class="inline">
        <input type="checkbox" checked={state.norm === "1"} onChange={(e) => change({ norm: e.currentTarget.checked ? "1" : "" })} /> same total
      </label>
      <span class="spacer" />
      {children}
      {problem && (
        <span class="problem" role="alert">
          {problem}
        </span>
      )}
      {labels && <TwoValues view={view} onDone={() => setLabels(false)} />}
    </div>
  );
}

/** Compares what has one value of a label with what has another. */
function TwoValues({ view, onDone }: { view: ViewProps; onDone(): void }) {
  const { params, state, change } = view;
  const [label, setLabel] = useState("service");
  const [now, setNow] = useState("");
  const [base, setBase] = useState("");
  const about = { type: params.type ?? "", from: params.from ?? "", to: params.to ?? "" };
  const names = useAsk(JSON.stringify([about, "labels"]), 0, (signal) => api.labels({ ...about, query: params.query ?? "" }, signal));
  const rest = withoutLabel(params.query ?? "", label);
  const found = useAsk(JSON.stringify([about, rest, label]), 0, (signal) => api.values(label, { ...about, query: rest, limit: "200" }, signal));
  const values = found.answer?.values ?? [];
  // Of the two largest the later in the alphabet is the selection, as of releases the newer is.
  const [b0 = "", a0 = b0] = values
    .slice(0, 2)
    .map((v) => v.value)
    .sort((x, y) => x.localeCompare(y, "en", { numeric: true }));
  const a = now || a0;
  const b = base || b0;
  const pick = (name: string, value: string, set: (v: string) => void) => (
    <label>
      {name}{" "}
      <select value={value} onChange={(e) => set(e.currentTarget.value)}>
        {values.map((v) => (
          <option key={v.value} value={v.value}>
            {v.value || `(no ${label})`} ({count(v.samples)})
          </option>
        ))}
      </select>
    </label>
  );
  return (
    <form
      class="diff-values"
      onSubmit={(e) => {
        e.preventDefault();
        change({ query: addMatcher(rest, label, "=", a), bquery: addMatcher(rest, label, "=", b), bfrom: state.from, bto: state.to, bfile: "", norm: "1" });
        onDone();
      }}
    >
      <label>
        Label{" "}
        <select
          value={label}
          onChange={(e) => {
            setLabel(e.currentTarget.value);
            setNow("");
            setBase("");
          }}
        >
          {(names.answer?.labels ?? [{ name: "service" }]).map((l) => (
            <option key={l.name} value={l.name}>
              {l.name}
            </option>
          ))}
        </select>
      </label>
      {pick("selection", a, setNow)}
      {pick("base", b, setBase)}
      <button type="submit" class="on" disabled={values.length < 2 || a === b}>
        Compare
      </button>
      {values.length < 2 && !found.waiting && <span class="faded">This label has only one value here.</span>}
    </form>
  );
}
