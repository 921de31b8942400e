// SPDX-License-Identifier: Apache-2.0
// An equation of the ledger with all its digits, and why samples are not there.

import { exact } from "../../ui/format";
import type { Equation } from "./ledger";

export function Reasons({ title, list, text }: { title: string; list: [string, number][]; text(name: string): string }) {
  if (list.length === 0) return null;
  return (
    <p class="reasons">
      <span class="faded">{title}</span>
      {list.map(([name, n]) => (
        <span key={name} title={name}>
          {exact(n)} <span class="faded">{text(name)}</span>
        </span>
      ))}
    </p>
  );
}

/** An equation with all its digits, and whether it is one. */
export function Sum({ of, label }: { of: Equation; label: string }) {
  const sign = of.off === 0 ? "=" : "≠";
  return (
    <div class="sum" role="group" aria-label={label} data-off={of.off}>
      <span class="sum-label">{label}</span>
      <Amount term={of.whole} />
      {of.parts.map((p, i) => (
        <span key={p.name} class="term">
          <span class="sign">{i === 0 ? sign : "+"}</span>
          <Amount term={p} bad={p.name === "dropped" && p.value > 0} />
        </span>
      ))}
      <span class={of.off === 0 ? "verdict good" : "verdict bad"}>
        {of.off === 0 ? "✓ adds up" : `⚠ ${exact(Math.abs(of.off))} ${of.off < 0 ? "missing" : "too many"}`}
      </span>
    </div>
  );
}

function Amount({ term, bad = false }: { term: { name: string; value: number; hint: string }; bad?: boolean }) {
  return (
    <span class={bad ? "amount bad" : "amount"} title={term.hint}>
      <b>{exact(term.value)}</b>
      <span>{term.name}</span>
    </span>
  );
}
