// SPDX-License-Identifier: Apache-2.0
// Whose data is shown, and the way out.

import { useEffect, useState } from "preact/hooks";
import * as api from "../api/client";

export function Account({ project, onProject }: { project: string; onProject(v: string): void }) {
  const [who, setWho] = useState<api.WhoamiAnswer | null>(null);
  const [problem, setProblem] = useState("");
  useEffect(() => {
    api.whoami().then(setWho, () => {}); // the profile shows what is wrong
  }, []);
  if (!who || (!who.auth && who.projects.length < 2)) return null;
  const shown = project || who.project;
  const title = who.token ? `Token ${who.token}${who.token_name ? ` (${who.token_name})` : ""}: ${who.roles.join(", ")}` : "";
  return (
    <>
      {who.projects.length > 1 ? (
        <select aria-label="Project" title={title} value={shown} onChange={(e) => onProject(e.currentTarget.value)}>
          {[...new Set([shown, ...who.projects])].sort().map((p) => (
            <option key={p} value={p}>
              {p}
            </option>
          ))}
        </select>
      ) : (
        <span class="project" title={title}>
          <span class="visually-hidden">Project </span>
          {shown}
        </span>
      )}
      {who.session && (
        <button
          type="button"
          title={problem || title}
          onClick={() => api.logout().then(() => location.assign("login"), () => setProblem("The server cannot be reached, you are still logged in"))}
        >
          {problem ? "Log out failed" : "Log out"}
        </button>
      )}
    </>
  );
}
