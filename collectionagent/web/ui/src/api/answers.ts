// SPDX-License-Identifier: Apache-2.0
// The answers of the server; docs/api.md says what their fields mean.

/** What an answer was made from. */
export interface Coverage {
  resolution_ms: number;
  from_ms: number;
  to_ms: number;
  /** Before it the server no longer has what the question needs, 0: it has everything. */
  horizon_ms: number;
}

export interface FlameAnswer {
  type: string;
  unit: string;
  /** Values are a level at a time, summed over those of the range. */
  snapshot?: boolean;
  from_ms: number;
  to_ms: number;
  total: number;
  samples: number;
  coverage: Coverage;
  group_by: string[] | null;
  strings: string[];
  frames: { name: number[]; file: number[]; line: number[]; build_id?: number[]; binary: number[]; kind: number[]; inlined: number[] };
  nodes: { frame: number[]; depth: number[]; self: number[]; total: number[] };
  hidden: { nodes: number; value: number };
  symbolized: number;
  unknown_stacks: number;
}

export interface TotalsAnswer {
  unit: string;
  total: number;
  samples: number;
  coverage: Coverage;
}

export interface TopRow {
  name: string;
  file: string;
  binary: string;
  kind: string;
  self: number;
  total: number;
}

export interface TopAnswer {
  unit: string;
  total: number;
  samples: number;
  rows: TopRow[] | null;
  hidden: number;
}

export interface TimelineAnswer {
  unit: string;
  snapshot?: boolean;
  total: number;
  samples: number;
  coverage: Coverage;
  step_ms: number;
  from_ms: number;
  to_ms: number;
  by: string;
  series: { name: string; values: number[] }[] | null;
}

export interface TypesAnswer {
  types: { type: string; unit: string; samples: number; sum: number }[] | null;
}

export interface LabelsAnswer {
  labels: { name: string; builtin: boolean }[] | null;
}

export interface ValuesAnswer {
  values: { value: string; samples: number; sum: number }[] | null;
  hidden: number;
}

/** How long data stay in ms, 0: for ever. */
export interface Ages {
  samples_ms: number;
  minutes_ms: number;
  hours_ms: number;
}

export interface StoreStatus {
  engine: string;
  samples: number;
  /** On disk, by part. */
  bytes: Record<string, number>;
  /** Not there without a bound. */
  limit_bytes?: number;
  oldest_ms: number;
  newest_ms: number;
  stacks: number;
  symbols: number;
  executables: number;
  hosts: number;
  /** Why it takes no data, "" when it does. This and what follows: not there when the engine does not know. */
  read_only?: string;
  free_bytes?: number;
  backlog_rows?: number;
  strained?: boolean;
}

export interface StatusAnswer {
  version: string;
  now_ms: number;
  project: string;
  started_ms?: number;
  retention?: Ages & { rules: (Ages & { project: string; type: string })[] };
  ingest?: ServerReceipts & { last_minute?: { received: number; stored: number; duplicate: number; refused: number } };
  /** About all projects, for those who may know of all. */
  store?: StoreStatus;
  memory?: Record<string, { used_bytes: number; limit_bytes: number }>;
  queries?: { running: number; limit: number; waiting: number };
  hosts: { id: string; name: string; last_seen_ms: number }[] | null;
}

/** A file with code. */
export interface Executable {
  file_id: string;
  build_id: string;
  /** "" when nobody described the file. */
  name: string;
  path: string;
  kind: string;
  runtime: string;
  self: number;
  value: number;
  /** Of the samples with a frame of it that has no name. */
  unnamed: number;
  frames: number;
  named_frames: number;
  line_frames: number;
  /** Share of its levels with a name, 0..1. */
  symbolized: number;
}

export interface ExecutablesAnswer {
  type: string;
  unit: string;
  from_ms: number;
  to_ms: number;
  total: number;
  samples: number;
  coverage: Coverage;
  symbolized: number;
  executables: Executable[];
  hidden: number;
}

export interface HostEvent {
  time_ms: number;
  host: string;
  host_id: string;
  kind: string;
  title: string;
  value: number;
  samples: number;
  labels: Record<string, string>;
  stack: string;
  has_stack: boolean;
}

export interface EventsAnswer {
  from_ms: number;
  to_ms: number;
  total: number;
  samples: number;
  coverage: Coverage;
  events: HostEvent[];
  hidden: number;
}

/** One profile of a program that is scraped. */
export interface Target {
  job: string;
  instance: string;
  profile: string;
  url: string;
  labels: Record<string, string>;
  state: string;
  error: string;
  last_ms: number;
  duration_ms: number;
  next_ms: number;
  interval_ms: number;
  samples: number;
  bytes: number;
}

export interface TargetsAnswer {
  now_ms: number;
  targets: Target[];
  hidden: number;
  problems: string[];
}

export interface TokensAnswer {
  tokens: { id: string; project: string; name: string; roles: string[]; state: string; created_ms: number; expires_ms: number; last_used_ms: number }[];
}

export interface AgentLedger {
  captured: number;
  recovered: number;
  stored: number;
  queued: number;
  spooled: number;
  dropped: Record<string, number>;
}

export interface ServerReceipts {
  received: number;
  stored: number;
  duplicate: number;
  refused: Record<string, number>;
}

export interface Spool {
  state: string;
  bytes: number;
  max_bytes: number;
  batches: number;
}

export interface HostLedger {
  host_id: string;
  host: string;
  run_id: string;
  agent_version: string;
  state: string;
  last_error: string;
  reported_ms: number;
  dropped_ms: number;
  /** null: its agent never reported. */
  agent: AgentLedger | null;
  spool: Spool | null;
  server_stored: number;
  unaccounted: number;
  consistent: boolean;
}

export interface LedgerAnswer {
  now_ms: number;
  server: ServerReceipts;
  agents: AgentLedger;
  unaccounted: number;
  inconsistent: number;
  lost: { from_ms: number; to_ms: number; samples: number; hosts: number };
  hosts: HostLedger[];
  hidden: number;
}

export interface AgentHost {
  id: string;
  kernel: string;
  metadata: Record<string, string>;
  last_seen_ms: number;
  started_ms: number;
  clock_offset_ms: number;
  limitations: { name: string; effect: string; fix: string }[];
}

export interface HostsAnswer {
  hosts: AgentHost[];
  hidden: number;
}

export interface WhoamiAnswer {
  /** A token is needed. */
  auth: boolean;
  project: string;
  server_wide: boolean;
  /** Those that may be chosen. */
  projects: string[];
  roles: string[];
  token: string;
  token_name: string;
  /** Logged in with a cookie. */
  session: boolean;
}

/** A sample that belongs to a span of a distributed trace. */
export interface Exemplar {
  time_ms: number;
  trace_id: string;
  span_id: string;
  value: number;
  samples: number;
  labels: Record<string, string>;
  /** What was running. */
  function: { name: string; file: string; binary: string; kind: string };
}

export interface ExemplarsAnswer {
  unit: string;
  total: number;
  /** Of samples that belong to no span. */
  excluded: number;
  exemplars: Exemplar[] | null;
  hidden: number;
}
