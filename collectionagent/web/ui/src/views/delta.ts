// SPDX-License-Identifier: Apache-2.0
// What has changed, as a text that says it without its colour.

import { amount } from "../ui/format";

/** "+1.20 s ▲ 35 %", "new", "gone", "=". */
export function delta(now: number, before: number, unit: string): string {
  const by = now - before;
  if (!by) return now ? "=" : "";
  const sign = by > 0 ? "+" : "−";
  const size = amount(Math.abs(by), unit);
  if (!before) return `${sign}${size} new`;
  if (!now) return `${sign}${size} gone`;
  const share = (100 * Math.abs(by)) / before;
  if (share < 0.05) return "=";
  return `${sign}${size} ${sign}${share >= 1000 ? "≫" : share >= 10 ? share.toFixed(0) : share.toFixed(1)}${share >= 1000 ? "" : " %"}`;
}

/** "more", "less" or "", as classes of CSS. */
export const grown = (now: number, before: number): string => (now > before ? "more" : now < before ? "less" : "");
