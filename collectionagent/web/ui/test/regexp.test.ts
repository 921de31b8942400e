// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { checkPattern } from "../src/model/pattern";
import { expression } from "../src/model/regexp";
import { pattern } from "../src/model/tree";

const texts = ["", "a", "b", "ab", "aab", "abc", "main", "_start", "malloc", "operator new(unsigned long)", "std::vector<int>::at", "a-b", "x1_y2", "foo.bar", "runtime.mallocgc", "A\nB", "line\r\n", "[vdso]", "{}", "a]b", "^$", "aaaaaaaaab", "café", "你好", "\t", "0x1f", "a/b\\c", "libc.so.6", "do_syscall_64"];

const sources = [
  "a", "^a", "a$", "^a$", "a|b", "^(?:a|ab)$", "(a|b)*c", "a*", "a+b", "a?b", ".", "..", "^.$", "^.*$", "[ab]", "[^ab]", "[a-c]+$", "[]a]", "[^]", "[a\\]b]", "[\\w.]+$", "[\\d-z]", "[a-]", "[\\]]",
  "\\d", "\\D+", "\\w+$", "\\W", "\\s", "\\S+\\s\\S+", "\\bat\\b", "\\Bat", "\\bmain\\b", "^\\b", "\\b$", "\\B", "a{2}", "a{2,}", "a{2,3}b", "^a{0,1}b", "a{,2}", "{}", "x{", "a{0}b", "\\.", "\\/", "\\x61", "\\u4f60", "\\t", "\\n", "\\cI",
  "(?<name>a)b", "(?:)", "()", "", "|a", "a||b", "(|a)b", "(a*)*b", "(a+)+b", "(a|a)*b", "((a*)*)*$", "mal+oc", "MALLOC", "[A-Z]+", "É", "^std::.*::at$", "lib[a-z]+\\.so", "a*?b", "(?:a|b){2,3}?c", "(^a|b$)", "a^b", "a$b", "\\0", "[\\b]", "[\\0-\\x1f]",
];

test("expressions match what those of the browser match", () => {
  for (const source of sources) {
    const own = expression(source);
    const browsers = new RegExp(source, "i");
    for (const text of texts) {
      expect([source, text, own.test(text)]).toEqual([source, text, browsers.test(text)]);
      const [mine, theirs] = [own.exec(text), browsers.exec(text)];
      expect([source, text, mine?.index]).toEqual([source, text, theirs?.index]);
    }
  }
});

test("made up expressions match what those of the browser match", () => {
  let seed = 11;
  const random = (n: number) => (seed = (seed * 48271) % 2147483647) % n;
  const make = (depth: number): string => {
    const part = () => make(depth - 1);
    switch (random(depth > 0 ? 9 : 3)) {
      case 0:
        return "abc_ "[random(5)]!;
      case 1:
        return ["[ab]", "[^a]", "\\w", "\\s", "."][random(5)]!;
      case 2:
        return ["^", "$", "\\b", "\\B", "", "c"][random(6)]!;
      case 3:
        return `(${part()}|${part()})`;
      case 4:
        return `(?:${part()})${["*", "+", "?", "{2}", "{1,2}", "{2,}"][random(6)]}`;
      default:
        return part() + part();
    }
  };
  for (let i = 0; i < 400; i++) {
    const source = make(3);
    const own = expression(source);
    const browsers = new RegExp(source, "i");
    for (let j = 0; j < 20; j++) {
      const text = Array.from({ length: random(8) }, () => "abcA_ \n"[random(7)]).join("");
      expect([source, text, own.test(text), own.exec(text)?.index]).toEqual([source, text, browsers.test(text), browsers.exec(text)?.index]);
    }
  }
});

test("the longest part is marked", () => {
  expect(expression("a|ab|abc").exec("xabcx")).toEqual({ index: 1, 0: "abc" });
  expect(expression("l+").exec("malloc")).toEqual({ index: 2, 0: "ll" });
});

// Each of these takes the browser's own expressions longer than anybody waits: the test would never end.
test("no expression of a link stops the page", () => {
  const text = "a".repeat(5000);
  for (const source of ["(a+)+$b", "(a+)+[^a]", "(a|a)*b", "(a|aa)+b", "(.*)*b", "(.*a){20}b", "a*a*a*a*a*a*a*a*a*b", "(\\w+\\s?)*!", "((a*)*)*b"]) {
    const { re, error } = pattern(`/${source}/`);
    expect([source, error]).toEqual([source, ""]);
    expect([source, re!.test(text), re!.exec(text)]).toEqual([source, false, null]);
  }
  expect(expression("[aeiou].{60}x").test("you are aeiou ".repeat(300))).toBe(false);
});

test("what cannot be done in a time that is bounded is refused in words", () => {
  for (const [source, word] of [
    ["(a)\\1", "back-references"],
    ["(?<x>a)\\k<x>", "back-references"],
    ["a(?=b)", "look-around"],
    ["(?!b)a", "look-around"],
    ["(?<=b)a", "look-around"],
    ["(?<!b)a", "look-around"],
    ["(a{100}){100}", "too long"],
    ["(?:){999999999}", "too long"],
    ["a{999999999}", "too long"],
    ["a".repeat(3000), "too long"],
    ["(".repeat(500) + ")".repeat(500), "too deep"],
    ["a(", "group"],
  ] as const) {
    expect(() => expression(source)).toThrow(word);
    expect(pattern(`/${source}/`)).toMatchObject({ re: null, error: expect.stringContaining(word) });
    expect(checkPattern(`/${source}/`)).toContain(word);
  }
});
