// SPDX-License-Identifier: Apache-2.0
// The package, module or namespace of a function, from its name and its file, as its language
// writes them.

import type { Frames } from "./tree";

const lastDirectory = (file: string): string => {
  const parts = file.split("/");
  return parts.length > 1 ? parts[parts.length - 2]! : "";
};

// From the beginning, the last one counts: without ^ each place of a long path would be tried.
const nodePackage = /^.*\/node_modules\/((?:@[^/]+\/)?[^/]+)/;
const sitePackage = /^.*\/(?:site|dist)-packages\/([^/]+?)(?:\.py)?(?:\/|$)/;
const standardPython = /^.*\/lib\/python\d[\d.]*\/([^/]+?)(?:\.py)?(?:\/|$)/;
const frozenPython = /^<frozen ([^.>]+)/;
const gem = /^.*\/gems\/([^/]+?)(?:-\d[^/]*)?\//;
const vendor = /^.*\/vendor\/([^/]+\/[^/]+)\//;

/** "github.com/a/b.(*T).m[…]" -> "github.com/a/b". */
function go(name: string): string {
  const bare = name.split("[", 1)[0]!;
  const slash = bare.lastIndexOf("/") + 1;
  const dot = bare.indexOf(".", slash);
  return dot > 0 ? bare.slice(0, dot) : "";
}

/** "com.shop.Cart$Item.add(int)" -> "com.shop": without the class and the method. */
function dotted(name: string): string {
  const parts = name.split("(", 1)[0]!.split(".");
  return parts.slice(0, -2).join(".");
}

/** "std::vector<int>::at" -> "std"; "" without a namespace. */
function namespace(name: string): string {
  return /^(?:<|[\w*&\s]+ (?=[A-Za-z_]\w*::))?([A-Za-z_]\w*)::/.exec(name)?.[1] ?? "";
}

/** "" where nothing is known. */
export function packageOf(kind: string, name: string, file: string, binary: string): string {
  switch (kind.replace(/-error$/, "")) {
    case "label":
    case "error":
    case "other":
      return "";
    case "kernel":
      return binary.startsWith("[kernel") || !binary ? "kernel" : binary;
    case "go":
      return go(name) || binary;
    case "jvm":
    case "dotnet":
      return dotted(name) || binary || kind;
    case "python":
      return sitePackage.exec(file)?.[1] ?? standardPython.exec(file)?.[1] ?? frozenPython.exec(file)?.[1] ?? (lastDirectory(file) || file || kind);
    case "v8":
      return nodePackage.exec(file)?.[1] ?? (file.startsWith("node:") ? "node" : lastDirectory(file) || file || kind);
    case "ruby":
      return gem.exec(file)?.[1] ?? (lastDirectory(file) || kind);
    case "php":
    case "phpjit":
      return vendor.exec(file)?.[1] ?? (lastDirectory(file) || kind);
    case "perl":
      return name.includes("::") ? name.slice(0, name.lastIndexOf("::")) : kind;
    case "beam":
      return name.includes(":") ? name.slice(0, name.indexOf(":")) : kind;
    default:
      return namespace(name) || binary || lastDirectory(file);
  }
}

const cache = new WeakMap<Frames, string[]>();

/** The package of each frame; worked out once for the frames of a tree. */
export function packages(f: Frames): string[] {
  let out = cache.get(f);
  if (!out) cache.set(f, (out = f.name.map((name, i) => packageOf(f.kind[i]!, name, f.file[i]!, f.binary[i]!))));
  return out;
}
