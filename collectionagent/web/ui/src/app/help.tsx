// SPDX-License-Identifier: Apache-2.0
// The keys that do something at the moment, by what they are about.

import { useLayoutEffect, useMemo, useRef } from "preact/hooks";
import { activeKeys, type Key } from "../ui/keys";
import "./help.css";

/** Headings that come first; others follow as they were registered. */
const order = ["Page", "Views", "Selection", "Time"];

export function groups(keys: readonly Key[]): [string, Key[]][] {
  const found = new Map<string, Key[]>(order.map((g) => [g, []]));
  for (const k of keys) {
    const list = found.get(k.group) ?? [];
    // Two views side by side register the same keys.
    if (!list.some((o) => o.key === k.key && o.what === k.what)) list.push(k);
    found.set(k.group, list);
  }
  return [...found].filter(([, list]) => list.length);
}

const names: Record<string, string> = { ArrowUp: "↑", ArrowDown: "↓", ArrowLeft: "←", ArrowRight: "→", " ": "Space", "-": "−" };

export function Help({ onClose }: { onClose(): void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const lists = useMemo(() => groups(activeKeys()), []);
  useLayoutEffect(() => dialog.current!.showModal(), []);
  return (
    <dialog ref={dialog} class="help" onClose={onClose} aria-label="Keys" onClick={(e) => e.target === dialog.current && dialog.current!.close()} onKeyDown={(e) => e.key === "?" && dialog.current!.close()}>
      <div class="help-head">
        <h2>Keys</h2>
        <button type="button" aria-label="Close" onClick={() => dialog.current!.close()}>
          ×
        </button>
      </div>
      <div class="help-groups">
        {lists.map(([group, keys]) => (
          <section key={group}>
            <h3>{group}</h3>
            <dl>
              {keys.map((k) => (
                <div key={k.key + k.what}>
                  <dt>
                    <kbd>{names[k.key] ?? k.key}</kbd>
                  </dt>
                  <dd>{k.what}</dd>
                </div>
              ))}
            </dl>
          </section>
        ))}
      </div>
      <p class="faded">
        Drag over the timeline to choose a range, with Shift to compare with it. A click on its legend filters. Drop a profile of another program on the page to open it.
      </p>
    </dialog>
  );
}
