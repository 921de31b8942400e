// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import {
  addMatcher,
  alternatives,
  characterAt,
  chooseValues,
  chosenValues,
  formatSelector,
  parseSelector,
  quote,
  removeMatcher,
  type Matcher,
  type Operator,
} from "../src/model/selector";

const plain = (text: string) => {
  const s = parseSelector(text);
  return s.error ? `${s.error.position}: ${s.error.message}` : s.matchers.map((m) => [m.label, m.op, m.value]);
};

describe("reading", () => {
  test.each<[string, unknown]>([
    ["", []],
    ["  ", []],
    ["{}", []],
    ['{service="shop"}', [["service", "=", "shop"]]],
    [' { a != "b" , c =~ \'d|e\' , } ', [["a", "!=", "b"], ["c", "=~", "d|e"]]],
    ['{app.kubernetes.io/name!~"x-1"}', [["app.kubernetes.io/name", "!~", "x-1"]]],
    ['{"a b"="c"}', [["a b", "=", "c"]]],
    ["{a=`\\d`}", [["a", "=", "\\d"]]],
    ['{a="\\"\\\\\\n\\u00e4\\U0001F600\\x41\\303\\244"}', [["a", "=", '"\\\nä😀Aä']]],
    ['{a="b"', "6: found the end: expected , or }"],
    ["a", "0: found “a”: expected {"],
    ["{a}", "2: found “}”: expected =, !=, =~ or !~"],
    ["{a=b}", "3: found “b”: expected a value in quotes"],
    ['{a="b}', "3: quote without an end: expected another \""],
    ['{a="\\d"}', '4: unknown escape: expected one such as \\\\, \\" or \\n; regular expressions need \\\\ for each \\'],
    ['{a="b"} x', "8: found “x”: expected the end"],
    ['{""="b"}', "1: empty label"],
    ["{,}", "1: found “,”: expected a label"],
    ['{a="\\uD800"}', '4: unknown escape: expected one such as \\\\, \\" or \\n; regular expressions need \\\\ for each \\'],
  ])("%s", (text, want) => expect(plain(text)).toEqual(want));

  test("what is written is read back", () => {
    for (const value of ["", "a", 'say "x"', "back\\slash", "line\nbreak\ttab\r\x00\x7f", "ä😀", "`'"]) {
      const m: Matcher[] = [{ label: "a b", op: "!=", value }, { label: "service", op: "=", value }];
      expect(parseSelector(formatSelector(m))).toMatchObject({ matchers: m, error: null });
    }
    expect(quote('a"b\\')).toBe('"a\\"b\\\\"');
  });
});

describe("changing", () => {
  test.each<[string, string, Operator, string, string]>([
    ["", "service", "=", "a", '{service="a"}'],
    ["{}", "service", "!=", "a", '{service!="a"}'],
    ['{service="a"}', "service", "=", "a", '{service="a"}'],
    ['{service="a"}', "service", "=", "b", '{service="b"}'],
    ['{service=~"a|b", host = \'h\'}', "service", "=", "b", '{host = \'h\',service="b"}'],
    ['{service!="a"}', "service", "!=", "b", '{service!="a",service!="b"}'],
    ['{service="a"}', "service", "!=", "a", '{service!="a"}'],
    ['{service!="a"}', "service", "=", "a", '{service="a"}'],
    ['{host="h",service="a', "service", "=", "b", '{host="h",service="b"}'],
  ])("%s and %s %s %s", (query, label, op, value, want) => expect(addMatcher(query, label, op, value)).toBe(want));

  test("removing", () => {
    const q = '{a="1", b!="2",b!="3"}';
    expect(removeMatcher(q, "b", "!=", "2")).toBe('{a="1",b!="3"}');
    expect(removeMatcher(q, "b")).toBe('{a="1"}');
    expect(removeMatcher(removeMatcher(q, "b"), "a")).toBe("");
    expect(removeMatcher(q, "c")).toBe('{a="1",b!="2",b!="3"}');
  });

  test("choosing from a list", () => {
    expect(chooseValues('{a="x",b="y"}', "a", ["p", "q.r"])).toBe('{b="y",a=~"p|q\\\\.r"}');
    expect(chosenValues('{b="y",a=~"p|q\\\\.r"}', "a")).toEqual(["p", "q.r"]);
    expect(chooseValues('{a!="z",a=~"p|q"}', "a", ["p"])).toBe('{a!="z",a="p"}');
    expect(chooseValues('{a="p"}', "a", [])).toBe("");
    expect(chosenValues('{a=~"p.*"}', "a")).toEqual([]);
    expect(chosenValues("", "a")).toEqual([]);
    expect(chooseValues('{a="p",a!="z"}', "a", ["x", "y"], true)).toBe('{a="p",a!~"x|y"}');
    expect(chosenValues('{a="p",a!~"x|y"}', "a", true)).toEqual(["x", "y"]);
  });

  test.each<[string, string[] | null]>([
    ["a", ["a"]],
    ["a|b", ["a", "b"]],
    ["", [""]],
    ["|a", ["", "a"]],
    ["a\\.b|c\\|d", ["a.b", "c|d"]],
    ["a.*", null],
    ["\\d", null],
    ["(a|b)", null],
    ["a\\", null],
  ])("alternatives of %s", (text, want) => expect(alternatives(text)).toEqual(want));
});

test("positions of the server count bytes", () => {
  expect([0, 1, 3, 7, 8, 99].map((b) => characterAt("aä😀b", b))).toEqual([0, 1, 2, 4, 5, 5]);
});
