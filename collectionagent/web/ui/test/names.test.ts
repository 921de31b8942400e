// SPDX-License-Identifier: Apache-2.0
// Names that every object of JavaScript has, where files and links may say anything.
import { expect, test } from "vitest";
import { guessKind, knownType } from "../src/files/collect";
import { pprof, speedscope } from "../src/files/export";
import { read } from "../src/files/read";
import { painter } from "../src/model/colour";
import { packages } from "../src/model/package";
import { rows } from "../src/model/rows";
import { title } from "../src/model/types";
import { dropText } from "../src/pages/status/ledger";
import { stacksOf, treeOf } from "./trees";

const names = ["constructor", "__proto__", "toString", "valueOf", "hasOwnProperty"];

test("types, kinds, files and functions may have any name", async () => {
  for (const name of names) {
    expect(title(name)).toBe(name);
    expect(knownType(name)).toBe(name);
    expect(guessKind("f", `x.${name}`, "")).toBe("native");
    expect(dropText(name)).toBe(name.replaceAll("_", " "));
    const tree = treeOf(`${name};alpha|x.${name}:3~${name} 5`);
    expect(painter(tree, "kind", false)(2)).toMatch(/^#[0-9a-f]{6}$/);
    expect(rows(tree).map((r) => r.name)).toEqual([name, "alpha"]);
    packages(tree.frames);
    expect(JSON.parse(speedscope({ ...tree, about: { type: name, unit: name } } as never, "x")).profiles[0].unit).toBe("none");

    const opened = await read("x", pprof(treeOf(`${name};alpha|x.${name}:3~native 5`), { fromMs: 0, toMs: 0, group: [] }));
    expect(stacksOf(opened.tree)).toEqual([`${name};alpha 5`]);
    expect(opened.tree.frames.kind.every((k) => typeof k === "string")).toBe(true);
  }
});

test("OTLP as JSON: a key is no prototype, a kind no function", async () => {
  const dictionary = {
    mappingTable: [{}],
    stringTable: ["", "main", "profile.frame.type", "constructor"],
    functionTable: [{}, { nameStrindex: 1 }],
    attributeTable: [{}, { keyStrindex: 2, value: { stringValueStrindex: 3 } }],
    locationTable: [{}, { lines: [{ functionIndex: 1 }], attributeIndices: [1] }],
    stackTable: [{}, { locationIndices: [1] }],
  };
  const resourceProfiles = [{ scopeProfiles: [{ profiles: [{ samples: [{ stackIndex: 1, values: ["7"] }] }] }] }];
  const file = (o: string) => new TextEncoder().encode(o);
  const opened = await read("x", file(JSON.stringify({ resourceProfiles, dictionary })));
  expect(stacksOf(opened.tree)).toEqual(["main 7"]);
  expect(opened.tree.kind(1)).toBe("constructor");
  const hidden = `{"resourceProfiles": ${JSON.stringify(resourceProfiles)}, "__proto__": {"dictionary": ${JSON.stringify(dictionary)}}}`;
  await expect(read("x", file(hidden))).rejects.toThrow("dictionary: is missing");
});
