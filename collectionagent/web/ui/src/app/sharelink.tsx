// SPDX-License-Identifier: Apache-2.0
// Copies a link to what is shown: as it is, or with the times that are on the screen.

import { useEffect, useState } from "preact/hooks";
import { pinned } from "../model/timerange";
import { formatState, type State } from "../state/state";
import { copyText } from "../ui/clipboard";
import { useKeys } from "../ui/keys";
import { Popover } from "../ui/popover";

/** The whole address of a state. */
const link = (s: State) => new URL(formatState(s), location.href).href;

/** The state with ends of ranges that do not move on. */
function pin(s: State): State {
  const now = Date.now();
  const base = s.bfrom && s.bto ? pinned({ from: s.bfrom, to: s.bto }, now) : null;
  return { ...s, ...pinned(s, now), ...(base ? { bfrom: base.from, bto: base.to } : {}) };
}

export function ShareLink({ state, announce }: { state: State; announce(text: string): void }) {
  const [open, setOpen] = useState(false);
  const [copied, setCopied] = useState(false);
  const [byHand, setByHand] = useState("");
  const relative = state.to.startsWith("now") || state.from.startsWith("now");
  const copy = async (s: State) => {
    if (!(await copyText(link(s)))) {
      setByHand(link(s));
      setOpen(true);
      return;
    }
    setOpen(false);
    setByHand("");
    setCopied(true);
    announce("The link is copied");
  };
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(false), 1500);
    return () => clearTimeout(timer);
  }, [copied]);
  useKeys([
    { key: "y", what: "Copy a link to this view", group: "Page", run: () => void copy(state) },
    { key: "Y", what: "Copy a link to this view and to these very times", group: "Page", run: () => void copy(pin(state)) },
  ]);
  return (
    <Popover
      open={open}
      onOpen={(o) => {
        setOpen(o);
        setByHand("");
      }}
      name="Copy link"
      role={byHand ? "dialog" : "menu"}
      title="Copy a link to this view (y)"
      label={copied ? "Copied ✓" : "Copy link"}
    >
      {byHand ? (
        <label class="pad">
          Copy this:
          <input data-first readOnly value={byHand} onFocus={(e) => e.currentTarget.select()} style={{ width: "320px", maxWidth: "80vw" }} />
        </label>
      ) : (
        <>
          <button type="button" role="menuitem" onClick={() => copy(state)}>
            {relative ? `As it is: ${state.from} to ${state.to} of whenever it is opened` : "As it is"}
          </button>
          {relative && (
            <button type="button" role="menuitem" onClick={() => copy(pin(state))}>
              With these very times
            </button>
          )}
        </>
      )}
    </Popover>
  );
}
