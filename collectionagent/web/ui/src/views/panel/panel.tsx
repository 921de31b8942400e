// SPDX-License-Identifier: Apache-2.0
// The panel at the side: all that is known of the function state.fn. The shell shows it beside every view.

import type { ViewProps } from "../view";

export function Panel(_: ViewProps) {
  return <aside class="panel-side">Not built yet.</aside>;
}
