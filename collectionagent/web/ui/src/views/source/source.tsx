// SPDX-License-Identifier: Apache-2.0
// The lines of a function with what they took.

import "./source.css";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { lines as ask, namedFunction } from "../../api/tables";
import type { Tree } from "../../model/tree";
import { amount, exact, many, percent } from "../../ui/format";
import { useKeys } from "../../ui/keys";
import { Virtual, type VirtualHandle } from "../../ui/virtual";
import { useAnswer } from "../ask";
import { Chooser } from "../sandwich/chooser";
import type { ViewProps } from "../view";
import { baseName, hottest, listing, sections, whyNoLines, type Item, type Section } from "./listing";
import { closeText, openText, textOf } from "./texts";

const rowHeight = 20;
const group = "Source";
const keyList = [
  { key: "↑ ↓ PgUp PgDn", what: "move between lines", group },
  { key: "*", what: "go to the line that took most", group },
  { key: "Enter", what: "show the lines of a gap", group },
];

export function Source(view: ViewProps) {
  const { state, change, profile, announce } = view;
  if (profile.file) {
    return (
      <p class="note" data-view="source">
        Lines are asked of the server, which does not know this file.
      </p>
    );
  }
  if (!state.fn) {
    return (
      <div class="source" data-view="source">
        <Chooser
          view={view}
          title="Show the lines of:"
          onChoose={(fn) => {
            change({ fn });
            announce(`Lines of ${fn}`);
          }}
        />
      </div>
    );
  }
  return <Lines {...view} />;
}

/** Into what the compiler put the function where it was inlined, the most first. */
export function inlinedInto(tree: Tree, name: string): { name: string; total: number }[] {
  const by = new Map<string, number>();
  for (let i = 1; i < tree.size; i++) {
    if (!tree.inlined(i) || tree.name(i) !== name) continue;
    const p = tree.parent[i]!;
    if (p > 0) by.set(tree.name(p), (by.get(tree.name(p)) ?? 0) + tree.total[i]!);
  }
  return [...by].map(([n, total]) => ({ name: n, total })).sort((a, b) => b.total - a.total);
}

function Lines(view: ViewProps) {
  const { state, change, params, generation, profile, announce } = view;
  const { fn } = state;
  const { answer, error, waiting } = useAnswer((signal) => ask({ ...params, function: namedFunction(fn), limit: "20000" }, signal), JSON.stringify([params, fn]), generation);
  const all = useMemo(() => sections(answer?.lines ?? []), [answer]);
  const [chosen, setChosen] = useState("");
  useLayoutEffect(() => setChosen(""), [fn]);
  const section = all.find((s) => keyOf(s) === chosen) ?? all[0];
  const inlined = useMemo(() => inlinedInto(profile.upright, fn), [profile.upright, fn]);
  const unit = answer?.unit ?? profile.unit;
  const value = answer?.function.value ?? 0;
  return (
    <section
      class="source"
      data-view="source"
      data-fn={fn}
      data-lines={section?.lines.size ?? 0}
      data-value={value}
      data-ready={waiting ? "" : "1"}
    >
      <div class="source-head">
        <button type="button" title="Choose another function" onClick={() => change({ fn: "" })}>
          ‹ All functions
        </button>
        <strong class="source-name" title={fn}>
          {fn}
        </strong>
        {answer && (
          <>
            <span>
              total <b>{amount(value, unit)}</b> · {percent(value, answer.total)}
            </span>
            <span>
              self <b>{amount(answer.function.self, unit)}</b> · {percent(answer.function.self, answer.total)}
            </span>
          </>
        )}
        {all.length > 1 && (
          <label class="inline">
            {exact(all.length)} functions of this name:{" "}
            <select value={section ? keyOf(section) : ""} onChange={(e) => setChosen(e.currentTarget.value)}>
              {all.map((s) => (
                <option key={keyOf(s)} value={keyOf(s)}>
                  {percent(s.total, value)} · {s.file ? baseName(s.file) : "no file"} · {s.binary || s.kind}
                </option>
              ))}
            </select>
          </label>
        )}
      </div>
      {inlined.length > 0 && (
        <p class="source-inlined faded">
          Inlined into{" "}
          {inlined.slice(0, 4).map((c, i) => (
            <span key={c.name}>
              {i ? ", " : ""}
              <button type="button" class="source-link" title={`Lines of ${c.name}`} onClick={() => change({ fn: c.name })}>
                {c.name}
              </button>{" "}
              ({amount(c.total, unit)})
            </span>
          ))}
          {inlined.length > 4 ? ` and ${many(inlined.length - 4, "other")}` : ""}: there it has no call of its own.
        </p>
      )}
      {error && !answer && <p class="note problem">{error}</p>}
      {!answer && !error && <p class="note">Asking for the lines of {fn} …</p>}
      {answer && !section && (
        <p class="note">
          <b>{fn}</b> is in no stack of this selection.
        </p>
      )}
      {section && <Listing key={keyOf(section)} section={section} value={value} whole={answer!.total} unit={unit} announce={announce} />}
      {answer && answer.hidden > 0 && <p class="faded pad">{many(answer.hidden, "line")} that took least are not shown.</p>}
    </section>
  );
}

