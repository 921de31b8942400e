// SPDX-License-Identifier: Apache-2.0
// The functions of a comparison, what got worse first.

import { useMemo, useState } from "preact/hooks";
import { amount, exact, percent } from "../../ui/format";
import { useKeys } from "../../ui/keys";
import { rowAfter } from "../../ui/rowkeys";
import { growth, stateOf, type Row, type Totals } from "./compare";
import type { Expression } from "../../model/regexp";

type Column = "name" | "dself" | "dtotal" | "self" | "baseSelf" | "total" | "baseTotal";
const columns: [Column, string, string][] = [
  ["dself", "Change", "Change of the function's own part; with the largest growth first, what got better is last"],
  ["self", "Self", "The function's own part in the selection"],
  ["baseSelf", "base", "The function's own part in the base"],
  ["dtotal", "Change of total", "Change of the function with all that it calls"],
  ["total", "Total", "The function with all that it calls in the selection"],
  ["baseTotal", "base", "The function with all that it calls in the base"],
];

const group = "Functions that changed";
const keyList = [
  { key: "↑ ↓ Home End", what: "move between functions", group },
  { key: "Enter", what: "details of the function at the side, or close them", group },
  { key: ".", what: "menu of the function; also Shift F10", group },
];

interface Props {
  rows: Row[];
  totals: Totals;
  unit: string;
  /** As state.sort has it: a column, with "-" for the largest first. */
  sort: string;
  search: Expression | null;
  chosen: string;
  hidden: number;
  hover: string;
  onSort(sort: string): void;
  onChoose(name: string): void;
  onHover(name: string): void;
  onMenu(name: string, x: number, y: number): void;
}

const value = (r: Row, c: Column): number => (c === "dself" ? growth(r, "self") : c === "dtotal" ? growth(r, "total") : c === "name" ? 0 : r[c]);

/** The order of the rows; of equal ones, what changed more as a whole. */
export function sorted(rows: readonly Row[], sort: string): { column: Column; down: boolean; list: Row[] } {
  const down = sort === "" || sort.startsWith("-");
  const wanted = sort.replace(/^-/, "") as Column;
  const column = wanted === "name" || columns.some(([c]) => c === wanted) ? wanted : "dself";
  const direction = (sort !== "" && column === wanted ? down : true) ? -1 : 1;
  const list = rows.slice().sort((a, b) => (column === "name" ? direction * a.name.localeCompare(b.name) : direction * (value(a, column) - value(b, column))) || growth(b, "total") - growth(a, "total") || a.name.localeCompare(b.name));
  return { column, down: direction < 0, list };
}

