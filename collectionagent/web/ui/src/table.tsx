// SPDX-License-Identifier: Apache-2.0

import { useMemo, useState } from "preact/hooks";
import type { TopAnswer, TopRow } from "./api";
import { base } from "./colour";
import { amount, percent } from "./format";

type Key = "name" | "binary" | "self" | "total";

export function sortRows(rows: TopRow[], key: Key, descending: boolean): TopRow[] {
  const sign = descending ? -1 : 1;
  return [...rows].sort((a, b) => {
    const d = key === "self" || key === "total" ? a[key] - b[key] : a[key].localeCompare(b[key]);
    return d ? d * sign : a.name.localeCompare(b.name);
  });
}

const shownRows = 500;

export function Table({ data, onPick, re }: { data: TopAnswer; onPick(name: string): void; re: RegExp | null }) {
  const [key, setKey] = useState<Key>("self");
  const [descending, setDescending] = useState(true);
  const rows = useMemo(() => {
    const all = data.rows ?? [];
    return sortRows(re ? all.filter((r) => re.test(r.name) || re.test(r.binary) || re.test(r.file)) : all, key, descending);
  }, [data, key, descending, re]);

  const head = (k: Key, text: string, numeric: boolean) => (
    <th class={numeric ? "number" : ""} aria-sort={k === key ? (descending ? "descending" : "ascending") : "none"}>
      <button
        type="button"
        onClick={() => {
          if (k === key) setDescending(!descending);
          else {
            setKey(k);
            setDescending(numeric);
          }
        }}
      >
        {text} {k === key ? (descending ? "↓" : "↑") : ""}
      </button>
    </th>
  );

  return (
    <div class="table">
      <table>
        <thead>
          <tr>
            {head("self", "Self", true)}
            <th class="number">%</th>
            {head("total", "Total", true)}
            <th class="number">%</th>
            {head("name", "Function", false)}
            {head("binary", "Binary", false)}
          </tr>
        </thead>
        <tbody>
          {rows.slice(0, shownRows).map((r) => (
            <tr key={`${r.name}\0${r.binary}\0${r.file}`} onClick={() => onPick(r.name)}>
              <td class="number">{amount(r.self, data.unit)}</td>
              <td class="number bar">
                <i style={{ width: `${(100 * r.self) / (data.total || 1)}%` }} />
                <span>{percent(r.self, data.total)}</span>
              </td>
              <td class="number">{amount(r.total, data.unit)}</td>
              <td class="number">{percent(r.total, data.total)}</td>
              <td class="name" title={r.file || r.name}>
                <i class="dot" style={{ background: `hsl(${base(r.kind)[0]} ${base(r.kind)[1]}% 55%)` }} />
                <button type="button" title={`Search ${r.name}`}>
                  {r.name}
                </button>
              </td>
              <td class="name faded">{r.binary}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {rows.length > shownRows && <p class="faded pad">{rows.length - shownRows} more: narrow the search.</p>}
      {data.hidden > 0 && <p class="faded pad">{data.hidden} smaller functions are not listed.</p>}
      {rows.length === 0 && <p class="faded pad">No function matches.</p>}
    </div>
  );
}
