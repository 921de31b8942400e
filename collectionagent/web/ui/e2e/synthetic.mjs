// SPDX-License-Identifier: Apache-2.0
// A server of the built page with answers that are made up: a flame graph of as many nodes as wanted,
// the same each time. For measuring, and for tests that need to know what is in the tree.
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { extname, join } from "node:path";

const types = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };

/**
 * An answer of api/v1/flamegraph with so many nodes, made as a profiler would: stacks of 15 to 60 frames are
 * drawn by chance, some calls far more often than others, until their tree is large enough.
 */
export function flamegraph(nodes, functions = 3000) {
  let seed = 1;
  const random = () => (seed = (seed * 48271) % 2147483647) / 2147483647;
  const root = { f: 0, self: 0, total: 0, children: new Map() };
  for (let size = 1; size < nodes; ) {
    const path = [root];
    const deep = 15 + Math.floor(45 * random());
    for (let d = 0; d < deep && size < nodes; d++) {
      const parent = path.at(-1);
      const choice = Math.floor((d < 3 ? 6 : 12) * random() ** (d < 8 ? 5 : 16));
      const f = 1 + ((parent.f * 31 + choice * 17 + d * 7) % functions);
      let child = parent.children.get(f);
      if (!child) {
        parent.children.set(f, (child = { f, self: 0, total: 0, children: new Map() }));
        size++;
      }
      path.push(child);
    }
    path.at(-1).self += 1e6;
    for (const node of path) node.total += 1e6;
  }
  const frame = [];
  const depth = [];
  const self = [];
  const total = [];
  const put = (node, d) => {
    frame.push(node.f);
    depth.push(d);
    self.push(node.self);
    total.push(node.total);
    for (const child of [...node.children.values()].sort((a, b) => b.total - a.total)) put(child, d + 1);
  };
  put(root, 0);
  const kinds = ["native", "kernel", "go", "python", "jvm"];
  const strings = ["", "all", "label", "app", ...kinds, ...Array.from({ length: functions }, (_, i) => `package${i % 90}::some::Function_${i}(int, char const*)`)];
  const of = (f) => Array.from({ length: functions + 1 }, (_, i) => (i ? f(i - 1) : 0));
  const name = of((i) => 9 + i);
  name[0] = 1;
  const kind = of((i) => 4 + (i % kinds.length));
  kind[0] = 2;
  return {
    type: "on_cpu", unit: "nanoseconds", from_ms: Date.now() - 6e4, to_ms: Date.now(), total: total[0], samples: 1e6, group_by: [],
    coverage: { resolution_ms: 1, from_ms: Date.now() - 6e4, to_ms: Date.now(), horizon_ms: 0 },
    strings, frames: { name, file: of(() => 0), line: of(() => 0), binary: of(() => 3), kind, inlined: of(() => 0) },
    nodes: { frame, depth, self, total }, hidden: { nodes: 0, value: 0 }, symbolized: 1, unknown_stacks: 0,
  };
}

/** Serves the files of dist and the answers until close() is called. What has no answer is an error that says so. */
export async function serve(dist, flame) {
  const now = Date.now();
  const body = typeof flame === "string" ? flame : JSON.stringify(flame);
  const answers = {
    flamegraph: body,
    top: JSON.stringify({ unit: "nanoseconds", total: 1, samples: 1, rows: [], hidden: 0 }),
    timeline: JSON.stringify({ unit: "nanoseconds", step_ms: 1000, from_ms: now - 6e4, to_ms: now, by: "service", series: [], coverage: { resolution_ms: 1, from_ms: now - 6e4, to_ms: now, horizon_ms: 0 } }),
    types: JSON.stringify({ types: [{ type: "on_cpu", unit: "nanoseconds", samples: 1e6, sum: 1e9 }] }),
    labels: JSON.stringify({ labels: [] }),
    series: JSON.stringify({ series: [], hidden: 0 }),
    status: JSON.stringify({ version: "made up", now_ms: now, hosts: [] }),
    whoami: JSON.stringify({ auth: false, project: "default", server_wide: false, projects: [], roles: [], token: "", token_name: "", session: false }),
    exemplars: JSON.stringify({ unit: "nanoseconds", total: 1, excluded: 0, exemplars: [], hidden: 0 }),
  };
  const server = createServer(async (q, r) => {
    const path = new URL(q.url, "http://x").pathname;
    if (path.startsWith("/api/")) {
      const answer = answers[path.replace("/api/v1/", "")];
      r.setHeader("content-type", "application/json");
      if (!answer) r.statusCode = 404;
      r.end(answer ?? JSON.stringify({ error: { message: "not made up" } }));
      return;
    }
    const file = join(dist, path === "/" ? "index.html" : path);
    r.setHeader("content-type", types[extname(file)] ?? "text/plain").end(await readFile(file).catch(() => ""));
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  return { url: `http://127.0.0.1:${server.address().port}/`, close: () => server.close() };
}
