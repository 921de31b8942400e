// SPDX-License-Identifier: Apache-2.0
// Choosing a function shows it in the panel at the side; choosing it again closes the panel.

import type { ViewProps } from "./view";

export function select({ state, side, change }: Pick<ViewProps, "state" | "side" | "change">, fn: string): void {
  const close = state.fn === fn && side?.open !== false;
  side?.show(!close);
  if (!close) change({ fn });
  else if (!side) change({ fn: "" });
}
