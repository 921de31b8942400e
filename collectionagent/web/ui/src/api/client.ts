// SPDX-License-Identifier: Apache-2.0
// The questions that the page asks.

import type {
  EventsAnswer,
  ExecutablesAnswer,
  ExemplarsAnswer,
  FlameAnswer,
  HostsAnswer,
  LabelsAnswer,
  LedgerAnswer,
  StatusAnswer,
  TargetsAnswer,
  TimelineAnswer,
  TokensAnswer,
  TopAnswer,
  TotalsAnswer,
  TypesAnswer,
  ValuesAnswer,
  WhoamiAnswer,
} from "./answers";
import type { DiffAnswer, HeatmapAnswer, TracksAnswer } from "./timeanswers";

export type * from "./answers";
export type * from "./timeanswers";

/** An error of the server that names what was wrong with the question. */
export class QueryError extends Error {
  constructor(
    message: string,
    readonly parameter = "",
    readonly position = -1,
  ) {
    super(message);
  }
}

export type Params = Record<string, string>;

let project = "";

/** Chooses the project of all questions from now on, "" for that of the login. */
export function chooseProject(name: string) {
  project = name;
}

/** The address of a question. */
export function address(path: string, params: Params): string {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(params)) if (value) query.set(key, value);
  if (project) query.set("project", project);
  return `api/v1/${path}?${query}`;
}

/** Says why an answer does not hold all that is stored yet; not there when it does. */
interface Incomplete {
  incomplete?: string;
}

async function get<T>(path: string, params: Params, signal?: AbortSignal): Promise<T & Incomplete> {
  const response = await fetch(address(path, params), { signal, headers: { Accept: "application/json" } });
  if (response.ok) {
    const answer = (await response.json()) as T;
    return { ...answer, incomplete: response.headers.get("Strobe-Incomplete") ?? undefined };
  }
  if (response.status === 401) {
    // The page comes back to what it shows now.
    location.replace(`login?return=${encodeURIComponent(location.search)}`);
    throw new QueryError("you are not logged in");
  }
  let message = `the server answered ${response.status}`;
  try {
    const { error } = await response.json();
    throw new QueryError(error.message ?? message, error.parameter, error.position ?? -1);
  } catch (e) {
    if (e instanceof QueryError) throw e;
    throw new QueryError(message);
  }
}

/** Asks any question; what views ask for themselves is in files beside this one. */
export const ask = get;

export const flamegraph = (p: Params, s?: AbortSignal) => get<FlameAnswer>("flamegraph", p, s);
export const top = (p: Params, s?: AbortSignal) => get<TopAnswer>("top", p, s);
export const exemplars = (p: Params, s?: AbortSignal) => get<ExemplarsAnswer>("exemplars", p, s);
export const timeline = (p: Params, s?: AbortSignal) => get<TimelineAnswer>("timeline", p, s);
export const types = (p: Params, s?: AbortSignal) => get<TypesAnswer>("types", p, s);
export const heatmap = (p: Params, s?: AbortSignal) => get<HeatmapAnswer>("heatmap", p, s);
export const tracks = (p: Params, s?: AbortSignal) => get<TracksAnswer>("tracks", p, s);
export const diff = (p: Params, s?: AbortSignal) => get<DiffAnswer>("diff", p, s);
export const ledger = (p: Params, s?: AbortSignal) => get<LedgerAnswer>("ledger", p, s);
export const hosts = (p: Params, s?: AbortSignal) => get<HostsAnswer>("hosts", p, s);
export const totals = (p: Params, s?: AbortSignal) => get<TotalsAnswer>("totals", p, s);
export const labels = (p: Params, s?: AbortSignal) => get<LabelsAnswer>("labels", p, s);
export const whoami = () => get<WhoamiAnswer>("whoami", {});
export const status = (s?: AbortSignal) => get<StatusAnswer>("status", {}, s);
export const executables = (p: Params, s?: AbortSignal) => get<ExecutablesAnswer>("executables", p, s);
export const events = (p: Params, s?: AbortSignal) => get<EventsAnswer>("events", p, s);
export const targets = (p: Params, s?: AbortSignal) => get<TargetsAnswer>("targets", p, s);
/** For the role admin alone. */
export const tokens = (s?: AbortSignal) => get<TokensAnswer>("tokens", {}, s);
export const values = (label: string, p: Params, s?: AbortSignal) =>
  get<ValuesAnswer>(`labels/${encodeURIComponent(label)}/values`, p, s);

export async function logout(): Promise<void> {
  const response = await fetch("logout", { method: "POST" });
  if (!response.ok && response.status !== 401) throw new QueryError(`the server answered ${response.status}`);
}
