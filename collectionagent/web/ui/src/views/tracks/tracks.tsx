// SPDX-License-Identifier: Apache-2.0

import type { ViewProps } from "../view";

export function Tracks(_: ViewProps) {
  return <p class="note">Not built yet.</p>;
}
