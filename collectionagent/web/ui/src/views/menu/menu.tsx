// SPDX-License-Identifier: Apache-2.0
// The menu of a frame: what can be done with it. Views open it at the pointer, or at the
// frame for the keyboard.

import type { ViewProps } from "../view";

interface Props {
  view: ViewProps;
  /** A frame's number in view.profile.tree.frames. */
  frame: number;
  /** The node that was meant, -1 where a view has only functions. */
  node: number;
  x: number;
  y: number;
  onClose(): void;
}

export function FrameMenu(_: Props) {
  return null;
}
