// SPDX-License-Identifier: Apache-2.0

import { useEffect, useRef } from "preact/hooks";

const keys: [string, string][] = [
  ["/", "search; Escape clears"],
  ["f", "go to the flame graph"],
  ["← → ↑ ↓", "move between frames"],
  ["Enter", "zoom into the frame"],
  ["Escape, Backspace", "zoom out one frame"],
  ["Home", "zoom out to everything"],
  ["t", "table or flame graph"],
  ["b", "both side by side"],
  ["i", "leave interpreters' own frames out, or show them"],
  ["s", "status: hosts, and what became of every sample; and back"],
  ["p", "pause or go on refreshing"],
  ["d", "dark or light"],
  ["?", "this list"],
];

export function Help({ onClose }: { onClose(): void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current!.showModal(), []);
  return (
    <dialog ref={dialog} onClose={onClose} aria-label="Keys" onClick={(e) => e.target === dialog.current && onClose()}>
      <h2>Keys</h2>
      <dl>
        {keys.map(([k, text]) => (
          <>
            <dt key={k}>
              <kbd>{k}</kbd>
            </dt>
            <dd>{text}</dd>
          </>
        ))}
      </dl>
      <p class="faded">Drag over the timeline to choose a range. Click a frame to zoom, an ancestor to go back.</p>
      <button type="button" onClick={onClose}>
        Close
      </button>
    </dialog>
  );
}
