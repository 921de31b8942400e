// SPDX-License-Identifier: Apache-2.0
// The way from the root to the zoomed frame, each step a button, and how much of all it is.

import type { Tree } from "../../model/tree";
import { amount, percent } from "../../ui/format";

/** Steps shown at each end of a long way. */
const atStart = 1;
const atEnd = 4;

interface Props {
  tree: Tree;
  zoom: number;
  free: boolean;
  unit: string;
  onZoom(node: number): void;
  onReset(): void;
  onDetails?(node: number): void;
}

/** The nodes from the root to one, and how many are left out behind which. */
export function steps(tree: Tree, zoom: number): { nodes: number[]; skipped: number } {
  const nodes: number[] = [];
  for (let n = zoom; n >= 0; n = tree.parent[n]!) nodes.push(n);
  nodes.reverse();
  const skipped = Math.max(0, nodes.length - 1 - atStart - atEnd);
  // One step is as short as the sign for it.
  if (skipped < 2) return { nodes, skipped: 0 };
  return { nodes: [...nodes.slice(0, 1 + atStart), ...nodes.slice(-atEnd)], skipped };
}

export function Crumbs({ tree, zoom, free, unit, onZoom, onReset, onDetails }: Props) {
  const { nodes, skipped } = steps(tree, zoom);
  const all = tree.total[0]!;
  return (
    <nav class="flame-bar" aria-label="Path of the zoom">
      <ol>
        {nodes.map((n, i) => (
          <>
            <li key={n}>
              <button type="button" title={tree.name(n)} aria-current={n === zoom ? "true" : undefined} onClick={() => onZoom(n)}>
                {tree.name(n)}
              </button>
            </li>
            {skipped > 0 && i === atStart && (
              <li class="faded" title={`${skipped} frames between; they are in the graph`}>
                … {skipped}
              </li>
            )}
          </>
        ))}
      </ol>
      <span class="flame-share faded">
        {amount(tree.total[zoom]!, unit)}
        {zoom > 0 && ` · ${percent(tree.total[zoom]!, all)}`}
      </span>
      {zoom > 0 && onDetails && (
        <button type="button" onClick={() => onDetails(zoom)} title="All that is known of the zoomed function (v)">
          Details
        </button>
      )}
      {(zoom > 0 || free) && (
        <button type="button" class="flame-reset" onClick={onReset} title="Show everything (Home)">
          Reset zoom
        </button>
      )}
    </nav>
  );
}
