// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import type { AgentHost, HostLedger, LedgerAnswer } from "../src/api/client";
import { bytes, exact, many } from "../src/ui/format";
import { byState, condition, hostMatcher, join, sortHosts, stateWord } from "../src/pages/hosts/rows";
import { agentEquation, byWeight, dropText, refusalText, serverEquation } from "../src/pages/status/ledger";
import { defaults, formatState, parseState } from "../src/state/state";

const now = 1_795_255_200_000;

function host(name: string, change: Partial<HostLedger> = {}): HostLedger {
  return {
    host_id: `id-${name}`,
    host: name,
    run_id: "00",
    agent_version: "1.2.3",
    state: "connected",
    last_error: "",
    reported_ms: now - 3000,
    dropped_ms: 0,
    agent: { captured: 100, recovered: 0, stored: 90, queued: 10, spooled: 0, dropped: {} },
    spool: { state: "on", bytes: 0, max_bytes: 1000, batches: 0 },
    server_stored: 90,
    unaccounted: 0,
    consistent: true,
    ...change,
  };
}

const about = (name: string, off: string[] = []): AgentHost => ({
  id: `id-${name}`,
  kernel: "6.1",
  metadata: {},
  last_seen_ms: now,
  started_ms: now,
  clock_offset_ms: 0,
  limitations: off.map((o) => ({ name: o, effect: "", fix: "" })),
});

describe("equations", () => {
  test("of agents", () => {
    const ledger = { captured: 100, recovered: 5, stored: 60, queued: 20, spooled: 10, dropped: { too_old: 7, queue_full: 3 } };
    expect(agentEquation(ledger).off).toBe(0);
    expect(agentEquation(ledger).parts.map((p) => p.value)).toEqual([60, 20, 10, 10]);
    expect(agentEquation({ ...ledger, stored: 58 }).off).toBe(-2);
    expect(agentEquation({ ...ledger, dropped: {} }).off).toBe(-10);
    expect(agentEquation({ ...ledger, queued: 21 }).off).toBe(1);
  });
  test("of the server", () => {
    const r = { received: 20, stored: 10, duplicate: 4, refused: { time: 5, invalid: 1 } };
    expect(serverEquation(r).off).toBe(0);
    expect(serverEquation({ ...r, refused: {} }).off).toBe(-6);
  });
  test("reasons", () => {
    expect(byWeight({ a: 1, b: 0, c: 3, d: 1 })).toEqual([["c", 3], ["a", 1], ["d", 1]]);
    expect(dropText("too_old")).toBe("captured longer ago than the server takes");
    expect(refusalText("made_up")).toBe("made up");
  });
  test("numbers that add up have all their digits", () => {
    expect(exact(1234567)).toBe("1,234,567");
    expect([0, 1, 2, 1234].map((n) => many(n, "host"))).toEqual(["0 hosts", "1 host", "2 hosts", "1,234 hosts"]);
    expect([0, 1023, 1536, 512 * 2 ** 20, 2 ** 41].map(bytes)).toEqual(["0 B", "1023 B", "1.50 KiB", "512 MiB", "2.00 TiB"]);
  });
});

describe("conditions", () => {
  test.each([
    ["connected", now - 3000, "connected", "good"],
    ["connected", now - 60_000, "silent (connected)", "bad"],
    ["stopped", now - 3_600_000, "stopped", "none"],
    ["unknown", 0, "unknown", "none"],
    ["refused", now, "refused", "bad"],
    ["a new one", now, "a new one", "waiting"],
  ])("%s", (state, reported_ms, text, mark) => {
    expect(condition({ state, reported_ms }, now)).toMatchObject({ text, mark });
  });
  test("signs differ, not only colours", () => {
    const signs = ["connected", "starting", "overloaded", "disconnected", "refused", "stopped", "unknown"].map((state) => condition({ state, reported_ms: now }, now).sign);
    expect(new Set(signs).size).toBe(signs.length);
  });
});

describe("hosts", () => {
  const rows = join(
    {
      hosts: [
        host("c", { agent: { captured: 5, recovered: 0, stored: 5, queued: 0, spooled: 0, dropped: { x: 2 } } }),
        host("a", { state: "refused", spool: { state: "on", bytes: 900, max_bytes: 1000, batches: 9 } }),
        host("b", { state: "unknown", agent: null, spool: null, reported_ms: 0 }),
      ],
    } as LedgerAnswer,
    { hosts: [about("a", ["off-CPU"]), about("c")], hidden: 0 },
  );
  const names = (...args: [Parameters<typeof sortHosts>[1], boolean, string]) =>
    sortHosts(rows, ...args, now)
      .map((h) => h.host)
      .join("");

  test("are joined by their ID", () => {
    expect(rows.map((h) => h.about?.limitations.length)).toEqual([0, 1, undefined]);
  });
  test("sort", () => {
    expect(names("attention", false, "")).toBe("cab");
    expect(names("host", false, "")).toBe("abc");
    expect(names("captured", true, "")).toBe("acb");
    expect(names("dropped", true, "")).toBe("cab");
    expect(names("spool", true, "")).toBe("acb");
    expect(names("age", true, "")).toBe("bac");
    expect(names("off", true, "")).toBe("abc");
    expect(names("state", false, "")).toBe("cab");
  });
  test("are found", () => {
    expect(names("host", false, "REFUSED")).toBe("a");
    expect(names("host", false, "off-c")).toBe("a");
    expect(names("host", false, "id-b")).toBe("b");
    expect(names("host", false, "nothing")).toBe("");
    expect(names("host", false, "connected 1.2")).toBe("c");
    expect(names("host", false, "is:unknown")).toBe("b");
    expect(names("host", false, "6.1")).toBe("ac");
  });
});

describe("hosts by state", () => {
  const rows = join(
    { hosts: [host("a"), host("b"), host("c", { state: "disconnected" }), host("d", { reported_ms: now - 3_600_000 }), host("e", { host: "a" })] } as LedgerAnswer,
    { hosts: [], hidden: 0 },
  );
  test("those that need attention first", () => {
    expect(byState(rows, now).map((s) => `${s.hosts} ${s.state.text}`)).toEqual(["1 disconnected", "1 silent (connected)", "3 connected"]);
  });
  test("a state is selected exactly", () => {
    const names = (word: string) => sortHosts(rows, "attention", false, word, now).map((h) => h.host_id);
    expect(byState(rows, now).map((s) => stateWord(s.state))).toEqual(["is:disconnected", "is:silent-connected", "is:connected"]);
    expect(names("is:connected")).toEqual(["id-a", "id-b", "id-e"]);
    expect(names("is:silent-connected")).toEqual(["id-d"]);
  });
  test("are selected by name where that is enough", () => {
    expect(hostMatcher(rows[1]!, rows)).toEqual(["host", "b"]);
    expect(hostMatcher(rows[0]!, rows)).toEqual(["host_id", "id-a"]); // two have this name
    expect(hostMatcher({ host: "x", host_id: "x" }, rows)).toEqual(["host_id", "x"]);
  });
});

describe("the status in the URL", () => {
  test("what is written is read back", () => {
    const s = { ...defaults, page: "status" as const, find: "node a", open: ["id 1", "id&2"] };
    expect(parseState(formatState(s))).toEqual(s);
    expect(formatState(s)).toContain("page=status");
  });
  test("an unknown page is the profile", () => {
    expect(parseState("?page=nonsense").page).toBe("explore");
  });
});
