// SPDX-License-Identifier: Apache-2.0
// The files that code of the selection is in, and which of them lack symbols.

import { useMemo } from "preact/hooks";
import * as api from "../../api/client";
import { title } from "../../model/types";
import { isLive } from "../../state/state";
import { amount, dateTime, exact, many, percent } from "../../ui/format";
import { explore, linkTo } from "../links";
import type { PageProps } from "../page";
import { usePolled } from "../poll";
import { RowTable, type Column } from "../rowtable";
import { Copy, Facts, Find, Problem, Share } from "../widgets";
import { hint, keys, nameOf, sortExecutables, symbolsOf, symbolsText } from "./rows";

/** The question looks at every stack of the range, so it is asked less often than cheap ones. */
const refreshMs = 15_000;
const most = 10_000;

export function Executables({ state, change, paused, announce }: PageProps) {
  const live = isLive(state) && state.refresh !== "0" && !paused;
  const params = { type: state.type, query: state.query, from: state.from, to: state.to, limit: String(most) };
  const { data, error, stale, again } = usePolled((signal) => api.executables(params, signal), JSON.stringify(params), state.project, live ? refreshMs : 0);
  const sort = state.sort.startsWith("executables:") ? state.sort.slice(12) : "";
  const key = keys.find((k) => k === sort.replace(/^-/, "")) ?? "";
  const list = data?.executables;
  const rows = useMemo(() => sortExecutables(list ?? [], key, sort.startsWith("-"), state.find), [list, key, sort, state.find]);
  const unit = data?.unit ?? "nanoseconds";
  const whole = data?.total ?? 0;
  const profile = (e: api.Executable) =>
    linkTo(change, explore(state, { type: state.type, query: state.query, t: [`focus:binary=${nameOf(e)}`], search: nameOf(e) }));
  const lacking = (list ?? []).filter((e) => e.unnamed > 0).length;

  const columns: Column<api.Executable>[] = [
    { id: "build", title: "Build ID", class: "pg-build", cell: (e) => <Copy text={e.build_id} short={e.build_id.slice(0, 12)} what="build ID" announce={announce} /> },
    { id: "kind", title: "Kind", cell: (e) => (e.kind === "interpreter" ? `${e.runtime}` : e.kind) },
    { id: "value", title: "Share", hint: "Share of the selection with this file on the stack", numeric: true, class: "pg-wide", cell: (e) => <Share part={e.value} whole={whole} label="Share" /> },
    { id: "self", title: "Self", hint: "What was running in its code", numeric: true, cell: (e) => amount(e.self, unit) },
    {
      id: "named",
      title: "Named",
      hint: "Share of its frames with a name, weighted by value",
      numeric: true,
      class: "pg-wide",
      cell: (e) => <Share part={e.symbolized} whole={1} label="Named" kind={e.symbolized >= 0.995 ? "good" : "lacking"} />,
    },
    {
      id: "unnamed",
      title: "Unnamed",
      hint: "What has frames of this file without a name on its stack: so much gains from symbols",
      numeric: true,
      class: (e) => (e.unnamed > 0 ? "bad" : ""),
      cell: (e) => (e.unnamed > 0 ? `⚠ ${amount(e.unnamed, unit)}` : "0"),
    },
    { id: "frames", title: "Symbols", hint: "What is known of the places in its code that were seen", class: "pg-cut", cell: (e) => <span title={hint(e)}>{symbolsText(e)}</span> },
    {
      id: "profile",
      title: "Profile",
      unsorted: true,
      class: "pg-link",
      cell: (e) => (
        <a {...profile(e)} aria-label={`Profile of ${nameOf(e)}`}>
          profile
        </a>
      ),
    },
  ];

  return (
    <section class="page" data-page="executables" data-ready={!!data && !stale} data-rows={rows.length} data-total={whole}>
      <Problem text={error} again={again} />
      {data && (
        <section class={`panel grow pg-panel ${stale ? "pg-stale" : ""}`} aria-label="Executables" aria-busy={stale}>
          <div class="panel-head">
            <h2>Executables</h2>
            <Find
              value={state.find}
              change={change}
              what="name, build ID, kind"
              count={state.find ? `${exact(rows.length)} of ${exact(data.executables.length)} shown` : `${exact(data.executables.length + data.hidden)} in all`}
            />
            <span class="pg-chips">
              {lacking > 0 && (
                <button type="button" class={sort === "-unnamed" ? "on" : ""} aria-pressed={sort === "-unnamed"} onClick={() => change({ sort: sort === "-unnamed" ? "" : "executables:-unnamed" }, true)}>
                  <span class="mark waiting" aria-hidden="true">
                    ▲
                  </span>{" "}
                  {many(lacking, "file")} without some names: first
                </button>
              )}
            </span>
            <span class="spacer" />
            <span class="faded">
              {title(state.type)}, {many(data.samples, "sample")}, {dateTime(data.from_ms).slice(5)} to {dateTime(data.to_ms).slice(5)}; {percent(data.symbolized, 1)} of all levels have names
            </span>
          </div>
          <RowTable
            label="Executables"
            rows={rows}
            id={(e) => e.file_id}
            head={{ id: "name", title: "Executable", cell: (e) => <span title={e.path || e.name || "no agent described this file"}>{nameOf(e)}</span> }}
            columns={columns}
            sort={key ? sort : ""}
            onSort={(s) => change({ sort: s ? `executables:${s}` : "" }, true)}
            open={state.open}
            onOpen={(id) => change({ open: state.open.includes(id) ? state.open.filter((o) => o !== id) : [...state.open, id] }, true)}
            details={(e) => (
              <>
                {hint(e) && (
                  <p class={symbolsOf(e) === "some" || symbolsOf(e) === "none" ? "warning" : "faded"}>
                    {e.unnamed > 0 && <b>{amount(e.unnamed, unit)} lacks names. </b>}
                    {hint(e)}
                  </p>
                )}
                <Facts
                  list={[
                    ["path", e.path],
                    ["build ID", e.build_id ? <Copy text={e.build_id} what="build ID" announce={announce} /> : "none: link with --build-id, so that symbols can be found"],
                    ["file ID", <Copy key="f" text={e.file_id} what="file ID" announce={announce} />],
                    ["kind", e.kind === "interpreter" ? `interpreter of ${e.runtime}` : e.kind],
                    ["on the stack", `${amount(e.value, unit)} (${percent(e.value, whole)})`],
                    ["running in it", `${amount(e.self, unit)} (${percent(e.self, whole)})`],
                    ["without names", `${amount(e.unnamed, unit)} (${percent(e.unnamed, whole)})`],
                    ["places seen", `${exact(e.frames)}: ${exact(e.named_frames)} with a name, ${exact(e.line_frames)} with a source line`],
                  ]}
                />
                <p class="pg-links">
                  <a {...profile(e)}>Profile of this executable</a>
                </p>
              </>
            )}
            rowClass="executable"
            rowData={(e) => ({ "data-name": nameOf(e), "data-symbols": symbolsOf(e) })}
          />
          {rows.length === 0 && (
            <p class="faded pad">
              {state.find ? "No executable matches. Escape in the field shows all." : "There are no samples with code of files in this selection. A longer range or another type may have some."}
            </p>
          )}
          {data.hidden > 0 && <p class="faded pad">Not listed: {many(data.hidden, "more file")} with less value. Narrow the query to see them.</p>}
        </section>
      )}
      {!data && !error && <p class="note">Asking the server …</p>}
    </section>
  );
}
