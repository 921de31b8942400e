// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { baseRange, timelineRange } from "../src/model/compare";
import { defaults } from "../src/state/state";

const now = 1_795_255_200_000;
const min = 60_000;
const ago = (m: number) => String(now - m * min);
const s = { ...defaults, from: ago(10), to: ago(5) };
const diff = { ...s, view: "diff" as const };

test.each([
  ["no comparison", s, null],
  ["as long a range before", diff, [15, 10]],
  ["another selector: the same range", { ...diff, bquery: '{a="b"}' }, [10, 5]],
  ["both ends", { ...diff, bfrom: ago(30), bto: ago(20) }, [30, 20]],
  ["its start", { ...diff, bfrom: ago(30) }, [30, 25]],
  ["its end", { ...diff, bto: ago(20) }, [25, 20]],
  ["relative ends", { ...diff, bfrom: "now-30m", bto: "now-20m" }, [30, 20]],
  ["a file", { ...diff, bfile: "1" }, null],
])("the base: %s", (_, state, want) => {
  const base = baseRange(state, now);
  expect(base && [(now - base.from) / min, (now - base.to) / min]).toEqual(want);
});

test("the timeline spans both", () => {
  expect(timelineRange({ ...defaults }, false, now)).toEqual({ from: "now-15m", to: "now" });
  expect(timelineRange(diff, false, now)).toEqual({ from: ago(15), to: ago(5) });
  expect(timelineRange({ ...diff, bfrom: ago(2), bto: ago(1) }, false, now)).toEqual({ from: ago(10), to: ago(1) });
  expect(timelineRange(s, true, now)).toEqual({ from: ago(20), to: ago(2.5) });
  // The same question while time goes by, or it would be asked without end.
  for (const later of [0, 1, 700, 123_456]) {
    expect(timelineRange({ ...defaults }, true, now + later)).toEqual({ from: "now-45m", to: "now" });
    expect(timelineRange({ ...defaults, view: "diff" }, false, now + later)).toEqual({ from: "now-30m", to: "now" });
    expect(timelineRange({ ...defaults, view: "diff", bfrom: ago(60), bto: ago(50) }, false, now + later)).toEqual({ from: ago(60), to: "now" });
  }
  expect(timelineRange({ ...defaults, view: "diff", bfrom: "now-2h", bto: "now-1h" }, false, now)).toEqual({ from: "now-2h", to: "now" });
});
