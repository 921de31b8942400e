// SPDX-License-Identifier: Apache-2.0
// What every page beside Explore is given.

import type { Theme } from "../model/colour";
import type { Change, State } from "../state/state";

export interface PageProps {
  state: State;
  change: Change;
  theme: Theme;
  /** Nothing is to be asked again by itself. */
  paused: boolean;
  announce(text: string): void;
}
