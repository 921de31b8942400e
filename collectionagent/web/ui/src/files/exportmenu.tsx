// SPDX-License-Identifier: Apache-2.0
// What can be saved of the profile that is shown.

import type { ViewProps } from "../views/view";

export function ExportMenu(_: ViewProps) {
  return null;
}
