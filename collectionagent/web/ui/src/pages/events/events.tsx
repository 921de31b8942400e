// SPDX-License-Identifier: Apache-2.0
// What happened on hosts: the newest events, with links to what ran around them.

import { useMemo } from "preact/hooks";
import * as api from "../../api/client";
import { isLive } from "../../state/state";
import { clock, dateTime, exact, many } from "../../ui/format";
import { explore, linkTo } from "../links";
import type { PageProps } from "../page";
import { usePolled } from "../poll";
import { RowTable, type Column } from "../rowtable";
import { Facts, Find, Problem } from "../widgets";
import { Histogram } from "./histogram";
import { around, aroundMs, findEvents, keys, otherLabels, sortEvents, stacks, withIds } from "./rows";

const refreshMs = 10_000;
const most = 5000;

type Row = ReturnType<typeof withIds>[number];

export function Events({ state, change, paused, theme }: PageProps) {
  const live = isLive(state) && state.refresh !== "0" && !paused;
  const params = { query: state.query, from: state.from, to: state.to };
  const { data, error, stale, again } = usePolled(
    async (signal) => {
      const [found, timeline] = await Promise.all([
        api.events({ ...params, limit: String(most) }, signal),
        api.timeline({ ...params, type: "event" }, signal),
      ]);
      return { found, timeline };
    },
    JSON.stringify(params),
    state.project,
    live ? refreshMs : 0,
  );
  const sort = state.sort.startsWith("events:") ? state.sort.slice(7) : "";
  const key = keys.find((k) => k === sort.replace(/^-/, "")) ?? "";
  const all = useMemo(() => withIds(data?.found.events ?? []), [data]);
  const rows = useMemo(() => sortEvents(findEvents(all, state.find), key, sort.startsWith("-")), [all, key, sort, state.find]);
  const now = data?.found.to_ms ?? 0;
  const oneDay = data ? dateTime(data.found.from_ms).slice(0, 10) === dateTime(now).slice(0, 10) : true;
  const time = (ms: number) => `${oneDay ? clock(ms) : dateTime(ms).slice(5)}.${String(ms % 1000).padStart(3, "0")}`;
  const whatRan = (r: Row) => linkTo(change, explore(state, around(r.event)));
  const ownStacks = (r: Row) => linkTo(change, explore(state, stacks(r.event)));

  const columns: Column<Row>[] = [
    { id: "kind", title: "Kind", class: "pg-kind", cell: ({ event: e }) => e.kind || <span class="faded">(no name)</span> },
    { id: "title", title: "What", class: "pg-cut pg-what", cell: ({ event: e }) => (e.title === e.kind ? "" : <span title={e.title}>{e.title}</span>) },
    { id: "host", title: "Host", class: "pg-cut", cell: ({ event: e }) => e.host || e.host_id || "–" },
    { id: "count", title: "Count", hint: "How many events it stands for", numeric: true, cell: ({ event: e }) => exact(e.value) },
    {
      id: "labels",
      title: "Labels",
      unsorted: true,
      class: "pg-cut pg-labels",
      cell: ({ event: e }) => {
        const text = otherLabels(e).map(([k, v]) => `${k}=${v}`);
        return text.length ? <span title={text.join("\n")}>{text.join(", ")}</span> : "–";
      },
    },
    {
      id: "profile",
      title: "Profiles",
      unsorted: true,
      class: "pg-link",
      cell: (r) => (
        <>
          <a {...whatRan(r)} title={`What ran on the host from ${aroundMs / 1000} s before to ${aroundMs / 1000} s after`}>
            ±{aroundMs / 1000} s
          </a>{" "}
          {r.event.has_stack && (
            <a {...ownStacks(r)} title="The stacks of the event itself">
              stacks
            </a>
          )}
        </>
      ),
    },
  ];

  const none = data && data.found.events.length === 0;
  return (
    <section class="page" data-page="events" data-ready={!!data && !stale} data-rows={rows.length}>
      <Problem text={error} again={again} />
      {data && none && <Empty moved={state.from !== "now-15m" || !!state.query} />}
      {data && !none && (
        <section class={`panel grow pg-panel ${stale ? "pg-stale" : ""}`} aria-label="Events" aria-busy={stale}>
          <div class="panel-head">
            <h2>Events</h2>
            <Find
              value={state.find}
              change={change}
              what="kind, host, label=value"
              count={state.find ? `${exact(rows.length)} of ${exact(all.length)} shown` : many(data.found.events.length + data.found.hidden, "entry").replace("entrys", "entries")}
            />
            <span class="spacer" />
            <span class="faded">
              {many(data.found.total, "event")}, {dateTime(data.found.from_ms).slice(5)} to {dateTime(data.found.to_ms).slice(5)}
            </span>
          </div>
          <Histogram data={data.timeline} theme={theme} onSelect={(from, to) => change({ from: String(from), to: String(to) })} />
          <RowTable
            label="Events"
            rows={rows}
            id={(r) => r.id}
            head={{ id: "time", title: "Time", class: "pg-time", cell: ({ event: e }) => <time dateTime={new Date(e.time_ms).toISOString()}>{time(e.time_ms)}</time> }}
            columns={columns}
            sort={key ? sort : ""}
            onSort={(s) => change({ sort: s ? `events:${s}` : "" }, true)}
            open={state.open}
            onOpen={(id) => change({ open: state.open.includes(id) ? state.open.filter((o) => o !== id) : [...state.open, id] }, true)}
            details={(r) => (
              <>
                <Facts
                  list={[
                    ["time", `${dateTime(r.event.time_ms)}.${String(r.event.time_ms % 1000).padStart(3, "0")}`],
                    ["kind", r.event.kind],
                    ["what", r.event.title],
                    ["host", [r.event.host, r.event.host_id !== r.event.host && r.event.host_id].filter(Boolean).join(", ")],
                    ...otherLabels(r.event),
                    ["stack", r.event.has_stack ? r.event.stack : "not known"],
                  ]}
                />
                <p class="pg-links">
                  <a {...whatRan(r)}>What ran on the host, {aroundMs / 1000} s before and after</a>
                  {r.event.has_stack && <a {...ownStacks(r)}>Stacks of the event</a>}
                </p>
              </>
            )}
            rowClass="event"
            rowData={(r) => ({ "data-kind": r.event.kind })}
          />
          {rows.length === 0 && <p class="faded pad">No event matches. Escape in the field shows all.</p>}
          {data.found.hidden > 0 && <p class="faded pad">Not listed: {many(data.found.hidden, "older event")}. A shorter range or a narrower query shows them.</p>}
        </section>
      )}
      {!data && !error && <p class="note">Asking the server …</p>}
    </section>
  );
}

/** What will be here, and how to make something be. */
function Empty({ moved }: { moved: boolean }) {
  const where = new URL("api/v1/upload", location.href);
  where.search = "";
  return (
    <div class="note pg-empty">
      <h2>No events in this range</h2>
      {moved && <p>Another range or query may have some.</p>}
      <p>
        This page lists what happened on hosts, such as a process that was killed for want of memory, with the stack that it happened in and a link to the profile of the seconds around it. Events are samples of the
        type <code>event</code>. They come over OTLP, as any count that is not another type, or with curl:
      </p>
      <pre tabIndex={0}>{`echo 'cgroup;out_of_memory;oom_kill_process 1' |
  curl --data-binary @- '${where.href}?type=event&service=shop&host=web-1&event.name=oom&event.title=shop%20was%20killed'`}</pre>
      <p>The label event.name is the kind, event.title what is read first; all other parameters are labels. A server with tokens needs one with the role ingest.</p>
    </div>
  );
}
