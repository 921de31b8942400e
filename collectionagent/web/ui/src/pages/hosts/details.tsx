// SPDX-License-Identifier: Apache-2.0
// All that is known of a host.

import type { linkTo } from "../links";
import { bytes, dateTime, duration, exact, many, percent } from "../../ui/format";
import { agentEquation, byWeight, dropText } from "../status/ledger";
import { Reasons, Sum } from "../status/sum";
import { Copy, Facts } from "../widgets";
import { lastSeen, type HostRow } from "./rows";

/** Metadata that is told elsewhere, or that nobody looks for. */
const told = new Set(["host.id", "host.name", "agent.version", "kernel.release", "host.arch", "os.description", "host.boot_time", "host.uptime_seconds", "host.memory.bytes", "host.cpu.count", "host.cpu.model.name"]);

interface Props {
  host: HostRow;
  now: number;
  announce(text: string): void;
  profile: ReturnType<typeof linkTo>;
}

export function Details({ host: h, now, announce, profile }: Props) {
  const l = h.agent;
  const m = h.about?.metadata ?? {};
  const ago = (ms: number) => `${dateTime(ms)}, ${duration(Math.max(0, now - ms))} ago`;
  const cpus = Number(m["host.cpu.count"]);
  const hardware = [
    cpus > 0 && `${many(cpus, "CPU")}${m["host.cpu.model.name"] ? ` ${m["host.cpu.model.name"]}` : ""}`,
    Number(m["host.memory.bytes"]) > 0 && `${bytes(Number(m["host.memory.bytes"]))} of memory`,
  ];
  const offset = h.about?.clock_offset_ms ?? 0;
  const rest = Object.entries(m)
    .filter(([name]) => !told.has(name))
    .sort(([a], [b]) => a.localeCompare(b));
  return (
    <>
      {l ? (
        <Sum of={agentEquation(l)} label="This run" />
      ) : (
        <p class="faded">This agent never reported: it is an older one, of another make, or has been away since the server started.</p>
      )}
      {!h.consistent && (
        <p class="warning">
          <b>⚠</b> The report does not add up: samples went missing uncounted. Please report it as a bug of the agent.
        </p>
      )}
      {h.unaccounted > 0 && (
        <p class="warning">
          <b>⚠</b> The store holds {many(h.server_stored, "sample")} of this run, {exact(h.unaccounted)} fewer than were acknowledged. Was it put back to an older copy?
        </p>
      )}
      {l && <Reasons title="Dropped:" list={byWeight(l.dropped)} text={dropText} />}
      {h.about && h.about.limitations.length > 0 && (
        <>
          <h3>Off on this host</h3>
          <ul class="off">
            {h.about.limitations.map((o) => (
              <li key={o.name}>
                <b>{o.name}</b>
                {o.effect && `: ${o.effect}.`}
                {o.fix && <span class="pg-fix"> To turn it on: {o.fix}.</span>}
              </li>
            ))}
          </ul>
        </>
      )}
      <Facts
        list={[
          ["last error", h.last_error],
          ["last seen", lastSeen(h) > 0 && ago(lastSeen(h))],
          ["running since", !!h.about && h.about.started_ms > 0 && ago(h.about.started_ms)],
          ["clock", !!l && (Math.abs(offset) < 2000 ? `as the server's${offset ? ` (${offset > 0 ? "+" : "−"}${Math.abs(offset)} ms)` : ""}` : `⚠ ${duration(Math.abs(offset))} ${offset > 0 ? "ahead" : "behind"}: set it with NTP, samples too far off are refused`)],
          [
            "spool",
            h.spool && (h.spool.state === "on" ? `${bytes(h.spool.bytes)} of ${bytes(h.spool.max_bytes)} (${percent(h.spool.bytes, h.spool.max_bytes)}) in ${many(h.spool.batches, "batch").replace("batchs", "batches")}` : h.spool.state),
          ],
          ["in the store", `${many(h.server_stored, "sample")} of ${l ? "this run" : "all runs that are remembered"}`],
          ["recovered", !!l && l.recovered > 0 && `${many(l.recovered, "sample")} of earlier runs, from the spool`],
          ["last drop", h.dropped_ms > 0 && `${dateTime(h.dropped_ms)} or before`],
          ["system", [m["os.description"], h.about?.kernel && `kernel ${h.about.kernel}`, m["host.arch"]].filter(Boolean).join(", ")],
          ["hardware", hardware.filter(Boolean).join(", ")],
          ["agent", h.agent_version],
          ["host ID", <Copy key="id" text={h.host_id} what="host ID" announce={announce} />],
          ["run", h.run_id && <Copy key="run" text={h.run_id} what="ID of the run" announce={announce} />],
        ]}
      />
      <p class="pg-links">
        <a {...profile}>Profile of this host</a>
      </p>
      {rest.length > 0 && (
        <details>
          <summary>All it says of itself ({rest.length})</summary>
          <Facts list={rest} />
        </details>
      )}
    </>
  );
}
