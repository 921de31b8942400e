// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import type { Executable, HostEvent, StoreStatus, TimelineAnswer } from "../src/api/client";
import { around, findEvents, histogram, kinds, kindWord, otherLabels, sortEvents, stacks, withIds } from "../src/pages/events/rows";
import { hint, nameOf, sortExecutables, symbolsOf, symbolsText } from "../src/pages/executables/rows";
import { explore, selector } from "../src/pages/links";
import { timeText } from "../src/pages/rangebar";
import { nextSort } from "../src/pages/rowtable";
import { age, agesText, parts, rate, ruleText, warnings } from "../src/pages/status/words";
import { moved, slice, topOf } from "../src/pages/window";
import { defaults } from "../src/state/state";

describe("rows in sight", () => {
  test("short lists are drawn whole", () => {
    expect(slice(100, 30, [], 500, 900)).toEqual({ first: 0, last: 100, before: 0, after: 0 });
    expect(slice(0, 30, [], 0, 900)).toEqual({ first: 0, last: 0, before: 0, after: 0 });
    expect(slice(5000, 0, [], 0, 900).last).toBe(5000); // nothing was measured yet
  });
  test("of long ones some rows around", () => {
    expect(slice(10000, 30, [], 3000, 3600, 2)).toEqual({ first: 98, last: 123, before: 98 * 30, after: (10000 - 123) * 30 });
  });
  test("room adds up wherever one is", () => {
    const extras = [
      { index: 3, height: 400 },
      { index: 500, height: 77 },
      { index: 9999, height: 50 },
    ];
    const all = 10000 * 30 + 527;
    for (const at of [-900, 0, 120, 200, 600, 15000, 15500, 299000, all, all + 9000]) {
      const s = slice(10000, 30, extras, at, at + 700);
      const drawn = (s.last - s.first) * 30 + extras.reduce((sum, e) => sum + (e.index >= s.first && e.index < s.last ? e.height : 0), 0);
      expect(s.before + drawn + s.after).toBe(all);
      expect(s.before).toBeLessThanOrEqual(Math.max(at, 0));
      expect(s.before + drawn).toBeGreaterThanOrEqual(Math.min(at + 700, all));
      expect(s.last - s.first).toBeLessThan(60);
    }
    expect(topOf(4, 30, extras)).toBe(4 * 30 + 400);
    expect(topOf(3, 30, extras)).toBe(90);
  });
  test("keys", () => {
    expect(moved("ArrowDown", 0, 5, 10)).toBe(1);
    expect(moved("ArrowUp", 0, 5, 10)).toBe(0);
    expect(moved("PageDown", 1, 100, 10)).toBe(11);
    expect(moved("End", 1, 100, 10)).toBe(99);
    expect(moved("x", 1, 100, 10)).toBe(-1);
    expect(moved("ArrowDown", 0, 0, 10)).toBe(-1);
  });
  test("a column sorts one way, the other way, and not", () => {
    expect(["", "-n", "n"].map((s) => nextSort(s, "n", true))).toEqual(["-n", "n", ""]);
    expect(["", "a", "-a"].map((s) => nextSort(s, "a", false))).toEqual(["a", "-a", ""]);
  });
});

describe("links", () => {
  test("selectors", () => {
    expect(selector(["host", 'a"b\\c'], ["app.kubernetes.io/name", "x"])).toBe('{host="a\\"b\\\\c",app.kubernetes.io/name="x"}');
    expect(selector(["odd name", "x"])).toBe('{"odd name"="x"}');
    expect(selector()).toBe("");
  });
  test("a profile takes the project and the range along, nothing else", () => {
    const s = explore({ ...defaults, page: "hosts", project: "p", from: "now-1h", find: "x", open: ["1"], sort: "hosts:-age", zoom: ["a"] }, { query: "{}" });
    expect(s).toEqual({ ...defaults, project: "p", from: "now-1h", query: "{}" });
  });
});

const executable = (name: string, change: Partial<Executable> = {}): Executable => ({
  file_id: `${name}-0123456789abcdef`,
  build_id: "",
  name,
  path: "",
  kind: "native",
  runtime: "",
  self: 1,
  value: 10,
  unnamed: 0,
  frames: 4,
  named_frames: 4,
  line_frames: 4,
  symbolized: 1,
  ...change,
});

describe("executables", () => {
  test("what is known of symbols", () => {
    const say = (change: Partial<Executable>) => `${symbolsOf(executable("a", change))}: ${symbolsText(executable("a", change))}`;
    expect(say({})).toBe("all: names and lines");
    expect(say({ line_frames: 0 })).toBe("names: names, no lines");
    expect(say({ line_frames: 1 })).toBe("names: names, some lines");
    expect(say({ named_frames: 3 })).toBe("some: 3 of 4 places named");
    expect(say({ named_frames: 0 })).toBe("none: no names");
  });
  test("what to do", () => {
    expect(hint(executable("a"))).toBe("");
    expect(hint(executable("a", { named_frames: 0 }))).toMatch(/--build-id/);
    expect(hint(executable("a", { named_frames: 0, build_id: "ab" }))).toMatch(/dbgsym/);
    expect(hint(executable("[kernel.kallsyms]", { kind: "kernel", named_frames: 0 }))).toMatch(/CAP_SYSLOG/);
    expect(hint(executable("[anon]", { named_frames: 0 }))).toMatch(/perf map/);
    expect(hint(executable("python3", { kind: "interpreter", runtime: "python", line_frames: 0 }))).toBe("");
  });
  test("names, order and filter", () => {
    expect(nameOf({ name: "", file_id: "c0ffee0012345678" })).toBe("c0ffee00");
    const list = [executable("b", { value: 30 }), executable("c", { value: 20, unnamed: 7, kind: "go" }), executable("a", { value: 10, build_id: "beef" })];
    const names = (...args: [Parameters<typeof sortExecutables>[1], boolean, string]) => sortExecutables(list, ...args).map(nameOf).join("");
    expect(names("", false, "")).toBe("bca");
    expect(names("name", false, "")).toBe("abc");
    expect(names("unnamed", true, "")).toBe("cba");
    expect(names("", false, "BEEF")).toBe("a");
    expect(names("", false, "go c")).toBe("c");
    expect(list.map(nameOf).join("")).toBe("bca"); // sorted copies
  });
});

