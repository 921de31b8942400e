// SPDX-License-Identifier: Apache-2.0
// A button that copies a text, and says so.

import { useEffect, useState } from "preact/hooks";
import { copyText } from "../../ui/clipboard";

export function Copy({ text, what }: { text: string; what: string }) {
  const [said, setSaid] = useState("");
  useEffect(() => {
    if (!said) return;
    const timer = setTimeout(() => setSaid(""), 1500);
    return () => clearTimeout(timer);
  }, [said]);
  return (
    <button type="button" class="fn-copy" aria-label={`Copy ${what}`} title={`Copy ${what}`} onClick={async () => setSaid((await copyText(text)) ? "copied" : "not allowed")}>
      <span aria-live="polite">{said || "copy"}</span>
    </button>
  );
}
