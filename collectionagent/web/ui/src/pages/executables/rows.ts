// SPDX-License-Identifier: Apache-2.0
// The executables as the page lists them, and what to do about names that are missing.

import type { Executable } from "../../api/client";

/** How a file without a name is called: by the start of its ID, as in flame graphs. */
export const nameOf = (e: Pick<Executable, "name" | "file_id">): string => e.name || e.file_id.slice(0, 8);

export type Symbols = "all" | "names" | "some" | "none";

/** What is known of the code that was seen: names and lines, all names, some names, no names. */
export function symbolsOf(e: Executable): Symbols {
  if (e.named_frames === 0) return "none";
  if (e.named_frames < e.frames) return "some";
  return e.line_frames === e.frames ? "all" : "names";
}

export function symbolsText(e: Executable): string {
  const places = `${e.named_frames.toLocaleString("en-US")} of ${e.frames.toLocaleString("en-US")}`;
  switch (symbolsOf(e)) {
    case "all":
      return "names and lines";
    case "names":
      return e.line_frames > 0 ? "names, some lines" : "names, no lines";
    case "some":
      return `${places} places named`;
    default:
      return "no names";
  }
}

/** What makes names come, in the words of who has to do it; "" where nothing is missing that could be had. */
export function hint(e: Executable): string {
  const missing = e.named_frames < e.frames;
  if (e.kind === "kernel") {
    return missing ? "Addresses of the kernel are hidden: run the agent as root or with CAP_SYSLOG, and set the sysctl kernel.kptr_restrict to 0 or 1." : "";
  }
  if (e.kind === "go") {
    return missing ? "Names of Go programs are in the program itself, also after strip: this one is packed or damaged, or its function table is not one that the agent reads." : "";
  }
  if (e.name.startsWith("[")) {
    return missing ? "This is code without a file, as compilers make it while the program runs. Where the runtime can write a perf map (/tmp/perf-PID.map), turn that on." : "";
  }
  if (missing) {
    const where = e.build_id ? "with the build ID that is shown here" : "built with --build-id";
    return `The file was stripped. Install its debug symbols on the host (Debian: the package …-dbgsym, Fedora: debuginfo-install), ${where}, or do not strip it. Then start the program or the agent again.`;
  }
  if (e.line_frames === 0 && e.kind !== "interpreter") return "Its functions have names but no source lines: the agent reads lines of Go programs and of scripts, not those of native code.";
  return "";
}

export const keys = ["name", "kind", "self", "value", "named", "unnamed", "frames", "build"] as const;
export type Key = (typeof keys)[number];

/** Sorts and filters; without a key they stay in the order of the server. Every word of the filter must be found. */
export function sortExecutables(rows: readonly Executable[], key: Key | "", descending: boolean, filter: string): Executable[] {
  const words = filter.trim().toLowerCase().split(/\s+/).filter(Boolean);
  const shown = rows.filter((e) => {
    if (!words.length) return true;
    const text = `${nameOf(e)}\n${e.path}\n${e.kind}\n${e.runtime}\n${e.build_id}\n${e.file_id}\n${symbolsText(e)}`.toLowerCase();
    return words.every((w) => text.includes(w));
  });
  if (!key) return shown;
  const value = (e: Executable): number | string =>
    ({ name: nameOf(e), kind: e.kind, build: e.build_id, self: e.self, value: e.value, named: e.symbolized, unnamed: e.unnamed, frames: e.frames })[key];
  const compare = (a: number | string, b: number | string) => (typeof a === "string" ? a.localeCompare(b as string) : a - (b as number));
  return shown.sort((a, b) => compare(value(a), value(b)) * (descending ? -1 : 1) || b.value - a.value || a.file_id.localeCompare(b.file_id));
}
