// SPDX-License-Identifier: Apache-2.0
// A question of a view to the server: asked again when what it depends on changes, with the last
// answer on the screen until the next one is there.

import { useEffect, useRef, useState } from "preact/hooks";

export interface Asked<T> {
  /** The last answer, also while the next one is on its way; null before the first. */
  answer: T | null;
  /** Why the last question was not answered, "" when it was. */
  error: string;
  /** An answer is on its way. */
  waiting: boolean;
  /** What the answer is to. */
  key: string | null;
}

/**
 * Asks when key changes; null asks nothing and forgets. With a new generation the same is asked again. An answer
 * that nobody waits for any more is given up. delay ms pass first, for what changes with each move of a pointer.
 */
export function useAsk<T>(key: string | null, generation: number, ask: (signal: AbortSignal) => Promise<T>, delay = 0): Asked<T> {
  const [state, set] = useState({ answer: null as T | null, error: "", key: null as string | null, generation });
  const latest = useRef(ask);
  latest.current = ask;
  useEffect(() => {
    if (key === null) {
      set({ answer: null, error: "", key, generation });
      return;
    }
    const control = new AbortController();
    const timer = setTimeout(() => {
      latest.current(control.signal).then(
        (answer) => !control.signal.aborted && set({ answer, error: "", key, generation }),
        (e: Error) => !control.signal.aborted && set((s) => ({ answer: s.key === key ? s.answer : null, error: e.message, key, generation })),
      );
    }, delay);
    return () => {
      clearTimeout(timer);
      control.abort();
    };
  }, [key, generation]);
  const { answer, error } = state;
  return { answer, error, key: state.key, waiting: key !== null && (state.key !== key || state.generation !== generation) };
}

/** As useAsk, but an answer to another question is not shown in the place of one that is on its way. */
export function useAnswer<T>(ask: ((signal: AbortSignal) => Promise<T>) | null, key: string, generation: number): Asked<T> {
  const asked = useAsk(ask ? key : null, generation, ask ?? (() => Promise.reject(new Error("nothing to ask"))));
  return asked.key === key ? asked : { answer: null, error: "", waiting: ask !== null, key: null };
}
