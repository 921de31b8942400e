// SPDX-License-Identifier: Apache-2.0
// Says which file is shown in place of the server's data, and leads back.

import { all, opened } from "../files/opened";
import type { Change, State } from "../state/state";

export function FileBar({ state, change }: { state: State; change: Change }) {
  const file = opened(state.file);
  const files = all();
  return (
    <div class="querybar filebar" role="group" aria-label="File">
      <span>
        <b>{file ? file.name : `File ${state.file}`}</b> {file && <span class="faded">{file.format}, in this tab only</span>}
      </span>
      {files.length > 1 && (
        <select aria-label="File" value={state.file} onChange={(e) => change({ file: e.currentTarget.value, zoom: [], fn: "" })}>
          {files.map(([n, f]) => (
            <option key={n} value={n}>
              {f.name}
            </option>
          ))}
        </select>
      )}
      <span class="spacer" />
      {file && (
        <button type="button" title="Compare this file with what the server has" onClick={() => change({ bfile: state.file, file: "", view: "diff" })}>
          Compare with live
        </button>
      )}
      <button type="button" class="primary" onClick={() => change({ file: "", zoom: [], fn: "" })}>
        Back to live
      </button>
    </div>
  );
}
