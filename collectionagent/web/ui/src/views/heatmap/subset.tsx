// SPDX-License-Identifier: Apache-2.0
// The flame graph of a part of the time, below what it was selected in.

import type { ComponentChildren } from "preact";
import { useMemo, useState } from "preact/hooks";
import * as api from "../../api/client";
import { fill } from "../../model/colour";
import { transform } from "../../model/transform";
import { pattern, Tree } from "../../model/tree";
import type { Span } from "../../ui/times";
import { useAsk } from "../ask";
import { Flame } from "../flame/flame";
import type { ViewProps } from "../view";

interface Props {
  view: ViewProps;
  span: Span;
  title: ComponentChildren;
  onNarrow(): void;
  onClose(): void;
}

export function Subset({ view, span, title, onNarrow, onClose }: Props) {
  const { state, theme, profile, change } = view;
  const from = String(Math.floor(span.from));
  const to = String(Math.ceil(span.to));
  const question = { ...view.params, from, to, max_nodes: "20000" };
  const { answer, error, waiting } = useAsk(JSON.stringify(question), 0, (signal) => api.flamegraph(question, signal), 150);
  const tree = useMemo(() => answer && transform(Tree.fromAnswer(answer), state.t, state.level, state.invert === "1"), [answer, state.t.join("\n"), state.level, state.invert]);
  const re = useMemo(() => pattern(state.search).re, [state.search]);
  const matches = useMemo(() => tree?.match(re), [tree, re]);
  const colour = useMemo(() => (node: number) => (tree ? fill(tree.kind(node), tree.name(node), theme.dark) : ""), [tree, theme.dark]);
  const [zoom, setZoom] = useState<string[]>([]);
  const node = useMemo(() => tree?.find(zoom) ?? 0, [tree, zoom]);
  // Numbers of frames are those of this tree, not of the profile that other views show.
  const [frame, setFrame] = useState(-1);
  return (
    <section class="subset" aria-label="Flame graph of the selection" data-from={from} data-to={to} data-nodes={tree?.size ?? 0} data-waiting={waiting}>
      <div class="subset-head">
        <span>{title}</span>
        <span class="spacer" />
        <button type="button" class="on" onClick={onNarrow}>
          Narrow to it
        </button>
        <button
          type="button"
          title="What runs then that does not run in all of the selection"
          onClick={() => change({ view: "diff", bfrom: state.from, bto: state.to, bquery: "", bfile: "", from, to, norm: "1" })}
        >
          Compare with all
        </button>
        <button type="button" onClick={onClose}>
          Close
        </button>
      </div>
      {error && (
        <div class="alert" role="alert">
          {error}
        </div>
      )}
      {tree && matches && tree.total[0]! > 0 && (
        <Flame
          tree={tree}
          matches={matches}
          searching={!!re}
          zoom={node}
          theme={theme}
          colour={colour}
          up={state.up === "1"}
          hover={{ frame, set: setFrame }}
          unit={profile.unit}
          label="Flame graph of the selection"
          bare
          onZoom={(n) => setZoom(tree.path(n))}
          onSelect={(n) => change({ fn: state.fn === tree.name(n) ? "" : tree.name(n) })}
        />
      )}
      {tree && tree.total[0] === 0 && !waiting && <p class="note">Nothing ran then.</p>}
    </section>
  );
}
