// SPDX-License-Identifier: Apache-2.0
// The flame graph as a view of the page.

import { useCallback, useMemo, useRef, useState } from "preact/hooks";
import { colouring, painter } from "../../model/colour";
import type { Tree } from "../../model/tree";
import { amount, many } from "../../ui/format";
import { FrameMenu } from "../menu/menu";
import type { ViewProps } from "../view";
import { Flame } from "./flame";
import { sameNode } from "./same";

export function FlameView(view: ViewProps) {
  const { profile, matches, searching, theme, state, change, hover, side, announce } = view;
  const { tree } = profile;
  const colour = useMemo(() => painter(tree, tree.baseTotal ? "diff" : colouring(state.colour), theme.dark), [tree, state.colour, theme.dark]);
  const [menu, setMenu] = useState<{ node: number; x: number; y: number } | null>(null);

  // A path of names may fit several frames: the one that was clicked is meant, also after a refresh.
  const chosen = useRef<{ tree: Tree; node: number; path: string } | null>(null);
  const path = state.zoom.join("\n");
  const zoom = useMemo(() => {
    const c = chosen.current;
    if (!c || c.path !== path) return tree.find(state.zoom);
    if (c.tree !== tree) {
      const node = sameNode(c.tree, c.node, tree);
      // Where it is gone the last one that is there is shown, and it comes back when it is there again.
      if (tree.path(node).join("\n") !== path) return node;
      chosen.current = { tree, node, path };
    }
    return chosen.current!.node;
  }, [tree, path]);
  const isFunction = (node: number) => node > 0 && tree.kind(node) !== "label" && tree.kind(node) !== "other";

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
        part={state.part}
        onPart={(part) => change({ part }, true)}
        onZoom={(node) => {
          const names = tree.path(node);
          chosen.current = { tree, node, path: names.join("\n") };
          // The panel, when it is open, follows.
          change({ zoom: names, part: "", ...(state.fn && side?.open !== false && isFunction(node) ? { fn: tree.name(node) } : {}) });
        }}
        onSelect={(node) => {
          if (!isFunction(node)) return announce(`${tree.name(node)} is no function`);
          const fn = tree.name(node);
          const close = state.fn === fn && side?.open !== false;
          if (side) side.show(!close);
          if (!close) change({ fn });
          else if (!side) change({ fn: "" });
        }}
        onMenu={(node, x, y) => {
          // Its entry "zoom here" knows the path alone.
          const names = tree.path(node).join("\n");
          if (names !== path) chosen.current = { tree, node, path: names };
          setMenu({ node, x, y });
        }}
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
