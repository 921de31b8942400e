// SPDX-License-Identifier: Apache-2.0
// A list of the values of a label, with their share, to choose from.

import { useEffect, useRef, useState } from "preact/hooks";
import { values, type Params, type ValuesAnswer } from "./api";
import { percent } from "./format";

interface Props {
  label: string;
  title: string;
  chosen: string[];
  params: Params;
  disabled: boolean;
  onChange(chosen: string[]): void;
}

export function Picker({ label, title, chosen, params, disabled, onChange }: Props) {
  const [open, setOpen] = useState(false);
  const [data, setData] = useState<ValuesAnswer | null>(null);
  const [error, setError] = useState("");
  const [filter, setFilter] = useState("");
  const root = useRef<HTMLDivElement>(null);
  const question = JSON.stringify(params);

  useEffect(() => {
    if (!open) return;
    const abort = new AbortController();
    values(label, { ...params, limit: "500" }, abort.signal).then(setData, (e) => {
      if (e.name !== "AbortError") setError(e.message);
    });
    const outside = (e: MouseEvent) => {
      if (!root.current!.contains(e.target as Node)) setOpen(false);
    };
    document.addEventListener("mousedown", outside);
    return () => {
      abort.abort();
      document.removeEventListener("mousedown", outside);
    };
  }, [open, question]);

  const rows = (data?.values ?? []).filter((v) => v.value.toLowerCase().includes(filter.toLowerCase()));
  const all = (data?.values ?? []).reduce((sum, v) => sum + v.sum, 0);
  const toggle = (v: string) => onChange(chosen.includes(v) ? chosen.filter((c) => c !== v) : [...chosen, v]);

  return (
    <div class="picker" ref={root} onKeyDown={(e) => e.key === "Escape" && setOpen(false)}>
      <button
        type="button"
        aria-haspopup="listbox"
        aria-expanded={open}
        disabled={disabled}
        class={chosen.length ? "on" : ""}
        onClick={() => setOpen(!open)}
      >
        <span class="faded">{title}</span> {chosen.length === 0 ? "all" : chosen.length === 1 ? chosen[0] || "(none)" : `${chosen.length} chosen`} ▾
      </button>
      {open && (
        <div class="menu">
          <input
            type="search"
            placeholder={`Find ${title.toLowerCase()}`}
            aria-label={`Find ${title.toLowerCase()}`}
            value={filter}
            ref={(el) => el?.focus()}
            onInput={(e) => setFilter(e.currentTarget.value)}
          />
          {error && <p class="problem">{error}</p>}
          <ul role="listbox" aria-multiselectable="true" aria-label={title}>
            {rows.map((v) => (
              <li key={v.value} role="option" aria-selected={chosen.includes(v.value)}>
                <label>
                  <input type="checkbox" checked={chosen.includes(v.value)} onChange={() => toggle(v.value)} />
                  <span class="value">{v.value || "(none)"}</span>
                  <span class="faded">{percent(v.sum, all)}</span>
                </label>
              </li>
            ))}
          </ul>
          {data && rows.length === 0 && <p class="faded pad">Nothing matches.</p>}
          <div class="row">
            <button type="button" onClick={() => onChange([])}>
              Clear
            </button>
            <button type="button" onClick={() => setOpen(false)}>
              Done
            </button>
          </div>
        </div>
      )}
    </div>
  );
}
