// SPDX-License-Identifier: Apache-2.0
// What became of every sample, as equations that add up digit by digit.

import type { LedgerAnswer } from "../../api/client";
import type { Change, State } from "../../state/state";
import { exact, many } from "../../ui/format";
import { linkTo } from "../links";
import { agentEquation, byWeight, dropText, refusalText, serverEquation } from "./ledger";
import { Reasons, Sum } from "./sum";

export function Deliveries({ ledger, state, change }: { ledger: LedgerAnswer; state: State; change: Change }) {
  const agents = agentEquation(ledger.agents);
  const hosts = ledger.hosts.length + ledger.hidden;
  return (
    <section class="panel sums" aria-label="What became of every sample">
      <div class="panel-head">
        <h2>What became of every sample</h2>
        <span class="faded">agents by their last reports, the server since it started</span>
        <span class="spacer" />
        <a {...linkTo(change, { ...state, page: "hosts", find: "", open: [], sort: "" })}>{many(hosts, "host")}</a>
      </div>
      {agents.whole.value > 0 || ledger.hosts.some((h) => h.agent) ? (
        <Sum of={agents} label="Agents" />
      ) : (
        <p class="faded pad">No agent has reported since the server started. Agents do about every 10 s; older ones, and those of other makes, never.</p>
      )}
      <Reasons title="Dropped:" list={byWeight(ledger.agents.dropped)} text={dropText} />
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
      <Sum of={serverEquation(ledger.server)} label="Server" />
      <Reasons title="Refused:" list={byWeight(ledger.server.refused)} text={refusalText} />
    </section>
  );
}
