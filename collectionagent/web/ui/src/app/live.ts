// SPDX-License-Identifier: Apache-2.0
// Says things to who hears the page and does not see it.

import { useCallback, useRef } from "preact/hooks";

/** The element that is read out, for the page to hold, and what says something there. */
export function useAnnounce() {
  const ref = useRef<HTMLDivElement>(null);
  const announce = useCallback((text: string) => {
    const el = ref.current;
    if (!el) return;
    // The same words twice are read twice only when the text changes.
    el.textContent = el.textContent === text ? `${text}\u00a0` : text;
  }, []);
  return { ref, announce };
}