const event = (change: Partial<HostEvent> = {}): HostEvent => ({
  time_ms: 1000_000,
  host: "a",
  host_id: "1",
  kind: "oom",
  title: "killed",
  value: 1,
  samples: 1,
  labels: { host: "a", host_id: "1", "event.name": "oom", device: "sda", pid: "7" },
  stack: "ab",
  has_stack: true,
  ...change,
});

describe("events", () => {
  test("each has an ID of its own", () => {
    expect(new Set(withIds([event(), event(), event({ time_ms: 2 })]).map((r) => r.id)).size).toBe(3);
  });
  test("filter and order", () => {
    const rows = withIds([event(), event({ time_ms: 2000_000, host: "b", kind: "hung", labels: { device: "sdb" } })]);
    const found = (text: string) => findEvents(rows, text).map((r) => r.event.host).join("");
    expect(found("")).toBe("ab");
    expect(found("device=sda")).toBe("a");
    expect(found("HUNG b")).toBe("b");
    expect(kinds(rows, 1)).toEqual([["hung", 1]]);
    expect(found(kindWord("hung"))).toBe("b");
    expect(found("host=a kind=oom")).toBe("a");
    expect(found("nothing")).toBe("");
    expect(sortEvents(rows, "time", true).map((r) => r.event.host).join("")).toBe("ba");
    expect(sortEvents(rows, "", false)).toEqual(rows);
  });
  test("labels without columns of their own", () => {
    expect(otherLabels(event())).toEqual([
      ["device", "sda"],
      ["pid", "7"],
    ]);
  });
  test("profiles", () => {
    expect(around(event())).toEqual({ type: "on_cpu", query: '{host="a"}', from: "970000", to: "1030000" });
    expect(around(event({ host: "", host_id: "" })).query).toBe("");
    expect(stacks(event())).toEqual({ type: "event", query: '{host_id="1",event.name="oom",pid="7"}', from: "1000000", to: "1000001" });
  });
  test("histogram", () => {
    expect(histogram({ series: [{ name: "x", values: [1, 2] }, { name: "y", values: [0, 3] }] } as TimelineAnswer)).toEqual([1, 5]);
    expect(histogram({ series: null } as TimelineAnswer)).toEqual([]);
  });
});

test("times of the URL as a person reads them", () => {
  expect(timeText("now-1h")).toBe("now-1h");
  expect(timeText("1795255200000")).toMatch(/^2026-11-2\d \d\d:00:00$/);
});

describe("the status in words", () => {
  const day = 86400e3;
  test("ages", () => {
    expect([0, day, 7 * day, 36 * 3600e3, 90e3].map(age)).toEqual(["for ever", "1 day", "7 days", "36 hours", "90 seconds"]);
    expect(agesText({ samples_ms: 7 * day, minutes_ms: 30 * day, hours_ms: 0 })).toBe("Samples stay 7 days, their sums per minute 30 days, and their sums per hour for ever.");
    expect(agesText({ samples_ms: 0, minutes_ms: 0, hours_ms: 0 })).toBe("Samples and their sums stay for ever.");
    expect(ruleText({ project: "shop", type: "off_cpu" })).toBe("Time off CPU of the project shop");
    expect(ruleText({ project: "", type: "event" })).toBe("Events of all projects");
  });
  test("storage", () => {
    const p = parts({ bytes: { wal: 5, blocks: 100, objects: 1000 } });
    expect(p.list.map((x) => x.name)).toEqual(["object storage", "blocks", "log"]);
    expect([p.disk, p.all]).toEqual([105, 1105]);
  });
  test("rates", () => {
    expect([0, 6, 60, 1200, 60e6].map(rate)).toEqual(["0.00/s", "0.10/s", "1.00/s", "20.0/s", "1,000,000/s"]);
  });
  test("what needs attention", () => {
    const status = { version: "1", now_ms: 0, project: "default", hosts: [] };
    const store = { engine: "embedded", bytes: {}, read_only: "", free_bytes: 1 << 29 } as unknown as StoreStatus;
    expect(warnings(status)).toEqual([]);
    expect(warnings({ ...status, store }).map((w) => w.text)).toEqual(["Only 512 MiB are free on the disk of the store."]);
    expect(warnings({ ...status, store: { ...store, read_only: "disk full", strained: true }, incomplete: "replaying" })).toHaveLength(3);
    expect(warnings({ ...status, ingest: { received: 1, stored: 0, duplicate: 0, refused: {}, last_minute: { received: 5, stored: 0, duplicate: 0, refused: 5 } } })).toHaveLength(1);
  });
});