export function DiffTable(p: Props) {
  const [most, setMost] = useState(200);
  // One row is a stop of the Tab key, arrows lead to the others: nobody tabs through hundreds.
  const [active, setActive] = useState("");
  useKeys(keyList);
  const found = useMemo(() => (p.search ? p.rows.filter((r) => p.search!.test(r.name) || p.search!.test(r.file) || p.search!.test(r.binary)) : p.rows), [p.rows, p.search]);
  const { column, down, list } = useMemo(() => sorted(found, p.sort), [found, p.sort]);
  const largest = useMemo(() => Math.max(1, ...p.rows.map((r) => Math.max(Math.abs(growth(r, "self")), 0))), [p.rows]);
  // Functions of the same name are told apart by their binaries.
  const twice = useMemo(() => {
    const seen = new Set<string>();
    return new Set(p.rows.filter((r) => seen.has(r.name) || !seen.add(r.name)).map((r) => r.name));
  }, [p.rows]);
  const shown = list.slice(0, most);
  const stop = Math.max(0, shown.findIndex((r) => keyOf(r) === active));
  const delta = (d: number) => (d ? `${d < 0 ? "−" : "+"}${amount(Math.abs(d), p.unit)}` : "0");
  return (
    <div class="diff-table" data-rows={list.length} data-first={list[0]?.name ?? ""} tabIndex={-1}>
      <table aria-label="Functions and what changed of them">
        <thead>
          <tr>
            <th aria-sort={column === "name" ? (down ? "descending" : "ascending") : undefined}>
              <button type="button" onClick={() => p.onSort(column === "name" && !down ? "-name" : "name")}>
                Function {column === "name" && (down ? "▾" : "▴")}
              </button>
            </th>
            {columns.map(([c, title, what]) => (
              <th key={c} class="number" aria-sort={c === column ? (down ? "descending" : "ascending") : undefined}>
                <button type="button" title={what} aria-label={`Sort by: ${what}`} onClick={() => p.onSort(c === column && down ? c : `-${c}`)}>
                  {title} {c === column && (down ? "▾" : "▴")}
                </button>
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {shown.map((r, i) => {
            const state = stateOf(r);
            const d = growth(r, "self");
            const name = keyOf(r);
            return (
              <tr
                key={name}
                class={`${r.name === p.chosen ? "on" : ""}${r.name === p.hover ? " hover" : ""}`}
                data-state={state}
                onMouseEnter={() => p.onHover(r.name)}
                onMouseLeave={() => p.onHover("")}
                onClick={() => p.onChoose(r.name)}
                onContextMenu={(e) => {
                  e.preventDefault();
                  p.onMenu(r.name, e.clientX, e.clientY);
                }}
              >
                <td class="name" title={[r.name, r.file, r.binary].filter(Boolean).join("\n")}>
                  <div>
                  {(state === "new" || state === "gone") && <span class={`diff-mark ${state}`}>{state}</span>}
                  <button
                    type="button"
                    aria-pressed={r.name === p.chosen}
                    tabIndex={i === stop ? 0 : -1}
                    onFocus={() => setActive(name)}
                    onKeyDown={(e) => {
                      if (e.ctrlKey || e.metaKey || e.altKey) return;
                      const next = rowAfter(e.key, i, shown.length, 10);
                      if (e.key === "." || e.key === "ContextMenu" || (e.key === "F10" && e.shiftKey)) {
                        const box = e.currentTarget.getBoundingClientRect();
                        p.onMenu(r.name, box.left, box.bottom);
                        e.preventDefault();
                        e.stopPropagation();
                      } else if (next !== null) {
                        e.currentTarget.closest("tbody")!.rows[next]?.querySelector("button")?.focus();
                        e.preventDefault();
                      }
                    }}
                  >
                    {r.name}
                  </button>
                  {twice.has(r.name) && r.binary && <span class="faded">{r.binary}</span>}
                  </div>
                </td>
                <td class="number diff-change">
                  <i class={d > 0 ? "more" : "less"} style={{ width: `${(100 * Math.abs(d)) / largest / 2}%` }} />
                  <span class={d > 0 ? "more" : d < 0 ? "less" : "faded"}>{delta(d)}</span>
                </td>
                <td class="number" title={percent(r.self, p.totals.now)}>
                  {r.self ? amount(r.self, p.unit) : "–"}
                </td>
                <td class="number faded" title={percent(r.baseSelf, p.totals.base)}>
                  {r.baseSelf ? amount(r.baseSelf, p.unit) : "–"}
                </td>
                <td class="number" title={`${amount(r.baseTotal, p.unit)} → ${amount(r.total, p.unit)}`}>
                  {delta(growth(r, "total"))}
                </td>
                <td class="number" title={percent(r.total, p.totals.now)}>
                  {r.total ? amount(r.total, p.unit) : "–"}
                </td>
                <td class="number faded" title={percent(r.baseTotal, p.totals.base)}>
                  {r.baseTotal ? amount(r.baseTotal, p.unit) : "–"}
                </td>
              </tr>
            );
          })}
        </tbody>
      </table>
      {list.length > most && (
        <p class="pad">
          <button type="button" onClick={() => setMost(most * 5)}>
            Show more of {exact(list.length)} functions
          </button>
        </p>
      )}
      {p.hidden > 0 && <p class="pad faded">{exact(p.hidden)} functions that changed least are not listed.</p>}
      {!list.length && <p class="note">{p.search ? "No function matches the search." : "No functions."}</p>}
    </div>
  );
}

const keyOf = (r: Row) => `${r.name}\0${r.file}\0${r.binary}\0${r.kind}`;
