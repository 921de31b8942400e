// SPDX-License-Identifier: Apache-2.0
// The tokens of the project, without their secrets.

import type { TokensAnswer } from "../../api/client";
import { dateTime, duration, exact } from "../../ui/format";
import { Copy } from "../widgets";

interface Props {
  list: TokensAnswer["tokens"];
  now: number;
  wide: boolean;
  announce(text: string): void;
}

export function Tokens({ list, now, wide, announce }: Props) {
  const day = 86400e3;
  return (
    <section class="panel pg-tokens" data-part="tokens" data-rows={list.length} aria-label="Tokens">
      <div class="panel-head">
        <h2>Tokens</h2>
        <span class="faded">
          {exact(list.length)} {wide ? "of all projects" : "of the project"}; made and revoked with <code>collectionagent token</code>
        </span>
      </div>
      <div class="table">
        <table class="pg-table pg-plain">
          <thead>
            <tr>
              <th scope="col">Name</th>
              <th scope="col">State</th>
              {wide && <th scope="col">Project</th>}
              <th scope="col">Roles</th>
              <th scope="col">ID</th>
              <th scope="col">Last used</th>
              <th scope="col">Expires</th>
            </tr>
          </thead>
          <tbody>
            {list.map((t) => {
              const soon = t.expires_ms > 0 && t.expires_ms - now < 7 * day;
              return (
                <tr key={t.id}>
                  <th scope="row">{t.name || "(no name)"}</th>
                  <td data-label="State">{t.state}</td>
                  {wide && <td data-label="Project">{t.project === "*" ? "all" : t.project}</td>}
                  <td data-label="Roles">{t.roles.join(", ")}</td>
                  <td data-label="ID">
                    <Copy text={t.id} what="ID of the token" announce={announce} />
                  </td>
                  <td data-label="Last used">{t.last_used_ms ? `${duration(Math.max(0, now - t.last_used_ms))} ago` : "not since the start"}</td>
                  <td data-label="Expires" class={soon ? "bad" : ""}>
                    {t.expires_ms ? `${soon ? "⚠ " : ""}${dateTime(t.expires_ms)}` : "never"}
                  </td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
    </section>
  );
}
