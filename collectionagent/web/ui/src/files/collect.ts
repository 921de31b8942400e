// SPDX-License-Identifier: Apache-2.0
// What all readers put their stacks into: it makes frames that are the same one, counts what it
// leaves out, and keeps a hostile file from taking the browser's memory.

import { addFrame, Builder, type NewFrame, noFrames, toTree } from "../model/stacks";
import type { Tree } from "../model/tree";
import { title } from "../model/types";

/** An error whose text tells a person what is wrong with the file. */
export class FileError extends Error {}

/** Stacks are cut behind so many frames from the root; of programs that recurse without end this shows enough. */
export const deepest = 2000;
/** Most nodes of a tree: ten times what draws well. */
const mostNodes = 2_000_000;
/** Most frames of all stacks together, a bound for small files that name the same long stack often. */
const mostSteps = 100_000_000;

export class Collect {
  private frames = noFrames();
  private known = new Map<string, number>();
  private builder: Builder;
  private steps = 0;
  samples = 0;
  private cut = 0;
  private bad = 0;

  constructor(type: string, unit: string) {
    this.builder = new Builder(this.frames, { type, unit }, false, addFrame(this.frames, { name: "all", kind: "label" }));
  }

  frame(n: NewFrame): number {
    const key = `${n.name}\0${n.file ?? ""}\0${n.line ?? 0}\0${n.binary ?? ""}\0${n.kind ?? ""}\0${n.inlined ? 1 : 0}`;
    let i = this.known.get(key);
    if (i === undefined) this.known.set(key, (i = addFrame(this.frames, n)));
    return i;
  }

  /** Adds a stack, the root first. Values that are no positive numbers are left out and counted. */
  stack(frames: ArrayLike<number>, value: number, samples = 1): void {
    if (!(value >= 0 && Number.isFinite(value))) {
      this.bad++;
      return;
    }
    if (frames.length > deepest) this.cut++;
    const n = Math.min(frames.length, deepest);
    this.steps += n;
    if (this.steps > mostSteps) throw new FileError(`its stacks have more than ${mostSteps.toLocaleString("en-US")} frames in all: too many for a browser`);
    let node = 0;
    for (let i = 0; i < n; i++) node = this.builder.child(node, frames[i]!);
    if (this.builder.size > mostNodes) throw new FileError(`it has more than ${mostNodes.toLocaleString("en-US")} different places in stacks: too many for a browser`);
    this.builder.add(node, value);
    this.samples += samples;
  }

  /** The tree, and what was left out is added to the notes. */
  done(notes: string[]): Tree {
    if (this.cut) notes.push(`${this.cut.toLocaleString("en-US")} stacks were cut after ${deepest.toLocaleString("en-US")} frames`);
    if (this.bad) notes.push(`${this.bad.toLocaleString("en-US")} samples with negative values were left out, as in a difference of two profiles`);
    return toTree(this.builder.done());
  }
}

/** A Map, as what is looked up is anything: a file may be called "x.constructor". The same below. */
const byExtension = new Map(Object.entries({
  py: "python", pyx: "python", pyc: "python",
  go: "go",
  java: "jvm", kt: "jvm", scala: "jvm", groovy: "jvm", clj: "jvm",
  js: "v8", mjs: "v8", cjs: "v8", jsx: "v8", ts: "v8", tsx: "v8",
  rb: "ruby", php: "php", pl: "perl", pm: "perl", cs: "dotnet", fs: "dotnet",
  erl: "beam", ex: "beam", exs: "beam", lua: "luajit",
}));

/** What a frame most likely is, where a format does not say. */
export function guessKind(name: string, file: string, binary: string): string {
  if (/^\[(?:guest\.)?kernel|^vmlinux|\.ko(?:\.\w+)?$/.test(binary) || /^\[[a-z0-9_]+\]$/.test(binary) && binary !== "[vdso]" && binary !== "[unknown]" && binary !== "[heap]" && binary !== "[stack]") return "kernel";
  if (file.startsWith("node:")) return "v8";
  if (file.startsWith("<frozen ")) return "python";
  const dot = file.lastIndexOf(".");
  const kind = dot >= 0 ? byExtension.get(file.slice(dot + 1).toLowerCase()) : undefined;
  if (kind) return kind;
  if (/^(?:runtime|main|syscall|sync|internal|[a-z][\w.-]*\/[\w./-]+)\.(?:\(\*?[A-Za-z]|[A-Za-z_]\w*(?:$|[.[]))/.test(name)) return "go";
  return "native";
}

const types = new Map(Object.entries({ cpu: "on_cpu", goroutine: "goroutines", threadcreate: "threads", contentions: "mutex_contentions", delay: "mutex_delay", exception: "exceptions" }));

/** The names of types of other programs, as this page knows them. */
export const knownType = (type: string): string => types.get(type) ?? type;

/** The unit as this page knows it, and by what values are multiplied to have it. */
export function knownUnit(unit: string): [unit: string, factor: number] {
  switch (unit.toLowerCase()) {
    case "ns":
    case "nanosecond":
    case "nanoseconds":
      return ["nanoseconds", 1];
    case "us":
    case "µs":
    case "microsecond":
    case "microseconds":
      return ["nanoseconds", 1e3];
    case "ms":
    case "millisecond":
    case "milliseconds":
      return ["nanoseconds", 1e6];
    case "s":
    case "second":
    case "seconds":
      return ["nanoseconds", 1e9];
    case "b":
    case "by":
    case "byte":
    case "bytes":
      return ["bytes", 1];
    case "kb":
    case "kilobytes":
      return ["bytes", 1024];
    case "mb":
    case "megabytes":
      return ["bytes", 1024 * 1024];
    default:
      return ["count", 1];
  }
}

/** The name of a profile: of its file, with the type of samples where there are several. */
export const named = (file: string, type: string, types: readonly string[]): string => (types.length > 1 ? `${file} – ${title(type)}` : file);