const keyOf = (s: Section) => `${s.file}\n${s.binary}\n${s.kind}`;

interface ListingProps {
  section: Section;
  /** Of all functions of the name, and of all samples. */
  value: number;
  whole: number;
  unit: string;
  announce(text: string): void;
}

function Listing({ section, value, whole, unit, announce }: ListingProps) {
  const { file } = section;
  const [text, setText] = useState(() => textOf(file));
  const [problem, setProblem] = useState("");
  const [opened, setOpened] = useState<ReadonlySet<number>>(new Set());
  const [over, setOver] = useState(false);
  const [line, setLine] = useState(0);
  const handle = useRef<VirtualHandle>(null);
  const picker = useRef<HTMLInputElement>(null);
  const items = useMemo(() => listing(section, text?.lines ?? null, opened), [section, text, opened]);
  const firstLine = (i: Item) => (i.what === "line" ? i.line : i.from);
  const at = items.findIndex((i) => firstLine(i) === line);
  const hot = hottest(section);
  useKeys(keyList);
  const goTo = (n: number) => {
    const i = items.findIndex((it) => it.what === "line" && it.line === n);
    if (i < 0) return;
    setLine(n);
    handle.current?.reveal(Math.min(i + 8, items.length - 1)); // with some lines below it
    handle.current?.reveal(Math.max(i - 3, 0));
    handle.current?.reveal(i);
  };
  useEffect(() => goTo(hot), [text]);
  const take = async (f: File | undefined) => {
    if (!f) return;
    const said = await openText(file, f);
    setProblem(said);
    setText(textOf(file));
    announce(said || `${f.name} is shown beside the lines`);
  };
  const dropped = (e: DragEvent) => {
    setOver(false);
    if (!e.dataTransfer?.files.length) return;
    e.preventDefault();
    e.stopPropagation(); // a source file is no profile
    void take(e.dataTransfer.files[0]);
  };
  const none = section.lines.size === 0;
  const why = none ? whyNoLines(section) : null;
  const largest = Math.max(...[...section.lines.values()].map((l) => Math.max(l.self, l.total * 0.4)), 1);
  return (
    <div
      class={`source-listing ${over ? "over" : ""}`}
      onDragOver={(e) => {
        e.preventDefault();
        e.stopPropagation();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={dropped}
    >
      <div class="source-file">
        <span title={file}>
          {file || <span class="faded">no source file is known</span>}
          {section.binary && <span class="faded"> · {section.binary}</span>}
        </span>
        {!none && (
          <>
            <button type="button" title="Its text is shown beside the figures. It stays in this tab and is sent nowhere." onClick={() => picker.current?.click()}>
              {text ? "Open another file…" : "Open the source file…"}
            </button>
            <input
              ref={picker}
              type="file"
              class="visually-hidden"
              tabIndex={-1}
              aria-label="The source file"
              onChange={(e) => {
                void take(e.currentTarget.files?.[0]);
                e.currentTarget.value = "";
              }}
            />
            {text && (
              <button
                type="button"
                onClick={() => {
                  closeText(file);
                  setText(null);
                  setProblem("");
                }}
              >
                Without text
              </button>
            )}
            <button type="button" onClick={() => goTo(hot)}>
              Hottest line <kbd>*</kbd>
            </button>
          </>
        )}
      </div>
      {problem && (
        <p class="source-problem problem" role="alert">
          {problem}
        </p>
      )}
      {why ? (
        <div class="note source-why">
          <h2>No lines are known</h2>
          <p>{why.why}</p>
          {why.help && <p>{why.help}</p>}
          <p class="faded">
            Its {amount(section.total, unit)} are {percent(section.total, whole)} of all, {amount(section.self, unit)} while it was running itself.
          </p>
        </div>
      ) : (
        <Virtual
          id="source"
          class={text ? "with-text" : ""}
          role="grid"
          label={`Lines of ${section.name}. Star goes to the line that took most.`}
          count={items.length}
          rowHeight={rowHeight}
          columns={text ? "74px 60px 74px 60px 62px minmax(max-content, 1fr)" : "74px 60px 74px 60px 62px minmax(60px, 1fr)"}
          at={at}
          onMove={(i) => setLine(firstLine(items[i]!))}
          onKey={(e) => {
            const item = items[at];
            if (e.key === "*") goTo(hot);
            else if (e.key === "Enter" && text && item?.what === "gap") setOpened(new Set(opened).add(item.from));
            else return false;
            return true;
          }}
          handle={handle}
          head={
            <div role="row" class="vl-row" aria-rowindex={1}>
              {["Self", "", "Total", "", "Line", text ? text.name : "Open the source file, or drop it here, to see its text"].map((t, i) => (
                <b key={i} role="columnheader" class={i < 5 ? "vl-number" : text ? "" : "faded source-hint"}>
                  {t}
                </b>
              ))}
            </div>
          }
          foot={
            section.unknown.total > 0 ? (
              <div role="row" class="vl-row" aria-rowindex={items.length + 2}>
                <Figures self={section.unknown.self} total={section.unknown.total} value={value} unit={unit} />
                <div role="gridcell" class="vl-number">
                  ?
                </div>
                <div role="gridcell" class="faded">
                  line not known
                </div>
              </div>
            ) : undefined
          }
          row={(i) => {
            const item = items[i]!;
            if (item.what === "gap") {
              const lines = item.to - item.from + 1;
              return (
                <div
                  key={`gap${item.from}`}
                  id={`source-${i}`}
                  role="row"
                  aria-rowindex={i + 2}
                  class={`vl-row source-gap ${i === at ? "at" : ""}`}
                  onClick={() => text && setOpened(new Set(opened).add(item.from))}
                >
                  <div role="gridcell">{text ? `⋯ ${many(lines, "line")} without samples: show` : `⋯ ${many(lines, "line")}`}</div>
                </div>
              );
            }
            const heat = Math.max(item.self, item.total * 0.4) / largest;
            return (
              <div
                key={item.line}
                id={`source-${i}`}
                role="row"
                aria-rowindex={i + 2}
                class={`vl-row source-line ${i === at ? "at" : ""} ${item.line === hot ? "hottest" : ""}`}
                style={heat > 0 ? { background: `color-mix(in srgb, var(--source-hot) ${Math.round(6 + 44 * heat)}%, transparent)` } : {}}
                data-line={item.line}
                data-self={item.self}
                data-total={item.total}
                onClick={() => {
                  setLine(item.line);
                  handle.current?.focus();
                }}
              >
                <Figures self={item.self} total={item.total} value={value} unit={unit} />
                <div role="rowheader" class="vl-number source-number">
                  {item.line}
                </div>
                <div role="gridcell" class="source-text">
                  {item.text}
                </div>
              </div>
            );
          }}
        />
      )}
    </div>
  );
}

function Figures({ self, total, value, unit }: { self: number; total: number; value: number; unit: string }) {
  return (
    <>
      <div role="gridcell" class="vl-number">
        {self ? amount(self, unit) : ""}
      </div>
      <div role="gridcell" class="vl-number faded">
        {self ? percent(self, value) : ""}
      </div>
      <div role="gridcell" class="vl-number">
        {total ? amount(total, unit) : ""}
      </div>
      <div role="gridcell" class="vl-number faded">
        {total ? percent(total, value) : ""}
      </div>
    </>
  );
}
