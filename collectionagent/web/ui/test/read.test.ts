// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { Opened } from "../src/files/opened";
import { all, keep, opened } from "../src/files/opened";
import { Writer } from "../src/files/protobuf";
import { FileError, read } from "../src/files/read";
import { packageOf } from "../src/model/package";
import { rows } from "../src/model/rows";
import { transform } from "../src/model/transform";
import { stacksOf } from "./trees";

const fixture = (name: string) => new Uint8Array(readFileSync(new URL(`fixtures/${name}`, import.meta.url)));
const through = async (b: Uint8Array, stream: GenericTransformStream) => new Uint8Array(await new Response(new Blob([b as BlobPart]).stream().pipeThrough(stream as never)).arrayBuffer());
const bytes = (text: string) => new TextEncoder().encode(text);
const open = (name: string) => read(name, fixture(name));
const openText = (text: string) => read("x", bytes(text));
const row = (o: Opened, name: string) => rows(transform(o.tree, [], "function", false)).find((r) => r.name === name);
const mistake = async (content: Uint8Array) => {
  try {
    await read("x", content);
  } catch (e) {
    expect(e).toBeInstanceOf(FileError);
    return (e as Error).message;
  }
  return "";
};

describe("pprof", () => {
  test("IDs of 64 bits that differ in the last one are two", async () => {
    const w = new Writer().message(1, (m) => m.number(1, 1).number(2, 2));
    // 2^63 and 2^63 + 1 as varints.
    const high = (last: number) => [0x80 | last, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01];
    for (const last of [0, 1]) {
      const id = new Uint8Array([0x08, ...high(last)]);
      w.raw(2, new Uint8Array([0x0a, 10, ...high(last), 0x12, 1, 5 + last])); // sample
      w.raw(4, new Uint8Array([...id, 0x22, 11, ...id])); // location with a line of the function
      w.raw(5, new Uint8Array([...id, 0x10, 3 + last])); // function
    }
    for (const t of ["", "cpu", "nanoseconds", "even", "odd"]) w.text(6, t);
    expect(stacksOf((await read("x", w.done())).tree)).toEqual(["even 5", "odd 6"]);
  });
  test("CPU time of Go", async () => {
    const o = await open("cpu.pb.gz");
    expect(o).toMatchObject({ format: "pprof", types: ["samples", "on_cpu"], type: "on_cpu" });
    expect(o.tree.about).toEqual({ type: "on_cpu", unit: "nanoseconds" });
    expect(o.tree.total[0]).toBe(1.45e9); // as go tool pprof says of this file
    expect(row(o, "main.price")).toMatchObject({ self: 1.44e9, total: 1.45e9, kind: "go", binary: "shop" });
    expect(row(o, "main.main")).toMatchObject({ self: 0, total: 1.45e9 });
    expect(o.toMs - o.fromMs).toBeGreaterThan(1400);
    const line = o.tree.find(["runtime.main", "main.main"]);
    expect(o.tree.line(line)).toBeGreaterThan(0);
    expect(o.tree.file(line)).toBe("example.com/shop/main.go");
  });
  test("other types of samples are one step away, each made once", async () => {
    const o = await open("heap.pb.gz");
    expect(o.types).toEqual(["alloc_objects", "alloc_space", "inuse_objects", "inuse_space"]);
    expect(o.type).toBe("inuse_space");
    const space = o.as!("alloc_space");
    expect(space.tree.about).toEqual({ type: "alloc_space", unit: "bytes" });
    expect(row(space, "main.main")!.total).toBe(1212696);
    expect(space.tree.frames.inlined[space.tree.frames.name.indexOf("compress/flate.NewWriter")]).toBe(true);
    expect(o.as!("alloc_space")).toBe(space);
    expect(space.as!("inuse_space")).toBe(o);
    expect([o.name, space.name]).toEqual(["heap.pb.gz – Memory in use", "heap.pb.gz – Memory allocated"]);
    const number = keep(o);
    expect(keep(o)).toBe(number);
    expect(opened(keep(space))).toBe(space);
    expect(all().length).toBe(2);
    expect(o.notes).toEqual(["labels of samples are left out: bytes"]);
  });
  test("without gzip, and with one too many", async () => {
    const twice = await through(fixture("cpu.pb.gz"), new CompressionStream("gzip"));
    expect((await read("x", twice)).tree.total[0]).toBe(1.45e9);
  });
});

