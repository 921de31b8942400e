// SPDX-License-Identifier: Apache-2.0
// Sets of frames that people want out of the way, by language. A preset is offered where
// it would change something.

import { packages } from "./package";
import type { Frames } from "./tree";

export interface Preset {
  id: string;
  title: string;
  /** hide: leave its frames out; show: only them; ignore: drop stacks that end in them. */
  how: "hide" | "show" | "ignore";
  /** 1 for each frame that is meant. */
  match(frames: Frames): Uint8Array;
}

const by =
  (test: (f: Frames, i: number) => boolean) =>
  (f: Frames): Uint8Array =>
    Uint8Array.from(f.name, (_, i) => (test(f, i) ? 1 : 0));

const kindIs = (...kinds: string[]) => by((f, i) => kinds.includes(f.kind[i]!));

const systemLibrary = /^(?:libc|libm|libpthread|libdl|librt|libresolv|libgcc_s|ld|ld-linux.*|ld-musl.*|ld64|linux-vdso|\[vdso\])(?:[-.].*)?$/;
const waits =
  /^(?:_*(?:epoll_p?wait|epoll_wait_old|p?poll|ppoll|p?select|pselect6?|nanosleep|clock_nanosleep|sigwait\w*|sigtimedwait|futex\w*|accept4?|recv(?:from|msg)?|pause|wait4|waitid|io_getevents|pthread_cond_\w*wait\w*|sem_\w*wait\w*|lll_lock_wait\w*)|runtime\.(?:gopark|futex\w*|epollwait|notesleep\w*|usleep|netpoll)|default_idle\w*|do_idle|cpu_idle\w*|cpuidle_\w+|(?:intel|acpi)_idle\w*|.*Unsafe\.park.*|java\.lang\.(?:Object\.wait|Thread\.sleep).*)$/;
const standardPython = /(?:^<frozen )|\/lib\/python\d[\d.]*\/(?!(?:site|dist)-packages\/)/;
const javaCore = /^(?:java|javax|jdk|sun|com\.sun)\./;
const dotnetCore = /^(?:System|Microsoft|Internal)\./;
const cppInternals = /^(?:[\w\s*&]+ )?(?:std|__gnu_cxx|boost)::/;
const rustInternals = /^<?(?:core|std|alloc|tokio::runtime|rayon_core)::|^__rust_|^rust_begin/;

/** In the order in which they are offered. */
export const presets: Preset[] = [
  { id: "no-kernel", title: "Hide the kernel", how: "hide", match: kindIs("kernel") },
  { id: "kernel", title: "Kernel only", how: "show", match: kindIs("kernel") },
  { id: "libc", title: "Hide libc and ld", how: "hide", match: by((f, i) => systemLibrary.test(f.binary[i]!)) },
  { id: "interpreter", title: "Hide interpreters’ own frames", how: "hide", match: kindIs("interpreter") },
  {
    id: "python",
    title: "Hide Python’s library",
    how: "hide",
    match: by((f, i) => f.kind[i] === "python" && standardPython.test(f.file[i]!)),
  },
  {
    id: "go",
    title: "Hide Go’s runtime",
    how: "hide",
    match: (f) => {
      const p = packages(f);
      return by((g, i) => g.kind[i] === "go" && /^(?:runtime|internal\/runtime|runtime\/internal|internal\/(?:abi|cpu|bytealg|poll))(?:\/|$)/.test(p[i]!))(f);
    },
  },
  {
    id: "jvm",
    title: "Hide Java’s and the JVM’s own",
    how: "hide",
    match: by((f, i) => f.binary[i] === "libjvm.so" || (f.kind[i] === "jvm" && (javaCore.test(f.name[i]!) || /^(?:StubRoutines|Interpreter|call_stub|vtable|itable)/.test(f.name[i]!)))),
  },
  {
    id: "node",
    title: "Hide Node.js’s own",
    how: "hide",
    match: by((f, i) => (f.kind[i] === "v8" && /^node:/.test(f.file[i]!)) || (f.kind[i] !== "v8" && f.kind[i] !== "kernel" && /^(?:node|nodejs|libnode\.so.*)$/.test(f.binary[i]!))),
  },
  { id: "dotnet", title: "Hide .NET’s own", how: "hide", match: by((f, i) => f.kind[i] === "dotnet" && dotnetCore.test(f.name[i]!)) },
  {
    id: "ruby",
    title: "Hide Ruby’s library",
    how: "hide",
    match: by((f, i) => f.kind[i] === "ruby" && (!f.file[i] || /<internal:|\/lib\/ruby\/\d[^/]*\/(?!gems\/)/.test(f.file[i]!))),
  },
  { id: "cpp", title: "Hide C++’s library", how: "hide", match: by((f, i) => f.kind[i] === "native" && cppInternals.test(f.name[i]!)) },
  { id: "rust", title: "Hide Rust’s library", how: "hide", match: by((f, i) => f.kind[i] === "native" && rustInternals.test(f.name[i]!)) },
  { id: "unnamed", title: "Hide functions without names", how: "hide", match: by((f, i) => /\+0x[0-9a-f]+$|^0x[0-9a-f]+$/.test(f.name[i]!)) },
  { id: "errors", title: "Hide what unwinding left out", how: "hide", match: by((f, i) => /error$/.test(f.kind[i]!)) },
  { id: "idle", title: "Drop waiting and idling", how: "ignore", match: by((f, i) => f.kind[i] !== "label" && waits.test(f.name[i]!)) },
];

export const preset = (id: string): Preset | undefined => presets.find((p) => p.id === id);

/** Those that would change something. */
export function offered(frames: Frames): Preset[] {
  return presets.filter((p) => {
    const m = p.match(frames);
    const all = m.every((v, i) => v || frames.kind[i] === "label");
    return m.includes(1) && !(all && p.how !== "ignore");
  });
}
