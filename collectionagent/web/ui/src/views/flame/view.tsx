// SPDX-License-Identifier: Apache-2.0
// The flame graph as a view of the page.

import { useCallback, useMemo, useRef, useState } from "preact/hooks";
import { colouring, painter } from "../../model/colour";
import type { Tree } from "../../model/tree";
import { amount, many } from "../../ui/format";
import { FrameMenu } from "../menu/menu";
import type { ViewProps } from "../view";
import { Flame } from "./flame";

export function FlameView(view: ViewProps) {
  const { profile, matches, searching, theme, state, change, hover } = view;
  const { tree } = profile;
  const colour = useMemo(() => painter(tree, tree.baseTotal ? "diff" : colouring(state.colour), theme.dark), [tree, state.colour, theme.dark]);
  const [menu, setMenu] = useState<{ node: number; x: number; y: number } | null>(null);

  // A path of names may fit several frames: the one that was clicked is meant.
  const chosen = useRef<{ tree: Tree; node: number; path: string }>({ tree, node: -1, path: "" });
  const path = state.zoom.join("\n");
  const zoom = useMemo(() => (chosen.current.tree === tree && chosen.current.path === path && chosen.current.node >= 0 ? chosen.current.node : tree.find(state.zoom)), [tree, path]);

  const describe = useCallback(
    (node: number) => {
      if (tree.kind(node) !== "other") return "";
      const { hidden } = profile;
      return `Stacks that are too small to be sent one by one${hidden.nodes ? `: ${many(hidden.nodes, "node")} of ${amount(hidden.value, profile.unit)} in the whole graph` : ""}. Select less, or focus on a function, to see them.`;
    },
    [profile],
  );

  return (
    <>
      <Flame
        tree={tree}
        matches={matches}
        searching={searching}
        zoom={zoom}
        theme={theme}
        colour={colour}
        up={state.up === "1"}
        hover={hover}
        unit={profile.unit}
        describe={describe}
        onZoom={(node) => {
          const names = tree.path(node);
          chosen.current = { tree, node, path: names.join("\n") };
          // The panel, when it is open, follows.
          change(state.fn && node > 0 && tree.kind(node) !== "label" ? { zoom: names, fn: tree.name(node) } : { zoom: names });
        }}
        onSelect={(node) => change({ fn: state.fn === tree.name(node) ? "" : tree.name(node) })}
        onMenu={(node, x, y) => setMenu({ node, x, y })}
      />
      {menu && menu.node < tree.size && (
        <FrameMenu
          view={view}
          frame={tree.frame[menu.node]!}
          node={menu.node}
          x={menu.x}
          y={menu.y}
          onClose={() => {
            setMenu(null);
            document.querySelector<HTMLElement>(".flame")?.focus({ preventScroll: true });
          }}
        />
      )}
    </>
  );
}
