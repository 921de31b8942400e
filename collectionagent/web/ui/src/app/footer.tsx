// SPDX-License-Identifier: Apache-2.0
// What the profile was made from and what it lacks, below it.

import { facts, moreNodes, type About } from "../model/facts";

interface Props {
  about: About | null;
  version: string;
  onNodes(nodes: number): void;
  onStatus(): void;
}

export function Footer({ about, version, onNodes, onStatus }: Props) {
  return (
    <footer aria-label="What this was made from">
      {about &&
        facts(about).map((f) => (
          <span key={f.id} class={f.warn ? "fact fact-warn" : "fact"} data-fact={f.id} title={f.more}>
            {f.warn && <b aria-hidden="true">⚠ </b>}
            {f.act === "status" ? (
              <button type="button" class="link" onClick={onStatus}>
                {f.text}
              </button>
            ) : (
              f.text
            )}
            {f.act === "nodes" && (
              <>
                {" "}
                <button type="button" class="link" onClick={() => onNodes(moreNodes(about.maxNodes))}>
                  show more
                </button>
              </>
            )}
          </span>
        ))}
      <span class="spacer" />
      {version && <span class="faded">Strobe {version}</span>}
    </footer>
  );
}
