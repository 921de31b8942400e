// SPDX-License-Identifier: Apache-2.0
// A name with the part of it marked that a search found.

import type { Expression } from "../model/regexp";

export function Highlight({ text, re }: { text: string; re: Expression | null }) {
  const found = re?.exec(text);
  if (!found || !found[0]) return <>{text}</>;
  const end = found.index + found[0].length;
  return (
    <>
      {text.slice(0, found.index)}
      <mark class="vl-hit">{text.slice(found.index, end)}</mark>
      {text.slice(end)}
    </>
  );
}
