// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import type { TracksAnswer } from "../src/api/client";
import { boxAt, boxesOf, request, step } from "../src/views/tracks/boxes";
import { within } from "../src/views/tracks/chart";
import { only, titleOf, Tracks } from "../src/views/tracks/model";

/** all -> main -> (work -> copy, wait) as nodes 1 to 4. */
function answer(cells: { step: number[]; stack: number[]; value?: number[] }, more: Partial<TracksAnswer> = {}): TracksAnswer {
  return {
    type: "on_cpu",
    unit: "nanoseconds",
    from_ms: 1000,
    to_ms: 2000,
    total: 0,
    samples: 0,
    coverage: { resolution_ms: 1, from_ms: 0, to_ms: 0, horizon_ms: 0 },
    by: "tid",
    step_ms: 1,
    start_ms: 1000,
    steps: 1000,
    period_ns: 50e6,
    labels: ["host_id", "pid", "tid", "host", "service", "process", "comm"],
    strings: ["all", "", "main", "work", "copy", "wait", "native"],
    frames: { name: [0, 2, 3, 4, 5], file: [1, 1, 1, 1, 1], line: [0, 0, 0, 0, 0], binary: [1, 1, 1, 1, 1], kind: [6, 6, 6, 6, 6], inlined: [0, 0, 0, 0, 0] },
    stacks: { frame: [0, 1, 2, 3, 4], parent: [0, 0, 1, 2, 1] },
    tracks: [{ values: ["h", "7", "8", "node", "shop", "app", "worker"], total: 1, samples: 1, cells: { ...cells, value: cells.value ?? cells.step.map(() => 50e6), part: cells.step.map(() => 50e6) } }],
    hidden: { tracks: 0, value: 0, stacks: 0 },
    ...more,
  };
}

describe("tracks", () => {
  test("have names and what tells them apart", () => {
    const t = new Tracks(answer({ step: [100], stack: [3] }));
    expect(t.tracks[0]).toMatchObject({ key: "h\t7\t8", title: "worker", detail: "app · 8" });
    expect(only('{service="shop"}', "tid", "h\t7\t8")).toBe('{service="shop",host_id="h",pid="7",tid="8"}');
    expect(only("", "app/version", "1")).toContain('"1"');
    expect(titleOf("cpu", { cpu: "0", host: "a" }, 2)).toEqual({ title: "CPU 0", detail: "a" });
    expect(titleOf("cpu", { cpu: "", host: "a" }, 1)).toEqual({ title: "(no CPU)", detail: "" });
    expect(titleOf("pod", { pod: "" }, 1).title).toBe("(no pod)");
  });
  test("a sample stands for the time before it", () => {
    const t = new Tracks(answer({ step: [100, 300], stack: [3, 3] }));
    expect([t.from(100), t.to(100)]).toEqual([1051, 1101]);
    expect(t.cellAt(t.tracks[0]!, 1060)).toBe(0);
    expect(t.cellAt(t.tracks[0]!, 1200)).toBe(-1);
    expect(t.cellAt(t.tracks[0]!, 1300)).toBe(1);
    expect(t.full).toBe(50e6);
  });
  test("services may be busier than one CPU", () => {
    const t = new Tracks(answer({ step: [0], stack: [1], value: [400e6] }, { by: "service", labels: ["service"], step_ms: 100, tracks: [{ values: ["shop"], total: 1, samples: 1, cells: { step: [0], stack: [1], value: [400e6], part: [400e6] } }] }));
    expect(t.full).toBe(400e6);
  });
});

describe("the stack chart", () => {
  // main/work/copy twice, main/wait, a pause, main/wait.
  const t = new Tracks(answer({ step: [100, 151, 200, 500], stack: [3, 3, 4, 4] }));
  const b = boxesOf(t);
  const all = b.frame.map((f, i) => [t.functions.name[f], b.depth[i], b.from[i], b.to[i]]);
  test("a call that goes on is one box, a pause ends it", () => {
    expect(all).toEqual([
      ["main", 0, 1051, 1201],
      ["work", 1, 1051, 1152],
      ["copy", 2, 1051, 1152],
      ["wait", 1, 1152, 1201],
      ["main", 0, 1451, 1501],
      ["wait", 1, 1451, 1501],
    ]);
  });
  test("places and arrows", () => {
    expect(boxAt(b, 0, 1100)).toBe(0);
    expect(boxAt(b, 2, 1160)).toBe(-1);
    expect(boxAt(b, 9, 1160)).toBe(-1);
    expect(step(b, 0, "child")).toBe(1);
    expect(step(b, 3, "parent")).toBe(0);
    expect(step(b, 1, "right")).toBe(3);
    expect(step(b, 3, "left")).toBe(1);
    expect(step(b, 0, "parent")).toBe(-1);
    expect(step(b, 2, "child")).toBe(-1);
    expect(step(b, 5, "right")).toBe(-1);
  });
  test("boxes of a row never overlap", () => {
    const many = new Tracks(answer({ step: [0, 20, 40, 90, 95, 300], stack: [3, 4, 3, 3, 2, 1] }));
    const boxes = boxesOf(many);
    for (const row of boxes.rows) for (let i = 1; i < row.length; i++) expect(boxes.from[row[i]!]!).toBeGreaterThanOrEqual(boxes.to[row[i - 1]!]!);
  });
  test("no track is no box", () => expect(boxesOf(new Tracks(answer({ step: [], stack: [] }, { tracks: [] }))).frame).toEqual([]));
  test("what is asked for covers what is shown and stays the same for small moves", () => {
    for (let from = 0; from < 800_000; from += 977) {
      const r = request(from, from + 60_000, 0, 900_000);
      expect(r.from).toBeLessThanOrEqual(from);
      expect(r.to).toBeGreaterThanOrEqual(Math.min(from + 60_000, 900_000));
      expect((r.to - r.from) / r.step).toBeLessThan(11_000);
    }
    expect(request(500_000, 560_000, 0, 900_000)).toEqual(request(500_100, 560_100, 0, 900_000));
    expect(request(0, 900_000, 0, 900_000)).toEqual({ from: 0, to: 900_000, step: 225 });
    expect(request(100, 102, 0, 900_000).step).toBe(1);
  });
  test("what is shown stays within all", () => {
    expect(within({ from: -50, to: 50 }, { from: 0, to: 1000 })).toEqual({ from: 0, to: 100 });
    expect(within({ from: 0, to: 5000 }, { from: 0, to: 1000 })).toEqual({ from: 0, to: 1000 });
    expect(within({ from: 500, to: 500 }, { from: 0, to: 1000 })).toEqual({ from: 499, to: 501 });
  });
});
