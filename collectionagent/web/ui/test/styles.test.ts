// SPDX-License-Identifier: Apache-2.0
// style.css is for what several parts use, and every class in it is used by one at least; no rule
// stands in two files, where one of them would be forgotten.
import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";

const src = new URL("../src/", import.meta.url);
const read = (file: string) => new TextDecoder().decode(readFileSync(new URL(file, src)));
const names = readdirSync(src, { recursive: true });
const programs = names.filter((f) => /\.tsx?$/.test(f)).map(read);
const sheets = names.filter((f) => f.endsWith(".css")).map((f) => [f, read(f).replace(/\/\*[^]*?\*\//g, "")] as const);

test("every class of style.css is used", () => {
  const texts = programs.flatMap((p) => [...p.matchAll(/["'`]([^"'`]*)["'`]|\$\{[^}]*\? "([^"]*)"/g)].map((m) => m[1] ?? m[2] ?? "")).join(" ");
  const used = new Set(texts.split(/[^\w-]+/));
  const classes = new Set([...sheets.find(([f]) => f === "style.css")![1].replace(/\{[^{}]*\}/g, "{}").matchAll(/\.([a-zA-Z][\w-]*)/g)].map((m) => m[1]!));
  expect([...classes].filter((c) => !used.has(c))).toEqual([]);
});

test("no rule stands in two files", () => {
  const first = new Map<string, string>();
  const twice: string[] = [];
  for (const [file, css] of sheets) {
    for (const [rule] of css.matchAll(/[^{}\s][^{}]*\{[^{}]*\}/g)) {
      const text = rule.replace(/\s+/g, " ");
      const before = first.get(text);
      if (before && before !== file) twice.push(`${before}, ${file}: ${text}`);
      first.set(text, file);
    }
  }
  expect(twice).toEqual([]);
});
