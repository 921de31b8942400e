// SPDX-License-Identifier: Apache-2.0
// What the pointer is at. Never above the frame itself: below its row, or above it where there is
// more room.

import { useLayoutEffect, useRef } from "preact/hooks";
import { blockTitle, facts } from "./words";
import type { Index, Item } from "./layout";

export interface Target {
  index: Index;
  item: Item;
  /** The pointer. */
  x: number;
  y: number;
  /** The row on the screen. */
  top: number;
  bottom: number;
}

interface Props {
  at: Target;
  unit: string;
  describe?(node: number): string;
}

export function Tooltip({ at, unit, describe }: Props) {
  const box = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    const el = box.current!;
    const { width, height } = el.getBoundingClientRect();
    const gap = 8;
    const left = at.x + 14 + width > window.innerWidth - 4 ? at.x - 14 - width : at.x + 14;
    const below = at.bottom + gap;
    const above = at.top - gap - height;
    const top = below + height <= window.innerHeight - 4 || above < 4 ? below : above;
    el.style.left = `${Math.max(4, Math.min(left, window.innerWidth - width - 4))}px`;
    el.style.top = `${top}px`;
  });
  const { index } = at;
  const { tree } = index;
  const { first, last } = at.item;
  const node = index.node[first]!;
  if (first !== last) {
    const widest = index.widest(first, last);
    return (
      <div class="tooltip flame-tip" ref={box} role="tooltip" data-block={last - first + 1}>
        <strong>{blockTitle(index, at.item)}</strong>
        <p>Too narrow to be drawn one by one. Click to zoom in.</p>
        <p class="faded">The widest is {tree.name(widest)}.</p>
      </div>
    );
  }
  const more = describe?.(node);
  return (
    <div class="tooltip flame-tip" ref={box} role="tooltip">
      <strong>{tree.name(node)}</strong>
      <dl>
        {facts(tree, node, unit).map((f) => (
          <>
            <dt key={f.what}>{f.what}</dt>
            <dd>{f.text}</dd>
          </>
        ))}
      </dl>
      {more && <p>{more}</p>}
    </div>
  );
}
