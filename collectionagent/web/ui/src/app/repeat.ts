// SPDX-License-Identifier: Apache-2.0
// Asks again and again, one question at a time.

/**
 * Runs ask at once and, with an interval, that many ms after each answer, until the function
 * that it returns is called; then the signal is aborted as well. A page that nobody looks at
 * asks nothing: it waits until somebody does.
 */
export function repeat(ask: (signal: AbortSignal) => Promise<void>, interval: number): () => void {
  const abort = new AbortController();
  let timer = 0;
  const seen = () => {
    if (document.hidden) return;
    document.removeEventListener("visibilitychange", seen);
    void turn();
  };
  const turn = async () => {
    if (abort.signal.aborted) return;
    if (document.hidden) {
      document.addEventListener("visibilitychange", seen, { signal: abort.signal });
      return;
    }
    await ask(abort.signal);
    if (interval > 0 && !abort.signal.aborted) timer = window.setTimeout(turn, interval);
  };
  void turn();
  return () => {
    abort.abort();
    clearTimeout(timer);
  };
}
