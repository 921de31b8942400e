// SPDX-License-Identifier: Apache-2.0
// Asks again and again, one question at a time.

export interface Repeated {
  /** Ends it; the signal of a question that is on its way is aborted. */
  stop(): void;
  /** Another interval, 0 for none. What is on its way goes on. One that begins to ask again does so at once. */
  every(interval: number): void;
}

/**
 * Runs ask at once and, with an interval, that many ms after each answer. A page that nobody
 * looks at asks nothing: it waits until somebody does.
 */
export function repeat(ask: (signal: AbortSignal) => Promise<void>, interval: number): Repeated {
  const abort = new AbortController();
  let timer = 0;
  let asked = false;
  let state: "asking" | "unseen" | "idle" = "idle";
  const seen = () => {
    if (document.hidden) return;
    document.removeEventListener("visibilitychange", seen);
    void turn();
  };
  const turn = async () => {
    if (abort.signal.aborted) return;
    if (document.hidden) {
      state = "unseen";
      document.addEventListener("visibilitychange", seen, { signal: abort.signal });
      return;
    }
    state = "asking";
    asked = true;
    await ask(abort.signal);
    state = "idle";
    wait();
  };
  const wait = () => {
    if (interval > 0 && !abort.signal.aborted) timer = window.setTimeout(turn, interval);
  };
  void turn();
  return {
    stop() {
      abort.abort();
      clearTimeout(timer);
    },
    every(next) {
      const before = interval;
      interval = next;
      if (next === before || state === "asking") return;
      clearTimeout(timer);
      if (next <= 0) {
        // The first answer is wanted all the same.
        if (asked) document.removeEventListener("visibilitychange", seen);
        if (asked) state = "idle";
      } else if (before <= 0) void turn();
      else if (state !== "unseen") wait();
    },
  };
}
