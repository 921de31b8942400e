// SPDX-License-Identifier: Apache-2.0
// The table and the flame graph side by side; what one points to the other marks.

import { FlameView } from "./flame/view";
import { TableView } from "./table/table";
import type { ViewProps } from "./view";

export function Both(p: ViewProps) {
  return (
    <div class="both" data-view="both">
      <div class="both-table">
        <TableView {...p} />
      </div>
      <div class="both-flame">
        <FlameView {...p} />
      </div>
    </div>
  );
}
