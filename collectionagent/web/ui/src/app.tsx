// SPDX-License-Identifier: Apache-2.0

import { useCallback, useEffect, useMemo, useRef, useState } from "preact/hooks";
import { Account } from "./account";
import * as api from "./api";
import { base, type Theme } from "./colour";
import { goneBefore, source } from "./coverage";
import { Flame } from "./flame";
import { amount, count, dateTime, duration, percent } from "./format";
import { Help } from "./help";
import { Picker } from "./picker";
import { defaults, formatState, isLive, parseState, selector, type State } from "./state";
import { Lost, Status } from "./status";
import { Table } from "./table";
import { colourOf, Timeline } from "./timeline";
import { pattern, Tree } from "./tree";
import { choices, title } from "./types";

const refreshMs = 5000;
const maxNodes = "30000";
const ranges = [
  ["now-1m", "1 min"],
  ["now-5m", "5 min"],
  ["now-15m", "15 min"],
  ["now-1h", "1 h"],
  ["now-6h", "6 h"],
  ["now-24h", "24 h"],
  ["now-7d", "7 d"],
  ["now-30d", "30 d"],
  ["now-365d", "1 y"],
] as const;
const groups = [
  ["", "functions only"],
  ["service", "service"],
  ["service,process", "service, process"],
  ["service,process,comm", "service, process, thread"],
  ["host,service,process", "host, service, process"],
] as const;

interface Data {
  tree: Tree;
  top: api.TopAnswer;
  timeline: api.TimelineAnswer;
  lost: api.LedgerAnswer["lost"] | null;
  /** Why not all that is stored is in it yet, "" when it is. */
  incomplete: string;
}

function useTheme(): [Theme, () => void] {
  const query = useMemo(() => window.matchMedia("(prefers-color-scheme: dark)"), []);
  const [dark, setDark] = useState(() => {
    const saved = localStorage.getItem("strobe-theme");
    return saved ? saved === "dark" : query.matches;
  });
  useEffect(() => {
    document.documentElement.dataset.theme = dark ? "dark" : "light";
  }, [dark]);
  const theme = useMemo(
    () =>
      dark
        ? { dark, text: "#f4f4f5", faded: "#9ca3af", background: "#16181d", match: "#e64980", outline: "#ffffff" }
        : { dark, text: "#1c1d20", faded: "#6b7280", background: "#ffffff", match: "#f783ac", outline: "#111111" },
    [dark],
  );
  return [
    theme,
    () => {
      localStorage.setItem("strobe-theme", dark ? "light" : "dark");
      setDark(!dark);
    },
  ];
}

function useUrlState(): [State, (change: Partial<State>, replace?: boolean) => void] {
  const [state, setState] = useState(() => parseState(location.search));
  const current = useRef(state);
  current.current = state;
  useEffect(() => {
    const back = () => setState(parseState(location.search));
    window.addEventListener("popstate", back);
    return () => window.removeEventListener("popstate", back);
  }, []);
  const change = useCallback((c: Partial<State>, replace = false) => {
    const next = { ...current.current, ...c };
    current.current = next;
    setState(next);
    const url = formatState(next);
    if (replace) history.replaceState(null, "", url);
    else history.pushState(null, "", url);
  }, []);
  return [state, change];
}

