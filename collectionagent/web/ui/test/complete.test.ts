// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { complete, mended, placeAt } from "../src/model/complete";

/** The cursor is the bar. */
const at = (marked: string) => placeAt(marked.replace("|", ""), marked.indexOf("|"));

describe("what is expected at the cursor", () => {
  test.each<[string, string, string, string]>([
    ["|", "label", "", ""],
    ["{|", "label", "", ""],
    ["se|", "label", "", "se"],
    ["{se|", "label", "", "se"],
    ["{se|rv", "label", "", "se"],
    ['{a="b",|', "label", "", ""],
    ['{a="b", x|}', "label", "", "x"],
    ["{service |", "operator", "service", ""],
    ["{service!|", "operator", "service", "!"],
    ["{service=|", "value", "service", ""],
    ["{service=~ |", "value", "service", ""],
    ['{service="|', "value", "service", ""],
    ['{service="sh|', "value", "service", "sh"],
    ['{service="sh|op"}', "value", "service", "sh"],
    ["{service=sh|", "value", "service", "sh"],
    ['{service="shop"|', "end", "service", ""],
    ['{service="shop"}|', "none", "", ""],
    ["{service=shop }|", "none", "", ""],
    ["{=|", "none", "", ""],
    ['{"a b"=\'c|', "value", "a b", "c"],
    ['{a="\\"x|', "value", "a", '"x'],
  ])("%s", (text, what, label, typed) => expect(at(text)).toMatchObject({ what, label, typed }));
});

describe("a choice takes the place of what is typed", () => {
  test.each([
    ["|", "service", "{service|"],
    ["{se|rv", "service", "{service|"],
    ["se|", "a b", '{"a b"|'],
    ["{service|", "service", "{service|"],
    ["{service |", "=~", "{service =~|"],
    ["{service=|", "shop", '{service="shop"|}'],
    ['{service="sh|', 'a"b', '{service="a\\"b"|}'],
    ['{service="sh|op"}', "shop", '{service="shop"|}'],
    ['{service="|",host="h"}', "shop", '{service="shop"|,host="h"}'],
    ['{service=|"",host="h"}', "shop", '{service="shop"|,host="h"}'],
    ['{service="sh|,host="h"}', "shop", '{service="shop"|,host="h"}'],
    ['{a="b"|', ",", '{a="b",|'],
    ['{a="b"|', "}", '{a="b"}|'],
  ])("%s: %s", (text, choice, want) => {
    const plain = text.replace("|", "");
    const done = complete(plain, at(text), choice);
    expect(`${done.text.slice(0, done.cursor)}|${done.text.slice(done.cursor)}`).toBe(want);
  });

  test("nothing that is typed makes it fail", () => {
    const pieces = ["{", "}", ",", "=", "!", "~", '"', "'", "`", "\\", "a", " ", "ä"];
    let seed = 7;
    const next = (n: number) => (seed = (seed * 48271) % 2147483647) % n;
    for (let i = 0; i < 20000; i++) {
      const text = Array.from({ length: next(14) }, () => pieces[next(pieces.length)]).join("");
      const cursor = next(text.length + 1);
      const p = placeAt(text, cursor);
      expect(p.from).toBeLessThanOrEqual(p.to);
      expect(p.to).toBeLessThanOrEqual(text.length);
      complete(text, p, "x");
    }
  });
});

test.each([
  ["", ""],
  ["service=shop", '{service="shop"}'],
  ["service=shop, host!=a.b-c", '{service="shop", host!="a.b-c"}'],
  ['{service="shop"', '{service="shop"}'],
  ['{service="shop', '{service="shop"}'],
  ["comm=~worker-.*", '{comm=~"worker-.*"}'],
  ['{a="b=c"}', '{a="b=c"}'],
  ["nonsense", "nonsense"],
  ["{a=}", "{a=}"],
])("%s is mended to %s", (text, want) => expect(mended(text)).toBe(want));
