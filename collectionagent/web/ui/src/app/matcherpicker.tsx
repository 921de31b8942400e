// SPDX-License-Identifier: Apache-2.0
// Adds a condition without typing: a label, and its values with what they take.

import { useEffect, useState } from "preact/hooks";
import * as api from "../api/client";
import { chooseValues, chosenValues, removeMatcher } from "../model/selector";
import { count, percent } from "../ui/format";
import { Popover } from "../ui/popover";

export interface Picking {
  label: string;
  not: boolean;
}

interface Props {
  query: string;
  params: api.Params;
  /** null: closed. */
  picking: Picking | null;
  onPick(p: Picking | null): void;
  onChange(query: string): void;
}

export function MatcherPicker({ query, params, picking, onPick, onChange }: Props) {
  return (
    <Popover
      open={!!picking}
      onOpen={(open) => onPick(open ? { label: "service", not: false } : null)}
      label="+ Filter"
      name="Filter by a label"
      title="Choose values of a label (a: type)"
    >
      {picking && <Values query={query} params={params} picking={picking} onPick={onPick} onChange={onChange} />}
    </Popover>
  );
}

function Values({ query, params, picking, onPick, onChange }: Props & { picking: Picking }) {
  const { label, not } = picking;
  const [labels, setLabels] = useState<string[]>([]);
  const [data, setData] = useState<{ values: NonNullable<api.ValuesAnswer["values"]>; hidden: number; total: number } | null>(null);
  const [problem, setProblem] = useState("");
  const [find, setFind] = useState("");
  const others = removeMatcher(query, label);
  const question = JSON.stringify([params, others, label]);
  useEffect(() => {
    const abort = new AbortController();
    api.labels(params, abort.signal).then(
      (a) => setLabels((a.labels ?? []).map((l) => l.name)),
      () => {}, // the values say what is wrong
    );
    return () => abort.abort();
  }, [JSON.stringify(params)]);
  useEffect(() => {
    const abort = new AbortController();
    setProblem("");
    const selection = { ...params, query: others };
    Promise.all([api.values(label, { ...selection, limit: "1000" }, abort.signal), api.totals(selection, abort.signal)]).then(
      ([a, t]) => setData({ values: a.values ?? [], hidden: a.hidden, total: t.total }),
      (e) => abort.signal.aborted || setProblem(e.message),
    );
    return () => abort.abort();
  }, [question]);

  const chosen = chosenValues(query, label, not);
  const found = (data?.values ?? []).filter((v) => v.value.toLowerCase().includes(find.toLowerCase()));
  const toggle = (value: string, alone: boolean) => {
    const rest = chosen.filter((c) => c !== value);
    onChange(chooseValues(query, label, alone ? [value] : rest.length < chosen.length ? rest : [...chosen, value], not));
  };
  return (
    <div class="pick">
      <div class="pick-head">
        <select
          aria-label="Label"
          value={label}
          onChange={(e) => {
            setData(null);
            setFind("");
            onPick({ label: e.currentTarget.value, not });
          }}
        >
          {[...new Set([label, ...labels])].map((l) => (
            <option key={l} value={l}>
              {l}
            </option>
          ))}
        </select>
        <div class="tabs" role="group" aria-label="How values count">
          <button type="button" aria-pressed={!not} onClick={() => onPick({ label, not: false })}>
            is
          </button>
          <button type="button" aria-pressed={not} onClick={() => onPick({ label, not: true })}>
            is not
          </button>
        </div>
      </div>
      <input
        data-first
        type="search"
        placeholder={`Find a ${label}`}
        aria-label={`Find a ${label}`}
        value={find}
        onInput={(e) => setFind(e.currentTarget.value)}
        onKeyDown={(e) => {
          if (e.key !== "Enter" || !found[0]) return;
          e.preventDefault();
          toggle(found[0].value, true);
          onPick(null);
        }}
      />
      {problem && <p class="problem pad">{problem}</p>}
      <ul aria-label={`Values of ${label}`}>
        {found.slice(0, 300).map((v) => (
          <li key={v.value}>
            <label title={`${count(v.samples)} samples`}>
              <i class="pick-share" style={{ width: `${(100 * v.sum) / (data!.total || 1)}%` }} />
              <input type="checkbox" checked={chosen.includes(v.value)} onChange={() => toggle(v.value, false)} />
              <span class="pick-value">{v.value || "(none)"}</span>
              <span class="faded">{percent(v.sum, data!.total)}</span>
            </label>
          </li>
        ))}
        {!data && !problem && <li class="faded pad">Asking the server …</li>}
        {data && found.length === 0 && <li class="faded pad">No value matches.</li>}
      </ul>
      {data && data.hidden + Math.max(0, found.length - 300) > 0 && <p class="faded pad">More values than fit: type a part of the one that you look for.</p>}
      <div class="pick-foot">
        {chosen.length > 0 && (
          <button type="button" onClick={() => onChange(chooseValues(query, label, [], not))}>
            Clear
          </button>
        )}
        <button type="button" class="primary" onClick={() => onPick(null)}>
          Done
        </button>
      </div>
    </div>
  );
}
