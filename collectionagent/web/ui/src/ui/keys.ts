// SPDX-License-Identifier: Apache-2.0
// The keys of the page, in one place: who handles a key registers it here with what it
// does, and the list that "?" shows is made of what is registered.

import { useLayoutEffect, useRef } from "preact/hooks";

export interface Key {
  /** As KeyboardEvent.key has it, such as "/" or "ArrowUp". */
  key: string;
  /** What it does, for the list. */
  what: string;
  /** The heading it is listed under. */
  group: string;
  /** Does it. Not there: the element that has the focus handles the key itself, this is for the list alone. */
  run?(e: KeyboardEvent): void;
}

const active = new Set<{ current: Key[] }>();

/** Every key that does something at the moment, in the order of registration. */
export const activeKeys = (): Key[] => [...active].flatMap((list) => list.current);

/** True where a key is text. */
const typing = (target: EventTarget | null) =>
  target instanceof HTMLElement && (target.isContentEditable || target.matches("input:not([type=checkbox]):not([type=radio]), select, textarea"));

/** Registers keys as long as the component is mounted. */
export function useKeys(keys: Key[]) {
  const list = useRef(keys);
  list.current = keys;
  // From the moment it is seen: Escape may follow at once.
  useLayoutEffect(() => {
    active.add(list);
    return () => void active.delete(list);
  }, []);
}

/** Runs what is registered for a key; the shell calls it once for the document. The latest registration wins. */
export function handleKey(e: KeyboardEvent): void {
  if (e.defaultPrevented || e.ctrlKey || e.metaKey || e.altKey || typing(e.target)) return;
  if (document.querySelector("dialog[open]")) return;
  const found = activeKeys().findLast((k) => k.key === e.key && k.run);
  if (!found) return;
  e.preventDefault();
  found.run!(e);
}
