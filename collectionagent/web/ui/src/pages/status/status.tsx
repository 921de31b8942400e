// SPDX-License-Identifier: Apache-2.0
// How hosts and delivery do: what became of every sample.

import { useEffect, useMemo, useState } from "preact/hooks";
import * as api from "../../api/client";
import { bytes, dateTime, duration, exact, many, percent } from "../../ui/format";
import {
  agentEquation,
  byWeight,
  condition,
  dropText,
  join,
  refusalText,
  serverEquation,
  sortHosts,
  total,
  type Equation,
  type HostKey,
  type HostRow,
} from "./ledger";
import type { PageProps } from "../page";

const refreshMs = 5000;
const maxHosts = "500";

export function Status({ state, paused, change }: PageProps) {
  const [data, setData] = useState<{ ledger: api.LedgerAnswer; rows: HostRow[] } | null>(null);
  const [error, setError] = useState("");
  const [key, setKey] = useState<HostKey>("attention");
  const [descending, setDescending] = useState(false);

  useEffect(() => {
    const abort = new AbortController();
    let timer = 0;
    const ask = async () => {
      try {
        const [ledger, hosts] = await Promise.all([api.ledger({ limit: maxHosts }, abort.signal), api.hosts({ limit: maxHosts }, abort.signal)]);
        setData({ ledger, rows: join(ledger, hosts) });
        setError("");
      } catch (e) {
        if ((e as Error).name === "AbortError") return;
        setError(e instanceof api.QueryError ? e.message : `the server cannot be reached: ${(e as Error).message}`);
      }
      if (!paused) timer = window.setTimeout(() => (document.hidden ? wait() : ask()), refreshMs);
    };
    const wait = () => document.addEventListener("visibilitychange", () => ask(), { once: true, signal: abort.signal });
    ask();
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [paused, state.project]);
  useEffect(() => setData(null), [state.project]); // what is shown belongs to another project

  const now = data?.ledger.now_ms ?? 0;
  const rows = useMemo(() => (data ? sortHosts(data.rows, key, descending, state.find, now) : []), [data, key, descending, state.find]);
  const open = (id: string) => change({ open: state.open.includes(id) ? state.open.filter((o) => o !== id) : [...state.open, id] }, true);

  const head = (k: HostKey, text: string, numeric = false) => (
    <th class={numeric ? "number" : ""} scope="col" aria-sort={k === key ? (descending ? "descending" : "ascending") : "none"}>
      <button
        type="button"
        onClick={() => {
          if (k !== key) {
            setKey(k);
            setDescending(numeric);
          } else if (descending === numeric) setDescending(!descending);
          else setKey("attention"); // the third time returns to the server's order
        }}
      >
        {text} {k === key ? (descending ? "↓" : "↑") : ""}
      </button>
    </th>
  );

  return (
    <main class="status" data-ready={!!data}>
      {error && (
        <div class="alert" role="alert">
          {error}
        </div>
      )}
      {data && (
        <>
          <Sums ledger={data.ledger} />
          <section class="panel hosts" aria-label="Hosts">
            <div class="panel-head">
              <h2>Hosts</h2>
              <input
                class="search"
                type="search"
                placeholder="Find host, state, version   ( / )"
                aria-label="Find hosts"
                value={state.find}
                onInput={(e) => change({ find: e.currentTarget.value }, true)}
                onKeyDown={(e) => {
                  if (e.key === "Escape") {
                    change({ find: "" }, true);
                    e.currentTarget.blur();
                  }
                }}
              />
              <span class="faded" role="status">
                {state.find ? `${rows.length} of ${exact(data.rows.length)} shown` : `${exact(data.rows.length + data.ledger.hidden)} in all`}
              </span>
            </div>
            <div class="table">
              <table>
                <thead>
                  <tr>
                    {head("host", "Host")}
                    {head("state", "State")}
                    {head("age", "Report", true)}
                    {head("captured", "Captured", true)}
                    {head("stored", "Stored", true)}
                    {head("queued", "Queued", true)}
                    {head("spooled", "Spooled", true)}
                    {head("dropped", "Dropped", true)}
                    {head("spool", "Spool", true)}
                    {head("version", "Version")}
                    {head("off", "Off")}
                  </tr>
                </thead>
                <tbody onKeyDown={moveBetweenRows}>
                  {rows.map((h) => (
                    <Host key={h.host_id} host={h} now={now} open={state.open.includes(h.host_id)} onOpen={() => open(h.host_id)} />
                  ))}
                </tbody>
              </table>
              {rows.length === 0 && <p class="faded pad">{state.find ? "No host matches." : "No host has sent anything yet."}</p>}
              {data.ledger.hidden > 0 && <p class="faded pad">Not listed: {many(data.ledger.hidden, "more host")}, in less need of attention.</p>}
            </div>
          </section>
        </>
      )}
      {!data && !error && <p class="note">Asking the server …</p>}
    </main>
  );
}

/** Up and down go from host to host. */
function moveBetweenRows(e: KeyboardEvent) {
  if (e.key !== "ArrowDown" && e.key !== "ArrowUp") return;
  const buttons = [...(e.currentTarget as HTMLElement).querySelectorAll<HTMLElement>(".host-name button")];
  const at = buttons.indexOf(document.activeElement as HTMLElement);
  if (at < 0) return;
  buttons[at + (e.key === "ArrowDown" ? 1 : -1)]?.focus();
  e.preventDefault();
}

function Sums({ ledger }: { ledger: api.LedgerAnswer }) {
  const agents = agentEquation(ledger.agents);
  const server = serverEquation(ledger.server);
  const dropped = byWeight(ledger.agents.dropped);
  const refused = byWeight(ledger.server.refused);
  const reporting = ledger.hosts.some((h) => h.agent);
  return (
    <section class="panel sums" aria-label="What became of every sample">
      <div class="panel-head">
        <h2>What became of every sample</h2>
        <span class="faded">agents by their last reports, the server since it started</span>
      </div>
      {reporting || agents.whole.value > 0 ? (
        <Sum of={agents} label="Agents" />
      ) : (
        <p class="faded pad">No agent has reported since the server started. Agents do about every 10 s; older ones, and those of other makes, never.</p>
      )}
      <Reasons title="Dropped:" list={dropped} text={dropText} />
      {ledger.agents.recovered > 0 && <p class="faded pad">{exact(ledger.agents.recovered)} of those captured were found in spools, left by earlier runs.</p>}
      {ledger.inconsistent > 0 && (
        <p class="warning" role="alert">
          <b>⚠</b> The {ledger.inconsistent === 1 ? "report of one agent does" : `reports of ${exact(ledger.inconsistent)} agents do`} not add up: samples went missing
          uncounted there. Please report it as a bug of the agent.
        </p>
      )}
      {ledger.unaccounted > 0 && (
        <p class="warning" role="alert">
          <b>⚠</b> The store does not hold {many(ledger.unaccounted, "sample")} acknowledged to agents. Was it put back to an older copy?
        </p>
      )}
      <Sum of={server} label="Server" />
      <Reasons title="Refused:" list={refused} text={refusalText} />
    </section>
  );
}

function Reasons({ title, list, text }: { title: string; list: [string, number][]; text(name: string): string }) {
  if (list.length === 0) return null;
  return (
    <p class="reasons">
      <span class="faded">{title}</span>
      {list.map(([name, n]) => (
        <span key={name} title={name}>
          {exact(n)} <span class="faded">{text(name)}</span>
        </span>
      ))}
    </p>
  );
}

/** An equation with all its digits, and whether it is one. */
function Sum({ of, label }: { of: Equation; label: string }) {
  const sign = of.off === 0 ? "=" : "≠";
  return (
    <div class="sum" role="group" aria-label={label} data-off={of.off}>
      <span class="sum-label">{label}</span>
      <Amount term={of.whole} />
      {of.parts.map((p, i) => (
        <span key={p.name} class="term">
          <span class="sign">{i === 0 ? sign : "+"}</span>
          <Amount term={p} bad={p.name === "dropped" && p.value > 0} />
        </span>
      ))}
      <span class={of.off === 0 ? "verdict good" : "verdict bad"}>
        {of.off === 0 ? "✓ adds up" : `⚠ ${exact(Math.abs(of.off))} ${of.off < 0 ? "missing" : "too many"}`}
      </span>
    </div>
  );
}

function Amount({ term, bad = false }: { term: { name: string; value: number; hint: string }; bad?: boolean }) {
  return (
    <span class={bad ? "amount bad" : "amount"} title={term.hint}>
      <b>{exact(term.value)}</b>
      <span>{term.name}</span>
    </span>
  );
}

function Host({ host: h, now, open, onOpen }: { host: HostRow; now: number; open: boolean; onOpen(): void }) {
  const c = condition(h, now);
  const l = h.agent;
  const lost = l ? total(l.dropped) : 0;
  const off = h.about?.limitations ?? [];
  const cell = (label: string, value: string, bad = false) => (
    <td class={bad ? "number bad" : "number"} data-label={label}>
      {bad && <span aria-hidden="true">⚠ </span>}
      {value}
    </td>
  );
  return (
    <>
      <tr class={open ? "host open" : "host"} data-host={h.host} data-state={h.state} onClick={onOpen}>
        <th scope="row" class="host-name">
          <button type="button" aria-expanded={open} title={h.host_id}>
            <span aria-hidden="true">{open ? "▾" : "▸"}</span> {h.host}
          </button>
        </th>
        <td data-label="State" class="condition">
          <span class={`mark ${c.mark}`} aria-hidden="true">
            {c.sign}
          </span>{" "}
          {c.text}
        </td>
        {cell("Report", h.reported_ms ? `${duration(Math.max(0, now - h.reported_ms))} ago` : "never")}
        {cell("Captured", l ? exact(l.captured) : "–", !h.consistent)}
        {cell("Stored", exact(l ? l.stored : h.server_stored), h.unaccounted > 0)}
        {cell("Queued", l ? exact(l.queued) : "–")}
        {cell("Spooled", l ? exact(l.spooled) : "–")}
        {cell("Dropped", l ? exact(lost) : "–", lost > 0)}
        {cell("Spool", spoolText(h.spool))}
        <td data-label="Version">{h.agent_version || "–"}</td>
        <td data-label="Off" class={off.length ? "name" : "name none"} title={off.map((o) => o.name).join(", ")}>
          {off.length ? off.map((o) => o.name).join(", ") : l ? "nothing" : "–"}
        </td>
      </tr>
      {open && (
        <tr class="details">
          <td colSpan={11}>
            <Details host={h} now={now} />
          </td>
        </tr>
      )}
    </>
  );
}

function spoolText(s: api.Spool | null): string {
  if (!s) return "–";
  if (s.state !== "on" && s.state !== "off") return "not working";
  if (s.state === "off") return "off";
  return s.bytes === 0 ? "empty" : percent(s.bytes, s.max_bytes);
}

function Details({ host: h, now }: { host: HostRow; now: number }) {
  const l = h.agent;
  const about = h.about;
  const fact = (name: string, value: string | false | null | undefined) =>
    value ? (
      <>
        <dt>{name}</dt>
        <dd>{value}</dd>
      </>
    ) : null;
  return (
    <div class="detail">
      {l ? <Sum of={agentEquation(l)} label="This run" /> : <p class="faded">This agent never reported: it is an older one, of another make, or has been away since the server started.</p>}
      {h.unaccounted > 0 && (
        <p class="warning">
          <b>⚠</b> The store holds {many(h.server_stored, "sample")} of this run, {exact(h.unaccounted)} fewer than were acknowledged.
        </p>
      )}
      {l && <Reasons title="Dropped:" list={byWeight(l.dropped)} text={dropText} />}
      <dl>
        {fact("last error", h.last_error)}
        {fact("spool", h.spool && (h.spool.state === "on" ? `${bytes(h.spool.bytes)} of ${bytes(h.spool.max_bytes)} in ${h.spool.batches === 1 ? "one batch" : `${exact(h.spool.batches)} batches`}` : h.spool.state))}
        {fact("in the store", `${many(h.server_stored, "sample")} of ${l ? "this run" : "all runs that are remembered"}`)}
        {fact("recovered", l && l.recovered > 0 && `${many(l.recovered, "sample")} of earlier runs, from the spool`)}
        {fact("last drop", h.dropped_ms > 0 && `${dateTime(h.dropped_ms)} or before`)}
        {fact("started", about && about.started_ms > 0 && `${dateTime(about.started_ms)}, ${duration(Math.max(0, now - about.started_ms))} ago`)}
        {fact("clock", about && Math.abs(about.clock_offset_ms) >= 2000 && `${duration(Math.abs(about.clock_offset_ms))} ${about.clock_offset_ms > 0 ? "ahead" : "behind"}`)}
        {fact("system", [about?.metadata["os.description"], about?.kernel && `kernel ${about.kernel}`, about?.metadata["host.arch"]].filter(Boolean).join(", "))}
        {fact("last seen", about && about.last_seen_ms > 0 && dateTime(about.last_seen_ms))}
        {fact("host ID", h.host_id)}
        {fact("run", h.run_id)}
      </dl>
      {about && about.limitations.length > 0 && (
        <>
          <h3>Off on this host</h3>
          <ul class="off">
            {about.limitations.map((o) => (
              <li key={o.name}>
                <b>{o.name}</b>
                {o.effect && `: ${o.effect}`}
                {o.fix && <span class="faded"> To turn it on: {o.fix}</span>}
              </li>
            ))}
          </ul>
        </>
      )}
    </div>
  );
}

/** One line for the profile when samples of its time may be lost. */
export function Lost({ lost, onShow }: { lost: api.LedgerAnswer["lost"]; onShow(): void }) {
  if (!lost.samples) return null;
  return (
    <p class="lost" role="note">
      <b aria-hidden="true">⚠</b> Not in the profile: up to {many(lost.samples, "sample")} of this time, dropped on {many(lost.hosts, "host")}.{" "}
      <button type="button" onClick={onShow}>
        What became of them
      </button>
    </p>
  );
}
