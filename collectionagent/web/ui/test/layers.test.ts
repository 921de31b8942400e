// SPDX-License-Identifier: Apache-2.0
// Imports of the page go down only. From the top:
//
//   main      starts the page
//   app       the shell
//   pages     hosts, executables, events, status: they know nothing of views, and views nothing of them
//   views     of a profile
//   files     profiles of other programs, and what is saved
//   model     what can be worked out without a browser
//   state     the fields of the URL and their types, which the model takes as they are
//   ui, api   widgets and formats that know nothing of profiles; the questions to the server
//
// What is not there as a program but as a type alone counts as well: who changes a type must find who uses it below.
import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";

const height = new Map(Object.entries({ main: 7, app: 6, pages: 5, views: 5, files: 4, model: 3, state: 2, ui: 1, api: 1 }));

const src = new URL("../src/", import.meta.url);
const layer = (path: string) => path.split("/")[0]!.replace(/\.tsx?$/, "");

/** What each file imports, both as paths from src on. */
const imports = readdirSync(src, { recursive: true })
  .filter((file) => /\.tsx?$/.test(file))
  .flatMap((file) => {
    const text = new TextDecoder().decode(readFileSync(new URL(file, src)));
    const found = [...text.matchAll(/\b(?:from|import)\s*\(?\s*"(\.[^"]+)"/g)].map((m) => m[1]!).filter((to) => !to.endsWith(".css"));
    return found.map((to) => [file, new URL(to, new URL(file, src)).pathname.slice(src.pathname.length)] as const);
  });

test("imports go down only", () => {
  expect(imports.length).toBeGreaterThan(300);
  const upward = imports
    .filter(([from, to]) => {
      const [a, b] = [layer(from), layer(to)];
      expect([from, height.has(a), to, height.has(b)]).toEqual([from, true, to, true]); // a new directory needs a place in the list
      return a !== b && height.get(b)! >= height.get(a)!;
    })
    .map(([from, to]) => `${from} > ${to}`);
  expect(upward).toEqual([]);
});

test("no file imports itself by way of others", () => {
  const of = new Map<string, string[]>();
  const bare = (path: string) => path.replace(/\.tsx?$/, "");
  for (const [from, to] of imports) of.set(bare(from), [...(of.get(bare(from)) ?? []), bare(to)]);
  const done = new Set<string>();
  const circles: string[] = [];
  const visit = (file: string, path: string[]) => {
    if (path.includes(file)) circles.push([...path.slice(path.indexOf(file)), file].join(" > "));
    if (done.has(file) || path.includes(file)) return;
    for (const to of of.get(file) ?? []) visit(to, [...path, file]);
    done.add(file);
  };
  for (const file of of.keys()) visit(file, []);
  expect(circles).toEqual([]);
});

test("pages know nothing of views", () => {
  expect(imports.filter(([from, to]) => (layer(from) === "pages" && layer(to) === "views") || (layer(from) === "views" && layer(to) === "pages"))).toEqual([]);
});