describe("OTLP", () => {
  test("as protocol buffer and as JSON it is what it was as pprof", async () => {
    const pprof = await open("cpu.pb.gz");
    const binary = await open("cpu.otlp");
    const json = await open("cpu.otlp.json");
    for (const o of [binary, json]) {
      expect(o.format).toBe("OTLP");
      expect(stacksOf(o.as ? o.as("on_cpu").tree : o.tree)).toEqual(stacksOf(pprof.tree));
      expect(o.fromMs).toBe(pprof.fromMs);
    }
    expect(binary.types).toEqual(json.types);
    expect(row(json, "main.price")).toMatchObject({ kind: "go", binary: "shop" });
  });
  test("indices that lead nowhere are named", async () => {
    const json = JSON.parse(new TextDecoder().decode(fixture("cpu.otlp.json")));
    json.resourceProfiles[0].scopeProfiles[0].profiles[0].samples[0].stackIndex = 999;
    expect(await mistake(bytes(JSON.stringify(json)))).toMatch(/profiles\[0\]\.samples\[0\]\.stack_index: entry 999/);
    delete json.dictionary;
    expect(await mistake(bytes(JSON.stringify(json)))).toMatch(/dictionary: is missing/);
    expect(await mistake(bytes('{"resourceProfiles":[{"scopeProfiles":7}]}'))).toMatch(/resourceProfiles\[0\]\.scopeProfiles: must be a list/);
  });
});

describe("folded stacks", () => {
  test("of our own server", async () => {
    const o = await open("folded.txt");
    expect(o.format).toBe("folded stacks");
    const total = new TextDecoder().decode(fixture("folded.txt")).trim().split("\n").reduce((n, l) => n + Number(l.split(" ").at(-1)), 0);
    expect(o.tree.total[0]).toBe(total);
    expect(o.samples).toBe(total);
    expect(o.tree.frames.kind).toContain("kernel");
    expect(o.tree.frames.kind).toContain("go");
    expect(o.tree.frames.name.some((n) => n.includes("_[k]"))).toBe(false);
  });
  test("with spaces in names, comments, other ends of lines, and parts of values", async () => {
    const o = await openText("# a comment\r\n\r\nmain loop;void f(int, char*) 2\r\nmain loop;g_[j] 1.5\r\n");
    expect(stacksOf(o.tree)).toEqual(["main loop;g 1.5", "main loop;void f(int, char*) 2"]);
  });
  test("lines that are none are counted, and the first is named", async () => {
    const o = await openText("a;b 1\nwhat is this\na 2\n");
    expect(o.tree.total[0]).toBe(3);
    expect(o.notes[0]).toMatch(/1 lines were left out; line 2: /);
  });
  test("stacks deeper than a screen shows are cut and counted", async () => {
    const o = await openText(`${Array.from({ length: 5000 }, (_, i) => `f${i}`).join(";")} 1\n`);
    expect(o.tree.maxDepth).toBe(2001);
    expect(o.notes[0]).toMatch(/1 stacks were cut/);
  });
});

