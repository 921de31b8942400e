// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { amount, count, mark, percent } from "../src/ui/format";
import { changed, defaults, formatState, isLive, parseState } from "../src/state/state";
import { choices, title } from "../src/model/types";

describe("state in the URL", () => {
  test("what is written is read back", () => {
    const s = {
      ...defaults,
      type: "inuse_space",
      from: "1700000000000",
      to: "1700000060000",
      query: '{service=~"a b|q"}',
      t: ["hide:x", "recursion"],
      group: "service,comm",
      view: "both" as const,
      search: "/a|b/",
      zoom: ["main", "std::vector<int, x>::f()"],
    };
    expect(parseState(formatState(s))).toEqual(s);
  });
  test("an unknown view is the default", () => {
    expect(parseState("?view=nonsense").view).toBe("flame");
  });
  test("live is a range that ends now", () => {
    expect(isLive({ to: "now", file: "" })).toBe(true);
    expect(isLive({ to: "1700000000000", file: "" })).toBe(false);
  });
});

describe("a sort", () => {
  const table = { ...defaults, view: "table" as const, sort: "name" };
  test.each([
    ["stays with its table", changed(table, { find: "x" }), "name"],
    ["stays beside the graph", changed(table, { view: "both" }), "name"],
    ["comes back from the graph", changed(changed(table, { view: "flame" }), { view: "table" }), "name"],
    ["is not that of a comparison", changed(table, { view: "diff" }), ""],
    ["is not that of labels", changed(table, { view: "top" }), ""],
    ["is not that of a page", changed(table, { page: "executables" }), ""],
    ["is not that of a page, whose link has all fields", changed(table, { ...table, page: "hosts" }), ""],
    ["is what a link says", changed(table, { page: "executables", sort: "-unnamed" }), "-unnamed"],
  ])("%s", (_, s, sort) => expect(s.sort).toBe(sort));
});

describe("numbers", () => {
  test("marks of time axes tell the day where they span days", () => {
    const ms = new Date(2026, 10, 21, 9, 5, 7).getTime();
    expect([3600e3, 86400e3, 7 * 86400e3, 365 * 86400e3].map((span) => mark(ms, span))).toEqual(["09:05:07", "09:05", "11-21 09:05", "2026-11-21"]);
  });
  test.each([
    [0, "0 ns"],
    [1500, "1.50 µs"],
    [25e6, "25.0 ms"],
    [3.2e9, "3.20 s"],
    [150e9, "2.50 min"],
    [7200e9, "2.00 h"],
  ])("%d ns", (n, want) => expect(amount(n, "nanoseconds")).toBe(want));
  test("bytes", () => expect([amount(1536, "bytes"), amount(7, "bytes")]).toEqual(["1.50 KiB", "7 B"]));
  test("counts and shares", () => {
    expect(count(1234567)).toBe("1.23 M");
    expect(percent(1, 3)).toBe("33.3 %");
    expect(percent(1, 0)).toBe("0 %");
    expect(percent(9999, 10000)).toBe("100 %");
  });
});

test("types: what there is and what is chosen, in one order", () => {
  expect(choices([], "on_cpu")).toEqual(["on_cpu"]);
  expect(choices(["goroutines", "new", "off_cpu"], "wall")).toEqual(["on_cpu", "off_cpu", "wall", "goroutines", "new"]);
  expect([title("inuse_space"), title("new")]).toEqual(["Memory in use", "new"]);
});
