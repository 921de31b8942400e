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
  /** The generation that was asked for. */
  generation: number;
}

/**
 * Asks when key changes; null asks nothing and forgets. With a new generation the same is asked again. An answer
 * that nobody waits for any more is given up. delay ms pass first, for what changes with each move of a pointer.
 */
export function useAsk<T>(key: string | null, generation: number, ask: (signal: AbortSignal) => Promise<T>, delay = 0): Asked<T> {
  const [state, set] = useState<Asked<T>>({ answer: null, error: "", waiting: false, key: null, generation });
  const latest = useRef(ask);
  latest.current = ask;
  useEffect(() => {
    if (key === null) {
      set({ answer: null, error: "", waiting: false, key, generation });
      return;
    }
    const control = new AbortController();
    set((s) => ({ ...s, waiting: true, generation }));
    const timer = setTimeout(() => {
      latest.current(control.signal).then(
        (answer) => !control.signal.aborted && set({ answer, error: "", waiting: false, key, generation }),
        (e: Error) => !control.signal.aborted && set((s) => ({ answer: s.key === key ? s.answer : null, error: e.message, waiting: false, key, generation })),
      );
    }, delay);
    return () => {
      clearTimeout(timer);
      control.abort();
    };
  }, [key, generation]);
  // From the moment that the question is another one, or is asked again, not only from the effect above on.
  return key !== null && (state.key !== key || state.generation !== generation) ? { ...state, waiting: true } : state;
}

/** As useAsk, but an answer to another question is not shown in the place of one that is on its way. */
export function useAnswer<T>(ask: ((signal: AbortSignal) => Promise<T>) | null, key: string, generation: number): Asked<T> {
  const asked = useAsk(ask ? key : null, generation, ask ?? (() => Promise.reject(new Error("nothing to ask"))));
  return asked.key === key ? asked : { answer: null, error: "", waiting: ask !== null, key: null, generation };
}
