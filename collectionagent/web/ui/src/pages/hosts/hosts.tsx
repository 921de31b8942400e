// SPDX-License-Identifier: Apache-2.0
// The hosts with their agents: what they are, how they do, and what is off on them.

import { useMemo } from "preact/hooks";
import * as api from "../../api/client";
import { duration, exact, many, percent } from "../../ui/format";
import type { PageProps } from "../page";
import { explore, linkTo, selector } from "../links";
import { usePolled } from "../poll";
import { RowTable, type Column } from "../rowtable";
import { byWeight, dropText, total } from "../status/ledger";
import { Find, Problem } from "../widgets";
import { Details } from "./details";
import { byState, condition, hostKeys, hostMatcher, join, lastSeen, sortHosts, stateWord, type HostKey, type HostRow } from "./rows";

const refreshMs = 5000;
const maxHosts = "5000";

export function Hosts({ state, change, paused, announce }: PageProps) {
  const { data, error, again } = usePolled(
    async (signal) => {
      const [ledger, hosts] = await Promise.all([api.ledger({ limit: maxHosts }, signal), api.hosts({ limit: maxHosts }, signal)]);
      return { now: ledger.now_ms, hidden: ledger.hidden, rows: join(ledger, hosts) };
    },
    "hosts",
    state.project,
    paused ? 0 : refreshMs,
  );
  const sort = state.sort.startsWith("hosts:") ? state.sort.slice(6) : "";
  const key = hostKeys.find((k) => k === sort.replace(/^-/, "")) ?? "attention";
  const rows = useMemo(() => (data ? sortHosts(data.rows, key as HostKey, sort.startsWith("-"), state.find, data.now) : []), [data, key, sort, state.find]);
  const now = data?.now ?? 0;
  const twice = useMemo(() => {
    const seen = new Map<string, number>();
    for (const h of data?.rows ?? []) seen.set(h.host, (seen.get(h.host) ?? 0) + 1);
    return (h: HostRow) => seen.get(h.host)! > 1 && h.host_id !== h.host;
  }, [data]);
  const profile = (h: HostRow) => linkTo(change, explore(state, { query: selector(hostMatcher(h, data!.rows)) }));

  const number = (id: string, title: string, hint: string, value: (h: HostRow) => number | null, bad?: (h: HostRow) => boolean): Column<HostRow> => ({
    id,
    title,
    hint,
    numeric: true,
    class: (h) => (bad?.(h) ? "bad" : ""),
    cell(h) {
      const n = value(h);
      return n === null ? "–" : `${bad?.(h) ? "⚠ " : ""}${exact(n)}`;
    },
  });
  const columns: Column<HostRow>[] = [
    {
      id: "state",
      title: "State",
      hint: "How the agent and this server get on",
      class: "condition",
      cell(h) {
        const c = condition(h, now);
        return (
          <>
            <span class={`mark ${c.mark}`} aria-hidden="true">
              {c.sign}
            </span>{" "}
            {c.text}
          </>
        );
      },
    },
    {
      id: "age",
      title: "Last seen",
      hint: "Agents report about every 10 s",
      numeric: true,
      cell: (h) => (lastSeen(h) ? `${duration(Math.max(0, now - lastSeen(h)))} ago` : "never"),
    },
    number("captured", "Captured", "Samples that this run of the agent took, and found in its spool", (h) => h.agent?.captured ?? null, (h) => !h.consistent),
    number("stored", "Stored", "Of them, on the server's disk", (h) => h.agent?.stored ?? h.server_stored, (h) => h.unaccounted > 0),
    number("queued", "Queued", "Of them, in the agent's memory, to be sent", (h) => h.agent?.queued ?? null),
    number("spooled", "Spooled", "Of them, on the host's disk, to be sent", (h) => h.agent?.spooled ?? null),
    {
      id: "dropped",
      title: "Dropped",
      hint: "Of them, lost for good, with the main reason",
      numeric: true,
      class: (h) => (h.agent && total(h.agent.dropped) > 0 ? "bad" : ""),
      cell(h) {
        if (!h.agent) return "–";
        const [main] = byWeight(h.agent.dropped);
        if (!main) return "0";
        return <span title={byWeight(h.agent.dropped).map(([name, n]) => `${exact(n)} ${dropText(name)}`).join("\n")}>⚠ {exact(total(h.agent.dropped))}</span>;
      },
    },
    { id: "spool", title: "Spool", hint: "How full the agent's buffer on disk is", numeric: true, cell: (h) => spoolText(h.spool) },
    { id: "version", title: "Agent", hint: "Version of the agent", class: "pg-cut", cell: (h) => (h.agent_version ? <span title={h.agent_version}>{h.agent_version}</span> : "–") },
    {
      id: "kernel",
      title: "Kernel",
      class: "pg-cut",
      cell(h) {
        const text = [h.about?.kernel, h.about?.metadata["host.arch"]].filter(Boolean).join(" ");
        return text ? <span title={text}>{text}</span> : "–";
      },
    },
    {
      id: "off",
      title: "Off",
      hint: "What does not work on the host; the details say why and how to turn it on",
      class: "pg-cut",
      cell(h) {
        const off = h.about?.limitations.map((l) => l.name) ?? [];
        return off.length ? <span title={off.join("\n")}>{off.join(", ")}</span> : h.agent ? "nothing" : "–";
      },
    },
    {
      id: "profile",
      title: "Profile",
      unsorted: true,
      class: "pg-link",
      cell: (h) => (
        <a {...profile(h)} aria-label={`Profile of ${h.host}`}>
          profile
        </a>
      ),
    },
  ];

  return (
    <section class="page" data-page="hosts" data-ready={!!data} data-rows={rows.length}>
      <Problem text={error} again={again} />
      {data && (
        <section class="panel grow pg-panel" aria-label="Hosts">
          <div class="panel-head">
            <h2>Hosts</h2>
            <Find
              value={state.find}
              change={change}
              what="host, state, version, kernel"
              count={state.find ? `${exact(rows.length)} of ${exact(data.rows.length)} shown` : `${exact(data.rows.length + data.hidden)} in all`}
            />
            <span class="pg-chips" role="group" aria-label="Hosts by state">
              {byState(data.rows, now).map(({ state: c, hosts }) => (
                <button
                  key={c.text}
                  type="button"
                  class={state.find === stateWord(c) ? "on" : ""}
                  aria-pressed={state.find === stateWord(c)}
                  onClick={() => change({ find: state.find === stateWord(c) ? "" : stateWord(c) }, true)}
                >
                  <span class={`mark ${c.mark}`} aria-hidden="true">
                    {c.sign}
                  </span>{" "}
                  {exact(hosts)} {c.text}
                </button>
              ))}
            </span>
          </div>
          <RowTable
            label="Hosts"
            rows={rows}
            id={(h) => h.host_id}
            head={{
              id: "host",
              title: "Host",
              class: "host-name",
              cell: (h) => (
                <span title={h.host_id}>
                  {h.host}
                  {twice(h) && <span class="faded"> {h.host_id.slice(0, 8)}</span>}
                </span>
              ),
            }}
            columns={columns}
            sort={key === "attention" ? "" : sort}
            onSort={(s) => change({ sort: s ? `hosts:${s}` : "" }, true)}
            open={state.open}
            onOpen={(id) => change({ open: state.open.includes(id) ? state.open.filter((o) => o !== id) : [...state.open, id] }, true)}
            details={(h) => <Details host={h} now={now} announce={announce} profile={profile(h)} />}
            rowClass="host"
            rowData={(h) => ({ "data-host": h.host, "data-state": h.state })}
          />
          {rows.length === 0 && (
            <p class="faded pad">
              {state.find ? (
                "No host matches. Escape in the field shows all."
              ) : (
                <>
                  No host has sent anything yet. Start an agent on one: <code>sudo agent -collection-agent {location.hostname}:11000</code>
                </>
              )}
            </p>
          )}
          {data.hidden > 0 && <p class="faded pad">Not listed: {many(data.hidden, "more host")}, in less need of attention.</p>}
        </section>
      )}
      {!data && !error && <p class="note">Asking the server …</p>}
    </section>
  );
}

function spoolText(s: api.Spool | null): string {
  if (!s) return "–";
  if (s.state !== "on" && s.state !== "off") return "not working";
  if (s.state === "off") return "off";
  return s.bytes === 0 ? "empty" : percent(s.bytes, s.max_bytes);
}