export function App() {
  const [theme, toggleTheme] = useTheme();
  const [state, change] = useUrlState();
  const [data, setData] = useState<Data | null>(null);
  const [error, setError] = useState<api.QueryError | null>(null);
  const [loading, setLoading] = useState(true);
  const [paused, setPaused] = useState(false);
  const [help, setHelp] = useState(false);
  const [copied, setCopied] = useState(false);
  const [version, setVersion] = useState("");
  const [types, setTypes] = useState<string[]>([]);
  const [draft, setDraft] = useState(state.query);
  const live = isLive(state) && !paused;
  const profile = state.page === "profile";

  const params: api.Params = { type: state.type, query: selector(state), from: state.from, to: state.to };
  api.chooseProject(state.project);
  const question = JSON.stringify([params, state.project, state.group, state.by, state.fold]);

  useEffect(() => {
    api.status().then((s) => setVersion(s.version), () => {});
  }, []);
  useEffect(() => setDraft(state.query), [state.query]);

  useEffect(() => {
    if (!profile) return; // the status asks for itself
    const abort = new AbortController();
    let timer = 0;
    const ask = async () => {
      try {
        const [flame, top, timeline, ledger, found] = await Promise.all([
          api.flamegraph({ ...params, group_by: state.group, max_nodes: maxNodes, fold: state.fold }, abort.signal),
          api.top({ ...params, limit: "2000", fold: state.fold }, abort.signal),
          api.timeline({ ...params, by: state.by, limit: "7" }, abort.signal),
          api.ledger({ from: state.from, to: state.to, limit: "0" }, abort.signal).catch(() => null), // the profile is worth showing without
          api.types({ from: state.from, to: state.to }, abort.signal).catch(() => null), // here as well
        ]);
        const incomplete = flame.incomplete ?? top.incomplete ?? timeline.incomplete ?? "";
        setData({ tree: new Tree(flame), top, timeline, lost: ledger?.lost ?? null, incomplete });
        setTypes((found?.types ?? []).map((t) => t.type));
        setError(null);
      } catch (e) {
        if ((e as Error).name === "AbortError") return;
        setError(e instanceof api.QueryError ? e : new api.QueryError(`the server cannot be reached: ${(e as Error).message}`));
      }
      setLoading(false);
      if (live) timer = window.setTimeout(() => (document.hidden ? wait() : ask()), refreshMs);
    };
    // A page that nobody looks at asks nothing.
    const wait = () => document.addEventListener("visibilitychange", () => ask(), { once: true, signal: abort.signal });
    setLoading(true);
    ask();
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [question, live, profile]);

  const { re, error: searchError } = useMemo(() => pattern(state.search), [state.search]);
  const tree = data?.tree;
  const matches = useMemo(() => tree?.match(re) ?? { marked: new Uint8Array(0), value: 0, count: 0 }, [tree, re]);
  const zoom = useMemo(() => (tree ? tree.find(state.zoom) : 0), [tree, state.zoom]);

  useEffect(() => {
    const keys = (e: KeyboardEvent) => {
      const typing = e.target instanceof HTMLInputElement || e.target instanceof HTMLSelectElement;
      if (typing || e.ctrlKey || e.metaKey || e.altKey) return;
      if (e.key === "/") {
        document.querySelector<HTMLElement>(".search")?.focus();
        e.preventDefault();
      } else if (e.key === "?") setHelp((h) => !h);
      else if (e.key === "p") setPaused((p) => !p);
      else if (e.key === "d") toggleTheme();
      else if (e.key === "s") change({ page: profile ? "status" : "profile" });
      else if (!profile) return; // the rest is about the profile
      else if (e.key === "t") change({ view: state.view === "table" ? "flame" : "table" });
      else if (e.key === "b") change({ view: state.view === "both" ? "flame" : "both" });
      else if (e.key === "i") change({ fold: state.fold ? "" : "interpreter", zoom: [] });
      else if (e.key === "f") document.querySelector<HTMLElement>(".flame")?.focus();
    };
    document.addEventListener("keydown", keys);
    return () => document.removeEventListener("keydown", keys);
  });

  const setSearch = (search: string) => change({ search }, true);
  const empty = tree && tree.answer.samples === 0;
  const kinds = useMemo(() => {
    if (!tree) return [];
    const used = new Set(tree.answer.frames.kind.map((k) => tree.answer.strings[k]!));
    return [...used].filter((k) => k && k !== "label" && k !== "other").sort();
  }, [tree]);

  return (
    <>
      <header>
        <a class="brand" href={state.project ? `?project=${encodeURIComponent(state.project)}` : location.pathname} aria-label="Strobe: start over">
          <img src="./icon.svg" alt="" width="18" height="18" /> Strobe
        </a>
        <nav class="tabs" aria-label="Pages">
          {(["profile", "status"] as const).map((page) => (
            <a
              key={page}
              href={formatState({ ...state, page })}
              aria-current={state.page === page ? "page" : undefined}
              title={page === "status" ? "Hosts, and what became of every sample (s)" : "Where time, memory and the like go"}
              onClick={(e) => {
                if (e.ctrlKey || e.metaKey || e.shiftKey) return;
                e.preventDefault();
                change({ page });
              }}
            >
              {page === "status" ? "Status" : "Profile"}
            </a>
          ))}
        </nav>
        {profile && (
          <div class="controls" role="group" aria-label="What is shown">
            <select aria-label="Type" value={state.type} onChange={(e) => change({ type: e.currentTarget.value, zoom: [] })}>
              {choices(types, state.type).map((t) => (
                <option key={t} value={t}>
                  {title(t)}
                </option>
              ))}
            </select>
            {(["service", "process", "comm"] as const).map((label) => (
              <Picker
                key={label}
                label={label}
                title={label === "comm" ? "Thread" : label[0]!.toUpperCase() + label.slice(1)}
                chosen={state[label]}
                disabled={!!state.query.trim()}
                params={{ type: state.type, from: state.from, to: state.to, query: selector({ ...state, [label]: [] }) }}
                onChange={(v) => change({ [label]: v, zoom: [] })}
              />
            ))}
            <form
              class="query"
              onSubmit={(e) => {
                e.preventDefault();
                change({ query: draft, zoom: [] });
              }}
            >
              <input
                type="text"
                spellcheck={false}
                aria-label="Selector"
                aria-invalid={error?.parameter === "query"}
                placeholder={selector(state) || '{service="…", comm=~"…"}'}
                value={draft}
                onInput={(e) => setDraft(e.currentTarget.value)}
                onBlur={() => draft !== state.query && change({ query: draft, zoom: [] })}
              />
            </form>
          </div>
        )}
        <div class="controls right" role="group" aria-label={profile ? "When" : "Page"}>
          {profile && (
            <select
              aria-label="Time range"
              value={isLive(state) ? state.from : "custom"}
              onChange={(e) => e.currentTarget.value !== "custom" && change({ from: e.currentTarget.value, to: "now" })}
            >
              {ranges.map(([value, text]) => (
                <option key={value} value={value}>
                  last {text}
                </option>
              ))}
              {(!isLive(state) || !ranges.some(([v]) => v === state.from)) && <option value="custom">from … to …</option>}
            </select>
          )}
          {profile && !isLive(state) && (
            <>
              <TimeInput label="From" value={state.from} onChange={(from) => change({ from })} />
              <TimeInput label="To" value={state.to} onChange={(to) => change({ to })} />
              <button type="button" onClick={() => change({ from: "now-15m", to: "now" })}>
                Live
              </button>
            </>
          )}
          {(!profile || isLive(state)) && (
            <button type="button" class={paused ? "" : "live"} aria-pressed={!paused} title="Refresh every 5 s (p)" onClick={() => setPaused(!paused)}>
              {paused ? "‖ Paused" : "● Live"}
            </button>
          )}
          <Account project={state.project} onProject={(project) => change({ ...defaults, project, page: state.page, from: state.from, to: state.to })} />
          <button type="button" title="Dark or light (d)" aria-label="Dark or light" onClick={toggleTheme}>
            {theme.dark ? "☀" : "☾"}
          </button>
          <button type="button" title="Keys (?)" aria-label="Keys" onClick={() => setHelp(true)}>
            ?
          </button>
        </div>
      </header>

      {profile && error && <Problem error={error} query={selector(state)} />}
      {!profile && <Status state={state} paused={paused} change={change} />}

      {profile && (
        <main aria-busy={loading} data-ready={!!tree && !loading}>
          {data && <Lacking data={data} />}
          {data?.lost && <Lost lost={data.lost} onShow={() => change({ page: "status" })} />}
          {data && !empty && (
            <section class="panel" aria-label="Timeline">
              <div class="panel-head">
                <h2>{title(data.tree.answer.type)}</h2>
                <label class="inline">
                  by{" "}
                  <select value={state.by} onChange={(e) => change({ by: e.currentTarget.value })}>
                    {[
                      ["service", "service"],
                      ["process", "process"],
                      ["comm", "thread"],
                      ["host", "host"],
                    ].map(([v, t]) => (
                      <option key={v} value={v}>
                        {t}
                      </option>
                    ))}
                  </select>
                </label>
                <ul class="legend">
                  {(data.timeline.series ?? []).map((s, i) => (
                    <li key={s.name}>
                      <i style={{ background: colourOf(s.name, i) }} />
                      {s.name || "(none)"}
                    </li>
                  ))}
                </ul>
              </div>
              <Timeline data={data.timeline} theme={theme} onSelect={(from, to) => change({ from: String(from), to: String(to) })} />
            </section>
          )}

          {tree && !empty && (
            <section class="panel grow" aria-label="Profile">
              <div class="panel-head">
                <div class="tabs" role="tablist">
                  {(["flame", "table", "both"] as const).map((v) => (
                    <button type="button" role="tab" key={v} aria-selected={state.view === v} onClick={() => change({ view: v })}>
                      {v === "flame" ? "Flame graph" : v === "table" ? "Table" : "Both"}
                    </button>
                  ))}
                </div>
                <label class="inline">
                  by{" "}
                  <select aria-label="First levels" value={state.group} onChange={(e) => change({ group: e.currentTarget.value, zoom: [] })}>
                    {groups.map(([v, t]) => (
                      <option key={v} value={v}>
                        {t}
                      </option>
                    ))}
                  </select>
                </label>
                <input
                  class="search"
                  type="search"
                  placeholder="Search function, file, binary, or /regexp/   ( / )"
                  aria-label="Search"
                  aria-invalid={!!searchError}
                  title={searchError}
                  value={state.search}
                  onInput={(e) => setSearch(e.currentTarget.value)}
                  onKeyDown={(e) => {
                    if (e.key === "Escape") {
                      setSearch("");
                      e.currentTarget.blur();
                    }
                  }}
                />
                <span class="matched" role="status">
                  {searchError ? <b class="problem">{searchError}</b> : re ? `${percent(matches.value, tree.total[0]!)} in ${count(matches.count)} frames` : ""}
                </span>
                {zoom > 0 && (
                  <button type="button" onClick={() => change({ zoom: [] })} title="Home">
                    Reset zoom
                  </button>
                )}
                {(state.fold || kinds.includes("interpreter")) && (
                  <label class="inline" title="Leave the interpreters' own frames out: what they take belongs to the functions that they run (i)">
                    <input type="checkbox" checked={!!state.fold} onChange={(e) => change({ fold: e.currentTarget.checked ? "interpreter" : "", zoom: [] })} /> fold interpreters
                  </label>
                )}
                <span class="spacer" />
                <ul class="legend">
                  {kinds.map((k) => (
                    <li key={k}>
                      <i style={{ background: `hsl(${base(k)[0]} ${base(k)[1]}% ${theme.dark ? 42 : 68}%)` }} />
                      {k}
                    </li>
                  ))}
                </ul>
              </div>
              <div class={`views show-${state.view}`}>
                {state.view !== "flame" && data && <Table data={data.top} re={re} onPick={setSearch} />}
                {state.view !== "table" && (
                  <Flame
                    tree={tree}
                    matches={matches}
                    searching={!!re}
                    zoom={zoom}
                    theme={theme}
                    onZoom={(node) => change({ zoom: tree.path(node) })}
                  />
                )}
              </div>
            </section>
          )}

          {loading && !tree && !error && <p class="note">Asking the server …</p>}
          {empty && <Empty state={state} />}
        </main>
      )}

      <footer>
        {profile && tree && (
          <>
            <span>
              {dateTime(tree.answer.from_ms)} – {dateTime(tree.answer.to_ms)} ({duration(tree.answer.to_ms - tree.answer.from_ms)})
            </span>
            <span>
              {count(tree.answer.samples)} samples, {title(tree.answer.type)}: {amount(tree.answer.total, tree.answer.unit)}
            </span>
            {tree.answer.snapshot && (
              <span title="Values are a level at a time; here they are added up. Choose a range with one snapshot to see it as it was">sum of all snapshots of the range</span>
            )}
            <span title="What the coarsest data are that the profile is made from">{source(tree.answer.coverage)}</span>
            <span>{percent(tree.answer.symbolized, 1)} of frames named</span>
            {tree.answer.hidden.nodes > 0 && (
              <span>
                {count(tree.answer.hidden.nodes)} small nodes ({percent(tree.answer.hidden.value, tree.answer.total)}) in “(other)”
              </span>
            )}
            {tree.answer.unknown_stacks > 0 && <span>{percent(tree.answer.unknown_stacks, tree.answer.total)} in stacks that have not arrived yet</span>}
          </>
        )}
        <span class="spacer" />
        <button
          type="button"
          onClick={() => {
            navigator.clipboard?.writeText(location.href).then(() => {
              setCopied(true);
              setTimeout(() => setCopied(false), 1500);
            });
          }}
        >
          {copied ? "Copied" : "Copy link"}
        </button>
        {profile && (
          <>
            <a href={api.address("pprof", params)} download="strobe.pb.gz">
              pprof
            </a>
            <a href={api.address("folded", params)}>folded</a>
          </>
        )}
        {version && <span class="faded">{version}</span>}
      </footer>
      {help && <Help onClose={() => setHelp(false)} />}
    </>
  );
}

function TimeInput({ label, value, onChange }: { label: string; value: string; onChange(v: string): void }) {
  const ms = Number(value);
  const local = Number.isFinite(ms) && value !== "" ? new Date(ms - new Date(ms).getTimezoneOffset() * 60000).toISOString().slice(0, 19) : "";
  return (
    <input
      type="datetime-local"
      step={1}
      aria-label={label}
      value={local}
      onChange={(e) => {
        const t = new Date(e.currentTarget.value).getTime();
        if (!Number.isNaN(t)) onChange(String(t));
      }}
    />
  );
}

/** Says what is not in the profile because the server does not have it yet, or no longer. */
function Lacking({ data }: { data: Data }) {
  const { from_ms, to_ms, coverage } = data.tree.answer;
  const ofProfile = goneBefore(from_ms, to_ms, coverage);
  const ofTimeline = goneBefore(from_ms, to_ms, data.timeline.coverage);
  const where = ofProfile === 0 ? "in the timeline" : ofTimeline === 0 ? "in the profile" : "here";
  return (
    <>
      {data.incomplete && (
        <p class="lost" role="note">
          <b aria-hidden="true">⚠</b> Not all is in the profile yet: {data.incomplete}.
        </p>
      )}
      {ofProfile + ofTimeline > 0 && (
        <p class="lost" role="note">
          <b aria-hidden="true">⚠</b> Nothing {where} is from before {dateTime(Math.max(ofProfile, ofTimeline))}: the server no longer has what that needs.
        </p>
      )}
    </>
  );
}

function Problem({ error, query }: { error: api.QueryError; query: string }) {
  return (
    <div class="alert" role="alert">
      <b>{error.parameter ? `${error.parameter}: ` : ""}</b>
      {error.message}
      {error.parameter === "query" && error.position >= 0 && (
        <pre>
          {query}
          {"\n"}
          {" ".repeat(error.position)}^
        </pre>
      )}
    </div>
  );
}

function Empty({ state }: { state: State }) {
  const filtered = !!selector(state);
  return (
    <div class="note">
      <h2>No samples{filtered ? " match" : " in this time"}</h2>
      {filtered ? (
        <p>Nothing matches {selector(state)} in this time range. Choose a longer one, or clear the selection.</p>
      ) : (
        <>
          <p>Is an agent running and sending here? On the host to profile, as root:</p>
          <pre>bin/agent -collection-agent {location.hostname}:11000 -disable-tls</pre>
          <p>
            <code>bin/agent doctor</code> says what may be in its way.
          </p>
        </>
      )}
    </div>
  );
}