describe("perf script", () => {
  test("of two events", async () => {
    const o = await open("perf.txt");
    expect(o.format).toBe("perf script");
    expect(o.types!.map((t) => t.replace(/:.*/, "")).sort()).toEqual(["cpu-clock", "page-faults"]);
    const clock = o.as!(o.types!.find((t) => t.startsWith("cpu-clock"))!);
    expect(clock.tree.about.unit).toBe("nanoseconds");
    expect(row(clock, "work")!.total).toBeGreaterThan(0);
    expect(row(clock, "work")!.binary).toBe("shop-c");
    expect(clock.tree.name(1)).toBe("shop-c");
    expect(clock.tree.kind(1)).toBe("label");
    const faults = o.as!(o.types!.find((t) => t.startsWith("page-faults"))!);
    expect(faults.tree.frames.kind).toContain("kernel");
    expect(faults.samples).toBe(4);
    expect(o.notes).toEqual([]);
  });
  test("with a CPU, without a period, inlined functions, source lines, and stacks in one line", async () => {
    const o = await openText(
      "my thread 12/34 [003] 1.000001: cycles:P: \n\t  401136 inner+0x6 (inlined)\n  a.c:7\n\t  401136 outer+0x16 (/usr/bin/app)\n\n" +
        "swapper     0 [000] 2.5: cycles:P:  ffffffff81 idle_loop+0x1 ([kernel.kallsyms])\n",
    );
    expect(stacksOf(o.tree)).toEqual(["my thread;outer;inner 1", "swapper;idle_loop 1"]);
    const inner = o.tree.find(["my thread", "outer", "inner"]);
    expect([o.tree.inlined(inner), o.tree.file(inner), o.tree.line(inner), o.tree.binary(inner)]).toEqual([true, "a.c", 7, "app"]);
    expect(o.tree.kind(o.tree.find(["swapper", "idle_loop"]))).toBe("kernel");
  });
});

describe("speedscope", () => {
  const file = (...profiles: object[]) => JSON.stringify({ $schema: "https://www.speedscope.app/file-format-schema.json", shared: { frames: [{ name: "main", file: "a.py", line: 3 }, { name: "f" }, { name: "g" }] }, profiles });
  const sampled = { type: "sampled", name: "one", unit: "milliseconds", startValue: 0, endValue: 3, samples: [[0, 1], [0], [0, 1, 2]], weights: [1, 1, 1] };
  const evented = {
    type: "evented", name: "two", unit: "microseconds", startValue: 10, endValue: 20,
    events: [{ type: "O", frame: 0, at: 10 }, { type: "O", frame: 1, at: 12 }, { type: "C", frame: 1, at: 17 }, { type: "C", frame: 0, at: 20 }],
  };
  test("samples with weights", async () => {
    const o = await openText(file(sampled));
    expect(o).toMatchObject({ format: "speedscope", samples: 3 });
    expect(stacksOf(o.tree)).toEqual(["main 1000000", "main;f 1000000", "main;f;g 1000000"]);
    expect(o.tree.kind(1)).toBe("python");
    expect(o.types).toBeUndefined();
  });
  test("events", async () => expect(stacksOf((await openText(file(evented))).tree)).toEqual(["main 5000", "main;f 5000"]));
  test("several profiles together, and each", async () => {
    const o = await openText(file(sampled, evented));
    expect(o.types).toEqual(["all 2", "one (1 of 2)", "two (2 of 2)"]);
    expect(o.tree.total[0]).toBe(3_010_000);
    expect(o.as!("two (2 of 2)").tree.total[0]).toBe(10_000);
  });
  test("functions left in another order are told of", async () => {
    const e = { ...evented, events: [...evented.events.slice(0, 2), { type: "C", frame: 0, at: 17 }, { type: "C", frame: 1, at: 18 }] };
    expect((await openText(file(e))).notes[0]).toMatch(/^profiles\[0\]: 2 functions/);
  });
  test.each([
    ["profiles: is empty", file()],
    ["profiles[0].type", file({ ...sampled, type: "dance" })],
    ["profiles[0].samples[0][1]: there is no frame 9", file({ ...sampled, samples: [[0, 9], [], []] })],
    ["profiles[0].weights: has 1 values for 3 samples", file({ ...sampled, weights: [1] })],
    ["profiles[0].events[1].at: 1 is before 10", file({ ...evented, events: [evented.events[0], { type: "C", frame: 0, at: 1 }] })],
    ["profiles[0].events[0].type", file({ ...evented, events: [{ type: "X", frame: 0, at: 10 }] })],
    ["shared.frames[0].name", JSON.stringify({ shared: { frames: [{}] }, profiles: [sampled] })],
  ])("%s", async (want, text) => expect(await mistake(bytes(text))).toContain(want));
});

