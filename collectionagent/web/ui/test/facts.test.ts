// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { facts, gaps, moreNodes, nodesOf, rangeText, type About } from "../src/model/facts";

const now = new Date(2026, 10, 21, 10, 0, 0).getTime();
const min = 60_000;
const about: About = {
  type: "on_cpu",
  unit: "nanoseconds",
  fromMs: now - 15 * min,
  toMs: now,
  total: 10e9,
  samples: 200,
  snapshot: false,
  coverage: { resolution_ms: 1, from_ms: now - 15 * min, to_ms: now, horizon_ms: 0 },
  symbolized: 0.5,
  unknownStacks: 0,
  hidden: { nodes: 0, value: 0 },
  file: "",
  lost: { samples: 0, hosts: 0 },
  incomplete: "",
  maxNodes: 60_000,
};
const find = (change: Partial<About>, id: string) => facts({ ...about, ...change }).find((f) => f.id === id);

describe("facts", () => {
  test("of a whole profile", () => {
    expect(facts(about).map((f) => f.text)).toEqual([
      "2026-11-21 09:45:00 – 10:00:00 (15 min)",
      "200 samples, CPU time 10.0 s",
      "from samples",
      "no samples lost",
      "50.0 % of frames named",
    ]);
  });
  test("what is missing is told", () => {
    expect(find({ coverage: { ...about.coverage!, from_ms: now - 2 * min } }, "covered")?.text).toBe("data for 2 min of it");
    expect(find({ lost: { samples: 1500, hosts: 1 } }, "lost")).toMatchObject({ text: "up to 1.50 k samples lost", warn: true, act: "status" });
    expect(find({ lost: null }, "lost")?.text).toBe("lost samples: not known");
    expect(find({ unknownStacks: 1e9 }, "unknown")).toMatchObject({ text: "10.0 % in stacks that have not arrived", warn: true });
    expect(find({ hidden: { nodes: 5, value: 1e9 } }, "hidden")?.act).toBe("nodes");
    expect(find({ hidden: { nodes: 5, value: 1e9 }, maxNodes: 500_000 }, "hidden")?.act).toBeUndefined();
    expect(find({ snapshot: true }, "snapshot")).toBeDefined();
    expect(find({ coverage: { ...about.coverage!, resolution_ms: 3_600_000 } }, "source")?.text).toBe("from sums per hour");
  });
  test("a file has no server to lose anything", () => {
    const of = facts({ ...about, file: "x.pb.gz", coverage: null, lost: null, fromMs: 0, toMs: 0 });
    expect(of.map((f) => f.id)).toEqual(["samples", "symbolized"]);
  });
  test("where the server has less than was asked for", () => {
    const gone = { ...about.coverage!, horizon_ms: now - 5 * min };
    expect(gaps(about, about.coverage)).toEqual([]);
    expect(gaps({ ...about, coverage: gone }, about.coverage)[0]).toMatch(/^Nothing in the profile is from before 2026-11-21 09:55:00/);
    expect(gaps(about, gone)[0]).toMatch(/^Nothing in the timeline/);
    expect(gaps({ ...about, incomplete: "replaying the log, 40 % of 512 MiB" }, null)[0]).toContain("40 %");
  });
});

test("nodes to ask for", () => {
  expect(["", "x", "-1", "1000", "9999999"].map(nodesOf)).toEqual([60_000, 60_000, 60_000, 1000, 500_000]);
  expect([60_000, 200_000, 500_000].map(moreNodes)).toEqual([200_000, 500_000, 500_000]);
});

test("ranges in few words", () => {
  const day = 24 * 60 * min;
  expect(rangeText(now - min, now, now)).toBe("09:59:00 – 10:00:00");
  expect(rangeText(now - day - min, now - day, now)).toBe("11-20 09:59:00 – 10:00:00");
  expect(rangeText(now - day, now, now)).toBe("11-20 10:00:00 – 10:00:00");
  expect(rangeText(now - 400 * day, now - 400 * day + min, now)).toMatch(/^2025-/);
});
