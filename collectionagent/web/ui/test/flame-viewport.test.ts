// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { between, carry, clamp, fromMap, onMap, pan, reveal, zoomAround } from "../src/views/flame/viewport";

const close = (s: { left: number; right: number }, left: number, right: number) => {
  expect(s.left).toBeCloseTo(left, 9);
  expect(s.right).toBeCloseTo(right, 9);
};

test("zooming keeps what is under the pointer", () => {
  for (const at of [0, 0.25, 0.5, 1]) {
    const s = { left: 200, right: 600 };
    const place = s.left + at * 400;
    const z = zoomAround(s, at, 2, 1000);
    expect(z.right - z.left).toBeCloseTo(200);
    expect(z.left + at * 200).toBeCloseTo(place);
  }
});

test("nothing goes beyond the whole, or closer than numbers can tell", () => {
  close(zoomAround({ left: 100, right: 600 }, 0, 0.1, 1000), 0, 1000);
  close(zoomAround({ left: 900, right: 1000 }, 0, 0.5, 1000), 800, 1000);
  close(pan({ left: 0, right: 500 }, -1, 1000), 0, 500);
  close(pan({ left: 0, right: 500 }, 9, 1000), 500, 1000);
  close(clamp(-50, 50, 1000), 0, 100);
  close(clamp(-50, 5000, 1000), 0, 1000);
  const z = zoomAround({ left: 10, right: 10.0000001 }, 0.5, 1e9, 1000);
  expect(z.right).toBeGreaterThan(z.left);
});

describe("the way between two spans", () => {
  const out = { left: 0, right: 0 };
  test("begins and ends where it should", () => {
    for (const [a, b] of [
      [{ left: 0, right: 1000 }, { left: 300, right: 310 }],
      [{ left: 300, right: 310 }, { left: 0, right: 1000 }],
      [{ left: 0, right: 10 }, { left: 500, right: 510 }],
    ] as const) {
      between(a, b, 0, out);
      close(out, a.left, a.right);
      between(a, b, 1, out);
      close(out, b.left, b.right);
    }
  });
  test("comes closer evenly and stays inside both ends", () => {
    const a = { left: 0, right: 1000 };
    const b = { left: 300, right: 310 };
    between(a, b, 0.5, out);
    expect(out.right - out.left).toBeCloseTo(100);
    for (let t = 0; t <= 1; t += 0.1) {
      between(a, b, t, out);
      expect(out.left).toBeLessThanOrEqual(b.left + 1e-9);
      expect(out.right).toBeGreaterThanOrEqual(b.right - 1e-9);
    }
  });
});

test("the same place in another tree", () => {
  close(carry({ left: 120, right: 140 }, { left: 100, right: 200 }, { left: 1000, right: 1200 }, 5000), 1040, 1080);
});

describe("the map", () => {
  test("a rectangle that can be seen and held", () => {
    expect(onMap({ left: 0, right: 1000 }, 1000, 500)).toEqual({ x: 0, w: 500 });
    expect(onMap({ left: 250, right: 500 }, 1000, 500)).toEqual({ x: 125, w: 125 });
    expect(onMap({ left: 999.9, right: 1000 }, 1000, 500)).toEqual({ x: 492, w: 8 });
    expect(onMap({ left: 0, right: 0 }, 0, 500).w).toBe(8);
  });
  test("and back", () => {
    close(fromMap({ left: 0, right: 100 }, 250, 1000, 500), 450, 550);
    close(fromMap({ left: 0, right: 100 }, 0, 1000, 500), 0, 100);
    close(fromMap({ left: 0, right: 100 }, 900, 1000, 500), 900, 1000);
  });
});

describe("reveal", () => {
  test("leaves alone what is seen", () => {
    const s = { left: 0, right: 1000 };
    expect(reveal(s, 100, 200, 1000, 1000)).toBe(s);
  });
  test("pans to what is wide enough", () => close(reveal({ left: 0, right: 100 }, 500, 50, 1000, 1000), 475, 575));
  test("comes closer to what is thin", () => close(reveal({ left: 0, right: 1000 }, 500, 1, 1000, 1000), 498, 503));
});