describe("what cannot be read says why", () => {
  test.each([
    ["it is empty", bytes("")],
    ["perf script -i", bytes("PERFILE2\x68\0\0\0")],
    ["Flight Recorder", bytes("FLR\0\0\x02")],
    ["zstd", new Uint8Array([0x28, 0xb5, 0x2f, 0xfd, 1, 2])],
    ["zip", bytes("PK\x03\x04")],
    ["looks like JSON and is none", bytes('{"shared":')],
    ["neither of speedscope nor", bytes('{"a":1}')],
    ["not known; what can be opened", bytes("<html>hello</html>")],
    ["damaged or end too early", fixture("cpu.pb.gz").subarray(0, 300)],
    ["string_table", new Uint8Array([0x0a, 0])],
  ])("%s", async (want, content) => {
    const text = await mistake(content);
    expect(text).toContain(want);
    expect(text.startsWith("x: ")).toBe(true);
  });
});

describe("bytes of a stranger", () => {
  let seed = 1;
  const random = (n: number) => (seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0) % n;
  const survives = async (b: Uint8Array) => {
    try {
      const o = await read("x", b);
      expect(o.tree.size).toBeGreaterThan(0);
      for (const v of o.tree.total) expect(v).toBeGreaterThanOrEqual(0);
    } catch (e) {
      expect(e, String((e as Error).stack)).toBeInstanceOf(FileError);
      expect((e as Error).message.length).toBeLessThan(600);
    }
  };
  test.each(["cpu.pb.gz", "heap.pb.gz", "cpu.otlp", "cpu.otlp.json", "folded.txt", "perf.txt"])("%s, cut and changed", async (name) => {
    const whole = name.endsWith(".gz") ? await through(fixture(name), new DecompressionStream("gzip")) : fixture(name);
    for (let i = 0; i < 40; i++) await survives(whole.slice(0, random(whole.length)));
    for (let i = 0; i < 150; i++) {
      const b = whole.slice();
      for (let k = 1 + random(4); k > 0; k--) b[random(b.length)] = random(256);
      await survives(b);
    }
  });
  test("random ones", async () => {
    for (let i = 0; i < 200; i++) {
      const b = Uint8Array.from({ length: random(300) }, () => random(256));
      await survives(b);
      // As they would be behind the first byte of pprof, of OTLP, and of a text.
      for (const first of [0x0a, 0x12, 0x32, 0x7b]) await survives(Uint8Array.from([first, ...b]));
    }
  });
  test("a small file that names a long stack often ends", async () => {
    const { Writer } = await import("../src/files/protobuf");
    const w = new Writer();
    w.message(1, (m) => m.number(1, 1)).text(6, "").text(6, "samples").message(5, (m) => m.number(1, 1).number(2, 1));
    w.message(4, (m) => {
      m.number(1, 1);
      for (let i = 0; i < 5000; i++) m.message(4, (l) => l.number(1, 1));
    });
    for (let i = 0; i < 300; i++) w.message(2, (m) => m.numbers(1, Array.from({ length: 500 }, () => 1)).numbers(2, [1]));
    const o = await read("x", w.done());
    expect(o.tree.maxDepth).toBeLessThanOrEqual(2001);
    expect(o.notes[0]).toMatch(/300 stacks were cut/);
  });
});

// Each of these takes an expression that tries all ways longer than anybody waits.
describe("lines that are made to take long", () => {
  const blanks = " ".repeat(3_000_000);
  test("perf script", async () => {
    const o = await openText(`shop 1 1.0: cycles: \n\tff${blanks}main (/bin/shop)\n\tff a${blanks}b\n${blanks}\nx${blanks}y\n`);
    expect(o.tree.total[0]).toBe(1);
    expect(await mistake(bytes(`a${blanks}b\n`))).toContain("this format is not known");
  });
  test("folded stacks", async () => {
    expect((await openText(`a;b${blanks}5\nx${blanks}y\n`)).tree.total[0]).toBe(5);
  });
  test("a path of a package", () => {
    const path = "node_modulesx/".repeat(100_000);
    expect(packageOf("v8", "f", `/${path}a.js`, "")).toBe("node_modulesx");
    for (const kind of ["python", "ruby", "php"]) packageOf(kind, "f", `/${path}a`, "");
  });
});
