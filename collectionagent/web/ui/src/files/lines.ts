// SPDX-License-Identifier: Apache-2.0

/** The lines of a text, one at a time, without what ends them. */
export function* lines(text: string): Generator<string> {
  for (let at = 0; at < text.length; ) {
    let end = text.indexOf("\n", at);
    if (end < 0) end = text.length;
    yield text.charCodeAt(end - 1) === 13 && end > at ? text.slice(at, end - 1) : text.slice(at, end);
    at = end + 1;
  }
}
