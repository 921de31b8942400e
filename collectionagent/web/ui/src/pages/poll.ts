// SPDX-License-Identifier: Apache-2.0
// Asks the server again and again. What is there stays while the next answer is on its way.

import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { QueryError } from "../api/client";
import { repeat, type Repeated } from "../api/repeat";

export interface Polled<T> {
  /** The newest answer, null before the first one. */
  data: T | null;
  /** What went wrong the last time, and what to do about it; "" for nothing. */
  error: string;
  /** An answer to another question than that of data is on its way. */
  stale: boolean;
  /** Asks now. */
  again(): void;
}

/** What to tell a person about an error. */
export function advice(e: unknown, everyMs: number): string {
  const later = everyMs ? `The page asks again every ${Math.round(everyMs / 1000)} s.` : "Ask again with the button.";
  if (e instanceof QueryError) return `${e.parameter ? `${e.parameter}: ` : ""}${e.message}. ${e.parameter ? "Change it in the query." : later}`;
  return `The server cannot be reached (${(e as Error).message}). Is it running, and is the network up? ${later}`;
}

/**
 * Asks when key changes, and then every so many ms (0: once) but not while the page is in
 * the background. owner is whose answer it is: that of another is not shown.
 */
export function usePolled<T>(ask: (signal: AbortSignal) => Promise<T>, key: string, owner: string, everyMs: number): Polled<T> {
  const [answer, setAnswer] = useState<{ data: T; key: string; owner: string } | null>(null);
  const [error, setError] = useState("");
  const [asked, setAsked] = useState(0);
  const running = useRef<Repeated | null>(null);
  const every = useRef(everyMs);
  every.current = everyMs;
  useEffect(() => {
    const round = async (signal: AbortSignal) => {
      try {
        const data = await ask(signal);
        if (signal.aborted) return;
        setAnswer({ data, key, owner });
        setError("");
      } catch (e) {
        if (signal.aborted || (e as Error).name === "AbortError") return;
        setError(advice(e, every.current));
      }
    };
    const here = repeat(round, every.current);
    running.current = here;
    return () => here.stop();
  }, [key, owner, asked]);
  useEffect(() => running.current?.every(everyMs), [everyMs]);
  const again = useCallback(() => setAsked((n) => n + 1), []);
  const mine = answer && answer.owner === owner ? answer : null;
  return { data: mine?.data ?? null, error, stale: !!mine && mine.key !== key, again };
}
