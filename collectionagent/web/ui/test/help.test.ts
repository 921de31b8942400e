// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { groups } from "../src/app/help";

test("keys are listed once, below their headings", () => {
  const key = (key: string, what: string, group: string) => ({ key, what, group });
  const list = groups([key("x", "a", "Flame graph"), key("?", "help", "Page"), key("x", "a", "Flame graph"), key("x", "b", "Flame graph")]);
  expect(list.map(([g, keys]) => [g, keys.map((k) => k.what)])).toEqual([
    ["Page", ["help"]],
    ["Flame graph", ["a", "b"]],
  ]);
});
