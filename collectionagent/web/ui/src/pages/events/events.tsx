// SPDX-License-Identifier: Apache-2.0

import type { PageProps } from "../page";

export function Events(_: PageProps) {
  return <p class="note">Not built yet.</p>;
}
