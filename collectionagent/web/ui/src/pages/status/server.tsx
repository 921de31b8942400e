// SPDX-License-Identifier: Apache-2.0
// The server itself: storage, retention, and what comes in.

import type { ComponentChildren } from "preact";
import type { StatusAnswer, StoreStatus, WhoamiAnswer } from "../../api/client";
import { series } from "../../model/colour";
import { bytes, dateTime, duration, exact, many, percent } from "../../ui/format";
import { Facts, Share } from "../widgets";
import { byWeight, refusalText, total } from "./ledger";
import { age, agesText, parts, rate, ruleText } from "./words";

function Panel({ title, name, children, doc }: { title: string; name: string; children: ComponentChildren; doc?: string }) {
  return (
    <section class="panel pg-part" data-part={name} aria-label={title}>
      <div class="panel-head">
        <h2>{title}</h2>
        <span class="spacer" />
        {doc && <span class="faded" title="Part of the documentation that comes with Strobe">docs/{doc}</span>}
      </div>
      <div class="pg-part-body">{children}</div>
    </section>
  );
}

const taken = (m: { used_bytes: number; limit_bytes: number } | undefined): ComponentChildren =>
  m && (m.limit_bytes ? `${bytes(m.used_bytes)} of ${bytes(m.limit_bytes)}` : bytes(m.used_bytes));

export function Server({ status: s, who }: { status: StatusAnswer; who: WhoamiAnswer }) {
  return (
    <Panel title="Server" name="server" doc="architecture.md">
      <Facts
        list={[
          ["version", s.version || "not known"],
          ["running for", !!s.started_ms && <span title={`since ${dateTime(s.started_ms)}`}>{duration(Math.max(0, s.now_ms - s.started_ms))}</span>],
          ["project", s.project],
          ["access", who.auth ? `as ${who.token_name || "a token"}: ${who.roles.join(", ")}` : "open to everybody who can reach it"],
          ["queries", s.queries && `${exact(s.queries.running)} of ${exact(s.queries.limit)} running, with the page's own, ${exact(s.queries.waiting)} waiting`],
          ["query memory", taken(s.memory?.queries)],
        ]}
      />
      <p class="pg-links">
        <a href="metrics" target="_blank">
          Metrics for Prometheus
        </a>
        <a href="api/v1/status" target="_blank">
          This page as JSON
        </a>
        <a href="api/v1/openapi.json" target="_blank">
          HTTP API
        </a>
      </p>
    </Panel>
  );
}

export function Ingest({ status: s }: { status: StatusAnswer }) {
  const i = s.ingest;
  const m = i?.last_minute;
  return (
    <Panel title="What comes in" name="ingest" doc="limits.md">
      {i ? (
        <Facts
          list={[
            ["last minute", m && `${rate(m.received)} received, ${rate(m.stored)} stored`],
            ["sent again", m && m.duplicate > 0 && rate(m.duplicate)],
            ["refused", m && m.refused > 0 && <b class="problem">⚠ {rate(m.refused)}</b>],
            ["since the start", `${many(i.received, "sample")}, ${exact(i.stored)} stored`],
            [
              "refused in all",
              total(i.refused) > 0 ? (
                <ul>
                  {byWeight(i.refused).map(([name, n]) => (
                    <li key={name} title={name}>
                      {exact(n)} <span class="faded">{refusalText(name)}</span>
                    </li>
                  ))}
                </ul>
              ) : (
                "nothing"
              ),
            ],
            ["request memory", taken(s.memory?.ingest)],
          ]}
        />
      ) : (
        <p class="faded">This server does not count.</p>
      )}
    </Panel>
  );
}

export function Storage({ store: s, now }: { store: StoreStatus; now: number }) {
  const p = parts(s);
  const whole = s.limit_bytes ?? 0;
  const room = Math.max(whole, p.disk, 1);
  return (
    <Panel title="Storage of all projects" name="storage" doc="storage.md">
      <div
        class="pg-storage"
        role="img"
        aria-label={whole ? `${bytes(p.disk)} of at most ${bytes(whole)} used, ${percent(p.disk, whole)}` : `${bytes(p.disk)} used, there is no limit`}
      >
        {p.list
          .filter((x) => x.name !== "object storage")
          .map((x, i) => (
            <i key={x.name} title={`${x.name}: ${bytes(x.bytes)}`} style={{ width: `${(100 * x.bytes) / room}%`, background: series[i % series.length] }} />
          ))}
      </div>
      <p class="pg-storage-sum">
        <b>{bytes(p.disk)}</b> {whole ? `of at most ${bytes(whole)} (${percent(p.disk, whole)})` : "on disk, without a limit"}
      </p>
      <ul class="pg-legend">
        {p.list.map((x, i) => (
          <li key={x.name} title={x.hint}>
            <i style={{ background: series[i % series.length] }} /> {x.name} <b>{bytes(x.bytes)}</b> <span class="faded">{x.hint}</span>
          </li>
        ))}
      </ul>
      <Facts
        list={[
          ["state", s.read_only ? <b class="problem">⚠ read-only: {s.read_only}</b> : s.read_only === undefined ? "" : "takes data"],
          ["free on the disk", s.free_bytes !== undefined && bytes(s.free_bytes)],
          ["samples", `${exact(s.samples)}${s.samples >= 1e6 && p.all > 0 ? `, ${(p.all / s.samples).toFixed(1)} bytes each with all that names them` : ""}`],
          ["oldest", s.oldest_ms > 0 && `${dateTime(s.oldest_ms)}, ${duration(Math.max(0, now - s.oldest_ms))} ago`],
          ["newest", s.newest_ms > 0 && `${dateTime(s.newest_ms)}, ${duration(Math.max(0, now - s.newest_ms))} ago`],
          ["definitions", `${many(s.stacks, "stack")}, ${many(s.symbols, "symbol")}, ${many(s.executables, "executable")}, ${many(s.hosts, "host")}`],
          ["waits to be merged", s.backlog_rows !== undefined && (s.backlog_rows > 0 ? many(s.backlog_rows, "sample") : "nothing")],
          ["engine", s.engine],
        ]}
      />
    </Panel>
  );
}

export function Retention({ status: s }: { status: StatusAnswer }) {
  const r = s.retention!;
  const limit = s.store?.limit_bytes;
  return (
    <Panel title="Retention" name="retention" doc="retention.md">
      <p>{agesText(r)}</p>
      <ul class="pg-ages">
        {(
          [
            ["samples", r.samples_ms],
            ["per minute", r.minutes_ms],
            ["per hour", r.hours_ms],
          ] as const
        ).map(([name, ms]) => (
          <li key={name}>
            <span>{name}</span> <Share part={ms || r.hours_ms || 1} whole={Math.max(r.samples_ms, r.minutes_ms, r.hours_ms) || 1} label={`${name}: ${age(ms)}`} kind="plain" /> <b>{age(ms)}</b>
          </li>
        ))}
      </ul>
      {limit !== undefined && <p>When {bytes(limit)} are full, the oldest go first, whatever their age.</p>}
      {r.rules.length > 0 && (
        <>
          <h3>Other ages</h3>
          <ul>
            {r.rules.map((rule) => (
              <li key={`${rule.project} ${rule.type}`}>
                <b>{ruleText(rule)}</b>: {agesText(rule)}
              </li>
            ))}
          </ul>
        </>
      )}
    </Panel>
  );
}
