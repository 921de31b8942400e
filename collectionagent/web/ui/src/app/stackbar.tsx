// SPDX-License-Identifier: Apache-2.0
// The bar above every view of stacks: search, what is done to the stacks as chips, presets,
// grouping, level, inversion, colour, and the legend that filters.

import type { ViewProps } from "../views/view";

export function StackBar(_: ViewProps) {
  return null;
}
