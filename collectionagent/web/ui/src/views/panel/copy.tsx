// SPDX-License-Identifier: Apache-2.0
// A button that copies a text, and says so.

import { useEffect, useState } from "preact/hooks";

/** Copies also where the page is not served over TLS, where browsers have no clipboard for it. */
async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "visually-hidden";
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

export function Copy({ text, what }: { text: string; what: string }) {
  const [said, setSaid] = useState("");
  useEffect(() => {
    if (!said) return;
    const timer = setTimeout(() => setSaid(""), 1500);
    return () => clearTimeout(timer);
  }, [said]);
  return (
    <button type="button" class="fn-copy" aria-label={`Copy ${what}`} title={`Copy ${what}`} onClick={async () => setSaid((await copy(text)) ? "copied" : "not allowed")}>
      <span aria-live="polite">{said || "copy"}</span>
    </button>
  );
}
