// SPDX-License-Identifier: Apache-2.0
// What is measured, as the page says it.

import { defaults } from "../state/state";

/** A Map, as types come from files and links: one may be called "constructor". */
const titles = new Map(Object.entries({
  on_cpu: "CPU time",
  off_cpu: "Time off CPU",
  event: "Events",
  wall: "Wall time",
  alloc_objects: "Objects allocated",
  alloc_space: "Memory allocated",
  inuse_objects: "Objects in use",
  inuse_space: "Memory in use",
  goroutines: "Goroutines",
  threads: "Threads",
  mutex_contentions: "Mutex contentions",
  mutex_delay: "Mutex delay",
  block_contentions: "Block contentions",
  block_delay: "Block delay",
  exceptions: "Exceptions",
}));

/** "inuse_space" -> "Memory in use"; what a newer server knows is shown by its name. */
export const title = (type: string) => titles.get(type) ?? type;

/** What can be chosen: what there is, and what is chosen. */
export function choices(found: readonly string[], chosen: string): string[] {
  const known = [...titles.keys()];
  const place = (t: string) => (known.includes(t) ? known.indexOf(t) : known.length);
  return [...new Set([defaults.type, chosen, ...found])].sort((a, b) => place(a) - place(b) || a.localeCompare(b));
}
