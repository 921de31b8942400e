// SPDX-License-Identifier: Apache-2.0
// How the server does: what became of every sample, storage, retention, what comes in, and what is scraped.

import * as api from "../../api/client";
import { many } from "../../ui/format";
import type { PageProps } from "../page";
import { usePolled } from "../poll";
import { Problem } from "../widgets";
import { Deliveries } from "./deliveries";
import { Ingest, Retention, Server, Storage } from "./server";
import { Targets } from "./targets";
import { Tokens } from "./tokens";
import { warnings } from "./words";

const refreshMs = 5000;

export function Status({ state, change, paused, announce }: PageProps) {
  const { data, error, again } = usePolled(
    async (signal) => {
      const [status, ledger, targets, who] = await Promise.all([
        api.status(signal),
        api.ledger({ limit: "1" }, signal),
        api.targets({}, signal),
        api.whoami(),
      ]);
      // With a server that needs none there are no tokens to list.
      const tokens = who.auth && who.roles.includes("admin") ? await api.tokens(signal) : null;
      return { status, ledger, targets, who, tokens };
    },
    "status",
    state.project,
    paused ? 0 : refreshMs,
  );
  if (!data) {
    return (
      <section class="page" data-page="status" data-ready="false">
        <Problem text={error} again={again} />
        {!error && <p class="note">Asking the server …</p>}
      </section>
    );
  }
  const { status, ledger } = data;
  return (
    <section class="page pg-status" data-page="status" data-ready="true">
      <Problem text={error} again={again} />
      {warnings(status).map((w) => (
        <p key={w.text} class="warning" role="alert">
          <b aria-hidden="true">⚠</b> <b>{w.text}</b> {w.todo}
        </p>
      ))}
      <Deliveries ledger={ledger} change={change} state={state} />
      <div class="pg-grid">
        <Server status={status} who={data.who} />
        <Ingest status={status} />
        {status.store && <Storage store={status.store} now={status.now_ms} />}
        {status.retention && <Retention status={status} />}
      </div>
      <Targets data={data.targets} state={state} change={change} />
      {data.tokens && <Tokens list={data.tokens.tokens} now={status.now_ms} announce={announce} wide={data.who.server_wide} />}
    </section>
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
