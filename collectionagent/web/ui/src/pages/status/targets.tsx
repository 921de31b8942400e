// SPDX-License-Identifier: Apache-2.0
// The programs that the server scrapes.

import { useState } from "preact/hooks";
import type { Target, TargetsAnswer } from "../../api/client";
import type { Change, State } from "../../state/state";
import { amount, bytes, dateTime, duration, exact, many } from "../../ui/format";
import { explore, linkTo, selector } from "../links";
import { RowTable, type Column } from "../rowtable";
import { Facts, Find } from "../widgets";

const signs: Record<string, [string, string]> = { up: ["●", "good"], down: ["◆", "bad"], unknown: ["○", "waiting"] };
const id = (t: Target) => `target ${t.job} ${t.instance} ${t.profile} ${t.url}`;

/** Targets that have every word of a filter in what is shown of them. */
export function findTargets(list: readonly Target[], filter: string): Target[] {
  const words = filter.trim().toLowerCase().split(/\s+/).filter(Boolean);
  return list.filter((t) => words.every((w) => `${t.job}\n${t.instance}\n${t.profile}\n${t.url}\n${t.state}\n${t.error}`.toLowerCase().includes(w)));
}

export function Targets({ data, state, change }: { data: TargetsAnswer; state: State; change: Change }) {
  const [sort, setSort] = useState("");
  const rows = findTargets(data.targets, state.find);
  const key = sort.replace(/^-/, "");
  if (key) {
    const value = (t: Target): string | number =>
      key === "state" ? t.state : key === "profile" ? t.profile : key === "last" ? t.last_ms : key === "took" ? t.duration_ms : key === "samples" ? t.samples : `${t.job} ${t.instance}`;
    const compare = (a: string | number, b: string | number) => (typeof a === "string" ? a.localeCompare(b as string) : a - (b as number));
    rows.sort((a, b) => compare(value(a), value(b)) * (sort.startsWith("-") ? -1 : 1));
  }
  const ago = (ms: number) => (ms ? `${duration(Math.max(0, data.now_ms - ms))} ago` : "never");
  const columns: Column<Target>[] = [
    {
      id: "state",
      title: "State",
      cell(t) {
        const [sign, mark] = signs[t.state] ?? ["○", "waiting"];
        return (
          <>
            <span class={`mark ${mark}`} aria-hidden="true">
              {sign}
            </span>{" "}
            {t.state}
          </>
        );
      },
    },
    { id: "profile", title: "Profile", cell: (t) => t.profile },
    { id: "last", title: "Last", numeric: true, cell: (t) => ago(t.last_ms) },
    { id: "took", title: "Took", numeric: true, cell: (t) => (t.last_ms ? amount(t.duration_ms * 1e6, "nanoseconds") : "–") },
    { id: "samples", title: "Samples", numeric: true, cell: (t) => exact(t.samples) },
    { id: "error", title: "Error", unsorted: true, class: (t) => `pg-cut pg-what ${t.error ? "bad" : ""}`, cell: (t) => (t.error ? <span title={t.error}>⚠ {t.error}</span> : "–") },
  ];
  const down = data.targets.filter((t) => t.state === "down").length;
  return (
    <section class="panel pg-targets" data-part="targets" data-rows={rows.length} aria-label="Scrape targets">
      <div class="panel-head">
        <h2>Scrape targets</h2>
        {data.targets.length > 0 && (
          <>
            <Find value={state.find} change={change} what="job, instance, error" count={`${exact(rows.length)} of ${exact(data.targets.length + data.hidden)}`} />
            {down > 0 && <span class="problem">⚠ {many(down, "target")} down</span>}
          </>
        )}
      </div>
      {data.problems.map((p) => (
        <p key={p} class="warning" role="alert">
          <b>⚠</b> {p}
        </p>
      ))}
      {data.targets.length === 0 ? (
        <p class="faded pad">
          Nothing is scraped. To fetch profiles from programs with net/http/pprof, list them in a file and start the server with <code>-scrape-config</code>.
        </p>
      ) : (
        <RowTable
          label="Scrape targets"
          rows={rows}
          id={id}
          head={{ id: "target", title: "Target", cell: (t) => `${t.job} ${t.instance}` }}
          columns={columns}
          sort={sort}
          onSort={setSort}
          open={state.open}
          onOpen={(o) => change({ open: state.open.includes(o) ? state.open.filter((x) => x !== o) : [...state.open, o] }, true)}
          details={(t) => (
            <>
              {t.error && <p class="warning">{t.error}</p>}
              <Facts
                list={[
                  ["address", t.url],
                  ["every", `${duration(t.interval_ms)}${t.next_ms > data.now_ms ? `, next in ${duration(t.next_ms - data.now_ms)}` : ""}`],
                  ["last", t.last_ms > 0 && `${dateTime(t.last_ms)}: ${many(t.samples, "sample")}, ${bytes(t.bytes)} in ${amount(t.duration_ms * 1e6, "nanoseconds")}`],
                  ...Object.entries(t.labels),
                ]}
              />
              <p class="pg-links">
                <a {...linkTo(change, explore(state, { query: selector(["instance", t.instance], ["job", t.job]) }))}>Profile of this target</a>
              </p>
            </>
          )}
        />
      )}
      {data.hidden > 0 && <p class="faded pad">Not listed: {many(data.hidden, "more target")}.</p>}
    </section>
  );
}
