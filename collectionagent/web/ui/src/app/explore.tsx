// SPDX-License-Identifier: Apache-2.0
// Explore: what is asked, over time, and the profile of it.

import { useMemo, useState } from "preact/hooks";
import type { Params } from "../api/client";
import { opened } from "../files/opened";
import type { Theme } from "../model/colour";
import { timelineRange } from "../model/compare";
import { gaps, nodesOf } from "../model/facts";
import { refreshMs } from "../model/timerange";
import { isLive, type Change, type State, type View } from "../state/state";
import { useAnswers } from "./answers";
import { FileBar } from "./filebar";
import { Footer } from "./footer";
import { Empty, Gaps, Note, Problem } from "./notes";
import { aboutOf, fromAnswers, fromFile, transformed } from "./profile";
import { ProfileView } from "./profileview";
import { QueryBar } from "./querybar";
import { TimelinePanel } from "./timelinepanel";
import "./explore.css";

/** They ask for themselves, without stacks of the whole selection. */
const withoutTree: readonly View[] = ["heatmap", "tracks", "top"];

interface Props {
  state: State;
  change: Change;
  theme: Theme;
  paused: boolean;
  version: string;
  onPause(paused: boolean): void;
  announce(text: string): void;
}

export function Explore({ state, change, theme, paused, version, onPause, announce }: Props) {
  const [choosing, setChoosing] = useState(false);
  const live = !state.file;
  const params = useMemo(
    (): Params => (live ? { type: state.type, query: state.query, from: state.from, to: state.to } : {}),
    [live, state.type, state.query, state.from, state.to],
  );
  const tree = !withoutTree.includes(state.view) || !!state.fn;
  const { answers, types, error, loading, generation, again } = useAnswers(
    {
      project: state.project,
      params,
      group: state.group,
      level: state.level === "line" ? "line" : "function", // the page makes the others itself
      maxNodes: nodesOf(state.nodes),
      tree,
      by: state.by,
      window: timelineRange(state, choosing, Date.now()),
    },
    isLive(state) && !paused ? refreshMs(state.refresh) : 0,
    live,
  );
  const file = live ? null : opened(state.file);
  const source = useMemo(() => {
    if (!live) return file && fromFile(file);
    return answers && (answers.flame || !tree) ? fromAnswers(answers, state.type) : null;
  }, [live, file, answers, tree]);
  const profile = useMemo(() => source && transformed(source, state), [source, state.t.join("\n"), state.level, state.invert]);
  const about = source && aboutOf(source, live ? answers : null);
  const empty = live && source?.samples === 0 && state.view !== "diff";
  const ready = live ? !!source && !loading : !!file;
  return (
    <>
      {live ? (
        <QueryBar state={state} change={change} types={types} error={error} busy={loading} paused={paused} onPause={onPause} onRefresh={again} />
      ) : (
        <FileBar state={state} change={change} />
      )}
      {live && <div class={loading ? "progress progress-on" : "progress"} aria-hidden="true" />}
      {live && error && <Problem error={error} onAgain={again} />}
      <main aria-busy={live && loading} data-ready={ready} data-generation={generation}>
        {about && <Gaps texts={[...gaps(about, answers && live ? answers.timeline.coverage : null), ...(answers?.noLines && live ? ["This server cannot tell lines apart: functions are shown."] : []), ...(file?.notes ?? [])]} />}
        {live && answers && !(empty && !answers.timeline.samples) && (
          <TimelinePanel
            data={answers.timeline}
            events={state.type === "event" ? null : answers.events}
            theme={theme}
            state={state}
            change={change}
            params={params}
            choosing={choosing}
            onChoosing={setChoosing}
            announce={announce}
          />
        )}
        {empty && <Empty state={state} types={types} change={change} />}
        {!empty && profile && (
          <ProfileView
            profile={profile}
            state={state}
            change={change}
            theme={theme}
            params={params}
            generation={generation}
            busy={live && loading}
            announce={announce}
          />
        )}
        {live && !source && loading && !error && <p class="note waiting">Asking the server …</p>}
        {!live && !file && (
          <Note heading="This tab no longer has the file">
            <p>Files stay in the tab that opened them, and only until it is loaded again. Drop it here once more, or go back to what the server has.</p>
          </Note>
        )}
      </main>
      <Footer about={about} version={version} onNodes={(nodes) => change({ nodes: String(nodes) })} onStatus={() => change({ page: "status" })} />
    </>
  );
}
