// SPDX-License-Identifier: Apache-2.0
// Opens profiles of other programs, with a button or dropped anywhere on the page.

import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { keep } from "../files/opened";
import { FileError, read } from "../files/read";
import type { Change, State } from "../state/state";
import { registry } from "../views/registry";

/** More would not fit the memory of a tab several times. */
const mostBytes = 512 * 2 ** 20;

export interface Opener {
  /** A file is over the page. */
  over: boolean;
  /** What is wrong with the last one, "" when nothing is. */
  problem: string;
  busy: string;
  dismiss(): void;
  open(file: File): void;
}

export function useOpener(state: State, change: Change, announce: (text: string) => void): Opener {
  const [over, setOver] = useState(false);
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState("");
  const shown = useRef(state);
  shown.current = state;
  const open = useCallback(async (file: File) => {
    setProblem("");
    setBusy(file.name);
    try {
      if (file.size > mostBytes) throw new FileError(`${file.name}: larger than 512 MiB, which is the most that the page reads`);
      const profile = await read(file.name, new Uint8Array(await file.arrayBuffer()));
      const live = shown.current.view;
      // A view that asks the server has nothing to say of a file.
      const view = registry.find((r) => r.view === live)?.liveOnly ? "flame" : live;
      change({ page: "explore", file: keep(profile), view, zoom: [], fn: "", t: [], search: "" });
      announce(`${file.name} is open`);
    } catch (e) {
      setProblem(e instanceof FileError ? e.message : `${file.name}: ${(e as Error).message}`);
    }
    setBusy("");
  }, []);
  useEffect(() => {
    const files = (e: DragEvent) => !!e.dataTransfer?.types.includes("Files");
    const drag = (e: DragEvent) => {
      if (!files(e)) return;
      e.preventDefault();
      setOver(true);
    };
    const leave = (e: DragEvent) => !e.relatedTarget && setOver(false);
    const drop = (e: DragEvent) => {
      if (!files(e)) return;
      e.preventDefault();
      setOver(false);
      const file = e.dataTransfer!.files[0];
      if (file) void open(file);
    };
    document.addEventListener("dragover", drag);
    document.addEventListener("dragleave", leave);
    document.addEventListener("drop", drop);
    return () => {
      document.removeEventListener("dragover", drag);
      document.removeEventListener("dragleave", leave);
      document.removeEventListener("drop", drop);
    };
  }, []);
  return { over, problem, busy, open, dismiss: () => setProblem("") };
}

export function OpenButton({ opener }: { opener: Opener }) {
  const input = useRef<HTMLInputElement>(null);
  return (
    <>
      <button type="button" disabled={!!opener.busy} title="Open a profile: pprof, folded stacks, speedscope, OTLP, perf script. It stays in the browser; dropping it on the page does the same" onClick={() => input.current!.click()}>
        {opener.busy ? "Reading …" : "Open file…"}
      </button>
      <input
        ref={input}
        type="file"
        class="visually-hidden"
        tabIndex={-1}
        aria-label="Profile to open"
        onChange={(e) => {
          const file = e.currentTarget.files?.[0];
          e.currentTarget.value = ""; // the same file can be opened again
          if (file) opener.open(file);
        }}
      />
    </>
  );
}

/** Over everything while a file is dragged, and the note on what went wrong. */
export function OpenNotes({ opener }: { opener: Opener }) {
  return (
    <>
      {opener.over && (
        <div class="drop-zone">
          <p>Drop the profile to open it</p>
        </div>
      )}
      {opener.problem && (
        <div class="alert" role="alert">
          <span>{opener.problem}</span>
          <button type="button" onClick={opener.dismiss}>
            Close
          </button>
        </div>
      )}
    </>
  );
}
