// SPDX-License-Identifier: Apache-2.0
// A question of a view to the server, asked again when it changes.

import { useEffect, useState } from "preact/hooks";

export interface Asked<T> {
  /** The last answer, which stays while a newer one to the same question is on its way. */
  answer: T | null;
  /** "" for none. */
  error: string;
  loading: boolean;
}

/**
 * Asks while there is a question. The subject says what it is about: an answer about something else is not
 * shown in its place. The turn says that the same is to be asked again.
 */
export function useAnswer<T>(question: ((signal: AbortSignal) => Promise<T>) | null, subject: string, turn: number): Asked<T> {
  const [state, setState] = useState<Asked<T> & { subject: string }>({ answer: null, error: "", loading: true, subject });
  const asks = question !== null;
  useEffect(() => {
    if (!question) return;
    const stop = new AbortController();
    setState((s) => ({ ...s, answer: s.subject === subject ? s.answer : null, loading: true, subject }));
    question(stop.signal).then(
      (answer) => !stop.signal.aborted && setState({ answer, error: "", loading: false, subject }),
      (e) => !stop.signal.aborted && setState((s) => ({ ...s, error: (e as Error).message, loading: false })),
    );
    return () => stop.abort();
  }, [subject, turn, asks]);
  return asks && state.subject === subject ? state : { answer: null, error: "", loading: asks };
}
